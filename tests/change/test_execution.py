"""A retrained model under the change protocol: inside, or stopped with the clause that it breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.change.changing_study import write_model
from tests.change.conftest import Signed
from validation.change.candidate import read_candidate
from validation.change.execution import execute
from validation.change.revalidation import Request
from validation.errors import UsageProblem
from validation.study.prepare import state


def run_candidate(signed: Signed, tmp_path: Path, *, offset: float, patients: int, modification: str = "M1") -> dict:
    write_model(tmp_path / "new.ts", offset)
    (tmp_path / "training.csv").write_text("patient_id\n" + "".join(f"t{i}\nt{i}\n" for i in range(patients)))
    file = tmp_path / "candidate.yaml"
    file.write_text("model: {version: 1.1.0, path: new.ts}\ntraining_manifest: training.csv\n")
    candidate = read_candidate(file, signed.study)
    request = Request(
        changes=(), baseline=signed.baseline, actor="T", device="cpu", model=candidate.model, facts=candidate.facts,
        training_manifest=candidate.training_manifest,
    )  # fmt: skip
    _, record = execute(signed.study, modification, request)
    return record


def broken(record: dict) -> set[str]:
    return {c["id"] for c in record["modification"]["clauses"] if not c["met"]}


def test_a_candidate_inside_the_bounds_passes(signed: Signed, tmp_path: Path) -> None:
    record = run_candidate(signed, tmp_path, offset=0.5, patients=4)
    assert record["result"] == "within", record["modification"]["broken"]
    assert record["proposal"] | {"reasons": 0} == record["proposal"] | {
        "reasons": 0,
        "use": "continue",
        "route": "within_change_protocol",
    }
    # paired on the same cases: an offset of 0.5 HU is found exactly, against the original
    assert record["differences"]["E2"]["paired"]
    assert record["differences"]["E2"]["estimate"]["value"] == pytest.approx(0.5, abs=1e-4)
    assert record["run"]["model"]["version"] == "1.1.0"
    assert record["run"]["model"]["sha256"] != record["baseline"]["model"]["sha256"]
    assert record["run"]["cohort"]["manifest_sha256"]
    assert state(signed.study).openings == 2  # the sealed holdout was opened again, and the ledger says so


def test_a_biased_candidate_is_stopped_with_the_clauses(signed: Signed, tmp_path: Path) -> None:
    record = run_candidate(signed, tmp_path, offset=6.0, patients=4)
    assert record["result"] == "outside"
    assert broken(record) == {"M1.bounds.E2.estimate.upper", "M1.endpoints.E2", "M1.endpoints.E2.original"}
    assert record["proposal"]["use"] == "hold"
    assert all("E2" in text for text in record["modification"]["broken"])
    answers = {row["id"]: row["answer"] for row in record["assessments"]["us_change"]["rows"]}
    assert answers["bounds"] == answers["method"] == "no"
    assert answers["planned"] == "yes"
    assert answers["risk"] == "for a person"


def test_too_few_training_patients_break_their_bound(signed: Signed, tmp_path: Path) -> None:
    record = run_candidate(signed, tmp_path, offset=0.0, patients=2)
    assert broken(record) == {"M1.bounds.training_patients"}
    assert "Found: 2" in record["modification"]["broken"][0]


def test_an_unstated_quantity_breaks_its_bound(signed: Signed, tmp_path: Path) -> None:
    model = write_model(tmp_path / "bare.ts", 0.0)
    candidate = read_candidate(model, signed.study)
    request = Request(changes=(), baseline=signed.baseline, actor="T", device="cpu", model=candidate.model)
    _, record = execute(signed.study, "M1", request)
    assert broken(record) == {"M1.bounds.training_patients"}
    assert "not stated" in record["modification"]["broken"][0]


def test_an_unknown_modification_and_a_missing_model(signed: Signed, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem) as caught:
        run_candidate(signed, tmp_path, offset=0.0, patients=4, modification="M9")
    assert caught.value.code == "CHG-011"
    assert state(signed.study).openings == 1  # refused before the data were opened
    (tmp_path / "candidate.yaml").write_text("model: {path: nowhere.ts}\n")
    with pytest.raises(UsageProblem) as caught:
        read_candidate(tmp_path / "candidate.yaml", signed.study)
    assert caught.value.code == "CHG-007"
