"""Indicators after release: the value of each patient, the design of the chart, and what a period's values say.

Charts need independent values, so each patient gives one: the mean of its cases. A CUSUM is designed from the baseline
(target and spread of its patients) for the average run length that the protocol states; an e-process needs no spread
but a possible range fixed in advance; a Shewhart chart holds each value against the threshold itself.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from validation import metrics
from validation.change.baseline import RunRecord
from validation.errors import DataProblem, ValidationProblem
from validation.estimate import Estimate
from validation.protocol.change_schema import Indicator
from validation.protocol.schema import Protocol
from validation.registry import Kind, get_metric
from validation.shift.anytime import monitor_mean
from validation.shift.monitoring import CusumPlan, Side, design_cusum, per_patient, run_cusum
from validation.statistics.means import mean
from validation.study.samples import build_sample, endpoint_cases

SHIFT = 1.0
"""The change, in standard deviations of the baseline, that a CUSUM is tuned to find."""
ALPHA = 0.05
TITLES = {"cusum": "CUSUM", "e_process": "e-process", "shewhart": "single values"}


def indicator_title(indicator: Indicator, protocol: Protocol) -> tuple[str, str]:
    """Return title and unit of an indicator."""
    if indicator.endpoint is None:
        return str(indicator.column).replace("_", " "), "1"
    endpoint = protocol.endpoint(indicator.endpoint)
    return endpoint.title, get_metric(endpoint.metric.name).unit


def values_of_run(indicator: Indicator, run: RunRecord) -> pd.DataFrame:
    """Return the values of an indicator in a run: columns ``value`` and ``cluster``, one row per case with a value.

    The value of an endpoint is its metric on the output, minus that on the comparator where it has one.

    Raises
    ------
    DataProblem
        CHG-020 if the run does not hold it: a vector metric, or a column that was not recorded.
    """
    metrics.load()
    if indicator.column is not None:
        if indicator.column not in run.cases.columns:
            raise _absent(indicator, f"the run did not record the column {indicator.column!r}")
        values = pd.to_numeric(run.cases[indicator.column], errors="coerce")
        frame = pd.DataFrame({"value": values, "cluster": run.cases["cluster"]})
        return frame.dropna(subset=["value"])
    endpoint = run.protocol.endpoint(str(indicator.endpoint))
    metric = get_metric(endpoint.metric.name)
    if metric.kind is not Kind.CASE:
        raise _absent(indicator, f"the metric of {endpoint.id} has no single value per case")
    cases = endpoint_cases(endpoint, run.cases).sort_index()
    sample = build_sample(endpoint, metric, cases, run.measurements)
    contrast = sample.values if sample.comparator is None else sample.values - sample.comparator
    frame = pd.DataFrame({"value": contrast, "cluster": sample.clusters}, index=cases.index)
    return frame.dropna(subset=["value"])


def values_of_table(indicator: Indicator, table: pd.DataFrame, cluster: str) -> pd.DataFrame:
    """Return the values of an indicator in a table: a column named as the indicator, endpoint or column.

    Raises
    ------
    DataProblem
        CHG-020 if no such column is there, or it holds something else than finite numbers and blanks.
    """
    names = [n for n in (indicator.id, indicator.endpoint, indicator.column) if n is not None and n in table.columns]
    if not names:
        raise _absent(indicator, "the table has no column of that name")
    stated = table[names[0]]
    values = pd.to_numeric(stated, errors="coerce")
    wrong = int((values.isna() & stated.notna()).sum()) + int(np.isinf(values.to_numpy(float, na_value=np.nan)).sum())
    if wrong:
        raise _absent(indicator, f"the column {names[0]!r} holds {wrong} cells that are not numbers")
    frame = pd.DataFrame({"value": values, "cluster": table[cluster].astype("string")})
    if frame["cluster"].isna().any():
        raise _absent(indicator, f"the column {cluster!r} has empty cells, so patients cannot be told apart")
    return frame.dropna(subset=["value"])


def design(indicator: Indicator, protocol: Protocol, baseline: RunRecord) -> dict[str, Any]:
    """Return the chart of an indicator, fixed from the baseline, or why there is none."""
    title, unit = indicator_title(indicator, protocol)
    fixed: dict[str, Any] = {
        "id": indicator.id, "title": title, "unit": unit, "chart": indicator.chart,
        "chart_title": TITLES[indicator.chart], "threshold": indicator.threshold, "direction": indicator.direction,
        "average_run_length": indicator.average_run_length, "target": None, "plan": None, "reason": "",
        "lowest": indicator.lowest, "highest": indicator.highest,
    }  # fmt: skip
    try:
        frame = values_of_run(indicator, baseline)
        values, _ = per_patient(frame["value"].tolist(), frame["cluster"].tolist())
        fixed["n_baseline"] = len(values)
        fixed["target"] = float(np.mean(values)) if len(values) else None
        if indicator.chart == "cusum":
            side: Side = "upper" if indicator.direction == "above" else "lower"
            plan = design_cusum(values, shift=SHIFT, arl=indicator.average_run_length, side=side)
            fixed["plan"] = asdict(plan)
        elif indicator.chart == "e_process" and indicator.lowest is None:
            fixed["reason"] = "an e-process needs the possible range of the values (`lowest`, `highest`)"
    except ValidationProblem as problem:
        fixed["reason"] = problem.what
    return fixed


def assess_period(fixed: dict[str, Any], history: list[list[float]], frame: pd.DataFrame) -> dict[str, Any]:
    """Return what a period's values of one indicator say, on a chart that goes on from the periods before.

    Parameters
    ----------
    fixed
        From :func:`design`.
    history
        Per patient values of the earlier periods, oldest first.
    frame
        Values and clusters of this period, in order of time.

    Returns
    -------
    dict
        ``fixed`` and ``values`` (one per patient), ``estimate`` of the period's mean, ``state`` (``within``, ``open``,
        ``beyond`` the threshold, or ``no data``), ``points`` (value and statistic, all periods), ``limit``, ``signal``
        (at any time so far) and ``new_signal``.
    """
    values: list[float] = []
    if len(frame):
        values = [float(v) for v in per_patient(frame["value"].tolist(), frame["cluster"].tolist())[0]]
    estimate = mean(frame["value"].to_numpy(float), clusters=frame["cluster"].to_numpy(), unit=fixed["unit"])
    before = [v for part in history for v in part]
    path, limit, alarm = _chart(fixed, [*before, *values])
    starts = list(np.cumsum([0, *(len(part) for part in history)]))
    return {
        **fixed,
        "values": values,
        "n_cases": len(frame),
        "n_patients": len(values),
        "estimate": estimate.to_dict(),
        "state": _state(estimate, fixed),
        "points": [{"value": v, "statistic": s} for v, s in zip([*before, *values], path, strict=True)] if path else [],
        "limit": limit,
        "limit_text": "" if limit is None else f"{limit:.3g}".replace("-", "\u2212"),
        "period_starts": [int(s) for s in starts],
        "signal": alarm is not None,
        "new_signal": alarm is not None and alarm >= len(before),
        "first_signal": None if alarm is None else alarm + 1,
    }


def _chart(fixed: dict[str, Any], values: list[float]) -> tuple[list[float], float | None, int | None]:
    """Return the path of the chart, its limit, and the index of the first alarm."""
    if fixed["reason"] or not values:
        return [], None, None
    above = fixed["direction"] == "above"
    if fixed["chart"] == "cusum":
        found = run_cusum(CusumPlan(**fixed["plan"]), values)
        return [float(v) for v in found["path"]], float(found["limit"]), found["alarm"]
    if fixed["chart"] == "shewhart":
        beyond = [i for i, v in enumerate(values) if (v > fixed["threshold"]) is above and v != fixed["threshold"]]
        return list(values), fixed["threshold"], beyond[0] if beyond else None
    low, high = fixed["lowest"], fixed["highest"]
    if min(values) < low or max(values) > high:
        raise DataProblem(
            f"{fixed['id']}: values lie outside the possible range {low:g} to {high:g} that the protocol fixed.",
            code="CHG-021",
            where=fixed["id"],
            why="The error of an e-process only holds inside a range fixed in advance.",
            action="Check the measurements; a wider range is an amendment of the protocol.",
        )
    found = monitor_mean(
        values, limit=fixed["threshold"], side="greater" if above else "less", lowest=low, highest=high, alpha=ALPHA
    )
    return [float(v) for v in found["e_process"]], float(found["threshold"]), found["alarm"]


def _state(estimate: Estimate, fixed: dict[str, Any]) -> str:
    if estimate.value is None or estimate.lower is None or estimate.upper is None:
        return "no data" if estimate.value is None else "open"
    low, high = (
        (estimate.lower, estimate.upper) if fixed["direction"] == "above" else (-estimate.upper, -estimate.lower)
    )
    threshold = fixed["threshold"] if fixed["direction"] == "above" else -fixed["threshold"]
    return "beyond" if low > threshold else "within" if high < threshold else "open"


def _absent(indicator: Indicator, what: str) -> DataProblem:
    return DataProblem(
        f"{indicator.id} cannot be followed: {what}.",
        code="CHG-020",
        where=indicator.id,
        why="An indicator without values would look like one without signals.",
        action="Name a column of the table as the indicator, its endpoint or its column.",
    )
