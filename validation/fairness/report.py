"""The fairness report: every declared cell, gaps with simultaneous intervals, the worst group against the margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate, Outcome, Verdict
from validation.fairness.cells import Cell, declare
from validation.fairness.gaps import correlations, difference, extremes, reference_mask, simultaneous
from validation.fairness.judgement import Harm, finding_of, harm_limits, worst_group
from validation.fairness.measures import Measure
from validation.protocol.plan_schemas import FairnessPlan
from validation.statistics.clusters import group
from validation.statistics.proportions import proportion


def fairness_report(
    frame: pd.DataFrame,
    plan: FairnessPlan,
    measures: Mapping[str, Measure],
    *,
    cluster: str | None = "cluster",
    reference: str = "rest",
    margins: Mapping[str, float] | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Estimate every measure in every declared cell, the gaps between cells, and judge the worst cell.

    - **Cells**: one row per measure and declared cell, also empty ones, with cases, events, patients and the estimate
      at level ``1 - plan.alpha``. A cell with fewer patients than ``plan.minimum_clusters`` is listed with its
      interval, but its finding is inconclusive; patients are those who count for the measure (with the condition, for
      a sensitivity).
    - **Gaps**: the difference of each cell to its reference. All gaps of one measure, over all attributes, are one
      family; their intervals hold together at level ``1 - plan.alpha`` (Bonferroni).
    - **Range**: largest minus smallest cell, and smallest over largest, per attribute (cells with enough patients).
    - **Worst group** (with a margin): non-inferiority of every cell. All must be shown, an intersection-union test, so
      each is tested at one-sided ``plan.alpha / 2`` without adjustment; one cell too small to tell makes it
      inconclusive.

    There is no margin unless the plan states one; then findings are ``gap_shown`` or ``inconclusive``.

    Parameters
    ----------
    frame
        One row per case with the attributes and, if named, the column ``cluster`` (patient).
    plan
        Attributes, intersections, margin, minimum number of patients, alpha.
    measures
        Measures by name, whose estimators take a mask over the rows of ``frame``.
    reference
        ``rest`` (all other cases of the attribute), ``overall``, ``best`` (the cell with the best value, chosen by the
        data, hence Bonferroni over all pairs), or the name of a cell such as ``sex=M`` for its attribute (others:
        rest).
    margins
        Margin per measure; ``plan.margin`` for the others.
    levels
        Declared levels per attribute, so that levels without a case are listed.

    Returns
    -------
    dict
        ``cells``, ``gaps``, ``ranges``, ``worst_group``, ``representation``, ``missing``, ``settings``; plain JSON
        types.

    Raises
    ------
    DataProblem, UsageProblem
        FAIR-003 or FAIR-004 for attributes, FAIR-006 for a reference that is no declared cell.

    References
    ----------
    Berger 1982, doi:10.1080/00401706.1982.10487790 (intersection-union test).
    """
    cells = declare(frame, plan.attributes, intersections=plan.intersections, levels=levels)
    if reference not in ("rest", "overall", "best") and reference not in {c.name for c in cells}:
        raise UsageProblem(
            "the reference is not a declared cell.",
            code="FAIR-006",
            where=reference,
            action=f"Use rest, overall, best, or a cell such as {cells[0].name}.",
        )
    ids = frame[cluster].to_numpy() if cluster is not None and cluster in frame.columns else None
    patients = {c.name: group(None if ids is None else ids[c.mask], int(c.mask.sum())).count for c in cells}
    report: dict[str, Any] = {"cells": [], "gaps": [], "ranges": [], "worst_group": {}}
    for measure in measures.values():
        margin = (margins or {}).get(measure.name, plan.margin)
        one = _Family(measure, cells, patients, ids, plan, reference, margin)
        report["cells"] += one.rows
        report["gaps"] += one.gaps
        report["ranges"] += one.ranges()
        if margin is not None:
            report["worst_group"][measure.name] = one.worst.to_dict()
    report["representation"] = _representation(cells, patients, ids, len(frame), 1 - plan.alpha)
    report["missing"] = {a: int(_missing(cells, a, len(frame))) for a in plan.attributes}
    report["settings"] = {
        "attributes": list(plan.attributes),
        "intersections": plan.intersections,
        "reference": reference,
        "margins": {m: (margins or {}).get(m, plan.margin) for m in measures},
        "minimum_clusters": plan.minimum_clusters,
        "alpha": plan.alpha,
        "family": "all gaps of one measure, Bonferroni",
    }
    return report


class _Family:
    """All cells of one measure: rows, gaps and the worst group."""

    def __init__(
        self,
        measure: Measure,
        cells: Sequence[Cell],
        patients: Mapping[str, int],
        ids: Any,
        plan: FairnessPlan,
        reference: str,
        margin: float | None,
    ) -> None:
        self.measure, self.cells, self.plan, self.margin = measure, cells, plan, margin
        self.level = 1 - plan.alpha
        self._seen: dict[tuple[str, float], Estimate] = {}
        self._masks = {c.name: c.mask for c in cells}
        self.patients = {c.name: self._contributing(c, patients[c.name]) for c in cells}
        self.enough = {name: count >= plan.minimum_clusters for name, count in self.patients.items()}
        references = {c.name: self._reference(c, reference) for c in cells}
        compared = [c for c in cells if references[c.name] != c.name]
        pairs = {c.name: (c.mask, self._masks[references[c.name]]) for c in compared}
        n = len(cells[0].mask)
        related = correlations(measure, pairs, ids, n) if ids is not None or reference == "overall" else {}
        family = len(compared)
        if reference == "best":  # the reference was chosen by the data: all pairs of an attribute are in the family
            family = sum(k * (k - 1) // 2 for k in self._sizes().values())
        self.rows, self.gaps, wide = [], [], {}
        for cell in cells:
            estimate = self.at(cell.name, self.level)
            row: dict[str, Any] = {
                "measure": measure.name,
                "attribute": cell.attribute,
                "cell": dict(zip(cell.attributes, cell.levels, strict=True)),
                "name": cell.name,
                "n_cases": int(cell.mask.sum()),
                "n": estimate.n,
                "n_events": estimate.n_events,
                "n_clusters": self.patients[cell.name],
                "estimate": estimate.to_dict(),
            }
            other = references[cell.name]
            if other == cell.name:
                row |= {"finding": "reference", "reason": "This is the group that the others are compared with."}
                self.rows.append(row)
                continue
            rho = related.get(cell.name, 0.0)
            each = simultaneous(self.level, family)
            gap = self._gap(cell.name, other, each, rho)
            own = harm_limits(self._gap(cell.name, other, self.level, rho), measure.better)
            wide[cell.name] = self._against_any(cell, own) if reference == "best" else own
            finding, reason = finding_of(
                gap, measure, margin, self.patients[cell.name], plan.minimum_clusters, int(cell.mask.sum())
            )
            self.rows.append(row | {"finding": finding, "reason": reason})
            self.gaps.append(
                {
                    "measure": measure.name,
                    "attribute": cell.attribute,
                    "name": cell.name,
                    "reference": other if other in {c.name for c in cells} else reference_word(other),
                    "estimate": gap.to_dict() | {"level": self.level},
                    "simultaneous_over": family,
                    "finding": finding,
                    "reason": reason,
                }
            )
        self.worst: Verdict = (
            worst_group(measure, margin, self.gaps, wide, enough=self.enough, alpha=plan.alpha / 2)
            if margin is not None
            else Verdict(outcome=Outcome.INCONCLUSIVE, reason="", hypothesis="descriptive")
        )

    def at(self, name: str, level: float) -> Estimate:
        """Return the estimate of a cell (or a reference) at a level, computed once."""
        key = (name, level)
        if key not in self._seen:
            self._seen[key] = self.measure.estimator(self._masks[name], level)
        return self._seen[key]

    def _contributing(self, cell: Cell, patients: int) -> int:
        """Return the patients who count for this measure: a false negative rate is about those with the condition."""
        estimate = self.at(cell.name, self.level)
        return min(patients, estimate.n if estimate.n_clusters is None else estimate.n_clusters)

    def _gap(self, name: str, other: str, level: float, rho: float) -> Estimate:
        return difference(self.at(name, level), self.at(other, level), correlation=rho, limits=self.measure.limits)

    def _against_any(self, cell: Cell, own: Harm) -> Harm:
        """Return the harm with the largest upper limit against any cell: which one is best in truth is not known."""
        family = [c.name for c in self.cells if c.attributes == cell.attributes and self.enough[c.name]]
        uppers = [
            harm_limits(self._gap(cell.name, name, self.level, 0.0), self.measure.better)[2]
            for name in family
            if name != cell.name
        ]
        known = [u for u in uppers if u is not None]
        return own[0], own[1], max(known) if known and len(known) == len(uppers) else None

    def _reference(self, cell: Cell, reference: str) -> str:
        if reference == "best":
            return self._best(cell)
        mask, name = reference_mask(cell, self.cells, reference)
        if name in ("rest", "overall"):
            name = f"{name} of {cell.name}"
            self._masks[name] = mask
        return name

    def _best(self, cell: Cell) -> str:
        family = [c.name for c in self.cells if c.attributes == cell.attributes and self.enough[c.name]]
        values = {name: self.at(name, self.level).value for name in family}
        known = {name: v for name, v in values.items() if v is not None}
        if not known:
            return cell.name
        if self.measure.better is None:
            raise UsageProblem(
                f"no value of {self.measure.name} is better than another, so there is no best group.",
                code="FAIR-006",
                where="--reference best",
                action="Use rest, overall or a named cell.",
            )
        pick = max if self.measure.better == "higher" else min
        return pick(known, key=lambda name: known[name])

    def _sizes(self) -> dict[tuple[str, ...], int]:
        sizes: dict[tuple[str, ...], int] = {}
        for c in self.cells:
            sizes[c.attributes] = sizes.get(c.attributes, 0) + 1
        return sizes

    def ranges(self) -> list[dict[str, Any]]:
        """Return largest minus smallest and smallest over largest, per attribute and intersection."""
        found = []
        for attributes in self._sizes():
            family = [c.name for c in self.cells if c.attributes == attributes]
            used = [name for name in family if self.enough[name]]
            rate = self.measure.limits == (0.0, 1.0)
            wide, proportionate = extremes(self.at, used, self.level, limits=self.measure.limits, with_ratio=rate)
            found.append(
                {
                    "measure": self.measure.name,
                    "attribute": " & ".join(attributes),
                    "difference": wide.to_dict(),
                    "ratio": None if proportionate is None else proportionate.to_dict(),
                    "left_out": [name for name in family if not self.enough[name]],
                }
            )
        return found


def reference_word(name: str) -> str:
    """Return ``rest`` or ``overall`` for the internal name of such a reference."""
    return name.split(" of ", 1)[0]


def _missing(cells: Sequence[Cell], attribute: str, n: int) -> int:
    own = [c.mask for c in cells if c.attributes == (attribute,)]
    return n - int(np.logical_or.reduce(own).sum())


def _representation(
    cells: Sequence[Cell], patients: Mapping[str, int], ids: Any, n: int, level: float
) -> list[dict[str, Any]]:
    """Return the share of cases in each cell."""
    return [
        {
            "attribute": c.attribute,
            "name": c.name,
            "n_cases": int(c.mask.sum()),
            "n_clusters": patients[c.name],
            "share": proportion(c.mask.astype(np.float64), clusters=ids, level=level).to_dict(),
        }
        for c in cells
    ]
