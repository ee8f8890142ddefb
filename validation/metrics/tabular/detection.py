"""Can synthetic records be told from real ones? A cross-fitted non-linear classifier, and the propensity score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.reuse import reused
from validation.metrics.tabular.encoding import Floats, Part, Tables, encode, stack
from validation.metrics.tabular.marginals import NULL
from validation.registry import Direction, Kind, metric
from validation.statistics.roc import auc

MOST_TRAINING = 60_000  # records a classifier learns from; every record is scored
FEWEST = 50  # records of each kind below which no classifier is judged


@dataclass(frozen=True, eq=False)
class Scores:
    """Cross-fitted scores in 0..1 (rank within fold, higher is more likely synthetic) and labels."""

    scores: Floats
    labels: npt.NDArray[np.int64]


def design(part: Part) -> Floats:
    """Return one array for tree models: numbers (NaN is missing), then category codes."""
    return np.concatenate([part.numbers, part.codes.astype(np.float64)], axis=1)


def row_hashes(part: Part) -> npt.NDArray[np.uint64]:
    """Return one 64-bit hash per record, the same for equal records (missing equals missing).

    >>> import numpy as np
    >>> p = Part(np.array([[1.0], [1.0], [-0.0], [0.0]]), np.zeros((4, 1), np.int32), np.zeros((4, 2), bool))
    >>> h = row_hashes(p); bool(h[0] == h[1]), bool(h[2] == h[3]), bool(h[0] == h[2])
    (True, True, False)
    """
    block = np.concatenate([np.where(np.isnan(part.numbers), np.inf, part.numbers) + 0.0, part.codes], axis=1)
    bits = np.ascontiguousarray(block).view(np.uint64)
    state = np.full(len(block), 0x9E3779B97F4A7C15, np.uint64)
    with np.errstate(over="ignore"):
        for k in range(bits.shape[1]):  # splitmix64 of each cell, chained
            state = (state ^ bits[:, k]) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state ^= state >> np.uint64(31)
    return state


def booster(tables: Tables, n: int, *, seed: int, rounds: int = 60) -> Any:
    """Return an unfitted gradient-boosted-tree classifier for :func:`design`."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    p = len(tables.numeric)
    native = [p + k for k, names in enumerate(tables.levels) if len(names) <= 250]
    return HistGradientBoostingClassifier(
        max_iter=rounds,
        learning_rate=0.1,
        max_leaf_nodes=15,
        min_samples_leaf=max(5, min(20, n // 20)),
        categorical_features=native,
        early_stopping=False,
        random_state=seed,
    )


@reused
def cross_fitted(tables: Tables, a: Part, b: Part, *, seed: int, folds: int = 3) -> Scores:
    """Return scores of every record from classifiers that never saw it, nor any equal record.

    Equal records share a fold: otherwise copies of training patients would push the area below one half.
    """
    x, labels = design(stack(a, b)), np.repeat([1, 0], [a.n, b.n])
    rng = np.random.default_rng(seed)
    _, which = np.unique(row_hashes(stack(a, b)), return_inverse=True)
    fold = (rng.permutation(int(which.max()) + 1) % folds)[which]
    scores = np.empty(len(x))
    for f in range(folds):
        test = np.flatnonzero(fold == f)
        train = np.flatnonzero(fold != f)
        if len(train) > MOST_TRAINING:
            train = rng.choice(train, MOST_TRAINING, replace=False)
        if len(np.unique(labels[train])) < 2 or not len(test):
            scores[test] = 0.5
            continue
        model = booster(tables, len(train), seed=seed).fit(x[train], labels[train])
        raw = model.predict_proba(x[test])[:, 1]
        scores[test] = (stats.rankdata(raw) - 0.5) / len(test)  # folds differ in level, not in meaning
    return Scores(scores, labels)


def null_p(scores: Floats, labels: npt.NDArray[Any]) -> float | None:
    """Return the one-sided p-value of the Mann-Whitney test that synthetic records score higher."""
    a, b = scores[labels == 1], scores[labels == 0]
    if len(a) < 2 or len(b) < 2:
        return None
    return float(stats.mannwhitneyu(a, b, alternative="greater", method="asymptotic").pvalue)


def detection_findings(
    tables: Tables, groups: list[tuple[str, dict[str, Any]]], *, level: float, margin: float, seed: int
) -> list[Finding]:
    """Judge the two-sample classifier on all records and, with the same scores, inside each subgroup."""
    made, real = tables.synthetic, tables.real
    found = cross_fitted(tables, made, real, seed=seed)
    ceiling = None
    if tables.holdout is not None and min(tables.train.n, tables.holdout.n) >= FEWEST:
        other = cross_fitted(tables, tables.train, tables.holdout, seed=seed)
        ceiling = auc(other.scores, other.labels, level=level)
    rows = [("", np.ones(made.n + real.n, bool))]
    for name, masks in groups:
        parts = [masks["synthetic"], masks["train"], *([masks["holdout"]] if "holdout" in masks else [])]
        rows.append((name, np.concatenate(parts)))
    out = []
    for name, mask in rows:
        scores, labels = found.scores[mask], found.labels[mask]
        few = min(int(labels.sum()), int((1 - labels).sum()))
        estimate = auc(scores, labels, level=level)
        out.append(
            Finding(
                metric="detection_auc",
                subgroup=name,
                estimate=estimate,
                direction="closer to 0.5 is better",
                p_value=None if few < 2 else null_p(scores, labels),
                null=NULL + " (area 0.5, Mann-Whitney, cross-fitted)",
                rule=f"adjusted p at most alpha and area above {0.5 + margin:g}",
                exceeds=(estimate.value or 0.5) > 0.5 + margin,
                ceiling=ceiling if not name else None,
                too_little=f"{few} records of one kind: too few to judge a classifier" if few < FEWEST else "",
                reference=_AUC_REFERENCE,
            )
        )
    return out


def propensity(
    made: Part, real: Part, levels: tuple[tuple[str, ...], ...], *, level: float = 0.95
) -> tuple[Estimate, float | None, int]:
    """Return pMSE of a main-effects logistic model, the p-value under exchangeability, and the number of terms.

    pMSE = mean (p - c)², with c the share of synthetic records. For exchangeable records N pMSE / (c (1 - c)) is
    asymptotically chi-square with k - 1 degrees of freedom, k the number of columns of the design with intercept. The
    null of Snoke et al. for records synthesised from a model fitted to all real records is (1 - c) times smaller.
    """
    both = stack(made, real)
    y = np.repeat([1.0, 0.0], [made.n, real.n])
    c, n = made.n / len(y), len(y)
    x = main_effects(both, levels)
    k = x.shape[1]
    method = "pMSE, main-effects logistic"
    if min(made.n, real.n) < 5 * k:
        why = f"{min(made.n, real.n)} records for {k} coefficients: fewer than five each"
        return Estimate.insufficient(why, n=n, unit="1", method=method, level=level), None, k
    beta = irls(x, y)
    fitted = 1 / (1 + np.exp(-np.clip(x @ beta, -35, 35)))
    value = float(((fitted - c) ** 2).mean())
    scale = c * (1 - c) / n
    low, high = (_noncentral(value / scale, k - 1, tail) for tail in (1 - (1 - level) / 2, (1 - level) / 2))
    estimate = Estimate(
        value=value,
        lower=min(value, low * scale),
        upper=max(value, (high + k - 1) * scale),
        n=n,
        unit="1",
        level=level,
        method=method + ", noncentral chi-square",
    )
    return estimate, float(stats.chi2.sf(value / scale, k - 1)), k


def _noncentral(q: float, df: int, tail: float) -> float:
    """Return the non-centrality at which the statistic q has lower-tail probability ``tail`` (0 if none has)."""
    from scipy.optimize import brentq

    if stats.chi2.cdf(q, df) <= tail:
        return 0.0
    top = q + 40 + 20 * math.sqrt(q + df)
    return float(brentq(lambda nc: stats.ncx2.cdf(q, df, nc) - tail, 1e-9, top))


def main_effects(part: Part, levels: tuple[tuple[str, ...], ...]) -> Floats:
    """Return intercept, standardised numbers (mean where missing, with an indicator) and levels but the first."""
    columns = [np.ones(part.n)]
    for x in part.numbers.T:
        gone = np.isnan(x)
        known = np.where(gone, x[~gone].mean() if (~gone).any() else 0.0, x)
        if known.std() > 0:
            columns.append((known - known.mean()) / known.std())
        if gone.any() and not gone.all():
            columns.append(gone.astype(np.float64))
    for k, names in enumerate(levels):
        seen = np.flatnonzero(np.bincount(part.codes[:, k], minlength=len(names)))
        columns.extend((part.codes[:, k] == code).astype(np.float64) for code in seen[1:])
    return np.column_stack(columns)


def irls(x: Floats, y: Floats, *, ridge: float = 1e-9, steps: int = 50, weights: Floats | None = None) -> Floats:
    """Return logistic regression coefficients by Newton's method (a minimal ridge keeps singular designs solvable)."""
    beta = np.zeros(x.shape[1])
    each = np.ones(len(y)) if weights is None else weights
    for _ in range(steps):
        eta = np.clip(x @ beta, -35, 35)
        p = 1 / (1 + np.exp(-eta))
        w = each * np.maximum(p * (1 - p), 1e-10)
        hessian = (x * w[:, None]).T @ x
        hessian[np.diag_indices_from(hessian)] += ridge * max(1.0, float(np.trace(hessian)) / len(beta))
        step = np.linalg.solve(hessian, x.T @ (each * (y - p)))
        step *= min(1.0, 5 / max(1e-12, float(np.abs(step).max())))
        beta = beta + step
        if float(np.abs(step).max()) < 1e-8:
            break
    return beta


def propensity_findings(tables: Tables, *, level: float) -> list[Finding]:
    """Judge pMSE of the synthetic table against all real records, with its ratio to the null in words."""
    estimate, p, k = propensity(tables.synthetic, tables.real, tables.levels, level=level)
    ceiling = None
    if tables.holdout is not None:
        ceiling, _, _ = propensity(tables.train, tables.holdout, tables.levels, level=level)
    c, n = tables.synthetic.n / estimate.n, estimate.n
    expected = (k - 1) * c * (1 - c) / n
    note = "main effects only: blind to lost dependence"
    if estimate.value is not None:
        note = f"{estimate.value / expected:.3g} times its expectation {expected:.3g} for exchangeable records; " + note
    return [
        Finding(
            metric="propensity_mse",
            estimate=estimate,
            p_value=p,
            ceiling=ceiling,
            note=note,
            null=NULL + f" (chi-square on {k - 1} degrees of freedom)",
            direction=Direction.LOWER.value,
            rule="adjusted p at most alpha and more than twice its expectation",
            exceeds=estimate.value is not None and estimate.value > 2 * expected,
            reference=_PMSE_REFERENCE,
        )
    ]


_AUC_REFERENCE = "Lopez-Paz and Oquab 2017, arXiv:1610.06545; DeLong et al. 1988, doi:10.2307/2531595"
_PMSE_REFERENCE = "Snoke et al. 2018, doi:10.1111/rssa.12358"


@metric(
    "detection_auc",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference=_AUC_REFERENCE,
    oracle="sklearn.metrics.roc_auc_score on the same scores",
)
def detection_auc(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Estimate how well gradient-boosted trees tell synthetic from training records (area under the ROC curve).

    0.5 is indistinguishable, 1 perfectly told apart. Three-fold cross-fitting, equal records in one fold, ranks within
    fold, DeLong's interval given the classifiers. Insufficient with fewer than 50 records of a kind.
    """
    tables = encode(train, synthetic, categorical=categorical, ignore=ignore)
    few = min(tables.train.n, tables.synthetic.n)
    if few < FEWEST:
        return Estimate.insufficient(
            f"{few} records of one kind: too few to judge a classifier",
            n=few,
            unit="1",
            method="detection AUC",
            level=level,
        )
    found = cross_fitted(tables, tables.synthetic, tables.train, seed=seed)
    return auc(found.scores, found.labels, level=level)


@metric(
    "propensity_mse",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference=_PMSE_REFERENCE,
    oracle="statsmodels GLM (gold pmse_logit_insample)",
)
def propensity_mse(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the propensity mean squared error of a main-effects logistic model, and its ratio to two nulls.

    pMSE = mean (p - c)²; 0 is indistinguishable. ``ratio_exchangeable`` divides by (k - 1) c (1 - c) / N, its
    expectation for two samples of one population; ``ratio_snoke`` by (k - 1) (1 - c)² c / N, the expectation for data
    synthesised from a model fitted to the real records. The two differ by (1 - c): the null must be named.
    Insufficient with fewer than five records per coefficient. Blind to lost dependence: see ``detection_auc``.
    """
    tables = encode(train, synthetic, categorical=categorical, ignore=ignore)
    estimate, _, k = propensity(tables.synthetic, tables.train, tables.levels, level=level)
    found = {"pmse": estimate}
    c, n = tables.synthetic.n / estimate.n, estimate.n
    for name, null in (
        ("ratio_exchangeable", (k - 1) * c * (1 - c) / n),
        ("ratio_snoke", (k - 1) * (1 - c) ** 2 * c / n),
    ):
        limits = [None if v is None else v / null for v in (estimate.value, estimate.lower, estimate.upper)]
        found[name] = Estimate(
            value=limits[0],
            lower=limits[1],
            upper=limits[2],
            method=estimate.method,
            n=n,
            unit="1",
            level=level,
            reason=estimate.reason,
        )
    return found
