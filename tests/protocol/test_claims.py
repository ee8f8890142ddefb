"""Each gap that a reviewer would find is found before the lock."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.protocol.test_load import GOOD, write
from validation.protocol.claims import catalogue, claim_facts, warnings
from validation.protocol.load import load_protocol
from validation.protocol.schema import ClaimType


def ids(tmp_path: Path, text: str) -> set[str]:
    return {w.id for w in warnings(load_protocol(write(tmp_path, text)))}


def test_catalogue_covers_every_claim_type() -> None:
    assert set(catalogue()["claims"]) == set(ClaimType.__args__)  # type: ignore[attr-defined]
    for name in catalogue()["claims"]:
        facts = claim_facts(name)
        assert facts["expects"]
        assert facts["hazards"]
        assert 0 <= facts["strength_level"] <= 4


def test_psnr_only_file_is_not_evidence_for_enhancement(tmp_path: Path) -> None:
    text = GOOD.replace("name: noise_magnitude, region: uniform", "name: psnr")
    found = warnings(load_protocol(write(tmp_path, text)))
    assert sum(w.id == "CLAIM-EVIDENCE" for w in found) == 3


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  subgroups: [sex]\n", "", "SUBGROUPS"),
        ("    hazards: [H-01]\n", "", "HAZARD-UNTESTED"),
        ("Reduces noise in", "Enables 50% dose reduction in", "WORDING"),
        ("Reduces noise in", "Same as full dose in", "WORDING"),
        (", unit: HU", "", "UNIT"),
        ("  pathways: [us_510k]", "  pathways: [us_510k]\n  model_family: diffusion", "SAMPLER"),
    ],
)
def test_gap_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert expected not in ids(tmp_path, GOOD)
    assert old in GOOD
    assert expected in ids(tmp_path, GOOD.replace(old, new, 1))


def test_good_answers_remove_the_warning(tmp_path: Path) -> None:
    assert {"RATIONALE", "SAMPLE-SIZE"} <= ids(tmp_path, GOOD)
    full = (
        GOOD
        + """\
    rationale: A reduction below this is not visible.
    sample_size: {planned_clusters: 40, power: 0.9, assumed_effect: -5, assumed_sd: 3, source: simulated pilot}
"""
    )
    assert not {"RATIONALE", "SAMPLE-SIZE"} & ids(tmp_path, full)


def test_every_metric_that_the_catalogue_expects_exists() -> None:
    from validation import metrics
    from validation.registry import all_metrics, all_summaries

    metrics.load()
    import_module("validation.statistics.summaries")  # registers them
    known = {m.name for m in all_metrics()}
    summaries = {s.name for s in all_summaries()}
    for name, facts in catalogue()["claims"].items():
        for expected in facts["expects"]:
            assert expected["metrics"], (name, expected["evidence"])
            named = {entry.partition("/")[0] for entry in expected["metrics"]}
            assert named <= known, (name, named - known)
            assert {entry.partition("/")[2] for entry in expected["metrics"]} - {""} <= summaries
