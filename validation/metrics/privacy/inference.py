"""Attribute inference and linkability: attacks by nearest synthetic record on training and on holdout people."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.privacy.exchangeable import NULL, control_adjusted, without_holdout
from validation.metrics.reuse import reused
from validation.metrics.tabular.encoding import Part, Tables, encode
from validation.metrics.tabular.exact import more_than_share
from validation.metrics.tabular.neighbours import nearest, space
from validation.registry import Direction, Kind, metric

MOST = 20_000  # people attacked of each kind; the synthetic table that is searched is never sampled
MARGIN = 0.02  # a risk of no practical importance
TOLERANCE = 0.05  # a number is guessed right within this share of its range
Flags = npt.NDArray[np.bool_]


@reused
def attacked(tables: Tables, *, seed: int) -> Tables:
    """Return the tables with at most :data:`MOST` training and holdout people, drawn at random."""
    rng = np.random.default_rng(seed)

    def drawn(part: Part) -> npt.NDArray[np.int64]:
        return np.sort(rng.choice(part.n, MOST, replace=False)) if part.n > MOST else np.arange(part.n)

    rows = {"train": drawn(tables.train), "synthetic": np.arange(tables.synthetic.n)}
    if tables.holdout is not None:
        rows["holdout"] = drawn(tables.holdout)
    return tables.subset(rows)


def sensitive_columns(tables: Tables, asked: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns to be guessed: those asked for, else up to two categorical ones.

    Raises
    ------
    UsageProblem
        TAB-003 if a column is not measured.
    """
    bad = [c for c in (*asked, *known) if c not in tables.columns]
    if bad:
        raise UsageProblem(f"no measured column is named {', '.join(map(repr, bad))}.", code="TAB-003", where="--param")
    if asked:
        return asked
    fit = [c for c, names in zip(tables.categorical, tables.levels, strict=True) if len(names) > 1 and c not in known]
    return tuple(fit[-2:]) or tables.columns[-1:]


@reused
def guesses(tables: Tables, secret: str, known: tuple[str, ...]) -> tuple[Flags, Flags | None]:
    """Return whose secret is guessed right from the synthetic record nearest on the known columns (train, holdout)."""
    seen = tables.only(tuple(c for c in (known or tables.columns) if c != secret))
    geometry = space(seen)
    out: list[Flags | None] = []
    for role in ("train", "holdout"):
        part, full = getattr(seen, role), getattr(tables, role)
        if part is None:
            out.append(None)
            continue
        at = nearest(geometry, part, seen.synthetic).index
        if secret in tables.categorical:
            k = tables.categorical.index(secret)
            out.append(tables.synthetic.codes[at, k] == full.codes[:, k])
        else:
            k = tables.numeric.index(secret)
            x, y = tables.synthetic.numbers[at, k], full.numbers[:, k]
            right = np.abs(x - y) <= TOLERANCE * tables.span[1][k]
            out.append(right | (np.isnan(x) & np.isnan(y)))
    train = out[0]
    if train is None:
        raise ValueError("no training records")
    return train, out[1]


@reused
def linked(tables: Tables, first: tuple[str, ...], second: tuple[str, ...]) -> tuple[Flags, Flags | None]:
    """Return for whom the same synthetic record is nearest on both sets of columns (train, holdout)."""
    hits: list[list[npt.NDArray[np.int64]]] = [[], []]
    for columns in (first, second):
        seen = tables.only(columns)
        geometry = space(seen)
        hits[0].append(nearest(geometry, seen.train, seen.synthetic).index)
        if seen.holdout is not None:
            hits[1].append(nearest(geometry, seen.holdout, seen.synthetic).index)
    return hits[0][0] == hits[0][1], (hits[1][0] == hits[1][1]) if hits[1] else None


def halves(tables: Tables) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns in two halves, alternately: what two sources might each know of a person."""
    return tables.columns[::2], tables.columns[1::2]


def attack_finding(
    metric_name: str,
    component: str,
    train: Flags,
    holdout: Flags | None,
    *,
    subgroup: str = "",
    level: float,
    reference: str,
    few: int = 20,
) -> Finding:
    """Judge an attack by its control-adjusted risk and the exact test that it succeeds on more training people."""
    if holdout is None:
        return without_holdout(metric_name, n=len(train), subgroup=subgroup)
    k, j, n, m = int(train.sum()), int(holdout.sum()), len(train), len(holdout)
    risk = control_adjusted(k, n, j, m, level=level, method="control-adjusted risk, Wilson limits combined")
    return Finding(
        metric=metric_name,
        component=component,
        subgroup=subgroup,
        estimate=risk,
        exceeds=(risk.value or 0.0) > MARGIN,
        p_value=float(more_than_share([k], n, [j], m)[0]) if n and m else None,
        null=NULL + " (hypergeometric, exact)",
        rule=f"adjusted p at most alpha (succeeds more often on training than on holdout people) and risk above {MARGIN:g}",  # noqa: E501
        direction=Direction.LOWER.value,
        note=f"{k} of {n} training and {j} of {m} holdout people",
        too_little=f"{n} training and {m} holdout people" if min(n, m) < few else "",
        reference=reference,
    )


def inference_findings(
    tables: Tables,
    sensitive: tuple[str, ...],
    known: tuple[str, ...],
    groups: list[tuple[str, dict[str, Flags]]],
    *,
    level: float,
    seed: int,
) -> list[Finding]:
    """Judge attribute inference of each sensitive column, overall and per subgroup of the attacked people."""
    few = attacked(tables, seed=seed)
    found = []
    for secret in sensitive_columns(tables, sensitive, known):
        train, holdout = guesses(few, secret, known)
        found += _per_group("attribute_inference", secret, few, train, holdout, groups, level=level)
    return found


def _per_group(
    metric_name: str,
    component: str,
    few: Tables,
    train: Flags,
    holdout: Flags | None,
    groups: list[tuple[str, dict[str, Flags]]],
    *,
    level: float,
) -> list[Finding]:
    """Judge an attack on all attacked people and inside each subgroup of them."""
    found = [attack_finding(metric_name, component, train, holdout, level=level, reference=_REFERENCE)]
    if holdout is None or few.holdout is None:
        return found
    for name, _ in groups:
        column, value = name.split("=", 1)
        k = few.categorical.index(column)
        code = few.levels[k].index(value)
        a, b = train[few.train.codes[:, k] == code], holdout[few.holdout.codes[:, k] == code]
        found.append(attack_finding(metric_name, component, a, b, subgroup=name, level=level, reference=_REFERENCE))
    return found


def linkability_findings(
    tables: Tables, groups: list[tuple[str, dict[str, Flags]]], *, level: float, seed: int
) -> list[Finding]:
    """Judge linkability of the two alternate halves of the columns, overall and per subgroup of the attacked people."""
    if len(tables.columns) < 4:
        why = "linkability needs at least four columns"
        empty = Estimate.insufficient(why, n=tables.train.n, unit="1", method="linkability", level=level)
        return [Finding(metric="linkability", estimate=empty, null=NULL, rule=why, direction=Direction.LOWER.value)]
    first, second = halves(tables)
    few = attacked(tables, seed=seed)
    train, holdout = linked(few, first, second)
    return _per_group("linkability", "alternate halves of the columns", few, train, holdout, groups, level=level)


_REFERENCE = "Giomi et al. 2023, doi:10.56553/popets-2023-0055"


@metric(
    "attribute_inference",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference=_REFERENCE,
    oracle="brute-force nearest neighbours; anonymeter 1.1.0 rates",
)
def attribute_inference(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    sensitive: tuple[str, ...] = (),
    quasi_identifiers: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the control-adjusted risk that a sensitive value is guessed from the nearest synthetic record.

    risk = (a - c) / (1 - c), a the success on training and c on holdout people (a number is right within 5 %).
    The attacker knows ``quasi_identifiers``, or all other columns. At most 20,000 people of each kind are attacked,
    drawn
    at random; the synthetic table is searched whole. anonymeter attacks a random sample and uses the same risk.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    rows = inference_findings(tables, sensitive, quasi_identifiers, [], level=level, seed=seed)
    return {f.component: f.estimate for f in rows}


@metric(
    "linkability",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference=_REFERENCE,
    oracle="brute-force nearest neighbours",
)
def linkability(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    known_first: tuple[str, ...] = (),
    known_second: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Measure the control-adjusted risk that two sets of columns of one person lead to the same synthetic record.

    The sets are ``known_first`` and ``known_second``, or the alternate halves of the columns. anonymeter accepts any
    common
    member of the k nearest (k = 10 in its examples); here both nearest must be the same (k = 1), which accuses less
    and more surely.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    first, second = (known_first, known_second) if known_first and known_second else halves(tables)
    a, b = linked(attacked(tables, seed=seed), first, second)
    return attack_finding("linkability", "", a, b, level=level, reference=_REFERENCE).estimate
