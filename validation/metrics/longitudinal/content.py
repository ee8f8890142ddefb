"""What histories hold: numbers of visits, times between them, codes, and which codes follow or share a visit."""

from __future__ import annotations

from typing import Any

import numpy as np

from validation.metrics.findings import Finding
from validation.metrics.longitudinal.events import Events, Floats, Histories
from validation.metrics.longitudinal.judging import largest_mean, per_patient, profile
from validation.metrics.longitudinal.profiles import (
    classes,
    code_counts,
    cooccurrences,
    first_transitions,
    presence,
    transitions,
)
from validation.metrics.tabular.exact import two_sided_exact
from validation.registry import Direction
from validation.statistics.proportion_differences import proportion_difference


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


def code_findings(h: Histories, *, level: float, margin: float, seed: int) -> list[Finding]:
    """Judge how often codes occur, which patients have them, and codes no real patient has."""
    width = len(h.codes)
    found = [
        profile("code_distribution", "codes", lambda e: code_counts(e, h), h, level=level, margin=margin, seed=seed),
        largest_mean(
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
        profile("transitions", "pairs of codes in neighbouring visits", lambda e: transitions(e, h), h, **both),
        profile(
            "transitions",
            "first codes of neighbouring visits",
            lambda e: first_transitions(e, len(h.codes))[0],
            h,
            **both,
        ),
        profile(
            "transitions", "first code of the first visit", lambda e: first_transitions(e, len(h.codes))[1], h, **both
        ),
        largest_mean(
            "code_cooccurrence",
            "pairs of codes in one visit",
            lambda e: cooccurrences(e, h),
            pair,
            h,
            level=level,
            seed=seed,
        ),
    ]
