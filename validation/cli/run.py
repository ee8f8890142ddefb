"""`validation run`: one execution of a study, from the sealed cohort to the signed record and its documents."""

from __future__ import annotations

from pathlib import Path

import click

from validation.cli.who import by_option


@click.command("run")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--purpose", default="validation of the locked protocol", show_default=True, help="For the ledger.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--limit", type=click.IntRange(min=1), help="Measure only the first N cases (a draft).")
@click.option("--draft", is_flag=True, help="Accept an unlocked protocol or an unsealed cohort (a draft).")
@click.option("--key", help="Private key file or key URI that signs; overrides study.yaml.")
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    study: Path,
    purpose: str,
    device: str,
    limit: int | None,
    draft: bool,
    key: str | None,
    actor: str,
    as_json: bool,
) -> int:
    """Run STUDY (a folder with study.yaml): open the sealed cohort, measure, judge, write and sign the record."""
    from validation.cli.finish import finish
    from validation.study.execute import begin, carry_on
    from validation.study.spec import load_study

    loaded = load_study(study)
    run = begin(loaded, device=device, limit=limit, draft=draft, purpose=purpose, actor=actor)
    click.echo(f"run {run}", err=True)
    results = carry_on(loaded, run, actor=actor, quiet=as_json)
    return finish(loaded, run, results, key=key, as_json=as_json)
