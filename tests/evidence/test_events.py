"""The event chain: what is tampered with is named by line, what a crash cut short is repaired and recorded."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from validation.digest import canonical_json, sha256_bytes
from validation.errors import IntegrityProblem
from validation.evidence.events import append_event, openings, read_events, repair_events, verify_chain


def _chain(path: Path, n: int = 4) -> list[bytes]:
    for i in range(n):
        append_event(path, actor="tester", action="counted", reason=f"number {i}", details={"i": i})
    return path.read_bytes().splitlines()


def test_a_chain_reads_back_and_links(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_events(path) == []
    assert verify_chain(path) == "0" * 64
    lines = _chain(path)
    events = read_events(path)
    assert [e.details["i"] for e in events] == [0, 1, 2, 3]
    assert events[0].prev_sha256 == "0" * 64
    assert events[3].prev_sha256 == sha256_bytes(lines[2])
    assert verify_chain(path) == sha256_bytes(lines[3])
    assert lines[1] == canonical_json(json.loads(lines[1]))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_changed_line_is_named(tmp_path: Path, number: int) -> None:
    path = tmp_path / "events.jsonl"
    lines = _chain(path)
    lines[number - 1] = lines[number - 1].replace(b"tester", b"nobody")
    path.write_bytes(b"\n".join(lines) + b"\n")
    if number == 4:  # nothing links to the last line yet: that is what the signed head is for
        assert verify_chain(path) != sha256_bytes(_chain(tmp_path / "other.jsonl")[3])
        return
    with pytest.raises(IntegrityProblem, match=f"line {number + 1} ") as refusal:
        read_events(path)
    assert refusal.value.where.endswith(f":{number + 1}")


@pytest.mark.parametrize("change", ["drop", "swap", "insert", "space", "not json", "extra field"])
def test_structural_changes_are_found(tmp_path: Path, change: str) -> None:
    path = tmp_path / "events.jsonl"
    lines = _chain(path)
    if change == "drop":
        del lines[1]
    elif change == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif change == "insert":
        lines.insert(1, lines[0])
    elif change == "space":
        lines[1] = lines[1].replace(b",", b", ", 1)
    elif change == "not json":
        lines[1] = b"{"
    else:
        lines[1] = canonical_json({**json.loads(lines[1]), "z": 1})
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(IntegrityProblem, match="line 2 "):
        read_events(path)


def test_append_refuses_a_changed_last_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = _chain(path)
    path.write_bytes(b"\n".join([*lines[:3], lines[3].replace(b"counted", b"counted\\n")]) + b"\n")
    append_event(path, actor="tester", action="counted")  # still canonical and linked: only a signed head shows it
    path.write_bytes(b"\n".join([*lines[:2], lines[3]]) + b"\n")
    with pytest.raises(IntegrityProblem, match="line 4 "):
        append_event(path, actor="tester", action="counted")
    path.write_bytes(b"\n".join([*lines[:3], lines[3] + b" "]) + b"\n")
    with pytest.raises(IntegrityProblem, match="canonical"):
        append_event(path, actor="tester", action="counted")


@pytest.mark.parametrize("n_before", [0, 1, 4])
def test_every_way_a_line_can_be_cut_short_is_repaired(tmp_path: Path, n_before: int) -> None:
    source = tmp_path / "source.jsonl"
    lines = _chain(source, n_before + 1)
    whole = b"".join(line + b"\n" for line in lines[:-1])
    for kept in range(1, len(lines[-1]) + 1):
        path = tmp_path / "events.jsonl"
        path.write_bytes(whole + lines[-1][:kept])
        with pytest.raises(IntegrityProblem, match="unfinished"):
            read_events(path)
        assert repair_events(path)
        events = read_events(path)
        if kept == len(lines[-1]):  # the event was whole but for its line feed: it happened
            assert path.read_bytes() == whole + lines[-1] + b"\n"
        else:
            assert len(events) == n_before + 1
            assert (events[-1].action, events[-1].details["bytes_removed"]) == ("chain-repaired", kept)
        assert not repair_events(path)
        path.unlink()


def test_a_tail_longer_than_the_window_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _chain(path, 2)
    append_event(path, actor="tester", action="long", details={"text": "x" * 50_000})
    with path.open("ab") as stream:
        stream.write(b"y" * 40_000)
    append_event(path, actor="tester", action="after")
    assert [e.action for e in read_events(path)] == ["counted", "counted", "long", "chain-repaired", "after"]


def _append_many(path: Path, who: str) -> None:
    for i in range(20):
        append_event(path, actor=who, action="counted", details={"i": i})


def test_concurrent_writers_keep_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(path, f"w{i}")) for i in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    events = read_events(path)
    assert len(events) == 60
    for who in ("w0", "w1", "w2"):
        assert [e.details["i"] for e in events if e.actor == who] == list(range(20))


def test_a_killed_writer_leaves_a_chain_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    code = (
        "import sys; from pathlib import Path; from validation.evidence.events import append_event\n"
        "while True: append_event(Path(sys.argv[1]), actor='w', action='counted', reason='r' * 3000)"
    )
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
        started = time.monotonic()
        size = path.stat().st_size if path.exists() else 0
        while (not path.exists() or path.stat().st_size < size + 9000) and time.monotonic() - started < 30:
            time.sleep(0.01)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        append_event(path, actor="tester", action="resumed")
    assert sum(e.action == "resumed" for e in read_events(path)) == 3


def test_the_ledger_counts_openings_with_purpose(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append_event(path, actor="A. Person", action="locked", object_digest="ab" * 32)
    append_event(path, actor="A. Person", action="cohort-opened", reason="confirmatory run")
    append_event(path, actor="B. Person", action="cohort-opened", reason="audit")
    assert [e.reason for e in openings(path)] == ["confirmatory run", "audit"]


def test_a_linked_trail_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.jsonl").write_bytes(b"")
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    with pytest.raises(IntegrityProblem, match="symbolic link"):
        append_event(tmp_path / "events.jsonl", actor="x", action="y")
