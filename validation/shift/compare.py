"""Comparing a new cohort with a baseline: is it different, and is the difference smaller than the margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from validation.errors import DataProblem, UsageProblem
from validation.protocol.plan_schemas import ShiftPlan, ShiftVariable
from validation.shift import columns
from validation.shift.adjustment import strata_of
from validation.shift.decide import Tested, adjusted, decide
from validation.shift.distances import ORDERED, ChiSquared, Distance
from validation.shift.groups import Codes, Floats, pool
from validation.shift.report import ShiftReport
from validation.statistics.hypotheses import one_sided_p

Multiplicity = Literal["holm", "bonferroni", "benjamini_hochberg", "none"]
POWER = 0.8
_Z_POWER = 0.8416212335729143  # normal quantile of 80 %


def compare(
    baseline: pd.DataFrame,
    new: pd.DataFrame,
    variables: Sequence[ShiftVariable],
    *,
    cluster: str | None = None,
    alpha: float = 0.05,
    multiplicity: Multiplicity = "holm",
    permutations: int = 999,
    seed: int = 1,
    device: str = "cpu",
    multivariate: Sequence[str] = (),
    multivariate_columns: Sequence[str] | None = None,
    adjust_for: Sequence[str] = (),
    minimum_clusters: int = 5,
    units: Mapping[str, str] | None = None,
    multivariate_margins: Mapping[str, float] | None = None,
) -> ShiftReport:
    """Compare two cohorts, variable by variable and jointly.

    For every variable: the effect size of its statistic with an interval, a permutation p-value of "no difference" with
    patients as units, and the smallest difference that would have been found. With a margin also the p-value of "the
    difference is at least the margin" (a one-sided test at alpha from the interval at level ``1 - 2 alpha``; for the
    standardised difference two one-sided tests). Both kinds of p-value are adjusted over the variables; the
    multivariate tests are a family of their own.

    Findings: ``equivalent`` when the adjusted equivalence p-value is at most alpha (also when a difference is
    detectable); else ``shifted`` when the adjusted p-value of no difference is; else ``inconclusive``.

    Parameters
    ----------
    baseline, new
        One row per case.
    variables
        Columns with the statistic fixed in advance, and the margin if any.
    cluster
        Column with the patient. Patients exchange cohorts as a whole; one who is in both has the two sets swapped.
    alpha
        Error of each family: two-sided for difference, one-sided for equivalence.
    multiplicity
        Holm or Bonferroni for a confirmatory family, Benjamini-Hochberg for an exploratory one.
    permutations, seed
        Number of reassignments B and seed; p = (1 + k) / (1 + B).
    device
        Torch device of the multivariate tests.
    multivariate, multivariate_columns
        Joint tests (``mmd``, ``energy``, ``classifier``), and the columns they use (all variables if not given).
    adjust_for
        Columns whose mix may differ between the cohorts without being a shift (case mix, dose, kernel): cohorts are
        compared, and patients exchanged, within their strata.
    minimum_clusters
        Patients that each cohort needs; with fewer the finding is inconclusive.
    units
        Unit of each column, for distances that carry it.
    multivariate_margins
        Largest joint difference of no consequence, for ``mmd`` (between 0 and root 2) and ``energy``.

    A category with more than 200 levels is not compared: it is listed as inconclusive, and left out of the joint tests.

    Raises
    ------
    DataProblem
        SHF-001, SHF-002 for columns, SHF-005 if the strata leave nothing to compare.
    UsageProblem
        SHF-004 if the permutations are too few for the smallest p-value that the family can need.

    References
    ----------
    Phipson and Smyth 2010, doi:10.2202/1544-6115.1585; Schuirmann 1987, doi:10.1007/BF01068419 (two one-sided tests);
    interval of a norm: see :mod:`validation.shift.influence`.
    """
    _check_permutations(len(variables), multiplicity, alpha, permutations)
    ids = _clusters(baseline, new, cluster)
    strata = strata_of(baseline, new, adjust_for, ids) if adjust_for else None
    tests = [
        _test(v, baseline, new, ids, strata, alpha, len(variables), permutations, seed, minimum_clusters, units or {})
        for v in variables
    ]
    joint: list[Tested] = []
    if multivariate:
        from validation.shift.multivariate import joint_tests

        names = list(multivariate_columns) if multivariate_columns is not None else [v.column for v in variables]
        names = [n for n in names if not columns.too_many_levels(baseline, new, n)]
        joint = joint_tests(
            baseline, new, names, multivariate, ids=ids, strata=strata, alpha=alpha, permutations=permutations,
            seed=seed, device=device, minimum_clusters=minimum_clusters, margins=multivariate_margins,
        )  # fmt: skip
    return ShiftReport(
        variables=decide(adjusted(tests, multiplicity), alpha),
        multivariate=decide(adjusted(joint, multiplicity), alpha),
        settings={
            "alpha": alpha,
            "multiplicity": multiplicity,
            "families": {"variables": [v.column for v in variables], "multivariate": list(multivariate)},
            "permutations": permutations,
            "seed": seed,
            "cluster": cluster or "",
            "adjust_for": list(adjust_for),
            "minimum_clusters": minimum_clusters,
            "power": POWER,
            "n_baseline": len(baseline),
            "n_new": len(new),
        },
    )


def shift_report(
    baseline: pd.DataFrame, new: pd.DataFrame, plan: ShiftPlan, *, cluster: str | None = "cluster", device: str = "cpu"
) -> dict[str, Any]:
    """Return the section ``shift`` of the results: what the plan of a protocol asks for, as plain JSON types."""
    return compare(
        baseline, new, plan.variables, cluster=cluster, alpha=plan.alpha, multiplicity=plan.multiplicity,
        permutations=plan.permutations, seed=plan.seed, device=device, multivariate=plan.multivariate,
        multivariate_margins={str(k): v for k, v in plan.multivariate_margins.items()},
    ).to_dict()  # fmt: skip


def enough_permutations(family: int, alpha: float) -> int:
    """Return a number of permutations with which every variable of a family can still be significant.

    >>> enough_permutations(1, 0.05), enough_permutations(40, 0.05)
    (999, 3999)
    """
    return max(999, round(5 * family / alpha) - 1)


def _check_permutations(family: int, multiplicity: str, alpha: float, permutations: int) -> None:
    if multiplicity != "none" and permutations + 1 < family / alpha:
        raise UsageProblem(
            f"{permutations} permutations are too few for {family} variables: the smallest p-value is "
            f"1/{permutations + 1}, and one variable alone may need {alpha}/{family}.",
            code="SHF-004",
            where="permutations",
            why="Not even the largest shift could be found.",
            action=f"Use at least {enough_permutations(family, alpha)}.",
        )


def _clusters(baseline: pd.DataFrame, new: pd.DataFrame, cluster: str | None) -> list[Any] | None:
    if cluster is None:
        return None
    ids: list[Any] = []
    for where, frame in (("baseline", baseline), ("new", new)):
        if cluster not in frame.columns:
            raise DataProblem(f"the {where} table has no column {cluster!r}.", code="SHF-001", where="cluster")
        if frame[cluster].isna().any():
            raise DataProblem(
                f"{int(frame[cluster].isna().sum())} cases of the {where} table have no patient.",
                code="SHF-001",
                where=f"column {cluster}",
                why="Cases of one patient are not independent.",
            )
        ids += [str(v) for v in frame[cluster].tolist()]
    return ids


def _test(
    variable: ShiftVariable,
    baseline: pd.DataFrame,
    new: pd.DataFrame,
    ids: list[Any] | None,
    strata: Codes | None,
    alpha: float,
    family: int,
    permutations: int,
    seed: int,
    minimum: int,
    units: Mapping[str, str],
) -> Tested:
    name, n0 = variable.column, len(baseline)
    codes: Codes | None = None
    values: Floats | None = None
    levels: list[str] = []
    if variable.statistic == "chi2" and (many := columns.too_many_levels(baseline, new, name)):
        why = f"{many} levels, more than {columns.MAXIMUM_LEVELS}, so that shares rest on one or two cases"
        known = tuple(int(f[name].notna().sum()) for f in (baseline, new))
        return Tested(
            name=name, statistic="chi2", margin=variable.margin, known=(known[0], known[1]), patients=(0, 0),
            missing=(n0 - known[0], len(new) - known[1]), alpha=alpha,
        ).refused(why, 1 - alpha, "1")  # fmt: skip
    if variable.statistic == "chi2":
        codes, levels = columns.category(baseline, new, name)
        keep = codes >= 0
    else:
        values = columns.number(baseline, new, name)
        keep = ~np.isnan(values)
    known = (int(keep[:n0].sum()), int(keep[n0:].sum()))
    clusters = None if ids is None else [i for i, k in zip(ids, keep, strict=True) if k]
    groups = pool(
        *known, None if clusters is None else clusters[: known[0]], None if clusters is None else clusters[known[0] :],
        None if strata is None else strata[keep],
    )  # fmt: skip
    patients = (groups.patients(new=False), groups.patients(new=True)) if min(known) else (0, 0)
    base = Tested(
        name=name, statistic=variable.statistic, margin=variable.margin, known=known, patients=patients,
        missing=(n0 - known[0], len(new) - known[1]), alpha=alpha,
    )  # fmt: skip
    level = 1 - 2 * alpha if variable.margin is not None else 1 - alpha
    unit = units.get(name, "1") if variable.statistic in ("wasserstein", "energy") else "1"
    short = min(patients) < max(2, minimum)
    if min(patients) < 2:
        return base.refused(f"{min(patients)} patients in one cohort", level, unit)
    distance = _distance(
        variable.statistic, values[keep] if values is not None else None, codes, keep, levels, groups, seed
    )
    estimate = distance.estimate(level, unit)
    if estimate.lower is None:
        return base.refused(estimate.reason, level, unit)
    p, critical = _permute(distance, permutations, seed, alpha / max(1, family))
    equivalence = None
    if variable.margin is not None:
        equivalence = one_sided_p(lambda at: distance.estimate(at, unit), variable.margin, "below")
        if distance.signed:
            other = one_sided_p(lambda at: distance.estimate(at, unit), -variable.margin, "above")
            equivalence = None if other is None or equivalence is None else max(other, equivalence)
    why = f"{min(patients)} patients in one cohort, fewer than the minimum of {minimum}" if short else ""
    smallest = groups.smallest_p(permutations)
    if not why and smallest > alpha:
        why = f"so few patients that the smallest possible p-value is {smallest:.3g}"
    return base.with_results(
        effect=estimate, statistic_value=distance.observed, p_value=p, p_equivalence=equivalence,
        minimum_detectable=_detectable(critical + _Z_POWER * distance.standard_error, distance.largest), refusal=why,
    )  # fmt: skip


def _detectable(size: float, largest: float | None) -> float | None:
    """Return the smallest difference found with 80 % probability; none where it is larger than any can be, or unknown.

    >>> _detectable(0.4, 1.0), _detectable(1.4, 1.0)
    (0.4, None)
    """
    return size if 0 < size <= (largest if largest is not None else np.inf) else None


def _distance(
    statistic: str, values: Floats | None, codes: Codes | None, keep: Any, levels: list[str], groups: Any, seed: int
) -> Distance:
    if codes is not None:
        return ChiSquared(codes[keep], len(levels), groups, seed=seed)
    return ORDERED[statistic](values, groups, seed=seed)


def _permute(distance: Distance, permutations: int, seed: int, alpha: float) -> tuple[float, float]:
    """Return the permutation p-value and the critical size of the effect at alpha."""
    statistics, effects = [], []
    for members in distance.groups.assignments(permutations, seed):
        found, effect = distance.evaluate(members)
        statistics.append(found)
        effects.append(np.abs(effect))
    null = np.concatenate(statistics)
    slack = 1e-12 * max(1.0, abs(distance.observed))
    p = (1 + int((null >= distance.observed - slack).sum())) / (1 + permutations)
    return p, critical_value(np.concatenate(effects), alpha)


def critical_value(null: Floats, alpha: float) -> float:
    """Return the effect that must be exceeded for p <= alpha, from the effects under reassignment."""
    ordered = np.sort(null)[::-1]
    k = max(0, int(np.floor(alpha * (len(null) + 1) + 1e-9)) - 1)
    return float(ordered[min(k, len(ordered) - 1)])
