"""Enrolment for a subgroup: against exact sums of binomial terms, and by simulation."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from validation.statistics.sample_size import clusters_for_subgroup


def reached(n: int, minimum: int, share: float) -> float:
    """Return P(X >= minimum) as a plain sum."""
    return 1 - sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(minimum))


@pytest.mark.parametrize(
    ("minimum", "share", "assurance"), [(8, 0.3, 0.9), (30, 0.05, 0.8), (1, 0.5, 0.95), (10, 0.9, 0.99)]
)
def test_smallest_number_by_exact_sums(minimum: int, share: float, assurance: float) -> None:
    n = clusters_for_subgroup(minimum, share, assurance=assurance)
    assert reached(n, minimum, share) >= assurance
    assert reached(n - 1, minimum, share) < assurance


def test_simulated_enrolment_reaches_the_minimum_as_often_as_stated() -> None:
    n = clusters_for_subgroup(8, 0.25, assurance=0.9)
    found = np.random.default_rng(4).binomial(n, 0.25, 20_000) >= 8
    assert 0.89 < found.mean() < 0.93


@pytest.mark.parametrize("wrong", [(0, 0.5, 0.9), (5, 0.0, 0.9), (5, 1.2, 0.9), (5, 0.5, 1.0)])
def test_bad_input(wrong: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="minimum"):
        clusters_for_subgroup(wrong[0], wrong[1], assurance=wrong[2])
