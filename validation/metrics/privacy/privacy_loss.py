"""An audit of a claim of differential privacy: the privacy loss that an attack proves, at the least."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from validation.estimate import Estimate
from validation.metrics.privacy.membership import attacks
from validation.metrics.tabular.encoding import Floats, encode
from validation.registry import Direction, Kind, metric
from validation.statistics.proportions import clopper_pearson


def proven_epsilon(tp: int, n: int, fp: int, m: int, *, delta: float, level: float) -> tuple[float, float]:
    """Return the point value and the lower limit of epsilon from an attack's hits and false alarms.

    (epsilon, delta)-differential privacy asks TPR <= exp(epsilon) FPR + delta, so that epsilon is at least
    log((TPR - delta) / FPR). The limit takes Clopper-Pearson's lower limit of TPR and upper limit of FPR, half of the
    error each.

    >>> value, low = proven_epsilon(50, 100, 5, 100, delta=0.0, level=0.95)
    >>> round(value, 2), round(low, 2)
    (2.3, 1.14)
    """
    each = 1 - (1 - level) / 2  # two one-sided limits that share the upper tail of the error
    low_tp = clopper_pearson(tp / n, n, each)[0]
    high_fp = clopper_pearson(fp / m, m, each)[1]
    value = math.log(max((tp / n - delta) / (max(fp, 0.5) / m), 1.0)) if tp / n > delta else 0.0
    low = math.log(max((low_tp - delta) / high_fp, 1.0)) if low_tp > delta and high_fp > 0 else 0.0
    return max(0.0, value), max(0.0, min(low, value))


def audit(train: Floats, holdout: Floats, *, delta: float, level: float, seed: int) -> Estimate:
    """Estimate the proven epsilon of one attack: threshold chosen on one half of the records, rates on the other."""
    method = "proven privacy loss, threshold on one half, Clopper-Pearson on the other"
    n, m = len(train), len(holdout)
    if min(n, m) < 40:
        return Estimate.insufficient(
            f"{n} training and {m} holdout records: too few to choose a threshold and judge it",
            n=n + m,
            unit="1",
            method=method,
            level=level,
        )
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(n), rng.permutation(m)
    choose, judge = (train[a[: n // 2]], holdout[b[: m // 2]]), (train[a[n // 2 :]], holdout[b[m // 2 :]])
    best, threshold = -1.0, math.inf
    for cut in np.unique(np.quantile(choose[1], np.linspace(0.5, 1.0, 51))):
        tp, fp = int((choose[0] > cut).sum()), int((choose[1] > cut).sum())
        low = proven_epsilon(tp, len(choose[0]), fp, len(choose[1]), delta=delta, level=level)[1]
        if low > best:
            best, threshold = low, float(cut)
    tp, fp = int((judge[0] > threshold).sum()), int((judge[1] > threshold).sum())
    value, low = proven_epsilon(tp, len(judge[0]), fp, len(judge[1]), delta=delta, level=level)
    return Estimate(
        value=value, lower=low, upper=None, method=method, n=n + m, unit="1", level=level, n_events=tp,
        reason="an attack proves a least loss; how large it may be cannot be measured",
    )  # fmt: skip


@metric(
    "proven_privacy_loss",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference="Kairouz et al. 2015 (ICML), arXiv:1311.0776; Jagielski et al. 2020, arXiv:2006.07709",
    oracle="closed form of the two rates",
)
def proven_privacy_loss(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    delta: float = 0.0,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Estimate the least privacy loss epsilon that two membership attacks prove, for comparison with a claimed epsilon.

    A claim of (epsilon, delta)-differential privacy is contradicted where the lower limit lies above the claimed
    epsilon. A small value supports nothing: it may be that the attack is weak. There is no upper limit, so no
    criterion can be met by this number; it can only fail one. Insufficient with fewer than 40 records of a kind.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    return {
        attack.name: audit(attack.train, attack.holdout, delta=delta, level=level, seed=seed)
        for attack in attacks(tables)
    }
