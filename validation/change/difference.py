r"""How far an endpoint has moved between two runs, with an interval, judged against a release limit.

**Other cases** (a new cohort): the difference of two independent estimates by the method of variance estimates
recovery (MOVER, Zou and Donner 2008, doi:10.1002/sim.3095). With estimates :math:`\hat\theta_1, \hat\theta_0` and their
limits :math:`l_i, u_i` at the same level, the limits of :math:`\hat\theta_1 - \hat\theta_0` are

.. math:: \hat d - \sqrt{(\hat\theta_1-l_1)^2 + (u_0-\hat\theta_0)^2},\quad
          \hat d + \sqrt{(u_1-\hat\theta_1)^2 + (\hat\theta_0-l_0)^2}.

It takes any estimator with an interval (means, ratios, areas), and keeps the clustering that each interval already has.

**The same cases** (a new model on the same cohort): for means and mean differences the values are paired case by case,
and the mean of the paired differences has a cluster-robust t interval. For other summaries MOVER is used as for
independent samples, which is wide, not narrow, when the two runs are positively correlated, as they are on the same
cases; the method says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from validation import metrics
from validation.change.baseline import RunRecord
from validation.change.triggers import revalidation_plan
from validation.estimate import Estimate, Outcome, Verdict
from validation.protocol.endpoint_schema import Endpoint
from validation.registry import Direction, Metric, Summary
from validation.statistics.hypotheses import judge
from validation.statistics.means import mean
from validation.statistics.sample import Sample
from validation.study.endpoints import check_endpoint
from validation.study.samples import build_sample, endpoint_cases

PAIRABLE = {"mean", "paired_mean_difference", "bootstrap_mean", "bootstrap_mean_difference"}
ASSUMED = "margin of the protocol's own hypothesis"


def mover(new: Estimate, baseline: Estimate) -> Estimate:
    """Return ``new - baseline`` for two independent estimates at one level, with the MOVER interval.

    >>> a = Estimate(value=5.0, lower=4.0, upper=6.0, method="t", n=10, unit="HU")
    >>> b = Estimate(value=3.0, lower=2.0, upper=4.0, method="t", n=10, unit="HU")
    >>> d = mover(a, b)
    >>> d.value, round(d.lower, 3), round(d.upper, 3)
    (2.0, 0.586, 3.414)
    """
    n, clusters = new.n + baseline.n, (new.n_clusters or new.n) + (baseline.n_clusters or baseline.n)
    method = f"difference of independent estimates, MOVER ({new.method})"
    shared: dict[str, Any] = {"n": n, "unit": new.unit, "method": method, "level": new.level, "n_clusters": clusters}
    for name, part in (("new run", new), ("baseline", baseline)):
        if part.value is None:
            return Estimate.insufficient(f"{name}: {part.reason}", **shared)
    value = _known(new.value) - _known(baseline.value)
    limits = (new.lower, new.upper, baseline.lower, baseline.upper)
    if any(limit is None for limit in limits):
        reason = next((p.reason for p in (new, baseline) if p.reason), "an interval is unbounded at this level")
        return Estimate(value=value, lower=None, upper=None, reason=reason, **shared)
    l1, u1, l0, u0 = map(_known, limits)
    lower = value - math.hypot(_known(new.value) - l1, u0 - _known(baseline.value))
    upper = value + math.hypot(u1 - _known(new.value), _known(baseline.value) - l0)
    return Estimate(value=value, lower=lower, upper=upper, **shared)


def endpoint_difference(endpoint: Endpoint, new: RunRecord, baseline: RunRecord, *, paired: bool) -> dict[str, Any]:
    """Return how far an endpoint has moved and whether it stays inside its release limit.

    Parameters
    ----------
    endpoint
        An endpoint of the protocol that both runs were judged by.
    new, baseline
        The runs.
    paired
        Whether both runs are on the same cohort.

    Returns
    -------
    dict
        ``estimate`` (of new minus baseline), ``verdict``, ``limit`` (margin, test, its source), ``hypothesis``,
        ``unit``. An endpoint without a release limit has the hypothesis ``descriptive``.
    """
    metrics.load()
    metric, summary = check_endpoint(endpoint)
    limit = release_limit(endpoint, new)
    sides = [_side(endpoint, metric, summary, run) for run in (new, baseline)]
    pairs = _pairs(endpoint, metric, new, baseline) if paired and summary.name in PAIRABLE else None
    unit = metric.unit if summary.unit == "metric" else summary.unit
    cache: dict[float, Estimate] = {}

    def difference(level: float) -> Estimate:
        if level not in cache:
            if pairs is not None:
                cache[level] = mean(
                    pairs[0], clusters=pairs[1], level=level, unit=unit, method="mean paired difference of two runs"
                )
            else:
                cache[level] = _labelled(mover(sides[0](level), sides[1](level)), paired)
        return cache[level]

    alpha = endpoint.hypothesis.alpha
    estimate, verdict = judge(
        difference,
        hypothesis=limit["test"],
        margin=limit["margin"],
        alpha=alpha,
        better=_better(metric, summary, endpoint),
    )
    verdict = _identical(estimate, verdict, limit)
    return {
        "title": endpoint.title,
        "role": endpoint.role,
        "unit": unit,
        "direction": (summary.direction or metric.direction).value,
        "summary": "mean",  # of differences: zero means no difference, also for ratios
        "hypothesis": {
            "type": limit["test"], "margin": limit["margin"], "lower": None, "upper": None, "alpha": alpha,
            "better": _better(metric, summary, endpoint), "unit": unit,
        },
        "estimate": estimate.to_dict(),
        "verdict": verdict.to_dict(),
        "limit": limit,
        "paired": pairs is not None,
    }  # fmt: skip


def release_limit(endpoint: Endpoint, run: RunRecord) -> dict[str, Any]:
    """Return the release limit of an endpoint: the declared one, else the margin of its own hypothesis."""
    for declared in revalidation_plan(run.protocol).release_limits:
        if declared.endpoint == endpoint.id:
            return {"test": declared.test, "margin": declared.margin, "source": declared.rationale}
    hypothesis = endpoint.hypothesis
    if hypothesis.type in ("non_inferiority", "equivalence") and hypothesis.margin is not None:
        return {"test": hypothesis.type, "margin": hypothesis.margin, "source": ASSUMED}
    return {"test": "descriptive", "margin": None, "source": "no release limit declared; reported only"}


def _side(endpoint: Endpoint, metric: Metric, summary: Summary, run: RunRecord) -> Callable[[float], Estimate]:
    sample = build_sample(endpoint, metric, endpoint_cases(endpoint, run.cases), run.measurements)
    parameters = {k: v for k, v in endpoint.summary_parameters.items() if k != "label"}
    unit = metric.unit if summary.unit == "metric" else summary.unit

    def estimate(level: float) -> Estimate:
        found: Estimate = summary.function(
            sample, level=level, unit=unit, seed=run.protocol.execution.seed, **parameters
        )
        return found

    return estimate


def _pairs(
    endpoint: Endpoint, metric: Metric, new: RunRecord, baseline: RunRecord
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the paired differences of an endpoint's contrast and the clusters of the cases that both runs hold."""
    parts = []
    for run in (new, baseline):
        cases = endpoint_cases(endpoint, run.cases).sort_index()
        sample: Sample = build_sample(endpoint, metric, cases, run.measurements)
        values = sample.values if sample.comparator is None else sample.values - sample.comparator
        parts.append(pd.Series(values, index=cases.index))
    both = parts[0].index.intersection(parts[1].index)
    clusters = new.cases.loc[both, "cluster"]
    return (parts[0][both] - parts[1][both]).to_numpy(float), clusters.to_numpy()


def _identical(estimate: Estimate, verdict: Verdict, limit: dict[str, Any]) -> Verdict:
    """Two runs whose every paired value agrees differ by exactly nothing: no interval is needed to say so."""
    if verdict.hypothesis == "descriptive" or estimate.value != 0.0 or estimate.lower is not None or estimate.n < 2:
        return verdict
    if "paired" not in estimate.method:
        return verdict
    return Verdict(
        outcome=Outcome.PASS,
        reason=f"All {estimate.n} cases have the same value in both runs.",
        hypothesis=verdict.hypothesis,
        margin=limit["margin"],
        alpha=verdict.alpha,
    )


def _labelled(estimate: Estimate, paired: bool) -> Estimate:
    if not paired:
        return estimate
    record = estimate.to_dict()
    record["method"] = estimate.method.replace(
        "difference of independent estimates, MOVER", "difference on the same cases, MOVER without their correlation"
    )
    return Estimate.from_dict(record)


def _better(metric: Metric, summary: Summary, endpoint: Endpoint) -> str | None:
    direction = summary.direction or metric.direction
    return {Direction.HIGHER: "higher", Direction.LOWER: "lower"}.get(direction) or endpoint.hypothesis.better


def _known(value: float | None) -> float:
    if value is None:
        raise ValueError("a limit that was checked is missing")
    return value
