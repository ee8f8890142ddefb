"""What stands behind a verdict: subgroups, missing data, worst cases, sampler variance, curves, sample size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from validation.estimate import Estimate, Outcome, Verdict
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.schema import Protocol
from validation.registry import Direction, Metric
from validation.statistics import missing_data as missing
from validation.statistics.means import mean
from validation.statistics.sample import Sample
from validation.statistics.subgroups import poolability
from validation.study.samples import arm_values, within_case_sd

Decide = Callable[[Sample, int, str], tuple[Estimate, Verdict]]
WORST = 5
NOT_RECORDED = "not recorded"


def count_missing(sample: Sample) -> int:
    """Return how many cases of an endpoint have no usable value (in either arm)."""
    return int((~usable(sample)).sum())


def usable(sample: Sample) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which cases have every value that the endpoint needs."""
    scalar = sample.components is None
    parts = (sample.values, sample.comparator) if scalar else (sample.components, sample.comparator_components)
    ok = np.ones(sample.n, dtype=bool)
    for part in parts:
        if part is not None:
            finite = np.isfinite(part)
            if finite.ndim == 2:
                finite = np.asarray(finite.any(axis=1) if sample.ragged else finite.all(axis=1))
            ok &= finite
    if sample.labels is not None:
        ok &= np.isfinite(sample.labels)
    return ok


def subgroups(
    protocol: Protocol,
    columns: Sequence[str],
    cases: pd.DataFrame,
    sample: Sample,
    decide: Decide,
    estimator: Callable[[Sample], Estimate],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the estimate of every declared cell, the empty ones included, and the interaction test per column.

    A subgroup verdict is supportive: it is judged against the same margin, but no error is spent on it and it never
    changes the proposal. A cell with fewer clusters than ``minimum_per_subgroup`` is inconclusive.
    """
    cells: dict[str, Any] = {}
    tests: dict[str, Any] = {}
    minimum = protocol.population.minimum_per_subgroup
    for column in columns:
        if column not in cases.columns:
            continue
        levels = cases[column].astype("string").fillna(NOT_RECORDED).to_numpy(str)
        declared = {str(level) for level in protocol.population.target.get(column, {})}
        if len({*levels, *declared}) == 1 and not declared:
            continue  # one level and none other expected: the cell would repeat the whole
        cells[column] = {}
        for level in sorted({*levels, *declared}, key=_as_number):
            part = sample.subset(levels == level)
            estimate, verdict = decide(part, minimum, "minimum_per_subgroup")
            status = "descriptive" if verdict.hypothesis == "descriptive" else verdict.outcome.value
            reason = verdict.reason if part.n else "No case of this level in the cohort."
            cells[column][level] = {"estimate": estimate.to_dict(), "status": status, "reason": reason}
        known = np.where(levels == NOT_RECORDED, "", levels)
        pooled = poolability(estimator, sample, known)
        tests[column] = pooled.heterogeneity.to_dict() | {
            "between_sd": pooled.between_sd,
            "left_out": {level: part.to_dict() for level, part in pooled.left_out.items()},
        }
    return cells, tests


def missing_data(
    sample: Sample,
    endpoint: Endpoint,
    better: str | None,
    decide: Callable[[Sample], tuple[Estimate, Verdict]],
    seed: int,
) -> dict[str, Any]:
    """Return what missing values could change: the worst case, and the shift that would overturn a pass.

    Without missing values, or for an equivalence (which has no worse direction), there is nothing to say.
    """
    if better not in ("higher", "lower") or not count_missing(sample):
        return {}
    direction: missing.Better = "higher" if better == "higher" else "lower"
    found: dict[str, Any] = {}
    filled = missing.worst_case(sample, endpoint.summary, direction, endpoint.summary_parameters)
    if filled is not None:
        estimate, verdict = decide(filled)
        found["worst_case"] = {"estimate": estimate.to_dict(), "outcome": verdict.outcome.value}
    if sample.components is None and decide(sample)[1].outcome is Outcome.PASS:
        point = missing.tipping_point(
            lambda s: decide(s)[1].outcome is Outcome.PASS,
            sample,
            direction,
            paired=endpoint.comparator != "none",
            seed=seed,
            scores=endpoint.summary.startswith("auc"),
        )
        found["tipping_point"] = {"shift": point.shift, "reason": point.reason}
    return found


def worst_cases(sample: Sample, case_ids: list[str], metric: Metric) -> list[dict[str, Any]]:
    """Return the cases with the worst values (against the comparator, where there is one), worst first."""
    if sample.components is not None:
        return []
    score = sample.values if sample.comparator is None else sample.values - sample.comparator
    if metric.direction is Direction.ZERO:
        badness = np.abs(score)
    elif metric.direction is Direction.ONE:
        badness = np.abs(score - 1) if sample.comparator is None else np.abs(score)
    elif metric.direction is Direction.HIGHER:
        badness = -score
    else:
        badness = score
    order = np.argsort(np.where(np.isfinite(badness), -badness, np.inf), kind="stable")
    listed = [i for i in order if np.isfinite(badness[i])][:WORST]
    return [
        {
            "case_id": case_ids[i],
            "value": float(sample.values[i]),
            "comparator": None if sample.comparator is None else float(sample.comparator[i]),
        }
        for i in listed
    ]


def sampler(endpoint: Endpoint, metric: Metric, cases: pd.DataFrame, measurements: pd.DataFrame) -> dict[str, Any]:
    """Return the mean over cases of the standard deviation between draws of a stochastic model."""
    rows = measurements[measurements["case_id"].isin(cases.index)]
    spread, ids = within_case_sd(rows, endpoint.metric.key(), endpoint.pick.component)
    clusters = cases.loc[ids, "cluster"].to_numpy()
    return {"within_case_sd": mean(spread, clusters=clusters, unit=metric.unit).to_dict()}


def components(endpoint: Endpoint, metric: Metric, cases: pd.DataFrame, measurements: pd.DataFrame) -> dict[str, Any]:
    """Return what a vector metric shows beside its endpoint.

    Where components are numbers (frequencies): ``curves``, the mean curve of each arm with pointwise intervals, and
    ``curves_by``, the same for each level of the columns that the endpoint is reported by. Otherwise ``components``:
    the mean of each component in each arm.
    """
    rows = measurements[measurements["case_id"].isin(cases.index)]
    arms = ["output"] + ([endpoint.comparator] if endpoint.comparator != "none" else [])
    tables = {arm: arm_values(rows, endpoint.metric.key(), arm).drop(columns="", errors="ignore") for arm in arms}
    names = list(dict.fromkeys(str(name) for table in tables.values() for name in table.columns))
    if not names:
        return {}
    if not all(_is_number(name) for name in names):
        return {
            "components": {
                name: {arm: _mean(tables[arm][name], cases, metric.unit).to_dict() for arm in arms} for name in names
            }
        }

    def drawn(chosen: pd.DataFrame) -> dict[str, Any]:
        return {arm: _curve(tables[arm][tables[arm].index.isin(chosen.index)], chosen, metric.unit) for arm in arms}

    found: dict[str, Any] = {
        "curves": drawn(cases),
        "curve_axes": {"x": metric.axis, "y": f"{metric.name} / {metric.unit}"},
    }
    by = endpoint.subgroups if isinstance(endpoint.subgroups, list) else []
    found["curves_by"] = {
        column: {
            level: drawn(cases[cases[column].astype("string") == level])
            for level in sorted(cases[column].dropna().astype("string").unique(), key=_as_number)
        }
        for column in by
        if column in cases.columns
    }
    return found


def _curve(table: pd.DataFrame, cases: pd.DataFrame, unit: str) -> list[dict[str, Any]]:
    points = []
    for name in table.columns:
        point = _mean(table[name], cases, unit)
        points.append({"x": float(name), "value": point.value, "lower": point.lower, "upper": point.upper})
    return sorted(points, key=lambda p: p["x"])


def _mean(column: pd.Series[Any], cases: pd.DataFrame, unit: str) -> Estimate:
    return mean(column.to_numpy(float), clusters=cases.loc[column.index, "cluster"].to_numpy(), unit=unit)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _as_number(level: str) -> tuple[int, float, str]:
    """Sort levels as numbers where they are numbers, before the others."""
    return (0, float(level), level) if _is_number(level) else (1, 0.0, level)
