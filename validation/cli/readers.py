"""`validation readers`: reader studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from validation.cli import readers_interchange, readers_plan, readers_schedule, readers_simulate, readers_size
from validation.reader_study.endpoints import ENDPOINTS


@click.group()
def command() -> None:
    """Reader studies: plan, size, simulate, schedule and analyse multi-reader multi-case studies."""


for _module in (readers_plan, readers_size, readers_simulate, readers_schedule, readers_interchange):
    command.add_command(_module.command)


@command.command()
@click.argument("scores", type=click.Path(path_type=Path))
@click.option(
    "--endpoint",
    type=click.Choice(ENDPOINTS),
    help="Figure of merit.  [default: auc; wafroc with --truth]",
)
@click.option("--at", type=float, default=0.9, show_default=True, help="The fixed specificity or sensitivity.")
@click.option("--band", type=(float, float), default=(0.8, 1.0), show_default=True, help="Band of the partial AUC.")
@click.option("--band-of", type=click.Choice(["specificity", "sensitivity"]), default="specificity", show_default=True)
@click.option(
    "--curve",
    type=click.Choice(["empirical", "binormal", "proper"]),
    default="empirical",
    show_default=True,
    help="Curve of the partial AUC, of a figure at a fixed point, or of the expected utility.",
)
@click.option("--slope", type=float, default=1.0, show_default=True, help="Of the expected utility.")
@click.option(
    "--method",
    type=click.Choice(["auto", "or", "dbm", "ustat"]),
    default="auto",
    show_default=True,
    help="auto: Obuchowski-Rockette if fully crossed, else U-statistics.",
)
@click.option(
    "--covariance",
    type=click.Choice(["jackknife", "delong", "unbiased", "bootstrap"]),
    default="jackknife",
    show_default=True,
)
@click.option("--readers", type=click.Choice(["random", "fixed"]), default="random", show_default=True)
@click.option("--cases", type=click.Choice(["random", "fixed"]), default="random", show_default=True)
@click.option(
    "--hypothesis",
    type=click.Choice(["superiority", "non_inferiority", "equivalence"]),
    default="superiority",
    show_default=True,
    help="Of the difference a − b.",
)
@click.option("--margin", type=float, default=0.0, help="Largest difference of no consequence, positive.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Two-sided error.")
@click.option("--control", help="Modality that every other one is compared with (as b).")
@click.option(
    "--standalone", help="Reader or modality that is a system, compared with the average of all other readers."
)
@click.option("--no-holm", is_flag=True, help="Do not adjust several differences.")
@click.option(
    "--threshold", type=float, help="Ratings from this value up count as positive, if no decisions were recorded."
)
@click.option("--replicates", type=int, default=2000, show_default=True, help="Of the bootstrap covariance.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the bootstrap covariance.")
@click.option("--clusters", help="Column that holds the patient of each case, if patients have several lesions.")
@click.option("--curves", is_flag=True, help="Also fit binormal and proper curves, with a test of their fit.")
@click.option(
    "--odds-ratios",
    type=click.Choice(["modality", "reader", "both", "interaction"]),
    help="Also odds ratios of decisions, conditional on cases (sensitivity or specificity).",
)
@click.option("--training-cases", type=click.Path(path_type=Path), help="Table with a column case, for the checks.")
@click.option(
    "--truther", "truthers", multiple=True, help="Who set the reference standard, for the checks; repeatable."
)
@click.option("--fallback", help="Analysis that the protocol fixed in case assumptions fail, for the checks.")
@click.option("--sequential", is_flag=True, help="Cases are read twice in a row by design: no washout is checked.")
@click.option("--truth", type=click.Path(path_type=Path), help="Table of lesions; SCORES is then a table of marks.")
@click.option("--report", type=click.Path(path_type=Path), help="Also write a report: .pdf, .html or .docx.")
@click.option("--radius", type=float, help="Largest distance of a mark from a lesion, for marks with coordinates.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def analyse(context: click.Context, /, scores: Path, as_json: bool, **options: Any) -> None:
    """Analyse SCORES: a table with the columns reader, modality, case, truth (0/1), score[, decision].

    Reads .csv, .parquet and .imrmc, long or wide. With --truth, SCORES is a table of marks (reader, modality,
    case, mark_type, lesion_id, score) and the endpoint one of localisation, such as wafroc. Exits 0 if the
    hypothesis is met for every difference (or there is none), 1 if not.
    """
    from validation.cli.readers_circumstances import with_checks
    from validation.errors import UsageProblem
    from validation.estimate import Outcome
    from validation.reader_study.analysis import analyse as run
    from validation.reader_study.conditional_logistic import odds_ratio_record, odds_ratio_text
    from validation.reader_study.endpoints import NO_TRUTH
    from validation.reader_study.fitted import fitted_record, fitted_text
    from validation.reader_study.tables import read_scores
    from validation.reader_study.text import analysis_text

    truth, radius, report = (options.pop(name) for name in ("truth", "radius", "report"))
    told = {name: options.pop(name) for name in ("training_cases", "truthers", "fallback", "sequential")}
    clusters, curves, odds = options.pop("clusters"), options.pop("curves"), options.pop("odds_ratios")
    options["endpoint"] = options["endpoint"] or ("auc" if truth is None else "wafroc")
    plan = _plan(options)
    if truth is not None and (clusters is not None or curves):
        raise UsageProblem(
            "--clusters and --curves are for tables of scores; marks are analysed by case.",
            code="RDR-011",
            where="--clusters",
        )
    if odds is not None and plan.endpoint not in ("sensitivity", "specificity"):
        raise UsageProblem(
            "--odds-ratios are of decisions: sensitivity or specificity.", code="RDR-011", where="--odds-ratios"
        )
    if truth is not None:
        from validation.reader_study.localisation import analyse_marks
        from validation.reader_study.marks import read_marks

        marks = read_marks(scores, truth, radius=radius)
        study = marks.highest()
        result = analyse_marks(marks, plan)
    else:
        study = read_scores(scores, need_truth=plan.endpoint not in NO_TRUTH)
        if clusters is None:
            result = run(study, plan)
        else:
            from validation.reader_study.clustered import analyse_clustered, patients_of
            from validation.reader_study.tables import read_table

            result = analyse_clustered(study, patients_of(read_table(scores), clusters, study), plan)
    result = with_checks(result, study, scores=scores, **told)
    if report is not None:
        from validation.cli.readers_report import write_report

        again = None
        if plan.standalone is None and clusters is None:

            def again(readers: list[str]) -> Any:
                return (
                    run(study.select(readers=readers), plan)
                    if truth is None
                    else analyse_marks(marks.select(readers), plan)
                )

        write_report(report, study, result, sources=[scores, *([truth] if truth else [])], again=again)
    fitted = fitted_record(study, plan) if curves else {}
    ratios = odds_ratio_record(study, plan.endpoint, odds, plan.threshold) if odds else None
    if as_json:
        record = {**result.to_dict(), **fitted, **({"odds_ratios": ratios} if ratios else {})}
        click.echo(json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        click.echo(analysis_text(result))
        if fitted:
            click.echo(fitted_text(fitted))
        if ratios:
            click.echo(odds_ratio_text(ratios))
    if result.differences and result.outcome is not Outcome.PASS:
        context.exit(1)


def _plan(options: dict[str, Any]) -> Any:
    """Turn options into a plan."""
    from validation.errors import UsageProblem
    from validation.reader_study.judgement import Claim
    from validation.reader_study.obuchowski_rockette import Effects
    from validation.reader_study.plan import AnalysisPlan

    readers, cases = options.pop("readers"), options.pop("cases")
    if (readers, cases) == ("fixed", "fixed"):
        raise UsageProblem(
            "with fixed readers and fixed cases there is nothing left to generalise to.",
            code="RDR-011",
            where="--readers",
            action="Let readers or cases be random.",
        )
    effects = {("random", "random"): Effects.RRRC, ("fixed", "random"): Effects.FRRC, ("random", "fixed"): Effects.RRFC}
    return AnalysisPlan(
        effects=effects[readers, cases],
        claim=Claim(options.pop("hypothesis")),
        holm=not options.pop("no_holm"),
        **options,
    )


@command.command()
@click.argument("scores", type=click.Path(path_type=Path))
@click.option(
    "--measure",
    type=click.Choice(["icc", "kappa", "alpha", "limits"]),
    default="icc",
    show_default=True,
    help="limits: limits of agreement between two modalities.",
)
@click.option("--form", type=click.Choice(["ICC(1)", "ICC(A,1)", "ICC(C,1)"]), default="ICC(A,1)", show_default=True)
@click.option(
    "--weights", type=click.Choice(["unweighted", "linear", "quadratic"]), default="quadratic", show_default=True
)
@click.option("--metric", type=click.Choice(["nominal", "ordinal", "interval"]), default="ordinal", show_default=True)
@click.option("--level", type=float, default=0.95, show_default=True)
@click.option("--replicates", type=int, default=2000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def agreement(scores: Path, as_json: bool, **options: Any) -> None:
    """Measure how far readers of SCORES agree: reader, modality, case, score; no truth is needed."""
    from validation.reader_study.agreement import agreement_of
    from validation.reader_study.tables import read_scores

    found = agreement_of(read_scores(scores, need_truth=False), **options)
    if as_json:
        click.echo(json.dumps({name: e.to_dict() for name, e in found.items()}, indent=2, allow_nan=False))
        return
    for name, e in found.items():
        if e.value is None:
            click.echo(f"{name}: not estimated; {e.reason}")
            continue
        limits = "" if e.lower is None or e.upper is None else f" [{e.lower:.4f}, {e.upper:.4f}]"
        click.echo(f"{name}: {e.value:.4f}{limits} ({e.method}, {e.n} cases){'; ' + e.reason if e.reason else ''}")
