"""`validation deviate`: record a departure from the protocol."""

from __future__ import annotations

import json
from pathlib import Path

import click

from validation.cli.who import by_option


@click.command("deviate")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--what", required=True, help="What departed from which part of the protocol.")
@click.option("--reason", required=True, help="Why it happened.")
@click.option("--impact", required=True, help="What it means for the conclusions.")
@click.option("--severity", type=click.Choice(["minor", "major"]), required=True)
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(study: Path, what: str, reason: str, impact: str, severity: str, actor: str, as_json: bool) -> int:
    """Enter a departure from the protocol of STUDY in its ledger; every later dossier lists it."""
    from validation.errors import UsageProblem
    from validation.study.prepare import record_deviation
    from validation.study.spec import load_study

    for name, text in (("--what", what), ("--reason", reason), ("--impact", impact)):
        if len(text.strip()) < 10:
            raise UsageProblem("the text is too short to mean anything to a reader.", code="CLI-002", where=name)
    event = record_deviation(load_study(study), actor=actor, what=what, reason=reason, severity=severity, impact=impact)
    if as_json:
        click.echo(json.dumps({"seq": event.seq, "time": event.time, **event.details}))
    else:
        click.echo(f"recorded a {severity} deviation at {event.time}")
    return 0
