"""Estimates in every group against fairlearn, published numbers and definitions; intervals that hold for one case."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.fairness.calibration import calibration_error
from validation.fairness.measures import METRICS, canonical, measures
from validation.fairness.report import fairness_report
from validation.protocol.plan_schemas import FairnessPlan


def data(n: int = 500, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.integers(0, 2, n).astype(float),
            "d": rng.integers(0, 2, n).astype(float),
            "s": rng.random(n),
            "sex": rng.choice(["F", "M"], n),
            "race": rng.choice(["A", "B", "C"], n, p=[0.55, 0.4, 0.05]),
        }
    )


def of(frame: pd.DataFrame, *names: str) -> dict[str, object]:
    return measures(names, label=frame.y.to_numpy(), score=frame.s.to_numpy(), decision=frame.d.to_numpy())  # type: ignore[return-value]


def test_point_estimates_and_ranges_equal_fairlearn() -> None:
    import fairlearn.metrics as theirs
    from sklearn.metrics import accuracy_score, precision_score

    frame = data()
    functions = {
        "selection_rate": theirs.selection_rate,
        "fpr": theirs.false_positive_rate,
        "fnr": theirs.false_negative_rate,
        "sensitivity": theirs.true_positive_rate,
        "specificity": theirs.true_negative_rate,
        "accuracy": accuracy_score,
        "ppv": precision_score,
    }
    plan = FairnessPlan(attributes=["sex", "race"], intersections=True, minimum_clusters=2)
    report = fairness_report(frame, plan, of(frame, *functions), cluster=None)  # type: ignore[arg-type]
    for attributes in (["sex"], ["race"], ["sex", "race"]):
        found = theirs.MetricFrame(
            metrics=functions, y_true=frame.y, y_pred=frame.d, sensitive_features=frame[attributes]
        )
        name = " & ".join(attributes)
        for metric in functions:
            ranges = next(r for r in report["ranges"] if r["measure"] == metric and r["attribute"] == name)
            assert ranges["left_out"] == []
            assert ranges["difference"]["value"] == pytest.approx(found.difference()[metric], abs=1e-12)
            assert ranges["ratio"]["value"] == pytest.approx(found.ratio()[metric], abs=1e-12)
            for row in (r for r in report["cells"] if r["measure"] == metric and r["attribute"] == name):
                levels = tuple(row["cell"].values())
                expected = found.by_group[metric].loc[levels if len(levels) > 1 else levels[0]]
                assert row["estimate"]["value"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.shared
def test_diabetes_numbers_equal_fairlearn_and_aif360(shared: Path) -> None:
    gold = json.loads((shared / "reference/ehr/reference.json").read_text())["results"]["diab_gcop"][
        "fairlearn_top20pct"
    ]
    aif = json.loads((shared / "reference/ehr/aif360.json").read_text())["results"]["gcop"]
    holdout = pd.read_csv(shared / "reference/ehr/pairs/diab_holdout.csv", keep_default_na=False, na_values=[""])
    pred = pd.read_csv(shared / "reference/ehr/pairs/pred_diab_gcop_holdout.csv")
    label = next(c for c in ("y", "y_true", "target", "readmit30") if c in pred.columns)
    for model in ("trtr", "tstr"):
        score = pred[f"p_{model}"].to_numpy(float)
        frame = holdout[["race", "gender"]].fillna("Missing").assign(
            y=pred[label].astype(float), s=score, d=(score >= np.quantile(score, 0.8)).astype(float)
        )  # fmt: skip
        plan = FairnessPlan(attributes=["race", "gender"], minimum_clusters=2)
        report = fairness_report(frame, plan, of(frame, "selection_rate", "sensitivity", "fpr", "auc"), cluster=None)  # type: ignore[arg-type]
        names = {"selection_rate": "sr", "sensitivity": "tpr", "fpr": "fpr"}
        values = {(r["measure"], *next(iter(r["cell"].items()))): r["estimate"]["value"] for r in report["cells"]}
        for attribute in ("race", "gender"):
            for ours, theirs in names.items():
                for level, expected in gold[model][attribute]["by_group"][theirs].items():
                    assert values[ours, attribute, level] == pytest.approx(expected, abs=1e-12)
            for level, expected in gold[model][attribute]["auc_by_group"].items():
                assert values["auc", attribute, level] == pytest.approx(expected, abs=1e-9)
        parity = values["selection_rate", "gender", "Male"] - values["selection_rate", "gender", "Female"]
        expected = aif[f"p_{model}|gender_male"]["statistical_parity_difference"]
        assert parity == pytest.approx(-expected, abs=1e-9)


@pytest.mark.shared
def test_chest_radiograph_rates_equal_the_reference(shared: Path) -> None:
    gold = json.loads((shared / "reference/imaging/detection_fairness.json").read_text())["nih"]["run11"]
    folder = shared / "data/imaging/cxr_nih_ai"
    truth = pd.read_csv(folder / "truth_demographics.csv.gz").merge(
        pd.read_csv(folder / "binary_run11.csv.gz"), on="path"
    )
    frame = pd.DataFrame(
        {"sex": truth["Patient Gender"], "patient": truth["Patient ID"], "y": truth["No Finding"] * 1.0,
         "d": truth["bi_No Finding"] * 1.0}
    )  # fmt: skip
    chosen = measures(
        ["fpr", "fnr"], label=frame.y.to_numpy(), decision=frame.d.to_numpy(), clusters=frame.patient.to_numpy()
    )
    report = fairness_report(frame, FairnessPlan(attributes=["sex"]), chosen, cluster="patient")
    for row in report["cells"]:
        expected = gold["NoFinding_by_sex"][row["cell"]["sex"]]
        assert row["estimate"]["value"] == pytest.approx(expected[row["measure"].upper()], abs=1e-12)
        assert row["n"] == expected["n_neg" if row["measure"] == "fpr" else "n_pos"]
        naive = measures([row["measure"]], label=frame.y.to_numpy(), decision=frame.d.to_numpy())[row["measure"]]
        independent = naive.estimator((frame.sex == row["cell"]["sex"]).to_numpy(), 0.95)
        assert row["estimate"]["upper"] - row["estimate"]["lower"] > (independent.upper or 0) - (independent.lower or 0)


@pytest.mark.shared
def test_haemorrhage_auc_by_sex(shared: Path) -> None:
    gold = json.loads((shared / "reference/imaging/detection_fairness.json").read_text())["ich"]["CAD_1"]["real"]
    table = pd.read_csv(shared / "data/imaging/det_ich_cad/CAD_1_real_preds.csv")
    chosen = measures(["auc"], label=(table.Any_ICH == 1).to_numpy(float), score=table.Model_Output.to_numpy(float))
    for sex, (expected, n, positives) in gold["auc_by_sex"].items():
        e = chosen["auc"].estimator((table.Gender == sex).to_numpy(), 0.95)
        assert e.value == pytest.approx(expected, abs=1e-9)
        assert (e.n, e.n_events) == (n, positives)


@pytest.mark.parametrize("metric", [m for m in METRICS if m != "mean"])
def test_one_case_never_gives_an_interval_without_width(metric: str) -> None:
    """The bootstrap of a group of one gives [0, 0]."""
    one = measures([metric], label=np.array([1.0, 0.0]), score=np.array([0.2, 0.9]), decision=np.array([0.0, 1.0]))[
        metric
    ]
    for k in range(2):
        e = one.estimator(np.arange(2) == k, 0.95)
        assert e.value is None or (e.upper is not None and e.lower is not None and e.upper - e.lower > 0.5)
        assert e.value is not None or e.reason


@pytest.mark.parametrize("n", [3, 8, 20])
@pytest.mark.parametrize("p", [0.05, 0.3])
def test_intervals_of_small_groups_cover(n: int, p: float) -> None:
    """Exact coverage over all outcomes; Wilson's may dip, never far below the level."""
    for interval, least in (("wilson", 0.83), ("clopper_pearson", 0.95)):
        covered = 0.0
        for k in range(n + 1):
            label = np.ones(n)
            decision = (np.arange(n) < k).astype(float)
            m = measures(["sensitivity"], label=label, decision=decision, interval=interval)["sensitivity"]  # type: ignore[arg-type]
            e = m.estimator(np.ones(n, dtype=bool), 0.95)
            covered += stats.binom.pmf(k, n, p) * (e.lower <= p <= e.upper)  # type: ignore[operator]
        assert covered >= least


def test_calibration_error_covers_in_small_groups_where_the_sample_value_is_biased() -> None:
    rng = np.random.default_rng(2)
    runs, missed, high = 200, 0, 0
    for _ in range(runs):
        s = rng.random(40)
        y = (rng.random(40) < s).astype(float)
        e = calibration_error(s, y)
        missed += not (e.lower <= 0.0 <= e.upper)  # type: ignore[operator]
        high += (e.value or 0) > 0.05
    assert missed <= stats.binom.isf(0.001, runs, 0.05)
    assert high > 0.9 * runs


def test_calibration_error_is_its_definition() -> None:
    rng = np.random.default_rng(3)
    s, y = rng.random(300), rng.integers(0, 2, 300).astype(float)
    bins = np.minimum((s * 10).astype(int), 9)
    expected = sum(np.mean(bins == b) * abs(y[bins == b].mean() - s[bins == b].mean()) for b in np.unique(bins))
    assert calibration_error(s, y).value == pytest.approx(expected)


def test_names_columns_and_values_are_checked() -> None:
    assert canonical("tpr") == "sensitivity"
    with pytest.raises(UsageProblem, match="Did you mean 'fpr'"):
        canonical("fprr")
    with pytest.raises(UsageProblem, match="needs decision"):
        measures(["fpr"], label=np.zeros(3))
    with pytest.raises(DataProblem, match="other than 0 and 1"):
        measures(["fpr"], label=np.array([0.0, 2.0]), decision=np.array([0.0, 1.0]))
    with pytest.raises(DataProblem, match="not probabilities"):
        measures(["ece"], label=np.array([0.0, 1.0]), score=np.array([-3.0, 8.0]))
