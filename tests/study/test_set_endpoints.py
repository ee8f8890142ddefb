"""Endpoints on whole data sets: what is measured, stored, judged, judged again, refused, and never lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.metrics.tabular.generators import collapsed, memoriser
from tests.study.small_study import edit
from tests.study.small_tables import real, write_tables
from validation.errors import IntegrityProblem, ProtocolProblem, UsageProblem
from validation.estimate import Estimate
from validation.protocol.load import load_protocol
from validation.study.execute import begin, carry_on, judge_run
from validation.study.judge_sets import estimator_of
from validation.study.prepare import check_protocol, lock_study, seal_study
from validation.study.reproduce import reproduce
from validation.study.set_metrics import read_set_measurements
from validation.study.spec import load_study


def run(folder: Path) -> Path:
    study = load_study(folder)
    lock_study(study, signer="tester")
    seal_study(study, signer="tester")
    made = begin(study, purpose="test", actor="tester")
    carry_on(study, made, actor="tester", quiet=True)
    return made


def results_of(made: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made / "results.json").read_bytes())
    return found


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(write_tables(tmp_path_factory.mktemp("honest") / "records"))


def test_fresh_records_meet_every_criterion_and_every_number_is_recomputed(honest: Path) -> None:
    results = results_of(honest)
    assert results["proposal"]["outcome"] == "pass"
    assert results["cohort"]["n_clusters"] == 400
    assert results["model"]["kind"] == "synthetic_data"
    assert results["data_sets"]["control"]["n_patients"] == 400
    first = results["endpoints"]["P1"]
    assert first["sets"] == {"train": "train", "synthetic": "synthetic", "holdout": "control"}
    assert first["verdict"]["p_value"] <= 0.025
    assert len(results["endpoints"]["P2"]["parts"]) == 15  # every pair of six columns
    assert set(results["endpoints"]["X1"]["subgroups"]["sex"]) == {"F", "M"}
    assert reproduce(honest) == []


def test_no_record_and_no_identifier_enters_the_run(honest: Path) -> None:
    everything = b"".join(p.read_bytes() for p in honest.rglob("*") if p.is_file())
    assert b"-patient-" not in everything
    cases = pd.read_parquet(honest / "cases.parquet")
    assert list(cases.columns) == ["case_id", "cluster", "status", "reason", "sex"]
    assert cases["case_id"].str.fullmatch("P-[0-9a-f]{16}").all()


def test_every_synthetic_record_has_a_line_of_descent(honest: Path) -> None:
    lineage = pd.read_parquet(honest / "lineage" / "synthetic.parquet")
    assert len(lineage) == 400
    assert lineage["digest"].is_unique
    assert set(lineage["generator"]) == {"sampler"}
    assert set(lineage["source_sha256"]) == {results_of(honest)["data_sets"]["synthetic"]["sha256"]}


def test_judging_again_needs_no_data_and_other_levels_are_never_narrower(honest: Path) -> None:
    protocol = load_protocol(honest.parent.parent / "protocol.yaml")
    text = (honest.parent.parent / "protocol.yaml").read_text()
    other = honest.parent.parent / "other.yaml"
    other.write_text(text.replace("margin: 0.02", "margin: 0.0001"))
    strict = judge_run(honest, load_protocol(other))
    assert strict["endpoints"]["P1"]["verdict"]["outcome"] == "inconclusive"
    assert judge_run(honest, protocol)["endpoints"]["P1"]["verdict"]["outcome"] == "pass"
    stored = next(r for r in read_set_measurements(honest).values() if r["metric"] == "exact_copies")
    estimator = estimator_of(stored["rows"][0])
    limits = [estimator(level).upper for level in (0.5, 0.9, 0.94, 0.95, 0.96, 0.999)]
    assert limits == sorted(limits)
    assert estimator(0.94) == estimator(0.95)  # the next wider one stands in
    assert estimator(0.99999).upper is None


def test_stored_intervals_are_those_of_the_metric(honest: Path) -> None:
    from scipy import stats

    stored = next(r for r in read_set_measurements(honest).values() if r["metric"] == "exact_copies")
    row = next(r for r in stored["rows"] if r["component"] == "synthetic_equal_to_train")
    for record in row["estimates"]:
        e = Estimate.from_dict(record)
        k = e.n_events or 0
        assert e.upper == pytest.approx(stats.beta.ppf(1 - (1 - e.level) / 2, k + 1, e.n - k))


FAULTS: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "memory of 5 %": (lambda: memoriser(real(0), real(9), 0.05), "P1"),
    "shuffled columns": (lambda: _shuffled(real(9)), "P2"),
    "lost dose": (lambda: real(9).assign(dose=np.nan), "S1"),
}


def _shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({c: frame[c].to_numpy()[rng.permutation(len(frame))] for c in frame})


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_not_passed(tmp_path: Path, fault: str) -> None:
    make, endpoint = FAULTS[fault]
    results = results_of(run(write_tables(tmp_path / "records", make())))
    assert results["endpoints"][endpoint]["verdict"]["outcome"] != "pass"
    assert results["proposal"]["outcome"] != "pass"
    if fault == "memory of 5 %":
        assert results["endpoints"]["P1"]["verdict"]["outcome"] == "fail"
        family = next(f for f in results["families"].values() if f["metric"] == "tabular_privacy")
        copies = next(f for f in family["findings"] if f["finding"] == "exact_copies" and not f["subgroup"])
        assert copies["status"] == "flagged"
        assert len(copies["rows"]) == 20
        assert all(name.startswith("P-") for name in copies["rows"])


def test_a_dropped_subgroup_of_two_per_cent_is_flagged_in_the_record(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "records", collapsed(real(9, 2000), "site", "C"), n=2000)
    family = next(f for f in results_of(run(folder))["families"].values() if f["metric"] == "tabular_fidelity")
    assert any(f["status"] == "flagged" and "C" in f["component"] + f["subgroup"] for f in family["findings"])


def test_a_metric_that_cannot_run_is_failed_evidence(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "records", real(9)[["age"]])
    edit(folder / "study.yaml", "    control: {table: data/control.csv}\n", "")
    results = results_of(run(folder))
    assert results["endpoints"]["P1"]["verdict"]["outcome"] == "error"
    assert "COH-080" in results["endpoints"]["P1"]["verdict"]["reason"]
    assert results["endpoints"]["P2"]["verdict"]["outcome"] == "error"
    assert results["proposal"]["outcome"] == "inconclusive"
    assert any(f["error"] for f in results["families"].values())


def test_repeated_patients_are_not_taken_for_independent(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "records")
    train = pd.read_csv(folder / "data" / "train.csv")
    train.loc[1, "patient_id"] = train.loc[0, "patient_id"]
    train.to_csv(folder / "data" / "train.csv", index=False)
    assert "COH-084" in results_of(run(folder))["endpoints"]["P1"]["verdict"]["reason"]


def test_files_of_data_sets_are_sealed(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "records")
    study = load_study(folder)
    lock_study(study, signer="tester")
    seal_study(study, signer="tester")
    edit(folder / "data" / "synthetic.csv", "yes", "no")
    made = begin(study, purpose="test", actor="tester")
    with pytest.raises(IntegrityProblem, match="set synthetic"):
        carry_on(study, made, actor="tester", quiet=True)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    pick: {finding: exact_copies}\n", "", "does not say which number"),
        (
            "sets: {holdout: control}\n    pick: {component",
            "sets: {hold: control}\n    pick: {component",
            "no role hold",
        ),
        ("metric: {name: exact_copies}", "metric: {name: exact_copies, k: 3}", "no parameter k"),
        ("margin: 0.15, better: lower", "margin: 0.15", "which direction"),
        ('pick: {component: "\\*"}\n', 'pick: {component: "*"}\n    summary: mean\n', "no summary"),
    ],
)
def test_protocols_that_cannot_be_judged_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    folder = write_tables(tmp_path / "records", n=20)
    edit(folder / "protocol.yaml", old.replace("\\", ""), new)
    with pytest.raises(ProtocolProblem, match=says):
        check_protocol(folder / "protocol.yaml")


def test_a_set_that_is_neither_named_nor_made_is_refused(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "records", n=60)
    edit(folder / "study.yaml", "    synthetic: {table: data/synthetic.csv}\n", "")
    with pytest.raises(UsageProblem, match="not named"):
        run(folder)
