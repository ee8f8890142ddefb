"""Studies that break other tools end in a verdict with its reason, or in a clear refusal; no number is ever NaN."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.reader_study.known_answers import OWN, scores_of
from validation.errors import DataProblem, UsageProblem
from validation.estimate import Outcome
from validation.reader_study.analysis import Analysis, analyse
from validation.reader_study.judgement import Claim, compare
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores, from_frame

METHODS: list[dict[str, Any]] = [
    {"method": "or", "covariance": "jackknife"},
    {"method": "or", "covariance": "delong"},
    {"method": "or", "covariance": "unbiased"},
    {"method": "or", "covariance": "bootstrap", "replicates": 200},
    {"method": "or", "effects": Effects.FRRC},
    {"method": "or", "effects": Effects.RRFC},
    {"method": "dbm"},
    {"method": "ustat"},
    {"method": "or", "endpoint": "sensitivity", "threshold": 3},
    {"method": "ustat", "endpoint": "specificity", "threshold": 3},
    {"method": "or", "endpoint": "partial_auc"},
    {"method": "or", "endpoint": "sensitivity_at_specificity"},
]


def study(readers: int, modalities: int, n0: int, n1: int, *, seed: int = 1, effect: float = 1.0) -> pd.DataFrame:
    """Return a simulated complete table on a scale from 1 to 5."""
    rng = np.random.default_rng(seed)
    rows = []
    case_effect = rng.normal(size=n0 + n1)
    for r, m, c in itertools.product(range(readers), range(modalities), range(n0 + n1)):
        latent = effect * (c >= n0) + 0.5 * case_effect[c] + rng.normal(scale=0.8)
        rows.append((f"R{r + 1}", f"M{m + 1}", f"c{c:03d}", int(c >= n0), int(np.clip(np.round(3 + latent), 1, 5))))
    return pd.DataFrame(rows, columns=["reader", "modality", "case", "truth", "score"])


def run(table: pd.DataFrame | ReaderScores, **settings: Any) -> Analysis:
    """Analyse, and hold the result to its promise: JSON without NaN, and a reason wherever there is no interval."""
    scores = table if isinstance(table, ReaderScores) else from_frame(table)
    result = analyse(scores, AnalysisPlan(**settings))
    json.dumps(result.to_dict(), allow_nan=False)
    for row in [*result.modalities, *result.differences, *result.readers, *result.reader_differences]:
        assert row["lower"] is not None or row["reason"]
    return result


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: "-".join(map(str, s.values())))
def test_one_reader_is_inconclusive_unless_readers_are_fixed(settings: dict[str, Any]) -> None:
    result = run(study(1, 2, 20, 20), **settings)
    fixed = settings.get("effects") is Effects.FRRC
    assert (result.differences[0]["lower"] is not None) is fixed


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: "-".join(map(str, s.values())))
def test_one_modality_has_no_difference(settings: dict[str, Any]) -> None:
    result = run(study(3, 1, 20, 20), **settings)
    assert result.differences == []
    assert result.outcome is Outcome.INCONCLUSIVE
    assert any("one modality" in w for w in result.warnings)


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: "-".join(map(str, s.values())))
def test_all_ties_are_inconclusive(settings: dict[str, Any]) -> None:
    result = run(study(3, 2, 10, 10).assign(score=3), **settings)
    assert {d["verdict"] for d in result.differences} == {"inconclusive"}
    if settings.get("endpoint", "auc") == "auc":
        assert [m["estimate"] for m in result.modalities] == [0.5, 0.5]
    assert any("tied" in w for w in result.warnings)


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: "-".join(map(str, s.values())))
def test_perfect_separation_is_inconclusive(settings: dict[str, Any]) -> None:
    table = study(3, 2, 10, 10)
    result = run(table.assign(score=np.where(table["truth"] == 1, 5, 1)), **settings)
    assert {d["verdict"] for d in result.differences} == {"inconclusive"}
    assert [m["estimate"] for m in result.modalities] == [1.0, 1.0]


@pytest.mark.parametrize("settings", METHODS, ids=lambda s: "-".join(map(str, s.values())))
def test_a_modality_against_its_copy_is_inconclusive(settings: dict[str, Any]) -> None:
    table = study(4, 1, 15, 15)
    result = run(pd.concat([table, table.assign(modality="copy")]), **settings)
    assert result.differences[0]["estimate"] == 0
    assert result.differences[0]["verdict"] == "inconclusive"


def test_equivalence_of_a_modality_to_its_copy_is_not_a_silent_pass() -> None:
    table = study(4, 1, 15, 15)
    both = pd.concat([table, table.assign(modality="copy")])
    result = run(both, claim=Claim.EQUIVALENCE, margin=0.05)
    assert result.differences[0]["verdict"] == "inconclusive"


def test_a_reader_who_read_one_class_is_named() -> None:
    table = study(3, 2, 10, 10)
    table = table[~((table["reader"] == "R2") & (table["modality"] == "M1") & (table["truth"] == 1))]
    with pytest.raises(DataProblem, match="reader R2 under modality M1 read no diseased case") as caught:
        run(table)
    assert caught.value.code == "RDR-015"
    assert run(table, endpoint="specificity", threshold=3, method="ustat").differences[0]["verdict"]


def test_a_misspelt_name_is_pointed_at() -> None:
    table = study(3, 2, 10, 10)
    table.loc[(table["reader"] == "R1") & (table["modality"] == "M1") & (table["case"] < "c004"), "modality"] = "M 1"
    with pytest.raises(DataProblem, match="modalities M1 and M 1 look alike"):
        run(table)


def test_missing_cells_go_to_u_statistics_and_are_refused_elsewhere() -> None:
    table = study(4, 2, 20, 20).drop(index=[3, 77, 160])
    result = run(table)
    assert (result.method, result.design.type, result.design.missing_cells) == ("ustat", "arbitrary", 3)
    for method in ("or", "dbm"):
        with pytest.raises(DataProblem, match="--method ustat") as caught:
            run(table, method=method)
        assert caught.value.code == "RDR-013"


def test_duplicate_rows_are_refused() -> None:
    table = study(2, 2, 5, 5)
    with pytest.raises(DataProblem, match="2 rows repeat a reading") as caught:
        from_frame(pd.concat([table, table.iloc[[0]]]))
    assert caught.value.code == "RDR-004"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"truth": 2}, "RDR-003"),
        ({"truth": "yes"}, "RDR-003"),
        ({"score": "high"}, "RDR-006"),
        ({"score": np.inf}, "RDR-006"),
        ({"reader": " "}, "RDR-002"),
        ({"decision": 2}, "RDR-003"),
    ],
)
def test_wrong_values_are_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(DataProblem) as caught:
        from_frame(study(2, 2, 5, 5).assign(**change))
    assert caught.value.code == code


def test_two_truths_of_a_case_are_refused() -> None:
    table = study(2, 2, 5, 5)
    table.loc[table["case"] == "c001", "truth"] = [0, 1, 0, 1]
    with pytest.raises(DataProblem, match="truth 0 and truth 1"):
        from_frame(table)


@pytest.mark.parametrize(("n0", "n1"), [(1, 10), (10, 1), (0, 10), (10, 0)])
def test_too_few_cases_of_a_class_are_refused(n0: int, n1: int) -> None:
    with pytest.raises(DataProblem) as caught:
        run(study(3, 2, n0, n1))
    assert caught.value.code == "RDR-014"


def test_a_negative_unbiased_variance_gives_no_verdict_and_names_the_fallback() -> None:
    """A small study with a negative estimate; other tools answer it with NaN."""
    for seed in range(60):
        result = run(study(2, 2, 4, 4, seed=seed), method="ustat")
        table = next(t for t in result.components["tables"] if t["b"] and t["estimator"] == "U-statistic")
        if table["variance_of_difference"] < -1e-6:
            assert result.differences[0]["verdict"] == "inconclusive"
            assert "negative" in result.differences[0]["reason"]
            return
    pytest.fail("no study with a negative variance was found")


def test_negative_components_are_reported_as_they_are() -> None:
    result = analyse(scores_of(OWN / "own_ordinal.csv"))
    assert result.components["var_reader_modality"] < 0
    assert any("reader by modality" in w for w in result.warnings)
    assert result.differences[0]["verdict"] == "pass"


def test_a_system_with_its_own_modality_needs_no_second_copy() -> None:
    """The case that stops iMRMC R and hangs iMRMC Java: one reader in one modality, many in the other."""
    people = study(5, 1, 25, 25, seed=3)
    system = study(1, 1, 25, 25, seed=4, effect=2.0).assign(reader="system", modality="standalone")
    table = pd.concat([people, system])
    by_moments = run(table)
    assert by_moments.method == "ustat"
    assert any("standalone was read by system alone" in w for w in by_moments.warnings)
    d = by_moments.differences[0]
    assert (d["a"], d["b"]) == ("M1", "standalone")
    twins = pd.concat([table, system.assign(reader="system again")])
    other = run(twins).differences[0]
    for key in ("estimate", "se", "df", "p_value"):
        assert d[key] == pytest.approx(other[key], rel=1e-12)
    by_or = run(table, standalone="standalone").differences[0]
    assert by_or["estimate"] == pytest.approx(-d["estimate"], rel=1e-12)
    assert by_or["se"] == pytest.approx(d["se"], rel=0.1)  # two estimators of one variance


def test_sensitivity_needs_decisions() -> None:
    table = study(3, 2, 10, 10)
    with pytest.raises(DataProblem, match="explicit clinical decisions") as caught:
        run(table, endpoint="sensitivity")
    assert caught.value.code == "RDR-016"
    decided = table.assign(decision=(table["score"] >= 4).astype(float))
    assert run(decided, endpoint="sensitivity").modalities
    decided.loc[5, "decision"] = np.nan
    with pytest.raises(DataProblem, match="1 readings have a score but no decision"):
        run(decided, endpoint="sensitivity")


def test_a_hypothesis_needs_its_margin() -> None:
    for claim in (Claim.NON_INFERIORITY, Claim.EQUIVALENCE):
        with pytest.raises(UsageProblem, match="positive margin"):
            AnalysisPlan(claim=claim)


@pytest.mark.parametrize("claim", list(Claim))
@pytest.mark.parametrize("margin", [0.02, 0.05])
@pytest.mark.parametrize("estimate", [-0.06, -0.01, 0.03, 0.09])
def test_p_value_interval_and_verdict_never_disagree(claim: Claim, margin: float, estimate: float) -> None:
    found = compare(estimate, 0.02**2, 14.2, claim=claim, margin=margin)
    assert found.p_value is not None
    assert (found.outcome is Outcome.PASS) == (found.p_value < 0.025)


@pytest.mark.parametrize(
    ("claim", "estimate", "outcome"),
    [
        (Claim.NON_INFERIORITY, 0.0, Outcome.PASS),
        (Claim.NON_INFERIORITY, -0.05, Outcome.INCONCLUSIVE),
        (Claim.NON_INFERIORITY, -0.2, Outcome.FAIL),
        (Claim.EQUIVALENCE, 0.0, Outcome.PASS),
        (Claim.EQUIVALENCE, 0.05, Outcome.INCONCLUSIVE),
        (Claim.EQUIVALENCE, 0.2, Outcome.FAIL),
        (Claim.SUPERIORITY, 0.2, Outcome.PASS),
        (Claim.SUPERIORITY, 0.05, Outcome.INCONCLUSIVE),
        (Claim.SUPERIORITY, -0.2, Outcome.FAIL),
    ],
)
def test_fail_means_that_the_whole_interval_lies_on_the_wrong_side(
    claim: Claim, estimate: float, outcome: Outcome
) -> None:
    assert compare(estimate, 0.0004, 20.0, claim=claim, margin=0.05).outcome is outcome
