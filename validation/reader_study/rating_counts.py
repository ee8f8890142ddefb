"""Ratings as counts of ordered categories: joining them, what they can tell of a curve, and how well one fits.

Many categories give the same fit as their runs: where neighbouring categories hold cases of one class only, the
likelihood depends on their sum (Metz, Herman & Shen 1998,
doi:10.1002/(SICI)1097-0258(19980515)17:9<1033::AID-SIM784>3.0.CO;2-Z), so that continuous ratings are fitted too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CATEGORIES = 24  # runs of continuous ratings are joined down to so many, as LABROC5 does


def rating_counts(score: Array, positive: NDArray[np.bool_]) -> tuple[Array, NDArray[np.int64]]:
    """Return counts ``(2, category)`` of negative and positive cases, lowest ratings first, and each case's category.

    Categories are the distinct ratings with runs of one class joined; above :data:`CATEGORIES`, neighbours with the
    fewest cases are joined too.

    >>> rating_counts(np.array([1.0, 2.0, 3.0, 3.5, 4.0]), np.array([False, False, True, False, True]))[0]
    array([[2., 0., 1., 0.],
           [0., 1., 0., 1.]])
    """
    levels, place = np.unique(score, return_inverse=True)
    counts = np.stack(
        [np.bincount(place[~positive], minlength=len(levels)), np.bincount(place[positive], minlength=len(levels))]
    )
    group = runs(counts)
    joined = join(counts.astype(float), group)
    while joined.shape[1] > CATEGORIES:
        size = joined.sum(axis=0)
        k = int(np.argmin(size[:-1] + size[1:]))
        group = np.where(group > k, group - 1, group)
        joined = join(counts.astype(float), group)
    return joined, group[place]


def degenerate(counts: Array) -> tuple[str, bool]:
    """Return why counts allow no fit (empty if they do), and whether the fit is the perfect curve.

    >>> degenerate(np.array([[5.0, 0.0], [0.0, 5.0]]))
    ('', True)
    >>> degenerate(np.array([[5.0], [5.0]]))[0]
    'all ratings are tied: they hold no information'
    """
    joined = join(counts, runs(counts))
    total = joined.sum(axis=1)
    if (total == 0).any():
        return "there are no cases of one class", False
    if joined.shape[1] == 1:
        return "all ratings are tied: they hold no information", False
    fp = 1 - joined[0].cumsum()[:-1] / total[0]
    tp = 1 - joined[1].cumsum()[:-1] / total[1]
    left, top = fp <= 1e-12, tp >= 1 - 1e-12
    if (left & top).any() or ((left | top).all() and left.any() and top.any()):
        return "", True
    bottom, right = tp <= 1e-12, fp >= 1 - 1e-12
    if (left | bottom).all() or (top | right).all() or (right | bottom).all() or (left | top).all():
        return "every operating point lies on the edge of the unit square: many curves fit equally well", False
    inner = int((~(left | top | bottom | right)).sum())
    if joined.shape[1] == 2 and inner == 1:
        return "the ratings have one threshold only: one operating point does not fix a curve", False
    return "", False


def goodness_of_fit(observed: Array, expected: Array) -> tuple[float | None, int, str]:
    """Return Pearson's chi-square of counts in the fitted categories, its degrees of freedom, and why it is missing.

    Neighbouring categories are joined until every expected count is 5 or more; ``df = categories - 3``.
    """
    o, e = observed.copy(), expected.copy()
    while o.shape[1] > 1 and e.min() < 5:
        k = int(np.argmin(e.min(axis=0)))
        j = k - 1 if k == o.shape[1] - 1 or (k > 0 and e[:, k - 1].sum() < e[:, k + 1].sum()) else k
        group = np.arange(o.shape[1]) - (np.arange(o.shape[1]) > j)
        o, e = join(o, group), join(e, group)
    df = o.shape[1] - 3
    if df < 1:
        return None, 0, "too few categories with five expected cases of each class to test the fit"
    return float(((o - e) ** 2 / e).sum()), df, ""


def fitted_categories(counts: Array) -> Array:
    """Return counts with empty categories and runs of one class joined, as they are fitted."""
    return join(counts, runs(counts))


def runs(counts: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the group of each category: empty ones and runs of one class belong to the group before them."""
    kind = (counts[0] > 0).astype(int) + 2 * (counts[1] > 0).astype(int)
    group = np.zeros(len(kind), dtype=np.int64)
    last, g = 0, 0
    for k, now in enumerate(kind):
        if now and last and not (now == last and now < 3):
            g += 1
        group[k] = g
        last = now or last
    return group


def join(counts: Array, group: NDArray[np.int64]) -> Array:
    """Return counts summed over groups."""
    out = np.zeros((2, int(group[-1]) + 1))
    np.add.at(out.T, group, counts.T)
    return out
