"""From p-values to findings: multiplicity over the family, then one sentence per comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from validation.estimate import Estimate
from validation.shift.report import Comparison, Finding
from validation.statistics.hypotheses import number, quantity
from validation.statistics.multiplicity import adjust


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A comparison before multiplicity; ``refusal`` says why it cannot be judged."""

    name: str
    statistic: str
    margin: float | None
    known: tuple[int, int]
    patients: tuple[int, int]
    missing: tuple[int, int]
    alpha: float
    effect: Estimate | None = None
    statistic_value: float | None = None
    p_value: float | None = None
    p_equivalence: float | None = None
    minimum_detectable: float | None = None
    refusal: str = ""
    p_adjusted: float | None = None
    p_equivalence_adjusted: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def refused(self, reason: str, level: float, unit: str) -> Tested:
        """Return the comparison without results, and why."""
        effect = Estimate.insufficient(reason, n=sum(self.known), unit=unit, method=self.statistic, level=level)
        return replace(self, effect=effect, refusal=reason)

    def with_results(self, **results: Any) -> Tested:
        """Return the comparison with its results."""
        return replace(self, **results)


def adjusted(tests: Sequence[Tested], multiplicity: str) -> list[Tested]:
    """Adjust both kinds of p-values over the family; a comparison without one takes its place and counts as 1."""
    differences = _adjust([t.p_value for t in tests], multiplicity)
    equivalences = _adjust([t.p_equivalence for t in tests], multiplicity)
    return [
        replace(t, p_adjusted=d, p_equivalence_adjusted=e)
        for t, d, e in zip(tests, differences, equivalences, strict=True)
    ]


def _adjust(ps: Sequence[float | None], multiplicity: str) -> list[float | None]:
    if not ps:
        return []
    if multiplicity == "benjamini_hochberg":
        from scipy.stats import false_discovery_control

        found = false_discovery_control(np.array([1.0 if p is None else p for p in ps]), method="bh")
        return [None if p is None else float(q) for p, q in zip(ps, found, strict=True)]
    result = adjust({str(k): p for k, p in enumerate(ps)}, multiplicity, alpha=0.05)
    return [result.p_adjusted[str(k)] for k in range(len(ps))]


def decide(tests: Sequence[Tested], alpha: float) -> tuple[Comparison, ...]:
    """Return the comparisons with their findings."""
    decided = []
    for t in tests:
        if t.effect is None:
            raise ValueError(f"{t.name} has no effect")
        finding, reason = _finding(t, t.effect, alpha)
        decided.append(
            Comparison(
                name=t.name,
                statistic=t.statistic,
                effect=t.effect,
                statistic_value=t.statistic_value,
                p_value=t.p_value,
                p_adjusted=t.p_adjusted,
                margin=t.margin,
                p_equivalence=t.p_equivalence,
                p_equivalence_adjusted=t.p_equivalence_adjusted,
                minimum_detectable=t.minimum_detectable,
                n_baseline=t.known[0],
                n_new=t.known[1],
                clusters_baseline=t.patients[0],
                clusters_new=t.patients[1],
                missing_baseline=t.missing[0],
                missing_new=t.missing[1],
                finding=finding,
                reason=reason,
            )
        )
    return tuple(decided)


def _finding(t: Tested, effect: Estimate, alpha: float) -> tuple[Finding, str]:
    if t.refusal:
        return Finding.INCONCLUSIVE, f"Not judged: {t.refusal}."
    differs = t.p_adjusted is not None and t.p_adjusted <= alpha
    upper = quantity(effect.upper, effect.unit) if effect.upper is not None else "unknown"
    if t.margin is not None and t.p_equivalence_adjusted is not None and t.p_equivalence_adjusted <= alpha:
        extra = " A difference is detectable, but it is smaller than the margin." if differs else ""
        return Finding.EQUIVALENT, (
            f"The difference is smaller than the margin, {quantity(t.margin, effect.unit)}: adjusted equivalence "
            f"p = {number(t.p_equivalence_adjusted)}, upper limit {upper}.{extra}"
        )
    if differs and t.p_adjusted is not None:
        text = f"The cohorts differ: adjusted p = {number(t.p_adjusted)}."
        if t.margin is not None:
            beyond = _beyond(effect, t.margin)
            text += (
                f" The difference is larger than the margin, {quantity(t.margin, effect.unit)}."
                if beyond
                else f" Whether it is larger than the margin, {quantity(t.margin, effect.unit)}, is not settled."
            )
        return Finding.SHIFTED, text
    told = "" if t.p_adjusted is None else f"adjusted p = {number(t.p_adjusted)}; "
    smallest = (
        ""
        if t.minimum_detectable is None
        else f"; {quantity(t.minimum_detectable, effect.unit)} would have been found with 80 % probability"
    )
    against = "" if t.margin is None else f", and one as large as the margin, {number(t.margin)}, is not excluded"
    return Finding.INCONCLUSIVE, f"No difference is shown ({told}upper limit {upper}{smallest}){against}."


def _beyond(effect: Estimate, margin: float) -> bool:
    return (effect.lower is not None and effect.lower > margin) or (effect.upper is not None and effect.upper < -margin)
