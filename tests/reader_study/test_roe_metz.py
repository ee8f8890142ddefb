"""Simulated studies: exact moments, calibration, operating characteristics."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from validation.errors import UsageProblem
from validation.reader_study.judgement import Claim, compare
from validation.reader_study.operating import (
    StudySize,
    analyse_batch,
    conclusions,
    operating_characteristics,
)
from validation.reader_study.pilots import shifted
from validation.reader_study.roe_metz import RoeMetz, published_structures, roe_metz, simulate_batches
from validation.reader_study.roe_metz_theory import (
    RocketteParameters,
    bivariate_normal,
    calibrated,
    crossed_weights,
    rockette_parameters,
    theory_moments,
    theory_variance,
)
from validation.reader_study.scores import from_frame

SIZE = StudySize(readers=5, negatives=50, positives=50)


@pytest.mark.parametrize(("h", "k", "rho"), [(0.3, -1.2, 0.4), (0.0, 0.7, -0.3), (1.5, 1.5, 0.99), (0, 0, 0.2)])
def test_bivariate_normal_equals_scipy(h: float, k: float, rho: float) -> None:
    theirs = stats.multivariate_normal(cov=[[1, rho], [rho, 1]]).cdf([h, k])
    assert float(bivariate_normal(np.array(h), np.array(k), np.array(rho))) == pytest.approx(theirs, abs=1e-7)


def test_bivariate_normal_at_its_limits() -> None:
    h, k = np.array(0.4), np.array(-0.2)
    assert float(bivariate_normal(h, k, np.array(1.0))) == pytest.approx(stats.norm.cdf(-0.2))
    assert float(bivariate_normal(h, k, np.array(0.0))) == pytest.approx(stats.norm.cdf(0.4) * stats.norm.cdf(-0.2))


@pytest.mark.shared
def test_parameters_equal_mrmcaov_0_3_0_in_108_configurations(shared: Path) -> None:
    gold = json.loads((shared / "reference/mrmc/gold/mrmcaov_roemetz_or_conversion.json").read_text())
    assert gold["meta"]["version"] == "0.3.0"
    assert len(gold["RMH_to_OR"]) == 108
    for row in gold["RMH_to_OR"]:
        found = rockette_parameters(_rmh(row["RMH"]), row["RMH"]["n0"], row["RMH"]["n1"])
        theirs = row["OR"]
        ours = (*found.auc, found.var_reader, found.var_reader_modality)
        ours = (*ours, found.var_error, found.cov1, found.cov2, found.cov3)
        names = ("AUC1", "AUC2", "var_R", "var_TR", "var_error", "cov1", "cov2", "cov3")
        np.testing.assert_allclose(ours, [theirs[n] for n in names], rtol=1e-9)


@pytest.mark.shared
def test_calibration_equals_the_search_of_mrmcaov_0_3_0(shared: Path) -> None:
    gold = json.loads((shared / "reference/mrmc/gold/mrmcaov_roemetz_or_conversion.json").read_text())
    for row in gold["OR_to_RMH"]:
        o, args, theirs = row["OR_input"], row["args"], row["RMH"]
        target = RocketteParameters(
            auc=(o["AUC1"], o["AUC2"]),
            var_reader=o["var_R"],
            var_reader_modality=o["var_TR"],
            var_error=o["var_error"],
            **{f"cov{k}": o[f"corr{k}"] * o["var_error"] for k in (1, 2, 3)},
            negatives=o["n0"],
            positives=o["n1"],
        )
        model = calibrated(target, b=theirs["b"] if args else None)
        ours = [*(model.means[:, 1]), *model.shared[0], *model.own[0, 0]]
        names = ("delta1", "delta2", "var_R", "var_C", "var_RC", "var_TR", "var_TC", "var_error")
        # the search of the other tool stops at about 1e-6
        np.testing.assert_allclose(ours, [theirs[n] for n in names], rtol=3e-5, atol=1e-8)


def test_calibration_returns_the_model_it_came_from() -> None:
    model = roe_metz(
        differences=(1.4, 1.1), reader=0.02, reader_modality=0.01, case=0.3, case_modality=0.25, reader_case=0.15,
        rest=0.3, b=0.8,
    )  # fmt: skip
    target = rockette_parameters(model, 60, 40)
    for b in (0.8, None):
        found = calibrated(target, b=b)
        np.testing.assert_allclose(found.means, model.means, rtol=1e-6)
        np.testing.assert_allclose(found.shared, model.shared, rtol=1e-6)
        np.testing.assert_allclose(found.own, model.own, rtol=1e-6)


def test_calibration_counts_negative_components_as_zero() -> None:
    target = RocketteParameters(
        auc=(0.85, 0.84), var_reader=4e-5, var_reader_modality=-7e-4, var_error=1.5e-3, cov1=8e-4, cov2=4e-4, cov3=5e-4,
        negatives=33, positives=67,
    )  # fmt: skip
    model = calibrated(target)
    assert min(model.shared.min(), model.own.min()) >= 0
    assert model.own[0, 0, 0] == 0


@pytest.mark.shared
def test_theory_and_analysis_equal_the_monte_carlo_gold(shared: Path) -> None:
    folder = shared / "reference/mrmc"
    gold = json.loads((folder / "gold/montecarlo_HL0p75_1000trials.json").read_text())
    model = published_structures()["HL0.75"]
    variance = theory_variance(model, crossed_weights(5, 50, 50))
    exact = gold["theory_exact"]
    assert theory_moments(model)[0][0] == pytest.approx(exact["AUC"]["A"], rel=1e-12)
    np.testing.assert_allclose(variance, [[exact["varA"], exact["covAB"]], [exact["covAB"], exact["varB"]]], rtol=1e-9)
    table = pd.read_csv(folder / "gold/montecarlo_HL0p75_1000trials_table.csv").head(20)
    data = pd.read_csv(folder / "data/mc_HL0p75_first20.csv")
    batch = np.stack([from_frame(rows).score for _, rows in data.groupby("trial")])
    for name in ("unbiased", "DeLong", "jackknife"):  # MRMCaov 0.3.0
        found = analyse_batch(batch, SIZE, covariance=name.lower())
        np.testing.assert_allclose(np.sqrt(found.variance[:, 0]), table[f"or_{name}_se"], rtol=1e-10)
        np.testing.assert_allclose(found.df[:, 0], table[f"or_{name}_df"], rtol=1e-10)
    found = analyse_batch(batch, SIZE, method="ustat")  # iMRMC R 2.1.2
    np.testing.assert_allclose(found.variance[:, 0], table["var_diff"], rtol=1e-10)
    np.testing.assert_allclose(found.df[:, 0], table["df"], rtol=1e-10)


@pytest.mark.shared
def test_published_structures_equal_the_table_of_imrmc(shared: Path) -> None:
    table = pd.read_csv(shared / "reference/mrmc/data/roemetz1997_configs.csv")
    structures = published_structures()
    assert len(table) == len(structures) == 12
    for row in table.to_dict("records"):
        model = structures[str(row["config"]).split("_")[0].replace("p", ".")]
        assert model.means[0, 1] == row["mu.Apos"]
        for t, truth in enumerate(("neg", "pos")):
            for k, term in enumerate(("r", "c", "rc")):
                assert model.shared[t, k] == row[f"var_{term}.{truth}"]
                assert model.own[0, t, k] == row[f"var_{term}.A{truth}"] == row[f"var_{term}.B{truth}"]


def test_simulated_scores_have_the_variances_of_the_model() -> None:
    model = roe_metz(
        differences=(1.0, 2.0), reader=0.4, reader_modality=0.2, case=0.3, case_modality=0.5, reader_case=0.1, rest=0.6,
        b=0.5,
    )  # fmt: skip
    (batch,) = simulate_batches(model, readers=2, negatives=2, positives=2, trials=60_000, seed=3)
    x = batch.numpy()
    assert x.shape == (60_000, 2, 2, 4)
    np.testing.assert_allclose(x.mean(0)[0, :, 3], [1.0, 2.0], atol=0.05)
    flat = np.cov(x[..., 0].reshape(len(x), -1).T)  # a non-diseased case: (r1 m1, r1 m2, r2 m1, r2 m2)
    np.testing.assert_allclose(flat[0], [2.1, 0.8, 0.8, 0.3], atol=0.06)
    flat = np.cov(x[..., 3].reshape(len(x), -1).T)  # a diseased case: case terms four times as large
    np.testing.assert_allclose(flat[0], [6.6, 2.0, 3.2, 1.2], atol=0.2)


def test_the_seed_fixes_the_studies_and_batches_bound_memory() -> None:
    model = published_structures()["LL1.50"]
    sizes = {"readers": 20, "negatives": 500, "positives": 500, "trials": 60}
    first = [b.clone() for b in simulate_batches(model, **sizes, seed=5)]
    assert len(first) > 1
    assert max(b.numel() for b in first) <= 1 << 20
    again = list(simulate_batches(model, **sizes, seed=5))
    assert all(bool((a == b).all()) for a, b in zip(first, again, strict=True))
    assert not bool((first[0] == next(iter(simulate_batches(model, **sizes, seed=6)))).any())


@pytest.mark.parametrize("groups", [1, 2])
def test_null_studies_reject_at_five_percent_and_variances_agree_with_theory(groups: int) -> None:
    size = StudySize(readers=6, negatives=48, positives=48, groups=groups)
    found = operating_characteristics(
        published_structures()["HL0.75"], size, trials=800, seed=11, method="ustat" if groups > 1 else "or"
    )
    assert abs((found.success.value or 0) - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 800)
    assert found.coverage.value == pytest.approx(1 - (found.success.value or 0))
    assert found.mean_variance == pytest.approx(found.true_variance, rel=0.08)
    assert found.empirical_variance == pytest.approx(found.true_variance, rel=4 * math.sqrt(2 / 800))


def test_a_margin_makes_the_border_of_non_inferiority_the_null() -> None:
    model = shifted(published_structures()["HL0.75"], -0.05)
    auc = theory_moments(model)[0]
    assert auc[0] - auc[1] == pytest.approx(-0.05, abs=1e-12)
    found = operating_characteristics(
        model, SIZE, trials=800, seed=2, claim=Claim.NON_INFERIORITY, margin=0.05, covariance="delong"
    )
    assert abs((found.success.value or 0) - 0.025) < 4 * math.sqrt(0.025 * 0.975 / 800)


@pytest.mark.parametrize(
    ("claim", "margin", "directed"),
    [
        (Claim.SUPERIORITY, 0.0, False),
        (Claim.SUPERIORITY, 0.0, True),
        (Claim.SUPERIORITY, 0.02, False),
        (Claim.NON_INFERIORITY, 0.05, False),
        (Claim.EQUIVALENCE, 0.06, False),
    ],
)
def test_conclusions_of_a_batch_are_those_of_single_studies(claim: Claim, margin: float, directed: bool) -> None:
    rng = np.random.default_rng(4)
    estimate, variance = rng.normal(0, 0.05, 60), rng.uniform(1e-4, 1e-3, 60)
    variance[:3] = [-1e-5, 0.0, np.nan]
    df = np.where(rng.random(60) < 0.2, np.inf, rng.uniform(2, 50, 60))
    met, _, decided = conclusions(
        estimate, variance, df, 0.0, claim=claim, margin=margin, alpha=0.05, directed=directed
    )
    for k in range(60):
        single = compare(estimate[k], variance[k], df[k], claim=claim, margin=margin, alpha=0.05, directed=directed)
        assert (single.outcome == "pass") == met[k]
        assert (single.lower is not None) == decided[k]


def test_impossible_models_are_refused() -> None:
    good = published_structures()["HL0.75"]
    with pytest.raises(UsageProblem, match="negative"):
        RoeMetz(means=good.means, shared=-good.shared, own=good.own)
    with pytest.raises(UsageProblem, match="do not vary"):
        RoeMetz(means=good.means, shared=good.shared * 0, own=good.own * 0)
    with pytest.raises(UsageProblem, match="shape"):
        RoeMetz(means=good.means[:, :1], shared=good.shared, own=good.own)
    with pytest.raises(UsageProblem, match="ratio b"):
        roe_metz(differences=(1.0,), reader=0.1, case=0.1, case_modality=0.1, reader_case=0.1, rest=0.1, b=0.0)
    with pytest.raises(UsageProblem, match="two modalities"):
        operating_characteristics(
            roe_metz(differences=(1.0,), reader=0.1, case=0.1, case_modality=0.1, reader_case=0.1, rest=0.1), SIZE
        )
    with pytest.raises(UsageProblem, match="U-statistics"):
        analyse_batch(np.zeros((1, 4, 2, 8)), StudySize(readers=4, negatives=4, positives=4, groups=2))
    with pytest.raises(UsageProblem, match="at least two readers"):
        StudySize(readers=1, negatives=10, positives=10)
    with pytest.raises(UsageProblem, match="between 0"):
        calibrated(
            RocketteParameters(
                auc=(0.4, 0.6), var_reader=0.0, var_reader_modality=0.0, var_error=1e-3, cov1=0.0, cov2=0.0, cov3=0.0,
                negatives=10, positives=10,
            )
        )  # fmt: skip


def _rmh(p: dict[str, float]) -> RoeMetz:
    return roe_metz(
        differences=(p["delta1"], p["delta2"]),
        reader=p["var_R"],
        reader_modality=p["var_TR"],
        case=p["var_C"],
        case_modality=p["var_TC"],
        reader_case=p["var_RC"],
        rest=p["var_error"],
        b=p["b"],
    )
