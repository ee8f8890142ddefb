"""The algorithm change protocol (PCCP) and the monitoring plan, as parts of a protocol."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from validation.protocol.endpoint_schema import Identifier, Part


def _without(plain: dict[str, Any], *later: str) -> dict[str, Any]:
    """Leave out fields that were added after the first locks were made, as long as they are not used."""
    return {key: value for key, value in plain.items() if value or key not in later}


class Bound(Part):
    """A limit within which a modification stays inside the plan."""

    quantity: str = Field(min_length=2, description="What is bounded, e.g. `training_patients`.")
    minimum: float | None = None
    """Smallest allowed value."""
    maximum: float | None = None
    """Largest allowed value."""
    allowed: list[str] = Field(default_factory=list, description="Allowed values, for a categorical quantity.")


class Modification(Part):
    """One planned modification of the model."""

    id: Identifier
    """Identifier of the modification."""
    description: str = Field(min_length=20)
    """What would be modified, in words."""
    kind: Literal["retraining", "new_scanner", "new_protocol", "performance", "speed", "input_range", "other"]
    """Kind of modification."""
    rationale: str = ""
    """Why it is foreseen."""
    implementation: Literal["automatic", "manual", "mixed"] | None = Field(
        default=None, description="Whether the change is put into use automatically or by people."
    )
    scope: Literal["global", "local"] | None = Field(
        default=None, description="Whether every site gets the same model, or sites get their own."
    )
    frequency: str = Field(default="", description="How often the change is expected.")
    bounds: list[Bound] = Field(min_length=1)
    """Limits within which it stays inside the plan."""
    endpoints: list[Identifier] = Field(min_length=1, description="Endpoints that must be met after the modification.")
    data_management: str = ""
    """How data for it are collected and kept apart."""
    retraining: str = ""
    """How the model is trained again."""
    update_procedure: str = ""
    """How the update reaches users."""
    benefits: list[str] = Field(default_factory=list)
    """Expected benefits."""
    risks: list[str] = Field(default_factory=list)
    """Risks it may bring."""
    mitigations: list[str] = Field(default_factory=list)
    """How those risks are controlled."""

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without(handler(self), "implementation", "scope", "frequency")


class ReleaseLimit(Part):
    """How far an endpoint may move from the baseline before a site, or a new version, is no longer the same."""

    endpoint: Identifier
    """Endpoint the limit is for."""
    margin: float = Field(gt=0, description="Largest difference of no consequence, in the unit of the endpoint.")
    test: Literal["equivalence", "non_inferiority"] = Field(
        default="equivalence", description="`non_inferiority` lets a change for the better pass."
    )
    rationale: str = Field(min_length=10, description="Why a difference of this size does not matter.")


class Constancy(Part):
    """A phantom quantity that must stay what it was: a metric of an endpoint, on chosen scans and one arm."""

    id: Identifier
    """Identifier of the check."""
    endpoint: Identifier = Field(description="Endpoint whose metric is compared; it must give one value per case.")
    arm: Literal["output", "input"] = "output"
    """Image that is measured."""
    cases: str | None = Field(
        default=None, description="Expression that selects the phantom scans; the cases of the endpoint if not given."
    )
    tolerance: float = Field(gt=0, description="Largest change of the mean, in the unit of the metric.")
    rationale: str = Field(min_length=10, description="Where the tolerance comes from.")


class Revalidation(Part):
    """What a site, or a changed model, is compared with, and how near it must stay."""

    operating_limits: list[Bound] = Field(
        default_factory=list,
        description="Values of case-table or header columns that the label covers, such as `manufacturer`.",
    )
    release_limits: list[ReleaseLimit] = Field(default_factory=list)
    """How far endpoints may move."""
    constancy: list[Constancy] = Field(default_factory=list)
    """Phantom quantities that must stay."""

    @model_validator(mode="after")
    def _once(self) -> Revalidation:
        for name, ids in (
            ("release_limits", [limit.endpoint for limit in self.release_limits]),
            ("constancy", [check.id for check in self.constancy]),
        ):
            if len(set(ids)) != len(ids):
                raise ValueError(f"`{name}` names the same thing twice")
        return self


class PlanVersion(Part):
    """One line of the history of a change protocol."""

    version: str = Field(min_length=1)
    """Version of the plan."""
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    """Date, year-month-day."""
    changes: str = Field(min_length=5)
    """What changed in this version."""


class ChangeProtocol(Part):
    """A predetermined change control plan: modifications, how each is validated, and their impact.

    ``revalidation`` and ``history`` were added later. They are left out of the digest of a protocol that does not
    use them, so that locks made before stay valid.
    """

    modifications: list[Modification] = Field(min_length=1)
    """The planned modifications."""
    cumulative_impact: str = ""
    """What all modifications together may do."""
    labelling: str = ""
    """How users are told of an update."""
    revalidation: Revalidation | None = None
    """Limits for revalidation at a site."""
    history: list[PlanVersion] = Field(default_factory=list, description="Versions of the plan, oldest first.")

    @model_validator(mode="after")
    def _distinct(self) -> ChangeProtocol:
        ids = [modification.id for modification in self.modifications]
        if len(set(ids)) != len(ids):
            raise ValueError("modification ids must be unique")
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without(handler(self), "revalidation", "history")


class Indicator(Part):
    """A quantity followed after release."""

    id: Identifier
    """Identifier of the indicator."""
    endpoint: Identifier | None = None
    """Endpoint that is followed, if it is one."""
    column: str | None = Field(default=None, description="Case-table column, for input drift.")
    threshold: float
    """Value beyond which the escalation starts."""
    direction: Literal["above", "below"]
    """On which side of the threshold the alarm lies."""
    chart: Literal["cusum", "e_process", "shewhart"] = "cusum"
    """Kind of control chart."""
    average_run_length: int = Field(default=370, ge=10, description="In-control average run length, in cases.")
    lowest: float | None = Field(
        default=None, description="Smallest possible value, fixed in advance; for `e_process`."
    )
    highest: float | None = Field(
        default=None, description="Largest possible value, fixed in advance; for `e_process`."
    )

    @model_validator(mode="after")
    def _complete(self) -> Indicator:
        if (self.endpoint is None) == (self.column is None):
            raise ValueError("an indicator follows either an `endpoint` or a `column`")
        if (self.lowest is None) != (self.highest is None):
            raise ValueError("`lowest` and `highest` are given together")
        if self.lowest is not None and self.highest is not None and not self.lowest < self.threshold < self.highest:
            raise ValueError("`threshold` must lie between `lowest` and `highest`")
        return self

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {k: v for k, v in handler(self).items() if v is not None or k not in ("lowest", "highest")}


class Monitoring(Part):
    """The monitoring plan: indicators, period, sample and escalation."""

    period: Literal["weekly", "monthly", "quarterly", "yearly"] = "quarterly"
    """Length of a period."""
    cases_per_period: int = Field(ge=1)
    """Cases sampled per period."""
    indicators: list[Indicator] = Field(min_length=1)
    """What is followed."""
    escalation: str = Field(min_length=10)
    """What is done at an alarm, by whom and by when."""
    owner_role: str = ""
    """Role that owns the monitoring."""
