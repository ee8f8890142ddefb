"""Fidelity inside subgroups: is the group there, are its columns distributed and related as in real records."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.tabular.association import associations, differences
from validation.metrics.tabular.encoding import Tables
from validation.metrics.tabular.exact import two_sided_exact
from validation.metrics.tabular.marginals import NULL, distances, too_little
from validation.registry import Direction
from validation.statistics.proportion_differences import proportion_difference

ENOUGH = 100  # records of each kind from which associations inside a group are judged


def group_findings(
    tables: Tables, groups: list[tuple[str, dict[str, Any]]], *, level: float, margin: float
) -> list[Finding]:
    """Judge share, worst column and worst pair of every subgroup, each against a null of the group's own size."""
    found: list[Finding] = []
    for name, masks in groups:
        found.append(share_finding(tables, name, masks, level=level, margin=margin))
        part = tables.subset(masks)
        column = name.split("=", 1)[0]
        found.append(_worst_column(part, name, column, level=level, margin=margin))
        found.append(_worst_pair(part, name, column, level=level, margin=5 * margin))
    return found


def share_finding(tables: Tables, name: str, masks: dict[str, Any], *, level: float, margin: float) -> Finding:
    """Judge the share of a subgroup: synthetic against real records, exactly."""
    a, n = int(masks["synthetic"].sum()), tables.synthetic.n
    b, m = sum(int(v.sum()) for k, v in masks.items() if k != "synthetic"), tables.real.n
    estimate = proportion_difference(a, n, b, m, level=level)
    ratio = (a / n) / (b / m) if b else np.inf
    expected = b / m * n
    return Finding(
        metric="subgroup_share",
        subgroup=name,
        estimate=estimate,
        p_value=float(two_sided_exact([a], n, [b], m)[0]),
        null=NULL + " (hypergeometric, exact)",
        direction=Direction.ZERO.value,
        rule=f"adjusted p at most alpha, and a difference above {margin:g} or less than 0.8 or more than 1.25 times the real share",  # noqa: E501
        exceeds=abs(estimate.value or 0.0) > margin or not 0.8 <= ratio <= 1.25,
        too_little=f"about {expected:.1f} records are expected: the loss of the group could not be seen"
        if expected < 8
        else "",
        note="" if a else "no synthetic record is of this subgroup",
        reference="Fisher 1935",
    )


def _worst_column(part: Tables, name: str, own: str, *, level: float, margin: float) -> Finding:
    made, real = part.synthetic, part.real
    few = too_little(made.n, real.n)
    rows = []
    if min(made.n, real.n) >= 2:
        rows = [row for row in distances(part, made, real, level=level) if row[0] != own and row[2] is not None]
    common: dict[str, Any] = {
        "metric": "subgroup_marginal_distance",
        "subgroup": name,
        "null": NULL + " within the subgroup",
        "direction": Direction.LOWER.value,
        "rule": f"adjusted p at most alpha and distance above {margin:g} (worst column, Bonferroni)",
        "reference": "as marginal_distance",
    }
    if not rows:
        why = few or "no column varies within the subgroup"
        empty = Estimate.insufficient(
            why, n=made.n + real.n, unit="1", method="distance of the worst column", level=level
        )
        return Finding(**common, estimate=empty)
    column, _, p = min(rows, key=lambda row: (row[2], row[0]))
    wide = {c: e for c, e, _ in distances(part, made, real, level=1 - (1 - level) / len(rows))}[column]
    ceiling = None
    if part.holdout is not None and min(part.train.n, part.holdout.n) >= 2:
        ceiling = {c: e for c, e, _ in distances(part, part.train, part.holdout, level=level)}[column]
    return Finding(
        **common,
        component=column,
        estimate=wide,
        p_value=min(1.0, len(rows) * float(p or 0.0)),
        ceiling=ceiling,
        exceeds=(wide.value or 0.0) > margin,
        too_little=few,
    )


def _worst_pair(part: Tables, name: str, own: str, *, level: float, margin: float) -> Finding:
    made, real = part.synthetic, part.real
    common: dict[str, Any] = {
        "metric": "subgroup_association",
        "subgroup": name,
        "null": "equal association within the subgroup (jackknife t)",
        "rule": f"adjusted p at most alpha and difference above {margin:g} (worst pair, Bonferroni)",
        "direction": Direction.ZERO.value,
        "reference": "as pairwise_association",
    }
    n = made.n + real.n
    if min(made.n, real.n) < ENOUGH:
        why = f"{made.n} synthetic and {real.n} real records: associations need {ENOUGH} of each"
        return Finding(**common, estimate=Estimate.insufficient(why, n=n, unit="1", method="worst pair", level=level))
    gap, error, df = differences(associations(part, made), associations(part, real))
    with np.errstate(all="ignore"):
        p = 2 * stats.t.sf(np.abs(gap) / error, df)
    p = np.where((error > 1e-12) & (np.abs(gap) > margin), p, 1.0)
    usable = np.triu(np.isfinite(gap), 1)
    for k, column in enumerate(part.columns):
        if column == own:
            usable[k, :] = usable[:, k] = False
    pairs = int(usable.sum())
    if not pairs:
        return Finding(
            **common, estimate=Estimate.insufficient("no pair varies", n=n, unit="1", method="worst pair", level=level)
        )
    p = np.where(usable, p, np.inf)
    best = float(p.min())
    i, j = np.unravel_index(int(np.argmax(np.where(p <= best, np.abs(np.nan_to_num(gap)), -1.0))), p.shape)
    value, se = float(gap[i, j]), float(error[i, j])
    half = float(stats.t.isf((1 - level) / 2 / pairs, max(1.0, float(np.nan_to_num(df[i, j], nan=1.0))))) * se
    return Finding(
        **common,
        component=f"{part.columns[int(i)]} ~ {part.columns[int(j)]}",
        p_value=min(1.0, pairs * best),
        exceeds=abs(value) > margin,
        estimate=Estimate(
            value=value,
            lower=value - half,
            upper=value + half,
            n=n,
            unit="1",
            level=level,
            method=f"difference of association, grouped jackknife, worst of {pairs} pairs",
        ),
    )
