"""Explicit registration of metrics and summaries: a name, a unit, a direction, references, and what goes in.

A metric is registered by decorating its function; ``validation list metrics`` prints the register. Nothing is found by
scanning: the modules that hold metrics are listed in ``validation.metrics.MODULES`` and imported by
``validation.metrics.load``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from validation.errors import UsageProblem

F = TypeVar("F", bound=Callable[..., Any])


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "higher is better"
    LOWER = "lower is better"
    ZERO = "closer to zero is better"
    ONE = "closer to one is better"
    NONE = "descriptive"


class Kind(StrEnum):
    """What a metric function returns.

    ``CASE``: one value per case, a tensor of shape (batch,).
    ``VECTOR``: named components per case, a mapping from component name to a tensor of shape (batch,); for instance the
    channel responses of a model observer or the bins of a noise power spectrum. A summary reduces them over cases.
    ``RAGGED``: named components that differ from case to case, a list of mappings from component name to a number; for
    instance the ratings of the marks of a case, however many it has.
    ``ESTIMATE``: one :class:`~validation.estimate.Estimate`, or several, from whole data sets (tables, feature arrays).
    """

    CASE = "case"
    VECTOR = "vector"
    RAGGED = "ragged"
    ESTIMATE = "estimate"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One entry of the register.

    ``roles`` are the data arguments in order (``output``, ``reference``, ``image``, ``mask``, ``train`` ...); every
    other argument of the function is a parameter with a default, or required if it has none.
    ``reference`` is a DOI, a clause of a standard or a document; ``oracle`` the tool it is tested against.
    """

    name: str
    function: Callable[..., Any]
    kind: Kind
    unit: str
    direction: Direction
    roles: tuple[str, ...]
    optional_roles: tuple[str, ...]
    reference: str
    oracle: str
    family: str
    summary_line: str = field(default="")
    axis: str = "spatial frequency / (1/mm)"

    def parameters(self) -> dict[str, Any]:
        """Return the parameters and their defaults (``inspect.Parameter.empty`` where required)."""
        data = {*self.roles, *self.optional_roles}
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.function).parameters.items()
            if name not in data
        }


_METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    unit: str,
    direction: Direction,
    roles: tuple[str, ...],
    reference: str,
    oracle: str,
    family: str,
    kind: Kind = Kind.CASE,
    optional_roles: tuple[str, ...] = (),
    axis: str = "spatial frequency / (1/mm)",
) -> Callable[[F], F]:
    """Register the decorated function as a metric and return it unchanged.

    ``axis`` names the axis of a vector metric whose components are named by numbers.

    Raises
    ------
    ValueError
        If the name is taken by another function or a role is not an argument (a programming error).
    """

    def register(function: F) -> F:
        taken = _METRICS.get(name)
        if taken is not None and taken.function.__qualname__ != function.__qualname__:
            raise ValueError(f"metric {name!r} is registered twice")
        missing = {*roles, *optional_roles} - set(inspect.signature(function).parameters)
        if missing:
            raise ValueError(f"metric {name!r} declares roles that its function does not take: {sorted(missing)}")
        _METRICS[name] = Metric(
            name=name,
            function=function,
            kind=kind,
            unit=unit,
            direction=direction,
            roles=roles,
            optional_roles=optional_roles,
            reference=reference,
            oracle=oracle,
            family=family,
            summary_line=(inspect.getdoc(function) or "").split("\n", 1)[0],
            axis=axis,
        )
        return function

    return register


def get_metric(name: str) -> Metric:
    """Return a registered metric (call ``validation.metrics.load()`` first).

    Raises
    ------
    UsageProblem
        If there is none of that name; the message suggests the nearest names.
    """
    try:
        return _METRICS[name]
    except KeyError:
        near = get_close_matches(name, _METRICS, n=3)
        hint = f"Did you mean {', '.join(near)}?" if near else "`validation list metrics` shows them all."
        raise UsageProblem(f"there is no metric named {name!r}.", code="MET-001", action=hint) from None


def all_metrics() -> list[Metric]:
    """Return every registered metric, by family and name."""
    return sorted(_METRICS.values(), key=lambda m: (m.family, m.name))


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A registered way to reduce measurements over cases to one estimate.

    ``needs`` holds what the sample must bring besides values: ``comparator``, ``labels``, ``components``.
    ``unit`` is ``"metric"`` when the estimate has the unit of the metric, else the unit itself (``"1"`` for a ratio).
    ``difference`` tells whether zero means "no difference between the arms" (its better direction is that of the
    metric); ``direction`` overrides the metric's direction where the summary itself fixes it (an AUC).
    """

    name: str
    function: Callable[..., Any]
    needs: frozenset[str]
    unit: str
    difference: bool
    direction: Direction | None
    reference: str
    summary_line: str


_SUMMARIES: dict[str, Summary] = {}


def summary(
    name: str,
    *,
    reference: str,
    needs: frozenset[str] = frozenset(),
    unit: str = "metric",
    difference: bool = False,
    direction: Direction | None = None,
) -> Callable[[F], F]:
    """Register the decorated function as a summary and return it unchanged."""

    def register(function: F) -> F:
        taken = _SUMMARIES.get(name)
        if taken is not None and taken.function.__qualname__ != function.__qualname__:
            raise ValueError(f"summary {name!r} is registered twice")
        _SUMMARIES[name] = Summary(
            name=name,
            function=function,
            needs=needs,
            unit=unit,
            difference=difference,
            direction=direction,
            reference=reference,
            summary_line=(inspect.getdoc(function) or "").split("\n", 1)[0],
        )
        return function

    return register


def get_summary(name: str) -> Summary:
    """Return a registered summary (import ``validation.statistics.summaries`` first).

    Raises
    ------
    UsageProblem
        If there is none of that name.
    """
    try:
        return _SUMMARIES[name]
    except KeyError:
        near = get_close_matches(name, _SUMMARIES, n=3)
        hint = f"Did you mean {', '.join(near)}?" if near else "`validation list summaries` shows them all."
        raise UsageProblem(f"there is no summary named {name!r}.", code="MET-002", action=hint) from None


def all_summaries() -> list[Summary]:
    """Return every registered summary, by name."""
    return sorted(_SUMMARIES.values(), key=lambda s: s.name)
