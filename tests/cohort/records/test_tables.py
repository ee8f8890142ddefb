"""Writing imported records: split by patient, whole or not at all, with every loss counted; MEDS in and out."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from validation.cli.imports import command
from validation.cohort.records import Records, Split, read_meds, write_records
from validation.cohort.records.tables import EVENT_COLUMNS, PATIENT_COLUMNS, Event, Patient
from validation.digest import sha256_file
from validation.errors import DataProblem, UsageProblem


def _records(patients: int = 200, kind: str = "fhir") -> Records:
    people = {str(i): Patient(str(i), sex="F") for i in range(patients)}
    events = [Event(str(i), datetime(2020, 1, 1 + i % 28), f"X//{i % 5}", float(i)) for i in range(patients)] * 2
    return Records(kind=kind, patients=people, events=[*events, Event("stranger", None, "X//1")])


def test_a_patient_is_in_one_part_only_and_the_same_every_time(tmp_path: Path) -> None:
    split = Split({"train": 0.6, "control": 0.2, "holdout": 0.2}, seed=3)
    report = write_records(_records(), tmp_path / "a", split=split)
    write_records(_records(), tmp_path / "b", split=split)
    assert report["left_out"] == {"event of a patient who is not in the source": 1}
    assert sum(report["events"].values()) == 400
    seen: set[str] = set()
    for part in split.shares:
        events = pd.read_parquet(tmp_path / "a" / f"events.{part}.parquet")
        people = pd.read_parquet(tmp_path / "a" / f"patients.{part}.parquet")
        assert tuple(events.columns) == EVENT_COLUMNS
        assert tuple(people.columns) == PATIENT_COLUMNS
        assert set(events["patient_id"]) == set(people["patient_id"])
        assert not seen & set(people["patient_id"])
        seen |= set(people["patient_id"])
        pd.testing.assert_frame_equal(events, pd.read_parquet(tmp_path / "b" / f"events.{part}.parquet"))
    assert len(seen) == 200
    assert 90 < report["patients"]["train"] < 150


def test_the_share_of_a_split_is_what_was_asked_for() -> None:
    split = Split({"a": 0.1, "b": 0.9}, seed=0)
    share = sum(split.of(str(i)) == "a" for i in range(20_000)) / 20_000
    assert abs(share - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}, {"../a": 1.0}])
def test_bad_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(UsageProblem) as refusal:
        Split(shares)
    assert refusal.value.code == "REC-001"


def test_the_report_holds_the_digests_and_the_dictionary_every_column(tmp_path: Path) -> None:
    report = write_records(_records(), tmp_path / "out")
    assert report == json.loads((tmp_path / "out" / "import.json").read_bytes())
    assert all(sha256_file(tmp_path / "out" / name) == digest for name, digest in report["files"].items())
    columns = yaml.safe_load((tmp_path / "out" / "dictionary.yaml").read_text())["columns"]
    assert set(columns) == {*EVENT_COLUMNS, *PATIENT_COLUMNS}


def test_a_source_that_breaks_midway_leaves_nothing(tmp_path: Path) -> None:
    def events():
        yield from _records(10).events
        raise DataProblem("the source broke.", code="REC-010", where="x")

    records = Records(kind="meds", patients={str(i): Patient(str(i)) for i in range(10)}, events=events())
    with pytest.raises(DataProblem, match="broke"):
        write_records(records, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_source_and_an_existing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataProblem) as none:
        write_records(Records(kind="omop", patients={}, events=[]), tmp_path / "out")
    assert none.value.code == "REC-003"
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageProblem) as there:
        write_records(_records(), tmp_path / "there")
    assert there.value.code == "REC-002"


def _meds(folder: Path) -> Path:
    (folder / "data" / "train").mkdir(parents=True)
    (folder / "metadata").mkdir()
    rows = [
        (1, None, "GENDER//F", None),
        (1, "1950-04-01", "MEDS_BIRTH", None),
        (1, "2020-01-02", "LAB//50912", 1.4),
        (1, "2021-01-02", "MEDS_DEATH", None),
        (2, "2020-01-02", "LAB//50912", float("nan")),
        (2, "2020-01-02", None, None),
    ]
    frame = pd.DataFrame(rows, columns=["subject_id", "time", "code", "numeric_value"])
    frame["time"] = pd.to_datetime(frame["time"])
    frame.to_parquet(folder / "data" / "train" / "0.parquet", index=False)
    splits = pd.DataFrame({"subject_id": [1, 2], "split": ["train", "held_out"]})
    splits.to_parquet(folder / "metadata" / "subject_splits.parquet", index=False)
    return folder


def test_meds_brings_its_own_splits_and_demographics(tmp_path: Path) -> None:
    source = _meds(tmp_path / "meds")
    done = CliRunner().invoke(command, ["meds", str(source), "--out", str(tmp_path / "out"), "--json"])
    report = json.loads(done.output)
    assert report["events"] == {"held_out": 1, "train": 4}
    assert report["left_out"] == {"event without a subject or a code": 1}
    one = pd.read_parquet(tmp_path / "out" / "patients.train.parquet").iloc[0]
    assert (one["sex"], one["birth_year"]) == ("F", 1950)
    assert one["death_time"] == pd.Timestamp("2021-01-02")
    other = pd.read_parquet(tmp_path / "out" / "events.held_out.parquet").iloc[0]
    assert pd.isna(other["numeric_value"])


@pytest.mark.parametrize("damage", ["missing column", "truncated", "no file"])
def test_damaged_meds_is_refused(tmp_path: Path, damage: str) -> None:
    source = _meds(tmp_path / "meds")
    path = source / "data" / "train" / "0.parquet"
    if damage == "missing column":
        pd.read_parquet(path).drop(columns="code").to_parquet(path, index=False)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    with pytest.raises(DataProblem) as refusal:
        read_meds(source)
    assert refusal.value.code == "REC-010"


@pytest.mark.shared
def test_the_demonstration_data_of_mimic_iv_are_read_whole(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "ehr" / "mimic_iv_demo_meds" / "events.parquet"
    report = write_records(read_meds(source), tmp_path / "out")
    assert report["events"]["all"] + sum(report["left_out"].values()) == len(pd.read_parquet(source))
    assert report["patients"]["all"] == 100
