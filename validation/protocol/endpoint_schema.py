"""Endpoints, hypotheses and multiplicity: what is measured, summarised, compared and judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Part(BaseModel):
    """A part of a protocol: unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class MetricChoice(BaseModel):
    """A registered metric and its parameters; every key besides ``name`` is a parameter of the metric.

    ``region`` names a mask of the case; the metric then sees only the voxels in it.
    """

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)
    name: str
    """Registered metric; `validation list metrics` shows them."""
    region: str | None = Field(default=None, description="Name of a region mask of the case.")

    def parameters(self) -> dict[str, Any]:
        """Return the parameters for the metric function, without ``name`` and ``region``."""
        return dict(self.__pydantic_extra__ or {})

    def key(self) -> str:
        """Return the stable text that names this metric with its parameters in measurements.

        >>> MetricChoice(name="noise_magnitude", region="uniform").key()
        'noise_magnitude(region=uniform)'
        >>> MetricChoice(name="rmse").key()
        'rmse'
        """
        parts = sorted({**self.parameters(), **({"region": self.region} if self.region else {})}.items())
        return self.name + (f"({', '.join(f'{k}={v}' for k, v in parts)})" if parts else "")


class Hypothesis(Part):
    """What must be shown. The sign convention of ``margin`` is that of the estimate.

    - ``superiority``: the estimate must be beyond ``margin`` in the better direction (0 if omitted): the whole interval
      below ``margin`` when lower is better, above it when higher is better.
    - ``non_inferiority``: the estimate may be worse than the comparator by less than ``margin`` (a positive number).
    - ``equivalence``: the interval must lie within ``-margin .. +margin``, or within ``[lower, upper]``.
    - ``performance_goal``: as superiority, against a fixed goal rather than a comparator.
    - ``descriptive``: reported, never judged.
    """

    type: Literal["superiority", "non_inferiority", "equivalence", "performance_goal", "descriptive"]
    """Kind of hypothesis, see above."""
    margin: float | None = None
    """The margin, in the unit of the estimate."""
    lower: float | None = Field(default=None, description="Lower equivalence margin, if not symmetric.")
    upper: float | None = Field(default=None, description="Upper equivalence margin, if not symmetric.")
    unit: str | None = Field(default=None, description="Unit of the margin; must equal the unit of the estimate.")
    alpha: float = Field(
        default=0.025, gt=0, lt=0.5, description="One-sided type-I error; the interval has level 1 - 2 alpha."
    )
    better: Literal["higher", "lower"] | None = Field(
        default=None, description="Better direction of the estimate, where the metric does not fix it."
    )

    @model_validator(mode="after")
    def _margins(self) -> Hypothesis:
        if self.type == "descriptive":
            return self
        if self.type == "equivalence":
            if self.lower is not None or self.upper is not None:
                if self.lower is None or self.upper is None or not self.lower < self.upper or self.margin is not None:
                    raise ValueError("equivalence needs either `margin`, or both `lower` < `upper`")
            elif self.margin is None or self.margin <= 0:
                raise ValueError("an equivalence margin must be positive")
        elif self.lower is not None or self.upper is not None:
            raise ValueError("`lower` and `upper` belong to equivalence; use `margin`")
        elif self.type == "non_inferiority" and (self.margin is None or self.margin <= 0):
            raise ValueError(
                "a non-inferiority margin is the largest acceptable loss, a positive number; "
                f"{self.margin} has the wrong sign or is missing"
            )
        elif self.type == "performance_goal" and self.margin is None:
            raise ValueError("a performance goal needs `margin`, the goal")
        return self


class SampleSize(Part):
    """Why the planned number of cases is enough."""

    planned_clusters: int = Field(ge=2, description="Planned number of independent clusters (patients).")
    power: float = Field(gt=0, lt=1)
    """Planned probability of meeting the criterion if the assumptions hold."""
    assumed_effect: float = Field(description="Assumed true value of the estimate, in its unit.")
    assumed_sd: float | None = Field(default=None, gt=0, description="Assumed between-cluster SD of the estimate.")
    source: str = Field(min_length=5, description="Where the assumptions come from.")


class Pick(Part):
    """Which number of a metric of whole data sets an endpoint is about; `validation measure` shows them all.

    ``*`` stands for every component (or subgroup): each of them must meet the criterion, and the worst is shown.
    """

    finding: str = Field(default="", description="Metric within a family, such as membership_tpr.")
    component: str = Field(default="", description="Column, pair, attack or other part of the metric.")
    subgroup: str = Field(default="", description="Group of records, such as sex=F; empty for the whole set.")


class Endpoint(Part):
    """A metric, how it is summarised over cases, what it is compared with, and what must be shown."""

    id: Identifier
    """Identifier; result ids begin with it (`E1.estimate.lower`)."""
    role: Literal["primary", "secondary", "exploratory", "safety"]
    """Primary and secondary are confirmatory; safety counts for the proposal, outside multiplicity."""
    title: str = Field(min_length=3)
    """What the endpoint shows, in words."""
    metric: MetricChoice
    """What is measured on every case."""
    summary: str = Field(
        default="", description="Registered summary over cases; metrics of whole data sets bring their own estimate."
    )
    summary_parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the summary; `label` names the column with the truth (0 or 1)."""
    comparator: Literal["none", "input", "reference", "baseline"] = Field(
        default="none", description="The arm that the output is compared with, case by case."
    )
    pick: Pick = Field(
        default_factory=Pick,
        description="For metrics of whole data sets: which number is judged. Of a vector metric, the component that is "
        "judged, such as `{component: ME bone}`; the others are reported beside it.",
    )
    sets: dict[str, str] = Field(
        default_factory=dict,
        description="For metrics of whole data sets: role of the metric -> data set of study.yaml; a role that is not "
        "named takes the set of its own name.",
    )
    hypothesis: Hypothesis
    """What must be shown."""
    cases: str | None = Field(
        default=None, description="Expression over case-table columns that restricts the endpoint, e.g. to a phantom."
    )
    minimum_clusters: int | None = Field(
        default=None, ge=2, description="Overrides population.minimum_clusters, e.g. for repeated phantom scans."
    )
    independent_unit: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z -]{1,60}$",
        description="Overrides population.independent_unit, e.g. `phantom scan` for an endpoint on a phantom.",
    )
    rationale: str | None = Field(default=None, description="Why this margin is clinically acceptable.")
    hazards: list[Identifier] = Field(default_factory=list)
    """Hazards of the claim that this endpoint tests."""
    sample_size: SampleSize | None = None
    """Why the planned number of cases is enough."""
    subgroups: bool | list[str] = Field(
        default=True,
        description="Whether the pre-planned subgroups are reported for it, or the columns to report it by instead, "
        "such as dose and contrast of phantom scans.",
    )

    def set_key(self) -> str:
        """Return the stable text that names the metric, its parameters and its data sets, for whole data sets.

        >>> Endpoint.model_validate({"id": "P", "role": "primary", "title": "abc", "metric": {"name": "exact_copies"},
        ...     "sets": {"holdout": "control"}, "hypothesis": {"type": "descriptive"}}).set_key()
        'exact_copies on holdout=control'
        """
        named = ", ".join(f"{role}={name}" for role, name in sorted(self.sets.items()))
        return self.metric.key() + (f" on {named}" if named else "")

    @property
    def confirmatory(self) -> bool:
        """Whether the endpoint takes part in the proposal: primary or secondary, and judged against a margin."""
        return self.role in ("primary", "secondary") and self.hypothesis.type != "descriptive"


class Multiplicity(Part):
    """How the family-wise error over confirmatory endpoints is controlled."""

    method: Literal["none", "all_required", "fixed_sequence", "bonferroni", "holm", "hommel", "gatekeeping"] = (
        "all_required"
    )
    """`all_required`: each at alpha, and all must be met."""
    order: list[str] = Field(default_factory=list, description="Endpoint ids, for `fixed_sequence`.")
    gates: list[list[str]] = Field(default_factory=list, description="Families in order, for `gatekeeping`.")

    def check(self, endpoints: list[Endpoint]) -> None:
        """Raise ValueError if the order or the gates do not match the confirmatory endpoints."""
        confirmatory = {e.id for e in endpoints if e.confirmatory}
        primary = {e.id for e in endpoints if e.role == "primary"}
        if self.method != "none" and len({e.hypothesis.alpha for e in endpoints if e.confirmatory}) > 1:
            raise ValueError("confirmatory endpoints under one multiplicity method must share one alpha")
        named = self.order if self.method == "fixed_sequence" else [e for gate in self.gates for e in gate]
        if self.method in ("fixed_sequence", "gatekeeping"):
            if len(set(named)) != len(named) or set(named) - confirmatory:
                raise ValueError(f"multiplicity names endpoints twice, or ones that are not confirmatory: {named}")
            if primary - set(named):
                raise ValueError(f"multiplicity leaves out primary endpoints: {sorted(primary - set(named))}")
