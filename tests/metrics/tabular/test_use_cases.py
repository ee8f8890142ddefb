"""Augmentation, virtual controls, extrapolation, consistency, proven privacy loss: against counts and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.metrics.tabular.generators import independent, memoriser, population
from validation.errors import UsageProblem
from validation.metrics.privacy.privacy_loss import audit, proven_epsilon, proven_privacy_loss
from validation.metrics.reuse import reusing
from validation.metrics.tabular.augmentation import tabular_augmentation, trend, worst_gain
from validation.metrics.tabular.consistency import cross_modal_consistency
from validation.metrics.tabular.encoding import encode
from validation.metrics.tabular.extrapolation import extrapolation, outside
from validation.metrics.tabular.trial import arm_size, standardised_difference, two_arm_power, virtual_control
from validation.statistics.roc import areas


def tables(n: int = 400) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return population(n, 1), population(n, 2), population(n, 3)


def test_more_real_records_help_and_noise_harms_per_group() -> None:
    train, holdout, more = tables()
    noise = independent(train, 400, 1)
    kept = dict(outcome="disease", doses=(1.0,), subgroups_of=("sex",))
    good = tabular_augmentation(train, holdout, more, **kept)
    bad = tabular_augmentation(train.iloc[:60], holdout, noise, outcome="disease", doses=(5.0,), subgroups_of=("sex",))
    gain = {f.subgroup: f.estimate.value for f in good if f.metric == "augmentation_gain"}
    assert set(gain) == {"", "sex=F", "sex=M"}
    assert abs(gain[""] or 1.0) < 0.05
    assert {f.metric for f in bad} == {"augmentation_gain", "dose_response", "worst_group", "over_reweighting"}
    missing = tabular_augmentation(train, holdout, more, outcome="disease", doses=(3.0,), subgroups_of=("sex",))
    assert any(f.status and f.status.value == "error" and "records" in f.note for f in missing)


def test_the_trend_is_least_squares_of_the_areas() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200).astype(float)
    columns = [y * k + rng.normal(0, 1, 200) for k in (0.5, 0.8, 1.0)]
    doses = [0.0, 0.5, 1.0]
    e = trend(columns, doses, y, level=0.95)
    assert e.value == pytest.approx(np.polyfit(doses, areas(columns, y).areas, 1)[0])
    assert e.lower is not None
    assert e.lower < (e.value or 0.0)


def test_the_worst_group_rises_by_what_the_minimum_rises() -> None:
    rng = np.random.default_rng(1)
    y, g = rng.integers(0, 2, 600).astype(float), rng.integers(0, 2, 600)
    real = y * np.where(g == 1, 0.1, 2.0) + rng.normal(0, 1, 600)
    made = y * np.where(g == 1, 1.5, 2.0) + rng.normal(0, 1, 600)
    e = worst_gain(made, real, y, [g == 0, g == 1], level=0.95, seed=1)
    low = [min(areas([s[g == k]], y[g == k]).areas[0] for k in (0, 1)) for s in (made, real)]
    assert e.value == pytest.approx(low[0] - low[1])
    assert (e.lower or 0.0) > 0


def test_power_and_size_agree_with_each_other_and_with_simulation() -> None:
    n = arm_size(0.3, 0.5, 0.8, 0.05)
    assert two_arm_power(0.3, 0.5, n, 0.05) == pytest.approx(0.8)
    rng = np.random.default_rng(2)
    a, b = rng.binomial(118, 0.3, 40_000) / 118, rng.binomial(118, 0.15, 40_000) / 118
    z = (a - b) / np.sqrt((a * (1 - a) + b * (1 - b)) / 118)
    assert (np.abs(z) > stats.norm.isf(0.025)).mean() == pytest.approx(two_arm_power(0.3, 0.5, 118, 0.05), abs=0.02)


def test_a_virtual_arm_with_another_event_rate_is_flagged() -> None:
    _, real, made = tables(1500)
    worse = made.assign(disease=np.where(np.random.default_rng(0).random(1500) < 0.3, "yes", made["disease"]))
    asked = dict(event="disease", eligibility="age >= 50", risk_ratio=0.8, per_arm=200)
    fine = {f.metric: f for f in virtual_control(real, made, real, **asked) if f.metric != "balance"}
    found = {f.metric: f for f in virtual_control(real, worse, **asked)}
    rates = [((t["age"] >= 50) & (t["disease"] == "yes")).sum() / (t["age"] >= 50).sum() for t in (made, real)]
    assert fine["event_rate"].estimate.value == pytest.approx(rates[0] - rates[1])
    shares = [(t["age"] >= 50).mean() for t in (real, made)]
    assert fine["accrual_time"].estimate.value == pytest.approx(shares[0] / shares[1])
    assert found["event_rate"].status.value == "flagged"  # type: ignore[union-attr]
    assert fine["event_rate"].status.value == "not flagged"  # type: ignore[union-attr]
    assert fine["treatment_effect"].note == "the same conclusion"
    with pytest.raises(UsageProblem, match="no column"):
        virtual_control(real, made, event="death")


def test_standardised_difference_covers() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        e = standardised_difference(rng.normal(0.3, 1, 60), rng.normal(0, 1, 80), level=0.95)
        hits += (e.lower or 0) <= 0.3 <= (e.upper or 0)
    assert 0.92 < hits / 400 < 0.98


def test_records_outside_are_counted() -> None:
    train, holdout, made = tables(200)
    made.loc[:9, "age"] = 300
    t = encode(train, made, holdout)
    expected = np.zeros(200, bool)
    for c in ("age", "pressure", "dose"):
        expected |= ((made[c] < train[c].min()) | (made[c] > train[c].max())).to_numpy()
    expected |= (~made["site"].isin(train["site"])).to_numpy()
    assert np.array_equal(outside(t, t.synthetic), expected)
    assert extrapolation(train, made, holdout)["synthetic outside range"].n_events == expected.sum()


def test_images_that_were_dealt_to_other_patients_are_seen() -> None:
    rng = np.random.default_rng(4)

    def pairs(n: int) -> pd.DataFrame:
        sick = rng.integers(0, 2, n)
        return pd.DataFrame({"image_a": sick + rng.normal(0, 0.5, n), "sick": np.where(sick == 1, "yes", "no")})

    train, holdout, made = pairs(300), pairs(300), pairs(300)
    fine = cross_modal_consistency(train, holdout, made)["sick"]
    dealt = made.assign(sick=rng.permutation(made["sick"].to_numpy()))
    broken = cross_modal_consistency(train, holdout, dealt)["sick"]
    assert abs(fine.value or 1.0) < 0.08
    assert (broken.upper or 0.0) < -0.2


def test_proven_loss_is_the_closed_form_and_never_proves_too_much() -> None:
    value, low = proven_epsilon(90, 100, 10, 100, delta=0.0, level=0.95)
    tp = stats.beta.ppf(0.0125, 90, 11)
    fp = stats.beta.ppf(1 - 0.0125, 11, 90)
    assert value == pytest.approx(math.log(9))
    assert low == pytest.approx(math.log(tp / fp))
    rng = np.random.default_rng(5)
    wrong = sum(
        (audit(rng.random(80), rng.random(80), delta=0.0, level=0.9, seed=k).lower or 0) > 0 for k in range(200)
    )
    assert wrong / 200 <= 0.05 + 0.035  # no training record is different: epsilon is 0
    train, holdout, fresh = tables(200)
    assert (proven_privacy_loss(train, holdout, memoriser(train, fresh, 1.0))["distance"].lower or 0.0) > 1


def test_shared_steps_give_the_same_numbers() -> None:
    train, holdout, made = tables(100)
    alone = extrapolation(train, made, holdout)
    with reusing():
        first, second = extrapolation(train, made, holdout), extrapolation(train, made, holdout, level=0.9)
    assert first == alone
    assert second["synthetic far"].value == alone["synthetic far"].value
