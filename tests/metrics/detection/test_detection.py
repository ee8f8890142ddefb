"""Detection metrics against the gold values of published systems, statsmodels, and direct counts."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from validation.errors import DataProblem, UsageProblem
from validation.metrics.detection.calibration import calibration
from validation.metrics.detection.discrimination import operating_point, standalone_auc
from validation.metrics.detection.froc import froc
from validation.statistics.proportions import proportion


@pytest.fixture(scope="module")
def gold(shared):
    return json.loads((shared / "reference" / "imaging" / "detection_fairness.json").read_text())


@pytest.mark.shared
def test_areas_and_error_rates_of_published_systems(shared, gold):
    folder = shared / "data" / "imaging"
    haemorrhage = pd.read_csv(folder / "det_ich_cad" / "CAD_1_real_preds.csv")
    found = standalone_auc(haemorrhage, score="Model_Output", truth="Any_ICH", patient="Patient Number")
    assert found.value == pytest.approx(gold["ich"]["CAD_1"]["real"]["auc"], abs=1e-12)
    truth = pd.read_csv(folder / "cxr_nih_ai" / "truth_demographics.csv.gz")
    compared = 0
    for run in ("run11", "run37"):
        predicted = pd.read_csv(folder / "cxr_nih_ai" / f"preds_{run}.csv.gz")
        for label, expected in gold["nih"][run]["auc"].items():
            name = next(c for c in predicted.columns if label.replace(" ", "") in c.replace(" ", ""))
            table = pd.DataFrame({"score": predicted[name], "truth": truth[label]})
            assert standalone_auc(table).value == pytest.approx(expected, abs=1e-9)
            compared += 1
    assert compared == 30


def table(n: int, seed: int, *, slope: float = 1.0, shift: float = 0.0, per: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 1.5, n)
    truth = rng.random(n) < 1 / (1 + np.exp(-(shift + slope * logit)))
    return pd.DataFrame({"score": 1 / (1 + np.exp(-logit)), "truth": truth.astype(int), "patient": np.arange(n) // per})


def test_operating_point_counts_and_bayes_theorem():
    cases = pd.DataFrame({"score": [0.9] * 45 + [0.1] * 5 + [0.9] * 10 + [0.1] * 90, "truth": [1] * 50 + [0] * 100})
    found = operating_point(cases, threshold=0.5, prevalences=(0.1, 1 / 3))
    assert found["sensitivity"].value == pytest.approx(0.9)
    assert found["specificity"].value == pytest.approx(0.9)
    assert found["sensitivity"].lower == pytest.approx(proportion([1] * 45 + [0] * 5).lower)
    assert found["PPV at 10%"].value == pytest.approx(0.09 / (0.09 + 0.09))
    assert found["NPV at 10%"].value == pytest.approx(0.81 / (0.81 + 0.01))
    assert found["PPV at 33.3333%"].value == pytest.approx(45 / 55)  # the prevalence of the sample
    assert found["PPV at 10%"].lower < 0.5 < found["PPV at 10%"].upper
    at = operating_point(cases, threshold=0.9, prevalences=(0.1,))
    assert at["sensitivity"].value == pytest.approx(0.9)  # a score equal to the threshold is positive


def test_predictive_values_cover_and_exist_at_the_extremes():
    rng = np.random.default_rng(4)
    held = []
    for _ in range(300):
        score = np.concatenate([rng.random(60) < 0.85, rng.random(120) < 0.1]).astype(float)
        cases = pd.DataFrame({"score": score, "truth": [1] * 60 + [0] * 120})
        ppv = operating_point(cases, threshold=0.5, prevalences=(0.05,))["PPV at 5%"]
        true = 0.05 * 0.85 / (0.05 * 0.85 + 0.95 * 0.1)
        held.append(float(ppv.lower <= true <= ppv.upper))
    coverage = proportion(held)
    assert coverage.lower < 0.95 < coverage.upper + 0.02
    perfect = pd.DataFrame({"score": [1.0] * 20 + [0.0] * 20, "truth": [1] * 20 + [0] * 20})
    found = operating_point(perfect, threshold=0.5, prevalences=(0.01,))
    assert found["PPV at 1%"].value == 1
    assert found["PPV at 1%"].lower < 0.2  # twenty negatives without a false call prove little at 1 %
    nothing = operating_point(perfect.assign(score=0.0), threshold=0.5, prevalences=(0.01,))
    assert nothing["PPV at 1%"].value is None
    assert nothing["NPV at 1%"].value == pytest.approx(0.99)


def test_slope_and_intercept_equal_statsmodels_with_clusters():
    cases = table(600, 1, slope=0.6, shift=0.4, per=3)
    found = calibration(cases)
    logit = np.log(cases["score"] / (1 - cases["score"]))
    fit = sm.GLM(cases["truth"], sm.add_constant(logit), sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": cases["patient"]}
    )
    assert found["slope"].value == pytest.approx(fit.params.iloc[1], rel=1e-6)
    half = (found["slope"].upper - found["slope"].lower) / 2
    assert half == pytest.approx(1.972 * fit.bse.iloc[1], rel=0.01)  # t with 199 degrees of freedom
    fixed = sm.GLM(cases["truth"], np.ones(600), sm.families.Binomial(), offset=logit).fit()
    assert found["intercept"].value == pytest.approx(float(fixed.params.iloc[0]), rel=1e-6)
    assert found["slope"].upper < 1
    assert found["Brier score"].value == pytest.approx(((cases["score"] - cases["truth"]) ** 2).mean())


def test_a_calibrated_model_is_not_flagged_and_a_miscalibrated_one_is():
    outside, slopes = [], []
    for seed in range(60):
        found = calibration(table(300, 100 + seed))
        error = found["calibration error"]
        outside.append(float(error.value > found["calibration error if calibrated"].upper))
        assert error.lower <= error.value <= error.upper
        slopes.append(float(found["slope"].lower <= 1 <= found["slope"].upper))
    rate = proportion(outside)
    assert rate.lower <= 0.025 <= rate.upper + 1e-9
    assert proportion(slopes).upper >= 0.95
    bad = calibration(table(300, 5, slope=0.4))
    assert bad["calibration error"].value > bad["calibration error if calibrated"].upper
    assert bad["calibration error"].lower > 0
    few = calibration(table(12, 5))
    assert few["slope"].value is None
    assert few["slope"].reason


def test_froc_counts_missed_lesions_and_repeated_marks():
    cases = pd.DataFrame(
        {
            "case": ["a", "a", "b", "c", "d", "e"],
            "lesion": ["1", "2", "1", None, None, None],
            "patient": ["p", "p", "q", "r", "r", "s"],
        }
    )
    marks = pd.DataFrame(
        {
            "case": ["a", "a", "b", "c", "c", "d"],
            "lesion": ["1", "1", "1", None, None, None],
            "score": [0.9, 0.7, 0.5, 0.8, 0.6, 0.4],
        }
    )
    found = froc(cases, marks, rates=(0.1, 0.25, 0.5), replicates=200)
    values = [found[f"sensitivity at {r} per image"].value for r in (0.1, 0.25, 0.5)]
    # 5 images; lesion a2 is never found; b1 (0.5) is found with two false marks above it: 0.4 per image
    assert values == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert found["mean sensitivity"].value == pytest.approx(4 / 9)
    with pytest.raises(DataProblem, match="marks name"):
        froc(cases, marks.assign(case="z"))
    with pytest.raises(DataProblem, match="lesion stands twice"):
        froc(pd.concat([cases, cases.head(1)]), marks)


@pytest.mark.shared
def test_froc_of_a_simulated_reader_equals_a_direct_count(shared):
    truth = pd.read_csv(shared / "reference" / "own" / "own_froc_truth.csv")
    marks = pd.read_csv(shared / "reference" / "own" / "own_froc_marks.csv").query("reader == 1 and modality == 1")
    cases = truth.rename(columns={"lesion_id": "lesion"})
    found = froc(cases, marks.rename(columns={"lesion_id": "lesion"}), rates=(0.25, 1.0), replicates=200)
    n = cases["case"].nunique()
    false = np.sort(marks.loc[marks["lesion_id"].isna(), "score"])[::-1]
    hits = marks.dropna(subset="lesion_id").groupby(["case", "lesion_id"])["score"].max()
    for rate in (0.25, 1.0):
        share = sum((false >= s).sum() / n <= rate for s in hits) / cases["lesion"].notna().sum()
        estimate = found[f"sensitivity at {rate:g} per image"]
        assert estimate.value == pytest.approx(share)
        assert estimate.lower <= estimate.value <= estimate.upper


def test_wrong_tables_are_refused():
    good = table(30, 1)
    with pytest.raises(DataProblem, match="no column"):
        standalone_auc(good.drop(columns="score"))
    with pytest.raises(DataProblem, match="missing or not finite"):
        standalone_auc(good.assign(score=np.nan))
    with pytest.raises(DataProblem, match="0 and 1"):
        standalone_auc(good.assign(truth=2))
    with pytest.raises(DataProblem, match="outside"):
        calibration(good.assign(score=2.0))
    with pytest.raises(UsageProblem, match="threshold"):
        operating_point(good, threshold=float("nan"))
