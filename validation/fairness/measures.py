"""What is estimated in every group: rates, areas, calibration, means, with intervals that hold for few cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.fairness.calibration import calibration_error, calibration_in_the_large
from validation.statistics.means import mean
from validation.statistics.proportions import Interval, proportion
from validation.statistics.roc import auc

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Better = Literal["higher", "lower"]
CellEstimator = Callable[[Mask, float], Estimate]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One quantity that is estimated in every group.

    Parameters
    ----------
    name
        Short name, such as ``fpr``.
    estimator
        Maps the cases of a group (bool, shape (n,)) and a confidence level to an estimate.
    better
        Which way is better; ``None`` where a difference in either direction matters (selection rate, calibration).
    limits
        Smallest and largest possible value of the quantity, ``None`` where it has none; gaps are clipped to them.
    """

    name: str
    estimator: CellEstimator
    better: Better | None
    limits: tuple[float, float] | None = None


# metric -> (condition that counts as an event, cases among which it is counted, better)
_RATES: dict[str, tuple[str, str, Better | None]] = {
    "selection_rate": ("decided", "all", None),
    "prevalence": ("diseased", "all", None),
    "sensitivity": ("decided", "diseased", "higher"),
    "fnr": ("not decided", "diseased", "lower"),
    "specificity": ("not decided", "healthy", "higher"),
    "fpr": ("decided", "healthy", "lower"),
    "ppv": ("diseased", "decided", "higher"),
    "npv": ("healthy", "not decided", "higher"),
    "accuracy": ("right", "all", "higher"),
}
_ALIASES = {"tpr": "sensitivity", "recall": "sensitivity", "tnr": "specificity", "precision": "ppv"}
_OF_SCORES = ("auc", "calibration_in_the_large", "ece")
METRICS = (*_RATES, *_OF_SCORES, "mean")


def canonical(name: str) -> str:
    """Return the name under which a metric is known (``tpr`` is ``sensitivity``).

    Raises
    ------
    UsageProblem
        FAIR-001 if there is none of that name.
    """
    found = _ALIASES.get(name, name)
    if found in METRICS:
        return found
    near = get_close_matches(name, (*METRICS, *_ALIASES), n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Metrics are {', '.join(METRICS)}."
    raise UsageProblem(f"there is no fairness metric named {name!r}.", code="FAIR-001", where="--metric", action=hint)


def measures(
    names: Sequence[str],
    *,
    label: Floats | None = None,
    score: Floats | None = None,
    decision: Floats | None = None,
    value: Floats | None = None,
    clusters: Any = None,
    interval: Interval = "wilson",
) -> dict[str, Measure]:
    """Return the estimators of the named metrics on the columns of one table.

    Rates have Wilson's (or Clopper-Pearson's) interval at the effective number of cases, the AUC DeLong's or
    Obuchowski's on the logit scale, calibration in the large and means a cluster-robust t interval. A single case gives
    a wide interval, never one of no width.

    Parameters
    ----------
    names
        Any of :data:`METRICS` and their aliases.
    label
        Truth, 0 or 1, NaN where unknown, shape (n,).
    score
        Predicted probability or score (probability for calibration), shape (n,).
    decision
        What the model decided, 0 or 1, shape (n,).
    value
        Numeric endpoint whose mean is compared.
    clusters
        Patient of each case; ``None`` if all are independent.

    Raises
    ------
    UsageProblem
        FAIR-001 for an unknown metric, FAIR-002 if a metric needs a column that is not given.
    """
    found: dict[str, Measure] = {}
    columns: dict[str, Floats | None] = {"label": label, "score": score, "decision": decision, "value": value}
    ids = None if clusters is None else np.asarray(clusters)
    for name in dict.fromkeys(canonical(n) for n in names):
        needed = _needed(name)
        absent = [n for n in needed if columns[n] is None]
        if absent:
            raise UsageProblem(
                f"the metric {name!r} needs {' and '.join(absent)}.",
                code="FAIR-002",
                where="--metric",
                action="Add " + " ".join(f"--{n} COLUMN" for n in absent) + ", or leave the metric out.",
            )
        given = {n: columns[n] for n in needed}
        _check(name, given)
        found[name] = _measure(name, given, ids, interval)
    return found


def _check(name: str, given: Mapping[str, Any]) -> None:
    """Refuse labels and decisions that are not 0 or 1, and scores that are no probabilities where those are needed."""
    for role, column in given.items():
        known = column[~np.isnan(column)]
        if role in ("label", "decision") and not np.isin(known, (0.0, 1.0)).all():
            raise DataProblem(
                f"the {role} column holds values other than 0 and 1.",
                code="FAIR-005",
                where=f"--{role}",
                action="Write 1 for present (or called positive), 0 for absent, and leave unknown cells empty.",
            )
        if role == "score" and name in ("calibration_in_the_large", "ece") and ((known < 0) | (known > 1)).any():
            raise DataProblem(
                "the scores are not probabilities between 0 and 1.",
                code="FAIR-005",
                where="--score",
                why="Calibration compares a predicted probability with what happened.",
                action=f"Leave out {name}, or give predicted probabilities.",
            )


def _needed(name: str) -> tuple[str, ...]:
    if name in _RATES:
        event, among, _ = _RATES[name]
        words = f"{event} {among}"
        needs = ["label"] if any(w in words for w in ("diseased", "healthy", "right")) else []
        return tuple(needs + (["decision"] if any(w in words for w in ("decided", "right")) else []))
    return ("value",) if name == "mean" else ("label", "score")


def _measure(name: str, columns: Mapping[str, Any], ids: Any, interval: Interval) -> Measure:
    if name in _RATES:
        event, among, better = _RATES[name]
        events = _events(event, among, columns)
        return Measure(
            name=name,
            estimator=lambda mask, level: proportion(
                np.where(mask, events, np.nan), clusters=ids, level=level, interval=interval
            ),
            better=better,
            limits=(0.0, 1.0),
        )
    if name == "mean":
        value = columns["value"]
        return Measure(
            name=name, better=None, estimator=lambda mask, level: mean(_only(value, mask), clusters=ids, level=level)
        )
    label, score = columns["label"], columns["score"]
    if name == "auc":
        return Measure(
            name=name,
            estimator=lambda mask, level: auc(_only(score, mask), label, clusters=ids, level=level),
            better="higher",
            limits=(0.0, 1.0),
        )
    if name == "ece":
        return Measure(
            name=name,
            estimator=lambda mask, level: calibration_error(_only(score, mask), label, clusters=ids, level=level),
            better="lower",
            limits=(0.0, 1.0),
        )
    return Measure(
        name=name,
        estimator=lambda mask, level: calibration_in_the_large(_only(score, mask), label, clusters=ids, level=level),
        better=None,
        limits=(-1.0, 1.0),
    )


def _only(column: Floats, mask: Mask) -> Floats:
    return np.where(mask, column, np.nan)


def _events(event: str, among: str, columns: Mapping[str, Any]) -> Floats:
    """Return 1 for an event, 0 for none, NaN for cases that are not counted."""
    label, decision = columns.get("label"), columns.get("decision")
    known = next(c for c in (label, decision) if c is not None)
    missing = np.isnan(label if label is not None else known) | np.isnan(decision if decision is not None else known)

    def holds(what: str) -> Mask:
        if what == "all":
            return np.ones(len(known), dtype=bool)
        if what == "right":
            return np.asarray(label == decision)
        column, wanted = {
            "decided": (decision, 1.0),
            "not decided": (decision, 0.0),
            "diseased": (label, 1.0),
            "healthy": (label, 0.0),
        }[what]
        return np.asarray(column == wanted)

    return np.where(holds(among) & ~missing, holds(event).astype(np.float64), np.nan)
