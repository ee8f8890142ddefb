"""What a family of metrics found: each measurement with its null, its rule, and flagged, not flagged or inconclusive.

A family runs many comparisons. Their p-values are adjusted together (Holm), so that the chance that a sound generator
is flagged anywhere in one report is at most ``alpha``. A metric that cannot run stays in the report as an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from validation.errors import UsageProblem, ValidationProblem
from validation.estimate import Estimate


class Status(StrEnum):
    """What a measurement came to."""

    FLAGGED = "flagged"
    NOT_FLAGGED = "not flagged"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One measurement of a family and what it came to.

    Parameters
    ----------
    metric
        Registered name of the metric, or of the check.
    component, subgroup
        Column, pair or attack measured, and the group of records (``"sex=F"``); empty for the whole table.
    estimate
        The value with its interval.
    null
        What the value is compared with, in words.
    rule
        When it is flagged, in words.
    p_value
        One-sided p-value under the null, before adjustment; ``None`` where the rule is not a test.
    exceeds
        Whether the value lies beyond its practical margin, without which a small p-value does not flag.
    decided
        The status, where the rule is not a test.
    too_little
        Why a large p-value would say nothing (too few records); empty where it says something.
    ceiling
        The same quantity between two real tables (training and holdout).
    rows
        The worst records, as row numbers of the table ``rows_of``, counted from 0 (event streams: patients, in order of
        first appearance). Never values.
    part
        The part of the family that found it, as :func:`run_parts` knows it.
    """

    metric: str
    estimate: Estimate
    null: str
    rule: str
    direction: str
    component: str = ""
    subgroup: str = ""
    p_value: float | None = None
    p_adjusted: float | None = None
    exceeds: bool = True
    decided: Status | None = None
    too_little: str = ""
    ceiling: Estimate | None = None
    note: str = ""
    rows: tuple[int, ...] = ()
    rows_of: str = "train"
    part: str = ""
    status: Status | None = None
    reference: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return what a report shows besides the estimate, as plain JSON types."""
        return {
            "subgroup": self.subgroup,
            "finding": (self.status or Status.INCONCLUSIVE).value,
            "reason": self.note,
            "null": self.null,
            "rule": self.rule,
            "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "ceiling": None if self.ceiling is None else self.ceiling.to_dict(),
            "rows": list(self.rows),
        }


Part = tuple[str, Callable[[], Iterable[Finding]]]


def run_parts(parts: Sequence[Part], *, alpha: float, only: tuple[str, ...] = ()) -> list[Finding]:
    """Run every part of a family (or ``only`` some) and conclude; a part that fails is an error, never a missing row.

    Raises
    ------
    UsageProblem
        MET-003 if ``only`` names a part that the family does not have.
    """
    unknown = sorted(set(only) - {name for name, _ in parts})
    if unknown:
        raise UsageProblem(
            f"the family has no part {', '.join(map(repr, unknown))}.",
            code="MET-003",
            where="only",
            action=f"Its parts are {', '.join(name for name, _ in parts)}.",
        )
    found: list[Finding] = []
    for name, part in parts:
        if only and name not in only:
            continue
        try:
            rows = list(part())
        except ValidationProblem as problem:
            rows = [failed(name, str(problem))]
        except Exception as error:  # whatever breaks, the report must say so; the text may hold values, so no text
            rows = [failed(name, f"the metric could not run ({type(error).__name__})")]
        rows = rows or [failed(name, "the metric returned nothing for these tables")]
        found.extend(replace(row, part=name) for row in rows)
    return conclude(found, alpha=alpha)


def failed(metric: str, why: str) -> Finding:
    """Return the finding of a metric that could not run."""
    return Finding(
        metric=metric,
        estimate=Estimate.insufficient(why, n=0, unit="1", method=metric),
        null="none",
        rule="a metric that cannot run is failed evidence",
        direction="descriptive",
        decided=Status.ERROR,
        note=why,
    )


def conclude(found: Sequence[Finding], *, alpha: float) -> list[Finding]:
    """Return the findings with Holm-adjusted p-values and their status.

    A finding with a p-value is flagged when the adjusted p-value is at most ``alpha`` and the value exceeds its margin;
    otherwise it is inconclusive where the data are too few to see anything, or where the p-value by itself is at most a
    fifth of ``alpha``, and else not flagged.

    References
    ----------
    Holm 1979 (Scand J Stat 6:65-70).

    Examples
    --------
    >>> e = Estimate(value=0.2, lower=0.1, upper=0.3, method="m", n=10, unit="1")
    >>> f = Finding(metric="m", estimate=e, null="", rule="", direction="", p_value=0.01)
    >>> [g.status.value for g in conclude([f, replace(f, p_value=0.2)], alpha=0.05)]
    ['flagged', 'not flagged']
    """
    tested = sorted((f.p_value, k) for k, f in enumerate(found) if f.p_value is not None and f.decided is None)
    adjusted: dict[int, float] = {}
    running = 0.0
    for rank, (p, k) in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - rank) * p))
        adjusted[k] = running
    return [_settled(f, adjusted.get(k), alpha) for k, f in enumerate(found)]


def _settled(f: Finding, adjusted: float | None, alpha: float) -> Finding:
    if f.decided is not None:
        return replace(f, status=f.decided)
    if f.estimate.value is None or adjusted is None:
        return replace(f, status=Status.INCONCLUSIVE, note=_joined(f.note, f.estimate.reason))
    if adjusted <= alpha and f.exceeds:
        return replace(f, status=Status.FLAGGED, p_adjusted=adjusted)
    if adjusted > alpha and f.too_little:
        return replace(f, status=Status.INCONCLUSIVE, p_adjusted=adjusted, note=_joined(f.note, f.too_little))
    if adjusted > alpha and f.exceeds and f.p_value is not None and f.p_value <= alpha / 5:
        why = f"suspicious by itself (p = {f.p_value:.2g}), not after adjustment for all comparisons of the report"
        return replace(f, status=Status.INCONCLUSIVE, p_adjusted=adjusted, note=_joined(f.note, why))
    small = "the difference is real but within its margin" if adjusted <= alpha else ""
    return replace(f, status=Status.NOT_FLAGGED, p_adjusted=adjusted, note=_joined(f.note, small))


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
