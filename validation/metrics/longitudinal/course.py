"""The course of histories: order of visits, trajectories of values, and time to an endpoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from validation.estimate import Estimate
from validation.metrics.findings import Finding, Status
from validation.metrics.longitudinal import order
from validation.metrics.longitudinal.events import Events, Floats, Histories
from validation.metrics.longitudinal.judging import NULL, largest_mean, per_patient, profile
from validation.metrics.longitudinal.profiles import transitions
from validation.metrics.longitudinal.survival import survival_findings


def order_findings(h: Histories, *, level: float, margin: float, seed: int) -> list[Finding]:
    """Judge the order of visits: neighbours alike, codes early or late, visits growing."""
    ceiling = None
    if h.holdout is not None:
        ceiling = order.adjacency(h.train, h), order.adjacency(h.holdout, h)
    top = 40

    def name(k: int) -> str:
        return "place of " + (h.codes[h.frequent[k]] if k < min(top, len(h.frequent)) else "other codes")

    return [
        per_patient(
            "visit_order",
            "likeness of neighbouring visits",
            order.adjacency(h.synthetic, h),
            order.adjacency(h.real, h),
            ceiling,
            level=level,
            margin=margin,
        ),
        largest_mean(
            "visit_order", "places of codes", lambda e: order.positions(e, h, top), name, h, level=level, seed=seed
        ),
        per_patient(
            "visit_order",
            "growth of visits",
            order.growth(h.synthetic),
            order.growth(h.real),
            None,
            level=level,
            margin=margin,
        ),
        profile(
            "visit_order",
            "direction of transitions",
            lambda e: _directed(e, h),
            h,
            level=level,
            margin=margin,
            seed=seed,
        ),
    ]


def _directed(e: Events, h: Histories) -> Any:
    """Return transitions among the ten commonest codes only: few cells, so that a change of order shows."""
    return transitions(e, h, 10)


def trajectory_findings(h: Histories, *, level: float, margin: float) -> list[Finding]:
    """Judge values of the ten codes most often measured: level, trend and steps per patient."""
    if not h.has_values:
        why = "the tables have no column of values"
        empty = Estimate.insufficient(why, n=h.synthetic.patients, unit="1", method="trajectories")
        return [
            Finding(
                metric="trajectories",
                estimate=empty,
                null=NULL,
                rule="needs values",
                direction="",
                decided=Status.INCONCLUSIVE,
                note=why,
            )
        ]
    measured = np.bincount(h.real.code[np.isfinite(h.real.value)], minlength=len(h.codes))
    chosen = [int(c) for c in np.argsort(-measured, kind="stable")[:10] if measured[c] > 0]
    found = []
    for code in chosen:
        made, real = order.trajectories(h.synthetic, code), order.trajectories(h.real, code)
        found += [
            per_patient(
                "trajectories", f"{part} of {h.codes[code]}", made[part], real[part], None, level=level, margin=margin
            )
            for part in made
        ]
    return found


def follow_up(e: Events, code: int) -> tuple[Floats, Floats]:
    """Return time from the first visit to the first event of the code, or to the last visit, and whether it came."""
    who, when = e.visits
    number = e.visit_counts
    has = number > 0
    first = np.searchsorted(who, np.arange(e.patients), side="left")[has]
    start, end = when[first], when[first + number[has] - 1]
    mine = (e.code == code) & (e.visit >= 0)
    at = np.full(e.patients, np.inf)
    np.minimum.at(at, e.patient[mine], e.time[mine])
    event = np.isfinite(at[has])
    return np.where(event, at[has], end) - start, event.astype(np.float64)


def endpoint_findings(h: Histories, endpoint: str, *, level: float, margin: float, seed: int) -> list[Finding]:
    """Judge survival to the first event of a code."""
    if not endpoint:
        endpoint = next((c for c in h.codes if c.upper() in ("MEDS_DEATH", "DEATH")), "")
    if endpoint not in h.codes:
        why = f"no event has the code {endpoint!r}" if endpoint else "no endpoint is named (--param endpoint=CODE)"
        empty = Estimate.insufficient(why, n=h.synthetic.patients, unit="1", method="survival")
        return [
            Finding(
                metric="kaplan_meier_distance",
                estimate=empty,
                null=NULL,
                rule="needs an endpoint",
                direction="",
                decided=Status.INCONCLUSIVE,
                note=why,
            )
        ]
    code = h.codes.index(endpoint)
    other = None if h.holdout is None else (follow_up(h.train, code), follow_up(h.holdout, code))
    return survival_findings(
        follow_up(h.real, code), follow_up(h.synthetic, code), other, level=level, margin=margin, seed=seed, unit="days"
    )
