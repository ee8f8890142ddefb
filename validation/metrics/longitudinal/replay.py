"""Replayed histories: do synthetic patients repeat training patients more often than they repeat holdout patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.estimate import Estimate
from validation.metrics.findings import Finding, Status
from validation.metrics.longitudinal.events import Events, Histories, read_histories
from validation.metrics.tabular.exact import more_than_share
from validation.registry import Direction, Kind, metric
from validation.statistics.proportions import proportion

FEWEST = 5  # dated events a history must have; shorter ones repeat by chance


def signatures(e: Events) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Return one hash per patient of codes in order of visits (without times), and who has enough events."""
    dated = np.flatnonzero(e.visit >= 0)
    # inside a visit order does not matter: sort by code
    dated = dated[np.lexsort((e.code[dated], e.visit[dated]))]
    who = e.patient[dated]
    start = np.searchsorted(who, np.arange(e.patients), side="left")
    place = (np.arange(len(who)) - start[who]).astype(np.uint64)
    rank = e.rank[e.visit[dated]].astype(np.uint64)
    with np.errstate(over="ignore"):
        x = e.code[dated].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ (
            place * np.uint64(0xC2B2AE3D27D4EB4F) + rank * np.uint64(0x165667B19E3779F9)
        )
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
        total = np.zeros(e.patients, np.uint64)
        np.add.at(total, who, x)
    return total, np.bincount(who, minlength=e.patients) >= FEWEST


def copied(h: Histories) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]:
    """Return which training histories are repeated, which are long enough, and which holdout ones are repeated."""
    made, _ = signatures(h.synthetic)
    sign, enough = signatures(h.train)
    other = None
    if h.holdout is not None:
        sign_holdout, enough_holdout = signatures(h.holdout)
        other = np.isin(sign_holdout[enough_holdout], made)
    return np.isin(sign, made) & enough, enough, other


def replay_findings(h: Histories, *, level: float) -> list[Finding]:
    """Judge whether more training than holdout histories are repeated code for code (hypergeometric, exact)."""
    hit, enough, other = copied(h)
    k, n = int(hit.sum()), int(enough.sum())
    common: dict[str, Any] = {
        "metric": "copied_histories",
        "direction": Direction.LOWER.value,
        "reference": "Fisher 1935",
    }
    if not n:
        why = f"no training patient has {FEWEST} dated events"
        empty = Estimate.insufficient(why, n=0, unit="1", method="share", level=level)
        return [Finding(**common, estimate=empty, null="", rule="", decided=Status.INCONCLUSIVE, note=why)]
    estimate = proportion(np.repeat([1, 0], [k, n - k]), level=level, interval="clopper_pearson")
    if other is None or not len(other):
        why = "no holdout: without patients that were not trained on there is nothing to compare with"
        return [Finding(**common, estimate=estimate, null="", rule=why, decided=Status.INCONCLUSIVE, note=why)]
    j, m = int(other.sum()), len(other)
    return [
        Finding(
            **common,
            estimate=estimate,
            p_value=float(more_than_share([k], n, [j], m)[0]),
            null="training and holdout patients are exchangeable for the synthetic table (hypergeometric, exact)",
            rule="adjusted p at most alpha (more training than holdout histories repeated)",
            note=f"{k} of {n} training and {j} of {m} holdout histories of at least {FEWEST} events are repeated code for code; rows count training patients",  # noqa: E501
            rows=tuple(int(r) for r in np.flatnonzero(hit)[:20]) if k / n > j / m else (),
            ceiling=proportion(other, level=level, interval="clopper_pearson"),
        )
    ]


@metric(
    "copied_histories",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    optional_roles=("holdout",),
    kind=Kind.ESTIMATE,
    family="longitudinal",
    reference="Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404",
    oracle="sequences as text, compared",
)
def copied_histories(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    subject: str = "",
    time: str = "",
    code: str = "",
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the share of training (and holdout) patients whose codes, visit by visit, a synthetic patient repeats.

    Patients with at least five dated events; times do not count, the order of visits does.
    """
    h = read_histories(train, synthetic, holdout, subject=subject, time=time, code=code)
    hit, enough, other = copied(h)
    found = {"train": proportion(hit[enough], level=level, interval="clopper_pearson")}
    if other is not None:
        found["holdout"] = proportion(other, level=level, interval="clopper_pearson")
    return found
