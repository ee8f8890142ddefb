"""The null of privacy: which records of one population were trained on is a coin's toss.

If a generator learnt the population and nothing about single patients, training and holdout records play the same part
for its output. Every statistic here is a sum of weights over training records, and its null is the relabelling of
real records: exact (hypergeometric) where weights are 0 or 1, else with the exact mean and variance of a sample without
replacement. So unequal sizes and ties need no further correction. It rests on the holdout being drawn from the
population
of the training records, which :func:`control_finding` tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding, Status
from validation.metrics.tabular.detection import FEWEST, cross_fitted, null_p
from validation.metrics.tabular.encoding import Floats, Tables
from validation.registry import Direction
from validation.statistics.proportions import proportion, wilson
from validation.statistics.roc import auc

NULL = "training and holdout records are exchangeable for the synthetic table"
NO_HOLDOUT = "no holdout: without records that were not trained on there is nothing to compare with"
SHIFT_MARGIN = 0.05
SHIFT_ALPHA = 0.01


def relabelled(weights_train: Floats, weights_holdout: Floats) -> tuple[float, float, float]:
    """Return the sum of the training weights, and its mean and variance over all relabellings of the records.

    >>> import numpy as np
    >>> relabelled(np.array([1.0, 0.0]), np.array([0.0, 1.0]))[:2]
    (1.0, 1.0)
    """
    n, m = len(weights_train), len(weights_holdout)
    every = n + m
    both = np.concatenate([weights_train, weights_holdout])
    mean = n * float(both.mean())
    variance = n * m / every * float(both.var(ddof=1)) if every > 1 else 0.0
    return float(weights_train.sum()), mean, variance


def upper_p(observed: float, mean: float, variance: float) -> float:
    """Return the normal upper-tail p-value of a relabelled sum (1 where it cannot vary)."""
    return float(stats.norm.sf((observed - mean) / math.sqrt(variance))) if variance > 1e-12 else 1.0


def control_adjusted(k: int, n: int, j: int, m: int, *, level: float, method: str) -> Estimate:
    """Return the risk (a - c) / (1 - c): the success beyond what the same attack has on people not trained on.

    a = k / n on training records, c = j / m on holdout records. The limits combine Wilson's limits of a and c at the
    level each, so they are conservative. A risk below zero is written 0.

    Reference: Giomi et al. 2023, doi:10.56553/popets-2023-0055.

    >>> e = control_adjusted(60, 100, 50, 100, level=0.95, method="m")
    >>> round(e.value, 2)
    0.2
    """
    if not n or not m:
        return Estimate.insufficient("no record to attack", n=n + m, unit="1", method=method, level=level)
    a, c = k / n, j / m
    (a_low, a_high), (c_low, c_high) = wilson(a, n, level), wilson(c, m, level)

    def risk(attack: float, control: float) -> float:
        return max(0.0, (attack - control) / (1 - control)) if control < 1 else 0.0

    value = risk(a, c)
    return Estimate(
        value=value,
        lower=min(value, risk(a_low, c_high)),
        upper=max(value, risk(a_high, c_low)),
        method=method,
        n=n + m,
        unit="1",
        level=level,
        n_events=k,
    )


def without_holdout(metric: str, estimate: Estimate | None = None, *, n: int = 0, subgroup: str = "") -> Finding:
    """Return the inconclusive finding of a metric that has no holdout to stand on."""
    shown = estimate or Estimate.insufficient(NO_HOLDOUT, n=n, unit="1", method=metric)
    return Finding(
        metric=metric,
        estimate=shown,
        null=NULL,
        rule="needs a holdout of the training population",
        note=NO_HOLDOUT,
        direction=Direction.LOWER.value,
        decided=Status.INCONCLUSIVE,
        subgroup=subgroup,
    )


def control_finding(tables: Tables, *, level: float, seed: int) -> Finding:
    """Judge whether training and holdout records can be told apart; if so, the holdout is no privacy control."""
    if tables.holdout is None:
        return without_holdout("privacy_control", n=tables.train.n)
    few = min(tables.train.n, tables.holdout.n)
    if few < FEWEST:
        why = f"{few} records in a table: a shift of the holdout could not be seen"
        empty = Estimate.insufficient(why, n=few, unit="1", method="training-against-holdout AUC", level=level)
        return replace(without_holdout("privacy_control", empty), note=why)
    found = cross_fitted(tables, tables.train, tables.holdout, seed=seed)
    estimate, p = auc(found.scores, found.labels, level=level), null_p(found.scores, found.labels)
    shifted = (estimate.value or 0.5) > 0.5 + SHIFT_MARGIN and p is not None and p <= SHIFT_ALPHA
    return Finding(
        metric="privacy_control",
        estimate=estimate,
        null="training and holdout records are exchangeable",
        rule=f"flagged if told apart (p at most {SHIFT_ALPHA:g} and area above {0.5 + SHIFT_MARGIN:g}); attacks are then inconclusive",  # noqa: E501
        p_value=None,
        decided=Status.FLAGGED if shifted else Status.NOT_FLAGGED,
        direction="closer to 0.5 is better",
        note="the holdout is of another population than the training records" if shifted else "",
        reference="Lopez-Paz and Oquab 2017, arXiv:1610.06545",
    )


def inconclusive_if_shifted(found: list[Finding], needs_control: Callable[[str], bool]) -> list[Finding]:
    """Return the findings of a report; where the control was flagged, those that need it are inconclusive.

    ``needs_control`` says of the name of a metric whether it compares training with holdout records.
    """
    if not any(f.metric == "privacy_control" and f.status is Status.FLAGGED for f in found):
        return found
    why = "the holdout differs from the training population, so the attack may measure that"
    return [
        replace(f, status=Status.INCONCLUSIVE, note="; ".join(n for n in (f.note, why) if n))
        if needs_control(f.metric) and f.status in (Status.FLAGGED, Status.NOT_FLAGGED)
        else f
        for f in found
    ]


def share(flags: npt.NDArray[np.bool_], *, level: float) -> Estimate:
    """Return the share of true flags with Clopper-Pearson's interval."""
    return proportion(flags, level=level, interval="clopper_pearson")
