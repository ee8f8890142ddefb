"""Every kind of change to a closed run is found, and the file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from validation.evidence.keys import read_trust
from validation.evidence.verify import verify_run

FILES = [
    "attestation.dsse.json",
    "cases.parquet",
    "dossier/report.html",
    "environment.json",
    "events.jsonl",
    "manifest.json",
    "measurements/part-00000.parquet",
    "protocol.lock.yaml",
    "results.json",
    "ro-crate-metadata.json",
    "signer.pub.pem",
    "approvals",
]


def _path(run: Path, name: str) -> Path:
    path = run / name
    return next(path.iterdir()) if path.is_dir() else path


def _names(run: Path, trust: Path | None = None) -> list[str]:
    return [finding.file for finding in verify_run(run, trust=read_trust(trust) if trust else None).findings]


def test_the_untouched_run_is_intact(run: Path, trust: Path) -> None:
    report = verify_run(run, trust=read_trust(trust))
    assert report.intact, report.findings
    assert (report.signer_name, report.identity_proven, report.n_events) == ("runner", True, 3)
    assert [(a.name, a.decision, a.key_name) for a in report.approvals] == [("A. Reviewer", "accept", "reviewer")]
    bare = verify_run(run)
    assert bare.intact
    assert not bare.identity_proven
    assert any("identity not proven" in note for note in bare.notes)


def test_the_list_of_files_is_complete(run: Path) -> None:
    names = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    assert {n if not n.startswith("approvals/") else "approvals" for n in names} == set(FILES)


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte_is_found_and_named(run: Path, trust: Path, name: str, trusted: bool) -> None:
    path = _path(run, name)
    whole = path.read_bytes()
    expected = path.relative_to(run).as_posix()
    for position in {0, 1, len(whole) // 3, len(whole) // 2, 2 * len(whole) // 3, len(whole) - 2, len(whole) - 1}:
        for mask in (0x01, 0x20, 0x80):
            harmed = bytearray(whole)
            harmed[position] ^= mask
            path.write_bytes(harmed)
            assert expected in _names(run, trust if trusted else None), (name, position, mask)
    path.write_bytes(whole)
    assert _names(run) == []
