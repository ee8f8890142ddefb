"""Comparing a difference of figures of merit with a margin: statistic, p-value, interval and verdict, from one law."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from validation.estimate import Outcome

_NOTHING = 1e-18  # a variance of a share below this is rounding, not variation


class Claim(StrEnum):
    """What is to be shown of the difference ``a - b``."""

    SUPERIORITY = "superiority"
    NON_INFERIORITY = "non_inferiority"
    EQUIVALENCE = "equivalence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A difference with its test. ``None`` stands for what the data do not define; ``reason`` says why."""

    estimate: float | None
    se: float | None
    df: float | None
    lower: float | None
    upper: float | None
    statistic: float | None
    p_value: float | None
    outcome: Outcome
    reason: str


def compare(
    estimate: float,
    variance: float,
    df: float,
    *,
    claim: Claim = Claim.SUPERIORITY,
    margin: float = 0.0,
    alpha: float = 0.05,
    directed: bool = False,
    names: tuple[str, str] = ("a", "b"),
) -> Comparison:
    """Test a difference ``a - b`` and judge it.

    Parameters
    ----------
    estimate, variance, df
        The difference, its estimated variance, and the degrees of freedom of the t law (``inf`` for the normal).
    claim, margin
        - superiority, ``margin`` 0: ``t = d / se``, two-sided p-value; met if the interval excludes 0. With
          ``directed`` only a difference in favour of ``a`` meets it. A positive margin asks for ``d > margin``,
          one-sided.
        - non-inferiority of ``a``: ``t = (d + margin) / se``, p-value of the upper tail; met if the lower limit is
          above ``-margin``.
        - equivalence: two one-sided tests; the larger p-value; met if the interval lies within ``-margin .. margin``.
    alpha
        Two-sided error; the interval has level ``1 - alpha`` and one-sided tests spend ``alpha / 2``.

    Returns
    -------
    Comparison
        As everywhere in this package: ``pass`` if the whole interval meets the claim, ``fail`` if the whole interval
        lies on the wrong side, ``inconclusive`` if it reaches both sides or cannot be formed.

    References
    ----------
    Chen, Petrick & Sahiner 2012, doi:10.1016/j.acra.2012.04.011 (non-inferiority and equivalence of reader-averaged
    AUCs).

    Examples
    --------
    >>> result = compare(0.01, 0.0004, 20.0, claim=Claim.NON_INFERIORITY, margin=0.05)
    >>> round(result.statistic, 6), result.outcome.value
    (3.0, 'pass')
    """
    from scipy import stats

    blocked = _why_not(estimate, variance, df)
    if blocked:
        known = estimate if math.isfinite(estimate) else None
        return Comparison(
            estimate=known, se=None, df=None, lower=None, upper=None, statistic=None, p_value=None,
            outcome=Outcome.INCONCLUSIVE, reason=blocked,
        )  # fmt: skip
    se = math.sqrt(variance)
    law = stats.t(df) if math.isfinite(df) else stats.norm()
    half = float(law.ppf(1 - alpha / 2)) * se
    lower, upper = estimate - half, estimate + half
    a, b = names
    percent = f"{100 * (1 - alpha):g} %"
    interval = f"the {percent} interval of {a} − {b} is [{lower:.4f}, {upper:.4f}]"
    if claim is Claim.NON_INFERIORITY:
        statistic = (estimate + margin) / se
        p = float(law.sf(statistic))
        met, contradicted = lower > -margin, upper < -margin
        reason = f"{interval}; its lower limit is {'above' if met else 'not above'} −{margin:g}"
    elif claim is Claim.EQUIVALENCE:
        above, below = (estimate + margin) / se, (estimate - margin) / se
        p = max(float(law.sf(above)), float(law.cdf(below)))
        statistic = above if law.sf(above) >= law.cdf(below) else below
        met, contradicted = -margin < lower and upper < margin, upper < -margin or lower > margin
        reason = f"{interval}; it lies {'within' if met else 'not within'} ±{margin:g}"
    elif margin > 0:
        statistic = (estimate - margin) / se
        p = float(law.sf(statistic))
        met, contradicted = lower > margin, upper < margin
        reason = f"{interval}; its lower limit is {'above' if met else 'not above'} {margin:g}"
    else:
        statistic = estimate / se
        p = 2 * float(law.sf(abs(statistic)))
        met, contradicted = lower > 0 or (upper < 0 and not directed), upper < 0 and directed
        higher = a if estimate > 0 else b
        excluded = lower > 0 or upper < 0
        reason = f"{interval}; it {f'excludes 0, {higher} being higher' if excluded else 'includes 0'}"
    outcome = Outcome.PASS if met else Outcome.FAIL if contradicted else Outcome.INCONCLUSIVE
    return Comparison(
        estimate=estimate, se=se, df=df if math.isfinite(df) else None, lower=lower, upper=upper,
        statistic=float(statistic), p_value=min(p, 1.0), outcome=outcome, reason=reason,
    )  # fmt: skip


def _why_not(estimate: float, variance: float, df: float) -> str:
    """Return why no interval can be formed; empty if one can."""
    if not math.isfinite(estimate):
        return "the figure of merit is not defined: a reader read no case of one class"
    if math.isnan(variance) or math.isnan(df):
        return "the variance is not defined: random readers need at least two readers, random cases two of each class"
    if variance < -_NOTHING:
        return (
            "the estimated variance is negative: the data are too few for this estimator; "
            "the fallback fixed in the protocol applies, such as the V-statistic variance in the component tables"
        )
    if variance < _NOTHING or df <= 0:
        return "the estimated variance is zero: readers and cases showed no variation, so no interval can be formed"
    return ""
