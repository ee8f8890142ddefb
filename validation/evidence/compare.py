"""What differs between two runs, or between two versions of a protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from validation.errors import UsageProblem, ValidationProblem
from validation.evidence.results import numbers, read_results
from validation.protocol.load import load_protocol, read_yaml
from validation.protocol.lock import Change, changes, content, read_lock

_ENDPOINT_FIELDS = ("title", "metric_key", "summary", "comparator", "unit", "direction", "hypothesis")


@dataclass(frozen=True, slots=True)
class EndpointDifference:
    """One endpoint in two runs; an estimate or outcome is ``None`` where the endpoint is absent."""

    id: str
    unit: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    outcome_before: str | None
    outcome_after: str | None
    definition: list[Change]

    @property
    def differs(self) -> bool:
        """Whether estimate, outcome or definition differ."""
        return self.before != self.after or self.outcome_before != self.outcome_after or bool(self.definition)


@dataclass(slots=True)
class Comparison:
    """What differs, by group; every list is empty when nothing does.

    The differences are described, not tested: two runs on the same cases are not independent samples.
    """

    kind: str
    protocol: list[Change] = field(default_factory=list)
    model: list[Change] = field(default_factory=list)
    cohort: list[Change] = field(default_factory=list)
    environment: list[Change] = field(default_factory=list)
    endpoints: list[EndpointDifference] = field(default_factory=list)
    proposal: list[Change] = field(default_factory=list)
    n_numbers: int = 0
    n_numbers_differ: int = 0

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        groups = (self.protocol, self.model, self.cohort, self.environment, self.proposal)
        return not any(groups) and not any(e.differs for e in self.endpoints) and self.n_numbers_differ == 0


def compare_runs(before: Path, after: Path) -> Comparison:
    """Compare two run folders: protocol, model, cohort, environment, estimates and verdicts.

    Raises
    ------
    IntegrityProblem
        EVD-001, EVD-002 if a ``results.json`` is missing or not canonical.
    """
    old, new = read_results(before), read_results(after)
    comparison = Comparison(kind="runs")
    comparison.protocol = changes(old["protocol"], new["protocol"])
    if old["protocol"].get("digest") != new["protocol"].get("digest"):
        comparison.protocol += _lock_changes(before, after)
    comparison.model = changes(old.get("model", {}), new.get("model", {}))
    comparison.cohort = changes(old.get("cohort", {}), new.get("cohort", {}))
    comparison.environment = changes(_environment(before), _environment(after))
    comparison.proposal = changes(old.get("proposal"), new.get("proposal"), "proposal")
    first, second = old.get("endpoints", {}), new.get("endpoints", {})
    comparison.endpoints = [_endpoint(id_, first.get(id_), second.get(id_)) for id_ in sorted({*first, *second})]
    one, two = numbers(old), numbers(new)
    comparison.n_numbers = len({*one, *two})
    comparison.n_numbers_differ = sum(one.get(id_) != two.get(id_) for id_ in {*one, *two})
    return comparison


def compare_protocols(before: Path, after: Path) -> Comparison:
    """Compare two protocol files, two locks, or a file with a lock, field by field, defaults written out.

    Raises
    ------
    ProtocolProblem
        If a file is not a protocol; the place of the complaint is named.
    IntegrityProblem
        If a lock does not match its digest.
    """
    return Comparison(kind="protocols", protocol=changes(_protocol(before), _protocol(after)))


def _protocol(path: Path) -> dict[str, Any]:
    data, _ = read_yaml(path)
    return read_lock(path).protocol if "lock" in data else content(load_protocol(path))


def _lock_changes(before: Path, after: Path) -> list[Change]:
    """Return the field-level changes between the protocols that two runs were locked under, where both can be read."""
    try:
        locks = [read_lock(run / "protocol.lock.yaml").protocol for run in (before, after)]
    except ValidationProblem:
        return []
    return [change for change in changes(locks[0], locks[1]) if change.path not in {"id", "version", "title"}]


def _environment(run: Path) -> Any:
    path = run / "environment.json"
    try:
        return json.loads(path.read_bytes()) if path.is_file() else {}
    except (ValueError, RecursionError):
        raise UsageProblem("the file is not JSON.", code="EVD-001", where=str(path)) from None


def _endpoint(id_: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> EndpointDifference:
    old, new = before or {}, after or {}
    definition = []
    if before is not None and after is not None:
        for name in _ENDPOINT_FIELDS:
            definition += changes(old.get(name), new.get(name), name)
    return EndpointDifference(
        id=id_,
        unit=str(new.get("unit") or old.get("unit") or "1"),
        before=old.get("estimate"),
        after=new.get("estimate"),
        outcome_before=(old.get("verdict") or {}).get("outcome"),
        outcome_after=(new.get("verdict") or {}).get("outcome"),
        definition=definition,
    )
