"""Virtual readers: model observers that look at stored channel responses of the actual images of a study.

Each reader learns a template from the images, is noisy inside, and has a criterion of its own. The scores are those of
model observers, not of people: they show what the images allow, and how large a real study should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from validation.errors import DataProblem, UsageProblem
from validation.reader_study.scores import ReaderScores, natural_key

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverSettings:
    """What the virtual readers are like; fixed in the protocol (``reader_study.simulation``).

    Parameters
    ----------
    observer
        ``hotelling``: channelised Hotelling, which removes correlated noise as far as the training images show it;
        ``npw``: non-prewhitening, which matches the mean signal only.
    readers
        Number of virtual readers.
    internal_noise
        Typical standard deviation of a reader's inner noise, in units of the spread of the observer's response within a
        class (1 lowers a detectability index by the root of 2).
    skill_spread
        Standard deviation over readers of the natural logarithm of the inner noise.
    criterion_spread
        Standard deviation over readers of the criterion at which a reading is called positive.
    folds
        A case is read with templates learned from other clusters only, in this many parts.
    seed
        Of readers, folds and noise.
    """

    observer: Literal["hotelling", "npw"] = "hotelling"
    readers: int = 5
    internal_noise: float = 1.0
    skill_spread: float = 0.2
    criterion_spread: float = 0.3
    folds: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        spreads = (self.internal_noise, self.skill_spread, self.criterion_spread)
        if self.readers < 1 or self.folds < 2 or not all(np.isfinite(s) and s >= 0 for s in spreads):
            raise UsageProblem(
                "virtual readers need a positive number, at least two folds, and spreads that are not negative.",
                code="RDR-024",
                where="simulation",
                action="Correct the settings.",
            )
        if self.observer not in ("hotelling", "npw"):
            raise UsageProblem(
                f"there is no observer {self.observer!r}.",
                code="RDR-024",
                where="simulation",
                action="Use hotelling or npw.",
            )


def simulate_readers(
    channel_responses: dict[str, Array],
    positive: Bools,
    cases: list[str],
    clusters: list[str],
    settings: ObserverSettings,
) -> ReaderScores:
    """Let virtual readers read every case under every modality.

    Parameters
    ----------
    channel_responses
        Modality (such as ``output`` and ``input``) -> ``(case, channel)``, in the unit of the images.
    positive, cases, clusters
        Truth, name and cluster (patient) of each case.

    Returns
    -------
    ReaderScores
        Ratings 0 to 100 (101 levels) and decisions (1 above the reader's criterion), fully crossed.

    Notes
    -----
    For each reader and fold, clusters outside the fold are resampled with replacement: this is what the reader has
    learned from, and why readers differ in skill. The template is ``S**-1 d`` (Hotelling) or ``d``, with ``d`` the mean
    difference and ``S`` the pooled covariance of the classes; the response is standardised by mean and spread of what
    was learned from, inner noise is added for every reading anew, and the rating is ``100 Phi(response / 2)``. A
    reader keeps folds, lessons, skill and criterion under all modalities.

    References
    ----------
    Barrett et al. 1993, doi:10.1073/pnas.90.21.9758 (channels); Burgess & Colborne 1988, J. Opt. Soc. Am. A
    5:617-627 (inner noise); Gallas & Barrett 2003, doi:10.1364/JOSAA.20.001725.

    Raises
    ------
    DataProblem
        If a response is not finite, a class has too few clusters for the folds, or the training cases of a fold are
        fewer than three times the channels.
    """
    from scipy.special import ndtr

    names = sorted(channel_responses, key=natural_key)
    arrays = [np.asarray(channel_responses[name], dtype=float) for name in names]
    positive = np.asarray(positive, dtype=bool)
    _check(arrays, positive, clusters, settings)
    order = sorted(range(len(cases)), key=lambda k: (bool(positive[k]), natural_key(cases[k])))
    arrays, positive = [a[order] for a in arrays], positive[order]
    groups = np.unique([clusters[k] for k in order], return_inverse=True)[1]
    rng = np.random.default_rng(settings.seed)
    fold = _folds(groups, positive, settings.folds, rng)
    R, M, N = settings.readers, len(names), len(cases)
    response = np.empty((R, M, N))
    for j in range(R):
        for part in range(settings.folds):
            lesson = _lesson(groups, fold, part, positive, rng)
            for m, x in enumerate(arrays):
                response[j, m, fold == part] = _read(x, positive, lesson, fold == part, settings.observer)
    skill = settings.internal_noise * np.exp(rng.normal(0, settings.skill_spread, (R, 1, 1)))
    criterion = rng.normal(0, settings.criterion_spread, (R, 1, 1))
    response += skill * rng.normal(size=response.shape)
    return ReaderScores(
        readers=tuple(f"virtual {j + 1}" for j in range(R)),
        modalities=tuple(names),
        cases=tuple(cases[k] for k in order),
        positive=positive,
        score=np.round(100 * ndtr(response / 2)),
        decision=(response > criterion).astype(float),
    )


def _folds(groups: Index, positive: Bools, number: int, rng: np.random.Generator) -> Index:
    """Return the fold of each case: whole clusters, and those with a diseased case spread evenly."""
    diseased = np.zeros(groups.max() + 1, dtype=bool)
    diseased[groups[positive]] = True
    of_cluster = np.empty(len(diseased), dtype=np.int64)
    for kind in (diseased, ~diseased):
        members = rng.permutation(np.flatnonzero(kind))
        of_cluster[members] = np.arange(len(members)) % number
    return of_cluster[groups]


def _lesson(groups: Index, fold: Index, part: int, positive: Bools, rng: np.random.Generator) -> Index:
    """Return the cases of a bootstrap sample of the clusters outside the fold; both classes are in it."""
    outside = np.unique(groups[fold != part])
    members = {int(g): np.flatnonzero(groups == g) for g in outside}
    while True:
        drawn = rng.choice(outside, size=len(outside))
        cases = np.concatenate([members[int(g)] for g in drawn])
        if min(positive[cases].sum(), (~positive[cases]).sum()) >= 2:
            return cases


def _read(x: Array, positive: Bools, lesson: Index, at: Bools, observer: str) -> Array:
    """Return the standardised responses of one reader to the cases of one fold."""
    with_signal, without = x[lesson][positive[lesson]], x[lesson][~positive[lesson]]
    difference = with_signal.mean(0) - without.mean(0)
    centred = np.concatenate([with_signal - with_signal.mean(0), without - without.mean(0)])
    covariance = centred.T @ centred / (len(centred) - 2)
    template = np.linalg.pinv(covariance, hermitian=True) @ difference if observer == "hotelling" else difference
    middle = (with_signal.mean(0) + without.mean(0)) / 2 @ template
    spread = float(np.sqrt(template @ covariance @ template))
    if not spread > 0:
        return np.zeros(int(at.sum()))  # no signal and no noise in what was learned from: every case looks the same
    return np.asarray((x[at] @ template - middle) / spread, dtype=float)


def _check(arrays: list[Array], positive: Bools, clusters: list[str], settings: ObserverSettings) -> None:
    """Refuse data from which no reader could learn."""
    if not arrays or any(a.ndim != 2 or len(a) != len(positive) or not np.isfinite(a).all() for a in arrays):
        raise _short("every case needs finite channel responses under every modality")
    channels = arrays[0].shape[1]
    for label in (True, False):
        count = len({c for c, p in zip(clusters, positive, strict=True) if bool(p) is label})
        if count < max(2 * settings.folds, 4):
            kind = "signal" if label else "no signal"
            raise _short(f"{count} clusters with {kind} are too few for {settings.folds} folds")
    if len(positive) * (1 - 1 / settings.folds) < 3 * channels:
        raise _short(f"{len(positive)} cases are too few to learn {channels} channels")


def _short(what: str) -> DataProblem:
    return DataProblem(
        f"{what}.",
        code="RDR-024",
        where="channel responses",
        why="A reader that learned from too little, or from the cases it reads, says nothing about the images.",
        action="Measure more cases, fewer channels, or use fewer folds.",
    )
