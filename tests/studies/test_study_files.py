"""Shipped studies: their files fit together and say what they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

import validation.metrics
import validation.statistics.summaries  # registers the summaries
from validation.protocol.load import load_protocol, load_yaml_model
from validation.study.endpoints import check_endpoint
from validation.study.plan import make_plan
from validation.study.spec import StudySpec

STUDIES = Path(__file__).resolve().parents[2] / "studies"
NAMES = ("low-dose-ct", "ct-head-two-vendor", "ct-catphan", "ct-l506", "super-resolution", "synthetic-ct", "t1-to-t2")


@pytest.mark.parametrize("name", NAMES)
def test_protocol_can_be_measured_and_judged(name: str) -> None:
    validation.metrics.load()
    spec = load_yaml_model(STUDIES / name / "study.yaml", StudySpec)
    protocol = load_protocol(STUDIES / name / spec.protocol)
    assert make_plan(protocol).tasks
    for endpoint in protocol.endpoints:
        check_endpoint(endpoint)
        if endpoint.confirmatory:
            assert endpoint.rationale
            assert endpoint.sample_size is not None
    assert spec.notice


@pytest.mark.parametrize("name", NAMES)
def test_model_is_the_one_named(name: str) -> None:
    spec = load_yaml_model(STUDIES / name / "study.yaml", StudySpec)
    assert spec.model.path is not None
    path = STUDIES / name / spec.model.path
    assert hashlib.sha256(path.read_bytes()).hexdigest() == spec.model.sha256
    assert path.stat().st_size < 2_000_000


def test_simulated_study_says_so_on_every_page() -> None:
    spec = load_yaml_model(STUDIES / "low-dose-ct" / "study.yaml", StudySpec)
    assert "SIMULATED" in spec.notice


@pytest.mark.filterwarnings("ignore:`torch.jit.load`:DeprecationWarning")
def test_model_takes_other_sizes_and_leaves_a_flat_image_alone() -> None:
    model = torch.jit.load(str(STUDIES / "low-dose-ct" / "model" / "denoiser.ts"))
    with torch.no_grad():
        answer = model(torch.full((2, 1, 128, 160), 40.0))
    assert answer.shape == (2, 1, 128, 160)
    assert float((answer[..., 32:-32, 32:-32] - 40).abs().mean()) < 5
