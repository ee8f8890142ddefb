"""`validation readers simulate`: operating characteristics of a planned study, or virtual readers of a run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click


@click.command("simulate")
@click.option("--structure", help="Published Roe-Metz structure, such as HL0.75 (null).")
@click.option("--pilot", type=click.Path(path_type=Path), help="Scores to calibrate the simulation to.")
@click.option("--effect", type=float, help="True difference of AUC between the modalities (0: type-I error).")
@click.option("--reader-count", "readers", type=int, default=5, show_default=True)
@click.option("--negatives", type=int, default=50, show_default=True)
@click.option("--positives", type=int, default=50, show_default=True)
@click.option("--groups", type=int, default=1, show_default=True, help="Paired split-plot with this many groups.")
@click.option("--trials", type=int, default=2000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--method", type=click.Choice(["or", "ustat"]), default="or", show_default=True)
@click.option("--covariance", type=click.Choice(["unbiased", "delong", "jackknife"]), default="jackknife")
@click.option(
    "--hypothesis", type=click.Choice(["superiority", "non_inferiority", "equivalence"]), default="superiority"
)
@click.option("--margin", type=float, default=0.0)
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Two-sided error.")
@click.option("--sessions", type=click.Choice(["crossover", "blocked"]), help="Read in two sessions, laid out so.")
@click.option("--drift", type=float, default=0.0, help="Spread of a reader's scale between sessions, in score units.")
@click.option("--memory", type=float, default=0.0, help="Rise of diseased cases' scores when read again at once.")
@click.option("--half-life", type=float, default=14.0, show_default=True, help="Days in which memory halves.")
@click.option("--washout", type=float, default=28.0, show_default=True, help="Days between the sessions.")
@click.option("--device", default="cpu", show_default=True, help="Torch device, such as cuda.")
@click.option("--from-run", type=click.Path(path_type=Path), help="Run folder with cho_channels measurements.")
@click.option("--metric", help="Key of the channel measurements, if the run holds several.")
@click.option("--label", default="label", show_default=True, help="Column of cases.parquet that holds the truth (0/1).")
@click.option("--observer", type=click.Choice(["hotelling", "npw"]), default="hotelling", show_default=True)
@click.option("--internal-noise", type=float, default=1.0, show_default=True, help="In spreads of the observer.")
@click.option("--out", type=click.Path(path_type=Path), help="Scores table of the virtual readers (with --from-run).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(from_run: Path | None, as_json: bool, **options: Any) -> None:
    """Simulate reader studies.

    Without --from-run: draw studies from a Roe-Metz model (a published structure, or calibrated to the scores of a
    pilot), analyse each, and print power or type-I error, coverage and variances with their Monte Carlo error.

    With --from-run: virtual readers look at the stored channel responses of a run's images and give a table of scores
    for `validation readers analyse`.
    """
    record = _virtual_readers(from_run, options) if from_run is not None else _characteristics(options)
    if as_json:
        click.echo(json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        click.echo("\n".join(f"{key}: {_text(value)}" for key, value in record.items()))


def _characteristics(options: dict[str, Any]) -> dict[str, Any]:
    """Simulate and analyse studies."""
    from validation.reader_study.judgement import Claim
    from validation.reader_study.operating import StudySize, operating_characteristics
    from validation.reader_study.sessions import Sessions

    model, source = _model(options)
    size = StudySize(
        readers=options["readers"],
        negatives=options["negatives"],
        positives=options["positives"],
        groups=options["groups"],
    )
    sessions = None
    if options["sessions"] is not None:
        sessions = Sessions(
            layout=options["sessions"],
            drift=options["drift"],
            memory=options["memory"],
            half_life_days=options["half_life"],
            washout_days=options["washout"],
        )
    found = operating_characteristics(
        model,
        size,
        trials=options["trials"],
        seed=options["seed"],
        method=options["method"],
        covariance=options["covariance"],
        claim=Claim(options["hypothesis"]),
        margin=options["margin"],
        alpha=options["alpha"],
        sessions=sessions,
        device=options["device"],
    )
    return {
        "source": source,
        "design": {name: options[name] for name in ("readers", "negatives", "positives", "groups")},
        "method": options["method"],
        "covariance": options["covariance"] if options["method"] == "or" else "unbiased",
        "hypothesis": {"type": options["hypothesis"], "margin": options["margin"], "alpha": options["alpha"]},
        "sessions": None if sessions is None else asdict(sessions) | {"remembered": sessions.remembered},
        "seed": options["seed"],
        **found.to_dict(),
    }


def _model(options: dict[str, Any]) -> tuple[Any, str]:
    """Return the model to draw from, and its name."""
    from validation.errors import UsageProblem
    from validation.reader_study.pilots import pilot_from_scores, shifted, simulated_model
    from validation.reader_study.roe_metz import published_structures
    from validation.reader_study.tables import read_scores

    if (options["structure"] is None) == (options["pilot"] is None):
        raise UsageProblem(
            "a simulation needs one source of variances: --structure or --pilot.",
            code="RDR-021",
            where="--structure",
            action="Give one of them, or --from-run for virtual readers.",
        )
    if options["pilot"] is not None:
        pilot = pilot_from_scores(read_scores(options["pilot"]))
        return simulated_model(pilot, options["effect"]), f"Roe-Metz model calibrated to {options['pilot'].name}"
    structures = published_structures()
    if options["structure"] not in structures:
        raise UsageProblem(
            f"there is no published structure {options['structure']!r}.",
            code="RDR-021",
            where="--structure",
            action=f"Choose one of {', '.join(structures)}.",
        )
    model = structures[options["structure"]]

    return shifted(model, options["effect"] or 0.0), f"Roe & Metz 1997, structure {options['structure']}"


def _virtual_readers(run: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Let virtual readers read the channel responses of a run."""
    from validation.errors import UsageProblem
    from validation.reader_study.channel_tables import channels_of_run
    from validation.reader_study.model_observers import ObserverSettings, simulate_readers
    from validation.reader_study.tables import write_scores

    if options["out"] is None:
        raise UsageProblem(
            "virtual readers need a file to write their scores to.",
            code="RDR-021",
            where="--out",
            action="Give --out scores.csv.",
        )
    settings = ObserverSettings(
        observer=options["observer"],
        readers=options["readers"],
        internal_noise=options["internal_noise"],
        seed=options["seed"],
    )
    table = channels_of_run(run, metric=options["metric"], label=options["label"])
    scores = simulate_readers(table.responses, table.positive, table.cases, table.clusters, settings)
    write_scores(scores, options["out"])
    return {
        "scores": str(options["out"]),
        "metric": table.metric,
        "observer": options["observer"],
        "readers": options["readers"],
        "modalities": list(scores.modalities),
        "cases": len(scores.cases),
        "left_out": table.left_out,
        "seed": options["seed"],
        "notice": "Scores of model observers, not of people: they show what the images allow, and how large a real "
        "study should be.",
    }


def _text(value: Any) -> str:
    """Return a value for the terminal."""
    if isinstance(value, dict) and "lower" in value:
        return f"{value['value']:.4f} (95 % Monte Carlo interval {value['lower']:.4f} to {value['upper']:.4f})"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
