"""Membership inference: can an attacker with a person's record and the synthetic table tell that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.privacy.exchangeable import NULL, without_holdout
from validation.metrics.reuse import reused
from validation.metrics.tabular.detection import null_p
from validation.metrics.tabular.encoding import Floats, Tables, encode
from validation.metrics.tabular.neighbours import nearest, space
from validation.registry import Direction, Kind, metric
from validation.statistics.proportions import proportion
from validation.statistics.roc import auc

RATES = (0.01, 0.001)
WORST = 20
MARGIN = 0.05  # of the area: any good fit is a little nearer to its training records; leaks show in the rates


@dataclass(frozen=True, eq=False)
class Attack:
    """Scores of training and holdout records; higher means "was trained on"."""

    name: str
    train: Floats
    holdout: Floats

    def estimates(self, *, level: float) -> dict[str, Estimate]:
        """Return the area and the true positive rates at :data:`RATES`, by name."""
        labels = np.repeat([1, 0], [len(self.train), len(self.holdout)])
        found = {f"{self.name} auc": auc(np.concatenate([self.train, self.holdout]), labels, level=level)}
        for rate in RATES:
            k, _, _ = true_positives(self.train, self.holdout, rate)
            found[f"{self.name} tpr at fpr {rate:g}"] = proportion(
                np.repeat([1, 0], [k, len(self.train) - k]), level=level, interval="clopper_pearson"
            )
        return found


@reused
def attacks(tables: Tables) -> list[Attack]:
    """Return two attacks on all records: by distance to the synthetic table, and by density against other real records.

    ``distance``: minus the distance to the nearest synthetic record. ``density``: log of the distance to the nearest
    other
    real record (of training and holdout together) over the distance to the nearest synthetic record, so that a record
    in a crowd is not taken for a member (van Breugel et al. 2023 with nearest-neighbour densities). Neither score knows
    which table a real record is in, so relabelling is an exact null.
    """
    if tables.holdout is None:
        return []
    geometry = space(tables)
    train, holdout = (nearest(geometry, part, tables.synthetic).first for part in (tables.train, tables.holdout))
    return two_attacks(train, holdout, nearest(geometry, tables.real, tables.real, itself=True).first)


def two_attacks(train: Floats, holdout: Floats, among_real: Floats) -> list[Attack]:
    """Return the attacks by distance and density, from distances to the synthetic records and to other real records."""
    tiny, n = 1e-6, len(train)
    density = [
        np.log(np.minimum(real, 1.0) + tiny) - np.log(made + tiny)
        for real, made in ((among_real[:n], train), (among_real[n:], holdout))
    ]
    return [Attack("distance", -train, -holdout), Attack("density", density[0], density[1])]


def true_positives(train: Floats, holdout: Floats, rate: float) -> tuple[int, int, float]:
    """Return training and holdout records above the threshold that at most a share ``rate`` of the holdout passes.

    The threshold is the holdout score of which no more than floor(rate m) are strictly higher; only strictly higher
    scores count as accusations, so tied scores accuse nobody.
    """
    allowed = int(np.floor(rate * len(holdout) + 1e-9))
    ordered = np.sort(holdout)[::-1]
    threshold = float(ordered[allowed]) if allowed < len(ordered) else -np.inf
    return int((train > threshold).sum()), int((holdout > threshold).sum()), threshold


def accused_p(k: int, j: int, n: int, m: int) -> float:
    """Return P(at least k training records above the (j + 1)-th highest of m holdout scores) if all are exchangeable.

    Exact: at least k training records stand above that holdout record just if of the highest k + j records no more than
    j are of the holdout (negative hypergeometric). With ties it is conservative.

    >>> round(accused_p(1, 0, 1, 1), 3), accused_p(0, 0, 10, 10)
    (0.5, 1.0)
    """
    return 1.0 if k == 0 else float(stats.hypergeom.cdf(j, n + m, m, k + j))


def membership_findings(
    found: list[Attack], groups: list[tuple[str, dict[str, npt.NDArray[np.bool_]]]], *, n: int, level: float
) -> list[Finding]:
    """Judge area and true positive rates of each attack; the rate at 1 % per subgroup too.

    ``n`` is the number of training records, for the finding that says that without a holdout there is no attack.
    """
    if not found:
        return [without_holdout(name, n=n) for name in ("membership_auc", "membership_tpr")]
    out = []
    for attack in found:
        scores = np.concatenate([attack.train, attack.holdout])
        labels = np.repeat([1, 0], [len(attack.train), len(attack.holdout)])
        area = auc(scores, labels, level=level)
        out.append(
            Finding(
                metric="membership_auc",
                component=attack.name,
                estimate=area,
                p_value=null_p(scores, labels),
                null=NULL + " (area 0.5, Mann-Whitney)",
                rule=f"adjusted p at most alpha and area above {0.5 + MARGIN:g}",
                direction="closer to 0.5 is better",
                exceeds=(area.value or 0.5) > 0.5 + MARGIN,
                too_little="fewer than 50 records of a kind"
                if min(len(attack.train), len(attack.holdout)) < 50
                else "",
                note="an average: a leak of few records shows in the true positive rates",
                reference=_REFERENCE,
            )
        )
        out.extend(_rate(attack.train, attack.holdout, attack.name, rate, "", level) for rate in RATES)
        for name, masks in groups:
            out.append(
                _rate(
                    attack.train[masks["train"]], attack.holdout[masks["holdout"]], attack.name, RATES[0], name, level
                )
            )
    return out


def _rate(train: Floats, holdout: Floats, attack: str, rate: float, group: str, level: float) -> Finding:
    n, m = len(train), len(holdout)
    name = f"{attack}, {rate:.1%} false positives"
    if not n or not m:
        why = "no training or no holdout record in the subgroup"
        empty = Estimate.insufficient(why, n=n, unit="1", method="true positive rate", level=level)
        return Finding(
            metric="membership_tpr",
            component=name,
            subgroup=group,
            estimate=empty,
            null=NULL,
            rule="needs both",
            direction=Direction.LOWER.value,
        )
    k, j, _ = true_positives(train, holdout, rate)
    estimate = proportion(np.repeat([1, 0], [k, n - k]), level=level, interval="clopper_pearson")
    # worst records of the whole table only: inside a subgroup the row numbers would count something else
    order = np.argsort(-train, kind="stable")[: min(k, WORST)] if not group else np.zeros(0, int)
    coarse = f"{m} holdout records cannot resolve {rate:.1%}: the rate is at no false positive" if rate * m < 1 else ""
    return Finding(
        metric="membership_tpr",
        component=name,
        subgroup=group,
        estimate=estimate,
        p_value=accused_p(k, j, n, m),
        null=NULL + " (negative hypergeometric, exact)",
        rule="adjusted p at most alpha and more than twice the false positive rate",
        direction=Direction.LOWER.value,
        exceeds=k / n > 2 * j / m,
        reference=_REFERENCE,
        note="; ".join(t for t in (f"{k} of {n} training and {j} of {m} holdout records accused", coarse) if t),
        rows=tuple(int(r) for r in order) if k / n > max(rate, j / m) else (),
        too_little=f"{n} training and {m} holdout records" if min(n, m) < 20 else "",
    )


_REFERENCE = (
    "van Breugel et al. 2023 (AISTATS), arXiv:2302.12580; Carlini et al. 2022, doi:10.1109/SP46214.2022.9833649; "
    "Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404"
)


@metric(
    "membership_inference",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference=_REFERENCE,
    oracle="gold mia_distance_attack (scikit-learn ROC, scipy beta quantiles)",
)
def membership_inference(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure two membership attacks: area under the curve, and true positive rates at 1 % and 0.1 % false positives.

    Rates have Clopper-Pearson intervals given the threshold, above which strictly no more than that share of holdout
    records lie. All records are attacked. The holdout must be of the training population: a shifted one is told apart
    by
    itself, and the attack then measures the shift. Shadow-model attacks need the generator, not only its output.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    found: dict[str, Estimate] = {}
    for attack in attacks(tables):
        found |= attack.estimates(level=level)
    return found
