"""`validation lock`: fix the protocol of a study before its data are opened."""

from __future__ import annotations

import json
from pathlib import Path

import click

from validation.cli.who import by_option


@click.command("lock")
@click.argument("study", type=click.Path(path_type=Path))
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(study: Path, actor: str, as_json: bool) -> int:
    """Lock the protocol of STUDY (a folder with study.yaml); later edits are refused until amended."""
    from validation.study.prepare import lock_study
    from validation.study.spec import load_study

    record, lacking = lock_study(load_study(study), signer=actor)
    if as_json:
        click.echo(
            json.dumps(
                {"digest": record.digest, "locked_at": record.locked_at, "warnings": [f.to_dict() for f in lacking]},
                indent=2,
            )
        )
        return 0
    name, version = record.protocol["id"], record.protocol["version"]
    click.echo(f"locked {name} {version} at {record.locked_at} by {record.locked_by}")
    click.echo(f"digest {record.digest}")
    for finding in lacking:
        click.echo(f"  warning {finding.id} at {finding.place}: {finding.text}")
    return 0
