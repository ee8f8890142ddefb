"""What must hold for any study: identities between methods, invariances, other ways to the same number."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.reader_study.known_answers import OWN, scores_of
from validation.errors import DataProblem
from validation.reader_study.analysis import analyse
from validation.reader_study.covariance import (
    covariance_of_moments,
    delong_covariance,
    jackknife_auc_covariance,
    jackknife_covariance,
    product_moments,
)
from validation.reader_study.figures import evaluate
from validation.reader_study.judgement import Claim
from validation.reader_study.measured import measure
from validation.reader_study.obuchowski_rockette import Effects, components, modality_differences
from validation.reader_study.pairs import empirical_auc, leave_one_out_auc, pair_sums
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores, from_frame
from validation.reader_study.ustatistics import difference, moments

Numbers = np.ndarray[Any, np.dtype[np.float64]]


def random_scores(seed: int, shape: tuple[int, int, int, int], levels: int = 8, missing: float = 0.0) -> Numbers:
    """Return scores with ties ``(trial, reader, modality, case)``, some not read."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, levels, size=shape).astype(float)
    score[rng.random(shape) < missing] = np.nan
    return score


def slow_auc(score: Numbers, positive: Numbers) -> float:
    """Return the AUC by the definition, pair by pair."""
    pairs = [
        (x > y) + 0.5 * (x == y)
        for x, y in itertools.product(score[positive], score[~positive])
        if not (np.isnan(x) or np.isnan(y))
    ]
    return float(np.mean(pairs)) if pairs else float("nan")


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(2, 6),
    st.integers(2, 6),
    st.sampled_from([0.0, 0.3]),
)
def test_auc_and_its_deletions_are_those_of_the_definition(
    seed: int, readers: int, modalities: int, n0: int, n1: int, missing: float
) -> None:
    score = random_scores(seed, (2, readers, modalities, n0 + n1), missing=missing)
    positive = np.arange(n0 + n1) >= n0
    sums = pair_sums(score, positive, products=False)
    auc = empirical_auc(sums)
    for at in np.ndindex(auc.shape):
        np.testing.assert_allclose(auc[at], slow_auc(score[at], positive))
    if not missing:
        deleted = np.concatenate(leave_one_out_auc(sums), axis=-1).reshape(*auc.shape, -1)
        for at in np.ndindex(auc.shape):
            for i in range(n0 + n1):
                keep = np.arange(n0 + n1) != i
                np.testing.assert_allclose(deleted[*at, i], slow_auc(score[at][keep], positive[keep]))


def test_sums_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    score = random_scores(5, (7, 3, 2, 40))
    positive = np.arange(40) >= 17
    whole = pair_sums(score, positive, products=True)
    monkeypatch.setattr("validation.reader_study.pairs._BUDGET", 500)
    pieces = pair_sums(score, positive, products=True)
    for name in ("total", "by_negative", "by_positive", "product"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))


def test_torch_gives_the_numbers_of_numpy() -> None:
    import torch

    score = random_scores(3, (4, 3, 2, 30), missing=0.1)
    positive = np.arange(30) >= 14
    ours = pair_sums(score, positive, products=True)
    theirs = pair_sums(torch.from_numpy(score), torch.from_numpy(positive), products=True)
    np.testing.assert_allclose(empirical_auc(theirs).numpy(), empirical_auc(ours), rtol=1e-14)
    np.testing.assert_allclose(
        covariance_of_moments(*product_moments(theirs)).numpy(),
        covariance_of_moments(*product_moments(ours)),
        rtol=1e-11,
    )
    complete = torch.from_numpy(random_scores(3, (4, 3, 2, 30)))
    sums = pair_sums(complete, torch.from_numpy(positive), products=False)
    again = pair_sums(complete.numpy(), positive, products=False)
    for estimator in (delong_covariance, jackknife_auc_covariance):
        np.testing.assert_allclose(estimator(sums).numpy(), estimator(again), rtol=1e-12, atol=1e-16)


def test_a_batch_gives_the_numbers_of_single_runs() -> None:
    score = random_scores(11, (9, 4, 3, 26))
    positive = np.arange(26) >= 12
    sums = pair_sums(score, positive, products=True)
    batch = components(empirical_auc(sums), covariance_of_moments(*product_moments(sums)))
    together = modality_differences(batch, Effects.RRRC, [0, 0], [1, 2])
    for t in range(9):
        one = pair_sums(score[t : t + 1], positive, products=True)
        alone = modality_differences(
            components(empirical_auc(one), covariance_of_moments(*product_moments(one))), Effects.RRRC, [0, 0], [1, 2]
        )
        np.testing.assert_allclose(together.variance[t], alone.variance[0], rtol=1e-12)
        np.testing.assert_allclose(together.df[t], alone.df[0], rtol=1e-12)


def test_delong_variance_is_the_sample_variance_of_structural_components() -> None:
    """The definition of 1988, with the placements from scipy's mid-ranks."""
    scores = scores_of(OWN / "own_ordinal.csv")
    x, y = scores.score[0, 0][scores.positive], scores.score[0, 0][~scores.positive]
    ranks = stats.rankdata(np.concatenate([x, y]))
    v10 = (ranks[: len(x)] - stats.rankdata(x)) / len(y)
    v01 = 1 - (ranks[len(x) :] - stats.rankdata(y)) / len(x)
    expected = v10.var(ddof=1) / len(x) + v01.var(ddof=1) / len(y)
    ours = delong_covariance(pair_sums(scores.score[None], scores.positive, products=False))[0, 0, 0]
    assert ours == pytest.approx(expected, rel=1e-12)


def test_bootstrap_tends_to_delong() -> None:
    scores = scores_of(OWN / "own_ordinal.csv")
    boot = measure(scores, AnalysisPlan(method="or", covariance="bootstrap", replicates=6000, seed=7)).covariance[0]
    limit = measure(scores, AnalysisPlan(method="or", covariance="delong")).covariance[0]
    n = min(scores.positive.sum(), (~scores.positive).sum())
    # the ideal bootstrap is smaller by about (n - 1) / n; the spread of a variance over B replicates is sqrt(2 / B)
    np.testing.assert_allclose(np.diag(boot) / np.diag(limit), 1 - 1 / n, atol=4 * np.sqrt(2 / 6000) + 0.01)


@pytest.mark.parametrize("name", ["own_ordinal", "own_continuous", "own_tiny"])
@pytest.mark.parametrize("effects", list(Effects))
def test_dbm_is_the_analysis_of_variance_of_pseudovalues(name: str, effects: Effects) -> None:
    """Form the pseudovalues, fit the three-way table the long way, and compare mean squares and tests."""
    scores = scores_of(OWN / f"{name}.csv")
    result = analyse(scores, AnalysisPlan(method="dbm", effects=effects, holm=False))
    sums = pair_sums(scores.score[None], scores.positive, products=False)
    auc = empirical_auc(sums)[0]
    c = len(scores.cases)
    R, M = auc.shape
    deleted = np.concatenate(leave_one_out_auc(sums), axis=-1)[0].reshape(R, M, c)
    # centred so that their mean over cases is the AUC itself, as in Hillis et al. 2005
    pseudo = c * auc[..., None] - (c - 1) * deleted
    pseudo += (auc - pseudo.mean(axis=-1))[..., None]
    means = {axes: pseudo.mean(axis=tuple(a for a in range(3) if a not in axes), keepdims=True) for axes in powerset()}
    squares = {}
    for axes in powerset()[1:]:
        effect = sum((-1) ** (len(axes) - len(part)) * means[part] for part in powerset() if set(part) <= set(axes))
        df = np.prod([pseudo.shape[a] - 1 for a in axes])
        squares[axes] = float((np.broadcast_to(effect, pseudo.shape) ** 2).sum() / df)
    names = {(1,): "T", (0,): "R", (2,): "C", (0, 1): "TR", (1, 2): "TC", (0, 2): "RC", (0, 1, 2): "TRC"}
    for axes, key in names.items():
        assert result.anova[key]["mean_square"] == pytest.approx(squares[axes], rel=1e-9, abs=1e-12)
    error = {
        Effects.RRRC: squares[0, 1] + max(squares[1, 2] - squares[0, 1, 2], 0),
        Effects.FRRC: squares[1, 2],
        Effects.RRFC: squares[0, 1],
    }[effects]
    assert result.anova["equality"]["statistic"] == pytest.approx(squares[1,] / error, rel=1e-9)


def powerset() -> list[tuple[int, ...]]:
    """Return the subsets of the three axes, the empty one first."""
    return [s for k in range(4) for s in itertools.combinations(range(3), k)]


@pytest.mark.parametrize("name", ["own_ordinal", "own_continuous"])
def test_unbiased_or_equals_u_statistics(name: str) -> None:
    """For fully crossed studies with Cov2 >= Cov3 the two variances of a difference are one number."""
    scores = scores_of(OWN / f"{name}.csv").select(modalities=["M1", "M2"])
    o = analyse(scores, AnalysisPlan(method="or", covariance="unbiased"))
    assert o.components["cov2"] >= o.components["cov3"]
    u = analyse(scores, AnalysisPlan(method="ustat"))
    assert o.differences[0]["se"] == pytest.approx(u.differences[0]["se"], rel=1e-10)


@pytest.mark.parametrize("method", ["or", "dbm", "ustat"])
def test_names_order_and_monotone_scales_change_nothing(method: str) -> None:
    scores = scores_of(OWN / "own_continuous.csv")
    table = scores.to_frame()
    base = analyse(scores, AnalysisPlan(method=method)).differences
    shuffled = table.sample(frac=1, random_state=1)
    renamed = shuffled.assign(
        reader="Z" + shuffled["reader"].str[::-1], case="x" + shuffled["case"], score=np.exp(3 * shuffled["score"])
    )
    again = analyse(from_frame(renamed), AnalysisPlan(method=method)).differences
    for a, b in zip(base, again, strict=True):
        for key in ("estimate", "se", "df", "p_value", "lower", "upper"):
            assert a[key] == pytest.approx(b[key], rel=1e-9)


def test_swapping_the_classes_turns_the_auc_round() -> None:
    scores = scores_of(OWN / "own_continuous.csv")
    table = scores.to_frame()
    turned = from_frame(table.assign(truth=1 - table["truth"], score=-table["score"]))
    for method in ("or", "ustat"):
        a = analyse(scores, AnalysisPlan(method=method)).differences[0]
        b = analyse(turned, AnalysisPlan(method=method)).differences[0]
        assert a["se"] == pytest.approx(b["se"], rel=1e-9)
        assert a["estimate"] == pytest.approx(b["estimate"], rel=1e-9)


def test_fixed_readers_of_two_modalities_are_the_same_by_u_statistics() -> None:
    scores = scores_of(OWN / "own_continuous.csv")
    scores = scores.select(modalities=list(scores.modalities[:2]))
    plans = (
        AnalysisPlan(method="ustat", effects=Effects.FRRC),
        AnalysisPlan(covariance="unbiased", effects=Effects.FRRC),
    )
    ours, theirs = (analyse(scores, plan) for plan in plans)
    for key in ("estimate", "se", "p_value"):
        assert ours.differences[0][key] == pytest.approx(theirs.differences[0][key], rel=1e-9)
    np.testing.assert_allclose([m["se"] for m in ours.modalities], [m["se"] for m in theirs.modalities], rtol=1e-9)
    split = analyse(scores_of(OWN / "own_splitplot.csv"), AnalysisPlan(effects=Effects.FRRC))
    assert split.method == "ustat"
    assert split.differences[0]["df"] is None  # the normal law
    with pytest.raises(DataProblem, match="cases as random"):
        analyse(scores_of(OWN / "own_splitplot.csv"), AnalysisPlan(effects=Effects.RRFC))


def test_a_split_plot_of_one_group_is_a_crossed_study() -> None:
    scores = scores_of(OWN / "own_splitplot.csv")
    group = [r for r in scores.readers if (scores.read[scores.readers.index(r)] == scores.read[0]).all()]
    one = scores.select(readers=group)
    assert analyse(one).design.type == "fully_crossed"


def test_jackknife_of_any_figure_is_that_of_the_closed_form() -> None:
    scores = scores_of(OWN / "own_tiny.csv")
    rows = scores.score.reshape(-1, len(scores.cases))
    values, deleted = evaluate(slow_auc, rows, scores.positive)
    closed = measure(scores, AnalysisPlan(method="or"))
    np.testing.assert_allclose(values, closed.values.ravel(), rtol=1e-12)
    np.testing.assert_allclose(jackknife_covariance(deleted[None]), closed.covariance, rtol=1e-10, atol=1e-16)


def test_whole_band_partial_auc_is_the_auc() -> None:
    scores = scores_of(OWN / "own_ordinal.csv")
    whole = measure(scores, AnalysisPlan(method="or"))
    for of in ("specificity", "sensitivity"):
        part = measure(scores, AnalysisPlan(method="or", endpoint="partial_auc", band=(0.0, 1.0), band_of=of))  # type: ignore[arg-type]
        np.testing.assert_allclose(part.values, whole.values, rtol=1e-12)
        np.testing.assert_allclose(part.covariance, whole.covariance, rtol=1e-9, atol=1e-15)


def test_control_turns_the_difference() -> None:
    scores = scores_of(OWN / "own_continuous.csv")
    every = {(d["a"], d["b"]): d for d in analyse(scores).differences}
    against = analyse(scores, AnalysisPlan(control="M1")).differences
    assert [(d["a"], d["b"]) for d in against] == [("M2", "M1"), ("M3", "M1")]
    assert against[0]["estimate"] == pytest.approx(-every["M1", "M2"]["estimate"])


def test_holm_is_that_of_statsmodels_and_rules_the_verdicts() -> None:
    from statsmodels.stats.multitest import multipletests

    scores = scores_of(OWN / "own_continuous.csv")
    result = analyse(scores, AnalysisPlan(claim=Claim.NON_INFERIORITY, margin=0.06))
    p = [d["p_value"] for d in result.differences]
    np.testing.assert_allclose([d["p_adjusted"] for d in result.differences], multipletests(p, method="holm")[1])
    for d in result.differences:
        assert (d["verdict"] == "pass") == (d["p_adjusted"] < 0.025)


def two_tests_of_null_studies(trials: int, seed: int) -> tuple[float, float]:
    """Return how often both methods reject equal modalities at 5 % in Roe-Metz null studies (HL, 0.75)."""
    rng = np.random.default_rng(seed)
    R, M, n = 5, 2, 50
    var_r, var_c, var_rc = 0.0055, 0.3, 0.2  # Roe & Metz 1997, structure HL, AUC 0.702
    score = np.zeros((trials, R, M, 2 * n))
    for k, truth in enumerate((0, 1)):
        part = rng.normal(scale=var_r**0.5, size=(trials, R, 1, 1)) + rng.normal(
            scale=var_r**0.5, size=(trials, R, M, 1)
        )
        part = (
            part
            + rng.normal(scale=var_c**0.5, size=(trials, 1, 1, n))
            + rng.normal(scale=var_c**0.5, size=(trials, 1, M, n))
        )
        part = part + rng.normal(scale=var_rc**0.5, size=(trials, R, 1, n))
        rest = 1 - 2 * var_c - var_rc
        score[..., k * n : (k + 1) * n] = part + rng.normal(scale=rest**0.5, size=(trials, R, M, n)) + 0.75 * truth
    positive = np.arange(2 * n) >= n
    sums = pair_sums(score, positive, products=True)
    auc = empirical_auc(sums)
    o = modality_differences(components(auc, jackknife_auc_covariance(sums)), Effects.RRRC, [0], [1])
    counts = (sums.read_negative.sum(-1) * sums.read_positive.sum(-1)).reshape(auc.shape)
    u = difference(moments(*product_moments(sums), auc, counts), [0], [1])
    shares = []
    for c in (o, u):
        t = np.abs(c.estimate) / np.sqrt(np.where(c.variance > 0, c.variance, np.inf))
        shares.append(float((2 * stats.t.sf(t, c.df) < 0.05).mean()))
    return shares[0], shares[1]


def test_type_one_error_is_near_five_per_cent() -> None:
    """400 null studies: Monte Carlo standard error 0.011, bound at four of them."""
    for share in two_tests_of_null_studies(400, seed=20):
        assert abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 400)


def test_designs_keep_the_scores(tmp_path: object) -> None:
    scores = scores_of(OWN / "own_splitplot.csv")
    same = from_frame(pd.DataFrame(scores.to_frame()))
    assert isinstance(same, ReaderScores)
    np.testing.assert_array_equal(same.score, scores.score)
