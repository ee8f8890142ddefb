"""The proposal after a change: use of the model at the site, and the regulatory route. A person decides.

Two questions are kept apart. **Use**: continue, restrict or hold, from measurements against limits. **Route**:
labelled, within the change protocol, or a new submission to be assessed, from the label and the change protocol.
Evidence that is missing, or too little, means hold: what was not shown is not safe to go on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from validation.change.triggers import catalogue

_TOO_FEW = "Inconclusive is not a pass: measure more, or keep the baseline configuration."


@dataclass
class Proposal:
    """What is proposed, and every reason, each naming the part of the record that it comes from."""

    use: str = "continue"
    route: str = "labelled"
    reasons: list[dict[str, Any]] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)

    def hold(self, part: str, text: str, action: str = "", details: Sequence[str] = ()) -> None:
        """Propose hold; nothing lifts it again."""
        self.use = "hold"
        self._add("hold", part, text, action, details)

    def restrict(self, part: str, text: str, action: str = "") -> None:
        """Propose restricted use, unless it is already hold."""
        if self.use == "continue":
            self.use = "restrict"
        self._add("restrict", part, text, action)

    def note(self, part: str, text: str, action: str = "") -> None:
        """Record a reason that changes nothing."""
        self._add("note", part, text, action)

    def _add(self, effect: str, part: str, text: str, action: str, details: Sequence[str] = ()) -> None:
        self.reasons.append({"effect": effect, "part": part, "text": text, "details": list(details)})
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
            "notice": "Proposed by the software. A named person decides (validation sign).",
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
    _missing(record, proposal)
    _differences(record, proposal)
    _constancy(record, proposal)
    _headers(record, proposal)
    if proposal.use == "continue":
        _subgroups(record, proposal)
        if proposal.use == "continue":
            _shown(record, proposal)
    return proposal


def _shown(record: dict[str, Any], proposal: Proposal) -> None:
    """Say what the proposal to continue rests on; if that is nothing, hold."""
    parts = []
    if record["impact"]["endpoints"]:
        parts.append("every endpoint that is due met its criterion and stayed inside its release limit")
    if record["constancy"] and "constancy" in record["impact"]["checks"]:
        parts.append("every phantom is what it was")
    if record["header_drift"]["compared"] and "header_drift" in record["impact"]["checks"]:
        parts.append("no header changed that was not declared")
    if not parts:
        proposal.hold("impact", "Nothing was measured or compared that could support a proposal to continue.", _TOO_FEW)
        return
    text = "; ".join(parts)
    proposal.reasons.insert(
        0, {"effect": "note", "part": "endpoints", "text": f"{text[0].upper()}{text[1:]}.", "details": []}
    )


def _missing(record: dict[str, Any], proposal: Proposal) -> None:
    """Hold where cases without a value, counted as the worst, would overturn a criterion that is met."""
    for name in record["impact"]["endpoints"]:
        endpoint = record["endpoints"][name]
        n, worst = endpoint.get("n_missing", 0), (endpoint.get("sensitivity") or {}).get("worst_case")
        if not n or endpoint["verdict"]["outcome"] != "pass":
            continue
        if worst and worst["outcome"] == "pass":
            proposal.note(
                f"endpoints.{name}", f"{name} has {n} cases without a value; it holds with the worst assumed."
            )
            continue
        text = f"{name} has {n} cases without a value, and it is not shown that it holds without them."
        proposal.hold(f"endpoints.{name}", text, "Find out why the images were rejected.")


def _limits(record: dict[str, Any], proposal: Proposal) -> None:
    rows = [row for row in record["operating_limits"] if row["n_outside"]]
    if not rows:
        return
    parts = [
        f"{row['quantity'].replace('_', ' ')} {', '.join(row['outside']) or row['reason']} ({row['n_outside']} cases)"
        for row in rows
    ]
    text = f"Outside the operating limits: {'; '.join(parts)}."
    proposal.hold("operating_limits", text, "Do not use the model on images outside the operating limits.")


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
    broken = [_broken(m, clauses) for m, clauses in record.get("clauses_broken", {}).items()]
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


def _broken(modification: str, clauses: list[dict[str, Any]]) -> str:
    """Return the bounds that are broken with what was found, else the criteria that are not met."""
    bounds = [f"{c['text']}, found {c['found']}" for c in clauses if ".bounds." in c["id"]]
    if bounds:
        return f"{modification} asks for {'; '.join(bounds)}"
    return f"{modification} asks for criteria that are not met ({', '.join(c['id'] for c in clauses)})"


def _endpoints(record: dict[str, Any], proposal: Proposal) -> None:
    verdicts = {name: record["endpoints"][name]["verdict"] for name in record["impact"]["endpoints"]}
    _grouped(
        proposal, "endpoints", verdicts,
        fail="Not met on the new cases", inconclusive="Not shown on the new cases",
        action="Keep the model off the changed images until the cause is found.",
    )  # fmt: skip


def _differences(record: dict[str, Any], proposal: Proposal) -> None:
    named = [n for n in record["impact"]["endpoints"] if n in record["differences"]]
    verdicts = {name: record["differences"][name]["verdict"] for name in named}
    _grouped(
        proposal, "differences", {n: v for n, v in verdicts.items() if v["hypothesis"] != "descriptive"},
        fail="Moved beyond the release limit, new against baseline",
        inconclusive="Not shown to be inside the release limit, new against baseline",
        action="Find what changed the images before use goes on.",
    )  # fmt: skip


def _constancy(record: dict[str, Any], proposal: Proposal) -> None:
    if "constancy" not in record["impact"]["checks"]:
        return
    if not record["constancy"]:
        proposal.note("constancy", "Phantom constancy is due, and the protocol plans no check of it.")
    _grouped(
        proposal, "constancy", {name: check["verdict"] for name, check in record["constancy"].items()},
        fail="Phantom is not what it was", inconclusive="Phantom is not shown to be what it was",
        action="Repeat the phantom scans at the baseline setting.",
    )  # fmt: skip


def _grouped(
    proposal: Proposal, part: str, verdicts: dict[str, Any], *, fail: str, inconclusive: str, action: str
) -> None:
    """Propose hold once for what failed and once for what is open; each item's reason is kept as a detail."""
    for failed, words in ((True, fail), (False, inconclusive)):
        names = [n for n, v in verdicts.items() if v["outcome"] != "pass" and (v["outcome"] == "fail") is failed]
        if not names:
            continue
        details = [f"{name}: {verdicts[name]['reason']}" for name in names]
        text = f"{words}: {', '.join(names)}."
        if len(names) == 1:
            text += f" {verdicts[names[0]]['reason']}"
        proposal.hold(part, text, action if failed else _TOO_FEW, details)


def _headers(record: dict[str, Any], proposal: Proposal) -> None:
    drift = record["header_drift"]
    if "header_drift" not in record["impact"]["checks"]:
        return
    if not drift["compared"]:
        text = f"Headers were not compared: {drift['reason'].rstrip('.')}."
        if record["operating_limits"]:
            proposal.note("header_drift", text + " The operating limits were checked instead.")
        else:
            proposal.hold(
                "header_drift", text, "Bring the sealed baseline cohort, or state operating limits in the protocol."
            )
    for column, row in drift["columns"].items():
        values = f"{column.replace('_', ' ')}: {', '.join(row['new_values'])}"
        text = f"{values} in {row['n_cases']} cases, never seen at baseline"
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
