"""What a change asks for: the trigger matrix (``templates/catalogue/changes.yaml``) applied to a protocol.

Nothing here decides. The matrix says which endpoints and checks are due again, which documents, and which regulatory
note a person should read; the decision on use and on the route is proposed from evidence later and taken by a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from validation.data import shipped
from validation.errors import UsageProblem
from validation.protocol.change_schema import Bound, Revalidation
from validation.protocol.schema import Protocol

# the column of the case table that a change on the command line speaks of, so that its value can be held against limits
COLUMNS = {"scanner": "manufacturer", "kernel": "kernel"}


@dataclass(frozen=True)
class Change:
    """One change as given: what kind, and to what."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}={self.value}"


@cache
def catalogue() -> dict[str, Any]:
    """Return the catalogue of changes as plain data."""
    text = shipped("templates", "catalogue", "changes.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return data


def parse_changes(texts: Sequence[str]) -> list[Change]:
    """Read ``kind=value`` texts.

    >>> [str(change) for change in parse_changes(["software=VB30"])]
    ['software=VB30']

    Raises
    ------
    UsageProblem
        CHG-001 if a text has another form or names a kind that the catalogue lacks.
    """
    known = list(dict.fromkeys(t["change"] for t in catalogue()["triggers"].values()))
    found = []
    for text in texts:
        kind, separator, value = text.partition("=")
        if not separator or not value.strip() or kind.strip() not in known or not value.isprintable():
            raise UsageProblem(
                f"{text!r} does not name a change.",
                code="CHG-001",
                where="--change",
                why="What must be done again depends on what was changed.",
                action=f"Write KIND=VALUE with one of {', '.join(known)}, such as scanner='Vendor X1'.",
            )
        found.append(Change(kind.strip(), value.strip()[:200]))
    if not found:
        raise UsageProblem(
            "no change is named.", code="CHG-001", where="--change", action="Add --change KIND=VALUE at least once."
        )
    return found


def revalidation_plan(protocol: Protocol) -> Revalidation:
    """Return what the protocol says about revalidation; an empty plan if it says nothing."""
    plan = protocol.change_protocol.revalidation if protocol.change_protocol else None
    return plan or Revalidation()


def allows(bound: Bound, value: object) -> bool | None:
    """Tell whether a value lies inside a bound; ``None`` if the bound cannot be applied to it.

    >>> allows(Bound(quantity="kvp", maximum=140), 120), allows(Bound(quantity="kernel", allowed=["B40"]), "B60")
    (True, False)
    """
    if bound.allowed:
        return str(value) in bound.allowed
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if number != number or (bound.minimum is None and bound.maximum is None):
        return None
    low = bound.minimum is None or number >= bound.minimum
    return low and (bound.maximum is None or number <= bound.maximum)


def trigger_of(change: Change, protocol: Protocol) -> str:
    """Return the trigger that a change pulls; a scanner's depends on the operating limits of the protocol.

    Without limits for the manufacturer nothing says that a scanner is covered, so it counts as outside.
    """
    if change.kind != "scanner":
        return change.kind
    limits = [b for b in revalidation_plan(protocol).operating_limits if b.quantity == COLUMNS["scanner"] and b.allowed]
    covered = bool(limits) and all(any(_named(name, change.value) for name in b.allowed) for b in limits)
    return "scanner_same" if covered else "scanner_new"


def _named(name: str, value: str) -> bool:
    """Tell whether a value is a name, or begins with it as whole words: "Maker AB" is not a "Maker A"."""
    return value == name or (value.startswith(name) and not value[len(name)].isalnum())


def impact(protocol: Protocol, changes: Sequence[Change]) -> dict[str, Any]:
    """Return what changes ask for: triggers, endpoints, checks, documents, tasks of people, regulatory notes.

    Parameters
    ----------
    protocol
        The protocol of the study.
    changes
        From :func:`parse_changes`; the answers for several changes are united.

    Returns
    -------
    dict
        ``changes``, ``triggers`` (id, title, note, source, route), ``endpoints`` (id -> title, role), ``checks``,
        ``documents``, ``people``, ``modifications`` of the change protocol that may cover it, ``explains`` (header
        columns that may differ), ``notice``.
    """
    entries = catalogue()
    pulled = {trigger_of(change, protocol): change for change in changes}
    triggers = [entries["triggers"][name] | {"id": name, "value": str(change)} for name, change in pulled.items()]
    roles = {role for trigger in triggers for role in trigger["roles"]}
    checks = _united(triggers, "checks")
    modifications = protocol.change_protocol.modifications if protocol.change_protocol else []
    kinds = {
        "scanner": {"new_scanner"},
        "kernel": {"new_protocol"},
        "model": {"retraining", "performance", "speed", "other"},
    }
    wanted = set().union(*(kinds.get(change.kind, set()) for change in changes))
    return {
        "changes": [{"kind": change.kind, "value": change.value} for change in changes],
        "triggers": [{key: t[key] for key in ("id", "title", "value", "route", "note", "source")} for t in triggers],
        "endpoints": {
            e.id: {"title": e.title, "role": e.role}
            for e in protocol.endpoints
            if e.role in roles and e.hypothesis.type != "descriptive"
        },
        "checks": {name: entries["checks"][name] for name in checks},
        "documents": {name: entries["documents"][name] for name in _united(triggers, "documents")},
        "people": _united(triggers, "people"),
        "modifications": {m.id: m.description for m in modifications if m.kind in wanted},
        "explains": _united(triggers, "explains"),
        "notice": "A list of what is due, not a regulatory decision. Catalogue of " + entries["meta"]["as_of"] + ".",
    }


def _united(triggers: Sequence[dict[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(item for trigger in triggers for item in trigger[key]))
