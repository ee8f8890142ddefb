"""Free-response detection: lesions found against false marks per image, and the area under the weighted AFROC curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.clusters import group
from validation.statistics.resampling import Statistic
from validation.statistics.roc import score_limits
from validation.statistics.sample import Floats, Sample


@dataclass(frozen=True, eq=False)
class FreeResponse:
    """Lesions and false marks with the cluster of each.

    ``lesion_score`` (L,) is the highest score of a mark on the lesion, minus infinity if it was not found;
    ``false_score`` (F,) of false marks; ``images`` counts images per cluster.
    """

    lesion_score: Floats
    lesion_cluster: npt.NDArray[np.intp]
    false_score: Floats
    false_cluster: npt.NDArray[np.intp]
    images: Floats


def at_rates(data: FreeResponse, rates: tuple[float, ...]) -> Statistic:
    """Return the statistic: mean over rates of the share of lesions found, for weights (b, G) of clusters."""
    order = np.argsort(-data.false_score, kind="stable")
    scores, clusters = data.false_score[order], data.false_cluster[order]
    # a lesion is found at a threshold when its score is at least that; marks tied with it are false too
    ahead = np.searchsorted(-scores, -data.lesion_score, side="right")
    lost = ~np.isfinite(data.lesion_score)

    def statistic(weights: Floats) -> Floats:
        running = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights[:, clusters], axis=1)], axis=1)
        per_image = running[:, ahead] / (weights @ data.images)[:, None]
        lesions = weights[:, data.lesion_cluster]
        total = lesions.sum(1)
        shares = [(lesions * ((per_image <= rate) & ~lost)).sum(1) for rate in rates]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.mean(shares, axis=0) / total)

    return statistic


@dataclass(frozen=True, eq=False)
class RatedCases:
    """Marks and lesions of cases, from a sample of ``mark_ratings``.

    ``lesions`` (n,) counts them; ``ratings`` (n, most) of lesions that were hit, NaN beyond; ``false`` (n, most)
    of false marks, NaN beyond; ``clusters`` (n,).
    """

    lesions: Floats
    ratings: Floats
    false: Floats
    clusters: npt.NDArray[np.generic]


def rated_cases(sample: Sample, smallest_ml: float | None = None, largest_ml: float | None = None) -> RatedCases:
    """Return the usable cases of a sample of ``mark_ratings``, optionally only lesions of some sizes (in mL).

    Raises
    ------
    ValueError
        If the sample holds other components: a defect of the caller.
    """
    names = sample.component_names
    if sample.components is None or "lesions" not in names:
        raise ValueError("the components are not those of mark_ratings")
    columns = dict(zip(names, sample.components.T, strict=True))
    usable = np.isfinite(columns["lesions"])
    n = int(usable.sum())

    def block(kind: str) -> Floats:
        found = [columns[name][usable] for name in names if name.startswith(f"{kind} ") and name[-3:].isdigit()]
        return np.stack(found, axis=1) if found else np.empty((n, 0))

    lesions, ratings = columns["lesions"][usable], block("lesion")
    if smallest_ml is not None or largest_ml is not None:
        width = int(lesions.max()) if n else 0
        sizes, all_ratings = np.full((n, width), np.nan), np.full((n, width), np.nan)
        for name in names:
            number = int(name[-3:]) - 1 if name[-3:].isdigit() else width
            if number < width and name.startswith("size "):
                sizes[:, number] = columns[name][usable]
            if number < width and name.startswith("lesion "):
                all_ratings[:, number] = columns[name][usable]
        low, high = smallest_ml or 0.0, math.inf if largest_ml is None else largest_ml
        inside = (sizes >= low) & (sizes < high)
        lesions, ratings = inside.sum(1).astype(np.float64), np.where(inside, all_ratings, np.nan)
    return RatedCases(lesions, ratings, block("false"), sample.clusters[usable])


def free_response_of(cases: RatedCases) -> FreeResponse:
    """Return lesions and false marks by patient; lesions that no mark hit have minus infinity."""
    groups = group(cases.clusters, len(cases.lesions))
    hit = np.isfinite(cases.ratings)
    missed = (cases.lesions - hit.sum(1)).astype(np.intp)
    wrong = np.isfinite(cases.false)
    return FreeResponse(
        np.concatenate([cases.ratings[hit], np.full(int(missed.sum()), -np.inf)]),
        np.concatenate([np.repeat(groups.codes, hit.sum(1)), np.repeat(groups.codes, missed)]),
        cases.false[wrong],
        np.repeat(groups.codes, wrong.sum(1)),
        groups.sizes,
    )


def wafroc(cases: RatedCases, *, level: float = 0.95, unit: str = "1") -> Estimate:
    r"""Estimate the area under the weighted AFROC curve, with equal weights of the lesions of a case.

    .. math:: \theta = \frac{1}{n_0 n_1} \sum_{i} \sum_{j} \sum_{l} w_{jl} \psi(z_{jl}, x_i)

    over cases i without lesions, whose highest false mark is x, and lesions l of cases j; a lesion without mark and a
    case without false mark have minus infinity, and ties count half. It rises with lesions found above the false marks
    of healthy cases; chance has no fixed value. The variance is Obuchowski's for clustered two-sample U-statistics,
    patients as clusters, on the logit scale; Student's t on the patients of the smaller class less one where patients
    have several cases.

    Insufficient with fewer than two patients with, or without, lesions.

    References
    ----------
    Chakraborty and Zhai 2016, doi:10.1118/1.4947125; Obuchowski 1997, doi:10.2307/2533958.
    """
    diseased = cases.lesions > 0
    n1, n0 = int(diseased.sum()), int((~diseased).sum())
    groups = group(cases.clusters, len(diseased))
    method = "wAFROC area, equal weights, Obuchowski (clusters: patients), logit"
    with_lesion, without = (np.unique(groups.codes[which]).size for which in (diseased, ~diseased))
    if min(with_lesion, without) < 2:
        return Estimate.insufficient(
            f"at least two patients with and two without lesions are needed; there are {with_lesion} and {without}",
            n=len(diseased), unit=unit, method=method, level=level, n_events=n1, n_clusters=groups.count,
        )  # fmt: skip
    healthy = np.sort(_highest(cases.false[~diseased]))
    hit = np.isfinite(cases.ratings[diseased])
    weights = 1 / cases.lesions[diseased]
    below = _share_below(healthy, np.where(hit, cases.ratings[diseased], -np.inf))
    nothing = float(_share_below(healthy, np.array([-np.inf]))[0])
    of_diseased = weights * (np.where(hit, below, 0.0).sum(1) + (cases.lesions[diseased] - hit.sum(1)) * nothing)
    of_healthy = _weight_above(cases, diseased, hit, weights) / n1
    area = float(of_diseased.mean())
    v10, v01 = np.zeros(len(diseased)), np.zeros(len(diseased))
    v10[diseased], v01[~diseased] = of_diseased - area, of_healthy - area
    a, b = groups.sums(v10) / n1, groups.sums(v01) / n0
    g = groups.count
    variance = with_lesion / (with_lesion - 1) * (a @ a) + without / (without - 1) * (b @ b) + 2 * g / (g - 1) * (a @ b)
    if variance < 1e-24 or not 0 < area < 1:
        limits = score_limits(area, with_lesion, without, level)
        method = "wAFROC area, Newcombe score interval on patients (estimated variance is zero)"
    else:
        tail = (1 - level) / 2
        quantile = stats.norm.isf(tail) if groups.single else stats.t.isf(tail, min(with_lesion, without) - 1)
        spread, centre = quantile * math.sqrt(variance) / (area * (1 - area)), math.log(area / (1 - area))
        limits = (float(1 / (1 + math.exp(spread - centre))), float(1 / (1 + math.exp(-centre - spread))))
    return Estimate(
        value=area, lower=min(limits[0], area), upper=max(limits[1], area), method=method, n=len(diseased), unit=unit,
        level=level, n_events=n1, n_clusters=g,
    )  # fmt: skip


def _highest(false: Floats) -> Floats:
    """Return the highest false mark of each case, minus infinity without one."""
    return np.asarray(np.where(np.isnan(false), -np.inf, false).max(axis=1, initial=-np.inf))


def _share_below(ordered: Floats, ratings: Floats) -> Floats:
    """Return the share of ordered values below each rating, ties counted half."""
    low = np.searchsorted(ordered, ratings, side="left")
    high = np.searchsorted(ordered, ratings, side="right")
    return np.asarray((low + high) / 2 / len(ordered))


def _weight_above(cases: RatedCases, diseased: npt.NDArray[np.bool_], hit: npt.NDArray[np.bool_], w: Floats) -> Floats:
    """Return for each healthy case the total weight of lesions rated above its highest false mark, ties half."""
    missed = cases.lesions[diseased] - hit.sum(1)
    ratings = np.concatenate([cases.ratings[diseased][hit], np.full(len(w), -np.inf)])
    weights = np.concatenate([np.repeat(w, hit.sum(1)), w * missed])
    order = np.argsort(ratings, kind="stable")
    running = np.concatenate([[0.0], np.cumsum(weights[order])])
    highest = _highest(cases.false[~diseased])
    low = np.searchsorted(ratings[order], highest, side="left")
    high = np.searchsorted(ratings[order], highest, side="right")
    return np.asarray(running[-1] - (running[low] + running[high]) / 2)
