"""The family ``longitudinal_fidelity``: synthetic event histories against real ones, patients as units."""

from __future__ import annotations

import pandas as pd

from validation.metrics.findings import Finding, Part, run_parts
from validation.metrics.longitudinal.content import code_findings, sequence_findings, visit_findings
from validation.metrics.longitudinal.course import endpoint_findings, order_findings, trajectory_findings
from validation.metrics.longitudinal.events import read_histories
from validation.metrics.longitudinal.groups import group_findings, patient_groups
from validation.metrics.longitudinal.replay import replay_findings
from validation.registry import Direction, Kind, metric


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
