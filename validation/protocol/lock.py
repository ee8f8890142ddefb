"""Locking a protocol, so that anybody can prove that the criteria were fixed before the data were opened.

A lock file holds the whole protocol as it was read, its digest (SHA-256 over the RFC 8785 form of the parsed
content, so that comments and layout do not matter), who locked it and when, and every amendment since.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from validation.digest import canonical_json, sha256_json, write_atomically
from validation.errors import IntegrityProblem, ProtocolProblem
from validation.protocol.load import load_yaml_model
from validation.protocol.schema import Protocol

Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Change:
    """One field that differs between two versions of a protocol; ``before`` or ``after`` is None where absent."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {_brief(self.before)} -> {_brief(self.after)}"


class Amendment(BaseModel):
    """A recorded change of a locked protocol."""

    model_config = ConfigDict(extra="forbid")
    version: str
    previous_version: str
    previous_digest: str
    reason: Text
    amended_at: str
    amended_by: Text
    openings_before: int = Field(description="How often the sealed cohort had been opened before this amendment.")
    changes: list[dict[str, Any]]


class Lock(BaseModel):
    """A locked protocol, as stored in ``protocol.lock.yaml``."""

    model_config = ConfigDict(extra="forbid")
    lock: Literal[1] = 1
    digest: str
    locked_at: str = Field(description="UTC; empty only in the draft of an unlocked protocol.")
    locked_by: Text
    protocol: dict[str, Any]
    amendments: list[Amendment] = Field(default_factory=list)

    def parsed(self) -> Protocol:
        """Return the protocol that was locked."""
        return Protocol.model_validate(self.protocol)


def content(protocol: Protocol) -> dict[str, Any]:
    """Return a protocol as plain JSON data, defaults written out: what the digest is taken over."""
    plain: dict[str, Any] = protocol.model_dump(mode="json", by_alias=True)
    return plain


def digest(protocol: Protocol) -> str:
    """Return the digest of a protocol's content."""
    return sha256_json(content(protocol))


def lock_path(home: Path) -> Path:
    """Return where the lock of a study folder, or of a single protocol file, lies."""
    return home / "protocol.lock.yaml" if home.is_dir() else home.with_name(f"{home.stem}.lock.yaml")


def lock(protocol: Protocol, path: Path, *, signer: str, now: datetime | None = None) -> Lock:
    """Write a new lock file.

    Raises
    ------
    ProtocolProblem
        If there is a lock already: a locked protocol is amended, never locked again.
    """
    if path.exists():
        raise ProtocolProblem(
            "this protocol is locked already.",
            code="PROT-020",
            where=str(path),
            why="A second lock would hide what was fixed first.",
            action="Use `validation amend --reason ...` to record a new version.",
        )
    record = Lock(
        digest=digest(protocol), locked_at=_utc(now), locked_by=signer, protocol=content(protocol), amendments=[]
    )
    _write(record, path)
    return record


def read_lock(path: Path) -> Lock:
    """Read a lock file and check its own digest.

    Raises
    ------
    ProtocolProblem
        If there is no lock.
    IntegrityProblem
        If the stored protocol does not match the stored digest.
    """
    if not path.exists():
        raise ProtocolProblem(
            "the protocol is not locked.",
            code="PROT-021",
            where=str(path.parent),
            why="Only a locked protocol proves that criteria were fixed before the data were opened.",
            action="Run `validation lock` first; `--draft` runs an unlocked protocol as a marked draft.",
        )
    record = load_yaml_model(path, Lock)
    if sha256_json(record.protocol) != record.digest:
        raise IntegrityProblem(
            "the protocol inside the lock file does not match the digest beside it.",
            code="PROT-022",
            where=path.name,
            why="The lock file was edited after it was written.",
            action="Restore the lock file from your records.",
        )
    return record


def require_unchanged(protocol: Protocol, record: Lock, *, where: str) -> None:
    """Refuse a protocol that differs from its lock, naming every field that changed."""
    found = changes(record.protocol, content(protocol))
    if found:
        listed = "\n       ".join(str(change) for change in found[:20])
        raise ProtocolProblem(
            f"the protocol was edited after it was locked on {record.locked_at}:\n       {listed}",
            code="PROT-023",
            where=where,
            why="Criteria that move after the lock prove nothing.",
            action="Undo the edit, or raise `version` and run `validation amend --reason ...`.",
        )


def amend(
    protocol: Protocol, path: Path, *, signer: str, reason: str, openings: int, now: datetime | None = None
) -> Lock:
    """Record a new version of a locked protocol.

    Raises
    ------
    ProtocolProblem
        If nothing changed, or the version was not raised.
    """
    record = read_lock(path)
    found = changes(record.protocol, content(protocol))
    if not found:
        raise ProtocolProblem("nothing has changed since the lock.", code="PROT-024", where=path.name)
    before, after = (tuple(map(int, v.split("."))) for v in (record.protocol["version"], protocol.version))
    if after <= before:
        raise ProtocolProblem(
            f"version {protocol.version} is not above the locked version {record.protocol['version']}.",
            code="PROT-025",
            where=path.name,
            why="Two different protocols must never share a version.",
            action="Raise `version` in the protocol file.",
        )
    amendment = Amendment(
        version=protocol.version,
        previous_version=record.protocol["version"],
        previous_digest=record.digest,
        reason=reason,
        amended_at=_utc(now),
        amended_by=signer,
        openings_before=openings,
        changes=[asdict(change) for change in found],
    )
    amended = Lock(
        digest=digest(protocol),
        locked_at=record.locked_at,
        locked_by=record.locked_by,
        protocol=content(protocol),
        amendments=[*record.amendments, amendment],
    )
    _write(amended, path)
    return amended


def changes(before: Any, after: Any, path: str = "") -> list[Change]:
    """Return every field that differs between two protocols given as plain data.

    Lists whose items have an ``id`` are compared by id, so that an inserted endpoint is one change.

    >>> before, after = ({"endpoints": [{"id": "E1", "margin": m}]} for m in (3, 2))
    >>> [str(change) for change in changes(before, after)]
    ['endpoints[E1].margin: 3 -> 2']
    """
    return list(_changes(before, after, path))


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}, key=str):
            yield from _changes(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif _by_id(before) and _by_id(after):
        old, new = ({item["id"]: item for item in items} for items in (before, after))
        for key in sorted({*old, *new}):
            yield from _changes(old.get(key), new.get(key), f"{path}[{key}]")
        if list(old) != list(new) and set(old) == set(new):
            yield Change(f"{path} (order)", list(old), list(new))
    elif before != after:
        yield Change(path, before, after)


def _by_id(items: Any) -> bool:
    return isinstance(items, list) and bool(items) and all(isinstance(i, dict) and "id" in i for i in items)


def _brief(value: Any) -> str:
    text = "absent" if value is None else canonical_json(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."


def _utc(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def text(record: Lock) -> str:
    """Return the text of a lock file."""
    body = yaml.safe_dump(record.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
    return "# Written by `validation lock` and `validation amend`; never edit by hand.\n" + body


def _write(record: Lock, path: Path) -> None:
    write_atomically(path, text(record).encode())
