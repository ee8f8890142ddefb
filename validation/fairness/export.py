"""A copy of the fairness report that may leave the site: small cells are suppressed."""

from __future__ import annotations

import copy
from typing import Any


def suppress(report: dict[str, Any], minimum: int) -> dict[str, Any]:
    """Return a copy without numbers of cells with fewer than ``minimum`` patients.

    A cell is suppressed when it has 1 to ``minimum - 1`` patients. When that leaves a single suppressed cell in an
    attribute, the smallest other non-empty cell is suppressed too, because the one could be had by subtraction
    (complementary suppression). Gaps of suppressed cells, gaps measured against them, and ranges in which they take
    part go as well. Empty cells stay: that nobody is in a group says nothing about a person. The record itself is never
    changed; suppression is for copies that leave the site.

    Parameters
    ----------
    report
        What :func:`~validation.fairness.report.fairness_report` returned.
    minimum
        Smallest number of patients that may be shown, chosen by the site; there is no default.
    """
    if minimum < 2:
        raise ValueError(f"minimum must be at least 2, got {minimum}")
    found = copy.deepcopy(report)
    hidden = _hidden(found["representation"], minimum)
    for row in found["cells"]:
        if row["name"] in hidden:
            for key in ("n_cases", "n", "n_events", "n_clusters"):
                row[key] = None
            row["estimate"] = None
            row["finding"], row["reason"] = "suppressed", hidden[row["name"]]
    for row in found["representation"]:
        if row["name"] in hidden:
            row |= {"n_cases": None, "n_clusters": None, "share": None, "reason": hidden[row["name"]]}
    for gap in found["gaps"]:
        touched = next((n for n in (gap["name"], gap["reference"]) if n in hidden), None)
        if touched is not None:
            gap |= {"estimate": None, "finding": "suppressed", "reason": hidden[touched]}
        elif gap["reference"] in ("rest", "overall"):
            # the count of the rest, less the other cells that are shown, would give the hidden one
            gap["estimate"] |= {"n": None, "n_clusters": None, "n_events": None}
    attributes = {row["attribute"] for row in found["representation"] if row["name"] in hidden}
    for row in [*found["ranges"], *found.get("criteria", [])]:
        if row["attribute"] in attributes:
            row |= {"difference": None, "ratio": None, "reason": "a suppressed cell takes part"}
    for verdict in found["worst_group"].values():
        if any(name in verdict["reason"] for name in hidden):
            verdict["reason"] = "The sentence names a suppressed cell; see the full record."
    found["settings"]["suppressed_below"] = minimum
    return found


def _hidden(rows: list[dict[str, Any]], minimum: int) -> dict[str, str]:
    """Return the suppressed cells and why."""
    hidden: dict[str, str] = {}
    for attribute in dict.fromkeys(row["attribute"] for row in rows):
        family = [row for row in rows if row["attribute"] == attribute]
        small = [row["name"] for row in family if 0 < row["n_clusters"] < minimum]
        hidden |= dict.fromkeys(small, f"suppressed: fewer than {minimum} patients")
        others = sorted(
            (row for row in family if row["name"] not in small and row["n_clusters"] > 0),
            key=lambda r: (r["n_clusters"], r["name"]),
        )
        if len(small) == 1 and others:
            hidden[others[0]["name"]] = "suppressed: else the small cell follows by subtraction"
    return hidden
