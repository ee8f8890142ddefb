"""Agreement against published examples, statsmodels, and iMRMC's multi-reader limits of agreement."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.reader_study.known_answers import OWN, close, scores_of
from validation.reader_study.agreement import (
    intraclass_correlation,
    krippendorff_alpha,
    limits_of_agreement,
    weighted_kappa,
)
from validation.reader_study.analysis import analyse
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import from_frame

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)
X = np.nan
# Krippendorff's example of four observers and twelve units (Content Analysis, ch. 12)
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
        [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
    ]
).T


@pytest.mark.parametrize(
    ("form", "value", "lower", "upper"),
    [("ICC(1)", 0.17, -0.13, 0.72), ("ICC(A,1)", 0.29, 0.02, 0.76), ("ICC(C,1)", 0.71, 0.34, 0.95)],
)
def test_intraclass_correlation_of_the_published_table(form: str, value: float, lower: float, upper: float) -> None:
    """Shrout & Fleiss 1979, table 4; limits as printed by R psych."""
    found = intraclass_correlation(SHROUT_FLEISS, form=form)  # type: ignore[arg-type]
    close([found.value, found.lower, found.upper], [value, lower, upper], rtol=0, atol=0.0051)


def test_intraclass_correlation_tells_shift_from_noise() -> None:
    shifted = np.arange(8.0)[:, None] + np.array([0.0, 5.0]) + np.random.default_rng(1).normal(scale=0.1, size=(8, 2))
    consistency, agreement = (intraclass_correlation(shifted, form=f).value for f in ("ICC(C,1)", "ICC(A,1)"))
    assert consistency is not None
    assert agreement is not None
    assert consistency > 0.99 > 0.5 > agreement


@pytest.mark.parametrize(("metric", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(metric: str, value: float) -> None:
    found = krippendorff_alpha(KRIPPENDORFF, metric=metric, replicates=200)  # type: ignore[arg-type]
    close(found.value, value, rtol=0, atol=0.0006)
    assert found.lower is not None
    assert found.lower < value


@pytest.mark.parametrize("weights", ["unweighted", "linear", "quadratic"])
def test_kappa_is_that_of_statsmodels(weights: str) -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    scores = scores_of(OWN / "own_ordinal.csv")
    two = scores.score[:2, 0].T
    table = np.zeros((5, 5))
    np.add.at(table, tuple(two.T.astype(int) - 1), 1)
    theirs = cohens_kappa(table, wt={"unweighted": None, "linear": "linear", "quadratic": "quadratic"}[weights])
    ours = weighted_kappa(two, weights=weights, replicates=800)  # type: ignore[arg-type]
    close(ours.value, theirs.kappa)
    assert ours.lower is not None
    assert ours.upper is not None
    assert (ours.upper - ours.lower) == pytest.approx(theirs.kappa_upp - theirs.kappa_low, rel=0.25)


@pytest.mark.shared
def test_limits_of_agreement_match_imrmc_r_2_1_2(shared: Path) -> None:
    gold = json.loads((shared / "reference/mrmc/gold/imrmcR_limits_of_agreement.json").read_text())["results"]
    table = pd.read_csv(shared / "reference/mrmc/data/quant_imrmc_loa_sim.csv")
    a, b = (
        table[table["modalityID"] == m].pivot(index="readerID", columns="caseID", values="score").to_numpy()
        for m in ("testA", "testB")
    )
    found = limits_of_agreement(a, b, replicates=100)
    for name, key in (("within", "laWRBM"), ("between", "laBRBM")):
        theirs = gold[key]["limits.of.agreement"]
        bias = found["bias"]
        close(
            [bias.value, bias.lower, bias.upper],
            [theirs[k] for k in ("meanDiff", "ci95meanDiff.bot", "ci95meanDiff.top")],
        )
        close([found[f"{name}_lower"].value, found[f"{name}_upper"].value], [theirs["la.bot"], theirs["la.top"]])


@pytest.mark.parametrize(
    "ratings",
    [np.ones((1, 3)), np.ones((5, 1)), np.ones((5, 3)), np.full((4, 2), np.nan)],
    ids=["case", "reader", "same", "empty"],
)
def test_too_little_is_said_so(ratings: np.ndarray) -> None:  # type: ignore[type-arg]
    for found in (intraclass_correlation(ratings), weighted_kappa(ratings), krippendorff_alpha(ratings)):
        assert found.value is None
        assert found.reason
    assert limits_of_agreement(ratings.T, ratings.T)["bias"].lower is None


def test_mean_scores_are_compared_like_any_figure() -> None:
    """Image-quality scores: fixed cases give the paired t test over readers, fixed readers the z test over cases."""
    scores = scores_of(OWN / "own_ordinal.csv")
    by_reader = scores.score.mean(axis=2)
    plan = AnalysisPlan(endpoint="mean_score", effects=Effects.RRFC)
    d = analyse(scores, plan).differences[0]
    theirs = stats.ttest_rel(by_reader[:, 0], by_reader[:, 1])
    close([d["statistic"], d["p_value"]], [theirs.statistic, theirs.pvalue])
    d = analyse(scores, AnalysisPlan(endpoint="mean_score", effects=Effects.FRRC)).differences[0]
    by_case = (scores.score[:, 0] - scores.score[:, 1]).mean(axis=0)
    close(d["se"], by_case.std(ddof=1) / np.sqrt(len(by_case)))
    o = analyse(scores, AnalysisPlan(endpoint="mean_score", method="or", covariance="unbiased")).differences[0]
    u = analyse(scores, AnalysisPlan(endpoint="mean_score", method="ustat")).differences[0]
    close(o["se"], u["se"])


def test_mean_scores_need_no_truth() -> None:
    table = scores_of(OWN / "own_ordinal.csv").to_frame().drop(columns="truth")
    found = analyse(from_frame(table, need_truth=False), AnalysisPlan(endpoint="mean_score"))
    assert found.modalities[0]["estimate"] > 1
    assert found.modalities[0]["upper"] > 1
