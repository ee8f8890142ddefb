"""The family ``longitudinal_fidelity``: synthetic event histories against real ones, patients as units."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding, Part, Status, run_parts
from validation.metrics.longitudinal import order
from validation.metrics.longitudinal.events import Events, Floats, Histories, read_histories
from validation.metrics.longitudinal.profiles import (
    classes,
    code_counts,
    cooccurrences,
    first_transitions,
    mean_distance,
    presence,
    profile_distance,
    transitions,
)
from validation.metrics.longitudinal.replay import replay_findings
from validation.metrics.longitudinal.survival import survival_findings
from validation.metrics.tabular.exact import two_sided_exact
from validation.metrics.tabular.marginals import kolmogorov_smirnov, too_little
from validation.registry import Direction, Kind, metric
from validation.statistics.proportion_differences import proportion_difference

NULL = "synthetic and real patients are exchangeable"
PERMUTED = NULL + " (permutation of patients, gamma tail)"
_DEMOGRAPHIC = re.compile(r"^(GENDER|SEX|RACE|ETHNICITY)(//|[:_ ])", re.IGNORECASE)


def per_patient(
    name: str,
    component: str,
    made: Floats,
    real: Floats,
    ceiling: tuple[Floats, Floats] | None,
    *,
    level: float,
    margin: float,
    subgroup: str = "",
) -> Finding:
    """Judge a quantity with one value per patient by the Kolmogorov-Smirnov distance."""
    estimate, p = kolmogorov_smirnov(made, real, level=level)
    return Finding(
        metric=name,
        component=component,
        subgroup=subgroup,
        estimate=estimate,
        p_value=p,
        null=NULL,
        direction=Direction.LOWER.value,
        rule=f"adjusted p at most alpha and distance above {margin:g}",
        exceeds=(estimate.value or 0.0) > margin,
        ceiling=None if ceiling is None else kolmogorov_smirnov(*ceiling, level=level)[0],
        too_little=too_little(len(made), len(real)),
        reference="Smirnov 1948, doi:10.1214/aoms/1177730256",
    )


def counts_of(e: Events) -> dict[str, Floats]:
    """Return per-patient quantities: visits, events per visit, mean and longest gap of visits."""
    who, when = e.visits
    visits = e.visit_counts.astype(np.float64)
    events = np.bincount(e.patient[e.visit >= 0], minlength=e.patients)
    follows = np.flatnonzero(who[1:] == who[:-1])
    gap = when[follows + 1] - when[follows]
    longest = np.zeros(e.patients)
    np.maximum.at(longest, who[follows], gap)
    total = np.bincount(who[follows], gap, minlength=e.patients)
    several = visits > 1
    return {
        "visits per patient": visits,
        "events per visit": events[visits > 0] / visits[visits > 0],
        "mean time between visits": total[several] / (visits[several] - 1),
        "longest time between visits": longest[several],
    }


def visit_findings(h: Histories, *, level: float, margin: float) -> list[Finding]:
    """Judge visit counts and inter-event times."""
    made, real = counts_of(h.synthetic), counts_of(h.real)
    other = (counts_of(h.train), counts_of(h.holdout)) if h.holdout is not None else None
    return [
        per_patient(
            "inter_event_times" if "time" in name else "visit_counts",
            name,
            made[name],
            real[name],
            (other[0][name], other[1][name]) if other else None,
            level=level,
            margin=margin,
        )
        for name in made
    ]


def _profile(
    name: str, component: str, make: Any, h: Histories, *, level: float, margin: float, seed: int, reference: str = ""
) -> Finding:
    made, real = make(h.synthetic), make(h.real)
    estimate, p = profile_distance(made, real, level=level, seed=seed, what=component)
    ceiling = None
    if h.holdout is not None:
        ceiling, _ = profile_distance(make(h.train), make(h.holdout), level=level, seed=seed, what=component)
    return Finding(
        metric=name,
        component=component,
        estimate=estimate,
        p_value=p,
        null=PERMUTED,
        direction=Direction.LOWER.value,
        rule=f"adjusted p at most alpha and distance above {margin:g}",
        exceeds=(estimate.value or 0.0) > margin,
        ceiling=ceiling,
        reference=reference or "doi:10.1016/j.neuroimage.2016.05.068 (tail of the permutation null)",
        note=""
        if ceiling is None or ceiling.value is None or estimate.value is None or estimate.value <= 3 * ceiling.value
        else "more than three times the distance between training and holdout",
    )


def _mean(name: str, what: str, make: Any, names: Any, h: Histories, *, level: float, seed: int) -> Finding:
    estimate, p, at = mean_distance(make(h.synthetic), make(h.real), level=level, seed=seed, what=what)
    return Finding(
        metric=name,
        component=names(at) if at >= 0 else what,
        estimate=estimate,
        p_value=p,
        null=PERMUTED.replace("gamma", "largest |t|, gamma"),
        rule="adjusted p at most alpha (largest |t| over all features)",
        direction=Direction.ZERO.value,
        reference="Westfall and Young 1993 (largest statistic); doi:10.1016/j.neuroimage.2016.05.068",
    )


def code_findings(h: Histories, *, level: float, margin: float, seed: int) -> list[Finding]:
    """Judge how often codes occur, which patients have them, and codes no real patient has."""
    width = len(h.codes)
    found = [
        _profile("code_distribution", "codes", lambda e: code_counts(e, h), h, level=level, margin=margin, seed=seed),
        _mean(
            "code_prevalence",
            "codes of patients",
            lambda e: presence(e.patient, e.code, e.patients, width),
            lambda k: h.codes[k],
            h,
            level=level,
            seed=seed,
        ),
    ]
    real = np.bincount(h.real.code, minlength=width) > 0
    new = ~real[h.synthetic.code]
    who = len(np.unique(h.synthetic.patient[new]))
    n, m = h.synthetic.patients, h.real.patients
    most = int(presence(h.synthetic.patient[new], h.synthetic.code[new], n, width).sum(0).max()) if new.any() else 0
    p = min(1.0, width * float(two_sided_exact([most], n, [0], m)[0])) if most else 1.0
    found.append(
        Finding(
            metric="invented_codes",
            estimate=proportion_difference(who, n, 0, m, level=level),
            p_value=p,
            null="a code this common among synthetic patients is absent from real ones by chance (exact)",
            rule="adjusted p at most alpha",
            note=f"{who} synthetic patients have a code that no real patient has",
            direction=Direction.LOWER.value,
            reference="Fisher 1935",
        )
    )
    return found


def sequence_findings(h: Histories, *, level: float, margin: float, seed: int) -> list[Finding]:
    """Judge transitions between visits, codes that share a visit, and the first visit."""
    top = classes(h).max()

    def pair(k: int) -> str:
        to, width = classes(h), int(top) + 1
        names = [next((h.codes[i] for i in h.frequent if to[i] == c), "other codes") for c in (k // width, k % width)]
        return " with ".join(
            "other codes" if c == top else n for n, c in zip(names, (k // width, k % width), strict=True)
        )

    both: dict[str, Any] = {"level": level, "margin": margin, "seed": seed}
    return [
        _profile("transitions", "pairs of codes in neighbouring visits", lambda e: transitions(e, h), h, **both),
        _profile(
            "transitions",
            "first codes of neighbouring visits",
            lambda e: first_transitions(e, len(h.codes))[0],
            h,
            **both,
        ),
        _profile(
            "transitions", "first code of the first visit", lambda e: first_transitions(e, len(h.codes))[1], h, **both
        ),
        _mean(
            "code_cooccurrence",
            "pairs of codes in one visit",
            lambda e: cooccurrences(e, h),
            pair,
            h,
            level=level,
            seed=seed,
        ),
    ]


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
        _mean("visit_order", "places of codes", lambda e: order.positions(e, h, top), name, h, level=level, seed=seed),
        per_patient(
            "visit_order",
            "growth of visits",
            order.growth(h.synthetic),
            order.growth(h.real),
            None,
            level=level,
            margin=margin,
        ),
        _profile(
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


@metric(
    "longitudinal_fidelity",
    unit="each metric its own",
    direction=Direction.NONE,
    roles=("train", "synthetic"),
    optional_roles=("holdout",),
    kind=Kind.ESTIMATE,
    family="family",
    reference="each metric its own",
    oracle="each metric its own",
)
def longitudinal_fidelity(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    subject: str = "",
    time: str = "",
    code: str = "",
    value: str = "",
    endpoint: str = "",
    subgroups_of: tuple[str, ...] = (),
    margin: float = 0.02,
    alpha: float = 0.05,
    seed: int = 0,
    only: tuple[str, ...] = (),
    level: float = 0.95,
) -> list[Finding]:
    """Run every metric of synthetic event histories and say of each whether it is flagged.

    Tables with one event per row: subject, time, code, and a value where there is one (MEDS, or columns named by
    ``subject``, ``time``, ``code``, ``value``). A visit is a time of a patient at which something happened. Patients
    are the
    units of every test; the reference is training and holdout together, the ceiling training against holdout; Holm
    over the
    whole report.

    Parameters
    ----------
    endpoint
        Code whose first event ends follow-up (default: a death code); patients without it are censored at their last
        visit.
    subgroups_of
        Codes that make subgroups of the patients who have them (default: codes of sex and ethnicity by name).
    only
        Names of the parts to run, such as ``visit_order``; all of them by default.
    """
    h = read_histories(train, synthetic, holdout, subject=subject, time=time, code=code, value=value)
    parts: list[Part] = [
        ("visit_counts", lambda: visit_findings(h, level=level, margin=margin)),
        ("code_distribution", lambda: code_findings(h, level=level, margin=margin, seed=seed)),
        ("transitions", lambda: sequence_findings(h, level=level, margin=margin, seed=seed)),
        ("visit_order", lambda: order_findings(h, level=level, margin=margin, seed=seed)),
        ("trajectories", lambda: trajectory_findings(h, level=level, margin=2 * margin)),
        ("kaplan_meier_distance", lambda: endpoint_findings(h, endpoint, level=level, margin=margin, seed=seed)),
        ("copied_histories", lambda: replay_findings(h, level=level)),
    ]
    if patient_groups(h, subgroups_of):
        parts.append(("subgroup_share", lambda: group_findings(h, subgroups_of, level=level, margin=margin)))
    return run_parts(parts, alpha=alpha, only=only)
