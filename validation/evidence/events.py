"""Hash-chained, append-only records: ``events.jsonl`` of a run and ``ledger.jsonl`` of a study.

One event per line, each line the RFC 8785 form of an object with the fields of :class:`Event`. ``prev_sha256`` is the
SHA-256 of the line before (without its line feed; 64 zeros for the first), so a changed, removed or inserted line
breaks every later link. What a chain cannot show by itself is that its end was cut off: that needs a copy of the head
elsewhere, which the attestation of a run holds.

Writers take an exclusive lock on the file. A line that a killed writer left unfinished is completed if it is whole but
for its line feed, else removed, and the removal is itself recorded. Anything else that is wrong is never repaired.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from validation.digest import canonical_json, sha256_bytes
from validation.errors import IntegrityProblem

EVENTS_FILE = "events.jsonl"
LEDGER_FILE = "ledger.jsonl"
COHORT_OPENED = "cohort-opened"
_GENESIS = "0" * 64
_REPAIRED = "chain-repaired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a chain.

    Parameters
    ----------
    seq
        Position, from 0.
    prev_sha256
        SHA-256 of the line before.
    time
        UTC time of the append, ISO 8601 with ``Z``.
    actor
        Who acted: a person's name, or a program and its version.
    action
        What was done, in one word such as ``locked``, ``cohort-opened``, ``shard-written``.
    object_digest
        SHA-256 of what was acted on; empty if there is none.
    reason
        Why, in words; the purpose of an opening.
    details
        Further JSON values.
    """

    seq: int
    prev_sha256: str
    time: str
    actor: str
    action: str
    object_digest: str = ""
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """Return the canonical bytes of the event, without the line feed."""
        return canonical_json(asdict(self))

    def sha256(self) -> str:
        """Return the digest that the next event refers to."""
        return sha256_bytes(self.line())


def utc_now() -> str:
    """Return the present UTC time to the second, as ISO 8601 with ``Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_event(
    path: Path,
    *,
    actor: str,
    action: str,
    object_digest: str = "",
    reason: str = "",
    details: dict[str, Any] | None = None,
) -> Event:
    """Append one event and return it; when the call returns, the line is on the disk.

    The last line is checked before it is linked to; :func:`verify_chain` checks them all.

    Raises
    ------
    IntegrityProblem
        EVD-010 if the last line of the file was changed, EVD-020 if the file is a symbolic link.
    OSError
        If the file cannot be written.
    """
    with _locked(path) as handle:
        last = _repair(handle, path)
        event = _next(
            last, actor=actor, action=action, object_digest=object_digest, reason=reason, details=details or {}
        )
        _write(handle, event)
    return event


def repair_events(path: Path) -> bool:
    """Complete or remove a line that a killed writer left unfinished; return whether there was one.

    :func:`append_event` does this by itself; a reader that starts after a crash calls it first.
    """
    if not path.exists():
        return False
    before = path.stat().st_size
    with _locked(path) as handle:
        _repair(handle, path)
        return os.fstat(handle).st_size != before


def read_events(path: Path) -> list[Event]:
    """Return all events after checking every link of the chain; an absent file is an empty chain.

    Raises
    ------
    IntegrityProblem
        EVD-010, naming file and line, if a line was changed, removed, inserted, reordered or left unfinished.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return list(_parse(data, path))


def verify_chain(path: Path) -> str:
    """Check every link and return the head: the SHA-256 of the last line (64 zeros for an empty chain).

    Raises
    ------
    IntegrityProblem
        As :func:`read_events`.
    """
    events = read_events(path)
    return events[-1].sha256() if events else _GENESIS


def openings(path: Path) -> list[Event]:
    """Return every opening of the sealed cohort that a ledger records; ``reason`` is its purpose."""
    return [event for event in read_events(path) if event.action == COHORT_OPENED]


def _next(last: Event | None, **fields: Any) -> Event:
    return Event(
        seq=last.seq + 1 if last else 0,
        prev_sha256=last.sha256() if last else _GENESIS,
        time=utc_now(),
        **fields,
    )


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open for reading and appending, alone; the lock goes with the process, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    created = not path.exists()
    if path.is_symlink():
        raise IntegrityProblem(
            f"{path.name} is a symbolic link.",
            code="EVD-020",
            where=str(path),
            why="An audit trail that lies elsewhere can be swapped unseen.",
            action="Put the file itself in its place.",
        )
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)
    if created:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write(handle: int, event: Event) -> None:
    data = event.line() + b"\n"
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)


def _repair(handle: int, path: Path) -> Event | None:
    """Bring the end of a locked chain in order and return its last event."""
    lines = _tail(handle)
    tail = lines.pop()  # what follows the last line feed: empty, or what a killed writer left
    last = _last_event(lines, path)
    if not tail:
        return last
    try:
        whole = _event(tail, path, 0)
    except IntegrityProblem:
        whole = None
    due = _next(last, actor="", action="")
    if whole is not None and (whole.seq, whole.prev_sha256) == (due.seq, due.prev_sha256):
        os.write(handle, b"\n")
        os.fsync(handle)
        return whole
    os.ftruncate(handle, os.fstat(handle).st_size - len(tail))
    event = _next(
        last,
        actor="validation",
        action=_REPAIRED,
        object_digest=sha256_bytes(tail),
        reason="an earlier append was cut short; its unfinished line was removed",
        details={"bytes_removed": len(tail)},
    )
    _write(handle, event)
    return event


def _tail(handle: int) -> list[bytes]:
    """Return the last two whole lines (fewer in a short file) and what follows the last line feed."""
    size = os.fstat(handle).st_size
    span = 1 << 14
    while True:
        start = max(0, size - span)
        lines = os.pread(handle, size - start, start).split(b"\n")
        if start == 0:
            return lines[-3:]
        if len(lines) > 3:  # the first of them may be cut at the front
            return lines[-3:]
        span *= 4


def _last_event(lines: list[bytes], path: Path) -> Event | None:
    if not lines:
        return None
    last = _event(lines[-1], path, None)
    before = sha256_bytes(lines[-2]) if len(lines) > 1 else _GENESIS
    if last.prev_sha256 != before:
        raise _broken(path, last.seq + 1, "it does not link to the line before it")
    return last


def _parse(data: bytes, path: Path) -> Iterator[Event]:
    lines = data.split(b"\n")
    if lines.pop():
        raise _broken(path, len(lines) + 1, "it is unfinished: the writer was stopped, or the end was cut off")
    before = _GENESIS
    for number, line in enumerate(lines, start=1):
        event = _event(line, path, number)
        if event.seq != number - 1:
            raise _broken(path, number, f"its number is {event.seq} where {number - 1} is due")
        if event.prev_sha256 != before:
            raise _broken(path, number, "it does not link to the line before it; one of the two was changed")
        before = sha256_bytes(line)
        yield event


def _event(line: bytes, path: Path, number: int | None) -> Event:
    try:
        record = json.loads(line.decode("utf-8"))
        event = Event(**record)
        sound = isinstance(event.seq, int) and isinstance(event.details, dict) and event.line() == line
    except (ValueError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise _broken(path, number, "it is not an event in canonical form")
    return event


def _broken(path: Path, number: int | None, what: str) -> IntegrityProblem:
    return IntegrityProblem(
        f"{path.name}: line {number if number else 'at the end'} was changed: {what}.",
        code="EVD-010",
        where=f"{path}:{number}" if number else str(path),
        why="The chain is the audit trail; a changed line makes everything after it doubtful.",
        action="Restore the file from the signed package, and find out who changed it.",
    )
