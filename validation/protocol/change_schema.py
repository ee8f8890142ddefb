"""The algorithm change protocol (PCCP) and the monitoring plan, as parts of a protocol."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from validation.protocol.endpoint_schema import Identifier, Part


class Bound(Part):
    """A limit within which a modification stays inside the plan."""

    quantity: str = Field(min_length=2, description="What is bounded, e.g. `training_patients`.")
    minimum: float | None = None
    maximum: float | None = None
    allowed: list[str] = Field(default_factory=list, description="Allowed values, for a categorical quantity.")


class Modification(Part):
    """One planned modification of the model."""

    id: Identifier
    description: str = Field(min_length=20)
    kind: Literal["retraining", "new_scanner", "new_protocol", "performance", "speed", "input_range", "other"]
    rationale: str = ""
    bounds: list[Bound] = Field(min_length=1)
    endpoints: list[Identifier] = Field(min_length=1, description="Endpoints that must be met after the modification.")
    data_management: str = ""
    retraining: str = ""
    update_procedure: str = ""
    benefits: list[str] = Field(default_factory=list)
    risks: list[str] = Field(default_factory=list)
    mitigations: list[str] = Field(default_factory=list)


class ChangeProtocol(Part):
    """A predetermined change control plan: modifications, how each is validated, and their impact."""

    modifications: list[Modification] = Field(min_length=1)
    cumulative_impact: str = ""
    labelling: str = ""


class Indicator(Part):
    """A quantity followed after release."""

    id: Identifier
    endpoint: Identifier | None = None
    column: str | None = Field(default=None, description="Case-table column, for input drift.")
    threshold: float
    direction: Literal["above", "below"]
    chart: Literal["cusum", "e_process", "shewhart"] = "cusum"
    average_run_length: int = Field(default=370, ge=10, description="In-control average run length, in cases.")


class Monitoring(Part):
    """The monitoring plan: indicators, period, sample and escalation."""

    period: Literal["weekly", "monthly", "quarterly", "yearly"] = "quarterly"
    cases_per_period: int = Field(ge=1)
    indicators: list[Indicator] = Field(min_length=1)
    escalation: str = Field(min_length=10)
    owner_role: str = ""
