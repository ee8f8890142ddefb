"""Reading schedules: balance, washout, blinding, prevalence."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from validation.cli.readers import command
from validation.errors import DataProblem, UsageProblem
from validation.reader_study.schedule import Schedule, ScheduleSettings, check_blinding, check_readings, make_schedule

READERS = [f"reader {k}" for k in range(6)]
CASES = pd.DataFrame({"case": [f"case-{k:03d}" for k in range(90)], "truth": [1] * 30 + [0] * 60})


def schedule(**changes: Any) -> Schedule:
    settings = {"modalities": ("unaided", "aided"), "start": date(2026, 3, 2), **changes}
    return make_schedule(CASES, READERS, ScheduleSettings(**settings))


@pytest.mark.parametrize("modalities", [("a", "b"), ("a", "b", "c")])
def test_a_crossover_is_complete_balanced_and_washed_out(modalities: tuple[str, ...]) -> None:
    made = schedule(modalities=modalities)
    key = made.key.merge(made.worklist[["reading_code", "earliest_date"]])
    assert all(row["met"] for row in made.checks), made.checks
    assert (key.groupby(["reader", "modality", "case"]).size() == 1).all()
    assert len(key) == len(READERS) * len(modalities) * len(CASES)
    # Latin square: in every session a reader reads every case exactly once
    assert (key.groupby(["reader", "session"])["case"].nunique() == len(CASES)).all()
    # each case is read first under each modality by as many readers
    first = key[key["session"] == 1].groupby(["case", "modality"]).size()
    assert (first == len(READERS) / len(modalities)).all()
    gaps = (
        pd.to_datetime(key["earliest_date"])
        .groupby([key["reader"], key["case"]])
        .apply(lambda t: t.sort_values().diff().min())
    )
    assert gaps.min() == pd.Timedelta(days=28)
    # both classes in equal proportion under every modality of a session
    share = key.groupby(["session", "reader", "modality"])["truth"].mean()
    assert share.between(0.30, 0.37).all()


def test_a_split_plot_gives_each_group_its_own_cases() -> None:
    made = schedule(design="split_plot", groups=3)
    assert all(row["met"] for row in made.checks), made.checks
    read = made.key.groupby("reader")["case"].agg(frozenset)
    assert read.nunique() == 3
    assert (read.value_counts() == 2).all()
    assert sum(len(cases) for cases in set(read)) == len(CASES)


def test_a_sequential_design_reads_both_conditions_at_once_and_some_cases_unaided_only() -> None:
    made = schedule(design="sequential", unaided_only=0.2)
    assert all(row["met"] for row in made.checks), made.checks
    for _, rows in made.key.sort_values("order").groupby("reader"):
        places = rows.groupby("case")["order"].agg(list)
        single = [p for p in places if len(p) == 1]
        assert len(single) == 18
        assert all(p[1] == p[0] + 1 for p in places if len(p) == 2)
        assert (rows.groupby("case")["modality"].first() == "unaided").all()


def test_the_seed_fixes_the_schedule() -> None:
    pd.testing.assert_frame_equal(schedule().key, schedule().key)
    assert not schedule().key.equals(schedule(seed=2).key)


def test_reading_blocks_keep_the_prevalence() -> None:
    made = schedule(block_size=15)
    share = made.key.groupby(["reader", "session", "block"])["truth"].mean()
    assert share.between(0.25, 0.42).all()


def test_worklists_tell_nothing() -> None:
    made = schedule()
    assert set(made.worklist.columns).isdisjoint({"truth", "case", "modality_key"})
    assert made.worklist["reading_code"].is_unique
    text = made.worklist.to_csv()
    assert not any(case in text for case in CASES["case"])


def test_the_blinding_check_finds_leaks() -> None:
    made = schedule()
    assert all(row["met"] for row in check_blinding(made.worklist, made.key))
    with_truth = made.worklist.assign(truth=0)
    assert not all(row["met"] for row in check_blinding(with_truth, made.key))
    sorted_key = made.key.sort_values(["reader", "session", "truth"], kind="stable")
    ordered = made.worklist.set_index("reading_code").loc[sorted_key["reading_code"]].reset_index()
    ordered["order"] = ordered.groupby(["reader", "session"]).cumcount()
    assert not check_blinding(ordered, made.key)[2]["met"]
    named = made.worklist.assign(reading_code=made.key["case"])
    assert not check_blinding(named, made.key.assign(reading_code=made.key["case"]))[1]["met"]


def test_times_of_readings_are_checked_against_the_washout() -> None:
    readings = pd.DataFrame(
        {"reader": "r", "modality": ["a", "b", "a", "b"], "case": ["1", "1", "2", "2"]}
        | {"read_at": ["2026-01-01", "2026-01-29", "2026-01-01T08:00", "2026-01-28T09:00"]}
    )
    found = check_readings(readings)
    assert not found[0]["met"]
    assert "1 of 2 too short" in found[0]["detail"]
    assert check_readings(readings.head(2))[0]["met"]
    assert not check_readings(pd.concat([readings, readings.head(1)]))[1]["met"]
    with pytest.raises(DataProblem, match="no time"):
        check_readings(readings.assign(read_at="yesterday"))
    with pytest.raises(DataProblem, match="no column 'read_at'"):
        check_readings(readings.drop(columns="read_at"))


@pytest.mark.parametrize(
    "changes",
    [
        {"modalities": ()},
        {"modalities": ("a", "a")},
        {"groups": 2},
        {"design": "split_plot"},
        {"block_size": 0},
        {"unaided_only": 0.5},
        {"washout_days": -1},
        {"design": "split_plot", "groups": 7},
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageProblem) as problem:
        schedule(**changes)
    assert problem.value.code == "RDR-025"


def test_cases_that_cannot_be_laid_out_are_refused() -> None:
    settings = ScheduleSettings(modalities=("a", "b"), start=date(2026, 1, 1))
    for table in (CASES.drop(columns="truth"), pd.concat([CASES, CASES]), CASES.assign(truth=2), CASES.assign(truth=1)):
        with pytest.raises(DataProblem):
            make_schedule(table, READERS, settings)
    with pytest.raises(UsageProblem, match="different names"):
        make_schedule(CASES, ["a", "a"], settings)
    with pytest.raises(UsageProblem, match="cannot be divided"):
        make_schedule(CASES.iloc[29:31], READERS, settings)


def test_the_command_writes_worklists_and_finds_training_cases(tmp_path: Path) -> None:
    table, training, out = tmp_path / "cases.csv", tmp_path / "training.csv", tmp_path / "lists"
    CASES.to_csv(table, index=False)
    CASES.head(3).to_csv(training, index=False)
    arguments = ["schedule", str(table), "--start", "2026-03-02", "--out", str(out), "--json"]
    for name in ("../../evil", "Reader B"):
        arguments += ["--reader", name]
    arguments += ["--modality", "a", "--modality", "b"]
    found = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert sorted(p.name for p in out.iterdir()) == ["key.csv", "worklist-01.csv", "worklist-02.csv"]
    assert len(pd.read_csv(out / "worklist-02.csv")) == 180
    with_training = CliRunner().invoke(command, [*arguments, "--training", str(training)], catch_exceptions=False)
    assert with_training.exit_code == 1
    assert json.loads(with_training.output)["checks"][-1]["detail"] == "3 cases in both tables"
