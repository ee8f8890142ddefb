"""Pre-planned subgroups: estimates per level, heterogeneity between levels, and poolability across sites."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.jackknife import jackknife_variance, leave_one_out
from validation.statistics.sample import Floats, Sample

Estimator = Callable[[Sample], Estimate]


@dataclass(frozen=True, kw_only=True)
class Level:
    """Estimate in one level of a subgroup, and whether it has the planned minimum of patients (``reason`` if not)."""

    estimate: Estimate
    enough: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Heterogeneity:
    """Test that an estimate is the same in all levels of a subgroup; ``reason`` says why there is no test."""

    statistic: float | None
    df1: float | None
    df2: float | None
    p_value: float | None
    method: str
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Poolability:
    """Whether results of sites (or scanners) may be pooled.

    ``between_sd`` is the estimated standard deviation of the true values between levels (DerSimonian and Laird);
    ``left_out`` is the pooled estimate without each level in turn.
    """

    heterogeneity: Heterogeneity
    between_sd: float | None
    left_out: dict[str, Estimate]


def by_level(estimator: Estimator, sample: Sample, levels: ArrayLike, *, minimum_clusters: int = 2) -> dict[str, Level]:
    """Estimate in each level of a subgroup.

    A level with fewer than ``minimum_clusters`` patients is still reported with its interval, but is not
    ``enough`` to be judged.

    Parameters
    ----------
    estimator
        Reduces a sample to an estimate at the level wanted.
    levels
        Level of each case, shape (n,); cases without one (None, NaN, "") are left out.
    """
    names = _names(levels, sample.n)
    result: dict[str, Level] = {}
    for name in sorted({n for n in names if n}):
        part = sample.subset(names == name)
        short = part.n_clusters < minimum_clusters
        few = f"{part.n_clusters} independent units, fewer than the planned minimum of {minimum_clusters}"
        result[name] = Level(estimate=estimator(part), enough=not short, reason=few if short else "")
    return result


def heterogeneity(estimator: Estimator, sample: Sample, levels: ArrayLike) -> Heterogeneity:
    """Test for interaction, that is, whether the estimate is the same in all levels.

    Variances are delete-one-patient jackknife variances. When no patient is in two levels the test is Welch's
    (Cochran's Q with its small-sample F correction; for means it is Welch's analysis of variance, for two levels his
    t-test). When patients are in several levels (two kernels of one scan, say) it is a Wald test with the joint
    jackknife covariance, with Hotelling's F scaling on the patients of the smallest level.

    A large p-value is not evidence that levels agree; read it with the estimates.

    Parameters
    ----------
    estimator
        Reduces a sample to an estimate; only its value is used.
    levels
        Level of each case, shape (n,).

    Returns
    -------
    Heterogeneity
        Without a p-value, and with the reason, if there are fewer than two levels that have an estimate also without
        each of their patients, or a level shows no spread. Levels with too few patients are named in ``reason``.

    References
    ----------
    Welch 1951, doi:10.1093/biomet/38.3-4.330; Cochran 1954, doi:10.2307/3001666.
    """
    names = _names(levels, sample.n)
    used, thetas, without, left_out = [], [], [], []
    for name in sorted({n for n in names if n}):
        part = sample.subset(names == name)
        value = estimator(part).value
        jackknifed = leave_one_out(lambda s: estimator(s).value, part) if part.n_clusters >= 2 else None
        if value is None or jackknifed is None:
            left_out.append(name)
            continue
        used.append(name)
        thetas.append(value)
        without.append((list(dict.fromkeys(part.clusters.tolist())), jackknifed))
    note = f"left out, too few patients: {', '.join(left_out)}" if left_out else ""
    method = "Welch's heterogeneity test (jackknife variances)"
    if len(used) < 2:
        return _untested(method, f"fewer than two levels can be compared{'; ' + note if note else ''}")
    theta = np.array(thetas)
    sizes = np.array([len(ids) for ids, _ in without], dtype=np.float64)
    variances = np.array([jackknife_variance(values) for _, values in without])
    if not _has_spread(theta, variances).all():
        return _untested(method, "a level shows no spread between patients")
    patients = [p for ids, _ in without for p in ids]
    if len(set(patients)) == len(patients):
        return _welch(theta, variances, sizes, method, note)
    return _wald(theta, without, sizes, note)


def poolability(estimator: Estimator, sample: Sample, levels: ArrayLike) -> Poolability:
    """Assess whether levels (sites, scanners) may be pooled: heterogeneity, between-level SD, each left out in turn.

    References
    ----------
    DerSimonian and Laird 1986, doi:10.1016/0197-2456(86)90046-2.
    """
    names = _names(levels, sample.n)
    found = sorted({n for n in names if n})
    theta, variance = [], []
    for name in found:
        part = sample.subset(names == name)
        value = estimator(part).value
        values = leave_one_out(lambda s: estimator(s).value, part) if part.n_clusters >= 2 else None
        if value is not None and values is not None:
            theta.append(value)
            variance.append(jackknife_variance(values))
    between = None
    t, v = np.array(theta), np.array(variance)
    spread = _has_spread(t, v)
    if spread.sum() >= 2:
        w, t = 1 / v[spread], t[spread]
        q = float((w * (t - (w @ t) / w.sum()) ** 2).sum())
        others = np.where(np.eye(len(w), dtype=bool), 0.0, w).sum(
            1
        )  # W - w would lose small weights beside a large one
        between = math.sqrt(max(0.0, (q - len(t) + 1) / float(w @ others / w.sum())))
    left_out = {name: estimator(sample.subset((names != name) & (names != ""))) for name in found}
    return Poolability(heterogeneity=heterogeneity(estimator, sample, levels), between_sd=between, left_out=left_out)


def _has_spread(theta: Floats, variances: Floats) -> NDArray[np.bool_]:
    """Return which levels vary between patients by more than the rounding of their estimates."""
    varies: NDArray[np.bool_] = variances > (1e-12 * np.abs(theta).max(initial=0.0)) ** 2
    return varies


def _welch(theta: Floats, variances: Floats, sizes: Floats, method: str, note: str) -> Heterogeneity:
    k, w = len(theta), 1 / variances
    share = w / w.sum()
    q = float((w * (theta - share @ theta) ** 2).sum())
    imbalance = float(((1 - share) ** 2 / (sizes - 1)).sum())
    f = q / (k - 1) / (1 + 2 * (k - 2) / (k * k - 1) * imbalance)
    df2 = (k * k - 1) / (3 * imbalance)
    return Heterogeneity(
        statistic=f, df1=k - 1.0, df2=df2, p_value=float(stats.f.sf(f, k - 1, df2)), method=method, reason=note
    )


def _wald(theta: Floats, without: list[tuple[list[Any], Floats]], sizes: Floats, note: str) -> Heterogeneity:
    """Wald test with a joint covariance over patients; a patient absent from a level does not move its estimate."""
    method = "Wald heterogeneity test (joint jackknife covariance, F scaling)"
    everyone = {p: i for i, p in enumerate(dict.fromkeys(p for ids, _ in without for p in ids))}
    moves = np.zeros((len(everyone), len(theta)))
    for j, (ids, values) in enumerate(without):
        moves[[everyone[p] for p in ids], j] = (values - values.mean()) * math.sqrt((len(ids) - 1) / len(ids))
    covariance = moves.T @ moves
    q = len(theta) - 1
    contrast = np.hstack([np.ones((q, 1)), -np.eye(q)])
    gap, spread = contrast @ theta, contrast @ covariance @ contrast.T
    df = float(sizes.min()) - 1
    if df - q + 1 < 1:
        return _untested(method, "fewer patients than levels in the smallest level")
    if np.linalg.matrix_rank(spread, hermitian=True) < q:
        return _untested(method, "the levels move together exactly, so their difference shows no spread")
    f = float(gap @ np.linalg.solve(spread, gap)) * (df - q + 1) / (df * q)
    p = float(stats.f.sf(f, q, df - q + 1))
    return Heterogeneity(statistic=f, df1=float(q), df2=df - q + 1, p_value=p, method=method, reason=note)


def _untested(method: str, reason: str) -> Heterogeneity:
    return Heterogeneity(statistic=None, df1=None, df2=None, p_value=None, method=method, reason=reason)


def _names(levels: ArrayLike, n: int) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    """Return levels as text, "" where there is none."""
    import pandas as pd

    given = np.asarray(levels, dtype=object)
    if given.shape != (n,):
        raise ValueError(f"levels must have shape ({n},), got {given.shape}")
    return np.array(["" if absent else str(x) for x, absent in zip(given, pd.isna(given), strict=True)], dtype=object)
