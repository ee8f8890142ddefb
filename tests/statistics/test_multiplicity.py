"""Multiplicity procedures against statsmodels, closed testing and their definitions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validation.errors import ProtocolProblem
from validation.estimate import Outcome, Verdict
from validation.statistics.multiplicity import adjust

P = {"E1": 0.011, "E2": 0.004, "E3": 0.03, "E4": 0.2}


@pytest.mark.parametrize("method", ["bonferroni", "holm", "hommel"])
@settings(max_examples=40, deadline=None)
@given(ps=st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=7))
def test_adjusted_p_values_are_those_of_statsmodels(method: str, ps: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    found = adjust({f"E{i}": p for i, p in enumerate(ps)}, method, alpha=0.05)
    expected = multipletests(ps, 0.05, method=method)
    np.testing.assert_allclose(list(found.p_adjusted.values()), np.minimum(expected[1], 1), rtol=1e-9)  # type: ignore[arg-type]


def test_hommel_is_the_closure_of_simes() -> None:
    names = list(P)

    def simes(ps: list[float]) -> float:
        return min(len(ps) * p / rank for rank, p in enumerate(sorted(ps), 1))

    found = adjust(P, "hommel").p_adjusted
    for name in names:
        others = [o for o in names if o != name]
        sets = [[name, *extra] for size in range(len(names)) for extra in combinations(others, size)]
        assert found[name] == pytest.approx(max(simes([P[n] for n in s]) for s in sets))


def test_fixed_sequence_stops_at_the_first_not_shown() -> None:
    found = adjust(P, "fixed_sequence", order=["E2", "E1", "E4", "E3"], alpha=0.05)
    assert found.rejected == {"E1": True, "E2": True, "E3": False, "E4": False}
    assert found.p_adjusted == {"E2": 0.004, "E1": 0.011, "E4": 0.2, "E3": 0.2}
    assert any("E3: not tested, because E4 before it is not shown" in step for step in found.steps)


def test_a_missing_p_value_blocks_the_sequence_and_takes_its_place_in_a_family() -> None:
    found = adjust({"E1": None, "E2": 0.001}, "fixed_sequence", order=["E1", "E2"])
    assert found.rejected == {"E1": False, "E2": False}
    assert found.p_adjusted["E1"] is None
    assert adjust({"E1": None, "E2": 0.001}, "bonferroni").p_adjusted["E2"] == 0.002


def test_endpoints_outside_the_plan_make_no_claim() -> None:
    found = adjust(P, "fixed_sequence", order=["E2"])
    assert found.p_adjusted["E1"] is None
    assert not found.rejected["E1"]
    assert any(step.startswith("E1: not part of the testing plan") for step in found.steps)


def test_gatekeeping_opens_the_next_family_only_when_all_are_shown() -> None:
    open_gate = adjust(P, "gatekeeping", gates=[["E2", "E1"], ["E3", "E4"]], alpha=0.1)
    assert open_gate.p_adjusted == pytest.approx({"E2": 0.008, "E1": 0.011, "E3": 0.06, "E4": 0.2})
    assert open_gate.rejected == {"E1": True, "E2": True, "E3": True, "E4": False}
    shut = adjust(P, "gatekeeping", gates=[["E4", "E1"], ["E2"]], alpha=0.05)
    assert shut.rejected["E2"] is False
    assert shut.rejected["E1"] is True
    inner = adjust(P, "gatekeeping", gates=[["E2", "E1"], ["E3"]], alpha=0.1, within="bonferroni")
    assert inner.p_adjusted["E1"] == pytest.approx(0.022)


def test_all_required_is_an_intersection_union_test() -> None:
    found = adjust({"E1": 0.01, "E2": 0.02}, "all_required")
    assert found.p_adjusted == {"E1": 0.01, "E2": 0.02}
    assert found.joint_p == 0.02
    assert adjust({"E1": 0.01, "E2": None}, "all_required").joint_p is None
    assert "not shown: E2" in adjust({"E1": 0.01, "E2": 0.2}, "all_required").steps[-1]


@pytest.mark.parametrize("method", ["holm", "hommel", "bonferroni", "fixed_sequence", "gatekeeping"])
@settings(deadline=None)  # the first call imports statsmodels
@given(ps=st.lists(st.floats(1e-6, 1.0), min_size=4, max_size=4), alpha=st.floats(0.01, 0.2))
def test_adjusting_never_helps(method: str, ps: list[float], alpha: float) -> None:
    names = dict(zip("abcd", ps, strict=True))
    found = adjust(names, method, order=list("abcd"), gates=[["a", "b"], ["c", "d"]], alpha=alpha)
    for name, p in names.items():
        adjusted = found.p_adjusted[name]
        assert adjusted is not None
        assert p <= adjusted <= 1
        assert found.rejected[name] == (adjusted <= alpha)


def test_a_pass_that_does_not_survive_becomes_inconclusive() -> None:
    verdict = Verdict(outcome=Outcome.PASS, reason="Fine.", hypothesis="superiority", p_value=0.02, alpha=0.025)
    found = adjust({"E1": 0.02, "E2": 0.3}, "holm")
    after = found.verdict("E1", verdict)
    assert (after.outcome, after.p_adjusted) == (Outcome.INCONCLUSIVE, 0.04)
    assert "Holm's procedure" in after.reason
    assert adjust({"E1": 0.01, "E2": 0.02}, "holm").verdict("E1", verdict).outcome is Outcome.PASS


@pytest.mark.parametrize("wrong", [("magic", []), ("fixed_sequence", ["E1", "E1"]), ("fixed_sequence", ["E9"])])
def test_a_plan_that_makes_no_sense_is_refused(wrong: tuple[str, list[str]]) -> None:
    with pytest.raises(ProtocolProblem) as caught:
        adjust(P, wrong[0], order=wrong[1])
    assert caught.value.code == "STAT-002"
