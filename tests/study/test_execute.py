"""From the lock to the record on a small study: what is refused, what is recorded, what is the same every time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.study.small_study import edit, write_study
from validation.cli.main import main
from validation.errors import DataProblem, IntegrityProblem, ProtocolProblem, RunProblem, ValidationProblem
from validation.study.execute import begin, carry_on
from validation.study.prepare import amend_study, lock_study, read_ledger, record_deviation, seal_study, state
from validation.study.reproduce import reproduce
from validation.study.spec import load_study


def prepare(folder: Path) -> Path:
    study = load_study(folder)
    lock_study(study, signer="tester")
    seal_study(study, signer="tester")
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return prepare(write_study(tmp_path / "squares"))


def run_study(folder: Path, **options: object) -> Path:
    loaded = load_study(folder)
    run = begin(loaded, purpose="test", actor="tester", **options)  # type: ignore[arg-type]
    carry_on(loaded, run, actor="tester", quiet=True)
    return run


def results_of(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "results.json").read_bytes())
    return found


def test_record_holds_what_was_found(study: Path) -> None:
    run = run_study(study)
    results = results_of(run)
    assert results["proposal"]["outcome"] == "pass"  # type: ignore[index]
    assert results["cohort"]["n_listed"] == 29  # type: ignore[index]
    assert results["cohort"]["n_excluded"] == 1  # type: ignore[index]
    assert results["cohort"]["n_clusters"] == 14  # type: ignore[index]
    assert results["independence"]["patient_id"]["outcome"] == "pass"  # type: ignore[index]
    assert reproduce(run) == []
    assert (run / "images" / "index.json").exists()
    ledger = read_ledger(load_study(study))
    assert [e.action for e in ledger] == ["protocol-locked", "cohort-sealed", "cohort-opened"]
    cases = pd.read_parquet(run / "cases.parquet")
    assert list(cases.columns) == ["case_id", "cluster", "status", "reason", "sex"]
    everything = b"".join(p.read_bytes() for p in run.rglob("*") if p.is_file())
    assert b"patient-3" not in everything  # identifiers stay in the study folder


def test_two_runs_give_the_same_results_bytes(study: Path) -> None:
    one, two = run_study(study), run_study(study)
    assert one.name != two.name
    assert (one / "results.json").read_bytes() == (two / "results.json").read_bytes()
    assert (one / "cases.parquet").read_bytes() == (two / "cases.parquet").read_bytes()
    assert state(load_study(study)).openings == 2


def test_interrupted_run_is_resumed_to_the_same_bytes(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_study(study)
    loaded = load_study(study)
    run = begin(loaded, purpose="test", actor="tester")

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for target in ("run_measurements", "judge_run", "write_results"):
        with monkeypatch.context() as patch:
            patch.setattr(f"validation.study.execute.{target}", stop)
            with pytest.raises(KeyboardInterrupt):
                carry_on(loaded, run, actor="tester", quiet=True)
        assert not (run / "results.json").exists()
    carry_on(loaded, run, actor="tester", quiet=True)
    assert (run / "results.json").read_bytes() == (whole / "results.json").read_bytes()
    with pytest.raises(RunProblem, match="finished"):
        carry_on(loaded, run, actor="tester", quiet=True)


def test_edited_protocol_is_refused_until_amended(study: Path) -> None:
    edit(study / "protocol.yaml", "margin: -5.0", "margin: -4.0")
    with pytest.raises(ProtocolProblem, match=r"endpoints\[E1\].hypothesis.margin: -5 -> -4"):
        run_study(study)
    assert state(load_study(study)).openings == 0  # refused before the data were opened
    edit(study / "protocol.yaml", "version: 1.0.0", "version: 1.1.0")
    record = amend_study(load_study(study), signer="tester", reason="margin revised after the pilot")
    assert record.amendments[0].openings_before == 0
    assert results_of(run_study(study))["protocol"]["amendments"] == 1  # type: ignore[index]


def test_replaced_lock_does_not_fit_the_ledger(study: Path) -> None:
    edit(study / "protocol.yaml", "margin: -5.0", "margin: -1.0")
    (study / "protocol.lock.yaml").unlink()
    other = shutil.copytree(study, study.parent / "other")
    (other / "ledger.jsonl").unlink()
    lock_study(load_study(other), signer="tester")
    shutil.copy(other / "protocol.lock.yaml", study / "protocol.lock.yaml")
    with pytest.raises(IntegrityProblem, match="ledger"):
        run_study(study)


def test_unlocked_and_unsealed_run_only_as_drafts(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "squares")
    with pytest.raises(ProtocolProblem, match="not locked"):
        run_study(folder)
    lock_study(load_study(folder), signer="tester")
    with pytest.raises(ValidationProblem, match="not sealed"):
        run_study(folder)
    run = run_study(folder, draft=True, limit=12)
    reasons = json.loads((run / "run.json").read_bytes())["draft_reasons"]
    assert any("not sealed" in r for r in reasons)
    assert any("first 12" in r for r in reasons)
    outcome = results_of(run)["endpoints"]["E1"]["verdict"]  # type: ignore[index]
    assert outcome["outcome"] == "inconclusive"  # six patients; the protocol asks for ten


def test_changed_image_is_found_before_anything_is_measured(study: Path) -> None:
    np.save(study / "data" / "c004.in.npy", np.zeros((24, 24), "float32"))
    with pytest.raises(IntegrityProblem, match=r"c004\.in\.npy"):
        run_study(study)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("data/cases.csv", "case_id,patient_id", "case_id,person", "patient_id"),
        ("data/cases.csv", "c003,patient-1", "c002,patient-1", "more than once"),
        ("data/cases.csv", "c003.ref.npy", "gone.npy", "gone.npy"),
        ("data/cases.csv", "c003.ref.npy", "../../protocol.yaml", "below the cohort folder"),
        ("protocol.yaml", "expect_column_values_to_be_in_set", "expect_column_values_to_be_in_sett", "no expectation"),
        ("protocol.yaml", "margin: -5.0", "margin: 5.0", "worse model superior"),
        ("protocol.yaml", "name: rmse", "name: rmsee", "rmse"),
    ],
)
def test_bad_input_ends_in_one_sentence(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    folder = write_study(tmp_path / "squares")
    edit(folder / file, old, new)
    with pytest.raises(ValidationProblem, match=words) as caught:
        run_study(prepare(folder))
    assert caught.value.exit_code in (2, 3)
    assert caught.value.action or caught.value.why
    assert "patient-" not in str(caught.value)


def test_data_quality_stop_ends_the_run_and_is_recorded(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "squares")
    edit(folder / "data" / "cases.csv", "c005,patient-2,F", "c005,patient-2,Q")
    prepare(folder)
    loaded = load_study(folder)
    run = begin(loaded, purpose="test", actor="tester")
    with pytest.raises(DataProblem, match="DQ-1"):
        carry_on(loaded, run, actor="tester", quiet=True)
    assert json.loads((run / "checks" / "data_quality.json").read_bytes())["DQ-1"]["outcome"] == "fail"
    assert b"data-refused" in (run / "events.jsonl").read_bytes()


def test_unknown_expectation_is_refused_before_the_data_are_opened(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "squares")
    edit(folder / "protocol.yaml", "be_in_set", "be_in_sets")
    with pytest.raises(ProtocolProblem, match="no expectation") as caught:
        lock_study(load_study(folder), signer="tester")
    assert "be_in_set" in caught.value.action
    assert not (folder / "protocol.lock.yaml").exists()


def test_shared_patients_show_in_the_record(study: Path) -> None:
    (study / "training.csv").write_text("patient_id\npatient-1\n")
    assert results_of(run_study(study))["independence"]["patient_id"]["n_shared"] == 1  # type: ignore[index]


def test_command_line_from_init_of_keys_to_verified_record(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        return int(ended.value.code or 0)

    assert call("keygen", "tester", "--out", str(tmp_path / "keys")) == 0
    code = call("run", str(study), "--device", "cpu", "--key", str(tmp_path / "keys" / "tester.pem"))
    assert code == 0, capsys.readouterr().err
    run = next((study / "runs").iterdir())
    assert "proposal: pass" in capsys.readouterr().out
    assert list((run / "dossier").rglob("*.pdf"))
    assert call("verify", str(run), "--trust", str(tmp_path / "keys")) == 0
    assert call("judge", str(run)) == 0
    assert call("status", str(run)) == 0
    assert call("resume", str(run)) == 3
    capsys.readouterr()
    path = run / "measurements" / "part-00000.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert call("verify", str(run), "--trust", str(tmp_path / "keys")) == 4
    assert "measurements/part-00000.parquet" in capsys.readouterr().out


def test_deviation_is_in_the_ledger_of_every_later_run(study: Path) -> None:
    record_deviation(
        load_study(study),
        actor="tester",
        what="one scan was repeated",
        reason="motion",
        severity="minor",
        impact="none",
    )
    run = run_study(study)
    copied = (run / "ledger.jsonl").read_bytes()
    assert b"one scan was repeated" in copied
    assert b"cohort-opened" in copied
