"""The proposal, rule by rule, on records made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from validation.change.decision import decide


def verdict(outcome: str = "pass", hypothesis: str = "equivalence") -> dict[str, str]:
    return {"outcome": outcome, "reason": "Because.", "hypothesis": hypothesis}


def record(**parts: Any) -> dict[str, Any]:
    good = {
        "impact": {
            "endpoints": {"E1": {}}, "checks": {"constancy": "", "header_drift": ""}, "modifications": {},
            "triggers": [{"route": "labelled"}],
        },
        "endpoints": {"E1": {"verdict": verdict(), "subgroups": {}, "n_missing": 0, "sensitivity": {}}},
        "differences": {"E1": {"verdict": verdict()}},
        "constancy": {"C1": {"verdict": verdict(), "arm": "input"}},
        "operating_limits": [{"quantity": "kernel", "n_outside": 0, "outside": [], "reason": ""}],
        "header_drift": {"compared": True, "reason": "", "columns": {}},
        "modification": None,
    }  # fmt: skip
    return good | parts


def test_everything_met_continues() -> None:
    found = decide(record())
    assert (found.use, found.route) == ("continue", "labelled")
    assert found.reasons[0]["text"].startswith("Every endpoint")


@pytest.mark.parametrize("outcome", ["fail", "inconclusive", "error"])
@pytest.mark.parametrize("part", ["endpoints", "differences", "constancy"])
def test_anything_that_is_not_a_pass_holds(part: str, outcome: str) -> None:
    changed = record()
    name = "C1" if part == "constancy" else "E1"
    changed[part][name]["verdict"] = verdict(outcome)
    found = decide(changed)
    assert found.use == "hold"
    assert [r["part"] for r in found.reasons if r["effect"] == "hold"] == [part]
    assert found.actions


def test_a_difference_without_a_limit_changes_nothing() -> None:
    assert decide(record(differences={"E1": {"verdict": verdict("inconclusive", "descriptive")}})).use == "continue"


def test_a_failing_subgroup_restricts() -> None:
    cell = {"status": "fail", "reason": "Because."}
    changed = record()
    changed["endpoints"]["E1"]["subgroups"] = {"kernel": {"Sharp": cell, "Soft": {"status": "pass", "reason": ""}}}
    found = decide(changed)
    assert found.use == "restrict"
    assert "kernel = Sharp" in found.actions[0]


def test_missing_values_hold_unless_the_worst_case_passes() -> None:
    changed = record()
    changed["endpoints"]["E1"]["n_missing"] = 2
    assert decide(changed).use == "hold"
    changed["endpoints"]["E1"]["sensitivity"] = {"worst_case": {"outcome": "fail"}}
    assert decide(changed).use == "hold"
    changed["endpoints"]["E1"]["sensitivity"] = {"worst_case": {"outcome": "pass"}}
    assert decide(changed).use == "continue"


def test_headers_that_cannot_be_compared() -> None:
    unseen = {"compared": False, "reason": "not at hand", "columns": {}}
    assert decide(record(header_drift=unseen)).use == "continue"  # the operating limits were checked
    assert decide(record(header_drift=unseen, operating_limits=[])).use == "hold"


def test_nothing_compared_is_nothing_shown() -> None:
    bare = record()
    bare["impact"] = bare["impact"] | {"endpoints": {}, "checks": {}}
    assert decide(bare).use == "hold"


def test_outside_the_label_without_a_modification() -> None:
    changed = record()
    changed["impact"] = changed["impact"] | {"triggers": [{"route": "outside_label"}]}
    found = decide(changed)
    assert (found.use, found.route) == ("hold", "new_submission")
    found = decide(changed | {"modification": {"id": "M2", "within": True}})
    assert (found.use, found.route) == ("continue", "within_change_protocol")
