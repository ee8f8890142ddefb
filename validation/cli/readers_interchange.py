"""`validation readers interchange`: whether a new way of reading may stand in for readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command(name="interchange")
@click.argument("scores", type=click.Path(path_type=Path))
@click.option("--new", required=True, help="Modality of the new readings, such as edited proposals.")
@click.option("--reference", required=True, help="Modality of the readings that they are to stand in for.")
@click.option("--margin", type=float, required=True, help="Largest index of no consequence.")
@click.option(
    "--distance",
    type=click.Choice(["squared", "absolute", "category"]),
    default="squared",
    show_default=True,
    help="Of two readings; category: 1 if they differ.",
)
@click.option("--readers", type=click.Choice(["random", "fixed"]), default="random", show_default=True)
@click.option("--clusters", help="Column that holds the patient of each case.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Two-sided error.")
@click.option("--replicates", type=int, default=2000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, /, scores: Path, clusters: str | None, as_json: bool, **options: Any) -> None:
    """Estimate the individual equivalence index of SCORES: reader, modality, case, score; no truth is needed.

    Exits 0 if the new readings are interchangeable with the reference within the margin, 1 if not.
    """
    from validation.estimate import Outcome
    from validation.reader_study.clustered import patients_of
    from validation.reader_study.interchangeability import interchangeability
    from validation.reader_study.tables import read_scores, read_table

    study = read_scores(scores, need_truth=False)
    patients = None if clusters is None else patients_of(read_table(scores), clusters, study)
    found = interchangeability(study, clusters=patients, **options)
    if as_json:
        record = {
            "index": found.index.to_dict(),
            "between": found.between.to_dict(),
            "within": found.within.to_dict(),
            "verdict": found.verdict.to_dict(),
        }
        click.echo(json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        for name, e in (
            ("new against another reader", found.between),
            ("two readers", found.within),
            ("individual equivalence index", found.index),
        ):
            limits = "" if e.lower is None or e.upper is None else f" [{e.lower:.4f}, {e.upper:.4f}]"
            value = "not estimated" if e.value is None else f"{e.value:.4f}"
            click.echo(f"{name}: {value}{limits} ({e.method}){'; ' + e.reason if e.reason else ''}")
        click.echo(f"{found.verdict.outcome.value.upper()}: {found.verdict.reason}")
    if found.verdict.outcome is not Outcome.PASS:
        context.exit(1)
