"""Metrics of generated sets against the gold values of several tools, and planted copies and collapses."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import linalg

from validation.errors import DataProblem, UsageProblem
from validation.metrics.generative.distances import frechet_distance, kernel_distance
from validation.metrics.generative.diversity import condition_coverage, vendi_score
from validation.metrics.generative.manifold import precision_recall_coverage
from validation.metrics.generative.memorisation import authenticity, memorisation
from validation.statistics.proportions import proportion


@pytest.fixture(scope="module")
def sets(shared):
    gold = json.loads((shared / "reference" / "imaging" / "distribution.json").read_text())["pairs"]
    with np.load(shared / "data" / "imaging" / "cxr_pneumoniamnist" / "features49.npz") as archive:
        return gold, {name: archive[name] for name in archive.files}


@pytest.mark.shared
def test_three_pairs_equal_the_gold_values_of_four_tools(sets):
    gold, data = sets
    for pair, expected in gold.items():
        real, fake = (data[part.split("=")[1]] for part in pair.split(" | "))
        found = frechet_distance(real, fake)
        assert found.value == pytest.approx(expected["scipy_sqrtm_FID_float64(ddof1)"]["value"], abs=1e-9)
        assert found.lower < found.value < found.upper
        kernel = kernel_distance(real, fake)
        theirs = expected["numpy_full_unbiased_MMD2_poly3(gamma=1/49,coef0=1)"]["value"]
        assert kernel.value == pytest.approx(theirs, rel=1e-9)
        for k in (3, 5, 10):
            values = {name: e.value for name, e in precision_recall_coverage(real, fake, k=k).items()}
            assert values == pytest.approx(expected[f"prdc_k{k}"]["value"], abs=1e-12)
        share = expected["nearest_train_copy_stats(sklearn)"]["value"]["authenticity(d_sr>d_rr[nn])"]
        assert authenticity(real, fake).value == pytest.approx(share, abs=1e-12)


def test_frechet_distance_equals_the_matrix_square_root_also_of_singular_covariances():
    rng = np.random.default_rng(1)
    for n, d in ((200, 8), (15, 30)):
        a, b = rng.normal(size=(n, d)), rng.normal(size=(n + 5, d)) * 1.3 + 0.2
        root = linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
        assert frechet_distance(a, b).value == pytest.approx(expected, rel=1e-4)


def test_kernel_distance_has_mean_zero_for_one_population_and_its_interval_holds_zero():
    rng = np.random.default_rng(2)
    found = [kernel_distance(rng.normal(size=(60, 4)), rng.normal(size=(50, 4))) for _ in range(60)]
    values = np.array([e.value for e in found])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    held = proportion([float(e.lower <= 0 <= e.upper) for e in found])
    assert held.upper > 0.95


def test_pairs_of_one_patient_do_not_count():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(30), 4)
    values = rng.normal(size=(30, 3))[patients] + 1e-3 * rng.normal(size=(120, 3))
    other = rng.normal(size=(80, 3))
    table = pd.DataFrame(values).assign(patient=patients)
    gram = (values @ values.T / 3 + 1) ** 3
    different = patients[:, None] != patients
    cross, own = (values @ other.T / 3 + 1) ** 3, (other @ other.T / 3 + 1) ** 3
    expected = gram[different].mean() + own[~np.eye(80, dtype=bool)].mean() - 2 * cross.mean()
    assert kernel_distance(table, other).value == pytest.approx(expected, rel=1e-9)
    # each image's neighbour is of its own patient: without patients the balls shrink to nothing
    new = pd.DataFrame(rng.normal(size=(200, 3)))
    assert precision_recall_coverage(table, new, k=1)["precision"].value > 0.2
    assert precision_recall_coverage(table.drop(columns="patient"), new, k=1)["precision"].value < 0.05


def test_copies_are_found_and_a_new_sample_of_the_population_is_not_flagged():
    rng = np.random.default_rng(5)
    false_alarms, found = [], []
    for _ in range(40):
        train, holdout, new = (rng.normal(size=(n, 6)) for n in (300, 150, 150))
        honest = memorisation(train, holdout, new)
        false_alarms.append(float(honest["nearer than holdout"].lower > 0.5))
        copied = new.copy()
        copied[:15] = train[:15] + 1e-3 * rng.normal(size=(15, 6))  # a tenth of the images
        found.append(memorisation(train, holdout, copied)["copies"].lower > 0.01)
    rate = proportion(false_alarms)
    assert rate.lower <= 0.025 + 1e-9
    assert rate.value <= 0.125
    assert np.mean(found) >= 0.9
    copier = memorisation(train, holdout, train[:150] + 1e-3)
    assert copier["nearer than holdout"].value > 0.99
    assert copier["copies"].value == 1
    assert authenticity(train, train[:150] + 1e-3).value < 0.05


def test_a_holdout_with_patients_of_the_training_set_is_refused_without_naming_them():
    rng = np.random.default_rng(6)
    table = pd.DataFrame(rng.normal(size=(20, 2))).assign(patient=[f"secret{i}" for i in range(20)])
    other = pd.DataFrame(rng.normal(size=(20, 2))).assign(patient=[f"secret{i + 19}" for i in range(20)])
    with pytest.raises(DataProblem, match="1 patients") as caught:
        memorisation(table, other, rng.normal(size=(20, 2)))
    assert "secret" not in str(caught.value)


def classes(rng: np.random.Generator, n: int, which: list[int]) -> pd.DataFrame:
    label = rng.choice(which, n)
    values = rng.normal(size=(n, 5)) + 6 * np.eye(6, 5)[label] * np.where(label == 5, -1, 1)[:, None]
    return pd.DataFrame(values).assign(condition=[f"c{i}" for i in label])


def test_a_generator_that_collapsed_to_a_third_of_the_classes_is_found():
    rng = np.random.default_rng(7)
    real, good, collapsed = (
        classes(rng, 300, list(range(6))),
        classes(rng, 200, list(range(6))),
        classes(rng, 200, [0, 1]),
    )
    whole, third = condition_coverage(real, good), condition_coverage(real, collapsed)
    assert whole["covered"].value == 1
    assert third["covered"].value == pytest.approx(1 / 3)
    assert whole["fidelity"].value == pytest.approx(whole["ceiling"].value, abs=0.1)
    shuffled = good.assign(condition=rng.permutation(good["condition"]))
    assert condition_coverage(real, shuffled)["fidelity"].value < 0.4
    features = [t.drop(columns="condition") for t in (real, good, collapsed)]
    honest = vendi_score(features[1], features[0])["ratio"]
    assert honest.lower < 1 < honest.upper
    assert vendi_score(features[2], features[0])["ratio"].upper < 0.9
    assert precision_recall_coverage(features[0], features[2])["coverage"].value < 0.5
    with pytest.raises(DataProblem, match="condition"):
        condition_coverage(features[0], good)


def test_vendi_score_is_its_definition():
    rng = np.random.default_rng(8)
    values = rng.normal(size=(40, 6))
    scaled = (values - values.mean(0)) / values.std(0)
    unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    eigen = np.linalg.eigvalsh(unit @ unit.T / 40)
    eigen = eigen[eigen > 1e-12]
    expected = np.exp(-(eigen * np.log(eigen)).sum())
    assert vendi_score(values)["synthetic"].value == pytest.approx(expected, rel=1e-9)


def test_wrong_sets_are_refused():
    good = np.random.default_rng(9).normal(size=(20, 3))
    for wrong, text in (
        (good[:5], "shape"),
        (np.where(good > 1, np.nan, good), "not finite"),
        (good.ravel(), "shape"),
        (good[:, :2], "numbers of features"),
        (pd.DataFrame(good).assign(name="x"), "not numbers"),
    ):
        with pytest.raises(DataProblem, match=text):
            frechet_distance(good, wrong)
    with pytest.raises(UsageProblem, match="k is"):
        precision_recall_coverage(good, good, k=20)
    few = pd.DataFrame(good).assign(patient=np.repeat(["a", "b"], 10))
    assert frechet_distance(few, good).lower is None


def test_identical_constant_sets_are_wholly_covered():
    same = np.ones((20, 3))
    values = {name: e.value for name, e in precision_recall_coverage(same, same, k=3).items()}
    assert values["precision"] == values["recall"] == values["coverage"] == 1
