"""Sample size and power of every hypothesis, for independent patients, with the design effect of several cases each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import integrate, stats

from validation.statistics.proportions import Interval, clopper_pearson, wilson

_MOST = 10_000_000


def design_effect(cases_per_patient: float, intraclass_correlation: float, *, variation: float = 0.0) -> float:
    """Return the factor by which several cases per patient inflate the variance of a mean over cases.

    ``1 + ((1 + cv^2) m - 1) rho``, with m the mean number of cases per patient and cv (``variation``) its coefficient
    of variation. The number of cases needed is that of independent cases times this factor.

    References
    ----------
    Eldridge, Ashby and Kerry 2006, doi:10.1093/ije/dyl129.

    Examples
    --------
    >>> design_effect(4, 0.5)
    2.5
    """
    return max(1.0, 1 + ((1 + variation**2) * cases_per_patient - 1) * intraclass_correlation)


def power_mean(n: int, *, distance: float, sd: float, alpha: float) -> float:
    """Return the power of a one-sided t-test (mean, paired difference, log ratio).

    Parameters
    ----------
    n
        Number of patients.
    distance
        True value minus the threshold, positive on the better side.
    sd
        Standard deviation between patients (of the differences, if paired).

    Examples
    --------
    >>> round(power_mean(34, distance=0.5, sd=1.0, alpha=0.025), 3)
    0.808
    """
    if n < 2:
        return 0.0
    critical = float(stats.t.isf(alpha, n - 1))
    return float(stats.nct.sf(critical, n - 1, distance / sd * math.sqrt(n)))


def power_equivalence(n: int, *, lower: float, upper: float, sd: float, alpha: float) -> float:
    """Return the exact power of two one-sided t-tests; ``lower`` and ``upper`` are the margins minus the true value.

    Integrates over the sample standard deviation the probability that the mean lies where both tests reject.

    References
    ----------
    Phillips 1990, doi:10.1007/BF01063556.

    Examples
    --------
    >>> round(power_equivalence(12, lower=-1.0, upper=1.0, sd=1.0, alpha=0.05), 3)
    0.889
    """
    if n < 2:
        return 0.0
    error, df = sd / math.sqrt(n), n - 1
    critical = float(stats.t.isf(alpha, df))
    widest = (upper - lower) / (2 * critical * error)  # a larger sample SD (over sd) leaves no room

    def inside(ratio: float) -> float:
        room = critical * error * ratio
        reach = stats.norm.cdf((upper - room) / error) - stats.norm.cdf((lower + room) / error)
        return float(max(reach, 0.0) * stats.chi.pdf(ratio * math.sqrt(df), df) * math.sqrt(df))

    bulk = float(stats.chi.isf(1e-14, df)) / math.sqrt(df)
    edge = float(stats.chi.ppf(1e-14, df)) / math.sqrt(df)
    if widest <= edge:
        return 0.0
    return float(integrate.quad(inside, edge, min(widest, bulk), limit=200)[0])


def power_proportion(
    n: int,
    *,
    probability: float,
    goal: float,
    alpha: float,
    higher_is_better: bool = True,
    interval: Interval = "wilson",
) -> float:
    """Return the exact power to show a proportion beyond a goal, by summing over all numbers of events.

    Examples
    --------
    >>> round(power_proportion(100, probability=0.9, goal=0.8, alpha=0.025), 3)
    0.802
    """
    k = np.arange(n + 1)
    make = wilson if interval == "wilson" else clopper_pearson
    hits = np.fromiter((_beyond(make(x / n, n, 1 - 2 * alpha), goal, higher_is_better) for x in k), bool, n + 1)
    return float(stats.binom.pmf(k[hits], n, probability).sum())


def power_normal(*, distance: float, error: float, alpha: float) -> float:
    """Return the power of a one-sided test of an estimate with a known standard error."""
    return float(stats.norm.cdf(distance / error - stats.norm.isf(alpha)))


def power_proportion_difference(
    n: int, n_comparator: int, *, probability: float, comparator: float, threshold: float = 0.0, alpha: float
) -> float:
    """Return the approximate power for two independent proportions, difference above ``threshold``.

    References
    ----------
    Chow, Shao and Wang 2008, Sample Size Calculations in Clinical Research, section 4.2.
    """
    error = math.sqrt(probability * (1 - probability) / n + comparator * (1 - comparator) / n_comparator)
    return power_normal(distance=probability - comparator - threshold, error=error, alpha=alpha)


def power_paired_proportions(n: int, *, gained: float, lost: float, threshold: float = 0.0, alpha: float) -> float:
    """Return the approximate power for two proportions of the same cases, from the probabilities of discordance."""
    difference = gained - lost
    error = math.sqrt(max(gained + lost - difference**2, 1e-12) / n)
    return power_normal(distance=difference - threshold, error=error, alpha=alpha)


def auc_variance(auc: float, positives: float, negatives: float) -> float:
    """Return Hanley and McNeil's variance of an AUC (exponential scores, on the safe side for most ratings).

    References
    ----------
    Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747.

    Examples
    --------
    >>> round(auc_variance(0.893, 51, 58) ** 0.5, 4)  # their example
    0.0325
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return spread / (positives * negatives)


def power_auc(positives: float, negatives: float, *, auc: float, goal: float, alpha: float) -> float:
    """Return the power to show an AUC above a goal, on the logit scale of :func:`validation.statistics.roc.auc`."""
    error = math.sqrt(auc_variance(auc, positives, negatives)) / (auc * (1 - auc))
    distance = math.log(auc / (1 - auc)) - math.log(goal / (1 - goal))
    return power_normal(distance=distance, error=error, alpha=alpha)


def power_auc_difference(
    positives: float, negatives: float, *, auc: float, comparator: float, correlation: float, threshold: float = 0.0,
    alpha: float,
) -> float:  # fmt: skip
    """Return the power for two AUCs of the same cases, whose estimates have the given correlation.

    References
    ----------
    Hanley and McNeil 1983, doi:10.1148/radiology.148.3.6878708.
    """
    v1, v2 = auc_variance(auc, positives, negatives), auc_variance(comparator, positives, negatives)
    error = math.sqrt(v1 + v2 - 2 * correlation * math.sqrt(v1 * v2))
    return power_normal(distance=auc - comparator - threshold, error=error, alpha=alpha)


def smallest(power: Callable[[int], float], target: float, *, start: int = 2) -> int | None:
    """Return the smallest n at which the power reaches the target; ``None`` if ten million are not enough.

    Power of exact tests is not monotone in n; the answer then reaches the target also at the nine larger numbers.

    >>> smallest(lambda n: power_mean(n, distance=0.5, sd=1.0, alpha=0.025), 0.8)
    34
    """
    high = max(start, 2)
    while power(high) < target:
        high *= 2
        if high > _MOST:
            return None
    low = max(start, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= target else (middle + 1, high)
    while any(power(low + step) < target for step in range(10)):
        low += 1
    return low


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The planned power of one endpoint, from the assumptions in its protocol.

    Parameters
    ----------
    summary
        Name of the registered summary. Proportions, sensitivity, specificity and AUC take their variance from
        ``effect``; everything else needs ``sd``.
    hypothesis, margin, lower, upper, alpha, better, null
        As for :func:`validation.statistics.hypotheses.judge`.
    effect
        Assumed true value of the estimate.
    sd
        Assumed standard deviation between patients of what is averaged (for a ratio: of the ratio).
    prevalence
        Share of patients with the condition, for an AUC.

    Examples
    --------
    >>> plan = Plan(summary="paired_mean_difference", hypothesis="non_inferiority", margin=0.5, alpha=0.025,
    ...             better="higher", effect=0.0, sd=1.0)
    >>> plan.required(0.8)
    34
    """

    summary: str
    hypothesis: str
    alpha: float
    effect: float
    better: str | None = None
    margin: float | None = None
    lower: float | None = None
    upper: float | None = None
    sd: float | None = None
    null: float = 0.0
    prevalence: float = 0.5

    @property
    def reason(self) -> str:
        """Why no power can be computed; empty if it can."""
        if self.hypothesis == "descriptive":
            return "descriptive endpoints test nothing"
        if self._kind() == "mean" and self.sd is None:
            return "no standard deviation is assumed (`assumed_sd`)"
        if self.hypothesis == "equivalence":
            low, high = self._margins()
            return "" if low < self.effect < high else "the assumed effect lies outside the equivalence margins"
        if self._kind() != "mean" and not (0 < self._threshold() < 1 and 0 < self.effect < 1):
            return "the assumed effect and the goal must lie between 0 and 1"
        return "" if self._distance() > 0 else "the assumed effect does not meet the criterion"

    def power(self, clusters: int) -> float | None:
        """Return the power with this many patients, ``None`` if :attr:`reason` says that it cannot be computed."""
        return None if self.reason else self._power(clusters)

    def required(self, power: float) -> int | None:
        """Return the smallest number of patients with this power."""
        return None if self.reason else smallest(self._power, power, start=4 if self._kind() == "auc" else 2)

    def _kind(self) -> str:
        if self.hypothesis == "equivalence" or self.hypothesis == "non_inferiority":
            return "mean"
        if self.summary in ("proportion", "sensitivity", "specificity"):
            return "proportion" if self.sd is None else "mean"
        return "auc" if self.summary == "auc" and self.sd is None else "mean"

    def _power(self, clusters: int) -> float:
        kind, goal = self._kind(), self._threshold()
        if kind == "proportion":
            return power_proportion(
                clusters,
                probability=self.effect,
                goal=goal,
                alpha=self.alpha,
                higher_is_better=self.better == "higher",
            )
        if kind == "auc":
            positives = clusters * self.prevalence
            if min(positives, clusters - positives) < 2:
                return 0.0
            return power_auc(positives, clusters - positives, auc=self.effect, goal=goal, alpha=self.alpha)
        sd = self.sd or 1.0  # `reason` has made sure of it
        if self.hypothesis == "equivalence":
            low, high = self._margins()
            return power_equivalence(
                clusters, lower=low - self.effect, upper=high - self.effect, sd=sd, alpha=self.alpha
            )
        return power_mean(clusters, distance=self._distance(), sd=sd, alpha=self.alpha)

    def _threshold(self) -> float:
        if self.hypothesis == "non_inferiority":
            loss = self.margin or 0.0
            return self.null - loss if self.better == "higher" else self.null + loss
        return self.null if self.margin is None else self.margin

    def _distance(self) -> float:
        gap = self.effect - self._threshold()
        return gap if self.better == "higher" else -gap

    def _margins(self) -> tuple[float, float]:
        if self.lower is not None and self.upper is not None:
            return self.lower, self.upper
        return self.null - (self.margin or 0.0), self.null + (self.margin or 0.0)


def _beyond(limits: tuple[float, float], goal: float, higher_is_better: bool) -> bool:
    return limits[0] > goal if higher_is_better else limits[1] < goal


def clusters_for_subgroup(minimum: int, share: float, *, assurance: float = 0.9) -> int:
    """Return how many clusters must be enrolled in sequence so that a subgroup very likely has enough of them.

    Parameters
    ----------
    minimum
        Fewest clusters that the subgroup must have.
    share
        Proportion of the target population that belongs to it, above 0 and at most 1.
    assurance
        Probability with which the minimum is to be reached.

    Returns
    -------
    int
        The smallest n with P(X >= minimum) >= assurance, X binomial(n, share): enrolment is taken to be a simple random
        sample of the target population.

    Notes
    -----
    The tail of the binomial distribution is computed by SciPy; it grows with n, so the smallest n is found by doubling
    and halving.

    Examples
    --------
    >>> clusters_for_subgroup(30, 1.0), clusters_for_subgroup(1, 0.5, assurance=0.9)
    (30, 4)
    """
    from scipy.stats import binom

    if minimum < 1 or not 0 < share <= 1 or not 0 < assurance < 1:
        raise ValueError("minimum must be positive, share in (0, 1], assurance in (0, 1)")
    low, high = minimum - 1, minimum
    while binom.sf(minimum - 1, high, share) < assurance:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if binom.sf(minimum - 1, middle, share) >= assurance:
            high = middle
        else:
            low = middle
    return high
