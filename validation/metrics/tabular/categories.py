"""What is rare: categories and tails that real records have, and values that no real record has."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.tabular.encoding import Part, Tables, encode
from validation.metrics.tabular.exact import more_than_share, two_sided_exact
from validation.metrics.tabular.marginals import NULL
from validation.registry import Direction, Kind, metric
from validation.statistics.proportion_differences import proportion_difference
from validation.statistics.proportions import proportion

RARE = 0.05  # a level of at most this share of real records is rare
TAIL = 0.01
KEPT = 0.5  # a rare level or tail with less than this part of its real share is not kept


def category_findings(tables: Tables, *, level: float) -> list[Finding]:
    """Judge, per categorical column, the rare level that is kept worst (exact test, Bonferroni over rare levels)."""
    found = []
    made, real = tables.synthetic, tables.real
    for k, name in enumerate(tables.categorical):
        a, b = (np.bincount(part.codes[:, k], minlength=len(tables.levels[k])) for part in (made, real))
        rare = np.flatnonzero((b > 0) & (b <= RARE * real.n))
        if not len(rare):
            continue
        p = two_sided_exact(a[rare], made.n, b[rare], real.n)
        worst = int(rare[np.lexsort((a[rare] / np.maximum(1, b[rare]), p))[0]])
        lost = int((a[rare] == 0).sum())
        estimate = proportion_difference(
            int(a[worst]), made.n, int(b[worst]), real.n, level=1 - (1 - level) / len(rare)
        )
        ratio = (a[worst] / made.n) / (b[worst] / real.n)
        expected = float(b[worst]) * made.n / real.n
        found.append(
            Finding(
                metric="rare_categories",
                component=f"{name}={tables.levels[k][worst]}",
                estimate=estimate,
                p_value=min(1.0, len(rare) * float(p.min())),
                null=NULL + " (hypergeometric, exact)",
                rule=f"adjusted p at most alpha and the level has less than {KEPT:g} or more than {1 / KEPT:g} times its real share",  # noqa: E501
                exceeds=not KEPT <= ratio <= 1 / KEPT,
                direction=Direction.ZERO.value,
                too_little=f"about {expected:.1f} records of this level are expected: its loss could not be seen"
                if expected < 8
                else "",
                note=f"{lost} of {len(rare)} rare levels do not occur among synthetic records",
                reference=_REFERENCE,
            )
        )
    return found or [_nothing("rare_categories", "no column has a rare level", tables)]


def invented_findings(tables: Tables, *, level: float) -> list[Finding]:
    """Judge, per categorical column, synthetic records with a level that no real record has (exact run-length test)."""
    found = []
    made, real = tables.synthetic, tables.real
    for k, name in enumerate(tables.categorical):
        a, b = (np.bincount(part.codes[:, k], minlength=len(tables.levels[k])) for part in (made, real))
        alone = (b == 0) & (a > 0)
        if not alone.any():
            continue
        count, levels = int(a[alone].sum()), int(alone.sum())
        biggest = int(a[alone].max())
        p = min(1.0, len(b) * float(more_than_share([biggest], made.n, [0], real.n)[0]))
        found.append(
            Finding(
                metric="invented_categories",
                component=name,
                p_value=p,
                direction=Direction.LOWER.value,
                estimate=proportion(
                    np.repeat([1, 0], [count, made.n - count]), level=level, interval="clopper_pearson"
                ),
                null="a level this common among synthetic records is absent from real ones by chance (exact)",
                rule="adjusted p at most alpha",
                note=f"{levels} levels that no real record has",
                reference=_REFERENCE,
            )
        )
    return found or [_nothing("invented_categories", "every synthetic level is a real one", tables)]


def tail_findings(tables: Tables, *, level: float) -> list[Finding]:
    """Judge both tails of every number: the shares beyond the pooled 1 % and 99 % points, and the range."""
    found = []
    made, real = tables.synthetic, tables.real
    for k, name in enumerate(tables.numeric):
        x, y = _known(made, k), _known(real, k)
        if len(x) < 2 or len(y) < 2:
            continue
        both = np.concatenate([x, y])
        low, high = np.quantile(both, [TAIL, 1 - TAIL], method="inverted_cdf")
        counts = [
            ("below the 1 % point", int((x < low).sum()), int((y < low).sum())),
            ("above the 99 % point", int((x > high).sum()), int((y > high).sum())),
            ("below every real value", int((x < y.min()).sum()), 0),
            ("above every real value", int((x > y.max()).sum()), 0),
        ]
        p = [float(two_sided_exact([a], len(x), [b], len(y))[0]) for _, a, b in counts]
        worst = int(np.argmin(p))
        label, a, b = counts[worst]
        estimate = proportion_difference(a, len(x), b, len(y), level=1 - (1 - level) / 4)
        ratio = (a / len(x)) / (b / len(y)) if b else (np.inf if a else 1.0)
        expected = TAIL * len(x)
        found.append(
            Finding(
                metric="tails",
                component=f"{name} {label}",
                estimate=estimate,
                p_value=min(1.0, 4 * p[worst]),
                null=NULL + " (hypergeometric, exact)",
                direction=Direction.ZERO.value,
                rule=f"adjusted p at most alpha and less than {KEPT:g} or more than {1 / KEPT:g} times the real share",
                exceeds=not KEPT <= ratio <= 1 / KEPT,
                reference=_REFERENCE,
                too_little=f"about {expected:.1f} records are expected in a tail" if expected < 8 else "",
            )
        )
    return found or [_nothing("tails", "no numeric column", tables)]


def _known(part: Part, k: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    column = part.numbers[:, k]
    return column[~np.isnan(column)]


def _nothing(name: str, why: str, tables: Tables) -> Finding:
    n = tables.synthetic.n + tables.real.n
    return Finding(
        metric=name,
        p_value=1.0,
        null=NULL,
        rule="nothing to judge",
        direction=Direction.ZERO.value,
        note=why,
        estimate=Estimate(value=0.0, lower=None, upper=None, method="count", n=n, unit="1", reason=why),
    )


_REFERENCE = "Fisher 1935; Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I"


@metric(
    "rare_categories",
    unit="1",
    direction=Direction.ONE,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference="Katz et al. 1978, doi:10.2307/2530610",
    oracle="counts; statsmodels Table2x2.riskratio",
)
def rare_categories(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure, per rare level (at most 5 % of training records), its synthetic share over its training share.

    1 is kept, 0 lost. The interval is Katz's on the log scale; a lost level has a lower limit of 0 and an upper limit
    from Clopper-Pearson's for none of the synthetic records over the training share.
    """
    tables = encode(train, synthetic, categorical=categorical, ignore=ignore)
    n, m = tables.synthetic.n, tables.train.n
    z = float(stats.norm.isf((1 - level) / 2))
    found: dict[str, Estimate] = {}
    for k, name in enumerate(tables.categorical):
        a = np.bincount(tables.synthetic.codes[:, k], minlength=len(tables.levels[k]))
        b = np.bincount(tables.train.codes[:, k], minlength=len(tables.levels[k]))
        for code in np.flatnonzero((b > 0) & (b <= RARE * m)):
            ratio = float(a[code] / n / (b[code] / m))
            if a[code]:
                spread = np.exp(z * np.sqrt(1 / a[code] - 1 / n + 1 / b[code] - 1 / m))
                low, high = ratio / spread, ratio * spread
            else:
                low, high = 0.0, float(stats.beta.isf((1 - level) / 2, 1, n)) / (b[code] / m)
            found[f"{name}={tables.levels[k][code]}"] = Estimate(
                value=ratio,
                lower=low,
                upper=high,
                method="ratio of shares, Katz",
                n=n + m,
                unit="1",
                level=level,
                n_events=int(a[code]),
            )
    return found


@metric(
    "tails",
    unit="1",
    direction=Direction.ZERO,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference=_REFERENCE,
    oracle="counts",
)
def tails(
    train: pd.DataFrame, synthetic: pd.DataFrame, *, ignore: tuple[str, ...] = (), level: float = 0.95
) -> dict[str, Estimate]:
    """Measure, per number and tail, the share beyond the training 1 % or 99 % point, minus training's."""
    tables = encode(train, synthetic, ignore=ignore)
    found: dict[str, Estimate] = {}
    for k, name in enumerate(tables.numeric):
        x, y = _known(tables.synthetic, k), _known(tables.train, k)
        if len(x) and len(y):
            low, high = np.quantile(y, [TAIL, 1 - TAIL], method="inverted_cdf")
            found[f"{name} below"] = proportion_difference(
                int((x < low).sum()), len(x), int((y < low).sum()), len(y), level=level
            )
            found[f"{name} above"] = proportion_difference(
                int((x > high).sum()), len(x), int((y > high).sum()), len(y), level=level
            )
    return found
