"""Permutation tests with patients as units: p = (1 + k) / (1 + B), from a recorded seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from validation.statistics.clusters import group
from validation.statistics.sample import Floats

Alternative = Literal["greater", "less", "two-sided"]

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SignificanceTest:
    """A test statistic and its p-value; ``p_value`` is ``None``, with the reason, where the data allow no test."""

    statistic: float | None
    p_value: float | None
    method: str
    n: int
    n_clusters: int
    reason: str = ""


def sign_flip_test(
    differences: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    alternative: Alternative = "greater",
    replicates: int = 9999,
    seed: int,
) -> SignificanceTest:
    """Test that paired differences are symmetric about zero, by flipping the signs of whole patients.

    The statistic is the mean over cases. To test against a margin, subtract it first. The test is exact under the
    null hypothesis that each patient's differences are as likely with either sign.

    Parameters
    ----------
    differences
        Shape (n,); NaN is missing and left out.
    alternative
        Whether the mean is ``"greater"`` than zero, ``"less"``, or either.
    replicates, seed
        Number of random flips B and seed.

    Returns
    -------
    SignificanceTest
        Without a p-value with fewer than two patients or when all differences are zero.

    References
    ----------
    Phipson and Smyth 2010, doi:10.2202/1544-6115.1585 (why 1 is added).
    """
    d = np.asarray(differences, dtype=np.float64)
    keep = ~np.isnan(d)
    d = d[keep]
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(d))
    method = f"sign-flip permutation test of patients, {replicates} flips"
    totals = groups.sums(d)
    reason = _untestable(d, groups.count, not totals.any(), "all patients have a difference of zero")
    if reason:
        return SignificanceTest(
            statistic=None, p_value=None, method=method, n=len(d), n_clusters=groups.count, reason=reason
        )
    rng = np.random.Generator(np.random.Philox(seed))
    rows = max(1, _BLOCK // groups.count)
    extreme = 0
    observed = float(totals.sum())
    for start in range(0, replicates, rows):
        b = min(rows, replicates - start)
        signs = rng.integers(0, 2, size=(b, groups.count), dtype=np.int8) * 2.0 - 1.0
        extreme += _extreme(signs @ totals, observed, float(np.abs(totals).sum()), alternative)
    p = (1 + extreme) / (1 + replicates)
    return SignificanceTest(statistic=observed / len(d), p_value=p, method=method, n=len(d), n_clusters=groups.count)


def two_group_test(
    values: ArrayLike,
    in_first: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    alternative: Alternative = "two-sided",
    replicates: int = 9999,
    seed: int,
) -> SignificanceTest:
    """Test that two groups of patients have the same distribution, by exchanging patients between the groups.

    The statistic is the difference of the means of patient means (first minus second).

    Parameters
    ----------
    values
        Shape (n,); NaN is left out.
    in_first
        Shape (n,), bool; all cases of a patient must be in the same group.

    Raises
    ------
    ValueError
        If a patient is in both groups.
    """
    y, first = np.asarray(values, dtype=np.float64), np.asarray(in_first, dtype=bool)
    keep = ~np.isnan(y)
    y, first = y[keep], first[keep]
    groups = group(None if clusters is None else np.asarray(clusters)[keep], len(y))
    share = groups.sums(first.astype(np.float64)) / np.maximum(groups.sizes, 1)
    if not np.isin(share, (0.0, 1.0)).all():
        raise ValueError("a patient is in both groups; compare them as pairs")
    method = f"permutation test of patients between groups, {replicates} permutations"
    member = share == 1
    averages = groups.sums(y) / groups.sizes
    a, b = int(member.sum()), int((~member).sum())
    same = a < 2 or b < 2
    reason = _untestable(y, groups.count, same, "each group needs at least two patients")
    reason = reason or ("all patients have the same value" if np.ptp(averages) == 0 else "")
    if reason:
        return SignificanceTest(
            statistic=None, p_value=None, method=method, n=len(y), n_clusters=groups.count, reason=reason
        )
    rng = np.random.Generator(np.random.Philox(seed))
    centred = averages - averages.mean()
    observed = float(centred[member].sum())
    rows, extreme = max(1, _BLOCK // groups.count), 0
    for start in range(0, replicates, rows):
        size = min(rows, replicates - start)
        shuffled = rng.permuted(np.broadcast_to(centred, (size, groups.count)), axis=1)
        extreme += _extreme(shuffled[:, :a].sum(axis=1), observed, float(np.abs(centred).sum()), alternative)
    difference = float(averages[member].mean() - averages[~member].mean())
    p = (1 + extreme) / (1 + replicates)
    return SignificanceTest(statistic=difference, p_value=p, method=method, n=len(y), n_clusters=groups.count)


def _extreme(found: Floats, observed: float, scale: float, alternative: Alternative) -> int:
    """Count replicates at least as extreme as the observed, ties included whatever the rounding."""
    slack = 1e-12 * scale
    if alternative == "greater":
        return int((found >= observed - slack).sum())
    if alternative == "less":
        return int((found <= observed + slack).sum())
    return int((np.abs(found) >= abs(observed) - slack).sum())


def _untestable(values: Floats, n_clusters: int, degenerate: bool, why: str) -> str:
    if np.isinf(values).any():
        return "some values are infinite"
    if n_clusters < 2:
        return "fewer than two patients have a value"
    return why if degenerate else ""
