"""Virtual readers from channel responses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats

from validation.cli.readers import command
from validation.errors import DataProblem, UsageProblem
from validation.reader_study.analysis import analyse
from validation.reader_study.channel_tables import channels_of_run
from validation.reader_study.model_observers import ObserverSettings, simulate_readers
from validation.reader_study.scores import ReaderScores

SIGNAL = np.array([1.0, 0.5, 0.2])
MIX = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.3, 1.0]])


def images(n: int, noise: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = np.arange(n) % 2 == 1
    return rng.normal(size=(n, 3)) @ MIX.T * noise + positive[:, None] * SIGNAL, positive


def names(n: int) -> list[str]:
    return [f"c{k}" for k in range(n)]


def read(x: dict[str, np.ndarray], positive: np.ndarray, **settings: object) -> ReaderScores:
    n = len(positive)
    return simulate_readers(x, positive, names(n), names(n), ObserverSettings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("observer", ["hotelling", "npw"])
@pytest.mark.parametrize("internal", [0.0, 1.0])
def test_areas_are_those_of_the_theory(observer: str, internal: float) -> None:
    """The index is sqrt(s' K^-1 s) or s's / sqrt(s' K s), lowered by inner noise by sqrt(1 + a^2)."""
    covariance = MIX @ MIX.T
    if observer == "hotelling":
        index = np.sqrt(SIGNAL @ np.linalg.solve(covariance, SIGNAL))
    else:
        index = SIGNAL @ SIGNAL / np.sqrt(SIGNAL @ covariance @ SIGNAL)
    expected = stats.norm.cdf(index / np.sqrt(1 + internal**2) / np.sqrt(2))
    x, positive = images(4000)
    scores = read({"output": x}, positive, observer=observer, internal_noise=internal, skill_spread=0.0, readers=2)
    found = analyse(scores).modalities[0]["estimate"]
    assert found == pytest.approx(expected, abs=0.02)


def test_noisier_images_are_read_worse_and_the_study_sees_it() -> None:
    x, positive = images(400)
    worse, _ = images(400, noise=2.0, seed=1)
    scores = read({"output": x, "input": worse}, positive, readers=6)
    result = analyse(scores)
    assert result.design.type == "fully_crossed"
    assert result.design.has_decisions
    row = result.differences[0]
    sign = 1 if row["a"] == "output" else -1
    assert sign * row["estimate"] > 0.05
    assert row["p_value"] < 0.05


def test_an_unchanged_image_is_read_alike_up_to_inner_noise() -> None:
    x, positive = images(300)
    quiet = read({"output": x, "input": x}, positive, internal_noise=0.0)
    np.testing.assert_array_equal(quiet.score[:, 0], quiet.score[:, 1])
    noisy = read({"output": x, "input": x}, positive)
    assert (noisy.score[:, 0] != noisy.score[:, 1]).any()


def test_skill_differs_between_readers_and_the_seed_fixes_everything() -> None:
    x, positive = images(600)
    scores = read({"output": x}, positive, readers=8, skill_spread=1.0)
    areas = [row["estimate"] for row in analyse(scores).readers]
    assert max(areas) - min(areas) > 0.1
    again = read({"output": x}, positive, readers=8, skill_spread=1.0)
    np.testing.assert_array_equal(scores.score, again.score)
    other = read({"output": x}, positive, readers=8, skill_spread=1.0, seed=2)
    assert (scores.score != other.score).any()


def test_without_a_signal_readers_guess_because_no_case_is_learned_from_itself() -> None:
    rng = np.random.default_rng(3)
    x, positive = rng.normal(size=(400, 8)), np.arange(400) % 2 == 1
    scores = read({"output": x}, positive, internal_noise=0.0, readers=4)
    assert analyse(scores).modalities[0]["estimate"] == pytest.approx(0.5, abs=0.08)


def test_cases_of_a_patient_stay_in_one_fold() -> None:
    """Copies of a case under one patient must not teach the reader about each other."""
    rng = np.random.default_rng(4)
    x = np.repeat(rng.normal(size=(100, 20)), 4, axis=0)
    positive = np.repeat(np.arange(100) % 2 == 1, 4)
    clusters = [f"p{k // 4}" for k in range(400)]
    settings = ObserverSettings(internal_noise=0.0, readers=3)
    together = analyse(simulate_readers({"output": x}, positive, names(400), clusters, settings)).modalities[0]
    assert together["estimate"] == pytest.approx(0.5, abs=0.12)
    leaked = analyse(simulate_readers({"output": x}, positive, names(400), names(400), settings)).modalities[0]
    assert leaked["estimate"] > 0.6


def test_data_from_which_nobody_can_learn_are_refused() -> None:
    x, positive = images(60)
    with pytest.raises(DataProblem, match="too few for 5 folds"):
        read({"output": x[:12]}, positive[:12])
    with pytest.raises(DataProblem, match="too few to learn"):
        read({"output": np.random.default_rng(0).normal(size=(60, 30))}, positive)
    x[3, 1] = np.nan
    with pytest.raises(DataProblem, match="finite"):
        read({"output": x}, positive)
    with pytest.raises(UsageProblem):
        ObserverSettings(readers=0)
    with pytest.raises(UsageProblem):
        ObserverSettings(observer="eagle")  # type: ignore[arg-type]


def test_identical_images_give_a_verdict_not_a_nan() -> None:
    positive = np.arange(60) % 2 == 1
    scores = read({"output": np.ones((60, 2)), "input": np.ones((60, 2))}, positive, internal_noise=0.0)
    result = analyse(scores)
    assert result.differences[0]["verdict"] == "inconclusive"


def a_run(folder: Path, n: int = 120) -> Path:
    x, positive = images(n)
    y, _ = images(n, noise=1.5, seed=1)
    rows = [
        {"case_id": f"c{k:03d}", "metric": "cho_channels(region=signal)", "arm": arm, "draw": 0,
         "unit": "HU", "note": "", "component": f"channel_{c}", "value": values[k, c]}
        for arm, values in (("output", x), ("input", y)) for k in range(n) for c in range(3)
    ]  # fmt: skip
    (folder / "measurements").mkdir(parents=True)
    table = pd.DataFrame(rows)
    table.loc[(table["case_id"] == "c005") & (table["arm"] == "input"), "value"] = np.nan
    table.iloc[:300].to_parquet(folder / "measurements/part-00000.parquet")
    table.iloc[300:].to_parquet(folder / "measurements/part-00001.parquet")
    cases = pd.DataFrame({"case_id": [f"c{k:03d}" for k in range(n)], "cluster": [f"p{k}" for k in range(n)]})
    cases["signal"] = positive.astype(float)
    cases.loc[7, "signal"] = np.nan
    cases.to_parquet(folder / "cases.parquet")
    return folder


def test_a_run_becomes_scores_that_analyse_takes(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    out = tmp_path / "scores.csv"
    arguments = ["simulate", "--from-run", str(run), "--label", "signal", "--out", str(out), "--json"]
    record = json.loads(CliRunner().invoke(command, arguments, catch_exceptions=False).output)
    assert record["cases"] == 118
    assert record["left_out"] == 1
    assert record["metric"] == "cho_channels(region=signal)"
    assert "model observers" in record["notice"]
    found = CliRunner().invoke(command, ["analyse", str(out), "--control", "input", "--json"], catch_exceptions=False)
    result = json.loads(found.output)
    assert result["differences"][0]["a"] == "output"
    assert result["design"]["n_readers"] == 5


def test_runs_without_channel_responses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataProblem, match="finished run"):
        channels_of_run(tmp_path)
    run = a_run(tmp_path / "run")
    with pytest.raises(DataProblem, match="no column 'truth'"):
        channels_of_run(run, label="truth")
    with pytest.raises(DataProblem, match="holds none"):
        channels_of_run(run, metric="ssim", label="signal")
