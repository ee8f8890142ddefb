"""`validation shift`: is a new cohort different from a baseline, and is the difference smaller than a margin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from validation.errors import DataProblem, UsageProblem

if TYPE_CHECKING:
    import pandas as pd

    from validation.protocol.plan_schemas import ShiftVariable

STAMP = "not evidence"
_STATISTICS = ("ks", "cramer_von_mises", "chi2", "energy", "wasserstein", "standardised_difference")


@click.command("shift")
@click.argument("baseline")
@click.argument("new")
@click.option("--cluster", metavar="COL", help="Patient; without it every row counts as a patient.")
@click.option("--columns", metavar="COL,COL", help="Columns to compare (all but the cluster if not given).")
@click.option("--statistic", "statistics", multiple=True, metavar="[COL=]NAME", help=", ".join(_STATISTICS))
@click.option("--margin", "margins", multiple=True, metavar="[COL=]M", help="Largest difference of no consequence.")
@click.option(
    "--test", "tests", default="mmd", show_default=True, metavar="NAME,..", help="mmd,energy,classifier or none."
)
@click.option(
    "--joint-margin", "joint_margins", multiple=True, metavar="TEST=M", help="Margin of a joint test: mmd or energy."
)
@click.option("--adjust-for", default="", metavar="COL,COL", help="Compare within strata of these columns.")
@click.option("--label", metavar="COL", help="Truth, 0 or 1: tells covariate, label and concept shift apart.")
@click.option("--score", metavar="COL", help="Predicted probability, for --label and performance without labels.")
@click.option("--threshold", type=float, default=0.5, show_default=True, help="Positive at or above this score.")
@click.option("--alpha", type=click.FloatRange(0, 0.5, min_open=True, max_open=True), default=0.05, show_default=True)
@click.option(
    "--multiplicity",
    type=click.Choice(["holm", "bonferroni", "benjamini_hochberg", "none"]),
    default="holm",
    show_default=True,
)
@click.option("--permutations", type=click.IntRange(99), help="Reassignments (at least 999, more for many columns).")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--minimum", type=click.IntRange(2), default=5, show_default=True, help="Patients each cohort needs.")
@click.option("--device", default="cpu", show_default=True, help="Torch device of the joint tests.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(baseline: str, new: str, as_json: bool, **options: Any) -> None:
    """Compare a NEW cohort with a BASELINE: effect sizes with intervals, permutation tests of patients, equivalence.

    Both are tables (CSV, Parquet), arrays (NPZ, or FILE.npz:KEY), or folders of DICOM images, whose headers and image
    features are compared. Numbers are compared by KS and categories by chi-squared unless --statistic says otherwise;
    the number of cases never decides. "Not shifted" is never found without --margin: then `equivalent` is.

    Example: validation shift before.csv after.csv --cluster patient --margin 0.1 --test mmd,classifier
    """
    report = shift(baseline, new, **options)
    if as_json:
        click.echo(json.dumps({"exploratory": STAMP, **report}, indent=2, allow_nan=False))
        return
    click.echo(f"exploratory, {STAMP}")
    for line in lines(report):
        click.echo(line)


def shift(baseline: str, new: str, **options: Any) -> dict[str, Any]:
    """Read both inputs and return the report; options as on the command line.

    Raises
    ------
    UsageProblem, DataProblem
        If a file, column, statistic or margin is wrong; nothing is compared then.
    """
    from validation.shift.compare import compare, enough_permutations
    from validation.shift.headers import header_drift

    texts = [options["cluster"]] if options["cluster"] else []
    before, after = _read(baseline, texts), _read(new, texts)
    headers: list[str] = []
    cluster = options["cluster"]
    if Path(baseline).is_dir() and Path(new).is_dir():
        from validation.dicom.tags import COLUMNS

        headers = [c for c in COLUMNS if c in before.columns or c in after.columns]
        before, after = (f.reindex(columns=[*dict.fromkeys([*f.columns, *headers])]) for f in (before, after))
        cluster = cluster or "series"
    adjust = _names(options["adjust_for"])
    given = _names(options["columns"] or "")
    skipped = {cluster, "series", options["label"], *adjust, *headers}
    names = given or [str(c) for c in before.columns if c in after.columns and c not in skipped]
    if not names:
        raise UsageProblem("there is no column to compare.", code="SHF-001", where="--columns")
    variables = _variables(before, after, names, options["statistics"], options["margins"])
    permutations = options["permutations"] or enough_permutations(len(variables), options["alpha"])
    tests = [t for t in _names(options["tests"]) if t != "none"]
    report: dict[str, Any] = compare(
        before, after, variables, cluster=cluster, alpha=options["alpha"], multiplicity=options["multiplicity"],
        permutations=permutations, seed=options["seed"], device=options["device"], multivariate=tests,
        adjust_for=adjust, minimum_clusters=options["minimum"],
        multivariate_margins=_joint_margins(options["joint_margins"]),
    ).to_dict()  # fmt: skip
    report["in_one_table_only"] = {
        where: [str(c) for c in one.columns if c not in other.columns and c not in skipped]
        for where, one, other in (("baseline", before, after), ("new", after, before))
    }
    if options["score"]:
        report |= _of_scores(before, after, options)
    if headers:
        report["headers"] = header_drift(before, after, headers, cluster=cluster)
    return report


def _of_scores(before: pd.DataFrame, after: pd.DataFrame, options: dict[str, Any]) -> dict[str, Any]:
    """Return the kinds of shift where both cohorts have labels, else the performance expected without them."""
    from validation.shift.kinds import kinds_of_shift
    from validation.shift.unlabelled import estimate_performance

    label, score = options["label"], options["score"]
    if not label:
        raise UsageProblem("--score needs --label, the truth of the baseline.", code="SHF-001", where="--score")
    if label in after.columns and after[label].notna().any():
        kinds = kinds_of_shift(
            before, after, label=label, score=score, cluster=options["cluster"], alpha=options["alpha"],
            permutations=options["permutations"] or 999, seed=options["seed"],
        )  # fmt: skip
        return {"kinds_of_shift": kinds}
    found = estimate_performance(
        before, after, label=label, score=score, threshold=options["threshold"], cluster=options["cluster"],
        level=1 - options["alpha"], seed=options["seed"],
    )  # fmt: skip
    return {"performance_without_labels": found}


def _read(text: str, texts: list[str]) -> pd.DataFrame:
    from validation.shift.inputs import table_of_arrays, table_of_images
    from validation.tables import read_table

    cut = text.lower().find(".npz")
    if cut >= 0 and text[cut + 4 : cut + 5] in ("", ":"):
        return table_of_arrays(Path(text[: cut + 4]), text[cut + 5 :] or None)
    path = Path(text)
    if path.is_dir():
        return table_of_images(path)
    if path.suffix.lower() not in (".csv", ".parquet", ".pq"):
        raise DataProblem(
            "this is neither a table, nor an NPZ archive, nor a folder of images.",
            code="SHF-007",
            where=text,
            action="Give CSV, Parquet, NPZ or a folder.",
        )
    return read_table(path, text_columns=texts)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(t.strip() for t in text.split(",") if t.strip()))


def _variables(
    before: pd.DataFrame, after: pd.DataFrame, names: list[str], statistics: tuple[str, ...], margins: tuple[str, ...]
) -> list[ShiftVariable]:
    from validation.protocol.plan_schemas import ShiftVariable
    from validation.shift.columns import as_texts, default_variables

    for name in names:
        for where, frame in (("baseline", before), ("new", after)):
            as_texts(frame, name, where)  # refuses a column that is absent
    chosen = {v.column: v for v in default_variables(before, after, names)}
    for option, given in (("statistic", statistics), ("margin", margins)):
        for text in sorted(given, key=lambda t: "=" in t):  # what is said for all comes first
            name, _, value = text.rpartition("=")
            if name and name not in chosen:
                raise UsageProblem(f"{name!r} is not compared.", code="SHF-008", where=f"--{option}")
            for column in [name] if name else names:
                update = {option: _margin(value) if option == "margin" else _statistic(value)}
                chosen[column] = ShiftVariable(**(chosen[column].model_dump() | update))
    return list(chosen.values())


def _statistic(text: str) -> str:
    if text not in _STATISTICS:
        raise UsageProblem(
            f"there is no statistic named {text!r}.", code="SHF-008", where="--statistic",
            action=f"Use {', '.join(_STATISTICS)}.",
        )  # fmt: skip
    return text


def _joint_margins(given: tuple[str, ...]) -> dict[str, float]:
    margins = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise UsageProblem(f"{text!r} is not TEST=MARGIN.", code="SHF-008", where="--joint-margin")
        margins[name.strip()] = _margin(value)
    return margins


def _margin(text: str) -> float:
    import math

    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not (margin > 0 and math.isfinite(margin)):
        raise UsageProblem(f"a margin is a positive number, not {text!r}.", code="SHF-008", where="--margin")
    return margin


def lines(report: dict[str, Any]) -> list[str]:
    """Return the report as lines of text."""
    text = []
    for title, part in (("variables", report["variables"]), ("jointly", report["multivariate"])):
        if part:
            text.append(f"\n{title}")
        for name, c in part.items():
            missing = (
                f", missing {c['missing_baseline']} and {c['missing_new']}"
                if c["missing_baseline"] or c["missing_new"]
                else ""
            )
            text.append(
                f"  {name} ({c['statistic']}; n {c['n_baseline']} and {c['n_new']}{missing}): {_effect(c['effect'])}"
            )
            text.append(f"    {c['finding']}. {c['reason']}")
    for where, names in report.get("in_one_table_only", {}).items():
        if names:
            text.append(f"\nonly in the {where} table, not compared: {', '.join(names)}")
    kinds = report.get("kinds_of_shift")
    if kinds:
        text.append(f"\nkind of shift: {kinds['reading']}")
        for name, k in kinds["kinds"].items():
            p = "none" if k["p_adjusted"] is None else f"{k['p_adjusted']:.3g}"
            text.append(f"  {name}: {_effect(k['effect'])}, adjusted p {p}")
    for method, found in report.get("performance_without_labels", {}).get("methods", {}).items():
        text.append(f"\nperformance without labels, {method.replace('_', ' ')}. Assumes: {found['assumption']}")
        text += [f"  {m}: {_effect(e)}" for m, e in found["metrics"].items()]
    changed = [h for h in report.get("headers", []) if h["status"] != "kept"]
    if changed:
        text.append("\nheaders")
        text += [
            f"  {h['column']}: {h['value']} is {h['status']} ({h['n_baseline']} images before, {h['n_new']} now)"
            for h in changed
        ]
    return text


def _effect(e: dict[str, Any]) -> str:
    if e["value"] is None:
        return f"none ({e['reason']})"
    unit = "" if e["unit"] == "1" else f" {e['unit']}"
    if e["lower"] is None or e["upper"] is None:
        return f"{e['value']:.4g}{unit}"
    return f"{e['value']:.4g}{unit} [{e['lower']:.4g}, {e['upper']:.4g}]"
