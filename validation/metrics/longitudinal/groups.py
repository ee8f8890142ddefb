"""Subgroups of patients: those who have a code, such as one of sex or ethnicity."""

from __future__ import annotations

import re

import numpy as np

from validation.errors import UsageProblem
from validation.metrics.findings import Finding
from validation.metrics.longitudinal.events import Histories
from validation.metrics.longitudinal.judging import NULL, per_patient
from validation.metrics.tabular.exact import two_sided_exact
from validation.registry import Direction
from validation.statistics.proportion_differences import proportion_difference

_DEMOGRAPHIC = re.compile(r"^(GENDER|SEX|RACE|ETHNICITY)(//|[:_ ])", re.IGNORECASE)


def patient_groups(h: Histories, asked: tuple[str, ...]) -> list[tuple[str, int]]:
    """Return codes that make subgroups of patients: those asked for, else demographic codes (at most 12).

    Raises
    ------
    UsageProblem
        LON-003 if a code does not occur.
    """
    bad = [c for c in asked if c not in h.codes]
    if bad:
        raise UsageProblem(
            f"no event has the code {', '.join(map(repr, bad))}.", code="LON-003", where="--param subgroups_of"
        )
    chosen = asked or tuple(h.codes[k] for k in h.frequent if _DEMOGRAPHIC.match(h.codes[k]))[:12]
    return [(c, h.codes.index(c)) for c in chosen]


def group_findings(h: Histories, asked: tuple[str, ...], *, level: float, margin: float) -> list[Finding]:
    """Judge, for patients who have a code: their share, and their numbers of visits."""
    found = []
    for name, code in patient_groups(h, asked):
        has = [np.bincount(e.patient[e.code == code], minlength=e.patients) > 0 for e in (h.synthetic, h.real)]
        a, b, n, m = int(has[0].sum()), int(has[1].sum()), len(has[0]), len(has[1])
        share = proportion_difference(a, n, b, m, level=level)
        expected = b / m * n
        found.append(
            Finding(
                metric="subgroup_share",
                subgroup=name,
                estimate=share,
                p_value=float(two_sided_exact([a], n, [b], m)[0]),
                null=NULL + " (hypergeometric, exact)",
                rule=f"adjusted p at most alpha and difference above {margin:g}, or less than 0.8 or more than 1.25 times",  # noqa: E501
                direction=Direction.ZERO.value,
                reference="Fisher 1935",
                exceeds=abs(share.value or 0.0) > margin or not 0.8 <= (a / n) / max(1e-12, b / m) <= 1.25,
                too_little=f"about {expected:.1f} patients are expected" if expected < 8 else "",
            )
        )
        visits = [e.visit_counts[k].astype(np.float64) for e, k in zip((h.synthetic, h.real), has, strict=True)]
        found.append(
            per_patient(
                "visit_counts",
                "visits per patient",
                visits[0],
                visits[1],
                None,
                level=level,
                margin=margin,
                subgroup=name,
            )
        )
    return found
