"""`validation doctor`: is this machine ready, and what would a run record about it."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click

_REPORTED = ("torch", "monai", "pandas", "scipy", "statsmodels", "pydicom", "great-expectations", "weasyprint")


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> int:
    """Check this machine: Python, packages, accelerator, PDF libraries, disk space."""
    findings = [_python(), *(_package(name) for name in _REPORTED), _accelerator(), _pdf(), _disk()]
    failed = [f for f in findings if not f["ok"]]
    if as_json:
        click.echo(json.dumps({"ready": not failed, "findings": findings}, indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding['ok'] else 'FAIL'}  {finding['name']:<20} {finding['detail']}")
        click.echo("This machine is ready." if not failed else f"{len(failed)} thing(s) to mend first.")
    return 3 if failed else 0


def _finding(name: str, ok: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail}


def _python() -> dict[str, Any]:
    version = ".".join(map(str, sys.version_info[:3]))
    return _finding("python", sys.version_info >= (3, 11), f"{version} (3.11 or newer is needed)")


def _package(name: str) -> dict[str, Any]:
    try:
        return _finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return _finding(name, False, "not installed; run `make test` or install genmed-validation again")


def _accelerator() -> dict[str, Any]:
    import torch

    if torch.cuda.is_available():
        return _finding("accelerator", True, f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}")
    return _finding("accelerator", True, f"none; runs on the CPU with {torch.get_num_threads()} threads")


def _pdf() -> dict[str, Any]:
    try:
        import weasyprint

        page = weasyprint.HTML(string="<p>test</p>").write_pdf()
    except (OSError, ImportError) as error:
        return _finding("PDF libraries", False, f"{error}; on Debian: apt-get install libpango-1.0-0 libpangoft2-1.0-0")
    return _finding("PDF libraries", page.startswith(b"%PDF"), "Pango draws a page")


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(Path.cwd()).free
    return _finding("disk space here", free > 2e9, f"{free / 1e9:.1f} GB free (2 GB or more is sensible)")
