"""The family ``tabular_augmentation``: what synthetic records added to training do for real patients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding, Part, run_parts
from validation.metrics.reuse import reused
from validation.metrics.tabular.detection import booster, design, irls, main_effects
from validation.metrics.tabular.encoding import Floats, encode, stack, subgroup_columns, subgroups
from validation.metrics.tabular.utility import LEARNERS, Task, task, worse_p
from validation.registry import Direction, Kind, metric
from validation.statistics.roc import areas, auc_difference

REPLICATES = 1000
FEWEST = 10
Rows = npt.NDArray[np.bool_]
_REFERENCE = "DeLong et al. 1988, doi:10.2307/2531595"


@reused
def scores(t: Task, learner: str, dose: float, weights: Floats | None, *, seed: int) -> Floats:
    """Return the predicted probability of the outcome for every holdout record.

    Fitted on all training records and the first ``round(dose n)`` synthetic ones, n the number of training records.

    Raises
    ------
    DataProblem
        TAB-005 if there are fewer synthetic records than the dose asks for.
    """
    holdout = t.tables.holdout
    if holdout is None or t.classes != 2:
        raise DataProblem(
            "augmentation is judged on a holdout of real records, for an outcome with two levels.",
            code="TAB-005",
            where=t.outcome,
        )
    wanted = round(dose * t.tables.train.n)
    if wanted > t.tables.synthetic.n:
        raise DataProblem(
            f"dose {dose:g} needs {wanted} synthetic records; there are {t.tables.synthetic.n}.",
            code="TAB-005",
            where="synthetic",
            action="Make more records, or plan smaller doses.",
        )
    keep = np.zeros(t.tables.synthetic.n, bool)
    keep[:wanted] = True
    parts = [t.tables.train] + ([t.tables.synthetic.take(keep)] if wanted else [])
    fitted, y = stack(*parts), np.concatenate([t.y["train"], t.y["synthetic"][keep]])
    known = ~np.isnan(y)
    fitted, y = fitted.take(known), y[known]
    w = None if weights is None else weights[known[: len(weights)]]
    if len(np.unique(y)) < 2:
        raise DataProblem("the outcome has one value only, so nothing can be learnt.", code="TAB-005", where=t.outcome)
    if learner == "logistic":
        x = main_effects(stack(fitted, holdout), t.tables.levels)
        beta = irls(x[: fitted.n], (y == y.max()).astype(np.float64), ridge=1e-4, weights=w)
        return np.asarray(1 / (1 + np.exp(-np.clip(x[fitted.n :] @ beta, -35, 35))))
    model = booster(t.tables, len(y), seed=seed).fit(design(fitted), y, sample_weight=w)
    return np.asarray(model.predict_proba(design(holdout))[:, -1])


def trend(columns: list[Floats], doses: list[float], labels: Floats, *, level: float) -> Estimate:
    """Estimate the slope of the area under the curve over doses (least squares), with DeLong's covariance of the areas.

    >>> import numpy as np
    >>> a, y = np.array([1.0, 3, 2, 4]), np.array([0.0, 0, 1, 1])
    >>> trend([a, a, a], [0.0, 0.5, 1.0], y, level=0.95).value
    0.0
    """
    fit = areas(list(columns), labels)
    method = "slope of the area over doses, DeLong"
    d = np.asarray(doses) - np.mean(doses)
    n = fit.n
    if np.isnan(fit.covariance).any() or not (d**2).sum():
        return Estimate.insufficient("too few holdout records of a class", n=n, unit="1", method=method, level=level)
    c = d / (d**2).sum()
    value, error = float(c @ fit.areas), math.sqrt(max(0.0, float(c @ fit.covariance @ c)))
    half = float(stats.norm.isf((1 - level) / 2)) * error
    return Estimate(
        value=value, lower=value - half, upper=value + half, method=method, n=n, unit="1", level=level,
        n_events=fit.positives,
    )  # fmt: skip


def worst_gain(made: Floats, real: Floats, labels: Floats, groups: list[Rows], *, level: float, seed: int) -> Estimate:
    """Estimate by how much the lowest area among groups rises: min over groups with, less min without augmentation.

    The worst group may be another one with augmentation than without. Percentile bootstrap of holdout records within
    group and class, the same records for both arms.
    """
    method = f"gain of the lowest area among {len(groups)} groups, percentile bootstrap"
    n = len(labels)
    if any(min((labels[g] == 1).sum(), (labels[g] == 0).sum()) < FEWEST for g in groups) or len(groups) < 2:
        why = f"a group has fewer than {FEWEST} holdout records of a class, or there is one group only"
        return Estimate.insufficient(why, n=n, unit="1", method=method, level=level)
    rng = np.random.default_rng(seed)
    drawn = np.empty((len(groups), 2, REPLICATES + 1))
    for k, rows in enumerate(groups):
        sick, well = np.flatnonzero(rows & (labels == 1)), np.flatnonzero(rows & (labels == 0))
        for r in range(REPLICATES + 1):
            a = sick if r == 0 else sick[rng.integers(0, len(sick), len(sick))]
            b = well if r == 0 else well[rng.integers(0, len(well), len(well))]
            for arm, s in enumerate((made, real)):
                drawn[k, arm, r] = _area(s[a], np.sort(s[b]))
    gains = drawn[:, 0].min(axis=0) - drawn[:, 1].min(axis=0)
    tail = (1 - level) / 2
    low, high = np.quantile(gains[1:], [tail, 1 - tail])
    value = float(gains[0])
    return Estimate(
        value=value, lower=min(value, float(low)), upper=max(value, float(high)), method=method, n=n, unit="1",
        level=level, n_events=int((labels == 1).sum()),
    )  # fmt: skip


def _area(positive: Floats, negative: Floats) -> float:
    below = np.searchsorted(negative, positive, side="left") + np.searchsorted(negative, positive, side="right")
    return float(below.mean() / 2 / len(negative))


def balanced(groups: list[tuple[str, dict[str, Rows]]], n: int) -> Floats:
    """Return weights of training records by which every group of the first grouping counts the same in total."""
    weights = np.ones(n)
    column = groups[0][0].partition("=")[0] if groups else ""
    masks = [m["train"] for name, m in groups if name.startswith(f"{column}=") and m["train"].any()]
    for mask in masks:
        weights[mask] = n / (len(masks) * mask.sum())
    return weights


@metric(
    "tabular_augmentation",
    unit="each metric its own",
    direction=Direction.NONE,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="family",
    reference=_REFERENCE,
    oracle="statistics.roc on scores of scikit-learn models fitted by hand",
)
def tabular_augmentation(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    outcome: str,
    doses: tuple[float, ...] = (0.25, 0.5, 1.0),
    learner: str = "logistic",
    subgroups_of: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    margin: float = 0.02,
    only: tuple[str, ...] = (),
    alpha: float = 0.05,
    seed: int = 0,
    level: float = 0.95,
) -> list[Finding]:
    """Measure the gain from adding synthetic records to training, on real holdout patients, dose by dose and per group.

    ``augmentation_gain``: area under the curve with less without synthetic records (paired, DeLong), per dose, overall
    and per subgroup: whether any group loses. ``dose_response``: slope of the area over doses from 0. ``worst_group``:
    rise of the lowest area among the groups. ``over_reweighting``: gain beyond training on real records weighted so
    that all groups count the same, the cheap alternative.

    Parameters
    ----------
    outcome
        Column with two levels; the later one in the order of the training table is the event.
    doses
        Synthetic records per training record.
    learner
        ``logistic`` or ``boosted trees``.
    subgroups_of
        Categorical columns whose levels are the groups; the first is used for ``worst_group`` and weights.
    margin
        Loss that does not matter.
    only
        Names of the parts to run, such as ``worst_group``; all of them by default.

    Notes
    -----
    Intervals hold for the trained models as they are: the chance of training is not in them.
    """
    if learner not in LEARNERS:
        raise UsageProblem(f"there is no learner {learner!r}.", code="TAB-003", where="learner", action=f"{LEARNERS}")
    t = task(encode(train, synthetic, holdout, categorical=(*categorical, outcome), ignore=ignore), outcome)
    groups = subgroups(t.tables, subgroup_columns(t.tables, subgroups_of))
    labels = t.y["holdout"]
    known = ~np.isnan(labels)
    steps = sorted(set(doses) - {0.0})
    cache: dict[float, Floats] = {}

    def at(dose: float) -> Floats:
        if dose not in cache:
            cache[dose] = scores(t, learner, dose, None, seed=seed)
        return cache[dose]

    def cells() -> list[tuple[str, Rows]]:
        return [("", known), *((name, m["holdout"] & known) for name, m in groups if (m["holdout"] & known).any())]

    def gap(made: Floats, real: Floats, r: Rows) -> Estimate:
        return auc_difference(made[r], real[r], labels[r] == 1, level=level)

    def slope(every: list[float], r: Rows) -> Estimate:
        return trend([at(d)[r] for d in every], every, labels[r], level=level)

    def gain() -> list[Finding]:
        return [
            _finding("augmentation_gain", f"dose {d:g}", name, gap(at(d), at(0.0), r), margin)
            for d in steps
            for name, r in cells()
        ]  # fmt: skip

    def response() -> list[Finding]:
        every = [0.0, *steps]
        return [
            _finding("dose_response", "slope", name, slope(every, r), margin)
            for name, r in cells()
        ]  # fmt: skip

    def worst() -> list[Finding]:
        column = groups[0][0].partition("=")[0] if groups else ""
        rows = [m["holdout"] & known for name, m in groups if name.startswith(f"{column}=")]
        last = steps[-1]
        e = worst_gain(at(last), at(0.0), (labels == 1).astype(float), rows, level=level, seed=seed)
        return [_finding("worst_group", f"dose {last:g}", "", e, margin)]

    def reweighted() -> list[Finding]:
        other = scores(t, learner, 0.0, balanced(groups, t.tables.train.n), seed=seed)
        last = steps[-1]
        return [
            _finding("over_reweighting", f"dose {last:g}", name, gap(at(last), other, r), margin)
            for name, r in cells()
        ]  # fmt: skip

    makers: dict[str, Callable[[], list[Finding]]] = {
        "augmentation_gain": gain,
        "dose_response": response,
        "worst_group": worst,
        "over_reweighting": reweighted,
    }
    parts: list[Part] = list(makers.items())
    return run_parts(parts, alpha=alpha, only=only)


def _finding(name: str, component: str, group: str, e: Estimate, margin: float) -> Finding:
    better: dict[str, Any] = {
        "note": "better than without synthetic records" if e.lower is not None and e.lower > 0 else ""
    }
    wide = e.lower is not None and e.lower < -0.1
    return Finding(
        metric=name,
        component=component,
        subgroup=group,
        estimate=e,
        p_value=worse_p(e),
        null="no worse than without synthetic records (the same holdout records)",
        rule=f"adjusted p at most alpha and worse by more than {margin:g}",
        direction=Direction.HIGHER.value,
        exceeds=(e.value or 0.0) < -margin,
        too_little=f"a loss of up to {-e.lower:.2f} is not excluded" if wide and e.lower is not None else "",
        reference=_REFERENCE,
        **better,
    )
