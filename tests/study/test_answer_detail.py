"""Curves beside endpoints on scores and marks count what they are drawn from, in the unit that is analysed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from validation.dossier.catalogue import catalogue
from validation.dossier.printing import Printing
from validation.dossier.record import Record
from validation.protocol.endpoint_schema import Endpoint
from validation.statistics.sample import Sample
from validation.study.answer_detail import answer_detail
from validation.study.endpoints import units


def _endpoint(summary: str, **parameters: Any) -> Endpoint:
    content = {
        "id": "E1",
        "role": "primary",
        "title": "An endpoint",
        "metric": {"name": "score", "of": "x"},
        "summary": summary,
        "summary_parameters": {"label": "truth", **parameters},
        "hypothesis": {"type": "performance_goal", "margin": 0.5},
    }
    return Endpoint.model_validate(content)


def _sample() -> Sample:
    values = [0.9, 0.2, 0.7, 0.1, 0.6, 0.3, np.nan, 0.8]
    labels = [1, 0, 1, 0, 0, 0, 1, np.nan]
    return Sample(values=values, labels=labels, clusters=list("aabbccdd"))


def test_a_curve_counts_every_case_with_truth_and_answer_not_those_of_its_estimate() -> None:
    endpoint = _endpoint("sensitivity", threshold=0.5)
    found = answer_detail(endpoint, units(endpoint, _sample()), 0.95)
    assert found["curve_counts"] == {"n": 6, "n_clusters": 3}
    assert (found["curves"]["output"][-1]["x"], found["curves"]["output"][-1]["value"]) == (1.0, 1.0)


def test_an_endpoint_by_patient_has_the_curve_of_patients() -> None:
    by_patient = _endpoint("sensitivity", threshold=0.5, per="patient")
    found = answer_detail(by_patient, units(by_patient, _sample()), 0.95)
    assert found["curve_counts"] == {"n": 3, "n_clusters": 3}
    assert found["curves"]["output"][1] == {"x": 0.0, "value": 0.5, "lower": None, "upper": None}  # a above b and c


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [0, 0, 0, 0], [np.nan] * 4])
def test_one_class_only_has_no_curve(labels: list[float]) -> None:
    endpoint = _endpoint("auc")
    assert answer_detail(endpoint, Sample(values=[1, 2, 3, 4], labels=labels, clusters=list("abcd")), 0.95) == {}


def test_what_an_earlier_endpoint_shows_is_pointed_to() -> None:
    curve = {"output": [{"x": 0.0, "value": 0.0}]}
    endpoints = {
        "E1": {"metric_key": "score(of=x)", "curves": curve},
        "E2": {"metric_key": "score(of=y)", "curves": curve},
        "E3": {"metric_key": "score(of=x)", "curves": dict(curve)},
        "E4": {"metric_key": "score(of=x)", "curves": {"output": []}},
    }
    printing = Printing(Record({"": {"endpoints": endpoints}}), catalogue(), {})
    assert [printing.same_as(name, "curves") for name in endpoints] == ["", "", "E1", ""]
