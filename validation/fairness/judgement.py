"""From gaps to findings: what a gap shows, and whether the worst group is within the margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from validation.estimate import Estimate, Outcome, Verdict
from validation.fairness.measures import Better, Measure
from validation.statistics.hypotheses import number

Harm = tuple[float | None, float | None, float | None]


def harm_limits(gap: Estimate, better: Better | None) -> Harm:
    """Return value, lower and upper limit of the harm of a group: how much worse it is than its reference.

    Where neither direction is better, harm is the size of the gap: its lower limit is that of the absolute value.

    >>> gap = Estimate(value=-0.1, lower=-0.2, upper=0.05, method="m", n=9, unit="1")
    >>> harm_limits(gap, "higher"), harm_limits(gap, None)
    ((0.1, -0.05, 0.2), (0.1, 0.0, 0.2))
    """
    value, low, high = gap.value, gap.lower, gap.upper
    if better == "lower":
        return value, low, high
    if better == "higher":
        return (None if value is None else -value), (None if high is None else -high), (None if low is None else -low)
    if value is None or low is None or high is None:
        return (None if value is None else abs(value)), None, None
    return abs(value), max(0.0, low, -high), max(high, -low)


def finding_of(
    gap: Estimate, measure: Measure, margin: float | None, patients: int, minimum: int, cases: int
) -> tuple[str, str]:
    """Return the finding on one cell, and why: by its simultaneous interval.

    ``within_margin``, ``exceeds_margin``, ``inconclusive``; without a margin ``gap_shown`` or ``inconclusive``.
    """
    if cases == 0:
        return "inconclusive", "No case is in this group."
    if patients < minimum:
        return "inconclusive", f"{patients} patients, fewer than the planned minimum of {minimum}."
    value, low, high = harm_limits(gap, measure.better)
    if value is None or low is None or high is None:
        return "inconclusive", f"There is no interval: {gap.reason}."
    if margin is None:
        if gap.lower is not None and gap.upper is not None and not gap.lower <= 0 <= gap.upper:
            return "gap_shown", "The simultaneous interval of the gap excludes zero; no margin was declared."
        return "inconclusive", (
            f"The simultaneous interval holds zero; gaps up to {number(high)} are not excluded. No margin was declared."
        )
    word = "difference" if measure.better is None else "loss"
    if high < margin:
        return "within_margin", f"The {word} is at most {number(high)}, below the margin, {number(margin)}."
    if low > margin:
        return "exceeds_margin", f"The {word} is at least {number(low)}, above the margin, {number(margin)}."
    return "inconclusive", (
        f"The {word} lies between {number(low)} and {number(high)}; the margin, {number(margin)}, is not excluded."
    )


def worst_group(
    measure: Measure,
    margin: float,
    gaps: Sequence[Mapping[str, Any]],
    wide: Mapping[str, Harm],
    *,
    enough: Mapping[str, bool],
    alpha: float,
) -> Verdict:
    """Judge whether every cell is within the margin (pass), one is shown beyond it (fail), or neither.

    Pass is an intersection-union test: every cell's own one-sided limit at alpha. Fail needs the simultaneous
    interval of a cell with enough patients. A cell without enough patients, or without an interval, prevents a pass.
    """
    beyond = [g["name"] for g in gaps if g["finding"] == "exceeds_margin"]
    judged = {name: harm for name, harm in wide.items() if enough[name]}
    known = {name: float(h[0]) for name, h in judged.items() if h[0] is not None}
    worst = max(known, key=lambda name: known[name]) if known else None
    told = "" if worst is None else f" Largest estimated loss: {number(known[worst])} in {worst}."
    if beyond:
        reason = f"The margin, {number(margin)}, is exceeded in {', '.join(beyond)}.{told}"
        outcome = Outcome.FAIL
    else:
        small = [name for name in wide if not enough[name]]
        unsettled = [name for name, h in judged.items() if h[2] is None or h[2] >= margin]
        if not wide:
            outcome, reason = Outcome.INCONCLUSIVE, "There are no groups to compare."
        elif small or unsettled:
            outcome = Outcome.INCONCLUSIVE
            parts = []
            if unsettled:
                parts.append(f"the margin, {number(margin)}, is not excluded in {', '.join(unsettled)}")
            if small:
                parts.append(f"too few patients in {', '.join(small)}")
            reason = f"Not settled: {'; '.join(parts)}.{told}"
        else:
            outcome = Outcome.PASS
            reason = f"In every group the one-sided limit of the loss lies below the margin, {number(margin)}.{told}"
    return Verdict(outcome=outcome, reason=reason, hypothesis="non_inferiority", margin=margin, alpha=alpha)
