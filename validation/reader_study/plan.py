"""What an analysis of a reader study is asked to do, checked before any score is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from validation.errors import UsageProblem
from validation.reader_study.endpoints import LOCALISATION, Endpoint
from validation.reader_study.judgement import Claim
from validation.reader_study.obuchowski_rockette import Effects

CURVE_FIGURES = ("partial_auc", "sensitivity_at_specificity", "specificity_at_sensitivity", "expected_utility")
Method = Literal["auto", "or", "dbm", "ustat"]
CovarianceName = Literal["jackknife", "delong", "unbiased", "bootstrap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisPlan:
    """Settings of one analysis.

    Parameters
    ----------
    endpoint
        Figure of merit; those in ``LOCALISATION`` need marks.
        ``mean_score`` is the mean rating over all cases, such as of image quality; ``preference`` uses only the order
        of two ratings of a case: the share of cases rated higher under one of two modalities, ties counting half. Both
        need no truth.
    method
        ``or``, ``dbm``, ``ustat``; ``auto`` takes Obuchowski-Rockette for fully crossed designs and U-statistics for
        all others: a choice by the design, never by the result.
    covariance
        Covariance of the figures of merit given the readers, for ``or``.
    effects
        Which of readers and cases are random.
    claim, margin, alpha
        Hypothesis about ``a - b``, its margin, and the two-sided error.
    control
        Modality that all others are compared with, as ``b``; every pair is compared if ``None``.
    standalone
        Reader (or modality read by one reader alone) that is a system, compared with the average of all others: ``a``
        is the system.
    holm
        Whether verdicts on several differences are adjusted by Holm's method.
    threshold
        Ratings of this value or above count as positive decisions, if no decisions were recorded.
    at
        The fixed specificity of ``sensitivity_at_specificity`` and ``localisation_at_specificity``, or the fixed
        sensitivity of ``specificity_at_sensitivity``.
    band, band_of
        The band of specificity or sensitivity of ``partial_auc``; of specificity for ``partial_alroc``.
    curve
        ``empirical``, or the fitted ``binormal`` or ``proper`` curve for ``partial_auc``, both ``..._at_...`` and
        ``expected_utility``.
    slope
        Weight of the false-positive fraction in ``expected_utility``.
    replicates, seed
        For the bootstrap covariance.
    """

    endpoint: Endpoint = "auc"
    method: Method = "auto"
    covariance: CovarianceName = "jackknife"
    effects: Effects = Effects.RRRC
    claim: Claim = Claim.SUPERIORITY
    margin: float = 0.0
    alpha: float = 0.05
    control: str | None = None
    standalone: str | None = None
    holm: bool = True
    threshold: float | None = None
    at: float = 0.9
    band: tuple[float, float] = (0.8, 1.0)
    band_of: Literal["specificity", "sensitivity"] = "specificity"
    curve: Literal["empirical", "binormal", "proper"] = "empirical"
    slope: float = 1.0
    replicates: int = 2000
    seed: int = 1

    def __post_init__(self) -> None:
        if self.claim is not Claim.SUPERIORITY and not self.margin > 0:
            raise UsageProblem(
                f"{self.claim.value} needs a positive margin.",
                code="RDR-010",
                where="--margin",
                why="Without the largest acceptable difference there is nothing to compare the interval with.",
                action="Give the margin that the protocol fixed, such as --margin 0.05.",
            )
        if self.margin < 0 or (self.margin >= 1 and self.endpoint != "mean_score") or not 0 < self.alpha < 1:
            raise UsageProblem(
                "the margin must lie in [0, 1) for a figure between 0 and 1, and alpha in (0, 1).",
                code="RDR-010",
                where="--margin",
            )
        if not 0 < self.at < 1 or not 0 <= self.band[0] < self.band[1] <= 1:
            raise UsageProblem(
                "a fixed specificity or sensitivity lies between 0 and 1, and a band goes from low to high.",
                code="RDR-010",
                where="--at",
            )
        if self.curve != "empirical" and self.endpoint not in CURVE_FIGURES:
            raise UsageProblem(
                f"{self.endpoint} is not a figure of a fitted curve.",
                code="RDR-011",
                where="--curve",
                action=f"Use one of {', '.join(CURVE_FIGURES)}; the area itself is binormal_auc or proper_auc.",
            )
        if not self.slope > 0:
            raise UsageProblem("the slope of the expected utility is positive.", code="RDR-010", where="--slope")
        if self.replicates < 100:
            raise UsageProblem("the bootstrap needs at least 100 replicates.", code="RDR-010", where="--replicates")
        if self.method == "dbm" and self.covariance != "jackknife":
            raise UsageProblem(
                "the DBM method is defined by jackknife pseudovalues.",
                code="RDR-011",
                where="--covariance",
                action="Use --covariance jackknife, or --method or.",
            )
        if self.standalone is not None and (self.control is not None or self.method in ("dbm", "ustat")):
            raise UsageProblem(
                "a standalone comparison names its two sides itself, and is done by Obuchowski-Rockette on complete "
                "tables.",
                code="RDR-011",
                where="--standalone",
                action="Drop --control and use --method or; for incomplete tables give the system a modality of its "
                "own, with --method ustat.",
            )
        if self.standalone is not None and self.effects is Effects.FRRC:
            raise UsageProblem(
                "a system is compared with readers as a sample.",
                code="RDR-011",
                where="--readers",
                action="Use --readers random.",
            )
        if self.method == "ustat" and self.effects is Effects.RRFC:
            raise UsageProblem(
                "the U-statistic method treats cases as random.",
                code="RDR-011",
                where="--cases",
                action="Use --method or for fixed cases.",
            )


def needs_no_marks(endpoint: Endpoint) -> None:
    """Refuse a figure of marks and lesions where there are scores only."""
    if endpoint in LOCALISATION:
        raise UsageProblem(
            f"{endpoint} is a figure of marks and lesions, and a table of scores has neither.",
            code="RDR-011",
            where="--endpoint",
            action="Give the table of marks, and --truth with the table of lesions.",
        )


def needs_marks(endpoint: Endpoint) -> None:
    """Refuse a figure of scores where there are marks and lesions."""
    if endpoint not in LOCALISATION:
        raise UsageProblem(
            f"{endpoint} is no figure of marks and lesions.",
            code="RDR-011",
            where="--endpoint",
            action=f"Use one of {', '.join(LOCALISATION)}.",
        )
