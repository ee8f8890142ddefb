"""The proposal after a change: what to do with the model at the site, and which regulatory route is open. A person decides.

Two questions are kept apart. **Use**: continue, restrict or hold, from measurements against limits. **Route**: labelled,
within the change protocol, or a new submission to be assessed, from the label and the change protocol. Evidence that is
missing, or too little, always means hold: what was not shown is not safe to go on with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from validation.change.triggers import catalogue

_TOO_FEW = "Inconclusive is not a pass: measure more, or keep the baseline configuration."


@dataclass
class Proposal:
    """What is proposed, and every reason, each naming the part of the record that it comes from."""

    use: str = "continue"
    route: str = "labelled"
    reasons: list[dict[str, str]] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)

    def hold(self, part: str, text: str, action: str = "") -> None:
        """Propose hold; nothing lifts it again."""
        self.use = "hold"
        self._add("hold", part, text, action)

    def restrict(self, part: str, text: str, action: str = "") -> None:
        """Propose restricted use, unless it is already hold."""
        if self.use == "continue":
            self.use = "restrict"
        self._add("restrict", part, text, action)

    def note(self, part: str, text: str, action: str = "") -> None:
        """Record a reason that changes nothing."""
        self._add("note", part, text, action)

    def _add(self, effect: str, part: str, text: str, action: str) -> None:
        self.reasons.append({"effect": effect, "part": part, "text": text})
        if action and action not in self.actions:
            self.actions.append(action)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "use": self.use,
            "route": self.route,
            "route_title": catalogue()["routes"][self.route],
            "reasons": self.reasons,
            "actions": self.actions,
            "notice": "Proposed by the software. A named person decides with `validation sign`.",
        }


def decide(record: dict[str, Any]) -> Proposal:
    """Return the proposal from the parts of a revalidation record.

    Parameters
    ----------
    record
        ``impact``, ``endpoints`` (judged on the new cohort, with subgroups), ``differences``, ``constancy``,
        ``operating_limits``, ``header_drift``, ``modification`` (or None).
    """
    proposal = Proposal()
    _limits(record, proposal)
    _route(record, proposal)
    _endpoints(record, proposal)
    _differences(record, proposal)
    _constancy(record, proposal)
    _headers(record, proposal)
    if proposal.use == "continue":
        _subgroups(record, proposal)
        if proposal.use == "continue":
            proposal.reasons.insert(
                0,
                {
                    "effect": "note",
                    "part": "endpoints",
                    "text": "Every endpoint that is due met its criterion and stayed inside its release limit.",
                },
            )
    return proposal


def _limits(record: dict[str, Any], proposal: Proposal) -> None:
    for row in record["operating_limits"]:
        if not row["n_outside"]:
            continue
        what = f"{row['quantity']}: {', '.join(row['outside'])}" if row["outside"] else row["quantity"]
        text = f"{row['n_outside']} cases lie outside the operating limits ({what}; {row['reason'] or 'not covered'})."
        proposal.hold(
            "operating_limits", text, f"Do not use the model on images outside the limits ({row['quantity']})."
        )


def _route(record: dict[str, Any], proposal: Proposal) -> None:
    """Find the route: outside the label without a modification that covers it, a new submission is to be assessed."""
    outside = any(row["outside"] for row in record["operating_limits"])
    pulled = {trigger["route"] for trigger in record["impact"]["triggers"]}
    if not outside and not pulled & {"outside_label", "change_protocol"}:
        proposal.route = "labelled"
        return
    modification = record.get("modification")
    if modification and modification["within"]:
        proposal.route = "within_change_protocol"
        proposal.note(
            "modification", f"The change is described by modification {modification['id']} and inside its bounds."
        )
        return
    proposal.route = "new_submission"
    covered = record["impact"]["modifications"]
    broken = [f"{m}: {text}" for m, texts in record.get("bounds_broken", {}).items() for text in texts]
    why = (
        "; ".join(broken)
        if broken
        else "none of its modifications covers it"
        if covered
        else "there is no modification for it"
    )
    proposal.hold(
        "impact",
        f"The change lies outside the label, and the change protocol does not cover it: {why}.",
        "Tell the manufacturer; a bridging study and an assessment for a new submission are theirs to decide.",
    )


def _endpoints(record: dict[str, Any], proposal: Proposal) -> None:
    for name in record["impact"]["endpoints"]:
        endpoint = record["endpoints"][name]
        outcome, reason = endpoint["verdict"]["outcome"], endpoint["verdict"]["reason"]
        if outcome == "pass":
            continue
        action = "Keep the model off the changed images until the cause is found." if outcome == "fail" else _TOO_FEW
        proposal.hold(f"endpoints.{name}", f"{name} {outcome} on the new cohort: {reason}", action)


def _differences(record: dict[str, Any], proposal: Proposal) -> None:
    for name in record["impact"]["endpoints"]:
        part = record["differences"].get(name)
        if part is None or part["verdict"]["hypothesis"] == "descriptive" or part["verdict"]["outcome"] == "pass":
            continue
        outcome, reason = part["verdict"]["outcome"], part["verdict"]["reason"]
        word = "has left its release limit" if outcome == "fail" else "is not shown to be inside its release limit"
        action = "Find what changed the images before use goes on." if outcome == "fail" else _TOO_FEW
        proposal.hold(f"differences.{name}", f"{name} {word}, new against baseline: {reason}", action)


def _constancy(record: dict[str, Any], proposal: Proposal) -> None:
    if "constancy" not in record["impact"]["checks"]:
        return
    for name, check in record["constancy"].items():
        outcome, reason = check["verdict"]["outcome"], check["verdict"]["reason"]
        if outcome == "pass":
            continue
        word = "is not what it was" if outcome == "fail" else "is not shown to be what it was"
        proposal.hold(
            f"constancy.{name}",
            f"Phantom {name} ({check['arm']}) {word}: {reason}",
            "Repeat the phantom scans at the baseline setting.",
        )


def _headers(record: dict[str, Any], proposal: Proposal) -> None:
    drift = record["header_drift"]
    if "header_drift" not in record["impact"]["checks"]:
        return
    if not drift["compared"]:
        proposal.note("header_drift", f"Headers were not compared: {drift['reason']}.")
    for column, row in drift["columns"].items():
        text = f"{column}: {', '.join(row['new_values'])} in {row['n_cases']} cases, never seen at baseline"
        if row["declared"]:
            proposal.note("header_drift", text + " (part of the declared change).")
        else:
            proposal.hold(
                "header_drift",
                text + ", and not part of the declared change.",
                "Declare the further change (--change), or undo it.",
            )


def _subgroups(record: dict[str, Any], proposal: Proposal) -> None:
    """With every endpoint met, a subgroup that fails restricts use to the others."""
    for name in record["impact"]["endpoints"]:
        for column, levels in record["endpoints"][name].get("subgroups", {}).items():
            for level, cell in levels.items():
                if cell["status"] == "fail":
                    proposal.restrict(
                        f"endpoints.{name}.subgroups.{column}.{level}",
                        f"{name} is not met for {column} = {level}: {cell['reason']}",
                        f"Restrict use to cases other than {column} = {level}.",
                    )
