"""The comparison as a whole: permutation p-values, equivalence, multiplicity, clusters, strata, and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.protocol.plan_schemas import ShiftPlan, ShiftVariable
from validation.shift.compare import compare, critical_value, shift_report
from validation.shift.groups import bundle, pool, weights
from validation.shift.report import Finding


def table(rng: np.random.Generator, n: int, shift: float = 0.0, per_patient: int = 1, start: int = 0) -> pd.DataFrame:
    g = n // per_patient
    effect = np.repeat(rng.normal(size=g), per_patient) if per_patient > 1 else np.zeros(n)
    return pd.DataFrame(
        {
            "x": effect + rng.normal(size=n) * (0.3 if per_patient > 1 else 1.0) + shift,
            "k": rng.choice(["a", "b", "c"], n),
            "patient": start + np.repeat(np.arange(g), per_patient),
        }
    )


def x(statistic: str = "ks", margin: float | None = None) -> ShiftVariable:
    return ShiftVariable(column="x", statistic=statistic, margin=margin)  # type: ignore[arg-type]


def test_permutation_p_agrees_with_scipy_asymptotics() -> None:
    rng = np.random.default_rng(1)
    a, b = table(rng, 300), table(rng, 300, 0.12)
    r = compare(a, b, [x()], permutations=4999, multiplicity="none")
    assert r["x"].p_value == pytest.approx(stats.ks_2samp(a.x, b.x).pvalue, abs=0.02)


def test_p_is_one_plus_k_over_one_plus_b_and_repeatable() -> None:
    rng = np.random.default_rng(2)
    a, b = table(rng, 60), table(rng, 60, 3.0)
    first, again = (compare(a, b, [x()], permutations=99, seed=5) for _ in range(2))
    assert first["x"].p_value == 1 / 100
    assert first.to_dict() == again.to_dict()
    assert first["x"].finding is Finding.SHIFTED


def test_the_statistic_does_not_depend_on_the_number_of_cases() -> None:
    rng = np.random.default_rng(3)
    for n in (90, 1100):
        r = compare(table(rng, n), table(rng, n), [x(), ShiftVariable(column="k", statistic="chi2")], permutations=99)
        assert [c.statistic for c in r.variables] == ["ks", "chi2"]


def test_equivalence_needs_a_margin_and_enough_data() -> None:
    rng = np.random.default_rng(4)
    large = table(rng, 1500), table(rng, 1500, 0.05)
    small = large[0][:40], large[1][:40]
    assert compare(*large, [x()])["x"].finding is not Finding.EQUIVALENT
    found = compare(*large, [x("ks", 0.15)])["x"]
    assert found.finding is Finding.EQUIVALENT
    assert found.effect.level == pytest.approx(0.9)
    assert found.effect.upper is not None
    assert found.effect.upper < 0.15
    assert compare(*small, [x("ks", 0.15)])["x"].finding is Finding.INCONCLUSIVE


def test_equivalence_error_at_the_margin_is_at_most_alpha() -> None:
    """The true standardised difference is the margin: equivalence may be found in at most 5 % of studies."""
    rng = np.random.default_rng(5)
    runs = 300
    hits = sum(
        (compare(
            table(rng, 80), table(rng, 80, 0.5), [x("standardised_difference", 0.5)], permutations=99
        )["x"].p_equivalence or 1.0) <= 0.05
        for _ in range(runs)
    )  # fmt: skip
    assert hits <= stats.binom.isf(0.001, runs, 0.05)


def test_detectable_but_smaller_than_the_margin_is_equivalent() -> None:
    rng = np.random.default_rng(6)
    found = compare(table(rng, 4000), table(rng, 4000, 0.15), [x("standardised_difference", 0.4)], permutations=199)[
        "x"
    ]
    assert found.p_value is not None
    assert found.p_value <= 0.05
    assert found.finding is Finding.EQUIVALENT
    assert "detectable" in found.reason


def test_patients_not_cases_are_exchanged() -> None:
    """Ten correlated images of each patient: exchanging images rejects far too often, exchanging patients does not."""
    rng = np.random.default_rng(7)
    runs, naive, clustered = 120, 0, 0
    for _ in range(runs):
        a, b = table(rng, 150, per_patient=10), table(rng, 150, per_patient=10, start=1000)
        naive += compare(a, b, [x()], permutations=99).shifted == ("x",)
        clustered += compare(a, b, [x()], cluster="patient", permutations=99).shifted == ("x",)
    assert naive > 0.3 * runs
    assert clustered <= stats.binom.isf(0.001, runs, 0.05)


def test_a_patient_in_both_cohorts_is_a_pair() -> None:
    """The same patients scanned twice: a small constant change is found although patients differ widely."""
    rng = np.random.default_rng(8)
    level = rng.normal(size=40)
    a = pd.DataFrame({"x": level + 0.05 * rng.normal(size=40), "patient": np.arange(40)})
    b = pd.DataFrame({"x": level + 0.05 * rng.normal(size=40) + 0.15, "patient": np.arange(40)})
    v = [x("standardised_difference")]
    assert compare(a, b, v, cluster="patient").shifted == ("x",)
    assert compare(a, b, v).shifted == ()
    paired, apart = compare(a, b, v, cluster="patient")["x"].effect, compare(a, b, v)["x"].effect
    assert paired.lower is not None
    assert apart.lower is not None
    assert paired.lower > 0 > apart.lower


def test_minimum_detectable_shift_is_found_with_the_stated_probability() -> None:
    rng = np.random.default_rng(9)
    size = compare(table(rng, 200), table(rng, 200), [x("standardised_difference")])["x"].minimum_detectable
    assert size is not None
    runs = 150
    found = sum(
        compare(table(rng, 200), table(rng, 200, size), [x("standardised_difference")], permutations=199).shifted ==
        ("x",) for _ in range(runs)
    )  # fmt: skip
    assert 0.68 < found / runs < 0.92


def test_adjusting_for_case_mix_removes_a_shift_that_is_only_mix() -> None:
    rng = np.random.default_rng(10)

    def draw(n: int, share: float, moved: float) -> pd.DataFrame:
        sharp = rng.random(n) < share
        return pd.DataFrame({"kernel": np.where(sharp, "sharp", "soft"), "x": rng.normal(size=n) + 2 * sharp + moved})

    mixed = draw(300, 0.2, 0.0), draw(300, 0.7, 0.0)
    assert compare(*mixed, [x()]).shifted == ("x",)
    assert compare(*mixed, [x()], adjust_for=["kernel"]).shifted == ()
    assert compare(draw(300, 0.2, 0.0), draw(300, 0.7, 0.6), [x()], adjust_for=["kernel"]).shifted == ("x",)


def test_adjustment_without_overlap_is_refused() -> None:
    a, b = pd.DataFrame({"x": np.arange(20.0), "site": "A"}), pd.DataFrame({"x": np.arange(20.0), "site": "B"})
    with pytest.raises(DataProblem, match="no stratum"):
        compare(a, b, [x()], adjust_for=["site"])


def test_conditional_weights_compare_within_strata() -> None:
    groups = pool(4, 4, strata=np.array([0, 0, 1, 1, 0, 1, 1, 1]))
    c = weights(groups, groups.new[None, :])[0]
    assert c.sum() == pytest.approx(0)
    in_first = groups.strata[groups.units] == 0
    assert c[in_first].sum() == pytest.approx(0)
    assert np.abs(c).sum() == pytest.approx(2)


def test_holm_over_the_family_and_too_few_permutations() -> None:
    rng = np.random.default_rng(11)
    a, b = table(rng, 100), table(rng, 100, 0.5)
    for k in range(9):
        a[f"z{k}"], b[f"z{k}"] = rng.normal(size=100), rng.normal(size=100)
    family = [x(), *(ShiftVariable(column=f"z{k}", statistic="ks") for k in range(9))]
    r = compare(a, b, family, permutations=999)
    assert r["x"].p_adjusted == pytest.approx(min(1.0, 10 * (r["x"].p_value or 0)))
    bh = compare(a, b, family, permutations=999, multiplicity="benjamini_hochberg")
    expected = stats.false_discovery_control([c.p_value for c in bh.variables])
    assert [c.p_adjusted for c in bh.variables] == pytest.approx(expected)
    with pytest.raises(UsageProblem, match="too few"):
        compare(a, b, family, permutations=99)


def test_few_patients_are_inconclusive_whatever_the_difference() -> None:
    a, b = pd.DataFrame({"x": [1.0, 2, 3]}), pd.DataFrame({"x": [101.0, 102, 103]})
    found = compare(a, b, [x()])["x"]
    assert found.finding is Finding.INCONCLUSIVE
    assert "3 patients" in found.reason
    assert compare(a, b, [x()], minimum_clusters=3)["x"].finding is Finding.INCONCLUSIVE  # 1/20 at best, no room


def test_constant_and_missing_columns_are_inconclusive_with_the_reason() -> None:
    a, b = pd.DataFrame({"x": np.ones(30), "y": np.nan}), pd.DataFrame({"x": np.ones(30), "y": 1.0})
    r = compare(a, b, [x(), ShiftVariable(column="y", statistic="ks")])
    assert "equal" in r["x"].reason
    assert r["y"].missing_baseline == 30
    assert r["y"].effect.value is None
    assert not r.all_equivalent


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (pd.DataFrame({"z": [1.0]}), "SHF-001"),
        (pd.DataFrame({"x": ["a", "b"]}), "SHF-002"),
        (pd.DataFrame({"x": [1.0, np.inf]}), "SHF-002"),
    ],
)
def test_wrong_columns_are_refused(frame: pd.DataFrame, code: str) -> None:
    with pytest.raises(DataProblem) as refusal:
        compare(frame, pd.DataFrame({"x": [1.0, 2.0]}), [x()])
    assert refusal.value.code == code


def test_bundles_are_equal_and_keep_cohorts_apart() -> None:
    groups = pool(1001, 700)
    bundled = bundle(groups, 200, seed=1)
    sizes = np.bincount(bundled.units)
    assert set(sizes[bundled.exchange == 0]) == {9}
    assert set(sizes[bundled.exchange == 1]) <= {1}
    assert not bundled.shared.any()
    assert bundled.count < 220
    for members in bundled.assignments(20, 1):
        assert set(members.sum(axis=1)) == {700}


def test_critical_value_is_the_one_that_p_needs() -> None:
    null = np.arange(99.0)
    critical = critical_value(null, 0.05)
    assert (1 + (null >= critical + 0.5).sum()) / 100 <= 0.05
    assert (1 + (null >= critical - 0.5).sum()) / 100 > 0.05


def test_report_of_a_plan_is_plain_json() -> None:
    from validation.digest import canonical_json

    rng = np.random.default_rng(12)
    a, b = (table(rng, 60, start=s).rename(columns={"patient": "cluster"}) for s in (0, 100))
    plan = ShiftPlan(variables=[x("ks", 0.3)], multivariate=["mmd", "energy", "classifier"], permutations=99)
    report = shift_report(a, b, plan)
    assert canonical_json(report)
    assert set(report["multivariate"]) == {"mmd", "energy", "classifier"}
