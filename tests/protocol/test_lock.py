"""A lock proves what was fixed; an edit is named; an amendment is recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.protocol.test_load import GOOD, write
from validation.errors import IntegrityProblem, ProtocolProblem
from validation.protocol.load import load_protocol
from validation.protocol.lock import amend, changes, digest, lock, read_lock, require_unchanged

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_lock_round_trip_ignores_comments_and_layout(tmp_path: Path) -> None:
    protocol = load_protocol(write(tmp_path, GOOD))
    written = lock(protocol, tmp_path / "protocol.lock.yaml", signer="A. Person (example)", now=NOW)
    again = load_protocol(write(tmp_path, "# a comment\n" + GOOD.replace("subgroups: [sex]", "subgroups:\n    - sex")))
    record = read_lock(tmp_path / "protocol.lock.yaml")
    assert record == written
    assert record.locked_at == "2026-01-02T03:04:05Z"
    assert record.digest == digest(again)
    assert record.parsed() == protocol
    require_unchanged(again, record, where="protocol.yaml")


def test_edit_after_lock_names_the_field(tmp_path: Path) -> None:
    path = tmp_path / "protocol.lock.yaml"
    record = lock(load_protocol(write(tmp_path, GOOD)), path, signer="x", now=NOW)
    edited = load_protocol(write(tmp_path, GOOD.replace("margin: -3.0", "margin: -2.0")))
    with pytest.raises(ProtocolProblem, match=r"endpoints\[E1\]\.hypothesis\.margin: -3 -> -2") as caught:
        require_unchanged(edited, record, where="protocol.yaml")
    assert caught.value.exit_code == 2


def test_second_lock_is_refused_and_tampered_lock_is_found(tmp_path: Path) -> None:
    path = tmp_path / "protocol.lock.yaml"
    protocol = load_protocol(write(tmp_path, GOOD))
    lock(protocol, path, signer="x", now=NOW)
    with pytest.raises(ProtocolProblem, match="locked already"):
        lock(protocol, path, signer="x")
    path.write_text(path.read_text().replace("margin: -3.0", "margin: -1.0"))
    with pytest.raises(IntegrityProblem):
        read_lock(path)


def test_amendment_needs_a_change_and_a_higher_version(tmp_path: Path) -> None:
    path = tmp_path / "protocol.lock.yaml"
    first = lock(load_protocol(write(tmp_path, GOOD)), path, signer="x", now=NOW)
    with pytest.raises(ProtocolProblem, match="nothing has changed"):
        amend(load_protocol(write(tmp_path, GOOD)), path, signer="x", reason="r", openings=0)
    edited = GOOD.replace("margin: -3.0", "margin: -2.0")
    with pytest.raises(ProtocolProblem, match="not above"):
        amend(load_protocol(write(tmp_path, edited)), path, signer="x", reason="r", openings=0)
    protocol = load_protocol(write(tmp_path, edited.replace("version: 1.0.0", "version: 1.1.0")))
    amended = amend(protocol, path, signer="y", reason="pilot data", openings=2, now=NOW)
    assert read_lock(path) == amended
    assert amended.amendments[0].previous_digest == first.digest
    assert amended.amendments[0].openings_before == 2
    assert {c["path"] for c in amended.amendments[0].changes} == {"version", "endpoints[E1].hypothesis.margin"}


def test_changes_compares_endpoints_by_id() -> None:
    before = {"endpoints": [{"id": "E1"}, {"id": "E2"}]}
    after = {"endpoints": [{"id": "E0"}, {"id": "E1"}, {"id": "E2"}]}
    assert [c.path for c in changes(before, after)] == ["endpoints[E0]"]
    assert [c.path for c in changes(before, {"endpoints": before["endpoints"][::-1]})] == ["endpoints (order)"]
    assert changes(before, before) == []
