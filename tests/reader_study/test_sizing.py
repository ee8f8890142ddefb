"""Power and sizes of planned studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reader_study.known_answers import OWN
from validation.errors import DataProblem, UsageProblem
from validation.reader_study.judgement import Claim
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.operating import StudySize, operating_characteristics
from validation.reader_study.pilots import (
    Pilot,
    conjectured_pilot,
    pilot_from_scores,
    published_pilot,
    read_parameters,
    rescaled,
    simulated_model,
)
from validation.reader_study.roe_metz import published_structures
from validation.reader_study.roe_metz_theory import rockette_parameters
from validation.reader_study.sizing import Target, cases_needed, power, power_interval, trade_off
from validation.reader_study.tables import read_scores

MODEL = published_structures()["LH0.75"]


def model_pilot(n0: int = 60, n1: int = 60) -> Pilot:
    return published_pilot(rockette_parameters(MODEL, n0, n1), "Roe-Metz LH0.75")


@pytest.mark.shared
def test_power_and_cases_equal_rjafroc_2_1_3(shared: Path) -> None:
    """Convention: Hillis 2011, negative components as 0. The older DBM variant of 2004 in the same file differs."""
    folder = shared / "reference/mrmc"
    gold = json.loads((folder / "gold/rjafroc_sizing_roc.json").read_text())
    files = {"dataset02": "roc_rj02_vandyke.csv", "dataset03": "roc_rj03_franken.csv"}
    pilots = {name: pilot_from_scores(read_scores(folder / "data" / file)) for name, file in files.items()}
    seen = 0
    for row in gold["results"]:
        if "error" in row or "analysisOption" not in row:
            continue
        effects, pilot = row["analysisOption"], pilots[row["dataset"]]
        target = Target(effect=row["effectSize"], effects=Effects[effects])
        seen += 1
        if "K" in row:
            found = power(pilot, target, readers=row["J"], cases=row["K"])
            assert found.power == pytest.approx(row[f"power{effects}"], abs=1e-8)
            assert found.noncentrality == pytest.approx(row[f"ncp{effects}"], rel=1e-8)
            assert (found.df or "NA") == pytest.approx(row[f"df2{effects}"])
        else:
            needed = cases_needed(pilot, target, readers=row["J"], goal=row["desiredPower"], limit=2000)
            theirs = row.get(f"K{effects}") or next(v for k, v in row.items() if k.isdigit())
            assert (2001 if needed is None else needed.negatives + needed.positives) == theirs
    assert seen > 190


@pytest.mark.shared
def test_conjectured_sizes_equal_mrmcsamplesize_1_0_0(shared: Path) -> None:
    """Range-based sizing with (r - 1) degrees of freedom; that tool writes 1.414 for the root of 2 and rounds up."""
    gold = json.loads((shared / "reference/mrmc/gold/mrmcsamplesize_grid.json").read_text())
    rows = [row for row in gold["results"] if row["endpoint"] == "auc"]
    assert len(rows) == 320
    for row in rows:
        pilot = conjectured_pilot(
            auc=row["theta"],
            readers=row["J"],
            range_between=row["rangeb"],
            range_within=row["rangew"],
            correlation1=row["r1"],
            negatives_per_positive=row["R"],
        )
        found = cases_needed(pilot, Target(effect=row["delta"], df="rockette"), readers=row["J"], limit=10**6)
        if "error" in row:
            assert found is None
        else:
            theirs = row["varComponents"]
            assert pilot.parameters.var_reader == pytest.approx(0.8 * theirs["varR"], rel=1e-4)
            assert found is not None
            assert abs(found.positives - row["size"]["nUnits_i"]) <= 1


def test_power_is_that_of_simulated_studies() -> None:
    """Power by formula against power by simulation, crossed and split-plot, superiority and non-inferiority."""
    pilot = model_pilot()
    model = simulated_model(pilot, 0.1)
    exact = published_pilot(rockette_parameters(model, 60, 60), "with the effect")
    for groups in (1, 2):
        formula = power(exact, Target(effect=0.1), readers=6, cases=120, groups=groups)
        found = operating_characteristics(
            model,
            StudySize(readers=6, negatives=60, positives=60, groups=groups),
            trials=800,
            seed=9,
            method="or" if groups == 1 else "ustat",
        )
        # at other numbers of cases the 1/cases law leaves out the small term of the product of both classes
        assert formula.se**2 == pytest.approx(found.true_variance, rel=1e-6 if groups == 1 else 0.01)
        assert found.success.value == pytest.approx(formula.power, abs=0.07)
    target = Target(effect=0.0, claim=Claim.NON_INFERIORITY, margin=0.1)
    formula = power(pilot, target, readers=6, cases=120)
    found = operating_characteristics(
        MODEL,
        StudySize(readers=6, negatives=60, positives=60),
        trials=800,
        claim=Claim.NON_INFERIORITY,
        margin=0.1,
        covariance="delong",
    )
    assert found.success.value == pytest.approx(formula.power, abs=0.07)


def test_another_prevalence_follows_the_exact_variances() -> None:
    pilot = model_pilot(60, 60)
    for n0, n1 in ((200, 20), (30, 90), (60, 60)):
        exact = rockette_parameters(MODEL, n0, n1)
        ours = rescaled(pilot, n0, n1)
        np.testing.assert_allclose(ours, (exact.var_error, exact.cov1, exact.cov2, exact.cov3), rtol=1e-6)


def test_parts_by_class_of_scores_give_back_the_unbiased_covariances() -> None:
    from validation.reader_study.covariance import covariance_of_moments, product_moments
    from validation.reader_study.obuchowski_rockette import components
    from validation.reader_study.pairs import empirical_auc, pair_sums

    scores = read_scores(OWN / "own_ordinal.csv")
    sums = pair_sums(scores.score[None], scores.positive, products=True)
    study = components(empirical_auc(sums), covariance_of_moments(*product_moments(sums)))
    pilot = pilot_from_scores(scores)
    found = rescaled(pilot, int((~scores.positive).sum()), int(scores.positive.sum()))
    np.testing.assert_allclose(found, [study.variance[0], study.cov1[0], study.cov2[0], study.cov3[0]], rtol=1e-9)


def test_more_readers_or_cases_never_lower_the_power_and_the_curve_falls() -> None:
    pilot, target = model_pilot(), Target(effect=0.06)
    by_cases = [power(pilot, target, readers=8, cases=n).power for n in (40, 80, 160, 320, 2000)]
    assert by_cases == sorted(by_cases)
    rows = trade_off(pilot, target, readers=range(3, 12))
    cases = [row["negatives"] + row["positives"] for row in rows if row["power"] is not None]
    assert cases == sorted(cases, reverse=True)
    assert any(row["power"] is None and row["reason"] for row in rows)
    for row in rows:
        if row["power"] is not None:
            n = row["negatives"] + row["positives"]
            assert row["power"] >= 0.8 > power(pilot, target, readers=row["readers"], cases=n - 1).power


def test_a_prevalence_is_kept() -> None:
    found = cases_needed(model_pilot(), Target(effect=0.1), readers=8, prevalence=0.25)
    assert found is not None
    assert found.positives / (found.negatives + found.positives) == pytest.approx(0.25, abs=0.01)


def test_equivalence_power_is_below_both_of_its_tests() -> None:
    pilot = model_pilot()
    both = power(pilot, Target(effect=0.0, claim=Claim.EQUIVALENCE, margin=0.1), readers=8, cases=300).power
    one = power(pilot, Target(effect=0.0, claim=Claim.NON_INFERIORITY, margin=0.1), readers=8, cases=300).power
    assert 2 * one - 1 == pytest.approx(both, abs=1e-9)


def test_the_interval_of_the_power_is_wide_for_a_small_pilot() -> None:
    pilot = pilot_from_scores(read_scores(OWN / "own_ordinal.csv"))
    found = power_interval(pilot, Target(effect=0.05), readers=6, cases=150, replicates=200)
    assert found.lower is not None
    assert found.upper is not None
    assert found.upper - found.lower > 0.1
    again = power_interval(pilot, Target(effect=0.05), readers=6, cases=150, replicates=200)
    assert again == found
    none = power_interval(model_pilot(), Target(effect=0.05), readers=6, cases=150)
    assert none.lower is None
    assert "number of readers" in none.reason


@pytest.mark.parametrize(
    "settings",
    [
        {"effect": 0.0},
        {"effect": float("nan")},
        {"effect": -0.06, "claim": Claim.NON_INFERIORITY, "margin": 0.05},
        {"effect": 0.0, "claim": Claim.NON_INFERIORITY},
        {"effect": 0.05, "claim": Claim.EQUIVALENCE, "margin": 0.05},
        {"effect": 0.01, "margin": 0.02},
    ],
)
def test_targets_that_no_study_can_reach_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageProblem) as problem:
        Target(**settings)
    assert problem.value.code == "RDR-023"


def test_unusable_pilots_and_plans_are_refused(tmp_path: Path) -> None:
    scores = read_scores(OWN / "own_ordinal.csv")
    with pytest.raises(DataProblem, match="fewer than two readers"):
        pilot_from_scores(scores.select(readers=[scores.readers[0]]))
    with pytest.raises(UsageProblem, match="two modalities"):
        pilot_from_scores(read_scores(OWN / "own_continuous.csv"))
    with pytest.raises(DataProblem, match="not fully crossed"):
        pilot_from_scores(read_scores(OWN / "own_splitplot.csv"))
    pilot = model_pilot()
    with pytest.raises(UsageProblem, match="either all cases"):
        power(pilot, Target(effect=0.1), readers=5)
    with pytest.raises(UsageProblem, match="two readers and two cases"):
        power(pilot, Target(effect=0.1), readers=1, cases=100)
    path = tmp_path / "parameters.yaml"
    for text in ("- 1", "auc: [0.8, 0.8]", "a: [", "auc: x\n"):
        path.write_text(text)
        with pytest.raises(UsageProblem) as problem:
            read_parameters(path)
        assert problem.value.code == "RDR-022"


def test_parameters_from_a_file_by_correlations(tmp_path: Path) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(
        "auc: [0.897, 0.941]\nvar_reader: 0.00154\nvar_reader_modality: 0.000208\nvar_error: 0.000788\n"
        "correlation1: 0.433\ncorrelation2: 0.43\ncorrelation3: 0.299\nnegatives: 69\npositives: 45\nsource: a paper\n"
    )
    pilot = read_parameters(path)
    assert pilot.parameters.cov1 == pytest.approx(0.433 * 0.000788)
    assert pilot.source == "a paper"
    assert 0 < power(pilot, Target(effect=0.05), readers=5, cases=114).power < 1
