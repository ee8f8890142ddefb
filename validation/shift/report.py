"""What a comparison of two cohorts came to: one finding per variable and multivariate test."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from validation.estimate import Estimate


class Finding(StrEnum):
    """What the data show. There is no finding "not shifted": that takes a margin, and then it is ``equivalent``."""

    SHIFTED = "shifted"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One variable, or one multivariate test.

    Parameters
    ----------
    name, statistic
        Column (or test) and the statistic fixed in advance.
    effect
        Effect size with its interval (:class:`~validation.estimate.Estimate`).
    statistic_value
        Value of the test statistic.
    p_value, p_adjusted
        Permutation p-value of "no difference", and adjusted over the family.
    margin, p_equivalence, p_equivalence_adjusted
        Largest difference of no consequence, and the p-value of "the difference is at least the margin".
    minimum_detectable
        Effect that this comparison would find with 80 % probability at its adjusted alpha.
    n_*, clusters_*, missing_*
        Cases with a value, their patients, and cases without one.
    finding, reason
        See :class:`Finding`, and why in one sentence.
    """

    name: str
    statistic: str
    effect: Estimate
    statistic_value: float | None
    p_value: float | None
    p_adjusted: float | None
    margin: float | None
    p_equivalence: float | None
    p_equivalence_adjusted: float | None
    minimum_detectable: float | None
    n_baseline: int
    n_new: int
    clusters_baseline: int
    clusters_new: int
    missing_baseline: int
    missing_new: int
    finding: Finding
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types, in a fixed order."""
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        return record | {"effect": self.effect.to_dict(), "finding": self.finding.value}


@dataclass(frozen=True, kw_only=True)
class ShiftReport:
    """All comparisons of two cohorts, with the settings that make them repeatable."""

    variables: tuple[Comparison, ...]
    multivariate: tuple[Comparison, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def shifted(self) -> tuple[str, ...]:
        """Names of the variables and tests that are shifted."""
        return tuple(c.name for c in (*self.variables, *self.multivariate) if c.finding is Finding.SHIFTED)

    @property
    def all_equivalent(self) -> bool:
        """Whether every variable is equivalent (and there is one)."""
        return bool(self.variables) and all(c.finding is Finding.EQUIVALENT for c in self.variables)

    def __getitem__(self, name: str) -> Comparison:
        """Return the comparison of a variable or test by name."""
        return next(c for c in (*self.variables, *self.multivariate) if c.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: ``variables`` and ``multivariate`` by name, and ``settings``."""
        return {
            "variables": {c.name: c.to_dict() for c in self.variables},
            "multivariate": {c.name: c.to_dict() for c in self.multivariate},
            "settings": self.settings,
        }
