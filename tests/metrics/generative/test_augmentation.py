"""Gains of augmentation: DeLong as oracle for one seed, coverage with patients and seeds, harm as well as help."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.metrics.generative.augmentation import augmentation_dose_response, augmentation_gain
from validation.statistics.roc import auc_difference


def scores(
    rng: np.random.Generator, *, gains: dict[tuple[str, float], float], cases: int = 120, per: int = 2, seeds: int = 4
) -> pd.DataFrame:
    """Scores of training runs: a latent reading per case, patient effects, an effect of each training run."""
    truth = np.repeat(rng.permutation(np.repeat([0, 1], [cases // per - cases // (4 * per), cases // (4 * per)])), per)
    patient = np.repeat(np.arange(cases // per), per)
    shared = rng.normal(0, 0.6, cases // per)[patient] + rng.normal(0, 0.6, cases)
    rows = []
    for (arm, ratio), gain in {("real", 0.0): 0.0, **gains}.items():
        for seed in range(seeds):
            separation = 1.0 + gain + rng.normal(0, 0.1)
            reading = shared + separation * truth + rng.normal(0, 0.5, cases)
            rows.append(
                pd.DataFrame(
                    {"case": np.arange(cases), "patient": patient, "truth": truth, "arm": arm, "ratio": ratio,
                     "seed": seed, "score": reading, "sex": np.where(patient % 2, "F", "M")}
                )
            )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def test_the_variance_over_patients_is_that_of_delong() -> None:
    """With runs that do not differ between seeds only the patients are left, and DeLong's interval is the oracle."""
    table = scores(np.random.default_rng(1), gains={("synthetic", 1.0): 0.5}, cases=400, per=1, seeds=1)
    copies = pd.concat([table.assign(seed=s) for s in range(3)])
    found = augmentation_gain(copies)["present"]
    arms = [table[table["arm"] == a].set_index("case") for a in ("synthetic", "real")]
    oracle = auc_difference(arms[0]["score"], arms[1]["score"], arms[0]["truth"])
    assert found.value == pytest.approx(oracle.value)
    widths = [e.upper - e.lower for e in (found, oracle)]
    assert widths[0] == pytest.approx(widths[1], rel=0.15)


def test_the_interval_covers_the_gain_over_patients_and_seeds() -> None:
    """True gain: the mean over training runs of the area under the binormal curve."""
    rng = np.random.default_rng(2)
    noise = (2 * (0.6**2 + 0.6**2 + 0.5**2)) ** 0.5

    def area(gain: float) -> float:
        return float(np.mean(stats.norm.cdf((1 + gain + 0.1 * stats.norm.ppf((np.arange(99) + 0.5) / 99)) / noise)))

    truth = area(0.4) - area(0.0)
    covered = 0
    for _ in range(200):
        e = augmentation_gain(scores(rng, gains={("synthetic", 1.0): 0.4}))["present"]
        covered += e.lower is not None and e.lower < truth < e.upper
    assert covered >= stats.binom.ppf(0.005, 200, 0.95)


def test_no_gain_is_seldom_called_one() -> None:
    rng = np.random.default_rng(3)
    called = 0
    for _ in range(200):
        e = augmentation_gain(scores(rng, gains={("synthetic", 1.0): 0.0}))["present"]
        called += e.lower > 0 or e.upper < 0
    assert called <= stats.binom.isf(0.005, 200, 0.05)


def test_harm_is_reported_like_help() -> None:
    rng = np.random.default_rng(4)
    found = augmentation_gain(scores(rng, gains={("synthetic", 1.0): -0.8}, cases=400), subgroups=["sex"])
    assert found["present"].upper < 0
    assert {"present", "present, sex=F", "present, sex=M"} == set(found)


def test_more_than_enough_shows_in_the_dose_response() -> None:
    rng = np.random.default_rng(5)
    doses = {("synthetic", r): g for r, g in ((0.5, 0.5), (1.0, 0.9), (4.0, -0.4))}
    found = augmentation_dose_response(scores(rng, gains=doses, cases=600))
    assert found["x1"].lower > 0
    assert found["last step"].upper < 0
    gain = augmentation_gain(scores(np.random.default_rng(5), gains=doses, cases=600), ratio=1.0)["present"]
    assert found["x1"].value == gain.value


def test_the_slope_is_that_of_least_squares() -> None:
    table = scores(np.random.default_rng(6), gains={("synthetic", r): 0.1 * r for r in (1.0, 3.0)}, cases=400)
    found = augmentation_dose_response(table)
    gains = [0.0, found["x1"].value, found["x3"].value]
    assert found["per doubling"].value == pytest.approx(np.polyfit(np.log2([1, 2, 4]), gains, 1)[0])


def test_classes_are_one_against_the_rest_and_sensitivity_is_by_the_highest_score() -> None:
    rng = np.random.default_rng(7)
    truth = np.repeat(["a", "b", "rare"], [150, 150, 40])
    rows = []
    for arm, ratio, boost in (("real", 0.0, 0.0), ("synthetic", 2.0, 3.0)):
        for seed in range(3):
            z = {f"score.{c}": rng.normal(0, 1, 340) + 2.0 * (truth == c) for c in ("a", "b", "rare")}
            z["score.rare"] = z["score.rare"] + boost * (truth == "rare")
            facts = {"case": range(340), "truth": truth, "arm": arm, "ratio": ratio, "seed": seed}
            rows.append(pd.DataFrame(facts | z))
    table = pd.concat(rows)
    found = augmentation_gain(table, figure="sensitivity")
    assert found["rare"].lower > 0
    assert abs(found["a"].value) < 0.15
    assert found["mean of classes"].value == pytest.approx(np.mean([found[c].value for c in ("a", "b", "rare")]))


def test_too_little_is_said_and_not_guessed() -> None:
    table = scores(np.random.default_rng(8), gains={("synthetic", 1.0): 0.5}, seeds=2)
    found = augmentation_gain(table)["present"]
    assert found.lower is None
    assert "2 training seeds" in found.reason
    few = table[table["case"] < 6]
    assert augmentation_gain(few)["present"].value is None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.drop(columns="seed"), "no column seed"),
        (lambda t: t.drop(index=t.index[5]), "cases in the run"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "twice"),
        (lambda t: t.assign(score=t["score"].where(t.index > 0)), "not finite"),
        (lambda t: t[(t["seed"] != 1) | (t["arm"] == "real")], "no run of the arm 'synthetic'"),
        (lambda t: t.assign(truth=t["truth"].where(t.index > 0, 1 - t["truth"])), "differs between training runs"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(spoil: object, words: str) -> None:
    table = scores(np.random.default_rng(9), gains={("synthetic", 1.0): 0.5})
    with pytest.raises(DataProblem, match=words):
        augmentation_gain(spoil(table))  # type: ignore[operator]


def test_an_arm_or_ratio_that_is_not_there_is_named() -> None:
    table = scores(np.random.default_rng(10), gains={("synthetic", r): 0.1 for r in (1.0, 2.0)})
    with pytest.raises(UsageProblem, match="ratios 1, 2"):
        augmentation_gain(table)
    with pytest.raises(UsageProblem, match="classical"):
        augmentation_gain(table, ratio=1.0, comparator="classical")
