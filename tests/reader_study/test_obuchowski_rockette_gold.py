"""Obuchowski-Rockette against MRMCaov: every covariance and every choice of random factors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.reader_study.known_answers import OWN, answers, close, scores_of

from validation.reader_study.analysis import analyse
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan

COVARIANCES = {"jackknife": "jackknife", "DeLong": "delong", "unbiased": "unbiased"}


def check(data: Path, gold: dict[str, Any]) -> None:
    """Compare every printed number of one MRMCaov analysis of the empirical AUC."""
    result = analyse(
        scores_of(data),
        AnalysisPlan(method="or", covariance=COVARIANCES[gold["cov"]], effects=Effects[gold["effects"]]),
    )
    named = dict(zip(gold["test_means"]["row"], gold["test_means"]["Estimate"], strict=True))
    close([m["estimate"] for m in result.modalities], [named[m["modality"]] for m in result.modalities])
    close([m["se"] for m in result.modalities], gold["test_means"]["StdErr"])
    if "df" in gold["test_means"]:
        close([m["df"] for m in result.modalities], gold["test_means"]["df"])
    close([m["lower"] for m in result.modalities], [max(0, v) for v in gold["test_means"]["CI.Lower"]])
    close([m["upper"] for m in result.modalities], [min(1, v) for v in gold["test_means"]["CI.Upper"]])
    diffs = gold["test_diffs"]
    assert [f"{d['a']} - {d['b']}" for d in result.differences] == diffs["Comparison"]
    for ours, theirs in {
        "estimate": "Estimate", "se": "StdErr", "lower": "CI.Lower", "upper": "CI.Upper", "p_value": "p-value",
        "statistic": "t" if "t" in diffs else "z",
    }.items():  # fmt: skip
        close([d[ours] for d in result.differences], diffs[theirs])
    if "df" in diffs:
        close([d["df"] for d in result.differences], diffs["df"])
    equality = gold["test_equality"]
    close(result.anova["equality"]["p_value"], equality["p-value"])
    close(result.anova["equality"]["statistic"], equality["F"] if "F" in equality else equality["X2"])
    close(result.anova["modality"]["mean_square"], equality["MS(T)"])
    if gold["vcov_comps"]:
        c = result.components
        close(
            [c["var_reader"], c["var_reader_modality"], c["var_error"], c["cov1"], c["cov2"], c["cov3"]],
            gold["vcov_comps"]["Estimate"],
            rtol=1e-6,
        )
    if gold["reader_means"]:
        rows = {(r["reader"], r["modality"]): r for r in result.readers}
        g = gold["reader_means"]
        keys = list(zip(g["reader"], g["modality"], strict=True))
        close([rows[k]["se"] for k in keys], g["StdErr"])
        close([rows[k]["upper"] for k in keys], [min(1, v) for v in g["CI.Upper"]])
        own = gold["reader_test_diffs"]
        rows = {(d["reader"], f"{d['a']} - {d['b']}"): d for d in result.reader_differences}
        keys = list(zip(own["Reader"], own["Comparison"], strict=True))
        if len(result.modalities) == 2:
            close([rows[k]["se"] for k in keys], own["StdErr"])
            close([rows[k]["p_value"] for k in keys], own["p-value"])
        else:  # the tool lists pairs within readers but recycles the standard errors over readers, so rows do not belong together
            ours = [
                next(d["se"] for d in result.reader_differences if d["reader"] == r["reader"]) for r in result.readers
            ]
            close(sorted(ours), sorted(own["StdErr"]))


def cases(name: str) -> list[Any]:
    """List the analyses of one gold file of our own data."""
    tool, results = answers(OWN / name)
    return [
        pytest.param(OWN / r["dataset"], r, id=f"{tool}-{r['dataset']}-{r['cov']}-{r['effects']}")
        for r in results
        if "error" not in r and r["metric"] == "empirical_auc"
    ]


@pytest.mark.parametrize(
    ("data", "gold"),
    [c for name in ("ordinal", "continuous", "tiny") for c in cases(f"mrmcaov_own_{name}.json")],
)
def test_own_data_match_mrmcaov(data: Path, gold: dict[str, Any]) -> None:
    check(data, gold)
