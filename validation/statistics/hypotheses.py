"""From an estimator and a hypothesis to a verdict: a bound is compared with a margin, never a point estimate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from validation.errors import ProtocolProblem
from validation.estimate import Estimate, Outcome, Verdict

Estimator = Callable[[float], Estimate]
Side = Literal["above", "below"]

SMALLEST_P = 1e-10  # p-values are searched down to here; a smaller one is reported as this bound


def judge(
    estimator: Estimator,
    *,
    hypothesis: str,
    margin: float | None = None,
    lower: float | None = None,
    upper: float | None = None,
    alpha: float = 0.025,
    better: str | None = None,
    null: float = 0.0,
) -> tuple[Estimate, Verdict]:
    """Judge a hypothesis by the two-sided interval at level ``1 - 2 * alpha``.

    The threshold T is the margin for superiority and performance goals, and ``null`` plus or minus the margin, on the
    worse side, for non-inferiority.

    - **pass**: the interval lies wholly beyond T on the better side (for equivalence: wholly inside the two margins).
    - **fail**: the interval lies wholly on the wrong side of T (for equivalence: wholly outside). The data show that
      the criterion is not met.
    - **inconclusive**: anything else: T lies within the interval, or there is no interval. The data do not settle it.

    A limit that equals T is not beyond it. Fail and inconclusive are both "criterion not met" and both end a run with
    exit code 1. The one-sided p-value is the smallest alpha whose interval lies beyond T, found by bisection over the
    same estimator, so that it is at most ``alpha`` exactly when the verdict is a pass; for equivalence it is the larger
    of the two (two one-sided tests). It is never below 1e-10, nor below the resolution of a resampling method.

    Parameters
    ----------
    estimator
        Recomputes the estimate at a two-sided level; must be deterministic.
    hypothesis
        ``superiority``, ``non_inferiority``, ``equivalence``, ``performance_goal`` or ``descriptive``.
    margin, lower, upper
        As in the protocol; superiority without a margin means ``null``; ``lower`` and ``upper`` belong to equivalence.
    alpha
        One-sided type-I error.
    better
        ``"higher"`` or ``"lower"``; not needed for equivalence and descriptive.
    null
        The value that means "no difference": 0, or 1 for a ratio (:func:`validation.statistics.summaries.null_value`).

    Returns
    -------
    tuple of Estimate and Verdict
        The estimate at level ``1 - 2 * alpha``. Descriptive hypotheses are reported at the same level and are never
        judged: their outcome is inconclusive, with that reason, and no p-value.

    Raises
    ------
    ProtocolProblem
        STAT-001 if the direction or the margin that the hypothesis needs is missing or contradictory.

    Examples
    --------
    >>> from validation.statistics.means import mean
    >>> e, v = judge(lambda level: mean([1.0, 2.0, 3.0, 4.0], level=level, unit="HU"),
    ...              hypothesis="superiority", margin=0.0, better="higher")
    >>> v.outcome.value, v.reason
    ('pass', 'The lower 95 % confidence limit, 0.4457 HU, lies above the margin, 0 HU.')
    """
    estimate = estimator(1 - 2 * alpha)
    if hypothesis == "descriptive":
        return estimate, Verdict(
            outcome=Outcome.INCONCLUSIVE, reason="Descriptive: reported, not judged.", hypothesis=hypothesis
        )
    if hypothesis == "equivalence":
        return estimate, _equivalence(estimator, estimate, _bounds(margin, lower, upper, null), alpha)
    threshold, side = _threshold(hypothesis, margin, better, null)
    word = {"performance_goal": "performance goal", "non_inferiority": "non-inferiority limit"}.get(
        hypothesis, "margin"
    )
    outcome, reason = _one_sided(estimate, threshold, side, word)
    return estimate, Verdict(
        outcome=outcome,
        reason=reason,
        hypothesis=hypothesis,
        margin=threshold if margin is None else margin,
        alpha=alpha,
        p_value=one_sided_p(estimator, threshold, side),
    )


def one_sided_p(estimator: Estimator, threshold: float, side: Side) -> float | None:
    """Return the smallest alpha at which the interval lies ``above`` (or ``below``) the threshold.

    ``None`` if there is no interval. Where the point estimate is on the other side, the p-value is one minus that of
    the opposite comparison.

    >>> from validation.statistics.means import mean
    >>> round(one_sided_p(lambda level: mean([1.0, 2.0, 3.0, 4.0], level=level), 0.0, "above"), 5)
    0.01523
    """
    seen: dict[float, Estimate] = {}

    def excludes(alpha: float, which: Side) -> bool:
        if alpha not in seen:
            seen[alpha] = estimator(1 - 2 * alpha)
        return beyond(seen[alpha], threshold, which)

    def smallest(which: Side) -> float | None:
        high, low = math.log(0.4999), math.log(SMALLEST_P)
        if not excludes(math.exp(high), which):
            return None
        if excludes(math.exp(low), which):
            return SMALLEST_P
        for _ in range(40):  # to a relative width of 1e-11
            middle = (low + high) / 2
            if excludes(math.exp(middle), which):
                high = middle
            else:
                low = middle
        return math.exp(high)

    middle_half = estimator(0.5)
    if middle_half.lower is None and middle_half.upper is None:
        return None
    found = smallest(side)
    if found is not None:
        return found
    opposite = smallest("below" if side == "above" else "above")
    return 0.5 if opposite is None else 1 - opposite


def beyond(estimate: Estimate, threshold: float, side: Side) -> bool:
    """Tell whether the whole interval lies above (below) the threshold; a missing limit never does."""
    limit = estimate.lower if side == "above" else estimate.upper
    if limit is None:
        return False
    return limit > threshold if side == "above" else limit < threshold


def _threshold(hypothesis: str, margin: float | None, better: str | None, null: float) -> tuple[float, Side]:
    if hypothesis not in ("superiority", "non_inferiority", "performance_goal"):
        raise ProtocolProblem(
            f"there is no hypothesis of type {hypothesis!r}.",
            code="STAT-001",
            action="Use superiority, non_inferiority, equivalence, performance_goal or descriptive.",
        )
    if better not in ("higher", "lower"):
        raise ProtocolProblem(
            f"a {hypothesis} hypothesis needs to know which direction is better.",
            code="STAT-001",
            why="Neither the metric nor the summary fixes it, and a wrong guess would reverse the verdict.",
            action="Set `better: higher` or `better: lower` in the hypothesis.",
        )
    side: Side = "above" if better == "higher" else "below"
    if hypothesis == "non_inferiority":
        if margin is None or not margin > 0:
            raise ProtocolProblem(
                f"a non-inferiority margin must be a positive number, got {margin}.",
                code="STAT-001",
                action="Give the largest acceptable loss, without a sign.",
            )
        return (null - margin if side == "above" else null + margin), side
    if margin is None:
        if hypothesis == "performance_goal":
            raise ProtocolProblem(
                "a performance goal has no `margin`.", code="STAT-001", action="Set `margin` to the goal."
            )
        return null, side
    return margin, side


def _bounds(margin: float | None, lower: float | None, upper: float | None, null: float) -> tuple[float, float]:
    if lower is not None and upper is not None and margin is None and lower < upper:
        return lower, upper
    if lower is None and upper is None and margin is not None and margin > 0:
        return null - margin, null + margin
    raise ProtocolProblem(
        "an equivalence hypothesis needs either a positive `margin`, or both `lower` < `upper`.", code="STAT-001"
    )


def _one_sided(estimate: Estimate, threshold: float, side: Side, word: str) -> tuple[Outcome, str]:
    name, opposite = ("lower", "upper") if side == "above" else ("upper", "lower")
    other: Side = "below" if side == "above" else "above"
    limit = estimate.lower if side == "above" else estimate.upper
    if limit is None:
        return Outcome.INCONCLUSIVE, no_interval(estimate)
    percent = _percent(estimate.level)
    if beyond(estimate, threshold, side):
        a, b = _pair(limit, threshold, estimate.unit)
        return Outcome.PASS, f"The {name} {percent} confidence limit, {a}, lies {side} the {word}, {b}."
    if beyond(estimate, threshold, other):
        far = estimate.upper if side == "above" else estimate.lower
        a, b = _pair(far if far is not None else limit, threshold, estimate.unit)
        return Outcome.FAIL, (
            f"Even the {opposite} {percent} confidence limit, {a}, lies {other} the {word}, {b}: "
            "the criterion is not met."
        )
    a, b = _pair(limit, threshold, estimate.unit)
    return Outcome.INCONCLUSIVE, (
        f"The {name} {percent} confidence limit, {a}, does not lie {side} the {word}, {b}, while the {opposite} "
        "limit does not rule it out: the data do not settle the question."
    )


def _equivalence(estimator: Estimator, estimate: Estimate, bounds: tuple[float, float], alpha: float) -> Verdict:
    low, high = bounds
    ps = one_sided_p(estimator, low, "above"), one_sided_p(estimator, high, "below")
    percent = _percent(estimate.level)
    limits = f"the equivalence margins, {number(low)} to {quantity(high, estimate.unit)}"
    if estimate.lower is None or estimate.upper is None:
        outcome, reason = Outcome.INCONCLUSIVE, no_interval(estimate)
    else:
        span = (
            f"The {percent} confidence interval, {number(estimate.lower)} to {quantity(estimate.upper, estimate.unit)},"
        )
        if beyond(estimate, low, "above") and beyond(estimate, high, "below"):
            outcome, reason = Outcome.PASS, f"{span} lies within {limits}."
        elif beyond(estimate, low, "below") or beyond(estimate, high, "above"):
            outcome, reason = Outcome.FAIL, f"{span} lies wholly outside {limits}: the criterion is not met."
        else:
            outcome, reason = (
                Outcome.INCONCLUSIVE,
                f"{span} does not lie within {limits}, nor wholly outside: the data do not settle the question.",
            )
    return Verdict(
        outcome=outcome,
        reason=reason,
        hypothesis="equivalence",
        margin=bounds,
        alpha=alpha,
        p_value=None if ps[0] is None or ps[1] is None else max(ps[0], ps[1]),
    )


def no_interval(estimate: Estimate) -> str:
    """Return the sentence for an estimate without the limit that a verdict needs."""
    return f"There is no confidence limit to judge: {estimate.reason or 'it is unbounded at this level'}."


def number(value: float, digits: int = 4) -> str:
    """Write a number with significant digits and a true minus sign.

    >>> number(-0.00012345), number(1234567.0), number(0.0)
    ('−0.0001234', '1234567', '0')
    """
    text = (
        f"{value:.{digits}g}"
        if abs(value) < 10**digits
        else f"{value:.0f}"
        if abs(value) < 1e15
        else f"{value:.{digits}g}"
    )
    return text.replace("-", "−") if value else "0"


def quantity(value: float, unit: str, digits: int = 4) -> str:
    """Write a number with its unit, which is left out for a pure number."""
    return number(value, digits) + ("" if unit == "1" else f" {unit}")


def _pair(limit: float, threshold: float, unit: str) -> tuple[str, str]:
    """Write two numbers with as many digits as show which is larger."""
    for digits in range(4, 17):
        if limit == threshold or number(limit, digits) != number(threshold, digits):
            break
    return quantity(limit, unit, digits), quantity(threshold, unit, digits)


def _percent(level: float) -> str:
    return f"{100 * level:.6g} %"
