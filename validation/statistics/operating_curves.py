"""The curves behind summaries of scores and marks: ROC, calibration, free-response ROC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from validation.statistics.free_response import FreeResponse
from validation.statistics.proportions import proportion
from validation.statistics.sample import Floats, Sample

MOST_POINTS = 201


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve, with a pointwise interval where there is one."""

    x: float
    value: float
    lower: float | None = None
    upper: float | None = None


def roc_curve(values: Floats, labels: Floats) -> list[Point]:
    """Return sensitivity against 1 - specificity at every threshold, from none called to all called.

    >>> [(p.x, p.value) for p in roc_curve(np.array([0.1, 0.9, 0.4]), np.array([0.0, 1.0, 0.0]))]
    [(0.0, 0.0), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0)]
    """
    keep = ~(np.isnan(values) | np.isnan(labels))
    values, labels = values[keep], labels[keep]
    positives = int((labels == 1).sum())
    if positives in (0, len(labels)):
        return []
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    true = np.cumsum(labels[order])[ends] / positives
    false = np.cumsum(1 - labels[order])[ends] / (len(labels) - positives)
    return _thinned(np.append(0.0, false), np.append(0.0, true))


def calibration_curve(sample: Sample, *, bins: int, level: float) -> list[Point]:
    """Return the observed share against the mean prediction in bins of equally many cases, with Wilson intervals."""
    if sample.labels is None:
        return []
    keep = ~(np.isnan(sample.values) | np.isnan(sample.labels))
    part = sample.subset(keep)
    if part.n < bins or part.labels is None:
        return []
    points = []
    for rows in np.array_split(np.argsort(part.values, kind="stable"), bins):
        share = proportion(part.labels[rows], clusters=part.clusters[rows], level=level)
        if share.value is not None:
            points.append(Point(float(part.values[rows].mean()), share.value, share.lower, share.upper))
    return points


def froc_curve(data: FreeResponse) -> list[Point]:
    """Return the share of lesions found against false marks per image, at every threshold that occurs."""
    images, lesions = float(data.images.sum()), len(data.lesion_score)
    if not lesions or not images:
        return []
    scores = np.concatenate([data.false_score, data.lesion_score[np.isfinite(data.lesion_score)]])
    thresholds = np.unique(scores)[::-1]
    found = np.sort(data.lesion_score)
    wrong = np.sort(data.false_score)
    true = (lesions - np.searchsorted(found, thresholds, side="left")) / lesions
    false = (len(wrong) - np.searchsorted(wrong, thresholds, side="left")) / images
    return _thinned(np.append(0.0, false), np.append(0.0, true))


def _thinned(x: Floats, y: Floats) -> list[Point]:
    """Return at most :data:`MOST_POINTS` points, the first and the last among them."""
    if len(x) > MOST_POINTS:
        rows = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int))
        x, y = x[rows], y[rows]
    return [Point(float(a), float(b)) for a, b in zip(x, y, strict=True)]
