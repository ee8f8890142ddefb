"""`validation resume`: go on with an interrupted run."""

from __future__ import annotations

from pathlib import Path

import click

from validation.cli.who import by_option


@click.command("resume")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", help="Private key file or key URI that signs; overrides study.yaml.")
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, key: str | None, actor: str, as_json: bool) -> int:
    """Bring an interrupted RUN to its end; finished measurements are kept and the record has the same bytes.

    RUN may be that of a revalidation or of a candidate (below STUDY/changes); it is then compared as was asked.
    """
    from validation.change.resumption import home_of, is_change, resume_change
    from validation.cli.finish import finish
    from validation.cli.revalidate import finish_change
    from validation.evidence.results import RESULTS_FILE, read_results
    from validation.study.execute import carry_on, study_of
    from validation.study.spec import load_study

    study = load_study(study_of(run))
    run = run.resolve()
    if is_change(study):
        record = resume_change(study, run, actor=actor, quiet=as_json)
        return finish_change(home_of(study), run, record, key=key, actor=actor, as_json=as_json)
    judged = (run / RESULTS_FILE).exists() and not (run / "manifest.json").exists()
    results = read_results(run) if judged else carry_on(study, run, actor=actor, quiet=as_json)
    return finish(study, run, results, key=key, as_json=as_json)
