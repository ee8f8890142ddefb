"""Monitoring: signals when there is something, silence when there is not, and a log that cannot be changed unseen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.change.changing_study import write_cohort
from tests.change.conftest import Signed
from validation.change.monitoring import Period, ingest, log_path, sign_period, verify_log
from validation.errors import DataProblem, IntegrityProblem, UsageProblem
from validation.evidence.keys import load_signer


def table(path: Path, mean: float, *, n: int = 45, seed: int = 1, age: float = 60.0, sd: float = 0.6) -> Path:
    rng = np.random.default_rng(seed)
    rows = [f"{path.stem}-{i},{mean + rng.normal(0, sd):.4f},{age + i % 20:.0f}" for i in range(n)]
    path.write_text("patient_id,E1,age\n" + "\n".join(rows) + "\n")
    return path


def feed(signed: Signed, data: Path, *, first: bool = False, sign: bool = True) -> dict:
    baseline = signed.baseline if first else None
    folder, record = ingest(
        signed.study, Period(label=data.stem, data=data, actor="T", baseline=baseline, device="cpu")
    )
    sign_period(folder, record, load_signer(signed.key) if sign else None)
    return record


def target(signed: Signed, tmp_path: Path) -> float:
    from validation.change.baseline import read_verified
    from validation.change.indicators import design

    run = read_verified(signed.baseline)
    return float(design(run.protocol.monitoring.indicators[0], run.protocol, run)["target"])


def test_quiet_periods_then_a_shift(signed: Signed, tmp_path: Path) -> None:
    usual = target(signed, tmp_path)
    first = feed(signed, table(tmp_path / "p1.csv", usual, sd=0.2), first=True)
    assert first["status"] == "no signal", first["reasons"]
    second = feed(signed, table(tmp_path / "p2.csv", usual + 2.0, seed=2))
    assert second["status"] == "signal"
    cusum = second["indicators"]["MON-1"]
    assert cusum["new_signal"]
    assert cusum["first_signal"] > 45  # in the second period, not in the first
    assert cusum["state"] == "within"  # the chart is faster than the threshold
    assert second["periods"][0]["label"] == "p1"
    third = feed(signed, table(tmp_path / "p3.csv", -7.0, seed=3))
    assert third["indicators"]["MON-1"]["state"] == "beyond"
    assert not third["indicators"]["MON-1"]["new_signal"]  # it had signalled before
    assert third["status"] == "signal"
    assert [e.details.get("period") for e in verify_log(signed.study)][1:] == ["p1", "p2", "p3"]


def test_single_values_and_too_few_cases(signed: Signed, tmp_path: Path) -> None:
    usual = target(signed, tmp_path)
    old = feed(signed, table(tmp_path / "old.csv", usual, sd=0.2, age=70), first=True)
    assert old["indicators"]["MON-3"]["signal"]  # ages above 85
    few = feed(signed, table(tmp_path / "few.csv", usual, sd=0.2, n=5))
    assert few["status"] == "inconclusive"
    assert "Too few" in " ".join(few["reasons"])


def test_a_cohort_is_run_and_measured(signed: Signed, tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "q1", seed=21, prefix="q", patients=20)
    record = feed(signed, cohort, first=True)
    assert record["indicators"]["MON-1"]["n_patients"] == 20
    assert record["indicators"]["MON-1"]["n_cases"] == 40
    assert record["status"] == "no signal", record["reasons"]


def test_a_changed_log_or_period_stops(signed: Signed, tmp_path: Path) -> None:
    usual = target(signed, tmp_path)
    feed(signed, table(tmp_path / "p1.csv", usual), first=True)
    record = signed.folder / "monitoring" / "p1" / "record.json"
    kept = record.read_bytes()
    record.write_bytes(kept.replace(b'"no signal"', b'"no  signal"').replace(b"p1", b"p9"))
    with pytest.raises(IntegrityProblem) as caught:
        verify_log(signed.study)
    assert caught.value.code == "CHG-022"
    record.write_bytes(kept)
    verify_log(signed.study)
    log = log_path(signed.study)
    log.write_bytes(log.read_bytes().replace(b'"cases":45', b'"cases":46', 1))
    with pytest.raises(IntegrityProblem) as caught:
        feed(signed, table(tmp_path / "p2.csv", usual))
    assert caught.value.code in ("EVD-010", "CHG-022")


def test_what_is_refused(signed: Signed, tmp_path: Path) -> None:
    data = table(tmp_path / "p1.csv", -13.0)

    def code(problem: type[Exception], **fields: object) -> str:
        period = Period(**({"label": "p1", "data": data, "actor": "T", "baseline": signed.baseline} | fields))
        with pytest.raises(problem) as caught:
            ingest(signed.study, period)
        return caught.value.code  # type: ignore[attr-defined]

    assert code(UsageProblem, baseline=None) == "CHG-017"
    assert code(UsageProblem, label="../p1") == "CHG-016"
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("patient_id,E1\n1,many\n")
    assert code(DataProblem, data=wrong) == "CHG-020"
    wrong.write_text("case,E1\n1,2\n")
    assert code(DataProblem, data=wrong) == "CHG-018"
    wrong.write_text("patient_id,E1,age\n1,-99,50\n2,-98,50\n")
    assert code(DataProblem, data=wrong) == "CHG-021"  # outside the range of the e-process
    assert [e.action for e in verify_log(signed.study)] == ["monitoring-begun"]  # nothing of it was ingested
