"""The family ``tabular_utility``: is the synthetic table as useful as the real one, judged on real holdout records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding, run_parts
from validation.metrics.findings import Part as FamilyPart
from validation.metrics.longitudinal.survival import survival_columns, survival_findings
from validation.metrics.reuse import reused
from validation.metrics.tabular.agreement import agreement_findings, hazard_fits, logistic_fits
from validation.metrics.tabular.detection import booster, design, irls, main_effects
from validation.metrics.tabular.encoding import Floats, Part, Tables, encode, stack, subgroup_columns, subgroups
from validation.registry import Direction, Kind, metric
from validation.statistics.means import paired_mean_difference
from validation.statistics.roc import auc_difference

LEARNERS = ("boosted trees", "logistic")


@dataclass(frozen=True, eq=False)
class Task:
    """Predict a column of the holdout: features without it, and its values per table (class codes or numbers)."""

    tables: Tables
    outcome: str
    y: dict[str, Floats]
    classes: int  # 2 for a binary outcome, more for several classes, 0 for a number


@reused
def task(tables: Tables, outcome: str) -> Task:
    """Return the prediction task; the outcome is by default the last categorical column with two levels.

    Raises
    ------
    UsageProblem
        TAB-003 if there is no such column.
    """
    if not outcome:
        binary = [c for c, names in zip(tables.categorical, tables.levels, strict=True) if len(names) == 2]
        outcome = binary[-1] if binary else ""
    if outcome not in tables.columns:
        raise UsageProblem(
            f"no measured column is named {outcome!r}." if outcome else "no column has two levels.",
            code="TAB-003",
            where="--param outcome",
            action="Name the column to be predicted: --param outcome=COLUMN.",
        )
    parts = {"train": tables.train, "synthetic": tables.synthetic, "holdout": tables.holdout}
    numeric = outcome in tables.numeric
    k = (tables.numeric if numeric else tables.categorical).index(outcome)
    y = {
        role: (part.numbers[:, k] if numeric else part.codes[:, k].astype(np.float64))
        for role, part in parts.items()
        if part is not None
    }
    rest = tuple(c for c in tables.columns if c != outcome)
    return Task(tables.only(rest), outcome, y, 0 if numeric else len(tables.levels[k]))


@reused
def predict(t: Task, learner: str, roles: tuple[str, ...], *, seed: int) -> Floats:
    """Fit on the named tables and return predictions for the holdout: (n,) probability or number, (n, classes).

    Raises
    ------
    DataProblem
        TAB-005 if the training data hold a single class.
    """
    parts: dict[str, Part | None] = {"train": t.tables.train, "synthetic": t.tables.synthetic}
    fitted = stack(*(p for r in roles if (p := parts[r]) is not None))
    y = np.concatenate([t.y[r] for r in roles])
    test = t.tables.holdout
    if test is None:
        raise DataProblem("utility is judged on a holdout of real records.", code="TAB-005", where="--input holdout=")
    keep = ~np.isnan(y)
    fitted, y = fitted.take(keep), y[keep]
    if len(np.unique(y)) < 2:
        raise DataProblem(
            "the outcome has one value only in a table, so nothing can be learnt.", code="TAB-005", where=t.outcome
        )
    if t.classes == 0:
        return _regressor(t, len(y), seed).fit(design(fitted), y).predict(design(test))  # type: ignore[no-any-return]
    if learner == "logistic":
        x = main_effects(stack(fitted, test), t.tables.levels)
        beta = irls(x[: fitted.n], (y == y.max()).astype(np.float64), ridge=1e-4)
        return np.asarray(1 / (1 + np.exp(-np.clip(x[fitted.n :] @ beta, -35, 35))))
    model = booster(t.tables, len(y), seed=seed).fit(design(fitted), y)
    shares = np.zeros((test.n, t.classes))
    shares[:, model.classes_.astype(int)] = model.predict_proba(design(test))
    return shares[:, -1] if t.classes == 2 else shares


def _regressor(t: Task, n: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    p = len(t.tables.numeric)
    native = [p + k for k, names in enumerate(t.tables.levels) if len(names) <= 250]
    return HistGradientBoostingRegressor(
        max_iter=100,
        min_samples_leaf=max(5, min(20, n // 20)),
        categorical_features=native,
        early_stopping=False,
        random_state=seed,
    )


def compare(t: Task, made: Floats, real: Floats, rows: npt.NDArray[np.bool_], *, level: float) -> Estimate:
    """Return the paired difference of performance on holdout records, positive is better: AUC, or minus mean loss."""
    y = t.y["holdout"][rows]
    if t.classes == 2:
        return auc_difference(made[rows], real[rows], y == 1, level=level)
    if t.classes == 0:
        gap = paired_mean_difference(-((made[rows] - y) ** 2), -((real[rows] - y) ** 2), level=level)
        scale = float(np.nanvar(y)) or 1.0
        limits = [None if v is None else v / scale for v in (gap.value, gap.lower, gap.upper)]
        return Estimate(
            value=limits[0],
            lower=limits[1],
            upper=limits[2],
            method="paired difference of explained variance",
            n=gap.n,
            unit="1",
            level=level,
            reason=gap.reason,
        )
    target = np.eye(t.classes)[y.astype(int)]
    losses = [((p[rows] - target) ** 2).sum(1) for p in (made, real)]
    return paired_mean_difference(-losses[0], -losses[1], level=level)


def worse_p(e: Estimate) -> float | None:
    """Return the one-sided p-value that the difference is below zero, from a Wald interval."""
    if e.value is None or e.lower is None or e.upper is None or e.upper <= e.lower:
        return None
    error = (e.upper - e.lower) / 2 / float(stats.norm.isf((1 - e.level) / 2))
    return float(stats.norm.cdf(e.value / error))


def utility_findings(
    tables: Tables,
    outcome: str,
    groups: list[tuple[str, dict[str, npt.NDArray[np.bool_]]]],
    *,
    level: float,
    margin: float,
    seed: int,
) -> list[Finding]:
    """Judge training on synthetic, and on real plus synthetic records, against real, on the holdout."""
    t = task(tables, outcome)
    if t.tables.holdout is None:
        raise DataProblem("utility is judged on a holdout of real records.", code="TAB-005", where="--input holdout=")
    everyone = np.ones(t.tables.holdout.n, bool)
    found: list[Finding] = []
    for learner in LEARNERS if t.classes == 2 else LEARNERS[:1]:
        real = predict(t, learner, ("train",), seed=seed)
        arms = {
            "train_synthetic_test_real": predict(t, learner, ("synthetic",), seed=seed),
            "augmentation_gain": predict(t, learner, ("train", "synthetic"), seed=seed),
        }
        for name, made in arms.items():
            for group, rows in [("", everyone), *((g, m["holdout"]) for g, m in groups)]:
                rows = rows & ~np.isnan(t.y["holdout"])
                events = np.unique(t.y["holdout"][rows], return_counts=True)[1]
                few = t.classes > 0 and (len(events) < 2 or events.min() < 10)
                e = compare(t, made, real, rows, level=level)
                found.append(
                    Finding(
                        metric=name,
                        component=f"{t.outcome} by {learner}",
                        subgroup=group,
                        estimate=e,
                        p_value=worse_p(e),
                        null="as good as training on real records (paired on the same holdout records)",
                        rule=f"adjusted p at most alpha and worse by more than {margin:g}",
                        direction=Direction.HIGHER.value,
                        exceeds=(e.value or 0.0) < -margin,
                        reference="Esteban et al. 2017, arXiv:1706.02633; DeLong et al. 1988, doi:10.2307/2531595",
                        too_little="fewer than ten holdout records of a class" if few else _wide(e),
                        note=_better(e) if name == "augmentation_gain" else "",
                    )
                )
    return found


def _wide(e: Estimate) -> str:
    """Return why an interval is too wide to exclude a large loss (0.1), or nothing."""
    return f"a loss of up to {-e.lower:.2f} is not excluded" if e.lower is not None and e.lower < -0.1 else ""


def _better(e: Estimate) -> str:
    return "better than real records alone" if e.lower is not None and e.lower > 0 else ""


@metric(
    "tabular_utility",
    unit="each metric its own",
    direction=Direction.NONE,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="family",
    reference="Esteban et al. 2017, arXiv:1706.02633; each metric its own",
    oracle="each metric its own",
)
def tabular_utility(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    outcome: str = "",
    time: str = "",
    event: str = "",
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    subgroups_of: tuple[str, ...] = (),
    margin: float = 0.02,
    alpha: float = 0.05,
    seed: int = 0,
    only: tuple[str, ...] = (),
    level: float = 0.95,
) -> list[Finding]:
    """Run every utility metric and say of each whether the synthetic table is worse than the real one.

    Training on synthetic, and on real plus synthetic records, against training on real records, on the same holdout
    (paired), overall and per subgroup of the holdout; coefficients of a logistic model of the outcome; with ``time``
    and ``event``, hazard ratios, survival curves and restricted means.

    Parameters
    ----------
    outcome
        Column to be predicted (two levels: AUC; several: Brier score; a number: explained variance). By default the
        last
        categorical column with two levels.
    time, event
        Columns of follow-up and of the event (0 or 1), for survival analyses.
    only
        Names of the parts to run, such as ``coefficient_agreement``; all of them by default.
    margin
        Loss of performance that does not matter.
    """
    t = encode(
        train,
        synthetic,
        holdout,
        categorical=(*categorical, *([outcome] if outcome in categorical else [])),
        ignore=ignore,
    )
    groups = subgroups(t, subgroup_columns(t, subgroups_of))
    parts: list[FamilyPart] = [
        (
            "train_synthetic_test_real",
            lambda: utility_findings(t, outcome, groups, level=level, margin=margin, seed=seed),
        )
    ]

    def coefficients() -> list[Finding]:
        target = task(t, outcome)
        if target.classes != 2:
            raise DataProblem(
                "coefficients are compared for an outcome with two levels.", code="TAB-005", where=target.outcome
            )
        real, made, names = logistic_fits(t, target.outcome)
        return agreement_findings("coefficient_agreement", real, made, ["intercept", *names], level=level)

    def hazards() -> list[Finding]:
        real, made, names = hazard_fits(train, synthetic, t, time, event)
        return agreement_findings("hazard_ratio_agreement", real, made, names, level=level)

    def curves() -> list[Finding]:
        a, b, c = (survival_columns(f, time, event) for f in (train, holdout, synthetic))
        both = np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])
        return survival_findings(both, c, (a, b), level=level, margin=margin, seed=seed)

    parts.append(("coefficient_agreement", coefficients))
    if time or event:
        parts += [("hazard_ratio_agreement", hazards), ("kaplan_meier_distance", curves)]
    return run_parts(parts, alpha=alpha, only=only)
