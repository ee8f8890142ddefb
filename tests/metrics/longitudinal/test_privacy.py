"""Privacy of event histories: replay is flagged, near copies are met, fresh patients are not accused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from tests.metrics.longitudinal.test_histories import histories
from validation.metrics.findings import Status
from validation.metrics.longitudinal.events import read_histories
from validation.metrics.longitudinal.privacy import (
    elements,
    history_membership,
    longitudinal_privacy,
    nearest_histories,
)

N = 200


@pytest.fixture(scope="module")
def real() -> tuple[pd.DataFrame, pd.DataFrame]:
    return histories(N, 1), histories(N, 2)


def mixed(train: pd.DataFrame, fresh: pd.DataFrame, copied: int) -> pd.DataFrame:
    return pd.concat([train[train.subject_id < copied], fresh[fresh.subject_id >= copied]])


def flagged(found: list) -> set[str]:
    return {f.metric for f in found if f.status is Status.FLAGGED}


def test_fresh_patients_are_not_accused_and_subgroups_have_rows(real):
    found = longitudinal_privacy(real[0], histories(N, 4), real[1])  # one report in twenty may be flagged by chance
    assert flagged(found) == set()
    assert not [f for f in found if f.status is Status.ERROR]
    assert {f.subgroup for f in found} == {"", "GENDER//F", "GENDER//M"}


def test_replayed_patients_are_flagged_with_their_numbers(real):
    found = longitudinal_privacy(real[0], mixed(real[0], histories(N, 3), 20), real[1])
    assert flagged(found) >= {"copied_histories", "membership_tpr"}
    rate = next(f for f in found if f.component.startswith("distance, 1.0%") and not f.subgroup)
    assert set(rate.rows) <= set(range(20))
    assert len(rate.rows) >= 18


def test_near_copies_are_met_without_exact_ones(real):
    near = mixed(real[0], histories(N, 3), 60)
    # one further drug at the end of every copied patient: no history is equal any more
    last = near[near.time.notna() & (near.subject_id < 60)].groupby("subject_id")["time"].max().reset_index()
    near = pd.concat([near, last.assign(code="drug 9", numeric_value=np.nan)])
    found = longitudinal_privacy(real[0], near, real[1])
    assert "copied_histories" not in flagged(found)
    assert flagged(found) >= {"membership_tpr", "history_dcr_share"}


def test_distances_equal_python_sets(real):
    frame = [f[f.subject_id < 25] for f in (real[0], histories(N, 3), real[1])]
    h = read_histories(*frame)
    found = nearest_histories(elements(h.synthetic, h), elements(h.train, h))

    def as_sets(f: pd.DataFrame) -> list[set]:
        out = []
        common = {h.codes[k] for k in h.frequent[:40]}
        for _, g in f.groupby("subject_id", sort=False):
            seen: dict[str, int] = {}
            things: set = set()
            for c in g.code:
                things.add((c, min(seen.get(c, 0), 7)))
                seen[c] = seen.get(c, 0) + 1
            visits = [{c if c in common else "" for c in v.code} for _, v in g.dropna(subset="time").groupby("time")]
            for a, b in pairwise(visits):
                things |= {(x, y, "then") for x in a for y in b}
            out.append(things)
        return out

    made, train = as_sets(frame[1]), as_sets(frame[0])
    full = np.array([[1 - len(a & b) / len(a | b) for b in train] for a in made])
    ordered = np.sort(full, axis=1)
    np.testing.assert_allclose(found.first, ordered[:, 0], atol=1e-9)
    np.testing.assert_allclose(found.second, ordered[:, 1], atol=1e-9)
    np.testing.assert_allclose(full[np.arange(len(made)), found.index], ordered[:, 0], atol=1e-9)


def test_without_a_holdout_or_with_a_shifted_one_attacks_are_inconclusive(real):
    found = longitudinal_privacy(real[0], real[0])
    assert {f.status for f in found} == {Status.INCONCLUSIVE}
    shifted = real[1].assign(code=real[1].code.str.replace("drug 0", "drug 5"))
    found = longitudinal_privacy(real[0], mixed(real[0], histories(N, 3), 40), shifted)
    assert flagged(found) <= {"privacy_control", "copied_histories"}
    assert set(history_membership(real[0], real[1], histories(N, 3))) == {
        f"{a} {b}" for a in ("distance", "density") for b in ("auc", "tpr at fpr 0.01", "tpr at fpr 0.001")
    }
