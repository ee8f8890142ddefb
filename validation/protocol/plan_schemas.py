"""Plans that a protocol may hold besides its endpoints: reader study, shift and fairness."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from validation.protocol.endpoint_schema import Identifier, Part


class ReaderStudyPlan(Part):
    """A multi-reader multi-case study, fixed before any score is loaded."""

    design: Literal["fully_crossed", "split_plot", "paired_split_plot", "sequential"] = "fully_crossed"
    """Which readers read which cases under which condition."""
    modalities: list[str] = Field(min_length=1, description="Reading conditions, such as `input` and `output`.")
    endpoint: Literal["auc", "sensitivity", "specificity", "wafroc", "likert", "agreement"] = "auc"
    """Figure of merit of the primary analysis."""
    method: Literal["or", "dbm", "ustat"] = "or"
    """Obuchowski-Rockette, Dorfman-Berbaum-Metz, or U-statistics."""
    covariance: Literal["jackknife", "delong", "unbiased", "bootstrap"] = "jackknife"
    """How error covariances are estimated."""
    readers: int = Field(ge=1)
    """Planned number of readers."""
    cases: int = Field(ge=2)
    """Planned number of cases."""
    prevalence: float = Field(gt=0, lt=1, description="Share of diseased cases in the study.")
    hypothesis: Literal["superiority", "non_inferiority", "equivalence"] = "superiority"
    """What must be shown of the difference between conditions."""
    margin: float = Field(default=0.0, ge=0)
    """Margin of the difference, a positive number."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Two-sided type-I error.")
    rating_scale: str = "0-100"
    """Scale on which readers rate, in words."""
    washout_days: int = Field(default=28, ge=0)
    """Fewest days between two readings of one case by one reader."""
    reader_qualifications: str = ""
    """Who may read."""
    reader_training: str = ""
    """How readers are trained, on cases that are not in the study."""
    randomisation_seed: int = 1
    """Seed of the reading order."""
    fallback: str = Field(default="", description="Analysis to use if assumptions fail, fixed in advance.")
    mark_scoring: str = Field(default="", description="Rule that matches a mark to a lesion, for localisation tasks.")
    simulation: dict[str, float | int | str] = Field(
        default_factory=dict, description="Settings of the model-observer reader simulation, if one is run."
    )


class ShiftVariable(Part):
    """One variable whose shift is examined, with the statistic fixed in advance."""

    column: str
    """Case-table column."""
    statistic: Literal["ks", "cramer_von_mises", "chi2", "energy", "wasserstein", "standardised_difference"]
    """Statistic, fixed here and never chosen by sample size."""
    margin: float | None = Field(default=None, gt=0, description="Largest difference of no consequence.")


class ShiftPlan(Part):
    """Which variables are compared between a baseline cohort and a new one."""

    variables: list[ShiftVariable] = Field(min_length=1)
    """Variables compared one by one."""
    multivariate: list[Literal["mmd", "energy", "classifier"]] = Field(default_factory=list)
    """Tests over all variables together."""
    multivariate_margins: dict[Literal["mmd", "energy"], Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="Largest joint difference of no consequence, per test."
    )
    baseline: str | None = Field(
        default=None,
        description="Table (CSV/Parquet, relative to the study folder) of the cases that the model was developed on; "
        "`run` compares the cohort with it. Without it shift is examined in revalidation only.",
    )
    multiplicity: Literal["holm", "bonferroni", "benjamini_hochberg"] = "holm"
    """Control of error over the variables."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Error of the family."""
    permutations: int = Field(default=999, ge=99)
    """Number of permutations of patients."""
    seed: int = 1
    """Seed of the permutations."""


class FairnessPlan(Part):
    """Which gaps between groups are estimated, and the margin, if any, they are judged against."""

    attributes: list[str] = Field(min_length=1)
    """Columns whose levels are the groups."""
    intersections: bool = False
    """Whether the groups of several attributes are crossed."""
    endpoints: list[Identifier] = Field(default_factory=list, description="Endpoints examined; all primary if empty.")
    margin: float | None = Field(default=None, gt=0, description="Largest acceptable loss of the worst group.")
    minimum_clusters: int = Field(default=10, ge=2)
    """Fewest patients in a group for it to be judged; below: inconclusive."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Two-sided error of the family of gaps."""
