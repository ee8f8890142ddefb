"""`validation execute`: a candidate model under a modification of the change protocol."""

from __future__ import annotations

from pathlib import Path

import click

from validation.cli.revalidate import finish_change
from validation.cli.who import by_option


@click.command("execute")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--modification", required=True, metavar="ID", help="Modification of the change protocol, such as M1.")
@click.option(
    "--candidate",
    required=True,
    type=click.Path(path_type=Path),
    help="Model file, or candidate.yaml with `model`, `training_manifest` and `facts`.",
)
@click.option("--baseline", required=True, type=click.Path(path_type=Path), help="Signed run of the original version.")
@click.option("--last", type=click.Path(path_type=Path), help="Run of the last version; else the last accepted change.")
@click.option("--cohort", type=click.Path(path_type=Path, exists=True), help="New cohort; else the sealed holdout.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--key", help="Private key file or key URI that signs; overrides study.yaml.")
@click.option("--trust", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Trusted public keys.")
@click.option("--allow-unsigned", is_flag=True, help="Accept a baseline that is not signed (a trial).")
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    study: Path,
    modification: str,
    candidate: Path,
    baseline: Path,
    last: Path | None,
    cohort: Path | None,
    device: str,
    key: str | None,
    trust: Path | None,
    allow_unsigned: bool,
    actor: str,
    as_json: bool,
) -> int:
    """Run a candidate of STUDY under its change protocol. Exit code 0: inside the plan; 1: outside, with the clause.

    The candidate runs on the sealed holdout, under the locked endpoints, and is compared case by case with the original
    and with the last version.
    """
    from validation.change.candidate import read_candidate
    from validation.change.execution import execute
    from validation.change.revalidation import Request
    from validation.evidence.keys import read_trust
    from validation.study.spec import load_study

    loaded = load_study(study)
    changed = read_candidate(candidate, loaded)
    request = Request(
        changes=(),
        baseline=baseline,
        actor=actor,
        last=last,
        cohort=cohort,
        model=changed.model,
        facts=changed.facts,
        training_manifest=changed.training_manifest,
        device=device,
        trust=read_trust(trust) if trust else None,
        allow_unsigned=allow_unsigned,
        quiet=as_json,
    )
    run, record = execute(loaded, modification, request)
    return finish_change(loaded, run, record, key=key, actor=actor, as_json=as_json)
