"""Sections of the record beside the endpoints: groups and virtual readers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.study.test_judge import E1, E2, cohort, protocol
from validation.study.fairness import fairness

PLAN = {"attributes": ["sex"], "minimum_clusters": 5}


def test_fairness_compares_the_estimate_of_the_endpoint_itself() -> None:
    cases, rows = cohort(40)
    report = fairness(protocol(E1, E2, fairness=PLAN), cases, rows)
    assert list(report) == ["E1"]  # primary endpoints, unless the plan names others
    cells = {c["name"]: c for c in report["E1"]["cells"]}
    assert set(cells) >= {"sex=F", "sex=M", "sex=X"}
    noise = rows[rows["metric"].str.startswith("noise")].pivot(index="case_id", columns="arm", values="value")
    expected = (noise["output"] - noise["input"])[cases["sex"] == "F"].mean()
    assert np.isclose(cells["sex=F"]["estimate"]["value"], expected)
    assert report["E1"]["worst_group"] == {}  # no margin in the plan: nothing is judged


def test_worst_group_is_judged_only_against_the_margin_of_the_plan() -> None:
    cases, rows = cohort(40)
    male = cases.index[cases["sex"] == "M"]
    rows.loc[rows["case_id"].isin(male) & (rows["arm"] == "output"), "value"] += 5
    report = fairness(protocol(E1, fairness={**PLAN, "margin": 1.0}), cases, rows)
    assert report["E1"]["worst_group"]["E1"]["outcome"] != "pass"


def test_without_a_plan_or_without_the_attribute_there_is_no_section() -> None:
    cases, rows = cohort(10)
    assert fairness(protocol(E1), cases, rows) == {}
    assert fairness(protocol(E1, fairness=PLAN), cases.assign(sex=pd.NA), rows) == {}
