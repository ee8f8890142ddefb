"""`validation check`: what is wrong or missing in a protocol or a study, before anything is locked or opened."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("check")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(path: Path, as_json: bool) -> int:
    """Check a protocol file, or the protocol of a study folder. No data are opened.

    Errors end with exit code 2. Warnings (what a reviewer will ask about) are listed and do not change the code.
    """
    from validation.study.prepare import check_protocol
    from validation.study.spec import load_study

    file = load_study(path).protocol_path if path.is_dir() or path.name == "study.yaml" else path
    protocol, found = check_protocol(file)
    if as_json:
        record = {
            "protocol": protocol.id,
            "version": protocol.version,
            "endpoints": [e.id for e in protocol.endpoints],
            "warnings": [f.to_dict() for f in found],
        }
        click.echo(json.dumps(record, indent=2))
        return 0
    click.echo(f"{file.name}: {protocol.id} {protocol.version}, {len(protocol.endpoints)} endpoints, no errors")
    for finding in found:
        click.echo(f"  warning {finding.id} at {finding.place}\n      {finding.text}\n      {finding.action}")
    click.echo("nothing a reviewer would miss was found" if not found else f"{len(found)} warning(s)")
    return 0
