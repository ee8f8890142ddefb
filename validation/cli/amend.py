"""`validation amend`: record a new version of a locked protocol."""

from __future__ import annotations

import json
from pathlib import Path

import click

from validation.cli.who import by_option


@click.command("amend")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--reason", required=True, help="Why the protocol changes; it appears in the deviation log.")
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(study: Path, reason: str, actor: str, as_json: bool) -> int:
    """Record the edited protocol of STUDY as a new version (raise `version` in the file first)."""
    from validation.errors import UsageProblem
    from validation.study.prepare import amend_study
    from validation.study.spec import load_study

    if len(reason.strip()) < 10:
        raise UsageProblem("the reason is too short to mean anything to a reader.", code="CLI-002", where="--reason")
    record = amend_study(load_study(study), signer=actor, reason=reason.strip())
    amendment = record.amendments[-1]
    if as_json:
        click.echo(json.dumps(amendment.model_dump(), indent=2))
        return 0
    click.echo(f"amended {amendment.previous_version} -> {amendment.version} at {amendment.amended_at}")
    for change in amendment.changes:
        click.echo(f"  {change['path']}: {change['before']} -> {change['after']}")
    if amendment.openings_before:
        click.echo(f"note: the sealed cohort had been opened {amendment.openings_before} time(s) before this amendment")
    return 0
