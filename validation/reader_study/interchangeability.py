"""Interchangeability: whether a new way of reading disagrees with readers no more than they do with each other.

For human-edited proposals: ``new`` are readings made by editing the model's proposal, ``reference`` readings made from
scratch. Interchangeable does not mean accurate: both may share an error, so that accuracy needs an endpoint of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate, Verdict
from validation.reader_study.scores import ReaderScores
from validation.statistics.clusters import Clusters, group
from validation.statistics.hypotheses import judge
from validation.statistics.resampling import Bootstrap, bootstrap, bootstrap_estimate

Array = NDArray[np.float64]
Distance = Literal["squared", "absolute", "category"]
THESE_READERS = "This speaks only of the readers who took part: readers are fixed, and others may disagree more."
_FIXED = "to speak of these readers only: --readers fixed"
_UNITS = {"squared": "squared score", "absolute": "score", "category": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interchangeability:
    """The individual equivalence index with its two parts, and the verdict.

    Parameters
    ----------
    index
        ``E d(new_j, reference_k) - E d(reference_j, reference_k)`` over different readers ``j != k``.
    between
        Disagreement of a new reading with another reader's reference reading.
    within
        Disagreement of two readers' reference readings.
    verdict
        Non-inferiority of the index: its upper limit lies below the margin.
    """

    index: Estimate
    between: Estimate
    within: Estimate
    verdict: Verdict


def interchangeability(
    scores: ReaderScores,
    *,
    new: str,
    reference: str,
    margin: float,
    distance: Distance = "squared",
    readers: Literal["random", "fixed"] = "random",
    clusters: NDArray[np.generic] | None = None,
    alpha: float = 0.05,
    replicates: int = 2000,
    seed: int = 1,
) -> Interchangeability:
    """Estimate the individual equivalence index and compare it with a margin.

    Parameters
    ----------
    new, reference
        Modalities. A system that reads alone is one reader of ``new``, of a name that no reader of ``reference`` has.
    margin
        Largest index of no consequence: squared or plain units of the score, or for ``category`` a difference of
        shares of disagreement, such as 0.05.
    distance
        Of two readings: squared or absolute difference, or 1 if they differ at all.
    readers
        ``random`` is conservative. Its variance is the sum of that over patients and of the jackknife over readers,
        although the latter holds a part of the former; t law with Satterthwaite's degrees of freedom. The upper limit,
        on which the verdict rests, also bounds how far other readers may change their habits (see Notes).
        ``fixed`` resamples patients only (BCa bootstrap), and holds for these readers, as its verdict says.
    clusters
        ``(case,)`` patient of each case; cases of one patient are drawn together.
    alpha
        Two-sided error of the interval; the claim spends ``alpha / 2``.

    Notes
    -----
    Of each case ``between`` averages over all pairs of different readers who read it so; ``within`` likewise. Cases
    that lack one of the two are left out and not counted in ``n``.

    Of ``random`` readers, reader ``j`` reads on average ``s_j`` higher or lower under ``new``. With squared distances
    the index holds the mean of ``s_j^2``, which a few readers show by a skewed law (chi-squared), so that ``value +
    half`` of the t interval would be too low up to 17 % of the time whatever the variance. The upper limit is therefore
    ``value + sqrt(half^2 + (H (m / q - 1))^2)`` with ``H`` the mean of ``s_j^2`` over ``m`` readers and ``q`` the
    ``alpha / 2`` quantile of chi-squared with ``m`` degrees of freedom (as in modified large-sample limits of variance
    components). For ``absolute`` distances ``H`` is the mean of ``|s_j|`` and ``m / q`` its square root. For
    ``category``, whose readings may have no order, ``H`` is the index itself (0 if negative), and t has at most
    ``m - 1`` degrees of freedom and half the error, since no shift tells how habits changed.
    Shifts are taken to be normal among readers. A new reader without reference readings is compared with the mean
    reference reading; a system that reads alone is one system, no sample, and has no shift.

    Simulated upper limits at ``alpha = 0.05`` lie below the truth at most as often as 2.5 % within simulation error
    (3 to 15 readers, habits unchanged to changed by 2.5 times the noise). The price is power: where habits change, few
    readers pass rarely; take more readers, not a larger margin.

    References
    ----------
    Obuchowski, Subhas & Schoenhagen 2014, doi:10.1016/j.acra.2014.07.004 (testing for interchangeability of imaging
    tests); Barnhart, Kosinski & Haber 2007, doi:10.1080/10543400701329489 (individual equivalence); Graybill & Wang
    1980, J Am Stat Assoc 75:869-873 (modified large-sample limits of sums of variances).

    Raises
    ------
    UsageProblem
        If a modality does not exist, or the margin is not positive.
    DataProblem
        If fewer than two readers read the reference, or no case has readings of both kinds by different readers.
    """
    for name in (new, reference):
        if name not in scores.modalities or new == reference:
            raise UsageProblem(
                f"there is no modality {name!r}, or both are the same.",
                code="RDR-012",
                where="--new",
                action=f"Choose two of {', '.join(scores.modalities)}.",
            )
    if not margin > 0:
        raise UsageProblem("interchangeability needs a positive margin.", code="RDR-010", where="--margin")
    a, b = (scores.score[:, scores.modalities.index(name)] for name in (new, reference))
    everyone = np.ones(len(scores.readers), dtype=bool)
    between, within = _disagreements(a, b, distance, everyone)
    used = ~np.isnan(between) & ~np.isnan(within)
    who = np.flatnonzero((~np.isnan(b)).any(axis=1))
    if len(who) < 2 or not used.any():
        raise DataProblem(
            "interchangeability compares pairs of different readers, and no case has both kinds of pairs.",
            code="RDR-015",
            where="scores",
            why="How much readers disagree with each other is the yardstick.",
            action="Have at least two readers read every case under the reference condition.",
        )
    groups = group(None if clusters is None else np.asarray(clusters)[used], int(used.sum()))
    parts = {"between": between[used], "within": within[used], "index": (between - within)[used]}
    sampled = readers == "random"
    fits = {
        name: _resampled(groups.sums(v), groups.sizes, replicates, seed)
        for name, v in parts.items()
        if not (sampled and name == "index")
    }
    over_readers = _over_readers(a, b, distance, used, groups) if sampled else None

    def estimate(name: str, level: float) -> Estimate:
        if name == "index" and over_readers is not None:
            sums = groups.sums(parts["index"])
            return _two_way(sums, groups.sizes, over_readers, int(used.sum()), level, distance)
        return bootstrap_estimate(
            fits[name],
            n=int(used.sum()),
            n_clusters=groups.count,
            level=level,
            unit=_UNITS[distance],
            what=f"{'individual equivalence index' if name == 'index' else name} ({distance})",
            interval="bca",
        )

    index, verdict = judge(
        lambda level: estimate("index", level),
        hypothesis="non_inferiority",
        margin=margin,
        alpha=alpha / 2,
        better="lower",
    )
    if not sampled:
        verdict = replace(verdict, reason=f"{verdict.reason} {THESE_READERS}")
    level = 1 - alpha
    return Interchangeability(
        index=index, between=estimate("between", level), within=estimate("within", level), verdict=verdict
    )


def _disagreements(a: Array, b: Array, distance: Distance, chosen: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return, per case, the mean distance of new and reference readings, and of two reference readings."""

    def mean(x: Array, y: Array) -> Array:
        gap = x[:, None] - y[None]
        d = {"squared": gap**2, "absolute": np.abs(gap), "category": np.where(np.isnan(gap), np.nan, gap != 0)}[
            distance
        ]
        d = d[~np.eye(len(x), dtype=bool)]
        number = (~np.isnan(d)).sum(axis=0)
        total = np.nansum(d, axis=0)
        return np.asarray(np.where(number > 0, total / np.maximum(number, 1), np.nan))

    return mean(a[chosen], b[chosen]), mean(b[chosen], b[chosen])


def _resampled(sums: Array, sizes: Array, replicates: int, seed: int) -> Bootstrap | None:
    """Return bootstrap replicates of a mean over patients."""
    if len(sizes) < 2:
        return None
    return bootstrap(lambda w: (w @ sums) / (w @ sizes), len(sizes), replicates=replicates, seed=seed)


@dataclass(frozen=True, slots=True)
class _OverReaders:
    """What readers as a sample add: jackknife variance, their number, and the mean size of shifts of ``shifted``."""

    variance: float
    readers: int
    shift: float
    shifted: int
    lost: str = ""


def _over_readers(a: Array, b: Array, distance: Distance, used: NDArray[np.bool_], groups: Clusters) -> _OverReaders:
    """Return what a sample of readers adds to the variance, or why it cannot be told.

    A system that reads alone is no sample of readers: it is never left out, and has no shift.
    """
    has_new, has_reference = ((~np.isnan(x[:, used])).any(axis=1) for x in (a, b))
    alone = has_new.sum() == 1 and not (has_new & has_reference).any()
    people = np.flatnonzero(has_reference if alone else has_new | has_reference)
    m = len(people)
    if m < 3:
        return _OverReaders(0.0, m, 0.0, 0, f"{m} readers: their variance needs three or more; {_FIXED}")
    rows = []
    for left in people:
        chosen = np.ones(len(a), dtype=bool)
        chosen[left] = False
        between, within = _disagreements(a, b, distance, chosen)
        gap = (between - within)[used]
        if np.isnan(gap).all():
            return _OverReaders(0.0, m, 0.0, 0, f"without one of the readers no case is left; {_FIXED}")
        rows.append(groups.sums(np.where(np.isnan(gap), np.nanmean(gap), gap)).sum() / groups.sizes.sum())
    variance = (m - 1) / m * float(((np.array(rows) - np.mean(rows)) ** 2).sum())
    if alone:
        return _OverReaders(variance, m, 0.0, 0)
    usual = np.nanmean(b[:, used], axis=0)
    shifts = []
    for j in np.flatnonzero(has_new):
        own = a[j, used] - b[j, used]
        if np.isnan(own).all():
            own = a[j, used] - usual
        if not np.isnan(own).all():
            shifts.append(float(np.nanmean(own)))
    size = np.abs(shifts) if distance == "absolute" else np.square(shifts)
    return _OverReaders(variance, m, float(size.mean()), len(shifts))


def _two_way(sums: Array, sizes: Array, over: _OverReaders, n: int, level: float, distance: Distance) -> Estimate:
    """Return the index with limits from the variances over patients and over readers, and from shifts of habits."""
    from scipy import stats

    G = len(sizes)
    method = (
        f"individual equivalence index ({distance}), random readers: conservative variance (patients plus readers), t; "
        "upper limit widened for changed habits (chi-squared)"
    )
    value = float(sums.sum() / sizes.sum())
    residual = (sums - value * sizes) / sizes.sum()
    over_patients = G / (G - 1) * float((residual**2).sum()) if G > 1 else 0.0
    variance = over_patients + over.variance
    reason = over.lost or ("one patient is no sample" if G < 2 else "")
    if not reason and variance <= 1e-18:
        reason = "readings showed no variation, so that no interval can be formed"
    lower = upper = None
    if not reason:
        df = variance**2 / (over_patients**2 / (G - 1) + over.variance**2 / (over.readers - 1))
        if distance == "category":
            df = min(df, over.readers - 1)
        tail = (1 - level) / (4 if distance == "category" else 2)  # categories: no shift tells how habits changed
        half = float(stats.t.ppf(1 - tail, df)) * variance**0.5
        further = 0.0
        if over.shifted:
            ratio = over.shifted / float(stats.chi2.ppf((1 - level) / 2, over.shifted))
            size = max(value, 0.0) if distance == "category" else over.shift  # shifts have no unit among categories
            further = size * ((ratio**0.5 if distance == "absolute" else ratio) - 1)
        lower, upper = value - half, value + float(np.hypot(half, further))
    return Estimate(
        value=value, lower=lower, upper=upper, method=method, n=n, unit=_UNITS[distance], level=level, n_clusters=G,
        reason=reason,
    )  # fmt: skip
