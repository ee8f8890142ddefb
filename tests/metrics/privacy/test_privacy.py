"""Privacy of tables: memory is flagged, honest generators are not, and every null and count has an oracle."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.metrics.tabular.generators import copula, memoriser, population
from validation.metrics.findings import Finding, Status
from validation.metrics.privacy.distances import closer_share, distances
from validation.metrics.privacy.duplicates import exact_copies
from validation.metrics.privacy.exchangeable import control_adjusted, relabelled
from validation.metrics.privacy.family import bound, tabular_privacy
from validation.metrics.privacy.inference import attribute_inference, guesses, linkability
from validation.metrics.privacy.membership import accused_p, membership_inference, true_positives
from validation.metrics.privacy.quasi_identifiers import k_map, l_diversity
from validation.metrics.privacy.singling_out import cells, matches, multivariate, singling_out
from validation.metrics.tabular.encoding import encode

N = 1000


@pytest.fixture(scope="module")
def real() -> tuple[pd.DataFrame, pd.DataFrame]:
    return population(N, 1), population(N, 2)


def flagged(found: list[Finding]) -> set[str]:
    return {f.metric for f in found if f.status is Status.FLAGGED}


def test_five_per_cent_memory_is_flagged_with_its_rows(real):
    found = tabular_privacy(real[0], memoriser(real[0], population(N, 3), 0.05), real[1])
    assert flagged(found) >= {"exact_copies", "membership_tpr"}
    copies = next(f for f in found if f.metric == "exact_copies" and not f.subgroup)
    assert copies.rows == tuple(range(20))
    assert copies.estimate.n_events == 50
    tpr = next(f for f in found if f.metric == "membership_tpr" and f.component.startswith("distance, 0.1"))
    assert tpr.estimate.value == pytest.approx(0.05, abs=0.01)
    text = json.dumps([f.to_dict() | f.estimate.to_dict() for f in found])
    assert "anonymous" not in text


def test_near_copies_are_flagged_without_exact_ones(real):
    made = memoriser(real[0], population(N, 3), 0.1)
    made["pressure"] += 0.01
    found = tabular_privacy(real[0], made, real[1])
    assert "membership_tpr" in flagged(found)
    assert next(f for f in found if f.metric == "exact_copies" and not f.subgroup).estimate.value == 0


def test_honest_generators_are_not_flagged(real):
    assert flagged(tabular_privacy(real[0], population(N, 3), real[1])) == set()
    assert flagged(tabular_privacy(real[0], copula(real[0], N, 4), real[1])) == set()
    assert not [f for f in tabular_privacy(real[0], population(N, 3), real[1]) if f.status is Status.ERROR]


def test_unequal_sizes_do_not_flag_and_are_in_the_null(real):
    holdout = real[1].iloc[:200]
    found = tabular_privacy(real[0], population(N, 5), holdout)
    assert flagged(found) == set()
    dcr = next(f for f in found if f.metric == "dcr_share" and not f.subgroup)
    assert "0.8333" in dcr.null
    assert dcr.estimate.lower < 1000 / 1200 < dcr.estimate.upper


def test_without_a_holdout_nothing_is_judged_but_nothing_is_missing(real):
    found = tabular_privacy(real[0], real[0].copy())
    assert {f.status for f in found} == {Status.INCONCLUSIVE}
    assert {f.metric for f in found} >= {
        "privacy_control",
        "exact_copies",
        "dcr_share",
        "nndr",
        "membership_tpr",
        "k_map",
    }


def test_a_shifted_holdout_makes_attacks_inconclusive(real):
    shifted = real[1].assign(age=real[1].age + 25)
    found = tabular_privacy(real[0], population(N, 3), shifted)
    assert flagged(found) == {"privacy_control"}
    assert all(f.status is Status.INCONCLUSIVE for f in found if f.metric in ("membership_tpr", "dcr_share"))


def test_a_leaking_subgroup_is_named(real):
    made = population(N, 3)
    men = np.flatnonzero(real[0].sex == "M")[:60]
    made.iloc[:60] = real[0].iloc[men].to_numpy()
    found = tabular_privacy(real[0], made, real[1], subgroups_of=("sex",))
    groups = {f.subgroup for f in found if f.metric == "exact_copies" and f.status is Status.FLAGGED}
    assert "sex=M" in groups
    assert "sex=F" not in groups


def test_the_threshold_is_compared_with_the_upper_limit(real):
    found = tabular_privacy(real[0], memoriser(real[0], population(N, 3), 0.5), real[1], risk_threshold=0.09)
    bounds = [f for f in found if f.metric == "risk_bound"]
    assert {f.component.split()[0] for f in bounds} >= {
        "exact_copies",
        "linkability",
        "attribute_inference",
        "singling_out",
    }
    copies = next(f for f in bounds if f.component == "exact_copies" and not f.subgroup)
    assert copies.status is Status.FLAGGED
    assert bound(copies, 0.4).status is Status.FLAGGED
    assert bound(copies, 0.5).status is Status.INCONCLUSIVE
    assert bound(copies, 0.6).status is Status.NOT_FLAGGED


def test_relabelling_moments_equal_simulation():
    rng = np.random.default_rng(0)
    a, b = rng.poisson(1, 30).astype(float), rng.poisson(1, 20).astype(float)
    observed, mean, variance = relabelled(a, b)
    both = np.concatenate([a, b])
    draws = np.array([rng.permutation(both)[:30].sum() for _ in range(20_000)])
    assert observed == a.sum()
    assert mean == pytest.approx(draws.mean(), rel=0.01)
    assert variance == pytest.approx(draws.var(), rel=0.05)


def test_dcr_p_values_are_uniform_for_fresh_records():
    p = []
    for seed in range(60):
        t = encode(*(population(120, 1000 * seed + k) for k in range(3)))
        p.append(closer_share(distances(t), 120, 120, level=0.95)[1])
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_accusations_are_exact():
    rng = np.random.default_rng(1)
    n, m, rate = 40, 30, 0.1
    draws = []
    for _ in range(20_000):
        scores = rng.permutation(n + m)
        draws.append(true_positives(scores[:n], scores[n:], rate)[0])
    for k in (1, 5, 10):
        assert accused_p(k, 3, n, m) == pytest.approx(np.mean(np.array(draws) >= k), abs=0.01)
    # tied scores accuse nobody
    assert true_positives(np.ones(5), np.ones(50), 0.01)[:2] == (0, 0)


def test_copies_equal_a_merge(real):
    made = memoriser(real[0], population(N, 3), 0.03)
    found = exact_copies(real[0], made, real[1])
    merged = real[0].drop_duplicates().merge(made.drop_duplicates())
    assert found["train_copied"].n_events == len(merged) == 30
    low, high = stats.binomtest(30, N).proportion_ci(0.95, "exact")
    assert (found["train_copied"].lower, found["train_copied"].upper) == pytest.approx((low, high))


def test_singling_out_counts_equal_pandas(real):
    t = encode(real[0], population(N, 3), real[1])
    d = multivariate(t, seed=0, attacks=40, width=3)
    counts, rows = matches(d, cells(t.train))
    table = pd.DataFrame(cells(t.train))
    for k in range(len(d)):
        keep = pd.Series(True, index=table.index)
        for c, kind, v in zip(d.columns[k], d.kinds[k], d.values[k], strict=True):
            x = table[c]
            keep &= x.eq(v) if kind == 0 else (x.ge(v) & np.isfinite(x)) if kind == 1 else x.le(v)
        assert counts[k] == min(2, keep.sum())
        if keep.any():
            assert rows[k] == keep.idxmax()
    assert (matches(d, cells(t.synthetic))[0] == 1).all()
    assert set(singling_out(real[0], real[1], population(N, 3), attacks=100)) == {"univariate", "multivariate"}


def test_inference_guesses_equal_brute_force(real):
    train, holdout, made = real[0].iloc[:150], real[1].iloc[:150], population(200, 9)
    t = encode(train, made, holdout)
    got, _ = guesses(t, "disease", ("age", "sex"))
    span = np.ptp(pd.concat([train, holdout, made]).age)
    d = np.abs(train.age.to_numpy()[:, None] - made.age.to_numpy()) / span
    d = d + (train.sex.to_numpy()[:, None] != made.sex.to_numpy())
    guess = made.disease.to_numpy()[np.argmin(np.round(d, 11), axis=1)]
    np.testing.assert_array_equal(got, guess == train.disease.to_numpy())
    copy = attribute_inference(real[0], real[1], real[0].copy(), sensitive=("disease",))
    assert copy["disease"].lower > 0.5
    assert linkability(real[0], real[1], real[0].copy()).lower > 0.5


def test_control_adjusted_risk_is_conservative_and_zero_below():
    e = control_adjusted(50, 100, 60, 100, level=0.95, method="m")
    assert (e.value, e.lower) == (0, 0)
    assert e.upper > 0
    assert control_adjusted(0, 0, 1, 2, level=0.95, method="m").value is None


def test_k_map_equals_a_groupby(real):
    found = k_map(real[0], population(N, 3), quasi_identifiers=("age", "sex"))
    sizes = real[0].groupby(["age", "sex"]).size()
    made = population(N, 3).merge(sizes.rename("k").reset_index(), how="left")
    assert found["one_person"].value == pytest.approx((made.k == 1).mean())
    assert found["fewer_than_five"].value == pytest.approx((made.k < 5).mean())
    assert found["smallest_class"].value == made.k.min()
    assert found["average_risk"].value == pytest.approx((1 / made.k).fillna(0).mean())


def test_l_diversity_equals_a_groupby(real):
    made = population(N, 3)
    found = l_diversity(real[0], made, real[1], quasi_identifiers=("age", "sex"), sensitive=("disease",))
    classes = made.groupby(["age", "sex"])["disease"].agg(["first", "nunique"])
    single = classes[classes["nunique"] == 1]["first"]
    assert found["disease single_valued"].value == pytest.approx((classes["nunique"] == 1).mean())
    for role, frame in zip(("train", "holdout"), real, strict=True):
        given = frame.merge(single.rename("given").reset_index(), on=["age", "sex"], how="left")["given"]
        assert found[f"disease {role}"].n_events == int((given.to_numpy() == frame["disease"].to_numpy()).sum())


def test_attacks_are_judged_per_subgroup(real):
    found = tabular_privacy(real[0], population(N, 3), real[1], subgroups_of=("sex",), quasi_identifiers=("age", "sex"))
    names = {f.metric for f in found if f.subgroup == "sex=F"}
    assert names >= {
        "exact_copies",
        "dcr_share",
        "membership_tpr",
        "attribute_inference",
        "linkability",
        "singling_out",
        "k_map",
        "l_diversity",
    }
    # counts of the two sexes add up to those of everybody
    for metric in ("k_map", "linkability"):
        k = [int(f.note.split()[0]) for f in found if f.metric == metric]
        assert k[0] == k[1] + k[2]


def test_a_claim_is_recorded_and_decides_nothing(real):
    claim = {"epsilon": 3.0, "delta": 1e-5, "claimed_by": "the maker", "only": ("differential_privacy_claim",)}
    (found,) = tabular_privacy(*(real[0], population(N, 3), real[1]), **claim)
    assert found.status is Status.INCONCLUSIVE
    assert found.note == "stated by the maker (epsilon 3, delta 1e-05); recorded, not verified here"
    (found,) = tabular_privacy(real[0], population(N, 3), real[1], **(claim | {"epsilon": -1.0}))
    assert found.status is Status.ERROR


def test_membership_metric_names_both_attacks(real):
    found = membership_inference(real[0], real[1], population(N, 3))
    assert {k.split()[0] for k in found} == {"distance", "density"}
