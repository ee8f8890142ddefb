"""A modification of the change protocol held against evidence: every bound and every criterion, clause by clause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from validation.change.baseline import RunRecord
from validation.change.triggers import allows
from validation.errors import UsageProblem
from validation.evidence.results import lookup
from validation.protocol.change_schema import Bound, Modification
from validation.protocol.schema import Protocol


def find_modification(protocol: Protocol, identifier: str) -> Modification:
    """Return a modification of the change protocol by its id.

    Raises
    ------
    UsageProblem
        CHG-010 if the protocol has no change protocol, CHG-011 if it has no such modification.
    """
    if protocol.change_protocol is None:
        raise UsageProblem(
            "the protocol has no change protocol.",
            code="CHG-010",
            where="change_protocol",
            why="Only a change that was described beforehand can be inside a plan.",
            action="Describe the modifications under `change_protocol`, and amend or lock the protocol.",
        )
    for modification in protocol.change_protocol.modifications:
        if modification.id == identifier:
            return modification
    known = ", ".join(m.id for m in protocol.change_protocol.modifications)
    raise UsageProblem(
        f"the change protocol has no modification {identifier!r}.",
        code="CHG-011",
        where="--modification",
        why="A change that is not described is outside the plan.",
        action=f"Choose from {known}.",
    )


def judge_modification(
    modification: Modification,
    new: RunRecord,
    cohort: pd.DataFrame,
    *,
    facts: Mapping[str, Any],
    comparisons: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return whether a run keeps to a modification, with the clause that it breaks.

    A clause is met only if it is shown to be met: a quantity that nobody states, and an endpoint that is inconclusive,
    break it as much as a value outside.

    Parameters
    ----------
    modification
        What was planned.
    new
        The run of the changed model or on the changed input.
    cohort
        Case table of that run's cohort with its header columns.
    facts
        Stated quantities, such as ``training_patients``; ids of results and columns of the cohort need not be stated.
    comparisons
        Name of a version (``original``, ``last``) -> endpoint -> what
        :func:`validation.change.difference.endpoint_difference` returned.

    Returns
    -------
    dict
        ``id``, ``description``, ``within``, ``clauses`` (id, text, found, met, source) and ``broken`` (texts).
    """
    clauses = [_bound(modification, bound, new, cohort, facts) for bound in modification.bounds]
    for name in modification.endpoints:
        section = new.results["endpoints"][name]
        outcome = section["verdict"]["outcome"]
        clauses.append(
            {
                "id": f"{modification.id}.endpoints.{name}",
                "text": f"{name}, {section['title']}, meets its criterion",
                "found": f"{outcome}: {section['verdict']['reason']}",
                "met": outcome == "pass",
                "source": f"{name}.verdict.outcome",
            }
        )
        for version, differences in comparisons.items():
            part = differences.get(name)
            if part is None or part["verdict"]["hypothesis"] == "descriptive":
                continue
            clauses.append(
                {
                    "id": f"{modification.id}.endpoints.{name}.{version}",
                    "text": f"{name} stays inside its release limit against the {version} version",
                    "found": f"{part['verdict']['outcome']}: {part['verdict']['reason']}",
                    "met": part["verdict"]["outcome"] == "pass",
                    "source": f"differences.{version}.{name}",
                }
            )
    broken = [f"{c['id']}: {c['text']}. Found: {c['found'].rstrip('.')}" for c in clauses if not c["met"]]
    return {
        "id": modification.id,
        "description": modification.description,
        "kind": modification.kind,
        "within": not broken,
        "clauses": clauses,
        "broken": broken,
    }


def bound_text(bound: Bound) -> str:
    """Return a bound in words.

    >>> bound_text(Bound(quantity="training_patients", minimum=60))
    'training_patients at least 60'
    """
    if bound.allowed:
        return f"{bound.quantity} one of {', '.join(bound.allowed)}"
    parts = [f"at least {bound.minimum:g}"] if bound.minimum is not None else []
    parts += [f"at most {bound.maximum:g}"] if bound.maximum is not None else []
    return f"{bound.quantity} {' and '.join(parts) or 'not bounded: no limit is given'}"


def _bound(
    modification: Modification, bound: Bound, new: RunRecord, cohort: pd.DataFrame, facts: Mapping[str, Any]
) -> dict[str, Any]:
    values, source = _values(bound, new, cohort, facts)
    met = bool(values) and all(allows(bound, value) is True for value in values)
    shown = ", ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in values[:8]) or "not stated"
    return {
        "id": f"{modification.id}.bounds.{bound.quantity}",
        "text": bound_text(bound),
        "found": shown,
        "met": met,
        "source": source,
    }


def _values(bound: Bound, new: RunRecord, cohort: pd.DataFrame, facts: Mapping[str, Any]) -> tuple[list[Any], str]:
    """Return what is known of a bounded quantity, and from where: the results and the data come before statements."""
    try:
        value = lookup(new.results, bound.quantity)
    except KeyError:
        pass
    else:
        return ([] if value is None or isinstance(value, dict | list) else [value]), f"results: {bound.quantity}"
    if bound.quantity in cohort.columns:
        column = cohort[bound.quantity]
        if bool(column.isna().any()):
            return [], f"cohort: {bound.quantity} is not stated for every case"
        return sorted(set(column.tolist()), key=str), f"cohort: {bound.quantity}"
    if bound.quantity in facts:
        return [facts[bound.quantity]], "stated with the candidate"
    return [], "neither in the results, nor a column of the cohort, nor stated with the candidate"
