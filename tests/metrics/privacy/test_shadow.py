"""Shadow models: memory is found, a sound generator is not accused, and the score is what its definition says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.metrics.tabular.generators import Memory, population
from validation.errors import DataProblem, UsageProblem
from validation.metrics.findings import Status
from validation.metrics.privacy.family import tabular_privacy
from validation.metrics.privacy.shadow import calibrated, halves, shadow_attack, shadow_membership, trained

HERE = "tests.metrics.tabular.generators"
N = 400


@pytest.fixture(scope="module")
def real() -> tuple[pd.DataFrame, pd.DataFrame]:
    return population(N, 1), population(N, 2)


def test_memory_is_found_with_the_worst_people(real):
    made = Memory(real[0], 0).sample(N, 5)
    found = tabular_privacy(
        real[0], made, real[1], generator=f"{HERE}:Memory", shadows=4, only=("shadow_attack",), subgroups_of=("sex",)
    )
    rate = next(f for f in found if "1.0% false" in f.component and not f.subgroup)
    assert rate.status is Status.FLAGGED
    assert len(set(rate.rows) & set(range(40))) >= 18  # the copied people come first
    assert "4 shadow models on halves of 800 people" in rate.note
    assert {f.subgroup for f in found} == {"", "sex=F", "sex=M"}


def test_a_sound_generator_is_not_accused(real):
    found = tabular_privacy(
        real[0], population(N, 3), real[1], generator=f"{HERE}:train_sound", shadows=4, only=("shadow_attack",)
    )
    assert {f.status for f in found if not f.subgroup} == {Status.NOT_FLAGGED}
    assert {f.status for f in found} <= {Status.NOT_FLAGGED, Status.INCONCLUSIVE}  # the smallest group
    numbers = shadow_membership(real[0], real[1], population(N, 3), generator=f"{HERE}:train_sound", shadows=4)
    assert numbers["on_shadow_models"].value == pytest.approx(0.5, abs=0.03)
    assert numbers["auc"].lower < 0.5 < numbers["auc"].upper


def test_the_score_is_closeness_less_the_mean_of_shadows_without_the_person():
    rng = np.random.default_rng(0)
    target, shadow, inside = rng.normal(size=6), rng.normal(size=(4, 6)), halves(6, 4, seed=1)
    expected = [target[x] - np.mean([shadow[k, x] for k in range(4) if not inside[k, x]]) for x in range(6)]
    np.testing.assert_allclose(calibrated(target, shadow, inside), expected)
    assert (inside[0] ^ inside[1]).all()
    assert inside.sum() == 12


def test_the_attack_equals_brute_force(real):
    train, holdout, made = real[0].iloc[:80], real[1].iloc[:80], population(60, 9)
    attack, _ = shadow_attack(train, holdout, made, generator=f"{HERE}:train_sound", shadows=4, seed=3)
    people = pd.concat([train, holdout], ignore_index=True)
    span = people[["age", "pressure", "dose"]].agg(np.ptp).where(lambda v: v > 0)
    span["dose"] = people.dose.max() - people.dose.min()

    def closest(table: pd.DataFrame) -> np.ndarray:
        total = np.zeros((len(people), len(table)))
        for c in ("age", "pressure", "dose"):
            gap = np.abs(people[c].to_numpy()[:, None] - table[c].to_numpy()) / span[c]
            gone = people[c].isna().to_numpy()[:, None], table[c].isna().to_numpy()[None, :]
            total += np.where(gone[0] & gone[1], 0.0, np.where(gone[0] | gone[1], 1.0, np.minimum(gap, 1)))
        for c in ("sex", "site", "disease"):
            total += people[c].to_numpy()[:, None] != table[c].to_numpy()
        return -np.log(total.min(1) / 6 + 1e-6)

    inside = halves(160, 4, seed=3)
    shadows = np.stack([closest(trained(f"{HERE}:train_sound", people[inside[k]], 3 + k)(60, 7 + k)) for k in range(4)])
    np.testing.assert_allclose(
        np.concatenate([attack.train, attack.holdout]), calibrated(closest(made), shadows, inside), atol=1e-9
    )


def test_what_cannot_be_trained_is_an_error_and_nothing_is_missing(real):
    found = tabular_privacy(real[0], population(N, 3), real[1], only=("shadow_attack",))
    assert [f.status for f in found] == [Status.INCONCLUSIVE]
    assert "no generator" in found[0].note
    for name, word in ((f"{HERE}:train_nothing", "sampled from"), (f"{HERE}:missing", "cannot be imported")):
        found = tabular_privacy(real[0], population(N, 3), real[1], only=("shadow_attack",), generator=name)
        assert [f.status for f in found] == [Status.ERROR]
        assert word in found[0].note
    with pytest.raises(UsageProblem, match="even"):
        shadow_membership(*real, population(N, 3), generator=f"{HERE}:Memory", shadows=3)
    with pytest.raises(DataProblem, match="people"):
        shadow_membership(real[0].head(9), real[1].head(9), population(9, 3), generator=f"{HERE}:Memory", shadows=4)
