"""The plan for post-market clinical follow-up: what the pre-market protocol leaves open, and what can answer it.

Questions come from the protocol, never from results: subgroups, endpoints that are only reported, hazards, the strength
of the claim. What a person must write (methods with patients, timetable, who) is left open and listed as a gap.
"""

from __future__ import annotations

from typing import Any

from validation.change.indicators import indicator_title
from validation.protocol.lock import Lock
from validation.protocol.schema import Protocol

SCHEMA = "validation.follow-up-plan/1"


def follow_up_plan(protocol: Protocol, *, digest: str, record: Lock | None, title: str, notice: str) -> dict[str, Any]:
    """Return the follow-up plan of a protocol as plain data; parameters as :func:`validation.change.plan.change_plan`.

    References
    ----------
    Regulation (EU) 2017/745, Annex XIV, part B; MDCG 2020-7 (template of the plan).
    """
    questions = open_questions(protocol)
    monitoring = protocol.monitoring
    known = [
        {"asks": "Aim", "answer": "To confirm performance and safety over the lifetime in routine use, and to find "
         "risks that were not seen before release.", "source": "MDR Annex XIV, part B, 6.1"},
        {"asks": "Claim that is followed", "answer": protocol.claim.statement, "source": "protocol"},
        {"asks": "Evidence before release", "answer": f"{len(protocol.endpoints)} endpoints on a sealed cohort: "
         f"{', '.join(e.id for e in protocol.endpoints)}.", "source": "protocol"},
        {"asks": "General methods", "answer": f"Monitoring of {monitoring.cases_per_period} cases {monitoring.period}; "
         "complaints, literature and registers: for a person to write." if monitoring
         else "For a person to write.", "source": "MDR Annex XIV, part B, 6.2 (a)"},
        {"asks": "Specific methods", "answer": "See the table of questions; studies and surveys are for a person to "
         "write.", "source": "MDR Annex XIV, part B, 6.2 (b)"},
        {"asks": "Why these methods are appropriate", "answer": "For a person to write.",
         "source": "MDR Annex XIV, part B, 6.2 (c)"},
        {"asks": "Similar or equivalent models", "answer": "For a person to write.",
         "source": "MDR Annex XIV, part B, 6.2 (f)"},
        {"asks": "Timetable, and date of the evaluation report", "answer": "For a person to write.",
         "source": "MDR Annex XIV, part B, 6.2 (h)"},
    ]  # fmt: skip
    return {
        "schema": SCHEMA,
        "study": {"title": title, "notice": notice},
        "protocol": {
            "id": protocol.id, "version": protocol.version, "digest": digest,
            "locked_at": record.locked_at if record else "", "locked_by": record.locked_by if record else "",
        },
        "claim": {"statement": protocol.claim.statement},
        "questions": questions,
        "rows": known,
        "gaps": [row["asks"] for row in known if "for a person to write" in row["answer"].lower()],
    }  # fmt: skip


def open_questions(protocol: Protocol) -> list[dict[str, str]]:
    """Return what the pre-market protocol leaves open, each with where it comes from and what follows it already."""
    indicators = protocol.monitoring.indicators if protocol.monitoring else []
    followed: dict[str, list[str]] = {}
    for indicator in indicators:
        if indicator.endpoint is not None:
            words = f"{indicator.id} ({indicator_title(indicator, protocol)[0]})"
            followed.setdefault(indicator.endpoint, []).append(words)
    watched = {h for name in followed for h in protocol.endpoint(name).hazards}
    found = [
        (f"Subgroup {name.replace('_', ' ')}: does performance hold in routine use", "population.subgroups", "")
        for name in protocol.population.subgroups
    ]
    found += [
        (
            f"{e.id}, {e.title}: reported only so far; is it tied to patient benefit",
            f"endpoints[{e.id}]",
            ", ".join(followed.get(e.id, [])),
        )
        for e in protocol.endpoints
        if e.hypothesis.type == "descriptive"
    ]
    found += [
        (f"Hazard {h.id} is followed by no indicator: {h.description}", f"claim.hazards[{h.id}]", "")
        for h in protocol.claim.hazards
        if h.id not in watched
    ]
    return [
        {"id": f"Q{k}", "question": question, "from": where, "followed_by": by or "nothing yet"}
        for k, (question, where, by) in enumerate(found, start=1)
    ]
