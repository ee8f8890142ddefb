"""Fidelity of tables: planted faults are flagged, sound generators are not, what cannot run says so."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.metrics.tabular.generators import collapsed, copula, independent, population
from validation.cli.main import main
from validation.errors import DataProblem, UsageProblem
from validation.metrics.findings import Finding, Status, conclude, run_parts
from validation.metrics.tabular import constraints
from validation.metrics.tabular.encoding import encode
from validation.metrics.tabular.fidelity import tabular_fidelity

N = 1000


def flagged(found: list[Finding], metric: str = "") -> list[str]:
    return [f"{f.component}{f.subgroup}" for f in found if f.status is Status.FLAGGED and f.metric.startswith(metric)]


@pytest.fixture(scope="module")
def real() -> tuple[pd.DataFrame, pd.DataFrame]:
    return population(N, 1), population(N, 2)


def test_fresh_records_are_not_flagged_and_every_metric_has_a_row(real):
    found = tabular_fidelity(real[0], population(N, 3), real[1], rules="age >= 0")
    assert flagged(found) == []
    names = {f.metric for f in found}
    assert names >= {
        "structure",
        "clinical_rules",
        "marginal_distance",
        "wasserstein_distance",
        "missingness",
        "rare_categories",
        "invented_categories",
        "tails",
        "pairwise_association",
        "conditional_distance",
        "propensity_mse",
        "detection_auc",
        "mmd",
        "alpha_precision",
        "beta_recall",
        "authenticity",
        "subgroup_share",
        "subgroup_marginal_distance",
        "subgroup_association",
    }
    assert not [f for f in found if f.status is Status.ERROR]
    assert all(f.null and f.rule for f in found)
    assert {f.subgroup for f in found if f.metric == "subgroup_share"} >= {"sex=F", "sex=M", "site=C"}


def test_shuffled_columns_with_right_marginals_are_flagged(real):
    found = tabular_fidelity(real[0], independent(real[0], N, 4), real[1])
    assert flagged(found, "marginal") == []
    assert flagged(found, "propensity") == []  # main effects cannot see it
    for metric in ("pairwise_association", "conditional_distance", "detection_auc"):
        assert flagged(found, metric), metric


def test_a_dropped_subgroup_of_two_per_cent_is_flagged(real):
    found = tabular_fidelity(real[0], collapsed(population(N, 3), "site", "C"), real[1])
    assert "site=C" in flagged(found, "subgroup_share")
    assert "site=C" in flagged(found, "rare_categories")


def test_missing_cells_tails_and_invented_levels_are_flagged(real):
    made = population(N, 5)
    made["dose"] = made["dose"].fillna(20)
    made["age"] = made["age"].clip(40, 75)
    made.loc[:30, "site"] = "D"
    found = tabular_fidelity(real[0], made, real[1])
    assert flagged(found, "missingness") == ["dose"]
    assert any(c.startswith("age") for c in flagged(found, "tails"))
    assert flagged(found, "invented_categories") == ["site"]


def test_one_record_that_breaks_a_rule_is_flagged_with_its_row(real):
    made = population(N, 6)
    made.loc[17, "age"] = -4
    found = tabular_fidelity(real[0], made, real[1], rules="age >= 0; not (sex == 'M' and disease == 'never')")
    rows = {f.component: f for f in found if f.metric == "clinical_rules"}
    assert rows["age >= 0"].status is Status.FLAGGED
    assert rows["age >= 0"].rows == (17,)
    assert rows["not (sex == 'M' and disease == 'never')"].status is Status.NOT_FLAGGED
    estimate = constraints.clinical_rules(made, rules="age >= 0")["age >= 0"]
    low, high = stats.binomtest(1, N).proportion_ci(0.95, "exact")
    assert (estimate.lower, estimate.upper) == pytest.approx((low, high))
    with pytest.raises(UsageProblem, match="no rule"):
        constraints.clinical_rules(made, rules=" ; ")


def test_columns_that_lack_or_change_type_are_flagged_not_omitted(real):
    made = population(N, 6).drop(columns="dose")
    made["age"] = "old"
    found = tabular_fidelity(real[0], made, real[1])
    assert set(flagged(found, "structure")) == {"dose", "age"}
    assert [f for f in found if f.metric == "marginal_distance"]


def test_a_metric_that_breaks_is_an_error_row_without_values():
    def broken() -> list[Finding]:
        raise RuntimeError("patient Jane Roe")

    def refused() -> list[Finding]:
        raise DataProblem("no events.", code="TAB-004")

    found = run_parts([("a", broken), ("b", refused), ("c", list)], alpha=0.05)
    assert [(f.metric, f.status) for f in found] == [(m, Status.ERROR) for m in "abc"]
    assert "Jane" not in json.dumps([f.to_dict() | f.estimate.to_dict() for f in found])
    assert "TAB-004" in found[1].note


def test_few_records_are_inconclusive_not_agreement(real):
    found = tabular_fidelity(real[0].iloc[:25], population(20, 8), real[1].iloc[:20])
    assert flagged(found) == []
    marginal = [f for f in found if f.metric == "marginal_distance"]
    assert all(f.status is Status.INCONCLUSIVE for f in marginal)
    assert all("could be seen" in f.note for f in marginal)


def test_holm_is_over_the_whole_report(real):
    found = conclude(tabular_fidelity(real[0], population(N, 9), real[1]), alpha=0.05)
    tested = sorted((f.p_value, f.p_adjusted) for f in found if f.p_adjusted is not None)
    expected = np.maximum.accumulate([min(1, (len(tested) - k) * p) for k, (p, _) in enumerate(tested)])
    assert [a for _, a in tested] == pytest.approx(expected)


def test_false_alarms_over_repeats_are_few():
    count = 0
    for seed in range(12):
        train, made, holdout = (population(300, 100 * seed + k) for k in range(3))
        count += bool(flagged(tabular_fidelity(train, made, holdout)))
    # at most 5 % are expected; 3 of 12 would have a chance of 2 % under that
    assert count <= 2, stats.binomtest(count, 12).proportion_ci()


def test_a_copula_keeps_marginals(real):
    assert flagged(tabular_fidelity(real[0], copula(real[0], N, 3), real[1]), "marginal") == []


def test_encoding_agrees_on_levels_types_and_dates():
    a = pd.DataFrame(
        {"x": [1, 2, 1, 2], "d": ["2020-01-01", "2020-01-03", None, "2020-01-02"], "b": [True, False, True, None]}
    )
    b = pd.DataFrame({"x": ["1", "2", "3", None], "d": ["2020-02-01"] * 4, "b": ["True", "False", "True", "True"]})
    t = encode(a, b, categorical=("x",))
    assert t.numeric == ("d",)
    assert t.levels[t.categorical.index("x")] == ("1", "2", "3", "(missing)")
    assert t.synthetic.numbers[0, 0] - t.train.numbers[0, 0] == 31
    assert t.levels[t.categorical.index("b")] == ("False", "True", "(missing)")
    with pytest.raises(UsageProblem, match="no column"):
        encode(a, b, categorical=("y",))
    with pytest.raises(DataProblem, match="table with rows"):
        encode(a, b.iloc[:0])


def test_the_command_prints_findings(capsys, tmp_path, real):
    for role, frame in (("train", real[0]), ("holdout", real[1]), ("synthetic", population(300, 3))):
        frame.iloc[:300].to_csv(tmp_path / f"{role}.csv", index=False)
    arguments = [x for role in ("train", "holdout", "synthetic") for x in ("--input", f"{role}={tmp_path / role}.csv")]
    with pytest.raises(SystemExit) as ended:
        main(["measure", "tabular_fidelity", *arguments, "--param", "subgroups_of=sex", "--json"])
    text = capsys.readouterr().out
    assert not ended.value.code
    rows = json.loads(text)["metrics"]
    assert {r["finding"] for r in rows} <= {"flagged", "not flagged", "inconclusive", "error"}
    assert {r["subgroup"] for r in rows} == {"", "sex=F", "sex=M"}
    assert all({"name", "estimate", "null", "rule", "p_adjusted"} <= set(r) for r in rows)
