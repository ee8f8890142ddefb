"""The family ``longitudinal_privacy``: copied histories, nearest histories and membership, against holdout patients.

Two histories are compared as sets: which codes a patient has, how often (up to eight times), and which codes follow
which in neighbouring visits. Their distance is Jaccard's, one minus the share of common elements. Times and values are
left out, so that a copy with shifted dates is still near.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from validation.estimate import Estimate
from validation.metrics.findings import Finding, Part, Status, run_parts
from validation.metrics.longitudinal.content import counts_of
from validation.metrics.longitudinal.events import Events, Histories, read_histories
from validation.metrics.longitudinal.groups import patient_groups
from validation.metrics.longitudinal.profiles import code_counts, presence, profile_distance, transitions
from validation.metrics.longitudinal.replay import replay_findings
from validation.metrics.privacy.distances import Distances, share_findings
from validation.metrics.privacy.exchangeable import SHIFT_ALPHA, inconclusive_if_shifted, without_holdout
from validation.metrics.privacy.membership import Attack, membership_findings, two_attacks
from validation.metrics.tabular.marginals import kolmogorov_smirnov
from validation.metrics.tabular.neighbours import Neighbours
from validation.registry import Direction, Kind, metric

TIMES = 8  # occurrences of a code that are told apart
_CELLS = 1 << 23  # distances held at once


def elements(e: Events, h: Histories) -> Any:
    """Return patients by elements (0 or 1): n-th occurrences of codes, and transitions of neighbouring visits."""
    order = np.lexsort((e.code, e.patient))
    who, code = e.patient[order], e.code[order]
    new = np.r_[True, (who[1:] != who[:-1]) | (code[1:] != code[:-1])]
    start = np.flatnonzero(new)
    nth = np.arange(len(who)) - start[np.cumsum(new) - 1]
    often = presence(who, code * TIMES + np.minimum(nth, TIMES - 1), e.patients, len(h.codes) * TIMES)
    follows = transitions(e, h)
    follows.data[:] = 1.0
    return sparse.hstack([often, follows]).tocsr()


def nearest_histories(queries: Any, references: Any, *, itself: bool = False) -> Neighbours:
    """Return the two nearest reference patients of every query by Jaccard's distance: exact, in blocks.

    Time grows with the product of the numbers of patients, memory with their sum.

    Reference: Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x.
    """
    n, m = queries.shape[0], references.shape[0]
    size_q, size_r = (np.asarray(x.sum(1)).ravel() for x in (queries, references))
    first, second, index = np.full(n, np.inf), np.full(n, np.inf), np.full(n, -1, np.int64)
    turned = references.T.tocsr()
    step = max(1, _CELLS // max(1, m))
    for start in range(0, n, step):
        rows = np.arange(start, min(n, start + step))
        common = (queries[rows] @ turned).toarray()
        union = size_q[rows, None] + size_r - common
        distance = np.where(union > 0, 1 - common / np.maximum(union, 1), 0.0)
        if itself:
            distance[np.arange(len(rows)), rows] = np.inf
        index[rows] = distance.argmin(1)
        first[rows] = distance[np.arange(len(rows)), index[rows]]
        distance[np.arange(len(rows)), index[rows]] = np.inf
        second[rows] = distance.min(1)
    one, two = (np.asarray(np.round(x, 12), dtype=np.float64) for x in (first, second))
    return Neighbours(one, two, index)


def history_distances(h: Histories) -> Distances | None:
    """Return the nearest training and holdout patient of every synthetic one; ``None`` without a holdout."""
    if h.holdout is None:
        return None
    made = elements(h.synthetic, h)
    return Distances(nearest_histories(made, elements(h.train, h)), nearest_histories(made, elements(h.holdout, h)))


def history_attacks(h: Histories) -> list[Attack]:
    """Return the two membership attacks of tables (by distance, by density) on histories; none without a holdout."""
    if h.holdout is None:
        return []
    made, real = elements(h.synthetic, h), elements(h.real, h)
    met = nearest_histories(real, made).first
    n = h.train.patients
    return two_attacks(met[:n], met[n:], nearest_histories(real, real, itself=True).first)


def control_finding(h: Histories, *, level: float, seed: int) -> Finding:
    """Judge whether training and holdout patients differ in codes or visits; then the holdout is no privacy control."""
    if h.holdout is None:
        return without_holdout("privacy_control", n=h.train.patients)
    estimate, p = profile_distance(
        code_counts(h.train, h), code_counts(h.holdout, h), level=level, seed=seed, what="codes"
    )
    _, other = kolmogorov_smirnov(
        counts_of(h.train)["visits per patient"], counts_of(h.holdout)["visits per patient"], level=level
    )
    least = min((x for x in (p, other) if x is not None), default=1.0)
    shifted = 2 * least <= SHIFT_ALPHA
    return Finding(
        metric="privacy_control",
        estimate=estimate,
        null="training and holdout patients are exchangeable (permutation of patients)",
        rule=f"flagged if p at most {SHIFT_ALPHA:g} for codes or visits (Bonferroni); attacks are then inconclusive",
        decided=Status.INCONCLUSIVE if p is None else Status.FLAGGED if shifted else Status.NOT_FLAGGED,
        direction=Direction.LOWER.value,
        note=estimate.reason or ("the holdout is of another population than the training patients" if shifted else ""),
    )


def _masks(h: Histories, asked: tuple[str, ...]) -> list[tuple[str, dict[str, npt.NDArray[np.bool_]]]]:
    """Return, per subgroup code, who has it in each table."""
    tables = {"train": h.train, "synthetic": h.synthetic, "holdout": h.holdout}
    return [
        (
            name,
            {
                role: np.bincount(e.patient[e.code == code], minlength=e.patients) > 0
                for role, e in tables.items()
                if e is not None
            },
        )
        for name, code in patient_groups(h, asked)
    ]


def nearest_findings(
    h: Histories, groups: list[tuple[str, dict[str, npt.NDArray[np.bool_]]]], *, level: float
) -> list[Finding]:
    """Judge the share of synthetic patients who are nearer to a training than to a holdout patient."""
    d = history_distances(h)
    if d is None or h.holdout is None:
        return [without_holdout("history_dcr_share", n=h.train.patients)]
    made = [(name, masks["synthetic"]) for name, masks in groups]
    return share_findings("history_dcr_share", d, h.train.patients, h.holdout.patients, made, level=level)


@metric(
    "longitudinal_privacy",
    unit="each metric its own",
    direction=Direction.NONE,
    roles=("train", "synthetic"),
    optional_roles=("holdout",),
    kind=Kind.ESTIMATE,
    family="family",
    reference="each metric its own",
    oracle="brute-force set distances",
)
def longitudinal_privacy(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    subject: str = "",
    time: str = "",
    code: str = "",
    subgroups_of: tuple[str, ...] = (),
    alpha: float = 0.05,
    seed: int = 0,
    only: tuple[str, ...] = (),
    level: float = 0.95,
) -> list[Finding]:
    """Run every privacy metric of synthetic event histories and say of each whether it is flagged.

    Copied histories; the share of synthetic patients nearer to a training than to a holdout patient; membership attacks
    by distance and density, with area and true positive rates at 1 % and 0.1 % false positives and the worst patients;
    per subgroup of patients. The holdout holds patients of the training population who were not trained on; where
    training and holdout patients differ by themselves, attacks are inconclusive. Holm over the whole report.

    Parameters
    ----------
    subgroups_of
        Codes that make subgroups of the patients who have them (default: codes of sex and ethnicity by name).
    only
        Names of the parts to run, such as ``copied_histories``; all of them by default.

    Notes
    -----
    Not flagged means that these attacks found nothing with these numbers of patients. It does not mean that nobody can
    be recognised. Values and exact times are not attacked.
    """
    h = read_histories(train, synthetic, holdout, subject=subject, time=time, code=code)
    groups = _masks(h, subgroups_of)
    parts: list[Part] = [
        ("privacy_control", lambda: [control_finding(h, level=level, seed=seed)]),
        ("copied_histories", lambda: replay_findings(h, level=level)),
        ("history_dcr_share", lambda: nearest_findings(h, groups, level=level)),
        ("membership_tpr", lambda: membership_findings(history_attacks(h), groups, n=h.train.patients, level=level)),
    ]
    found = run_parts(parts, alpha=alpha, only=only)
    return inconclusive_if_shifted(found, lambda name: name.startswith(("membership", "history_dcr")))


@metric(
    "history_membership",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="longitudinal",
    reference="van Breugel et al. 2023, arXiv:2302.12580; Carlini et al. 2022, doi:10.1109/SP46214.2022.9833649",
    oracle="brute-force set distances",
)
def history_membership(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    subject: str = "",
    time: str = "",
    code: str = "",
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure two membership attacks on histories: area, and true positive rates at 1 % and 0.1 % false positives.

    As ``membership_inference``, with patients as units and Jaccard's distance of sets of codes and transitions.
    """
    h = read_histories(train, synthetic, holdout, subject=subject, time=time, code=code)
    found: dict[str, Estimate] = {}
    for attack in history_attacks(h):
        found |= attack.estimates(level=level)
    return found
