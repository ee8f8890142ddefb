"""Joint tests against direct sums, against alibi-detect, and under null and planted shifts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from validation.shift import kernels
from validation.shift.compare import compare
from validation.shift.groups import bundle, pool
from validation.shift.multivariate import design, kernel_test
from validation.shift.report import Finding


def unbiased(x: np.ndarray, y: np.ndarray, length: float) -> float:
    """Return the unbiased squared MMD by the definition (Gretton et al. 2012, equation 3)."""
    kxx, kyy, kxy = (np.exp(-cdist(a, b, "sqeuclidean") / length) for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    return float(
        (kxx.sum() - np.trace(kxx)) / (n * (n - 1)) + (kyy.sum() - np.trace(kyy)) / (m * (m - 1)) - 2 * kxy.mean()
    )


@pytest.mark.parametrize("maximum", [10_000, 40])
def test_matrix_products_equal_the_definition(maximum: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For observed and reassigned cohorts, with single cases and with bundles, in one tile and in many."""
    monkeypatch.setattr(kernels, "_TILE", 2000)
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=(70, 3)), rng.normal(0.5, 1, size=(50, 3))])
    groups = bundle(pool(70, 50), maximum, seed=1)
    found = kernels.gaussian_sums(x, np.arange(120), groups, [2.0, 5.0], device="cpu")
    entry = kernels.entries(groups)[1]
    members = np.concatenate([found.groups.new[None, :], next(found.groups.assignments(5, 3))])
    values = kernels.discrepancies(found, members, device="cpu")
    for row, member in zip(values.T, members, strict=True):
        new = member[entry]
        for value, length in zip(row, (2.0, 5.0), strict=True):
            assert value == pytest.approx(unbiased(x[~new], x[new], length), abs=1e-10)


def test_energy_equals_the_definition() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(40, 2)), rng.normal(1, 1, size=(30, 2))
    x = np.concatenate([a, b])
    found = kernels.distance_sums(x, np.arange(70), pool(40, 30), device="cpu")
    value = kernels.discrepancies(found, found.groups.new[None, :], device="cpu")[0, 0]
    within = cdist(a, a).sum() / (40 * 39) + cdist(b, b).sum() / (30 * 29)
    assert value == pytest.approx(2 * cdist(a, b).mean() - within)


def test_pairs_of_one_patient_are_left_out() -> None:
    rng = np.random.default_rng(3)
    x, ids = rng.normal(size=(24, 2)), np.repeat(np.arange(8), 3)
    groups = pool(12, 12, ids[:12], ids[12:])
    found = kernels.gaussian_sums(x, groups.units, groups, [2.0], device="cpu")
    value = kernels.discrepancies(found, found.groups.new[None, :], device="cpu")[0, 0]
    k = np.exp(-cdist(x, x, "sqeuclidean") / 2.0) * (ids[:, None] != ids[None, :])
    expected = (k[:12, :12].sum() + k[12:, 12:].sum()) / (12 * 9) - 2 * k[:12, 12:].mean()
    assert value == pytest.approx(expected)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["diab_gcop", "diab_indep"])
def test_mmd_equals_alibi_detect(name: str, shared: Path) -> None:
    """Their distance is the unbiased squared MMD with exp(-d^2 / (2 sigma^2)) on columns prepared as noted there."""
    gold = json.loads((shared / "reference/ehr/alibi_detect.json").read_text())["results"][name]
    train = _pair(shared, gold["reference"])
    test = _pair(shared, gold["test"])
    numbers, categories = gold["KSDrift"]["features"], gold["ChiSquareDrift"]["features"]
    both = pd.concat([train, test])
    coded = pd.get_dummies(both[categories].astype(str), drop_first=True).astype(float).to_numpy()
    scaled = ((both[numbers] - train[numbers].mean()) / train[numbers].std(ddof=0)).to_numpy()
    x = np.concatenate([scaled, coded], axis=1)
    rows = [*range(1000), *range(len(train), len(train) + 1000)]
    results = kernel_test(
        x[rows], pool(1000, 1000), "mmd", 0.95, 0.05, 99, 1, "cpu",
        squared_length=2 * gold["MMDDrift"]["sigma"][0] ** 2,
    )  # fmt: skip
    assert results["statistic_value"] == pytest.approx(gold["MMDDrift"]["distance"], abs=3e-6)


def _pair(shared: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(shared / f"reference/ehr/pairs/{name}.csv", keep_default_na=False, na_values=[""])


def frames(rng: np.random.Generator, n: int, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    a, b = rng.normal(size=(n, 3)), rng.normal(size=(n, 3))
    if kind == "mean":
        b[:, 0] += 0.6
    elif kind == "spread":
        b *= 1.6
    elif kind == "dependence":
        b[:, 1] = 0.9 * b[:, 0] + np.sqrt(1 - 0.81) * b[:, 1]
    return tuple(pd.DataFrame(v, columns=["a", "b", "c"]) for v in (a, b))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["mean", "spread", "dependence"])
@pytest.mark.parametrize("test", ["mmd", "energy", "classifier"])
def test_planted_shifts_are_found(kind: str, test: str) -> None:
    """Also those that leave every mean (MONAI's linear MMD misses them) or every margin alone."""
    rng = np.random.default_rng(4)
    a, b = frames(rng, 400, kind)
    r = compare(a, b, [], multivariate=[test], multivariate_columns=["a", "b", "c"], permutations=199)
    assert r[test].finding is Finding.SHIFTED
    assert r[test].effect.lower is not None


@pytest.mark.parametrize("test", ["mmd", "energy", "classifier"])
def test_false_alarms_with_clusters_and_bundles(test: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "MAXIMUM_UNITS", 25)
    rng = np.random.default_rng(5)
    runs, alarms = 100, 0
    for _ in range(runs):
        parts = []
        for start in (0, 1000):
            patient = np.repeat(np.arange(30), 3)
            values = np.repeat(rng.normal(size=(30, 2)), 3, axis=0) + 0.2 * rng.normal(size=(90, 2))
            parts.append(pd.DataFrame(values, columns=["a", "b"]).assign(patient=start + patient))
        r = compare(
            *parts, [], cluster="patient", multivariate=[test], multivariate_columns=["a", "b"], permutations=99
        )
        alarms += bool(r.shifted)
    assert alarms <= stats.binom.isf(0.001, runs, 0.05)


def test_interval_of_the_discrepancy_covers_in_small_samples() -> None:
    """Truth zero: the lower limit is above zero in at most 2.5 % of studies, and the upper limit above the truth."""
    rng = np.random.default_rng(6)
    runs, above = 120, 0
    for _ in range(runs):
        a, b = frames(rng, 25, "none")
        effect = compare(a, b, [], multivariate=["mmd"], multivariate_columns=["a", "b", "c"], permutations=99)[
            "mmd"
        ].effect
        assert effect.upper is not None
        assert effect.lower is not None
        above += effect.lower > 0
    assert above <= stats.binom.isf(0.001, runs, 0.025)


def test_conditional_tests_within_strata() -> None:
    rng = np.random.default_rng(7)

    def draw(share: float, moved: float) -> pd.DataFrame:
        thick = rng.random(240) < share
        values = rng.normal(size=(240, 2)) + 2.0 * thick[:, None] + moved
        return pd.DataFrame(values, columns=["a", "b"]).assign(slice=np.where(thick, "5", "1"))

    tests = ["mmd", "energy", "classifier"]
    same = compare(
        draw(0.2, 0.0), draw(0.8, 0.0), [], multivariate=tests, multivariate_columns=["a", "b"], adjust_for=["slice"]
    )
    assert same.shifted == ()
    moved = compare(
        draw(0.2, 0.0), draw(0.8, 0.8), [], multivariate=tests, multivariate_columns=["a", "b"], adjust_for=["slice"]
    )
    assert set(moved.shifted) == set(tests)


def test_design_codes_categories_and_counts_missing() -> None:
    a = pd.DataFrame({"n": [1.0, 2.0, np.nan], "c": ["u", "v", "u"]})
    b = pd.DataFrame({"n": [3.0, 4.0], "c": ["v", None]})
    x, keep = design(a, b, ["n", "c"])
    assert keep.tolist() == [True, True, False, True, False]
    assert x.shape == (5, 2)
    assert x[keep].mean(axis=0) == pytest.approx([0, 0])
