"""Clinical constraints that no record may break, and columns that must be there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding, Status
from validation.metrics.tabular.encoding import Tables
from validation.protocol.expressions import decide
from validation.registry import Direction, Kind, metric
from validation.statistics.proportions import proportion

WORST = 20


def split_rules(rules: str) -> list[str]:
    """Return the single rules of a text that separates them by semicolons.

    >>> split_rules("age >= 0; dose <= 10 ;")
    ['age >= 0', 'dose <= 10']
    """
    return [part.strip() for part in rules.split(";") if part.strip()]


def violations(frame: pd.DataFrame, rule: str) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], int]:
    """Return which records break a rule, and how many decide it (records with missing cells may leave it open)."""
    held = decide(frame, rule, "rules")
    return held.eq(False).fillna(False).to_numpy(bool), int(held.notna().sum())


def rule_findings(
    synthetic: pd.DataFrame, train: pd.DataFrame, holdout: pd.DataFrame | None, rules: str, *, level: float
) -> list[Finding]:
    """Judge every rule: one synthetic record that breaks it is enough. Rows are those of the synthetic table."""
    found = []
    for rule in split_rules(rules):
        broken, decided = violations(synthetic, rule)
        real = [violations(frame, rule) for frame in (train, holdout) if frame is not None]
        count, real_count = int(broken.sum()), sum(int(b.sum()) for b, _ in real)
        status = Status.FLAGGED if count else Status.NOT_FLAGGED if decided else Status.INCONCLUSIVE
        note = f"{count} of {decided} synthetic records break it; {real_count} of {sum(d for _, d in real)} real records do"  # noqa: E501
        found.append(
            Finding(
                metric="clinical_rules",
                component=rule,
                estimate=_share(count, decided, level),
                decided=status,
                note=note,
                null="no record may break a rule",
                rule="flagged if any synthetic record breaks it",
                direction=Direction.LOWER.value,
                rows=tuple(int(r) for r in np.flatnonzero(broken)[:WORST]),
                rows_of="synthetic",
                reference="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
            )
        )
    if found:
        return found
    why = "no rule was given (--param rules=...)"
    return [
        Finding(
            metric="clinical_rules",
            estimate=Estimate.insufficient(why, n=len(synthetic), unit="1", method="share"),
            decided=Status.INCONCLUSIVE,
            null="no record may break a rule",
            rule="needs rules",
            note=why,
            direction=Direction.LOWER.value,
        )
    ]


def structure_findings(tables: Tables) -> list[Finding]:
    """Judge the columns: lacking, added, or of another type in the synthetic table; and say what is not measured."""
    n = tables.synthetic.n
    found = [
        Finding(
            metric="structure",
            component=column,
            decided=Status.FLAGGED,
            note=why,
            null="the columns of the training table",
            estimate=Estimate(value=1.0, lower=None, upper=None, method="count", n=n, unit="1", reason=why),
            rule="flagged if the synthetic table has other columns or types",
            direction=Direction.LOWER.value,
        )
        for column, why in tables.faults.items()
    ]
    found += [
        Finding(
            metric="structure",
            component=column,
            decided=Status.INCONCLUSIVE,
            note=why,
            null="every column is measured",
            estimate=Estimate.insufficient(why, n=n, unit="1", method="count"),
            rule="a column that is left out is said",
            direction=Direction.LOWER.value,
        )
        for column, why in tables.left_out.items()
        if column not in tables.faults
    ]
    clean = Finding(
        metric="structure",
        decided=Status.NOT_FLAGGED,
        null="the columns of the training table",
        direction=Direction.LOWER.value,
        rule="flagged if the synthetic table has other columns or types",
        estimate=Estimate(
            value=0.0, lower=None, upper=None, method="count", n=n, unit="1", reason="columns and types agree"
        ),
    )
    return found if any(f.decided is Status.FLAGGED for f in found) else [clean, *found]


def _share(count: int, decided: int, level: float) -> Estimate:
    if not decided:
        return Estimate.insufficient("no record decides the rule", n=0, unit="1", method="share", level=level)
    return proportion(np.repeat([1, 0], [count, decided - count]), level=level, interval="clopper_pearson")


@metric(
    "clinical_rules",
    unit="1",
    direction=Direction.LOWER,
    roles=("synthetic",),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
    oracle="counts",
)
def clinical_rules(synthetic: pd.DataFrame, *, rules: str, level: float = 0.95) -> dict[str, Estimate]:
    """Measure, per rule, the share of synthetic records that break it, with Clopper-Pearson's interval.

    Rules are expressions that must hold, separated by semicolons. A record with missing cells that leave a rule open is
    not counted; a rule that no record decides is insufficient.
    """
    names = split_rules(rules)
    if not names:
        raise UsageProblem("no rule is given.", code="TAB-003", where="--param rules")
    return {r: _share(int(b.sum()), d, level) for r in names for b, d in [violations(synthetic, r)]}
