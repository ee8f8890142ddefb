"""`validation fairness`: any metric by any attribute, and the gaps between groups. Never evidence by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from validation.errors import DataProblem, UsageProblem

if TYPE_CHECKING:
    import pandas as pd

STAMP = "not evidence"
LARGEST = 1e100  # beyond, squares overflow


@click.command("fairness")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--by", required=True, metavar="COL,COL", help="Attributes: demographic or of acquisition.")
@click.option("--label", metavar="COL", help="Truth, 0 or 1.")
@click.option("--score", metavar="COL", help="Score, or predicted probability.")
@click.option("--decision", metavar="COL", help="What the model decided, 0 or 1.")
@click.option("--threshold", type=float, help="Decide from the score: positive at or above this value.")
@click.option("--value", metavar="COL", help="Numeric endpoint, for the metric `mean`.")
@click.option(
    "--metric", "metrics", required=True, metavar="NAME,NAME", help="fpr,fnr,sensitivity,ppv,auc,ece,mean,..."
)
@click.option("--intersections", is_flag=True, help="Also every combination of attributes, also empty ones.")
@click.option("--cluster", metavar="COL", help="Patient; without it every row counts as a patient.")
@click.option("--levels", multiple=True, metavar="COL=A,B,C", help="Declared levels, so that absent ones are listed.")
@click.option("--bands", multiple=True, metavar="COL=20,40,60", help="Make bands of a number.")
@click.option(
    "--reference", default="rest", show_default=True, metavar="WHAT", help="rest, overall, best, or COL=LEVEL."
)
@click.option(
    "--margin", "margins", multiple=True, metavar="[METRIC=]M", help="Largest acceptable loss; none built in."
)
@click.option("--minimum", type=click.IntRange(1), default=10, show_default=True, help="Patients a group needs.")
@click.option("--alpha", type=click.FloatRange(0, 0.5, min_open=True, max_open=True), default=0.05, show_default=True)
@click.option("--suppress", type=click.IntRange(2), metavar="K", help="Hide cells with fewer than K patients.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(table: Path, as_json: bool, suppress: int | None, **options: Any) -> None:
    """Estimate metrics in every group, with intervals that hold for small ones, and the gaps between groups.

    TABLE is CSV, Parquet, or NPZ with one array per column.

    All gaps of one metric are one family with simultaneous intervals. A group with fewer patients than --minimum is
    listed and its finding is inconclusive. With --margin the worst group is judged for non-inferiority.

    Example: validation fairness scores.csv --label truth --decision called --by sex,age_band --intersections
    --metric fpr,fnr --cluster patient --margin 0.05
    """
    report = fairness(table, **options)
    if suppress is not None:
        from validation.fairness.export import suppress as hide

        report = hide(report, suppress)
    if as_json:
        click.echo(json.dumps({"exploratory": STAMP, **report}, indent=2, allow_nan=False))
        return
    click.echo(f"exploratory, {STAMP}")
    for line in lines(report):
        click.echo(line)


def fairness(table: Path, **options: Any) -> dict[str, Any]:
    """Read the table and return the report with its criteria; options as on the command line.

    Raises
    ------
    UsageProblem, DataProblem
        If a column, level, margin or value is wrong; nothing is estimated then.
    """
    from validation.fairness.cells import bands
    from validation.fairness.criteria import criteria
    from validation.fairness.measures import canonical, measures
    from validation.fairness.report import fairness_report
    from validation.protocol.plan_schemas import FairnessPlan
    from validation.shift.inputs import table_of_arrays
    from validation.tables import read_table

    roles = {role: options.get(role) for role in ("label", "score", "decision", "value", "cluster")}
    if table.suffix.lower() == ".npz":
        frame = table_of_arrays(table)
    else:
        frame = read_table(table, text_columns=[roles["cluster"]] if roles["cluster"] else [])
    for role, column in roles.items():
        if column is not None and column not in frame.columns:
            raise _no_column(column, f"--{role}", frame)
    for text in options["bands"]:
        name, edges = _pair(text, "--bands")
        if name not in frame.columns:
            raise _no_column(name, "--bands", frame)
        frame[name] = bands(frame[name], [_number(e, "--bands") for e in edges])
    columns = {
        role: None if name is None else _numeric(frame, name, role) for role, name in roles.items() if role != "cluster"
    }
    if options.get("threshold") is not None:
        _number(str(options["threshold"]), "--threshold")
        if columns["score"] is None or columns["decision"] is not None:
            raise UsageProblem(
                "--threshold needs --score and excludes --decision.", code="FAIR-002", where="--threshold"
            )
        score = columns["score"]
        columns["decision"] = (score >= options["threshold"]).astype(float).where(score.notna())
    names = [canonical(n.strip()) for n in options["metrics"].split(",") if n.strip()]
    clusters = frame[roles["cluster"]].to_numpy() if roles["cluster"] else None
    arrays = {role: None if c is None else c.to_numpy(float) for role, c in columns.items()}
    chosen = measures(
        names,
        label=arrays["label"],
        score=arrays["score"],
        decision=arrays["decision"],
        value=arrays["value"],
        clusters=clusters,
    )
    margins, everywhere = _margins(options["margins"], names)
    levels = dict(_pair(text, "--levels") for text in options["levels"])
    settings = {
        "attributes": [a.strip() for a in options["by"].split(",") if a.strip()],
        "intersections": options["intersections"],
        "margin": everywhere,
        "minimum_clusters": max(2, options["minimum"]),
    }

    def make(alpha: float) -> dict[str, Any]:
        plan = FairnessPlan(**settings, alpha=alpha).model_copy(update={"minimum_clusters": options["minimum"]})
        return fairness_report(
            frame,
            plan,
            chosen,
            cluster=roles["cluster"],
            reference=options["reference"],
            margins=margins,
            levels=levels,
        )

    report = make(options["alpha"])
    joint = make(options["alpha"] / 2) if {"sensitivity", "fpr"} <= set(names) else None
    report["criteria"] = criteria(report, joint)
    return report


def _numeric(frame: pd.DataFrame, name: str, role: str) -> pd.Series[Any]:
    import pandas as pd

    column = pd.to_numeric(frame[name], errors="coerce")
    if (column.isna() & frame[name].notna()).any():
        raise DataProblem(f"the {role} column {name!r} holds text.", code="FAIR-005", where=f"--{role}")
    numbers = column.astype("float64")
    if (numbers.abs() > LARGEST).any():
        raise DataProblem(
            f"the {role} column {name!r} holds infinite values, or values above {LARGEST:g}.",
            code="FAIR-005",
            where=f"--{role}",
            action="Leave the cell empty where the value is not known.",
        )
    return numbers


def _margins(given: tuple[str, ...], names: list[str]) -> tuple[dict[str, float], float | None]:
    from validation.fairness.measures import canonical

    margins: dict[str, float] = {}
    everywhere: float | None = None
    for text in given:
        name, _, value = text.rpartition("=")
        margin = _number(value, "--margin")
        if not margin > 0:
            raise UsageProblem("a margin is a positive number.", code="FAIR-007", where="--margin")
        if not name:
            everywhere = margin
        elif canonical(name) in names:
            margins[canonical(name)] = margin
        else:
            raise UsageProblem(f"{name!r} has a margin but is not estimated.", code="FAIR-007", where="--margin")
    return margins, everywhere


def _pair(text: str, option: str) -> tuple[str, list[str]]:
    name, separator, values = text.partition("=")
    parts = [v.strip() for v in values.split(",") if v.strip()]
    if not separator or not name.strip() or not parts:
        raise UsageProblem(f"{option} is not COLUMN=VALUE,VALUE.", code="FAIR-007", where=option)
    return name.strip(), parts


def _number(text: str, option: str) -> float:
    import math

    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageProblem(f"{text!r} is not a number.", code="FAIR-007", where=option)
    return value


def _no_column(name: str, option: str, frame: pd.DataFrame) -> DataProblem:
    from difflib import get_close_matches

    near = get_close_matches(name, map(str, frame.columns), n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Its columns are {', '.join(map(str, frame.columns[:20]))}."
    return DataProblem(f"the table has no column {name!r}.", code="FAIR-003", where=option, action=hint)


def lines(report: dict[str, Any]) -> list[str]:
    """Return the report as lines of text: cells, ranges, worst group."""
    text = []
    for name in dict.fromkeys(row["measure"] for row in report["cells"]):
        text.append(f"\n{name}")
        gaps = {g["name"]: g for g in report["gaps"] if g["measure"] == name}
        for row in (r for r in report["cells"] if r["measure"] == name):
            gap = gaps.get(row["name"])
            versus = f"; gap to {gap['reference']} {_interval(gap['estimate'])}" if gap else ""
            counts = f"n {_count(row['n'])}, patients {_count(row['n_clusters'])}"
            text.append(
                f"  {row['name']}: {_interval(row['estimate'])} ({counts}){versus}: {row['finding']}. {row['reason']}"
            )
        for wide in (r for r in report["ranges"] if r["measure"] == name):
            text.append(f"  range over {wide['attribute']}: {_interval(wide['difference'])}")
        verdict = report["worst_group"].get(name)
        if verdict:
            text.append(f"  worst group: {verdict['outcome']}. {verdict['reason']}")
    for attribute, missing in report["missing"].items():
        if missing:
            text.append(f"\n{missing} cases have no {attribute} and are in none of its groups.")
    return text


def _count(n: int | None) -> str:
    return "suppressed" if n is None else str(n)


def _interval(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "suppressed"
    if estimate["value"] is None:
        return f"none ({estimate['reason']})"
    if estimate["lower"] is None or estimate["upper"] is None:
        return f"{estimate['value']:.4g} (no interval: {estimate['reason']})"
    return f"{estimate['value']:.4g} [{estimate['lower']:.4g}, {estimate['upper']:.4g}]"
