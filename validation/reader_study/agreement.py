"""Agreement of readers: intraclass correlation, limits of agreement, weighted kappa, Krippendorff's alpha.

Intervals of kappa and alpha, and of the limits of agreement, come from resampling cases (percentiles, recorded seed);
readers are those of the study. Intervals of the intraclass correlation are those of its F law.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from validation.errors import DataProblem
from validation.estimate import Estimate
from validation.reader_study.scores import ReaderScores

Array = NDArray[np.float64]
Weights = Literal["unweighted", "linear", "quadratic"]
Metric = Literal["nominal", "ordinal", "interval"]
Form = Literal["ICC(1)", "ICC(A,1)", "ICC(C,1)"]


def intraclass_correlation(ratings: Array, *, form: Form = "ICC(A,1)", level: float = 0.95) -> Estimate:
    """Return the intraclass correlation of single ratings, with its interval from the F law.

    Parameters
    ----------
    ratings
        ``(case, reader)``, complete.
    form
        ``ICC(1)``: every case has readers of its own (Shrout & Fleiss 1,1); ``ICC(A,1)``: readers are a sample and
        their shifts count as error (2,1); ``ICC(C,1)``: consistency, shifts do not count (3,1).

    Returns
    -------
    Estimate
        Insufficient with fewer than two cases or readers, an empty cell, or without any variation.

    References
    ----------
    Shrout & Fleiss 1979, doi:10.1037/0033-2909.86.2.420; McGraw & Wong 1996, doi:10.1037/1082-989X.1.1.30.

    Examples
    --------
    >>> six = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> round(intraclass_correlation(np.array(six, dtype=float)).value, 2)
    0.29
    """
    from scipy.stats import f as law

    n, k = ratings.shape
    method = f"intraclass correlation {form}"
    if n < 2 or k < 2 or np.isnan(ratings).any():
        return Estimate.insufficient(
            "needs at least two cases and two readers, each case rated by all",
            n=n,
            unit="1",
            method=method,
            level=level,
        )
    grand = ratings.mean()
    rows = k * ((ratings.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    columns = n * ((ratings.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    total = ((ratings - grand) ** 2).sum()
    error = max(float(total - rows * (n - 1) - columns * (k - 1)), 0.0) / ((n - 1) * (k - 1))
    within = (total - rows * (n - 1)) / (n * (k - 1))
    noise = within if form == "ICC(1)" else error
    if total <= 1e-12 or noise <= 1e-12:
        return Estimate.insufficient(
            "ratings show no variation between readers beyond their shifts", n=n, unit="1", method=method, level=level
        )
    tail = (1 - level) / 2
    if form == "ICC(A,1)":
        value = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
        a = k * value / (n * (1 - value)) if value < 1 else np.inf
        b = 1 + k * value * (n - 1) / (n * (1 - value)) if value < 1 else np.inf
        df = (a * columns + b * error) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
        up, down = law.isf(tail, n - 1, df), law.isf(tail, df, n - 1)
        rest = k * columns + (k * n - k - n) * error
        lower = n * (rows - up * error) / (up * rest + n * rows)
        upper = n * (down * rows - error) / (rest + n * down * rows)
    else:
        spare = n * (k - 1) if form == "ICC(1)" else (n - 1) * (k - 1)
        ratio = rows / noise
        value = (ratio - 1) / (ratio + k - 1)
        low, high = ratio / law.isf(tail, n - 1, spare), ratio * law.isf(tail, spare, n - 1)
        lower, upper = (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)
    return Estimate(
        value=float(value), lower=float(lower), upper=float(upper), method=method, n=n, unit="1", level=level
    )


def limits_of_agreement(
    first: Array, second: Array, *, level: float = 0.95, unit: str = "1", seed: int = 1, replicates: int = 2000
) -> dict[str, Estimate]:
    """Return bias and limits of agreement of two modalities over readers and cases.

    Parameters
    ----------
    first, second
        ``(reader, case)`` scores under the two modalities, complete.

    Returns
    -------
    dict
        ``bias``: mean difference, its variance from random readers and cases (normal law). ``within_lower``,
        ``within_upper``: limits for one reader who changes modality, from the total variance of a difference (two-way
        random model). ``between_lower``, ``between_upper``: limits for two different readers under different modalities
        (three-way model). Components of variance are not truncated. Limits are cut at ``z`` of the level.

    References
    ----------
    Bland & Altman 1999, doi:10.1177/096228029900800204; Wen & Gallas 2022, Three-way mixed effect
    ANOVA to estimate MRMC limits of agreement, doi:10.1080/19466315.2022.2063169.
    """
    from scipy.stats import norm

    R, C = first.shape
    z = float(norm.ppf((1 + level) / 2))
    if R < 2 or C < 2 or np.isnan(first).any() or np.isnan(second).any():
        reason = "needs at least two readers and two cases, all read under both modalities"
        names = ("bias", "within_lower", "within_upper", "between_lower", "between_upper")
        return {
            k: Estimate.insufficient(reason, n=C, unit=unit, method="limits of agreement", level=level) for k in names
        }
    mean = float((first - second).mean())
    parts = _two_way(first - second)
    variance = parts[0] / R + parts[1] / C + parts[2] / (R * C)
    half = z * np.sqrt(variance) if variance > 0 else None
    found = {
        "bias": Estimate(
            value=mean,
            lower=None if half is None else mean - half,
            upper=None if half is None else mean + half,
            method="mean difference, random readers and cases",
            n=C,
            unit=unit,
            level=level,
            reason="" if half is not None else "the estimated variance of the mean is not positive",
        )
    }
    drawn = np.random.default_rng(seed).integers(0, C, size=(replicates, C))
    for name, spread in (("within", _within_variance), ("between", _between_variance)):
        for side, sign in (("lower", -1.0), ("upper", 1.0)):

            def limit(cases: NDArray[np.int64], spread: _Spread = spread, sign: float = sign) -> float:
                a, b = first[:, cases], second[:, cases]
                return float((a - b).mean() + sign * z * np.sqrt(max(spread(a, b), 0.0)))

            found[f"{name}_{side}"] = _percentiles(
                limit, drawn, level=level, unit=unit, method=f"limit of agreement, {name} readers; cases resampled"
            )
    return found


def weighted_kappa(
    ratings: Array, *, weights: Weights = "quadratic", level: float = 0.95, seed: int = 1, replicates: int = 2000
) -> Estimate:
    """Return Cohen's kappa averaged over all pairs of readers (Light), with weights by distance of categories.

    Parameters
    ----------
    ratings
        ``(case, reader)`` whole-number categories, complete.

    References
    ----------
    Cohen 1968, doi:10.1037/h0026256; Light 1971, doi:10.1037/h0031643.
    """
    n, k = ratings.shape
    method = f"kappa, {weights} weights, mean of pairs of readers; cases resampled"
    if n < 2 or k < 2 or np.isnan(ratings).any():
        return Estimate.insufficient(
            "needs two readers and cases rated by all of them", n=n, unit="1", method=method, level=level
        )
    levels, coded = np.unique(ratings, return_inverse=True)
    coded = coded.reshape(n, k)
    if len(levels) < 2:
        return Estimate.insufficient("only one category was used", n=n, unit="1", method=method, level=level)
    distance = np.abs(levels[:, None] - levels[None, :])
    loss = {"unweighted": (distance > 0).astype(float), "linear": distance, "quadratic": distance**2}[weights]

    def kappa(cases: NDArray[np.int64]) -> float:
        chosen = coded[cases]
        shares = np.stack([np.bincount(chosen[:, j], minlength=len(levels)) for j in range(k)]) / n
        found = []
        for a, b in combinations(range(k), 2):
            expected = shares[a] @ loss @ shares[b]
            observed = loss[chosen[:, a], chosen[:, b]].mean()
            found.append(1 - observed / expected if expected > 0 else np.nan)
        return float(np.mean(found))

    drawn = np.random.default_rng(seed).integers(0, n, size=(replicates, n))
    return _percentiles(kappa, drawn, level=level, unit="1", method=method)


def krippendorff_alpha(
    ratings: Array, *, metric: Metric = "ordinal", level: float = 0.95, seed: int = 1, replicates: int = 2000
) -> Estimate:
    """Return Krippendorff's alpha: agreement beyond chance for any number of readers, with empty cells.

    Parameters
    ----------
    ratings
        ``(case, reader)``, NaN where a case was not rated. Cases with one rating play no part.
    metric
        How far apart two ratings are.

    References
    ----------
    Krippendorff 2019, Content Analysis, 4th ed., ch. 12; Hayes & Krippendorff 2007, doi:10.1080/19312450709336664.
    """
    k = ratings.shape[1]
    method = f"Krippendorff alpha, {metric}; cases resampled"
    usable = (~np.isnan(ratings)).sum(axis=1) >= 2
    levels, coded = np.unique(ratings[usable], return_inverse=True)
    levels = levels[~np.isnan(levels)]
    if usable.sum() < 2 or k < 2 or len(levels) < 2:
        reason = "needs two cases with two ratings, and two different ratings"
        return Estimate.insufficient(reason, n=int(usable.sum()), unit="1", method=method, level=level)
    coded = coded.reshape(-1, k)
    counts = np.stack([(coded == v).sum(axis=1) for v in range(len(levels))], axis=1).astype(float)
    pairs = counts.sum(axis=1, keepdims=True)

    def alpha(cases: NDArray[np.int64]) -> float:
        unit, m = counts[cases], pairs[cases]
        coincidence = (unit / (m - 1)).T @ unit - np.diag((unit / (m - 1)).sum(axis=0))
        margin = coincidence.sum(axis=0)
        apart = _apart(levels, margin, metric)
        total = margin.sum()
        expected = (margin @ apart @ margin) / (total - 1)
        return float(1 - (coincidence * apart).sum() / expected) if expected > 0 else float("nan")

    drawn = np.random.default_rng(seed).integers(0, len(counts), size=(replicates, len(counts)))
    return _percentiles(alpha, drawn, level=level, unit="1", method=method)


def agreement_of(
    scores: ReaderScores,
    *,
    measure: Literal["icc", "kappa", "alpha", "limits"],
    form: Form = "ICC(A,1)",
    weights: Weights = "quadratic",
    metric: Metric = "ordinal",
    level: float = 0.95,
    seed: int = 1,
    replicates: int = 2000,
) -> dict[str, Estimate]:
    """Return one agreement measure of a study, for each modality (or each pair of modalities, for limits).

    Cases that not all readers rated are left out, except for alpha, which allows empty cells.

    Raises
    ------
    DataProblem
        If limits of agreement are asked for and there is one modality only.
    """
    if measure == "limits":
        if len(scores.modalities) < 2:
            raise DataProblem(
                "limits of agreement compare two modalities, and there is one.",
                code="RDR-012",
                where="modality",
                action="Name the two methods of measurement in the column modality.",
            )
        found: dict[str, Estimate] = {}
        complete = scores.score[:, :, scores.read.all(axis=(0, 1))]
        for a, b in combinations(range(len(scores.modalities)), 2):
            limits = limits_of_agreement(
                complete[:, a], complete[:, b], level=level, seed=seed, replicates=replicates, unit="score"
            )
            pair = f"{scores.modalities[a]} - {scores.modalities[b]}"
            found |= {f"{pair}, {name}": estimate for name, estimate in limits.items()}
        return found
    found = {}
    for m, name in enumerate(scores.modalities):
        ratings = scores.score[scores.took_part[:, m], m].T
        if measure == "alpha":
            found[name] = krippendorff_alpha(ratings, metric=metric, level=level, seed=seed, replicates=replicates)
            continue
        ratings = ratings[~np.isnan(ratings).any(axis=1)]
        if measure == "icc":
            found[name] = intraclass_correlation(ratings, form=form, level=level)
        else:
            found[name] = weighted_kappa(ratings, weights=weights, level=level, seed=seed, replicates=replicates)
    return found


_Spread = Callable[[Array, Array], float]


def _percentiles(
    figure: Callable[[NDArray[np.int64]], float], drawn: NDArray[np.int64], *, level: float, unit: str, method: str
) -> Estimate:
    """Return a figure of all cases with percentile limits over resampled cases, without those that lack the figure."""
    n = drawn.shape[1]
    value = figure(np.arange(n))
    if not np.isfinite(value):
        return Estimate.insufficient(
            "the figure is not defined for these ratings", n=n, unit=unit, method=method, level=level
        )
    samples = np.array([figure(cases) for cases in drawn])
    samples = samples[np.isfinite(samples)]
    if len(samples) < 0.9 * len(drawn):
        return Estimate(
            value=value, lower=None, upper=None, method=method, n=n, unit=unit, level=level,
            reason="in more than a tenth of resampled studies the figure was not defined",
        )  # fmt: skip
    lower, upper = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value=value, lower=float(lower), upper=float(upper), method=method, n=n, unit=unit, level=level)


def _apart(levels: Array, margin: Array, metric: Metric) -> Array:
    """Return the squared distance of two categories."""
    if metric == "nominal":
        return np.asarray(levels[:, None] != levels[None, :], dtype=float)
    if metric == "interval":
        return np.asarray((levels[:, None] - levels[None, :]) ** 2, dtype=float)
    middle = np.cumsum(margin) - margin / 2
    return np.asarray((middle[:, None] - middle[None, :]) ** 2, dtype=float)


def _two_way(table: Array) -> tuple[float, float, float]:
    """Return components of variance of a table ``(reader, case)``: readers, cases, residual; not truncated."""
    R, C = table.shape
    grand = table.mean()
    ms_r = C * ((table.mean(axis=1) - grand) ** 2).sum() / (R - 1)
    ms_c = R * ((table.mean(axis=0) - grand) ** 2).sum() / (C - 1)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + grand
    residual = (rest**2).sum() / ((R - 1) * (C - 1))
    return float((ms_r - residual) / C), float((ms_c - residual) / R), float(residual)


def _within_variance(first: Array, second: Array) -> float:
    """Return the variance of one reader's difference on one case."""
    return sum(_two_way(first - second))


def _between_variance(first: Array, second: Array) -> float:
    """Return the variance of the difference of two readers under two modalities on one case.

    ``2 (R + RC + MR + MC + MRC)``, all components of the three-way table but the case's own. The two-way parts of the
    mean of the modalities give ``R`` and ``RC``, those of their difference ``MR``, ``MC`` and ``MRC``.
    """
    reader, _, reading = _two_way((first + second) / 2)
    shift_reader, shift_case, shift_rest = (part / 2 for part in _two_way(first - second))
    r, rc = reader - shift_reader / 2, reading - shift_rest / 2
    return 2 * (r + rc + shift_reader + shift_case + shift_rest)
