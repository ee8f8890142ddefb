"""Phantom constancy: is a phantom still measured as it was, scan by scan where the scans match.

Scans match when both runs hold a case of the same name of the same phantom session (same case id and same pseudonym):
then the mean of the paired differences is judged. Otherwise the means of two independent sets of scans are compared
(MOVER on two t intervals, which is Welch's comparison in all but the degrees of freedom). Either way two one-sided
tests against the tolerance: a change is only excluded by an interval that lies inside it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from validation import metrics
from validation.change.baseline import RunRecord
from validation.change.difference import mover
from validation.change.triggers import revalidation_plan
from validation.estimate import Estimate
from validation.protocol.change_schema import Constancy
from validation.protocol.expressions import select
from validation.registry import Kind, Metric, get_metric
from validation.statistics.hypotheses import judge
from validation.statistics.means import mean
from validation.study.samples import arm_values, endpoint_cases

ALPHA = 0.025


def constancy(new: RunRecord, baseline: RunRecord) -> dict[str, Any]:
    """Return every constancy check: estimate of the change, verdict, means, and how scans were matched."""
    metrics.load()
    return {check.id: _check(check, new, baseline) for check in revalidation_plan(new.protocol).constancy}


def _check(check: Constancy, new: RunRecord, baseline: RunRecord) -> dict[str, Any]:
    endpoint = new.protocol.endpoint(check.endpoint)
    metric: Metric = get_metric(endpoint.metric.name)
    if metric.kind is not Kind.CASE:
        reason = f"the metric of {check.endpoint} gives several values per scan, so it has no single change"
        estimate = Estimate.insufficient(reason, n=0, unit=metric.unit, method="phantom constancy")
        now = before = pd.DataFrame({"value": [], "cluster": []})
        paired = False
    else:
        now, before = (_values(check, run) for run in (new, baseline))
        both = now.index.intersection(before.index)
        both = both[(now.loc[both, "cluster"] == before.loc[both, "cluster"]).to_numpy(bool)]
        paired = len(both) >= 2 and len(both) == len(now)
        estimate = Estimate.insufficient("not computed", n=0, unit=metric.unit, method="phantom constancy")
    cache: dict[float, Estimate] = {}

    def change(level: float) -> Estimate:
        if metric.kind is not Kind.CASE:
            return estimate
        if level not in cache:
            cache[level] = _change(now, before, both if paired else None, level, metric.unit)
        return cache[level]

    found, verdict = judge(change, hypothesis="equivalence", margin=check.tolerance, alpha=ALPHA)
    levels = {
        "new": mean(now["value"].to_numpy(float), clusters=now["cluster"].to_numpy(), unit=metric.unit),
        "baseline": mean(before["value"].to_numpy(float), clusters=before["cluster"].to_numpy(), unit=metric.unit),
    }
    return {
        "title": endpoint.title,
        "metric_key": endpoint.metric.key(),
        "arm": check.arm,
        "margin": check.tolerance,
        "unit": metric.unit,
        "rationale": check.rationale,
        "estimate": found.to_dict(),
        "verdict": verdict.to_dict(),
        "arms": {name: part.to_dict() for name, part in levels.items()},
        "matched": "same scans" if paired else "independent scans",
        "n_missing": int(now["value"].isna().sum()),
    }


def _values(check: Constancy, run: RunRecord) -> pd.DataFrame:
    endpoint = run.protocol.endpoint(check.endpoint)
    cases = endpoint_cases(endpoint, run.cases)
    if check.cases is not None:
        cases = cases[select(cases, check.cases, where=f"constancy[{check.id}].cases")]
    table = arm_values(run.measurements, endpoint.metric.key(), check.arm).reindex(cases.index)
    values = table[""] if "" in table.columns else pd.Series(float("nan"), index=cases.index)
    return pd.DataFrame({"value": values, "cluster": cases["cluster"]}).sort_index()


def _change(now: pd.DataFrame, before: pd.DataFrame, both: Any, level: float, unit: str) -> Estimate:
    if both is not None:
        difference = now.loc[both, "value"] - before.loc[both, "value"]
        clusters = now.loc[both, "cluster"].to_numpy()
        return mean(
            difference.to_numpy(float), clusters=clusters, level=level, unit=unit, method="mean paired change of scans"
        )
    sides = [
        mean(part["value"].to_numpy(float), clusters=part["cluster"].to_numpy(), level=level, unit=unit)
        for part in (now, before)
    ]
    return mover(sides[0], sides[1])
