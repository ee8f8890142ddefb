"""Interchangeability: whether a new way of reading disagrees with readers no more than they do with each other.

For human-edited proposals: ``new`` are readings made by editing the model's proposal, ``reference`` readings made from
scratch. Interchangeable does not mean accurate: both may share an error, so that accuracy needs an endpoint of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        ``random`` adds the variance between readers to that over patients: the index without each reader (jackknife),
        less the part of its variance that patients explain, not below 0; t law with Satterthwaite's degrees of freedom.
        ``fixed`` resamples patients only (BCa bootstrap), and holds for these readers.
    clusters
        ``(case,)`` patient of each case; cases of one patient are drawn together.
    alpha
        Two-sided error of the interval; the claim spends ``alpha / 2``.

    Notes
    -----
    Of each case ``between`` averages over all pairs of different readers who read it so; ``within`` likewise. Cases
    that lack one of the two are left out and not counted in ``n``.

    With ``random`` readers, simulated intervals of level 0.95 cover 0.95 to 0.98 where readers keep their habits, and
    0.85 to 0.95 with 4 to 10 readers whose habits change much under ``new``: the index is then a square of few effects
    and skewed, and the upper limit too low. Take more readers where readers differ, not a smaller margin.

    References
    ----------
    Obuchowski, Subhas & Schoenhagen 2014, doi:10.1016/j.acra.2014.07.013 (testing for interchangeability of imaging
    tests); Barnhart, Kosinski & Haber 2007, doi:10.1080/10543400701329489 (individual equivalence).

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
    fits = {name: _resampled(groups.sums(v), groups.sizes, replicates, seed) for name, v in parts.items()}
    taking_part = np.flatnonzero((~np.isnan(a)).any(axis=1) | (~np.isnan(b)).any(axis=1))
    spread, lost = (0.0, "") if readers == "fixed" else _reader_variance(a, b, distance, taking_part, used, groups)

    def estimate(name: str, level: float) -> Estimate:
        if name == "index" and readers == "random":
            sums = groups.sums(parts["index"])
            return _two_way(sums, groups.sizes, spread, lost, len(taking_part), int(used.sum()), level, distance)
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


def _reader_variance(
    a: Array, b: Array, distance: Distance, readers: NDArray[np.intp], used: NDArray[np.bool_], groups: Clusters
) -> tuple[float, str]:
    """Return the jackknife variance over readers less what patients explain of it, or why there is none.

    A system that reads alone is no sample of readers: it is never left out.
    """
    people = [r for r in readers if not np.isnan(b[r]).all()]
    if len(people) < 3:
        return 0.0, f"{len(people)} readers: their variance needs three or more; these readers only: --readers fixed"
    rows = []
    for left in people:
        chosen = np.ones(len(a), dtype=bool)
        chosen[left] = False
        between, within = _disagreements(a, b, distance, chosen)
        gap = (between - within)[used]
        if np.isnan(gap).all():
            return 0.0, "without one of the readers no case is left, so that readers cannot be a sample"
        mean = np.nanmean(gap)
        rows.append(groups.sums(np.where(np.isnan(gap), mean, gap)) / groups.sizes.sum())
    m, G = len(people), groups.count
    off = np.array(rows) - np.mean(rows, axis=0)  # (reader, patient): what leaving a reader out changes
    whole = (m - 1) / m * float((off.sum(axis=1) ** 2).sum())
    if G < 2:
        return whole, ""
    by_patient = (m - 1) / m * G / (G - 1) * float(((off - off.mean(axis=1, keepdims=True)) ** 2).sum())
    return max(whole - by_patient, 0.0), ""


def _two_way(
    sums: Array, sizes: Array, spread: float, lost: str, readers: int, n: int, level: float, distance: Distance
) -> Estimate:
    """Return the index with an interval from the variances over patients and over readers."""
    from scipy import stats

    G = len(sizes)
    method = f"individual equivalence index ({distance}), variance over readers and patients, t"
    value = float(sums.sum() / sizes.sum())
    residual = (sums - value * sizes) / sizes.sum()
    over_patients = G / (G - 1) * float((residual**2).sum()) if G > 1 else 0.0
    variance = over_patients + spread
    reason = lost or ("one patient is no sample" if G < 2 else "")
    if not reason and variance <= 1e-18:
        reason = "readings showed no variation, so that no interval can be formed"
    lower = upper = None
    if not reason:
        df = variance**2 / (over_patients**2 / (G - 1) + spread**2 / max(readers - 1, 1))
        half = float(stats.t.ppf((1 + level) / 2, df)) * variance**0.5
        lower, upper = value - half, value + half
    return Estimate(
        value=value, lower=lower, upper=upper, method=method, n=n, unit=_UNITS[distance], level=level, n_clusters=G,
        reason=reason,
    )  # fmt: skip
