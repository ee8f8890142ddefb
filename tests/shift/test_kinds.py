"""Covariate, label and concept shift told apart; performance without labels right where its assumption holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.shift.kinds import kinds_of_shift
from validation.shift.unlabelled import estimate_performance


def expit(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def covariate(rng: np.random.Generator, n: int, mean: float = 0.0, concept: float = 0.0) -> pd.DataFrame:
    x = rng.normal(mean, 1, n)
    y = rng.random(n) < expit(1.5 * x - 0.5 + concept)
    return pd.DataFrame({"x": x, "y": y.astype(int), "s": expit(1.5 * x - 0.5)})


def by_label(rng: np.random.Generator, n: int, prevalence: float) -> pd.DataFrame:
    y = rng.random(n) < prevalence
    x = rng.normal(1.5 * y, 1)
    return pd.DataFrame({"y": y.astype(int), "s": expit(1.5 * x - 0.5)})


@pytest.mark.parametrize(
    ("kind", "word"), [("covariate", "covariate shift"), ("label", "label shift"), ("concept", "concept shift")]
)
def test_patterns_are_read(kind: str, word: str) -> None:
    rng = np.random.default_rng(1)
    new = {"covariate": lambda: covariate(rng, 900, 0.8), "concept": lambda: covariate(rng, 900, 0.0, 1.2)}
    a, b = (by_label(rng, 900, 0.2), by_label(rng, 900, 0.5)) if kind == "label" else (covariate(rng, 900), new[kind]())
    found = kinds_of_shift(a, b, label="y", score="s", permutations=199)
    assert word in found["reading"]
    assert found["kinds"]["label" if kind == "label" else kind]["shifted"]


def test_no_shift_is_not_claimed_absent_and_rarely_alarmed() -> None:
    rng = np.random.default_rng(2)
    runs = 60
    found = [
        kinds_of_shift(covariate(rng, 150), covariate(rng, 150), label="y", score="s", permutations=99)
        for _ in range(runs)
    ]
    quiet = [f["reading"] for f in found if f["reading"].startswith("No kind of shift is shown; that none")]
    assert runs - len(quiet) <= stats.binom.isf(0.001, runs, 0.05)


def test_one_label_only_gives_no_concept_test() -> None:
    rng = np.random.default_rng(3)
    found = kinds_of_shift(covariate(rng, 80), covariate(rng, 80).assign(y=1), label="y", score="s", permutations=199)
    assert found["kinds"]["concept"]["p_value"] is None
    assert "one label" in found["kinds"]["concept"]["effect"]["reason"]


def test_scores_must_be_probabilities() -> None:
    rng = np.random.default_rng(4)
    a = covariate(rng, 30)
    with pytest.raises(DataProblem, match="probabilities"):
        kinds_of_shift(a, a.assign(s=3.0), label="y", score="s")


@pytest.mark.parametrize("method", ["calibration", "importance_weighting"])
def test_performance_without_labels_covers_the_truth_under_covariate_shift(method: str) -> None:
    rng = np.random.default_rng(5)
    huge = covariate(rng, 400_000, 0.6)
    called = huge.s >= 0.5
    truth = {"accuracy": (called == huge.y).mean(), "sensitivity": called[huge.y == 1].mean()}
    runs, missed = 16, dict.fromkeys(truth, 0)
    for _ in range(runs):
        found = estimate_performance(
            covariate(rng, 400), covariate(rng, 400, 0.6), label="y", score="s", metrics=list(truth)
        )["methods"][method]
        for name, value in truth.items():
            e = found["metrics"][name]
            missed[name] += not e["lower"] <= value <= e["upper"]
    assert max(missed.values()) <= stats.binom.isf(0.001, runs, 0.06)


def test_performance_without_labels_states_its_assumption_and_fails_openly() -> None:
    rng = np.random.default_rng(6)
    a, b = covariate(rng, 300), covariate(rng, 300, 9.0)
    found = estimate_performance(a, b, label="y", score="s", metrics=["auc"], covariates=["x"])["methods"]
    assert "unchanged" in found["calibration"]["assumption"]
    assert found["importance_weighting"]["metrics"]["auc"]["value"] is None
    assert "does not reach" in found["importance_weighting"]["metrics"]["auc"]["reason"]
    assert found["calibration"]["metrics"]["auc"]["value"] is None
    few = estimate_performance(a.head(5), b, label="y", score="s")["methods"]["calibration"]["metrics"]["accuracy"]
    assert few["value"] is None
    with pytest.raises(UsageProblem, match="no metric"):
        estimate_performance(a, b, label="y", score="s", metrics=["f1"])
