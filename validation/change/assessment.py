"""The questions of a regulatory assessment of a change, answered from the record or left to people.

Questions and sources are data (``assessments`` in ``templates/catalogue/changes.yaml``). The answers never add up to a
decision: an assessment lists what is known.
"""

from __future__ import annotations

from typing import Any

from validation.change.triggers import catalogue

YES, NO, PERSON = "yes", "no", "for a person"


def assess(record: dict[str, Any]) -> dict[str, Any]:
    """Return every assessment with its rows: what is asked, the answer, from what, and the source.

    Parameters
    ----------
    record
        A change record with ``modification`` (or ``None``), or the empty record, for a plan: all is open.
    """
    facts = _facts(record)
    found = {}
    for name, assessment in catalogue()["assessments"].items():
        rows = []
        for row in assessment["rows"]:
            known = facts.get(row["answer"]) if row["answer"] else None
            rows.append(
                {
                    "id": row["id"],
                    "asks": row["asks"] + "?",
                    "answer": PERSON if known is None else YES if known[0] else NO,
                    "from": "" if known is None else known[1],
                    "source": row["source"],
                }
            )
        found[name] = {"title": assessment["title"], "rows": rows}
    return found


def _facts(record: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    modification = record.get("modification")
    if not modification:
        return {}
    kinds: dict[str, list[bool]] = {"bounds": [], "endpoints": [], "versions": []}
    for clause in modification["clauses"]:
        part = clause["id"].removeprefix(f"{modification['id']}.")
        kind = "bounds" if part.startswith("bounds.") else "versions" if part.count(".") > 1 else "endpoints"
        kinds[kind].append(clause["met"])
    facts = {
        "planned": (True, f"modification {modification['id']}"),
        "bounds_met": (all(kinds["bounds"]), f"{sum(kinds['bounds'])} of {len(kinds['bounds'])} bounds"),
        "endpoints_met": (all(kinds["endpoints"]), f"{sum(kinds['endpoints'])} of {len(kinds['endpoints'])} endpoints"),
        "within": (modification["within"], f"{len(modification['broken'])} clauses broken"),
    }
    if kinds["versions"]:
        shown = f"{sum(kinds['versions'])} of {len(kinds['versions'])} comparisons inside their release limit"
        facts["not_worse"] = (all(kinds["versions"]), shown)
    return facts
