"""Figures of merit other than the whole AUC, with their values after deleting each case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from validation.errors import DataProblem, UsageProblem
from validation.reader_study.scores import ReaderScores

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Figure = Callable[[Array, Bools], float]


def case_values(scores: ReaderScores, endpoint: str, threshold: float | None) -> Array:
    """Return what the endpoint averages over readings: the score for ``mean_score``, else whether it was correct.

    For ``preference``: 1 where the case was rated higher than under the other of two modalities, 0.5 where equally, so
    that the difference of the modalities is the share of cases better under the first less that better under the
    second: an ordinal comparison of pairs, whatever the distances on the scale.

    1.0 for a correct decision, 0.0 for a wrong one, NaN for none: ``(reader, modality, case)``.

    Sensitivity looks at diseased cases, specificity at the others. Recorded decisions are used; a threshold of the
    ratings only if one is given and none were recorded.

    Raises
    ------
    DataProblem
        If there are neither decisions nor a threshold, or decisions are missing for readings that have a score.
    UsageProblem
        If a preference is asked of other than two modalities.
    """
    if endpoint == "mean_score":
        return scores.score
    if endpoint == "preference":
        if len(scores.modalities) != 2:
            raise UsageProblem(
                f"a preference is between two modalities, and the table has {len(scores.modalities)}.",
                code="RDR-011",
                where="--endpoint",
                action="Keep the rows of two modalities.",
            )
        first, second = scores.score[:, 0], scores.score[:, 1]
        better = np.where(np.isnan(first + second), np.nan, (first > second) + 0.5 * (first == second))
        return np.stack([better, 1 - better], axis=1)
    if scores.decision is not None and threshold is None:
        lost = int((np.isnan(scores.decision) & scores.read).sum())
        if lost:
            raise DataProblem(
                f"{lost} readings have a score but no decision.",
                code="RDR-016",
                where="decision",
                why="Leaving them out would make the estimate depend on who forgot to decide.",
                action="Complete the column, or count undecided readings by the rule in the protocol.",
            )
        decision = np.where(scores.read, scores.decision, np.nan)
    elif threshold is not None:
        decision = np.where(scores.read, (scores.score >= threshold).astype(float), np.nan)
    else:
        raise DataProblem(
            f"{endpoint} needs the readers' decisions, and the table has no column 'decision'.",
            code="RDR-016",
            where="scores",
            why="Sensitivity and specificity rest on explicit clinical decisions, not on ratings.",
            action="Add a column decision (1 recall, 0 no recall), or give --threshold to derive it from the ratings.",
        )
    if endpoint == "sensitivity":
        return decision[:, :, scores.positive]
    return 1.0 - decision[:, :, ~scores.positive]


def share_moments(correct: Any, endpoint: str) -> tuple[Any, Any]:
    """Return sums of products of correct decisions and their numbers, laid out like those of pairs of cases.

    A share has one class of cases: sums that would need a common case of the other class are empty, and their weight is
    0.

    Parameters
    ----------
    correct
        ``(trial, Q, case)`` of 0, 1 (or scores) and NaN.
    endpoint
        ``specificity`` averages over negative cases; every other over what takes the place of the positive ones.
    """
    xp = array_namespace(correct)
    read = xp.astype(~xp.isnan(correct), xp.float64)
    hits = xp.where(read > 0, correct, xp.zeros_like(correct))
    number, total = xp.sum(read, axis=-1), xp.sum(hits, axis=-1)
    same = xp.matmul(hits, xp.matrix_transpose(hits))
    shared = xp.matmul(read, xp.matrix_transpose(read))
    none = xp.zeros_like(same)
    positive = endpoint != "specificity"
    order = [none, same, none] if positive else [none, none, same]
    counts = [none, shared, none] if positive else [none, none, shared]
    numerator = xp.stack([*order, total[:, :, None] * total[:, None, :]], axis=-1)
    return numerator, xp.stack([*counts, number[:, :, None] * number[:, None, :]], axis=-1)


def share(correct: Any) -> Any:
    """Return the share of correct decisions over the last axis, NaN where none was made."""
    xp = array_namespace(correct)
    read = ~xp.isnan(correct)
    number = xp.sum(xp.astype(read, xp.float64), axis=-1)
    total = xp.sum(xp.where(read, correct, xp.zeros_like(correct)), axis=-1)
    return xp.where(number > 0, total / xp.where(number > 0, number, xp.ones_like(number)), xp.nan)


def deleted_shares(correct: Array) -> Array:
    """Return the share after deleting each case of its class ``(trial, Q, n)``; other cases play no part."""
    read = ~np.isnan(correct)
    hits = np.where(read, correct, 0.0)
    number, total = read.sum(axis=-1, keepdims=True), hits.sum(axis=-1, keepdims=True)
    return np.asarray((total - hits) / (number - read), dtype=float)


def share_covariance(correct: Array) -> Array:
    """Return the sample covariance of shares of correct decisions, ``S / n``, for complete tables ``(trial, Q, n)``."""
    n = correct.shape[-1]
    centred = correct - correct.mean(axis=-1, keepdims=True)
    return np.asarray(centred @ np.swapaxes(centred, -1, -2) / ((n - 1) * n), dtype=float)


def empirical_roc(score: Array, positive: Bools) -> tuple[Array, Array]:
    """Return false-positive and true-positive fractions of every threshold, from (0, 0) to (1, 1); ties are one step.

    >>> empirical_roc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True]))
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    levels, place = np.unique(score, return_inverse=True)
    tp = np.bincount(place[positive], minlength=len(levels))[::-1].cumsum()
    fp = np.bincount(place[~positive], minlength=len(levels))[::-1].cumsum()
    return np.concatenate([[0.0], fp / fp[-1]]), np.concatenate([[0.0], tp / tp[-1]])


def sensitivity_at_specificity(specificity: float) -> Figure:
    """Return the figure: height of the empirical ROC curve, joined by straight lines, at a specificity.

    On a vertical step the upper end counts: the largest sensitivity reached without giving up specificity.
    """

    def figure(score: Array, positive: Bools) -> float:
        fp, tp = empirical_roc(score, positive)
        return height_of(fp, tp, 1 - specificity)

    return figure


def specificity_at_sensitivity(sensitivity: float) -> Figure:
    """Return the figure: specificity of the empirical ROC curve at a sensitivity, the larger on a horizontal step."""

    def figure(score: Array, positive: Bools) -> float:
        fp, tp = empirical_roc(score, positive)
        return height_of(1 - tp[::-1], 1 - fp[::-1], 1 - sensitivity)

    return figure


def partial_auc(over: Literal["specificity", "sensitivity"], low: float, high: float) -> Figure:
    """Return the figure: area under the empirical ROC curve over a band, divided by the width of the band.

    Over sensitivity it is the area to the right of the curve between the two heights: the mean specificity in that
    band.
    McClish 1989, doi:10.1177/0272989X8900900307; Jiang, Metz & Nishikawa 1996, doi:10.1148/radiology.201.3.8939225.
    """

    def figure(score: Array, positive: Bools) -> float:
        fp, tp = empirical_roc(score, positive)
        x, y = (fp, tp) if over == "specificity" else (1 - tp[::-1], 1 - fp[::-1])
        return mean_height_of(x, y, 1 - high, 1 - low)

    return figure


def expected_utility(slope: float) -> Figure:
    """Return the figure: greatest ``TPF - slope * FPF`` on the empirical ROC curve.

    ``slope`` is the odds of no disease times the ratio of the costs of a false and a missed alarm; 1 gives Youden's
    index. Abbey, Eckstein & Boone 2013, Medical Decision Making 33:510-520.
    """

    def figure(score: Array, positive: Bools) -> float:
        return expected_utility_of(*empirical_roc(score, positive), slope)

    return figure


def expected_utility_of(fp: Array, tp: Array, slope: float) -> float:
    """Return the greatest ``TPF - slope * FPF`` over the points of a curve."""
    return float(np.max(tp - slope * fp))


def mean_height_of(x: Array, y: Array, left: float, right: float) -> float:
    """Return the mean height of a rising polygon between ``left`` and ``right``."""
    inside = (x > left) & (x < right)
    grid = np.concatenate([[left], x[inside], [right]])
    height = np.concatenate([[height_of(x, y, left)], y[inside], [_lower_height(x, y, right)]])
    return float(np.trapezoid(height, grid) / (right - left))


def evaluate(figure: Figure, score: Array, positive: Bools) -> tuple[Array, Array]:
    """Return a figure of complete scores ``(Q, case)``: values ``(Q,)``, and after deleting each case ``(Q, case)``."""
    values = np.array([figure(row, positive) for row in score])
    n = len(positive)
    keep = ~np.eye(n, dtype=bool)
    deleted = np.array([[figure(row[k], positive[k]) for k in keep] for row in score])
    return values, deleted


def height_of(x: Array, y: Array, at: float) -> float:
    """Return the height of a rising polygon at ``at``, the upper end on a vertical step."""
    last = int(np.searchsorted(x, at + 1e-12, side="right")) - 1
    if last >= len(x) - 1 or abs(x[last] - at) <= 1e-12:
        return float(y[last])
    return float(y[last] + (y[last + 1] - y[last]) * (at - x[last]) / (x[last + 1] - x[last]))


def _lower_height(x: Array, y: Array, at: float) -> float:
    """Return the height at ``at``, the lower end on a vertical step."""
    first = int(np.searchsorted(x, at - 1e-12, side="left"))
    if first == 0 or abs(x[min(first, len(x) - 1)] - at) <= 1e-12:
        return float(y[min(first, len(x) - 1)])
    return float(y[first - 1] + (y[first] - y[first - 1]) * (at - x[first - 1]) / (x[first] - x[first - 1]))
