"""Judging reads two tables and the protocol; verdicts, subgroups and the proposal follow from them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from validation.digest import canonical_json
from validation.errors import ValidationProblem
from validation.protocol.schema import Protocol
from validation.study.judge import judge

E1: dict[str, Any] = {
    "id": "E1",
    "role": "primary",
    "title": "Noise",
    "metric": {"name": "noise_magnitude", "region": "uniform"},
    "summary": "paired_mean_difference",
    "comparator": "input",
    "hypothesis": {"type": "superiority", "margin": -3.0, "unit": "HU"},
}
E2: dict[str, Any] = {
    "id": "E2",
    "role": "secondary",
    "title": "Bias",
    "metric": {"name": "hu_bias"},
    "summary": "mean",
    "hypothesis": {"type": "equivalence", "margin": 5.0, "unit": "HU"},
}


def protocol(*endpoints: dict[str, Any], **changes: Any) -> Protocol:
    return Protocol.model_validate(
        {
            "schema": 1,
            "id": "p",
            "version": "1.0.0",
            "title": "A protocol for tests",
            "claim": {
                "type": "low_dose_denoising",
                "statement": "Reduces noise in simulated CT images.",
                "pathways": ["us_510k"],
            },
            "population": {
                "description": "Adults undergoing simulated chest CT",
                "subgroups": ["sex"],
                "target": {"sex": {"F": 0.4, "M": 0.4, "X": 0.2}},
                "minimum_per_subgroup": 5,
                "minimum_clusters": 20,
            },
            "reference_standard": {"method": "paired full-dose scan"},
            "endpoints": list(endpoints),
            **changes,
        }
    )


def cohort(patients: int, effect: float = -6.0, bias: float = 0.0, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    rows, cases = [], []
    for p in range(patients):
        own = rng.normal(0, 1)
        for k in range(2):
            case = f"c{p:03d}-{k}"
            cases.append({"case_id": case, "cluster": f"p{p}", "sex": "FM"[p % 2], "status": "analysed"})
            noise = 20 + rng.normal(0, 1)
            for metric, arm, value in (
                ("noise_magnitude(region=uniform)", "input", noise),
                ("noise_magnitude(region=uniform)", "output", noise + effect + own + rng.normal(0, 0.5)),
                ("hu_bias", "output", bias + own),
            ):
                rows.append((case, metric, arm, 0, "", value, "HU", ""))
    columns = ["case_id", "metric", "arm", "draw", "component", "value", "unit", "note"]
    return pd.DataFrame(cases).set_index("case_id"), pd.DataFrame(rows, columns=columns)


def test_two_endpoints_pass_and_the_proposal_says_so() -> None:
    result = judge(protocol(E1, E2), *cohort(40))
    assert result["endpoints"]["E1"]["verdict"]["outcome"] == "pass"
    assert result["endpoints"]["E2"]["verdict"]["outcome"] == "pass"
    assert result["proposal"] == {"outcome": "pass", "reason": "All 2 pre-specified criteria were met."}
    estimate = result["endpoints"]["E1"]["estimate"]
    assert estimate["n"] == 80
    assert estimate["n_clusters"] == 40
    assert estimate["lower"] < -6 + 1 < estimate["upper"] + 1.5
    arms = result["endpoints"]["E1"]["arms"]
    assert arms["output"]["value"] - arms["input"]["value"] == pytest.approx(estimate["value"])
    assert json.loads(canonical_json(result)) == result


def test_no_effect_is_not_superior_and_one_patient_is_never_enough() -> None:
    assert judge(protocol(E1), *cohort(40, effect=0.0))["proposal"]["outcome"] == "fail"
    one = judge(protocol(E1), *cohort(1))
    assert one["proposal"]["outcome"] == "inconclusive"
    assert "1 independent patient" in one["endpoints"]["E1"]["verdict"]["reason"]
    few = judge(protocol(E1), *cohort(19))
    assert few["endpoints"]["E1"]["estimate"]["upper"] < -3
    assert few["endpoints"]["E1"]["verdict"]["outcome"] == "inconclusive"


def test_every_declared_subgroup_is_listed_also_the_empty_one() -> None:
    cells = judge(protocol(E1), *cohort(40))["endpoints"]["E1"]["subgroups"]["sex"]
    assert list(cells) == ["F", "M", "X"]
    assert cells["X"]["status"] == "inconclusive"
    assert cells["X"]["estimate"]["n"] == 0
    assert cells["F"]["status"] == "pass"
    small = judge(protocol(E1), *cohort(8))["endpoints"]["E1"]["subgroups"]["sex"]
    assert small["F"]["status"] == "inconclusive"
    assert "minimum_per_subgroup" in small["F"]["reason"]


def test_interaction_is_found_where_there_is_one() -> None:
    cases, rows = cohort(40)
    assert judge(protocol(E1), cases, rows)["endpoints"]["E1"]["interaction"]["sex"]["p_value"] > 0.01
    male = cases.index[cases["sex"] == "M"]
    rows.loc[rows["case_id"].isin(male) & (rows["arm"] == "output"), "value"] += 3
    assert judge(protocol(E1), cases, rows)["endpoints"]["E1"]["interaction"]["sex"]["p_value"] < 1e-6


def test_fixed_sequence_stops_at_the_first_that_is_not_met() -> None:
    plan = {"method": "fixed_sequence", "order": ["E1", "E2"]}
    result = judge(protocol(E1, E2, multiplicity=plan), *cohort(40, effect=0.0))
    assert result["endpoints"]["E1"]["verdict"]["outcome"] == "fail"
    assert result["endpoints"]["E2"]["verdict"]["outcome"] == "inconclusive"
    assert result["multiplicity"]["steps"]


def test_missing_values_are_counted_and_their_worst_case_is_shown() -> None:
    cases, rows = cohort(40)
    lost = rows["case_id"].isin(["c000-0", "c001-0"]) & (rows["arm"] == "output")
    rows.loc[lost, "value"] = np.nan
    section = judge(protocol(E1), cases, rows)["endpoints"]["E1"]
    assert section["n_missing"] == 2
    assert section["estimate"]["n"] == 78
    worst = section["sensitivity"]["worst_case"]
    assert worst["estimate"]["n"] == 80
    assert worst["estimate"]["upper"] >= section["estimate"]["upper"]
    assert section["sensitivity"]["tipping_point"]["shift"] > 0


def test_one_failed_draw_makes_the_case_missing() -> None:
    cases, rows = cohort(30)
    second = rows[rows["arm"] == "output"].assign(draw=1)
    second.loc[second["case_id"] == "c003-1", "value"] = np.nan
    result = judge(protocol(E1, execution={"draws": 2}), cases, pd.concat([rows, second]))
    section = result["endpoints"]["E1"]
    assert section["n_missing"] == 1
    assert section["sampler"]["within_case_sd"]["value"] == 0.0


def test_worst_cases_are_worst_first() -> None:
    listed = judge(protocol(E1), *cohort(40))["endpoints"]["E1"]["worst_cases"]
    differences = [row["value"] - row["comparator"] for row in listed]
    assert len(listed) == 5
    assert differences == sorted(differences, reverse=True)


def test_order_of_rows_changes_nothing() -> None:
    cases, rows = cohort(30)
    shuffled = rows.sample(frac=1, random_state=3)
    first = judge(protocol(E1, E2), cases, rows)
    assert canonical_json(first) == canonical_json(
        judge(protocol(E1, E2), cases.sample(frac=1, random_state=1), shuffled)
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": {"name": "noise_magnitud"}}, "no metric named"),
        ({"summary": "paired_mean"}, "no summary named"),
        ({"comparator": "none"}, "compares two arms"),
        ({"summary": "mean"}, "would be ignored"),
        ({"hypothesis": {"type": "superiority", "margin": -3.0, "unit": "mGy"}}, "the estimate is in 'HU'"),
        ({"hypothesis": {"type": "superiority", "margin": 3.0, "unit": "HU"}}, "worse model superior"),
        ({"summary": "auc", "comparator": "none"}, "needs the truth"),
        ({"metric": {"name": "noise_magnitude", "sigma": 2}}, "no parameter"),
    ],
)
def test_combinations_that_cannot_be_judged_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationProblem, match=words) as caught:
        judge(protocol({**E1, **changes}), *cohort(2))
    assert caught.value.exit_code == 2


def test_alphas_of_one_family_must_agree() -> None:
    with pytest.raises(ValueError, match="share one alpha"):
        protocol(E1, {**E2, "hypothesis": {**E2["hypothesis"], "alpha": 0.05}})


def test_sample_size_is_checked_against_its_own_assumptions() -> None:
    plan = {"planned_clusters": 40, "power": 0.9, "assumed_effect": -6.0, "assumed_sd": 3.0, "source": "example"}
    section = judge(protocol({**E1, "sample_size": plan}), *cohort(40))["endpoints"]["E1"]["sample_size"]
    assert section["required_clusters"] == 13  # one-sided t at 0.025, distance of one standard deviation
    assert section["planned_power"] > 0.99
    hopeless = {**plan, "assumed_effect": -1.0}
    section = judge(protocol({**E1, "sample_size": hopeless}), *cohort(40))["endpoints"]["E1"]["sample_size"]
    assert section["required_clusters"] is None
    assert "does not meet" in section["reason"]


def test_sites_are_left_out_one_by_one() -> None:
    cell = judge(protocol(E1), *cohort(40))["endpoints"]["E1"]["interaction"]["sex"]
    assert set(cell["left_out"]) == {"F", "M"}
    assert cell["left_out"]["F"]["n_clusters"] == 20
    assert cell["between_sd"] >= 0
