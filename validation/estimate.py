"""The only way a number travels: an estimate with its interval, and a verdict with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What a criterion came to. A criterion that was not run is never ``pass``."""

    PASS = "pass"  # noqa: S105 - the field's word, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    WAIVED = "waived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A quantity estimated from cases, with a two-sided confidence interval.

    Parameters
    ----------
    value
        Point estimate, in ``unit``; ``None`` when the data do not allow one (then ``reason`` says why).
    lower, upper
        Two-sided confidence limits at ``level``; ``None`` where a limit is unbounded or cannot be estimated.
    level
        Two-sided confidence level. A one-sided test at alpha uses level ``1 - 2 * alpha``.
    method
        Name of the estimator and interval, such as ``"paired t"`` or ``"Wilson"``.
    n
        Number of cases used.
    unit
        Unit of the value (UCUM-like, ``"1"`` for a pure number).
    n_events, n_clusters
        Number of events (proportions, survival) and of independent clusters (patients), where they apply.
    reason
        Why value or a limit is missing; empty otherwise.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, the limits are out of order, or a missing value has no reason. A NaN here
        is a defect of the estimator, so it is loud.

    Examples
    --------
    >>> Estimate(value=2.0, lower=1.0, upper=3.0, method="t", n=10, unit="HU").to_dict()["level"]
    0.95
    >>> Estimate.insufficient("one case; a spread needs two", n=1, unit="HU", method="t").value is None
    True
    """

    value: float | None
    lower: float | None
    upper: float | None
    method: str
    n: int
    unit: str
    level: float = 0.95
    n_events: int | None = None
    n_clusters: int | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "lower", "upper"):
            number = getattr(self, name)
            if number is not None:
                if not math.isfinite(number):
                    raise ValueError(f"{name} of an estimate must be finite or None, got {number}")
                object.__setattr__(self, name, float(number))  # numpy scalars do not serialise
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {self.level}")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower limit {self.lower} lies above upper limit {self.upper}")
        if self.value is None and not self.reason:
            raise ValueError("an estimate without a value needs a reason")
        for name in ("n", "n_events", "n_clusters"):
            count = getattr(self, name)
            if count is not None:
                object.__setattr__(self, name, int(count))

    @classmethod
    def insufficient(
        cls,
        reason: str,
        *,
        n: int,
        unit: str,
        method: str,
        level: float = 0.95,
        n_events: int | None = None,
        n_clusters: int | None = None,
    ) -> Estimate:
        """Return an estimate that says why there is none."""
        return cls(
            value=None,
            lower=None,
            upper=None,
            method=method,
            n=n,
            unit=unit,
            level=level,
            n_events=n_events,
            n_clusters=n_clusters,
            reason=reason,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types, in a fixed order."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Estimate:
        """Rebuild an estimate from :meth:`to_dict`."""
        return cls(**record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What comparing an estimate with its margin came to.

    Parameters
    ----------
    outcome
        See :class:`Outcome`.
    reason
        One sentence in words a reader of the report understands: which bound was compared with which margin.
    hypothesis
        ``superiority``, ``non_inferiority``, ``equivalence``, ``performance_goal`` or ``descriptive``.
    margin
        The margin in the unit of the estimate (a pair for an asymmetric equivalence), ``None`` for descriptive.
    alpha
        One-sided type-I error spent on the comparison, after multiplicity.
    p_value, p_adjusted
        One-sided p-value against the margin, and the same adjusted for multiplicity; ``None`` if not defined.
    """

    outcome: Outcome
    reason: str
    hypothesis: str
    margin: float | tuple[float, float] | None = None
    alpha: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types, in a fixed order."""
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        record["outcome"] = self.outcome.value
        if isinstance(self.margin, tuple):
            record["margin"] = list(self.margin)
        return record
