"""Differences between runs and between protocols, by group."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.evidence.conftest import make_results, make_run
from validation.errors import IntegrityProblem, ProtocolProblem
from validation.evidence.compare import compare_protocols, compare_runs
from validation.evidence.results import write_results


def test_a_run_does_not_differ_from_itself(run: Path) -> None:
    assert compare_runs(run, run).same


def test_differences_are_grouped(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two")
    (two / "environment.json").write_text('{"python": "3.12"}\n')
    results = make_results("two")
    results["endpoints"]["E1"]["estimate"]["upper"] = 0.5
    results["endpoints"]["E1"]["verdict"]["outcome"] = "inconclusive"
    results["endpoints"]["E1"]["hypothesis"] = {"margin": 1.0}
    results["endpoints"]["E2"] = {"estimate": None, "verdict": None}
    results["cohort"]["n_analysed"] = 2
    results["proposal"] = {"outcome": "inconclusive", "reason": "E1"}
    write_results(two, results)
    found = compare_runs(one, two)
    assert not found.same
    assert [str(c) for c in found.environment] == ['python: "3.11" -> "3.12"']
    assert [str(c) for c in found.cohort] == ["n_analysed: 3 -> 2"]
    assert found.protocol == []
    first, second = found.endpoints
    assert (first.outcome_before, first.outcome_after) == ("pass", "inconclusive")
    assert [c.path for c in first.definition] == ["hypothesis"]
    assert first.before is not None
    assert first.after is not None
    assert (first.before["upper"], first.after["upper"]) == (-2.0, 0.5)
    assert (second.id, second.before) == ("E2", None)
    assert found.n_numbers_differ == 3  # upper, margin, n_analysed
    assert {c.path for c in found.proposal} == {"proposal.outcome", "proposal.reason"}


def test_results_that_were_edited_are_not_compared(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two")
    (two / "results.json").write_text("{}\n")
    with pytest.raises(IntegrityProblem):
        compare_runs(one, two)


@pytest.fixture
def protocol() -> Path:
    path = Path(__file__).resolve().parents[2] / "protocols" / "low-dose-ct-denoising.yaml"
    if not path.is_file():
        pytest.skip("no shipped protocol")
    return path


def test_protocols_and_locks_are_compared_by_field(protocol: Path, tmp_path: Path) -> None:
    from validation.protocol.load import load_protocol
    from validation.protocol.lock import lock

    data = yaml.safe_load(protocol.read_text())
    data["version"] = "9.0.0"
    edited = tmp_path / "edited.yaml"
    edited.write_text(yaml.safe_dump(data))
    assert [c.path for c in compare_protocols(protocol, edited).protocol] == ["version"]
    lock(load_protocol(protocol), tmp_path / "p.lock.yaml", signer="A. Person")
    assert compare_protocols(protocol, tmp_path / "p.lock.yaml").same
    assert [c.path for c in compare_protocols(tmp_path / "p.lock.yaml", edited).protocol] == ["version"]


def test_what_is_not_a_protocol_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\n")
    with pytest.raises(ProtocolProblem):
        compare_protocols(tmp_path / "x.yaml", tmp_path / "x.yaml")
