"""Which model is fit for which purpose: every need of a purpose met, by a bound and not by a point estimate."""

from __future__ import annotations

from typing import Any

from validation.comparison.measures import TITLES, Row, guarded
from validation.comparison.spec import ComparisonSpec, Need
from validation.estimate import Outcome
from validation.statistics.hypotheses import Side, beyond

FIT, UNFIT, OPEN = "fit", "not fit", "not shown"


def fitness(
    spec: ComparisonSpec, judged: dict[str, dict[str, Any]], rows: dict[str, dict[str, Row]], alpha: float
) -> dict[str, Any]:
    """Return every purpose with the outcome of every candidate.

    ``fit``: all needs are met. ``not fit``: the data show that a need is not met. ``not shown``: anything else. A
    candidate with cases without a value meets an endpoint only if it would also with the worst value for them.

    Parameters
    ----------
    judged
        Candidate to its endpoint sections, judged with the error shared over candidates.
    rows
        Candidate to its other measures.
    alpha
        One-sided error of a measure with a limit, shared over candidates.
    """
    found: dict[str, Any] = {}
    for purpose in spec.purposes:
        candidates = {}
        for candidate in spec.candidates:
            checks = [_check(need, judged[candidate.id], rows[candidate.id], alpha) for need in purpose.needs]
            outcomes = {check["outcome"] for check in checks}
            word = UNFIT if Outcome.FAIL.value in outcomes else OPEN
            word = FIT if outcomes == {Outcome.PASS.value} else word
            candidates[candidate.id] = {"outcome": word, "needs": checks}
        found[purpose.id] = {
            "title": purpose.title,
            "needs": [_words(need) for need in purpose.needs],
            "candidates": candidates,
        }
    return found


def propose(spec: ComparisonSpec, purposes: dict[str, Any], on: str) -> dict[str, Any]:
    """Return the proposal: pass if every purpose has a candidate that is fit for it."""
    labels = {c.id: c.label for c in spec.candidates}
    parts, empty = [], []
    for name, purpose in purposes.items():
        fit = [labels[c] for c, found in purpose["candidates"].items() if found["outcome"] == FIT]
        parts.append(f"{name}: {', '.join(fit) if fit else 'none'}")
        if not fit:
            empty.append(name)
    failed = any(all(found["outcome"] == UNFIT for found in purposes[name]["candidates"].values()) for name in empty)
    outcome = Outcome.PASS if not empty else Outcome.FAIL if failed else Outcome.INCONCLUSIVE
    where = "the development set; the sealed holdout was not opened" if on == "development" else "the sealed holdout"
    return {
        "outcome": outcome.value,
        "reason": f"Shown to be fit, on {where}: {'; '.join(parts)}. A named person decides.",
    }


def _words(need: Need) -> dict[str, Any]:
    if need.endpoint is not None:
        return {"row": need.endpoint, "text": "as the protocol asks", "limit": None, "because": need.because}
    side = "below" if need.below is not None else "above"
    limit = need.below if need.below is not None else need.above
    unit = TITLES[need.measure or ""][2]
    return {"row": need.measure or "", "text": f"whole interval {side}", "limit": limit, "unit": unit,
            "because": need.because}  # fmt: skip


def _check(need: Need, sections: dict[str, Any], rows: dict[str, Row], alpha: float) -> dict[str, Any]:
    if need.endpoint is not None:
        section = sections[need.endpoint]
        verdict = section["verdict"]
        outcome, reason = verdict["outcome"], verdict["reason"]
        if outcome == Outcome.PASS.value and section["n_missing"]:
            worst = section["sensitivity"].get("worst_case", {}).get("outcome")
            if worst != Outcome.PASS.value:
                outcome = Outcome.INCONCLUSIVE.value
                reason = f"{section['n_missing']} cases have no value; with the worst value for them it is not met"
        return {"row": need.endpoint, "outcome": outcome, "reason": reason}
    name = need.measure or ""
    if name not in rows:
        return {"row": name, "outcome": Outcome.INCONCLUSIVE.value, "reason": "not measured for this candidate"}
    limit = need.below if need.below is not None else need.above
    side: Side = "below" if need.below is not None else "above"
    estimate = guarded(name, rows[name][1], 1 - 2 * alpha)
    if limit is None or estimate.value is None:
        return {"row": name, "outcome": Outcome.INCONCLUSIVE.value, "reason": estimate.reason}
    if estimate.n == 1:  # a count or one reading has no interval; it is what it is
        met = estimate.value < limit if side == "below" else estimate.value > limit
        why = f"One figure without an interval, {'' if met else 'not '}{side} the limit."
        return {"row": name, "outcome": (Outcome.PASS if met else Outcome.FAIL).value, "reason": why}
    if beyond(estimate, limit, side):
        return {"row": name, "outcome": Outcome.PASS.value, "reason": f"The whole interval lies {side} the limit."}
    if beyond(estimate, limit, "above" if side == "below" else "below"):
        return {"row": name, "outcome": Outcome.FAIL.value, "reason": f"No part of the interval lies {side} the limit."}
    why = estimate.reason if estimate.lower is None else "The interval holds the limit."
    return {"row": name, "outcome": Outcome.INCONCLUSIVE.value, "reason": why}
