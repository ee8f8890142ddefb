"""Binormal and proper ROC curves: other tools, SciPy's optimiser, known curves, and data that fix no curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from tests.reader_study.known_answers import answers, close, indexed, scores_of
from validation.errors import DataProblem, UsageProblem
from validation.reader_study.analysis import analyse, pairs_of_modalities
from validation.reader_study.crossed import analyse_crossed
from validation.reader_study.curve_laws import curve_auc, curve_points
from validation.reader_study.fitted import curve_fits, fit_statement, side_by_side
from validation.reader_study.measured import measure
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.rating_counts import (
    CATEGORIES,
    degenerate,
    fitted_categories,
    goodness_of_fit,
    rating_counts,
)
from validation.reader_study.rating_curves import fit_curves
from validation.reader_study.scores import ReaderScores

COUNTS = np.array([[30.0, 19, 8, 2, 1], [5.0, 6, 5, 12, 22]])


def study(seed: int, readers: int = 3, cases: int = 80, levels: int | None = 6) -> ReaderScores:
    rng = np.random.default_rng(seed)
    positive = np.arange(cases) >= cases // 2
    score = rng.normal(size=(readers, 2, cases)) + rng.normal(size=(1, 1, cases)) + 1.4 * positive
    if levels:
        score = np.digitize(score, np.linspace(-1.5, 3, levels - 1)).astype(float)
    return ReaderScores(
        tuple(f"R{r}" for r in range(readers)), ("A", "B"), tuple(f"c{c}" for c in range(cases)), positive, score
    )


@pytest.mark.shared
@pytest.mark.parametrize("file", indexed("mrmcaov_othermetrics"))
@pytest.mark.parametrize(("metric", "endpoint"), [("binormal_auc", "binormal_auc"), ("binormalLR_auc", "proper_auc")])
def test_fitted_areas_match_mrmcaov(file: str, metric: str, endpoint: str, shared: Path) -> None:
    """MRMCaov 0.3.0 stops its iterations early: areas to 1e-5, standard errors to 1e-4, one FRRC to 2e-4."""
    gold, data = shared / "reference/mrmc/gold" / file, shared / "reference/mrmc/data"
    records = [r for r in answers(gold)[1] if r["metric"] == metric and "error" not in r]
    assert len(records) == 3
    scores = scores_of(data / records[0]["dataset"])
    measured = measure(scores, AnalysisPlan(endpoint=endpoint))  # type: ignore[arg-type]
    pairs = pairs_of_modalities(scores, None)
    for record in records:
        plan = AnalysisPlan(endpoint=endpoint, effects=Effects[record["effects"]])  # type: ignore[arg-type]
        result = analyse_crossed(scores, plan, "or", pairs, measured=measured)
        theirs = record["reader_metrics"]
        rows = {(r["reader"], r["modality"]): r["estimate"] for r in result["readers"]}
        close([rows[k] for k in zip(theirs["reader"], theirs["modality"], strict=True)], theirs[metric], atol=1e-5)
        d, gold_d = result["differences"][0], record["test_diffs"]
        loose = endpoint == "proper_auc" and "franken" in file and record["effects"] == "FRRC"
        close(d["estimate"], gold_d["Estimate"], atol=1e-5)
        close(d["se"], gold_d["StdErr"], atol=2e-4 if loose else 1e-4)
        close(d["p_value"], gold_d["p-value"], atol=3e-3 if loose else 1e-4)
        close([m["estimate"] for m in result["modalities"]], record["test_means"]["Estimate"], atol=1e-5)


@pytest.mark.shared
@pytest.mark.parametrize("file", indexed("mrmcaov_othermetrics"))
def test_expected_utility_matches_mrmcaov(file: str, shared: Path) -> None:
    for record in answers(shared / "reference/mrmc/gold" / file)[1]:
        if record["metric"] != "empirical_eu_slope1":
            continue
        scores = scores_of(shared / "reference/mrmc/data" / record["dataset"])
        plan = AnalysisPlan(endpoint="expected_utility", effects=Effects[record["effects"]], method="or")
        d = analyse(scores, plan).differences[0]
        t = record["test_diffs"]
        close([d["estimate"], d["se"], d["p_value"]], [t["Estimate"], t["StdErr"], t["p-value"]])


def test_the_binormal_fit_is_the_maximum_that_a_general_optimiser_finds() -> None:
    def minus_log_likelihood(x: np.ndarray) -> float:
        a, b, t = x[0], np.exp(x[1]), np.cumsum(np.concatenate([x[2:3], np.exp(x[3:])]))
        total = 0.0
        for counts, law in zip(COUNTS, (stats.norm.cdf(t), stats.norm.cdf(b * t - a)), strict=True):
            p = np.diff(np.concatenate([[0.0], law, [1.0]]))
            total -= float((counts * np.log(np.maximum(p, 1e-300))).sum())
        return total

    found = optimize.minimize(
        minus_log_likelihood, [1.0, 0.0, -0.5, -0.5, -0.5, -0.5], method="Nelder-Mead",
        options={"maxiter": 20000, "maxfev": 20000, "xatol": 1e-9, "fatol": 1e-12},
    )  # fmt: skip
    ours = fit_curves([COUNTS], "binormal")
    np.testing.assert_allclose(ours.shape[0], [found.x[0], np.exp(found.x[1])], rtol=1e-4)
    np.testing.assert_allclose(ours.log_likelihood[0], -found.fun, rtol=1e-9)


def test_a_proper_curve_never_crosses_the_chance_line_and_encloses_its_area() -> None:
    hooked = np.array([[30.0, 15, 3, 1, 1], [10.0, 2, 2, 4, 32]])
    for counts in (COUNTS, hooked):
        fit = fit_curves([counts], "proper")
        fp, tp = curve_points("proper", fit.shape[0])
        assert (tp >= fp - 1e-9).all()
        assert (np.diff(fp) >= -1e-12).all()
        np.testing.assert_allclose(np.trapezoid(tp, fp), curve_auc("proper", fit.shape)[0], atol=2e-5)
    fit = fit_curves([hooked], "binormal")
    fp, tp = curve_points("binormal", fit.shape[0])
    assert (tp < fp - 1e-3).any()  # the hook that a proper curve does not have
    np.testing.assert_allclose(np.trapezoid(tp, fp), curve_auc("binormal", fit.shape)[0], atol=2e-5)


def test_proper_area_agrees_with_the_bivariate_normal_law() -> None:
    for d, c in ((1.2, -0.3), (0.6, 0.5), (2.0, 0.01)):
        rho = -(1 - c**2) / (1 + c**2)
        both = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([-d / 2**0.5, 0.0])
        expected = stats.norm.cdf(d / 2**0.5) + 2 * both
        np.testing.assert_allclose(curve_auc("proper", np.array([d, c])), expected, atol=1e-6)


def test_expected_counts_of_a_fit_have_the_right_totals_and_the_equal_variance_curve_is_common_to_both_models() -> None:
    rng = np.random.default_rng(3)
    edges = [-0.5, 0.2, 0.9, 1.6]
    draws = (rng.normal(size=200000), rng.normal(1.3, 1, size=200000))
    counts = np.stack([np.bincount(np.digitize(x, edges), minlength=5) for x in draws]).astype(float)
    binormal, proper = fit_curves([counts], "binormal"), fit_curves([counts], "proper")
    assert binormal.shape[0] == pytest.approx([1.3, 1.0], abs=0.02)
    truth = stats.norm.cdf(1.3 / 2**0.5)
    assert curve_auc("binormal", binormal.shape)[0] == pytest.approx(truth, abs=0.003)
    assert curve_auc("proper", proper.shape)[0] == pytest.approx(truth, abs=0.003)
    assert binormal.expected[0] is not None
    np.testing.assert_allclose(binormal.expected[0].sum(axis=1), counts.sum(axis=1))


def test_goodness_of_fit_holds_its_level_and_sees_a_mixture() -> None:
    rng = np.random.default_rng(8)
    edges = [-1.0, -0.3, 0.3, 0.9, 1.6]
    p_values = []
    for _ in range(200):
        draws = (rng.normal(size=300), rng.normal(1.2, 1.4, size=300))
        counts = np.stack([np.bincount(np.digitize(x, edges), minlength=6) for x in draws]).astype(float)
        fit = fit_curves([counts], "binormal")
        statistic, df, _ = goodness_of_fit(fitted_categories(counts), fit.expected[0])  # type: ignore[arg-type]
        assert statistic is not None
        p_values.append(stats.chi2.sf(statistic, df))
    assert abs(np.mean(np.array(p_values) < 0.05) - 0.05) < 4 * (0.05 * 0.95 / 200) ** 0.5
    half = np.concatenate([rng.normal(-1.5, 0.3, 500), rng.normal(2.5, 0.3, 500)])
    counts = np.stack([np.bincount(np.digitize(x, edges), minlength=6) for x in (rng.normal(size=1000), half)])
    fit = fit_curves([counts.astype(float)], "binormal")
    assert fit.expected[0] is not None
    statistic, df, _ = goodness_of_fit(fitted_categories(counts.astype(float)), fit.expected[0])
    assert statistic is not None
    assert stats.chi2.sf(statistic, df) < 1e-6


@pytest.mark.parametrize(
    ("negative", "positive", "word"),
    [([10], [10], "tied"), ([8, 4], [3, 9], "one threshold"), ([0, 0], [3, 4], "one class"),
     ([10, 0, 0], [3, 4, 5], "edge")],
)  # fmt: skip
def test_counts_that_fix_no_curve_have_a_reason(negative: list[int], positive: list[int], word: str) -> None:
    counts = np.array([negative, positive], dtype=float)
    fit = fit_curves([counts], "binormal")
    assert word in fit.reason[0] or (word == "edge" and fit.perfect[0] is np.False_ and fit.reason[0])
    assert np.isnan(fit.shape[0]).all()


def test_perfect_separation_is_the_perfect_curve_and_is_said() -> None:
    scores = study(2)
    perfect = np.where(scores.positive, 5.0, 1.0)
    scores.score[0, 0] = perfect
    assert degenerate(rating_counts(perfect, scores.positive)[0]) == ("", True)
    result = analyse(scores, AnalysisPlan(endpoint="binormal_auc"))
    first = next(r for r in result.readers if (r["reader"], r["modality"]) == ("R0", "A"))
    assert first["estimate"] == 1.0
    assert first["lower"] is None
    assert first["reason"]
    rows = curve_fits(scores)
    assert rows[0]["binormal"]["perfect"]
    assert rows[0]["binormal"]["goodness_of_fit"]["p_value"] is None


def test_ties_are_refused_with_a_reason_and_nothing_is_nan() -> None:
    scores = study(2)
    scores.score[1, 1] = 3.0
    with pytest.raises(DataProblem, match="tied") as problem:
        analyse(scores, AnalysisPlan(endpoint="binormal_auc"))
    assert problem.value.code == "RDR-017"
    rows = curve_fits(scores)
    tied = next(r for r in rows if (r["reader"], r["modality"]) == ("R1", "B"))
    assert tied["binormal"]["auc"] is None
    assert "tied" in tied["binormal"]["reason"]
    beside = side_by_side(scores, AnalysisPlan(), pairs_of_modalities(scores, None))
    assert beside[0]["differences"]
    assert "tied" in beside[1]["reason"]


def test_parametric_and_empirical_results_stand_side_by_side() -> None:
    scores = study(5)
    rows = side_by_side(scores, AnalysisPlan(), pairs_of_modalities(scores, None))
    assert [r["endpoint"] for r in rows] == ["auc", "binormal_auc", "proper_auc"]
    values = [[m["estimate"] for m in r["modalities"]] for r in rows]
    assert np.ptp(values, axis=0).max() < 0.04
    assert rows[0]["differences"][0]["estimate"] == pytest.approx(
        analyse(scores, AnalysisPlan()).differences[0]["estimate"]
    )
    text = fit_statement(curve_fits(scores))
    assert "6 of 6 fitted" in text


def test_continuous_ratings_are_joined_without_losing_the_area() -> None:
    scores = study(6, readers=1, cases=200, levels=None)
    counts, place = rating_counts(scores.score[0, 0], scores.positive)
    assert counts.shape[1] == CATEGORIES
    assert counts.sum() == 200
    np.testing.assert_array_equal(np.bincount(place[scores.positive], minlength=CATEGORIES), counts[1])
    fit = fit_curves([counts], "binormal")
    empirical = measure(scores, AnalysisPlan()).values[0, 0, 0]
    assert curve_auc("binormal", fit.shape)[0] == pytest.approx(empirical, abs=0.02)


def test_figures_of_fitted_curves_have_closed_forms() -> None:
    scores = study(9)
    shape = fit_curves([rating_counts(scores.score[0, 0], scores.positive)[0]], "binormal").shape[0]
    a, b = shape
    for endpoint, expected in (
        ("sensitivity_at_specificity", stats.norm.cdf(a + b * stats.norm.ppf(0.1))),
        ("specificity_at_sensitivity", stats.norm.sf((stats.norm.ppf(0.9) - a) / b)),
    ):
        value = measure(scores, AnalysisPlan(endpoint=endpoint, curve="binormal")).values[0, 0, 0]  # type: ignore[arg-type]
        assert value == pytest.approx(expected, abs=1e-4)
    grid = np.linspace(1e-6, 0.2, 20001)
    area = np.trapezoid(stats.norm.cdf(a + b * stats.norm.ppf(grid)), grid) / 0.2
    value = measure(scores, AnalysisPlan(endpoint="partial_auc", curve="binormal")).values[0, 0, 0]
    assert value == pytest.approx(area, abs=1e-3)


def test_a_curve_is_refused_for_other_endpoints_and_covariances() -> None:
    with pytest.raises(UsageProblem, match="fitted curve"):
        AnalysisPlan(endpoint="auc", curve="binormal")
    with pytest.raises(UsageProblem, match="jackknife"):
        analyse(study(1), AnalysisPlan(endpoint="binormal_auc", covariance="delong"))
