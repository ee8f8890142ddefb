"""The protocol as data: every field, its unit and its meaning.

The models below read as a data dictionary. :mod:`validation.protocol.load` turns YAML into them and adds the place
(file:line:column) to every complaint. JSON Schema for editors comes from ``validation schema``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from validation.protocol.change_schema import ChangeProtocol, Monitoring
from validation.protocol.endpoint_schema import Endpoint, Identifier, Multiplicity, Part
from validation.protocol.labeller_schema import Labeller
from validation.protocol.plan_schemas import FairnessPlan, ReaderStudyPlan, ShiftPlan

Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
ClaimType = Literal[
    "rare_condition_augmentation",
    "low_dose_denoising",
    "super_resolution",
    "modality_translation",
    "segmentation_human_edit",
    "assisted_detection_diagnosis",
    "autonomous_detection_diagnosis",
    "llm_report_drafting",
    "ehr_synthesis",
    "clinical_trial_simulation",
    "rare_disease_modelling",
    "bias_mitigation",
]
Pathway = Literal[
    "internal_validation",
    "us_510k",
    "us_de_novo",
    "us_pma",
    "eu_ce_mdr",
    "pccp_acp",
    "pms_pmcf",
    "pacs_qms_integration",
]


class Hazard(Part):
    """A hazard of the claim, as named in the manufacturer's risk file."""

    id: Identifier
    """Identifier in the risk file."""
    description: str = Field(min_length=5)
    """What can go wrong, in words."""


class Claim(Part):
    """What is claimed about the model."""

    type: ClaimType
    """Type of claim; `validation list claims` shows what each needs."""
    statement: str = Field(min_length=20, description="The claim in the words of the label, one or two sentences.")
    pathways: list[Pathway] = Field(min_length=1, description="Submissions this protocol is to support.")
    model_family: Literal["gan", "vae", "diffusion", "unet", "cyclegan", "transformer", "hybrid", "other"] = "other"
    """Family of the model; decides which generative hazards apply."""
    hazards: list[Hazard] = Field(default_factory=list, description="Hazards that endpoints refer to.")


class Population(Part):
    """Whom the claim is about, and how cases become clusters and subgroups."""

    description: str = Field(min_length=20, description="Target population in words.")
    eligibility: str | None = Field(
        default=None,
        description="Expression over case-table columns; cases that do not satisfy it are excluded and listed.",
        examples=["modality == 'CT' and slice_thickness_mm <= 5"],
    )
    cluster: str = Field(default="patient_id", description="Column whose values are independent; normally the patient.")
    independent_unit: str = Field(
        default="patient",
        pattern=r"^[a-z][a-z -]{1,60}$",
        description="What one of them is called in documents, such as `patient`, `phantom scan` or `record`.",
    )
    target: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Expected proportions per column in the target population; each sums to 1."
    )
    subgroups: list[str] = Field(default_factory=list, description="Pre-planned subgroup columns.")
    minimum_per_subgroup: int = Field(
        default=10, ge=2, description="Fewest clusters in a subgroup for an estimate to be judged; below: inconclusive."
    )
    minimum_clusters: int = Field(
        default=20, ge=2, description="Fewest independent clusters for any confirmatory verdict; below: inconclusive."
    )

    @model_validator(mode="after")
    def _proportions(self) -> Population:
        for column, shares in self.target.items():
            if any(p < 0 for p in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
                raise ValueError(f"target proportions of {column!r} must be non-negative and sum to 1")
        return self


class ReferenceStandard(Part):
    """How the truth was established."""

    method: str = Field(min_length=5)
    """How the truth of a case was established."""
    readers: int | None = Field(default=None, ge=1, description="Number of truthing experts, if experts set the truth.")
    adjudication: str | None = None
    """How disagreement between experts was settled."""
    uncertainty: str | None = Field(default=None, description="What is known about the error of the reference itself.")


class DataQualityRule(Part):
    """One Great Expectations expectation over the case table."""

    id: Identifier
    """Identifier, shown in the data-management report."""
    expect: str = Field(pattern=r"^expect_[a-z_]+$", description="Expectation type, as Great Expectations names it.")
    column: str | None = Field(default=None, description="Column it applies to; omit for table-level expectations.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Further arguments of the expectation.")
    severity: Literal["stop", "warn"] = Field(
        default="stop", description="`stop` refuses the run (exit 3); `warn` reports the finding in the dossier."
    )


class Independence(Part):
    """Which values the holdout must not share with the training data."""

    disjoint: list[str] = Field(min_length=1, description="Columns that must not overlap, such as patient_id and site.")
    from_: str = Field(alias="from", description="Training manifest (CSV/Parquet), relative to the study folder.")
    after: str | None = Field(
        default=None, description="Column holding the acquisition date; holdout must begin after the training ends."
    )


class Execution(Part):
    """How the model is run: fixed here because it changes results."""

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Floating-point precision of inference."""
    draws: int = Field(default=1, ge=1, description="Samples drawn per case from a stochastic model.")
    seed: int = Field(default=20260101, ge=0, le=2**53 - 1)
    """Seed of all random numbers of the run."""


class Protocol(Part):
    """A validation protocol: claim, population, endpoints, margins and plans; immutable once locked."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this schema.")
    id: Identifier
    """Identifier of the protocol, used in file names."""
    version: Version
    """Version, three numbers; raised by every amendment."""
    title: str = Field(min_length=5)
    """Title of the validation."""
    claim: Claim
    """The claim and its hazards."""
    population: Population
    """Whom the claim is about."""
    reference_standard: ReferenceStandard
    """How the truth of the cases was established."""
    data_quality: list[DataQualityRule] = Field(default_factory=list)
    """Rules over the case table, checked before anything is measured."""
    independence: Independence | None = None
    """Values that the holdout must not share with the training data."""
    execution: Execution = Field(default_factory=Execution)
    """How the model is run."""
    labellers: dict[Identifier, Labeller] = Field(default_factory=dict)
    """Labellers of texts, by the name that metrics give; rename one when its words change."""
    endpoints: list[Endpoint] = Field(min_length=1)
    """What is measured, compared and judged."""
    multiplicity: Multiplicity = Field(default_factory=Multiplicity)
    """How the family-wise error is controlled."""
    reader_study: ReaderStudyPlan | None = None
    """Multi-reader multi-case study, if one is planned."""
    shift: ShiftPlan | None = None
    """Comparison of a new cohort with a baseline."""
    fairness: FairnessPlan | None = None
    """Gaps between groups."""
    change_protocol: ChangeProtocol | None = None
    """Predetermined change control plan."""
    monitoring: Monitoring | None = None
    """Monitoring after release."""

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """Return the endpoint of that id (KeyError if there is none)."""
        for endpoint in self.endpoints:
            if endpoint.id == endpoint_id:
                return endpoint
        raise KeyError(endpoint_id)

    @model_validator(mode="after")
    def _cross_references(self) -> Protocol:
        ids = [e.id for e in self.endpoints]
        if len(set(ids)) != len(ids):
            raise ValueError("endpoint ids must be unique")
        if not any(e.role == "primary" for e in self.endpoints):
            raise ValueError("a protocol needs at least one primary endpoint")
        hazards = {h.id for h in self.claim.hazards}
        for endpoint in self.endpoints:
            unknown = set(endpoint.hazards) - hazards
            if unknown:
                raise ValueError(f"endpoint {endpoint.id} names hazards that claim.hazards lacks: {sorted(unknown)}")
        rules = [r.id for r in self.data_quality]
        if len(set(rules)) != len(rules):
            raise ValueError("data_quality ids must be unique")
        self.multiplicity.check(self.endpoints)
        return self
