"""Event histories: shuffled order, lost codes and copied patients are flagged, a second real sample is not."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from validation.errors import DataProblem
from validation.metrics.findings import Finding, Status
from validation.metrics.longitudinal.course import follow_up
from validation.metrics.longitudinal.events import read_histories
from validation.metrics.longitudinal.family import longitudinal_fidelity
from validation.metrics.longitudinal.histories import event_distributions, visit_counts
from validation.metrics.longitudinal.profiles import cooccurrences, profile_distance, transitions
from validation.metrics.longitudinal.replay import copied_histories
from validation.metrics.longitudinal.survival import curve_distance, kaplan_meier, restricted_mean, survival_curves

N = 300


def histories(n: int, seed: int) -> pd.DataFrame:
    """Patients who move through states that tend to stay, with a rising laboratory value and some deaths."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(n):
        state, day, value = int(rng.integers(0, 4)), 0.0, rng.normal(5, 1)
        rows.append((patient, None, "GENDER//F" if rng.random() < 0.5 else "GENDER//M", None))
        for _ in range(int(rng.integers(3, 9))):
            rows += [(patient, day, f"state {state}", None), (patient, day, f"drug {rng.integers(0, 6)}", None)]
            rows.append((patient, day, "lab", round(value, 2)))
            state = state if rng.random() < 0.6 else (state + 1) % 5
            value += rng.normal(0.4, 0.2)
            day += round(float(rng.exponential(30)) + 1, 1)
        if rng.random() < 0.3:
            rows.append((patient, day, "MEDS_DEATH", None))
    return pd.DataFrame(rows, columns=["subject_id", "time", "code", "numeric_value"])


def shuffled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Deal the visits of every patient out to its own times at random."""
    rng = np.random.default_rng(seed)
    parts = []
    for _, g in frame.groupby("subject_id", sort=False):
        times = g["time"].dropna().unique()
        parts.append(g.assign(time=g["time"].map(dict(zip(times, rng.permutation(times), strict=True)))))
    return pd.concat(parts)


def flagged(found: list[Finding]) -> set[str]:
    return {f.metric for f in found if f.status is Status.FLAGGED}


@pytest.fixture(scope="module")
def real() -> tuple[pd.DataFrame, pd.DataFrame]:
    return histories(N, 1), histories(N, 2)


def test_a_second_real_sample_is_not_flagged_and_every_metric_has_a_row(real):
    found = longitudinal_fidelity(real[0], histories(N, 3), real[1])
    assert flagged(found) == set()
    assert not [f for f in found if f.status is Status.ERROR]
    assert {f.metric for f in found} >= {
        "visit_counts",
        "inter_event_times",
        "code_distribution",
        "code_prevalence",
        "invented_codes",
        "transitions",
        "code_cooccurrence",
        "visit_order",
        "trajectories",
        "kaplan_meier_distance",
        "copied_histories",
        "subgroup_share",
    }
    assert {f.subgroup for f in found} == {"", "GENDER//F", "GENDER//M"}


def test_shuffled_order_of_visits_is_flagged(real):
    found = longitudinal_fidelity(real[0], shuffled(histories(N, 3), 0), real[1])
    assert "visit_order" in flagged(found)
    assert "trajectories" in flagged(found)
    assert not flagged(found) & {
        "visit_counts",
        "inter_event_times",
        "code_distribution",
        "code_prevalence",
        "code_cooccurrence",
    }


def test_a_lost_code_and_doubled_gaps_are_flagged(real):
    made = histories(N, 3)
    made = made[made.code != "drug 0"].assign(time=made.time * 2)
    found = longitudinal_fidelity(real[0], made, real[1])
    assert flagged(found) >= {"code_prevalence", "inter_event_times"}


def test_copied_patients_are_flagged_whatever_their_times(real):
    copies = real[0][real[0].subject_id < 15].assign(
        subject_id=lambda d: d.subject_id + 1000, time=lambda d: d.time + 7
    )
    fresh = histories(N, 3)
    made = pd.concat([fresh[fresh.subject_id >= 15], copies])
    found = longitudinal_fidelity(real[0], made, real[1])
    row = next(f for f in found if f.metric == "copied_histories")
    assert row.status is Status.FLAGGED
    assert row.estimate.n_events == 15
    assert copied_histories(real[0], fresh, real[1])["train"].value == 0


def test_worse_survival_is_flagged(real):
    made = histories(N, 3)
    made = made[~((made.code == "MEDS_DEATH") & (made.subject_id % 4 > 0))]
    assert "kaplan_meier_distance" in flagged(longitudinal_fidelity(real[0], made, real[1]))


def test_transitions_and_pairs_equal_plain_loops(real):
    frame = real[0][real[0].subject_id < 20]
    h = read_histories(frame, frame)
    top = {c: k for k, c in enumerate(h.codes[i] for i in h.frequent[:40])}
    width, moves, together = 41, {}, {}
    for patient, g in frame.dropna(subset="time").groupby("subject_id"):
        visits = [set(v) for _, v in g.groupby("time")["code"]]
        for a, b in itertools.pairwise(visits):
            for x in a:
                for y in b:
                    key = patient, top[x] * width + top[y]
                    moves[key] = moves.get(key, 0) + 1
        for v in visits:
            for x in v:
                for y in v:
                    if top[x] < top[y]:
                        together[patient, top[x] * width + top[y]] = 1
    for matrix, plain in ((transitions(h.train, h), moves), (cooccurrences(h.train, h), together)):
        found = matrix.tocoo()
        assert {(int(r), int(c)): v for r, c, v in zip(found.row, found.col, found.data, strict=True)} == plain


def test_survival_of_endpoints_and_restricted_means_equal_statsmodels(real):
    from statsmodels.duration.survfunc import SurvfuncRight

    h = read_histories(real[0], real[1])
    time, event = follow_up(h.train, h.codes.index("MEDS_DEATH"))
    assert event.sum() == (real[0].code == "MEDS_DEATH").sum()
    oracle = SurvfuncRight(time, event)
    curve = kaplan_meier(time, event)
    np.testing.assert_allclose(curve.survival, oracle.surv_prob)
    mean, variance = restricted_mean(kaplan_meier(np.array([1.0, 2, 3, 4]), np.array([1.0, 1, 1, 1])), 10.0)
    assert mean == pytest.approx(2.5)
    assert variance == pytest.approx(np.var([1, 2, 3, 4]) / 4)


def test_crossing_curves_are_seen():
    rng = np.random.default_rng(0)
    x, y = rng.exponential(1, 600), rng.weibull(3, 600) * 0.9
    estimate, p = curve_distance((x, np.ones(600)), (y, np.ones(600)), level=0.95, seed=0)
    assert p < 0.001
    assert estimate.lower > 0.1
    few, none = curve_distance((x[:4], np.ones(4)), (y, np.ones(600)), level=0.95, seed=0)
    assert (few.value, none) == (None, None)


def test_profile_p_values_are_uniform_for_patients_as_units():
    from scipy import sparse, stats

    rng = np.random.default_rng(0)
    p = []
    for seed in range(60):
        # patients differ much: rows are Dirichlet around the mean, so events are not independent
        rows = [rng.multinomial(20, rng.dirichlet(np.ones(8) * 0.5)) for _ in range(120)]
        p.append(
            profile_distance(
                sparse.csr_matrix(rows[:50]), sparse.csr_matrix(rows[50:]), level=0.95, seed=seed, what="x"
            )[1]
        )
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_what_cannot_be_read_is_refused(real):
    with pytest.raises(DataProblem, match="no column holds the subject"):
        read_histories(real[0].rename(columns={"subject_id": "who"}), real[1])
    with pytest.raises(DataProblem, match="neither numbers nor ISO"):
        read_histories(real[0].assign(time="yesterday"), real[1].assign(time="today"))
    dated = real[0].assign(time=pd.Timestamp("2020-01-01") + pd.to_timedelta(real[0].time, unit="D"))
    assert visit_counts(dated, dated)["visits per patient"].value == 0


def test_registered_metrics_name_their_components(real):
    assert set(event_distributions(real[0], real[1])) == {
        "codes",
        "first_code_transitions",
        "first_code",
        "transitions",
    }
    frame = pd.DataFrame({"t": [1.0, 2, 3, 4, 5, 6], "e": [1, 1, 1, 1, 1, 0]})
    assert survival_curves(frame, frame, time="t", event="e")["distance"].value == 0
