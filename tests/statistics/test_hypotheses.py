"""Verdicts: bounds against margins, p-values that agree with them, sentences that can be read."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from validation.errors import ProtocolProblem
from validation.estimate import Estimate, Outcome
from validation.statistics.hypotheses import judge, number, one_sided_p
from validation.statistics.means import mean, paired_mean_difference
from validation.statistics.proportions import proportion

Y = np.random.default_rng(3).normal(1.0, 1.5, 20)


def at(y: np.ndarray) -> partial[Estimate]:
    def estimator(level: float) -> Estimate:
        return mean(y, level=level, unit="HU")

    return partial(estimator)


@pytest.mark.parametrize("margin", [-1.0, 0.0, 0.4, 1.0, 2.0])
def test_p_value_of_a_mean_is_scipys_one_sided_t(margin: float) -> None:
    for better, alternative in (("higher", "greater"), ("lower", "less")):
        _, verdict = judge(at(Y), hypothesis="superiority", margin=margin, better=better)
        expected = stats.ttest_1samp(Y, margin, alternative=alternative).pvalue
        assert verdict.p_value == pytest.approx(max(expected, 1e-10), rel=1e-6)


def test_equivalence_is_two_one_sided_tests() -> None:
    from statsmodels.stats.weightstats import ttost_paired

    a = np.random.default_rng(4).normal(0.1, 1, 30)
    estimate, verdict = judge(
        lambda level: paired_mean_difference(a, np.zeros(30), level=level),
        hypothesis="equivalence",
        margin=0.6,
        alpha=0.05,
    )
    assert verdict.p_value == pytest.approx(ttost_paired(a, np.zeros(30), -0.6, 0.6)[0], rel=1e-6)
    assert estimate.level == pytest.approx(0.9)
    assert verdict.margin == (-0.6, 0.6)


def test_exact_binomial_p_value_by_inverting_clopper_pearson() -> None:
    events = np.repeat([1, 0], [18, 2])
    found = one_sided_p(lambda level: proportion(events, level=level, interval="clopper_pearson"), 0.7, "above")
    assert found == pytest.approx(stats.binomtest(18, 20, 0.7, alternative="greater").pvalue, rel=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    margin=st.floats(-3, 3),
    alpha=st.floats(0.001, 0.4),
    kind=st.sampled_from(["superiority", "performance_goal", "equivalence"]),
    better=st.sampled_from(["higher", "lower"]),
)
def test_verdict_and_p_value_never_disagree(margin: float, alpha: float, kind: str, better: str) -> None:
    margin = abs(margin) + 0.01 if kind == "equivalence" else margin
    _, verdict = judge(at(Y), hypothesis=kind, margin=margin, alpha=alpha, better=better)
    assert verdict.p_value is not None
    assert 0 < verdict.p_value <= 1
    assert (verdict.outcome is Outcome.PASS) == (verdict.p_value <= alpha)


def fixed(lower: float | None, upper: float | None, unit: str = "HU") -> partial[Estimate]:
    def estimator(level: float) -> Estimate:
        reason = "" if lower is not None and upper is not None else "the spread cannot be estimated"
        return Estimate(value=1.0, lower=lower, upper=upper, method="m", n=9, unit=unit, level=level, reason=reason)

    return partial(estimator)


@pytest.mark.parametrize(
    ("kind", "margin", "better", "limits", "outcome", "reason"),
    [
        (
            "superiority",
            0.0,
            "higher",
            (2.1, 3),
            "pass",
            "The lower 95 % confidence limit, 2.1 HU, lies above the margin, 0 HU.",
        ),
        (
            "superiority",
            -3.0,
            "lower",
            (-9, -5),
            "pass",
            "The upper 95 % confidence limit, −5 HU, lies below the margin, −3 HU.",
        ),
        ("superiority", 4.0, "higher", (2.1, 3), "fail", "Even the upper 95 % confidence limit, 3 HU, lies below"),
        ("superiority", 2.5, "higher", (2.1, 3), "inconclusive", "do not settle"),
        ("superiority", 2.1, "higher", (2.1, 3), "inconclusive", "does not lie above"),
        ("superiority", None, "higher", (2.1, 3), "pass", "0 HU"),
        ("non_inferiority", 0.5, "higher", (-0.4, 3), "pass", "above the non-inferiority limit, −0.5 HU"),
        ("non_inferiority", 0.5, "lower", (-4, 0.4), "pass", "below the non-inferiority limit, 0.5 HU"),
        ("non_inferiority", 0.5, "lower", (0.6, 0.7), "fail", "not met"),
        ("performance_goal", 2.0, "higher", (2.1, 3), "pass", "above the performance goal, 2 HU"),
        ("equivalence", 2.0, None, (-1, 1.5), "pass", "lies within the equivalence margins, −2 to 2 HU"),
        ("equivalence", 2.0, None, (-1, 2.5), "inconclusive", "nor wholly outside"),
        ("equivalence", 2.0, None, (2.1, 2.5), "fail", "wholly outside"),
        ("superiority", 0.0, "higher", (None, None), "inconclusive", "the spread cannot be estimated"),
        ("equivalence", 1.0, None, (None, 0.5), "inconclusive", "the spread cannot be estimated"),
        ("descriptive", None, None, (2.1, 3), "inconclusive", "not judged"),
    ],
)
def test_outcomes_and_sentences(
    kind: str,
    margin: float | None,
    better: str | None,
    limits: tuple[float | None, float | None],
    outcome: str,
    reason: str,
) -> None:
    _, verdict = judge(fixed(*limits), hypothesis=kind, margin=margin, better=better)
    assert verdict.outcome.value == outcome
    assert reason in verdict.reason


def test_insufficient_data_is_inconclusive_with_its_reason_and_no_p_value() -> None:
    _, verdict = judge(lambda level: mean([1.0], level=level), hypothesis="superiority", better="higher")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "one patient" in verdict.reason
    assert verdict.p_value is None


def test_identity_model_is_never_superior() -> None:
    _, verdict = judge(
        lambda level: paired_mean_difference(Y, Y, level=level), hypothesis="superiority", better="lower"
    )
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_ratio_hypotheses_count_from_one() -> None:
    _, verdict = judge(fixed(0.7, 0.9, "1"), hypothesis="superiority", better="lower", null=1.0)
    assert verdict.outcome is Outcome.PASS
    _, verdict = judge(fixed(0.9, 1.05, "1"), hypothesis="non_inferiority", margin=0.1, better="lower", null=1.0)
    assert verdict.outcome is Outcome.PASS
    assert "1.1" in verdict.reason


def test_bounds_that_round_alike_are_told_apart() -> None:
    _, verdict = judge(fixed(0.1000001, 3.0), hypothesis="superiority", margin=0.1, better="higher")
    assert "0.1000001 HU" in verdict.reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"hypothesis": "superiority", "better": None},
        {"hypothesis": "non_inferiority", "better": "higher", "margin": -0.5},
        {"hypothesis": "performance_goal", "better": "higher"},
        {"hypothesis": "equivalence"},
        {"hypothesis": "equivalence", "lower": 2.0, "upper": 1.0},
        {"hypothesis": "magic", "better": "higher"},
    ],
)
def test_a_hypothesis_that_cannot_be_judged_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ProtocolProblem) as caught:
        judge(at(Y), **wrong)  # type: ignore[arg-type]
    assert caught.value.code == "STAT-001"


def test_numbers_are_written_with_a_true_minus() -> None:
    assert [number(x) for x in (-1.5, 1e-9, 123456.0, -0.0)] == ["−1.5", "1e−09", "123456", "0"]
