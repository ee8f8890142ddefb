"""Operating characteristics of a planned analysis: how often it concludes what, over simulated studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.reader_study.covariance import (
    covariance_of_moments,
    delong_covariance,
    jackknife_auc_covariance,
    product_moments,
)
from validation.reader_study.judgement import Claim
from validation.reader_study.obuchowski_rockette import Contrast, Effects, components, modality_differences
from validation.reader_study.pairs import PairSums, empirical_auc, pair_sums
from validation.reader_study.roe_metz import RoeMetz, simulate_batches
from validation.reader_study.roe_metz_theory import theory_moments, theory_variance
from validation.reader_study.sessions import Sessions
from validation.reader_study.ustatistics import difference, moments

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
BatchMethod = Literal["or", "ustat"]
_NOTHING = 1e-18


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySize:
    """Readers and cases of a planned study.

    Parameters
    ----------
    readers, negatives, positives
        Numbers in the whole study.
    groups
        1 for a fully crossed study; more for a paired split-plot, in which every group of readers reads its own part of
        the cases, under all modalities. Sizes that do not divide evenly differ by one.
    """

    readers: int
    negatives: int
    positives: int
    groups: int = 1

    def __post_init__(self) -> None:
        if self.groups < 1 or self.readers < 2 * self.groups or min(self.negatives, self.positives) < 2 * self.groups:
            raise UsageProblem(
                "a study needs at least two readers and two cases of each class in every group.",
                code="RDR-021",
                where="study size",
                action="Add readers or cases, or use fewer groups.",
            )

    @property
    def positive(self) -> Bools:
        """``(case,)``: non-diseased cases first."""
        return np.arange(self.negatives + self.positives) >= self.negatives

    def read(self) -> Bools:
        """Return ``(reader, case)``: who reads what."""
        mask = np.zeros((self.readers, self.negatives + self.positives), dtype=bool)
        parts = [
            np.array_split(np.arange(n) + start, self.groups)
            for n, start in ((self.readers, 0), (self.negatives, 0), (self.positives, self.negatives))
        ]
        for who, without, with_disease in zip(*parts, strict=True):
            mask[np.ix_(who, np.concatenate([without, with_disease]))] = True
        return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingCharacteristics:
    """What came out of simulated studies of one design and analysis.

    Parameters
    ----------
    success
        Share of trials in which the claim was met: power, or the type-I error if the model is on the border of the
        null hypothesis. Wilson interval: the Monte Carlo error.
    coverage
        Share of trials whose interval holds the true difference.
    undecided
        Number of trials without an interval (negative or zero variance); they count as not met and not covered.
    mean_difference, true_difference
        Of the figures of merit, first modality less second.
    mean_variance, empirical_variance, true_variance
        Of the difference: mean of the estimates, variance over trials, and exact (``None`` with effects of sessions).
    mean_df
        Mean degrees of freedom, those above 1e6 counted as 1e6.
    """

    trials: int
    success: Estimate
    coverage: Estimate
    undecided: int
    mean_difference: float
    true_difference: float
    mean_variance: float
    empirical_variance: float
    true_variance: float | None
    mean_df: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        record: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return record | {"success": self.success.to_dict(), "coverage": self.coverage.to_dict()}


def analyse_batch(
    scores: Any, size: StudySize, *, method: BatchMethod = "or", covariance: str = "unbiased"
) -> Contrast:
    """Return the difference of every other modality from the first, ``first - other``, for a batch of trials.

    Parameters
    ----------
    scores
        Tensor or array ``(trial, reader, modality, case)``, non-diseased cases first.
    method, covariance
        ``or`` with ``unbiased``, ``delong`` or ``jackknife`` covariance and random readers and cases; ``ustat`` for any
        design.

    Raises
    ------
    UsageProblem
        If a split-plot study is to be analysed by Obuchowski-Rockette, or the covariance is unknown.
    """
    M = scores.shape[2]
    if M < 2:
        raise UsageProblem(
            "one modality leaves no difference to simulate.", code="RDR-021", where="simulation", action="Give two."
        )
    if method == "or" and size.groups > 1:
        raise UsageProblem(
            "a split-plot study is analysed by U-statistics.",
            code="RDR-021",
            where="--method",
            action="Use --method ustat.",
        )
    first, others = [0] * (M - 1), list(range(1, M))
    sums = pair_sums(scores, size.positive, products=method == "ustat" or covariance == "unbiased")
    values = _numpy(empirical_auc(sums))
    if method == "ustat":
        numerator, denominator = (_numpy(part) for part in product_moments(sums))
        counts = _numpy(sums.read_negative.sum(-1) * sums.read_positive.sum(-1))
        found = moments(numerator, denominator, values, counts.reshape(-1, *values.shape[1:]))
        return difference(found, first, others)
    estimators: dict[str, Callable[[PairSums], Any]] = {
        "unbiased": lambda s: covariance_of_moments(*product_moments(s)),
        "delong": delong_covariance,
        "jackknife": jackknife_auc_covariance,
    }
    if covariance not in estimators:
        raise UsageProblem(
            f"simulated studies are not analysed with {covariance} covariance.",
            code="RDR-021",
            where="--covariance",
            action=f"Use one of {', '.join(estimators)}.",
        )
    study = components(values, _numpy(estimators[covariance](sums)))
    return modality_differences(study, Effects.RRRC, first, others)


def operating_characteristics(
    model: RoeMetz,
    size: StudySize,
    *,
    trials: int = 2000,
    seed: int = 1,
    method: BatchMethod = "or",
    covariance: str = "unbiased",
    claim: Claim = Claim.SUPERIORITY,
    margin: float = 0.0,
    alpha: float = 0.05,
    directed: bool = False,
    sessions: Sessions | None = None,
    device: str = "cpu",
) -> OperatingCharacteristics:
    """Simulate and analyse studies, and count conclusions about the first modality less the second.

    Memory does not grow with ``trials``. Rules are those of :func:`validation.reader_study.judgement.compare`. With
    ``sessions`` the true difference stays that of the model, so that bias and lost coverage show what they do.

    Raises
    ------
    UsageProblem
        If the model does not have two modalities or fewer than 100 trials are asked for.
    """
    if model.modalities != 2 or trials < 100:
        raise UsageProblem(
            "operating characteristics are computed for two modalities, from at least 100 trials.",
            code="RDR-021",
            where="simulation",
            action="Give two modalities and more trials.",
        )
    import torch

    generator = torch.Generator(device=device).manual_seed(seed + 1)  # sessions leave the drawn studies as they are
    unread = torch.as_tensor(~size.read(), device=device)[:, None, :]
    parts = []
    for batch in simulate_batches(
        model,
        readers=size.readers,
        negatives=size.negatives,
        positives=size.positives,
        trials=trials,
        seed=seed,
        device=device,
    ):
        scores = batch if sessions is None else sessions.applied(batch, size.positive, generator)
        scores = scores if size.groups == 1 else scores.masked_fill(unread, torch.nan)
        parts.append(analyse_batch(scores, size, method=method, covariance=covariance))
    estimate, variance, df = (
        np.concatenate([getattr(p, name) for p in parts])[:, 0] for name in ("estimate", "variance", "df")
    )
    auc = theory_moments(model)[0]
    truth = float(auc[0] - auc[1])
    met, covered, decided = conclusions(
        estimate, variance, df, truth, claim=claim, margin=margin, alpha=alpha, directed=directed
    )
    exact = theory_variance(model, _weights(size))
    return OperatingCharacteristics(
        trials=trials,
        success=_share(int(met.sum()), trials),
        coverage=_share(int(covered.sum()), trials),
        undecided=int((~decided).sum()),
        mean_difference=float(estimate.mean()),
        true_difference=truth,
        mean_variance=float(variance.mean()),
        empirical_variance=float(estimate.var(ddof=1)),
        true_variance=None if sessions else float(exact[0, 0] + exact[1, 1] - 2 * exact[0, 1]),
        mean_df=float(np.minimum(df, 1e6).mean()),
    )


def conclusions(
    estimate: Array,
    variance: Array,
    df: Array,
    truth: float,
    *,
    claim: Claim,
    margin: float,
    alpha: float,
    directed: bool = False,
) -> tuple[Bools, Bools, Bools]:
    """Return for every trial whether the claim was met, the interval holds the truth, and an interval exists.

    The rules of :func:`validation.reader_study.judgement.compare`, for arrays.
    """
    from scipy import stats

    decided = np.isfinite(variance) & (variance >= _NOTHING) & (df > 0)
    safe_df = np.where(decided & np.isfinite(df), df, 1.0)
    quantile = np.where(np.isfinite(df), stats.t.ppf(1 - alpha / 2, safe_df), stats.norm.ppf(1 - alpha / 2))
    half = quantile * np.sqrt(np.where(decided, variance, 0.0))
    lower, upper = estimate - half, estimate + half
    if claim is Claim.NON_INFERIORITY:
        met = lower > -margin
    elif claim is Claim.EQUIVALENCE:
        met = (lower > -margin) & (upper < margin)
    elif margin > 0:
        met = lower > margin
    else:
        met = (lower > 0) | ((upper < 0) & (not directed))
    return met & decided, (lower <= truth) & (truth <= upper) & decided, decided


def _weights(size: StudySize) -> Array:
    """Return the weights of the moments of a design with two modalities."""
    mask = size.read()
    read = np.repeat(mask[:, None, :], 2, axis=1).reshape(1, 2 * size.readers, -1).astype(float)
    r0, r1 = read[..., ~size.positive], read[..., size.positive]
    zero = np.zeros((1, read.shape[1], read.shape[1]))
    sums = PairSums(size.readers, 2, np.zeros(read.shape[:2]), r0 * 0, r1 * 0, r0, r1, zero)
    numerator, denominator = product_moments(sums)
    counts = (r0.sum(-1) * r1.sum(-1)).reshape(1, size.readers, 2)
    weights: Array = moments(numerator, denominator, np.zeros_like(counts), counts).weights[0]
    return weights


def _share(count: int, trials: int) -> Estimate:
    """Return a share of trials with the Wilson interval (1927, doi:10.1080/01621459.1927.10502953)."""
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(count, trials, method="wilson")
    return Estimate(
        value=count / trials,
        lower=max(0.0, float(lower)),
        upper=min(1.0, float(upper)),
        method="share of simulated trials, Wilson",
        n=trials,
        unit="1",
        n_events=count,
    )


def _numpy(array: Any) -> Array:
    """Return a tensor or array as numpy, on the host."""
    return np.asarray(array.cpu().numpy() if hasattr(array, "cpu") else array, dtype=float)
