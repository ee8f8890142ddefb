r"""The difference of two models on the same cases, endpoint by endpoint, with patients as the unit that is resampled.

For any summary :math:`f` (a mean, a ratio, an area under a curve) the estimate is
:math:`d = f(\text{first}) - f(\text{second})`. Patients are dealt into :math:`g` groups (one
patient each up to 60), and the delete-a-group jackknife of :math:`d` keeps both the pairing and the clustering:

.. math:: v = \frac{g-1}{g} \sum_j (d_{(-j)} - \bar d)^2, \qquad d \pm t_{g-1} \sqrt{v}.

For means with one case per patient this is the paired t interval exactly. Every case needs a value of both models.

All differences of one comparison are one family: p-values are adjusted by Holm, and a second, simultaneous interval
(Bonferroni over the family) goes with the finding. Where p-value and interval disagree, the more cautious one is taken.

References
----------
Kott 2001 (J Official Statistics 17:521-526) for the delete-a-group jackknife; Holm 1979 (Scand J Stat 6:65-70).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.jackknife import values_only
from validation.statistics.sample import Sample

GROUPS = 60
SEED = 20260101
ALPHA = 0.05

Value = Callable[[Sample], float | None]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference before the family is adjusted."""

    value: float | None
    error: float | None
    groups: int
    n: int
    n_clusters: int
    unit: str
    reason: str = ""

    def interval(self, level: float) -> Estimate:
        """Return the estimate at a level."""
        method = f"paired difference, jackknife of {self.groups} groups of patients, t"
        shared: dict[str, Any] = {
            "method": method, "n": self.n, "n_clusters": self.n_clusters, "unit": self.unit, "level": level,
        }  # fmt: skip
        if self.value is None:
            return Estimate.insufficient(self.reason, **shared)
        if not self.error:
            return Estimate(value=self.value, lower=None, upper=None, reason=self.reason, **shared)
        half = float(stats.t.isf((1 - level) / 2, self.groups - 1)) * self.error
        return Estimate(value=self.value, lower=self.value - half, upper=self.value + half, **shared)

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value of no difference."""
        if self.value is None or not self.error:
            return None
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.groups - 1))


def paired_difference(first: Sample, second: Sample, value: Value, *, unit: str) -> Difference:
    """Estimate the difference of a summary between two models on the same cases.

    Parameters
    ----------
    first, second
        The same cases in the same order.
    value
        The summary as a number, ``None`` where it has none.
    unit
        Unit of the summary.
    """
    if first.clusters.tolist() != second.clusters.tolist():
        raise ValueError("the two samples are not of the same cases")
    keep = _complete(first) & _complete(second)
    a, b = first.subset(keep), second.subset(keep)
    codes, clusters = _groups(a.clusters)
    groups = int(codes.max()) + 1 if len(codes) else 0
    shared: dict[str, Any] = {"groups": groups, "n": a.n, "n_clusters": clusters, "unit": unit}
    if groups < 5:
        why = f"{clusters} patients with a value of both models are too few"
        return Difference(value=None, error=None, reason=why, **shared)
    with values_only():
        whole = _minus(value(a), value(b))
        if whole is None:
            return Difference(value=None, error=None, reason="the summary has no value for one of the models", **shared)
        without = [_minus(value(a.subset(codes != g)), value(b.subset(codes != g))) for g in range(groups)]
    if any(d is None for d in without):
        return Difference(value=whole, error=None, reason="one group of patients carries the value alone", **shared)
    parts = np.asarray(without, dtype=np.float64)
    error = float(np.sqrt((groups - 1) / groups * ((parts - parts.mean()) ** 2).sum()))
    if error <= 1e-12 * max(1.0, abs(whole)):
        return Difference(value=whole, error=None, reason="no spread between patients", **shared)
    return Difference(value=whole, error=error, **shared)


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _complete(sample: Sample) -> np.ndarray[Any, np.dtype[np.bool_]]:
    from validation.study.detail import usable

    return usable(sample)


def _groups(clusters: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, np.dtype[np.intp]], int]:
    """Return the group of each case: a patient each, or patients dealt at random into groups of nearly equal number."""
    _, codes = np.unique(clusters.astype(str), return_inverse=True)
    total = int(codes.max()) + 1 if len(codes) else 0
    if total <= GROUPS:
        return codes.astype(np.intp), total
    dealt = np.random.Generator(np.random.Philox(SEED)).permutation(total) % GROUPS
    return dealt[codes].astype(np.intp), total


def judge_family(
    found: Mapping[tuple[str, str], Difference], *, better: Mapping[str, str | None], margins: Mapping[str, float]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Adjust a family of differences and say in words what each shows.

    Parameters
    ----------
    found
        (pair, endpoint) to its difference.
    better
        Endpoint to ``higher``, ``lower`` or ``None``.
    margins
        Endpoint to the difference that does not matter, where one was stated.

    Returns
    -------
    dict
        ``estimate`` (95 %), ``simultaneous``, ``p_value``, ``p_adjusted``, ``finding`` (first, second, differ,
        equivalent, not settled), ``reason``.
    """
    tested = [key for key, d in found.items() if d.p_value is not None]
    adjusted = holm([found[key].p_value or 0.0 for key in tested])
    by_key = dict(zip(tested, adjusted, strict=True))
    level = 1 - ALPHA / max(1, len(tested))
    rows = {}
    for key, difference in found.items():
        wide = difference.interval(level)
        finding, reason = _finding(wide, by_key.get(key), better.get(key[1]), margins.get(key[1]))
        rows[key] = {
            "estimate": difference.interval(1 - ALPHA).to_dict(),
            "simultaneous": wide.to_dict(),
            "p_value": difference.p_value,
            "p_adjusted": by_key.get(key),
            "finding": finding,
            "reason": reason,
        }
    return rows


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, k in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[k]))
        adjusted[k] = running
    return adjusted


def _finding(wide: Estimate, p: float | None, better: str | None, margin: float | None) -> tuple[str, str]:
    if wide.value is None or wide.lower is None or wide.upper is None:
        return "not settled", wide.reason
    inside = margin is not None and -margin < wide.lower and wide.upper < margin
    apart = (wide.lower > 0 or wide.upper < 0) and p is not None and p <= ALPHA
    if inside and apart:
        return "equivalent", "a difference is there, but within the margin stated beforehand"
    if inside:
        return "equivalent", "the simultaneous interval lies within the margin stated beforehand"
    if not apart:
        return "not settled", "the simultaneous interval holds zero"
    if better is None:
        return "differ", "neither direction is better by itself"
    first = (wide.value > 0) == (better == "higher")
    return ("first" if first else "second"), "the simultaneous interval excludes zero"
