"""`validation readers size`: power, readers and cases of a planned study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from validation.reader_study.endpoints import ENDPOINTS


@click.command("size")
@click.option("--pilot", type=click.Path(path_type=Path), help="Scores of a fully crossed pilot.")
@click.option("--modalities", nargs=2, help="The two modalities of the pilot to compare.")
@click.option("--parameters", type=click.Path(path_type=Path), help="YAML of published parameters.")
@click.option("--conjecture", type=(float, float), help="AUC and range of the readers' AUCs, such as 0.85 0.1.")
@click.option("--within", type=float, default=0.0, help="Range of one reader reading twice, with --conjecture.")
@click.option("--truth", type=click.Path(path_type=Path), help="Table of lesions; the pilot is then a table of marks.")
@click.option("--endpoint", type=click.Choice(ENDPOINTS), help="With --pilot.  [default: auc; wafroc with --truth]")
@click.option("--threshold", type=float, help="Ratings from this value up count as positive decisions.")
@click.option("--at", type=float, default=0.9, show_default=True, help="The fixed specificity or sensitivity.")
@click.option("--band", type=(float, float), default=(0.8, 1.0), show_default=True, help="Band of a partial area.")
@click.option("--band-of", type=click.Choice(["specificity", "sensitivity"]), default="specificity", show_default=True)
@click.option("--effect", type=float, required=True, help="True difference of the endpoint, such as of the AUC.")
@click.option("--reader-count", "reader_count", type=int, help="Number of readers.")
@click.option("--cases", type=int, help="All cases, in the pilot's mix: gives the power.")
@click.option("--negatives", type=int, help="Non-diseased cases (with --positives): gives the power.")
@click.option("--positives", type=int, help="Diseased cases.")
@click.option("--prevalence", type=float, help="Share of diseased cases, if not the pilot's.")
@click.option("--power", "goal", type=float, default=0.8, show_default=True, help="Power to reach.")
@click.option("--max-readers", type=int, default=20, show_default=True, help="End of the trade-off curve.")
@click.option("--groups", type=int, default=1, show_default=True, help="Groups of a paired split-plot.")
@click.option("--readers", type=click.Choice(["random", "fixed"]), default="random", show_default=True)
@click.option("--case-effects", type=click.Choice(["random", "fixed"]), default="random", show_default=True)
@click.option(
    "--hypothesis", type=click.Choice(["superiority", "non_inferiority", "equivalence"]), default="superiority"
)
@click.option("--margin", type=float, default=0.0)
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Two-sided error.")
@click.option("--df", type=click.Choice(["hillis", "rockette"]), help="Degrees of freedom; rockette for a conjecture.")
@click.option("--replicates", type=int, default=1000, show_default=True, help="For the interval; 0 for none.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool, **options: Any) -> None:
    """Find the power of a study, or the cases that so many readers need.

    Variances come from --pilot, --parameters or --conjecture. With --cases (or --negatives and --positives) the power
    is printed, with an interval for the uncertainty of the pilot; without them the trade-off between readers and cases.
    """
    record = _size(options)
    if as_json:
        click.echo(json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False))
        return
    click.echo(f"Variances: {record['source']}. Convention: {record['convention']}")
    if "study" in record:
        for key, value in record["study"].items():
            click.echo(f"  {key}: {value}")
        interval = record["interval"]
        if interval is not None and interval["lower"] is not None:
            click.echo(f"  95 % interval of the power: {interval['lower']:.3f} to {interval['upper']:.3f}")
        elif interval is not None:
            click.echo(f"  no interval: {interval['reason']}")
        return
    click.echo(f"{'readers':>8}{'non-diseased':>14}{'diseased':>10}{'power':>8}")
    for row in record["trade_off"]:
        if row["power"] is None:
            click.echo(f"{row['readers']:>8}  {row['reason']}")
        else:
            click.echo(f"{row['readers']:>8}{row['negatives']:>14}{row['positives']:>10}{row['power']:>8.3f}")


def _size(options: dict[str, Any]) -> dict[str, Any]:
    """Compute power or the trade-off."""
    from validation.errors import UsageProblem
    from validation.reader_study.judgement import Claim
    from validation.reader_study.obuchowski_rockette import Effects
    from validation.reader_study.sizing import Target, power, power_interval, trade_off

    pilot = _pilot(options)
    effects = {
        ("random", "random"): Effects.RRRC,
        ("fixed", "random"): Effects.FRRC,
        ("random", "fixed"): Effects.RRFC,
    }.get((options["readers"], options["case_effects"]))
    if effects is None:
        raise UsageProblem(
            "with fixed readers and fixed cases there is nothing left to generalise to.",
            code="RDR-011",
            where="--readers",
            action="Let readers or cases be random.",
        )
    df: Any = options["df"] or ("rockette" if options["conjecture"] else "hillis")
    target = Target(
        effect=options["effect"],
        claim=Claim(options["hypothesis"]),
        margin=options["margin"],
        alpha=options["alpha"],
        effects=effects,
        df=df,
        bounded=pilot.endpoint not in ("mean_score", "false_marks", "false_marks_all"),
    )
    record: dict[str, Any] = {
        "source": pilot.source,
        "endpoint": pilot.endpoint,
        "parameters": pilot.parameters.to_dict(),
        "target": {"effect": target.effect, "hypothesis": target.claim.value, "margin": target.margin}
        | {"alpha": target.alpha, "effects": effects.value, "power": options["goal"]},
        "convention": "Obuchowski-Rockette variances; "
        + ("Hillis" if df == "hillis" else "(r - 1)")
        + " degrees of freedom; negative components counted as 0; error variances fall as 1/cases at the pilot's mix "
        "(doi:10.1016/j.acra.2010.09.007), or by class with the U-statistic parts for another prevalence.",
    }
    groups = options["groups"]
    sizes = {k: options[k] for k in ("cases", "negatives", "positives") if options[k] is not None}
    if not sizes:
        last = options["reader_count"] or options["max_readers"]
        first = options["reader_count"] or max(2 * groups, 3)
        rows = trade_off(
            pilot,
            target,
            readers=range(first, last + 1),
            goal=options["goal"],
            groups=groups,
            prevalence=options["prevalence"],
        )
        return record | {"trade_off": rows}
    if options["reader_count"] is None:
        raise UsageProblem("the power of a study needs --reader-count.", code="RDR-023", where="--reader-count")
    found = power(pilot, target, readers=options["reader_count"], groups=groups, **sizes)
    interval = None
    if options["replicates"] and "cases" in sizes:
        interval = power_interval(
            pilot,
            target,
            readers=options["reader_count"],
            cases=sizes["cases"],
            groups=groups,
            replicates=options["replicates"],
            seed=options["seed"],
        ).to_dict()
    return record | {"study": found.to_dict(), "interval": interval}


def _pilot(options: dict[str, Any]) -> Any:
    """Return the pilot from the one source given."""
    from validation.errors import UsageProblem
    from validation.reader_study.endpoints import NO_TRUTH
    from validation.reader_study.marks import read_marks
    from validation.reader_study.pilots import conjectured_pilot, pilot_from_marks, pilot_from_scores, read_parameters
    from validation.reader_study.plan import AnalysisPlan
    from validation.reader_study.tables import read_scores

    given = [name for name in ("pilot", "parameters", "conjecture") if options[name]]
    if len(given) != 1:
        raise UsageProblem(
            "sizing needs one source of variances: --pilot, --parameters or --conjecture.",
            code="RDR-022",
            where="--pilot",
            action="Give exactly one of them.",
        )
    settings = {key: options[key] for key in ("threshold", "at", "band", "band_of")}
    endpoint: Any = options["endpoint"] or ("auc" if options["truth"] is None else "wafroc")
    if not options["pilot"] and endpoint != "auc":
        raise UsageProblem(
            "published and conjectured parameters are those of the AUC.",
            code="RDR-022",
            where="--endpoint",
            action="Give --pilot with the scores or marks of a pilot.",
        )
    if options["pilot"]:
        plan = AnalysisPlan(endpoint=endpoint, **settings)
        if options["truth"] is not None:
            return pilot_from_marks(read_marks(options["pilot"], options["truth"]), plan, options["modalities"] or None)
        scores = read_scores(options["pilot"], need_truth=endpoint not in NO_TRUTH)
        return pilot_from_scores(scores, options["modalities"] or None, plan)
    if options["parameters"]:
        return read_parameters(options["parameters"])
    auc, spread = options["conjecture"]
    prevalence = options["prevalence"] or 0.5
    return conjectured_pilot(
        auc=auc,
        readers=options["reader_count"] or options["max_readers"],
        range_between=spread,
        range_within=options["within"],
        negatives_per_positive=(1 - prevalence) / prevalence,
    )
