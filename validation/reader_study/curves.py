"""What a report shows beside the estimates: ROC curves with bands, and how much each reader weighs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.errors import DataProblem
from validation.reader_study.analysis import Analysis
from validation.reader_study.figures import empirical_roc
from validation.reader_study.scores import ReaderScores

Array = NDArray[np.float64]
POINTS = 101


def roc_curves(scores: ReaderScores, *, replicates: int = 500, seed: int = 1, level: float = 0.95) -> dict[str, Any]:
    """Return the empirical ROC curve of every reader and the average over readers, per modality.

    The average is vertical: mean sensitivity of the readers at each false-positive fraction (each reader's curve joined
    by straight lines). Its band is pointwise, from resampling readers and, within each class, cases; it is for looking
    at, not for testing.

    Returns
    -------
    dict
        Modality -> ``{"readers": {reader: {"fpf", "tpf"}}, "average": {"fpf", "tpf", "lower", "upper"}}``. Readers that
        read one class only are left out, and ``lower`` and ``upper`` are ``None`` with fewer than two readers.
    """
    grid = np.linspace(0, 1, POINTS)
    rng = np.random.default_rng(seed)
    R = len(scores.readers)
    classes = [np.flatnonzero(~scores.positive), np.flatnonzero(scores.positive)]
    found: dict[str, Any] = {}
    for m, modality in enumerate(scores.modalities):
        rows = {r: _curve(scores.score[r, m], scores.positive) for r in range(R)}
        kept = {r: row for r, row in rows.items() if row is not None}
        heights = [np.interp(grid, _rising(x), y) for x, y in kept.values()]
        if not heights:
            continue
        low = high = None
        if len(kept) > 1:
            members, drawn = list(kept), []
            for _ in range(replicates):
                cases = np.concatenate([rng.choice(c, len(c)) for c in classes])
                truth = scores.positive[cases]
                some = [_curve(scores.score[r, m, cases], truth) for r in rng.choice(members, len(members))]
                again = [np.interp(grid, _rising(c[0]), c[1]) for c in some if c is not None]
                if again:
                    drawn.append(np.mean(again, axis=0))
            low, high = (q.tolist() for q in np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0))
        found[modality] = {
            "readers": {scores.readers[r]: {"fpf": x.tolist(), "tpf": y.tolist()} for r, (x, y) in kept.items()},
            "average": {"fpf": grid.tolist(), "tpf": np.mean(heights, axis=0).tolist(), "lower": low, "upper": high},
        }
    return found


def leave_one_reader_out(
    result: Analysis, readers: tuple[str, ...], again: Callable[[list[str]], Analysis]
) -> list[dict[str, Any]]:
    """Return every difference as it would be without each reader.

    Parameters
    ----------
    result
        The analysis with all readers.
    again
        Returns the analysis of some of the readers.

    Notes
    -----
    ``changes_verdict`` says whether the conclusion rests on this reader. It is for looking at: a reader is never left
    out for being influential. With fewer than three readers nothing is returned.
    """
    if len(readers) < 3:
        return []
    full = {(row["a"], row["b"]): row["verdict"] for row in result.differences}
    rows = []
    for name in readers:
        try:
            without = again([r for r in readers if r != name])
        except DataProblem as problem:
            rows += [_unknown(name, a, b, problem.what) for a, b in full]
            continue
        for row in without.differences:
            verdict = row["verdict"]
            rows.append(
                {"left_out": name}
                | {key: row[key] for key in ("a", "b", "estimate", "lower", "upper", "verdict")}
                | {"changes_verdict": verdict != full.get((row["a"], row["b"])), "reason": ""}
            )
    return rows


def _unknown(name: str, a: str, b: str, reason: str) -> dict[str, Any]:
    empty = dict.fromkeys(("estimate", "lower", "upper"))
    return {"left_out": name, "a": a, "b": b, **empty, "verdict": "inconclusive", "changes_verdict": False} | {
        "reason": reason
    }


def _curve(score: Array, positive: NDArray[np.bool_]) -> tuple[Array, Array] | None:
    """Return the curve of the cases that were read, if both classes are among them."""
    read = ~np.isnan(score)
    if not (positive & read).any() or not (~positive & read).any():
        return None
    return empirical_roc(score[read], positive[read])


def _rising(x: Array) -> Array:
    """Return abscissae that rise strictly, so that interpolation takes the upper end of a vertical step at 0."""
    return x + np.arange(len(x)) * 1e-12
