"""The family ``tabular_fidelity``: every fidelity metric of one table, with a finding for each and per subgroup."""

from __future__ import annotations

import pandas as pd

from validation.metrics.findings import Finding, Part, run_parts
from validation.metrics.tabular.association import association_findings
from validation.metrics.tabular.categories import category_findings, invented_findings, tail_findings
from validation.metrics.tabular.conditionals import conditional_findings
from validation.metrics.tabular.constraints import rule_findings, structure_findings
from validation.metrics.tabular.detection import detection_findings, propensity_findings
from validation.metrics.tabular.discrepancy import discrepancy_findings
from validation.metrics.tabular.encoding import encode, subgroup_columns, subgroups
from validation.metrics.tabular.extrapolation import extrapolation_findings
from validation.metrics.tabular.groups import group_findings
from validation.metrics.tabular.marginals import marginal_findings, missing_findings, wasserstein_findings
from validation.metrics.tabular.precision import precision_findings
from validation.registry import Direction, Kind, metric


@metric(
    "tabular_fidelity",
    unit="each metric its own",
    direction=Direction.NONE,
    roles=("train", "synthetic"),
    optional_roles=("holdout",),
    kind=Kind.ESTIMATE,
    family="family",
    reference="Holm 1979 (Scand J Stat 6:65-70); each metric its own",
    oracle="each metric its own",
)
def tabular_fidelity(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    subgroups_of: tuple[str, ...] = (),
    rules: str = "",
    margin: float = 0.01,
    alpha: float = 0.05,
    seed: int = 0,
    only: tuple[str, ...] = (),
    level: float = 0.95,
) -> list[Finding]:
    """Run every fidelity metric of a synthetic table and say of each whether it is flagged.

    The reference is training and holdout records together; the ceiling of each metric is the same quantity between
    training and holdout. P-values are adjusted together by Holm's procedure: a sound generator is flagged anywhere in
    the report with probability at most ``alpha``. Without flags nothing is proved: each interval says how large a
    difference the data still allow.

    Parameters
    ----------
    train, synthetic, holdout
        One row per patient.
    categorical, ignore
        As in the single metrics: numbers that are categories, columns that are identifiers.
    subgroups_of
        Categorical columns whose levels are subgroups; by default demographic columns by name, else the first ones.
    rules
        Clinical constraints that every record must satisfy, separated by semicolons, as expressions of the protocol:
        ``"not (sex == 'M' and pregnant == 1); death_day >= birth_day"``.
    margin
        Distance (share of records) below which a difference is of no practical importance.
    only
        Names of the parts to run, such as ``marginal_distance``; all of them by default.
    alpha
        Family-wise error of the report.

    Raises
    ------
    DataProblem, UsageProblem
        If the tables or parameters are wrong (TAB-001 to TAB-003). What goes wrong later is an error finding.
    """
    t = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    groups = subgroups(t, subgroup_columns(t, subgroups_of))
    parts: list[Part] = [
        ("structure", lambda: structure_findings(t)),
        ("clinical_rules", lambda: rule_findings(synthetic, train, holdout, rules, level=level)),
        ("marginal_distance", lambda: marginal_findings(t, level=level, margin=margin)),
        ("wasserstein_distance", lambda: wasserstein_findings(t, level=level, margin=margin, seed=seed)),
        ("missingness", lambda: missing_findings(t, level=level, margin=margin)),
        ("rare_categories", lambda: category_findings(t, level=level)),
        ("invented_categories", lambda: invented_findings(t, level=level)),
        ("tails", lambda: tail_findings(t, level=level)),
        ("pairwise_association", lambda: association_findings(t, level=level, margin=5 * margin, seed=seed)),
        ("conditional_distance", lambda: conditional_findings(t, level=level, margin=margin)),
        ("propensity_mse", lambda: propensity_findings(t, level=level)),
        ("detection_auc", lambda: detection_findings(t, groups, level=level, margin=2 * margin, seed=seed)),
        ("mmd", lambda: discrepancy_findings(t, level=level, seed=seed)),
        ("precision_recall", lambda: precision_findings(t, level=level)),
        ("extrapolation", lambda: extrapolation_findings(t, level=level)),
        ("subgroup", lambda: group_findings(t, groups, level=level, margin=margin)),
    ]
    return run_parts(parts, alpha=alpha, only=only)
