"""What stands behind verdicts on scores, marks, findings and readers: curves, predictive values, failure atlas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from validation.estimate import Estimate
from validation.protocol.endpoint_schema import Endpoint
from validation.statistics import operating_curves
from validation.statistics.equivalence_index import MODEL
from validation.statistics.free_response import free_response_of, rated_cases
from validation.statistics.sample import Floats, Sample

WORST = 5
_DISCRIMINATION = ("auc", "auc_difference", "sensitivity", "specificity")
_CALIBRATION = ("calibration_slope", "calibration_intercept", "calibration_error", "brier_score")
_FREE_RESPONSE = ("froc_sensitivity", "wafroc")
AXES = {
    "roc": {"x": "1 − specificity", "y": "Sensitivity"},
    "calibration": {"x": "Mean predicted probability", "y": "Observed share"},
    "froc": {"x": "False marks per case", "y": "Share of lesions found"},
}


def answer_detail(endpoint: Endpoint, sample: Sample, level: float) -> dict[str, Any]:
    """Return the curves that an endpoint on answers other than images adds to its section, and what they count.

    ``sample`` holds one row per unit that the endpoint analyses. A curve counts every unit with a truth and an answer,
    which may be more than its estimate does: a sensitivity has positive cases only, its ROC curve all of them.
    """
    name = endpoint.summary
    found: dict[str, Any] = {}
    if name in _DISCRIMINATION and sample.labels is not None:
        arms = {"output": sample.values, endpoint.comparator: sample.comparator}
        curves = {
            arm: operating_curves.roc_curve(values, sample.labels) for arm, values in arms.items() if values is not None
        }
        found = _curves("roc", curves, _known(sample))
    elif name in _CALIBRATION:
        bins = int(endpoint.summary_parameters.get("bins", 10))
        points = operating_curves.calibration_curve(sample, bins=bins, level=level)
        found = _curves("calibration", {"output": points}, _known(sample))
    elif name in _FREE_RESPONSE:
        points = operating_curves.froc_curve(free_response_of(rated_cases(sample)))
        found = _curves("froc", {"output": points}, sample.subset(np.isfinite(_column(sample, "lesions"))))
    return found


def predictive_values(
    endpoint: Endpoint, estimator: Callable[..., Estimate], sample: Sample, level: float
) -> list[dict[str, Any]]:
    """Return both predictive values at every prevalence that the endpoint lists, in rising order."""
    listed = endpoint.summary_parameters.get("prevalences", [])
    if endpoint.summary not in ("ppv", "npv") or not listed:
        return []
    return [
        {"prevalence": prevalence}
        | {name: estimator(name, sample, level, prevalence).to_dict() for name in ("ppv", "npv")}
        for prevalence in sorted({float(p) for p in listed})
    ]


def failures(endpoint: Endpoint, sample: Sample, case_ids: list[str]) -> list[dict[str, Any]] | None:
    """Return the failure atlas of an endpoint, worst first, or ``None`` where its worst cases are those of its values.

    With the truth of each case: positive cases with the lowest scores and negative cases with the highest (below and
    above the threshold, where one is set). Of marks: cases with most missed lesions, then those with the highest false
    marks. Of counts: cases with most events. Of readers: cases whose proposal is farthest from the readers.
    """
    if sample.labels is not None and sample.components is None:
        return _by_truth(endpoint, sample, case_ids)
    if sample.components is None:
        return None
    names = sample.component_names
    columns = dict(zip(names, sample.components.T, strict=True))
    if endpoint.summary in _FREE_RESPONSE:
        return _by_marks(sample, case_ids)
    if endpoint.summary == "component_share":
        events = columns.get(endpoint.summary_parameters["events"])
        whole = columns.get(endpoint.summary_parameters["of"])
        if events is None or whole is None:
            return None
        badness = whole - events if endpoint.hypothesis.better == "higher" else events
        what = "without" if endpoint.hypothesis.better == "higher" else "with"
        return _listed(badness, badness, case_ids, f"{what} {endpoint.summary_parameters['events']}", positive=True)
    if all("~" in name for name in names):
        own = [k for k, name in enumerate(names) if MODEL in name.split("~")]
        part = sample.components[:, own]
        count = np.isfinite(part).sum(1)
        gap = np.where(count > 0, np.nansum(part, axis=1) / np.maximum(count, 1), np.nan)
        return _listed(gap, gap, case_ids, "mean disagreement with readers")
    return None


def _by_truth(endpoint: Endpoint, sample: Sample, case_ids: list[str]) -> list[dict[str, Any]]:
    threshold = endpoint.summary_parameters.get("threshold")
    labels = sample.labels if sample.labels is not None else np.full(sample.n, np.nan)
    high = str(endpoint.summary_parameters.get("comparison", ">=")).startswith(">")
    called = sample.values if high else -sample.values
    limit = None if threshold is None else float(threshold) * (1 if high else -1)
    rows: list[dict[str, Any]] = []
    sides = [("positive", 1.0, -called), ("negative", 0.0, called)]
    if endpoint.summary.startswith("sensitivity"):
        sides = sides[:1]
    elif endpoint.summary.startswith("specificity"):
        sides = sides[1:]
    for truth, label, badness in sides:
        wrong = labels == label
        if limit is not None:
            wrong &= (called < limit) if truth == "positive" else (called >= limit)
        other = "negative" if truth == "positive" else "positive"
        what = f"false {other}" if limit is not None else f"{truth}, scored most like a {other}"
        rows += _listed(np.where(wrong, badness, np.nan), sample.values, case_ids, what)
    return rows


def _by_marks(sample: Sample, case_ids: list[str]) -> list[dict[str, Any]]:
    usable = [i for i, lesions in enumerate(_column(sample, "lesions")) if np.isfinite(lesions)]
    cases = rated_cases(sample)
    ids = [case_ids[i] for i in usable]
    missed = cases.lesions - np.isfinite(cases.ratings).sum(1)
    highest = np.where(np.isnan(cases.false), -np.inf, cases.false).max(axis=1, initial=-np.inf)
    return [
        *_listed(missed, missed, ids, "lesions without a mark", positive=True),
        *_listed(np.where(np.isfinite(highest), highest, np.nan), highest, ids, "rating of the highest false mark"),
    ]


def _column(sample: Sample, name: str) -> Floats:
    assert sample.components is not None  # noqa: S101 - the caller has components
    return np.asarray(sample.components[:, sample.component_names.index(name)])


def _listed(
    badness: Floats, shown: Floats, case_ids: list[str], what: str, *, positive: bool = False
) -> list[dict[str, Any]]:
    """Return the worst cases by a badness that is NaN where a case does not count; ties in order of case id."""
    score = np.where(np.isfinite(badness), badness, -np.inf)
    if positive:
        score = np.where(score > 0, score, -np.inf)
    order = [i for i in np.argsort(-score, kind="stable") if np.isfinite(score[i])][:WORST]
    return [{"case_id": case_ids[i], "value": float(shown[i]), "comparator": None, "what": what} for i in order]


def _known(sample: Sample) -> Sample:
    """Return the units with a truth and an answer."""
    truth = np.full(sample.n, np.nan) if sample.labels is None else sample.labels
    return sample.subset(~(np.isnan(sample.values) | np.isnan(truth)))


def _curves(kind: str, curves: dict[str, list[operating_curves.Point]], drawn: Sample) -> dict[str, Any]:
    filled = {arm: [asdict(point) for point in points] for arm, points in curves.items() if points}
    if not filled:
        return {}
    counts = {"n": drawn.n, "n_clusters": drawn.n_clusters}
    return {"curves": filled, "curve_axes": AXES[kind], "curve_kind": kind, "curve_counts": counts}
