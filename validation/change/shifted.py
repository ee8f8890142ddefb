"""Shift between two runs: patients and settings, and what was measured on the images before the model saw them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from validation import metrics
from validation.change.baseline import RunRecord
from validation.errors import DataProblem
from validation.protocol.plan_schemas import ShiftVariable
from validation.registry import Kind, get_metric
from validation.shift.compare import compare, enough_permutations
from validation.study.samples import arm_values, endpoint_cases

ALPHA = 0.05


def shift_of_runs(new: RunRecord, baseline: RunRecord) -> dict[str, Any]:
    """Return the comparison of two runs: the variables of the protocol's shift plan, and measurements of the input arm.

    The input arm says whether the images changed; a difference found there, or among patients, explains a moved
    endpoint and does not excuse it. ``{"compared": False, "reason": ...}`` if nothing can be compared.
    """
    columns: dict[str, str] = {}
    frames = []
    for run in (new, baseline):
        measured, units = _inputs(run)
        columns |= units
        frames.append(run.cases.join(measured))
    plan = new.protocol.shift
    declared = [v for v in (plan.variables if plan else []) if all(v.column in f.columns for f in frames)]
    measured_columns = sorted(c for c in columns if all(c in f.columns for f in frames))
    variables = [*declared, *(ShiftVariable(column=c, statistic="ks") for c in measured_columns)]
    variables = [v for v in variables if all(f[v.column].notna().any() for f in frames)]
    if not variables:
        return {"compared": False, "reason": "no variable is recorded in both runs", "variables": {}}
    settings: dict[str, Any] = {
        "alpha": plan.alpha if plan else ALPHA,
        "multiplicity": plan.multiplicity if plan else "holm",
        "permutations": max(plan.permutations if plan else 999, enough_permutations(len(variables), ALPHA)),
        "seed": plan.seed if plan else 1,
    }
    try:
        report = compare(frames[1], frames[0], variables, cluster="cluster", units=columns, **settings)
    except DataProblem as problem:  # a column that cannot be compared must not undo what was measured
        return {"compared": False, "reason": problem.what, "variables": {}}
    return {"compared": True, "reason": ""} | report.to_dict()


def _inputs(run: RunRecord) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return one column per scalar metric that was measured on the input arm, and the unit of each."""
    metrics.load()
    found: dict[str, pd.Series[Any]] = {}
    units: dict[str, str] = {}
    for endpoint in run.protocol.endpoints:
        metric = get_metric(endpoint.metric.name)
        if metric.kind is not Kind.CASE or endpoint.comparator != "input":
            continue
        name = f"{endpoint.id}, before processing"
        table = arm_values(run.measurements, endpoint.metric.key(), "input")
        if "" in table.columns:
            found[name] = table[""].reindex(endpoint_cases(endpoint, run.cases).index)
            units[name] = metric.unit
    return pd.DataFrame(found, index=run.cases.index), units
