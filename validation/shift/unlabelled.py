"""Performance on new cases without their truth: two estimates, each right only under an assumption that it states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.shift import columns
from validation.shift.adjustment import propensity
from validation.shift.groups import Floats
from validation.shift.kinds import check_labels, check_scores, logit
from validation.statistics.clusters import group

METRICS = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "auc", "prevalence")
ASSUMPTIONS = {
    "calibration": (
        "A score means on the new cases what it means on the baseline: P(label | score) is unchanged. A concept shift, "
        "or a change of inputs that alters what a score means, is not seen by this estimate."
    ),
    "importance_weighting": (
        "P(label | the columns used for weighting and the score) is unchanged, and every kind of new case also occurs "
        "in the baseline. The weights come from a logistic regression; what it does not capture is not corrected."
    ),
}
_REPLICATES = 400
_MISFIT = {"calibration": 0.1, "importance_weighting": 0.25}


def estimate_performance(
    baseline: pd.DataFrame,
    new: pd.DataFrame,
    *,
    label: str,
    score: str,
    threshold: float = 0.5,
    metrics: Sequence[str] = ("accuracy", "sensitivity", "specificity", "auc"),
    covariates: Sequence[str] = (),
    cluster: str | None = None,
    level: float = 0.95,
    seed: int = 1,
) -> dict[str, Any]:
    r"""Estimate the performance on new cases from labelled baseline cases.

    ``calibration``: the probability of the label given the score is estimated on the baseline (logistic regression on
    the logit and its square), applied to the new scores, and expected counts of true and false positives give the
    metrics. ``importance_weighting``: baseline cases are weighted by the odds of being new given the score and
    ``covariates``, and the metrics computed with the weights; the effective number of cases :math:`(\sum w)^2/\sum
    w^2` is stated, and with fewer than 30 the estimate is insufficient.

    ``misfit`` says how far the baseline can stand for the new cases: for ``calibration`` the share of new scores
    outside the range of the baseline, at most 0.1; for ``importance_weighting`` the largest standardised difference
    of a column's mean between the weighted baseline and the new cases, at most 0.25. Beyond, the estimate is
    insufficient.

    Intervals: percentile bootstrap of patients of both cohorts, everything refitted. They hold only if the assumption
    does. This is a prediction for planning and for alarms; it is no evidence of performance.

    Returns
    -------
    dict
        ``methods``: per method ``assumption``, ``effective_cases``, ``misfit`` and ``metrics`` (estimates by name);
        ``settings``.

    Raises
    ------
    UsageProblem
        SHF-010 for an unknown metric.
    DataProblem
        SHF-001, SHF-002, SHF-009 for columns.

    References
    ----------
    Shimodaira 2000, doi:10.1016/S0378-3758(00)00115-4 (importance weighting); Garg et al. 2022, arXiv:2201.04234
    (limits of estimates without labels).
    """
    unknown = [m for m in metrics if m not in METRICS]
    if unknown:
        raise UsageProblem(f"there is no metric {unknown[0]!r}.", code="SHF-010", action=f"Use {', '.join(METRICS)}.")
    s = columns.number(baseline, new, score)
    check_scores(s[~np.isnan(s)], score)
    if label not in baseline.columns:
        raise DataProblem(f"the baseline table has no column {label!r}.", code="SHF-001", where="baseline")
    y = pd.to_numeric(baseline[label], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    check_labels(y[~np.isnan(y)], label)
    x = np.column_stack([logit(s), *(columns.number(baseline, new, c) for c in covariates)])
    n0 = len(baseline)
    keep = np.asarray(~np.isnan(x).any(axis=1))
    keep[:n0] &= ~np.isnan(y)
    old, fresh = np.flatnonzero(keep[:n0]), n0 + np.flatnonzero(keep[n0:])
    ids = [
        group(None if cluster is None else f[cluster].astype(str).to_numpy()[k], len(k)).codes
        for f, k in ((baseline, old), (new, fresh - n0))
    ]
    data = (y[old], s[old], x[old], s[fresh], x[fresh])
    runs = {"calibration": _calibrated, "importance_weighting": _weighted}
    rng = np.random.Generator(np.random.Philox(seed))
    replicates: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    enough = min(int(i.max(initial=-1)) + 1 for i in ids) >= 10 and 0 < data[0].sum() < len(old)
    if enough:
        members = [_members(i) for i in ids]
        for _ in range(_REPLICATES):
            a, b = (np.concatenate([m[k] for k in rng.integers(0, len(m), len(m))]) for m in members)
            part = (data[0][a], data[1][a], data[2][a], data[3][b], data[4][b])
            if 0 < part[0].sum() < len(part[0]):
                for name, run in runs.items():
                    replicates[name].append(run(*part, threshold)[0])
    result: dict[str, Any] = {}
    for name, run in runs.items():
        values, effective, misfit = run(*data, threshold) if enough else ({}, 0.0, 0.0)
        result[name] = {
            "assumption": ASSUMPTIONS[name],
            "effective_cases": round(effective, 1),
            "misfit": round(misfit, 4),
            "metrics": {
                m: _estimate(
                    m,
                    name,
                    values,
                    replicates[name],
                    effective,
                    misfit,
                    len(fresh),
                    int(ids[1].max(initial=-1)) + 1,
                    level,
                )
                for m in metrics
            },
        }
    settings = {"threshold": threshold, "covariates": list(covariates), "seed": seed, "replicates": _REPLICATES}
    return {"methods": result, "settings": settings}


def _members(codes: Any) -> list[Any]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def _estimate(
    metric: str,
    method: str,
    values: dict[str, float],
    replicates: list[dict[str, float]],
    effective: float,
    misfit: float,
    n: int,
    clusters: int,
    level: float,
) -> dict[str, Any]:
    label = f"{metric} without labels by {method.replace('_', ' ')}, percentile bootstrap of patients"
    value = values.get(metric, np.nan)
    draws = np.array([r[metric] for r in replicates])
    draws = np.sort(draws[np.isfinite(draws)])
    reason = ""
    if not values:
        reason = "fewer than ten patients in a cohort, or only one label in the baseline"
    elif effective < 30:
        reason = f"the weighted baseline is worth {effective:.0f} cases; at least 30 are needed"
    elif misfit > _MISFIT[method]:
        reason = f"the baseline does not reach the new cases (misfit {misfit:.2f}, at most {_MISFIT[method]})"
    elif not np.isfinite(value) or len(draws) < _REPLICATES / 2:
        reason = "the metric does not exist on these data"
    if reason:
        return Estimate.insufficient(reason, n=n, unit="1", method=label, level=level, n_clusters=clusters).to_dict()
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(
        value=float(value), lower=min(float(low), float(value)), upper=max(float(high), float(value)), method=label,
        n=n, unit="1", level=level, n_clusters=clusters,
    ).to_dict()  # fmt: skip


def _calibrated(
    y: Floats, s: Floats, x: Floats, s_new: Floats, x_new: Floats, threshold: float
) -> tuple[dict[str, float], float, float]:
    """Return expected metrics on the new cases from the probability of the label given the score."""
    centre, spread = x[:, 0].mean(), max(float(x[:, 0].std()), 1e-12)
    z, z_new = (x[:, 0] - centre) / spread, (x_new[:, 0] - centre) / spread
    low, high = z.min(), z.max()
    eta = _fit(
        np.column_stack([z, z**2]), y, np.column_stack([np.clip(z_new, low, high), np.clip(z_new, low, high) ** 2])
    )
    p = 1 / (1 + np.exp(-eta))
    outside = float(((z_new < low) | (z_new > high)).mean())
    return _metrics(p, np.ones(len(p)), s_new, threshold), float(len(y)), outside


def _weighted(
    y: Floats, s: Floats, x: Floats, s_new: Floats, x_new: Floats, threshold: float
) -> tuple[dict[str, float], float, float]:
    """Return metrics of the baseline cases weighted to look like the new ones."""
    both = np.concatenate([x, x_new])
    scaled = (both - both.mean(axis=0)) / np.maximum(both.std(axis=0), 1e-12)
    design = np.column_stack([scaled, scaled**2])
    eta = propensity(design, np.arange(len(both)) >= len(x))[: len(x)]
    w = np.exp(eta - eta.max())
    old, new = scaled[: len(x)], scaled[len(x) :]
    gaps = np.abs((w @ old) / w.sum() - new.mean(axis=0)) / np.maximum(new.std(axis=0), 1e-12)
    return _metrics(y, w, s, threshold), float(w.sum() ** 2 / (w**2).sum()), float(gaps.max())


def _fit(design: Floats, y: Floats, at: Floats) -> Floats:
    """Return the linear predictor of logistic regression with a slight ridge (1e-3), at new columns."""
    x = np.column_stack([np.ones(len(design)), design])
    penalty = 1e-3 * np.diag(np.r_[0.0, np.ones(design.shape[1])])
    beta = np.zeros(x.shape[1])
    for _ in range(60):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        step = np.linalg.solve(
            (x.T * (p * (1 - p))) @ x + penalty + 1e-10 * np.eye(x.shape[1]), x.T @ (y - p) - penalty @ beta
        )
        beta += np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(np.clip(np.column_stack([np.ones(len(at)), at]) @ beta, -30, 30))


def _metrics(p: Floats, w: Floats, s: Floats, threshold: float) -> dict[str, float]:
    """Return metrics from the probability of the label (or the label) p, weights w and scores s of cases."""
    positive = s >= threshold
    tp, fn = float((w * p)[positive].sum()), float((w * p)[~positive].sum())
    fp, tn = float((w * (1 - p))[positive].sum()), float((w * (1 - p))[~positive].sum())
    total = tp + fn + fp + tn

    def share(a: float, b: float) -> float:
        return a / b if b > 0 else float("nan")

    order = np.argsort(s, kind="stable")
    ordered = s[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    events, others = (np.add.reduceat((w * q)[order], starts) for q in (p, 1 - p))
    below = np.cumsum(others) - others / 2
    return {
        "accuracy": share(tp + tn, total),
        "sensitivity": share(tp, tp + fn),
        "specificity": share(tn, tn + fp),
        "ppv": share(tp, tp + fp),
        "npv": share(tn, tn + fn),
        "auc": share(float(events @ below), (tp + fn) * (fp + tn)),
        "prevalence": share(tp + fn, total),
    }
