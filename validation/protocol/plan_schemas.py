"""Plans that a protocol may hold besides its endpoints: reader study, shift and fairness."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from validation.protocol.endpoint_schema import Identifier, Part


class ReaderStudyPlan(Part):
    """A multi-reader multi-case study, fixed before any score is loaded."""

    design: Literal["fully_crossed", "split_plot", "paired_split_plot", "sequential"] = "fully_crossed"
    modalities: list[str] = Field(min_length=1, description="Reading conditions, such as `input` and `output`.")
    endpoint: Literal["auc", "sensitivity", "specificity", "wafroc", "likert", "agreement"] = "auc"
    method: Literal["or", "dbm", "ustat"] = "or"
    covariance: Literal["jackknife", "delong", "unbiased", "bootstrap"] = "jackknife"
    readers: int = Field(ge=1)
    cases: int = Field(ge=2)
    prevalence: float = Field(gt=0, lt=1, description="Share of diseased cases in the study.")
    hypothesis: Literal["superiority", "non_inferiority", "equivalence"] = "superiority"
    margin: float = Field(default=0.0, ge=0)
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Two-sided type-I error.")
    rating_scale: str = "0-100"
    washout_days: int = Field(default=28, ge=0)
    reader_qualifications: str = ""
    reader_training: str = ""
    randomisation_seed: int = 1
    fallback: str = Field(default="", description="Analysis to use if assumptions fail, fixed in advance.")
    mark_scoring: str = Field(default="", description="Rule that matches a mark to a lesion, for localisation tasks.")
    simulation: dict[str, float | int | str] = Field(
        default_factory=dict, description="Settings of the model-observer reader simulation, if one is run."
    )


class ShiftVariable(Part):
    """One variable whose shift is examined, with the statistic fixed in advance."""

    column: str
    statistic: Literal["ks", "cramer_von_mises", "chi2", "energy", "wasserstein", "standardised_difference"]
    margin: float | None = Field(default=None, gt=0, description="Largest difference of no consequence.")


class ShiftPlan(Part):
    """Which variables are compared between a baseline cohort and a new one."""

    variables: list[ShiftVariable] = Field(min_length=1)
    multivariate: list[Literal["mmd", "energy", "classifier"]] = Field(default_factory=list)
    multiplicity: Literal["holm", "bonferroni", "benjamini_hochberg"] = "holm"
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    permutations: int = Field(default=999, ge=99)
    seed: int = 1


class FairnessPlan(Part):
    """Which gaps between groups are estimated, and the margin, if any, they are judged against."""

    attributes: list[str] = Field(min_length=1)
    intersections: bool = False
    endpoints: list[Identifier] = Field(default_factory=list, description="Endpoints examined; all primary if empty.")
    margin: float | None = Field(default=None, gt=0, description="Largest acceptable loss of the worst group.")
    minimum_clusters: int = Field(default=10, ge=2)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
