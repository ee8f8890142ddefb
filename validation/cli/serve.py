"""`validation serve`: look at a run, or at a folder of studies, in a browser on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("serve")
@click.argument("path", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on this machine; a free one if omitted.")
@click.option("--open/--no-open", "browser", default=False, help="Open the page in the browser.")
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the page to this file instead of serving it: one file that needs no network.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(path: Path, port: int, browser: bool, write: Path | None, as_json: bool) -> None:
    """Show PATH, a run folder or a folder of studies, read-only at an address of this machine only.

    Verdicts with their margins; from any number to its endpoint, subgroup, cases, pictures and file digests; ledger and
    signatures; requirements and where they are answered. Stop with Ctrl-C.
    """
    if write is not None:
        _write(path, write, as_json=as_json)
        return
    from validation.dossier.viewer import serve

    def ready(address: str) -> None:
        click.echo(json.dumps({"address": address}) if as_json else f"{address}  (stop with Ctrl-C)")
        if browser:
            import webbrowser

            webbrowser.open(address)

    try:
        serve(path, port=port, ready=ready)
    except KeyboardInterrupt:
        click.echo("" if as_json else "stopped", err=True)


def _write(path: Path, target: Path, *, as_json: bool) -> None:
    from validation.digest import write_atomically
    from validation.dossier.viewer import run_page
    from validation.errors import UsageProblem
    from validation.evidence.results import RESULTS_FILE

    if not (path / RESULTS_FILE).is_file():
        raise UsageProblem(
            "only the page of a finished run can be written.",
            code="VIEW-001",
            where=str(path),
            action="Give the folder of one run, below runs/.",
        )
    if path.resolve() in target.resolve().parents:
        raise UsageProblem(
            "the page cannot be written into the run.",
            code="VIEW-003",
            where=str(target),
            why="A closed run takes no further file; one that is there would be found as foreign.",
            action="Write it beside the run.",
        )
    import os

    beside = Path(os.path.relpath(path.resolve(), target.resolve().parent)).as_posix() + "/"
    page = run_page(path, beside=beside)
    write_atomically(target, page)
    if as_json:
        click.echo(json.dumps({"page": str(target), "size": len(page)}, indent=2))
    else:
        click.echo(f"{target}  {len(page) / 1e6:.1f} MB")
