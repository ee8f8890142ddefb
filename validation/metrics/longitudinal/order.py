"""Order of visits: what stands next to what, what comes early, how values move. Shuffled visits lose all three."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from validation.metrics.longitudinal.events import Events, Floats, Histories
from validation.metrics.longitudinal.profiles import classes, visit_presence


def adjacency(e: Events, h: Histories) -> Floats:
    """Return, per patient with three visits or more, how much more alike neighbouring visits are than distant ones.

    Mean Jaccard similarity of neighbouring visits minus that of visits two apart (codes as sets): no larger than chance
    where visits stand in random order.
    """
    seen = visit_presence(e, np.arange(len(h.codes)), len(h.codes))
    who, _ = e.visits
    size = np.asarray(seen.sum(1)).ravel()
    mean = []
    for step in (1, 2):
        at = np.flatnonzero(who[step:] == who[:-step])
        common = np.asarray(seen[at].multiply(seen[at + step]).sum(1)).ravel()
        alike = common / np.maximum(1, size[at] + size[at + step] - common)
        total = np.bincount(who[at], alike, minlength=e.patients)
        number = np.bincount(who[at], minlength=e.patients)
        with np.errstate(all="ignore"):
            mean.append(total / number)
    gap = mean[0] - mean[1]
    return np.asarray(gap[np.isfinite(gap)])


def positions(e: Events, h: Histories, top: int) -> Any:
    """Return patients by classes of codes: the sum of places of their visits, from -1 (first) to 1 (last).

    A code that comes early sums below zero. Patients with one visit have no places.
    """
    who, _ = e.visits
    number = e.visit_counts[who]
    place = np.where(number > 1, 2 * e.rank / np.maximum(1, number - 1) - 1, 0.0)
    dated = e.visit >= 0
    pairs = np.unique(np.stack([e.visit[dated], classes(h, top)[e.code[dated]]], axis=1), axis=0)
    found = sparse.csr_matrix((place[pairs[:, 0]], (who[pairs[:, 0]], pairs[:, 1])), shape=(e.patients, top + 1))
    found.sum_duplicates()
    return found


def growth(e: Events) -> Floats:
    """Return, per patient with two visits or more, the correlation of visit number and number of events."""
    who, _ = e.visits
    size = np.bincount(e.visit[e.visit >= 0], minlength=len(who)).astype(np.float64)
    return within_correlation(who, e.rank.astype(np.float64), size, e.patients)


def within_correlation(who: Any, x: Floats, y: Floats, patients: int) -> Floats:
    """Return the correlation of x and y within each patient who has a spread in both."""

    def mean(v: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.asarray(np.bincount(who, v, minlength=patients) / np.bincount(who, minlength=patients))

    mx, my = mean(x), mean(y)
    dx, dy = x - mx[who], y - my[who]
    vx, vy, c = mean(dx * dx), mean(dy * dy), mean(dx * dy)
    with np.errstate(all="ignore"):
        r = c / np.sqrt(vx * vy)
    return np.asarray(np.clip(r[np.isfinite(r) & (vx > 1e-12) & (vy > 1e-12)], -1, 1))


def trajectories(e: Events, code: int) -> dict[str, Floats]:
    """Return, per patient with a measured value of the code, its mean; with two or more, slope sign and step.

    ``mean`` level, ``trend`` correlation of value and order, ``step`` mean absolute change between neighbouring values
    over the mean absolute difference of all pairs (1 where order means nothing).
    """
    mine = np.flatnonzero((e.code == code) & np.isfinite(e.value) & (e.visit >= 0))
    who, value = e.patient[mine], e.value[mine]
    number = np.bincount(who, minlength=e.patients)
    with np.errstate(all="ignore"):
        mean = np.bincount(who, value, minlength=e.patients) / number
    start = np.searchsorted(who, np.arange(e.patients), side="left")
    place = (np.arange(len(who)) - start[who]).astype(np.float64)
    follows = np.flatnonzero(who[1:] == who[:-1])
    step = np.bincount(who[follows], np.abs(value[follows + 1] - value[follows]), minlength=e.patients)
    # mean absolute difference of all pairs from the sorted values
    order = np.lexsort((value, who))
    ranked = (2 * place + 1 - number[who]) * value[order]
    spread = np.bincount(who, ranked, minlength=e.patients)
    with np.errstate(all="ignore"):
        ratio = (step / (number - 1)) / (spread / (number * (number - 1) / 2))
    return {
        "mean": mean[np.isfinite(mean)],
        "trend": within_correlation(who, place, value, e.patients),
        "step": ratio[(number > 2) & np.isfinite(ratio)],
    }
