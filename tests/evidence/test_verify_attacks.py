"""Every kind of change to a closed run is found, and the file is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.evidence.conftest import make_results, make_run
from validation.digest import canonical_json, sha256_bytes, sha256_json
from validation.errors import IntegrityProblem
from validation.evidence import verify_offline
from validation.evidence.approvals import approve
from validation.evidence.attestation import close
from validation.evidence.events import append_event, verify_chain
from validation.evidence.keys import load_signer, read_trust
from validation.evidence.manifest import read_manifest, write_manifest
from validation.evidence.results import write_results
from validation.evidence.statement import APPROVAL_PREDICATE, RUN_PREDICATE, make_statement, peek, seal
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
    "run.json",
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


@pytest.mark.parametrize("name", ["attestation.dsse.json", "manifest.json", "signer.pub.pem", "approvals"])
def test_every_byte_of_what_is_signed_with_counts(run: Path, name: str) -> None:
    path = _path(run, name)
    whole = path.read_bytes()
    expected = path.relative_to(run).as_posix()
    for position in range(0, len(whole), 7):
        harmed = bytearray(whole)
        harmed[position] ^= 0x04
        path.write_bytes(harmed)
        assert expected in _names(run), position


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_an_emptied_and_a_longer_file_are_found(run: Path, name: str) -> None:
    path = _path(run, name)
    whole = path.read_bytes()
    for data in (whole[:-1], whole[: len(whole) // 2], b"", whole + b"\n", whole + b"\0"):
        path.write_bytes(data)
        assert path.relative_to(run).as_posix() in _names(run)


@pytest.mark.parametrize("name", [name for name in FILES if name != "approvals"])
def test_a_deleted_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    assert name in _names(run)


@pytest.mark.parametrize("name", ["extra.txt", "dossier/extra.html", ".hidden", "approvals/note.txt", "approvals/x/y"])
def test_an_added_file_is_named(run: Path, name: str) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text("new")
    assert name in _names(run)


def test_a_symbolic_link_is_named(run: Path, tmp_path: Path) -> None:
    report = run / "dossier" / "report.html"
    report.rename(tmp_path / "report.html")
    report.symlink_to(tmp_path / "report.html")  # same bytes, but they can change tomorrow
    assert _names(run) == ["dossier/report.html"]
    report.unlink()
    (tmp_path / "report.html").rename(report)
    (run / "folder").symlink_to(tmp_path)
    assert _names(run) == ["folder"]


@pytest.fixture
def other(tmp_path: Path, keys: Path) -> Path:
    """Another run of the same signer, with an approval of its own."""
    run = make_run(tmp_path / "other" / "tiny_20260103T031405Z_89abcdef")
    close(run, load_signer(str(keys / "runner.pem")))
    approve(run, load_signer(str(keys / "reviewer.pem")), name="A", role="reviewer", meaning="reviewed")
    return run


def test_the_attestation_of_another_run_is_refused(run: Path, other: Path) -> None:
    shutil.copy(other / "attestation.dsse.json", run)
    report = verify_run(run)
    assert "attestation.dsse.json" in [f.file for f in report.findings]
    assert any("another run (tiny_20260103" in f.what for f in report.findings)


def test_the_approval_of_another_run_is_refused(run: Path, other: Path) -> None:
    copied = shutil.copy(_path(other, "approvals"), run / "approvals")
    report = verify_run(run)
    assert [f.file for f in report.findings] == [f"approvals/{Path(copied).name}"]
    assert "another record" in report.findings[0].what


def test_a_removed_approval_is_noticed_by_a_later_one(run: Path, keys: Path) -> None:
    first = _path(run, "approvals")
    approve(run, load_signer(str(keys / "runner.pem")), name="B", role="author", meaning="I wrote it")
    assert _names(run) == []
    first.unlink()
    assert _names(run) == ["approvals"]


def test_a_renamed_approval_is_noticed(run: Path) -> None:
    path = _path(run, "approvals")
    path.rename(path.with_name("20990101T000000Z_0123456789abcdef.dsse.json"))
    assert _names(run) == ["approvals/20990101T000000Z_0123456789abcdef.dsse.json"]


def _reclose(run: Path, key: Path) -> None:
    """Close a run again as somebody who holds a key of their own, leaving no trace of the first signature."""
    for name in ("manifest.json", "attestation.dsse.json", "signer.pub.pem", "ro-crate-metadata.json"):
        (run / name).unlink()
    shutil.rmtree(run / "approvals")
    close(run, load_signer(str(key)))


def test_a_run_signed_anew_by_a_stranger_is_caught_by_trust_alone(run: Path, keys: Path, trust: Path) -> None:
    results = make_results(run.name)
    results["endpoints"]["E1"]["estimate"]["upper"] = -3.0
    write_results(run, results)
    _reclose(run, keys / "stranger.pem")
    report = verify_run(run)
    assert report.intact
    assert not report.identity_proven
    assert _names(run, trust) == ["attestation.dsse.json"]


def test_a_manifest_rewritten_to_fit_changed_results_is_caught(run: Path) -> None:
    results = make_results(run.name)
    results["endpoints"]["E1"]["verdict"]["outcome"] = "fail"
    write_results(run, results)
    write_manifest(run, run_id=run.name)
    names = _names(run)
    assert "manifest.json" in names
    assert any(name.startswith("approvals/") for name in names)


def test_events_rewritten_with_a_sound_chain_are_caught_by_the_signed_head(run: Path, keys: Path) -> None:
    (run / "events.jsonl").unlink()
    for action in ("started", "judged"):
        append_event(run / "events.jsonl", actor="validation 0.1.0", action=action, reason="rewritten")
    assert verify_chain(run / "events.jsonl")
    assert "events.jsonl" in _names(run)
    # even if the manifest fitted: the head that was signed is another one
    statement, _ = peek((run / "attestation.dsse.json").read_bytes(), where="x", predicate_type=RUN_PREDICATE)
    digest = write_manifest(run, run_id=run.name)
    forged = make_statement(RUN_PREDICATE, statement["predicate"], manifest_sha256=digest)
    (run / "attestation.dsse.json").write_bytes(seal(forged, load_signer(str(keys / "runner.pem"))))
    shutil.rmtree(run / "approvals")
    assert _names(run) == ["events.jsonl"]


def test_the_wrong_key_in_the_run_is_named(run: Path, keys: Path) -> None:
    shutil.copy(keys / "stranger.pub.pem", run / "signer.pub.pem")
    assert "signer.pub.pem" in _names(run)


def test_an_approval_by_a_stranger_counts_only_without_trust(run: Path, keys: Path, trust: Path) -> None:
    approval = approve(run, load_signer(str(keys / "stranger.pem")), name="X", role="head", meaning="approved")
    assert _names(run) == []
    assert _names(run, trust) == [f"approvals/{approval.file}"]


def test_a_signature_stripped_from_a_run_is_found(run: Path) -> None:
    (run / "attestation.dsse.json").unlink()
    assert _names(run) == ["attestation.dsse.json"]
    for report in (verify_run(run, allow_unsigned=True), verify_run(run)):
        assert not report.intact  # signer.pub.pem says that there was a signature


def test_two_signatures_in_one_envelope_are_refused(run: Path) -> None:
    path = run / "attestation.dsse.json"
    envelope = json.loads(path.read_bytes())
    envelope["signatures"].append({"keyid": "00", "sig": "AA=="})
    path.write_bytes(canonical_json(envelope))
    assert _names(run) == ["attestation.dsse.json"]


def test_an_attestation_is_not_an_approval_and_the_reverse(run: Path) -> None:
    approval = _path(run, "approvals")
    data = (run / "attestation.dsse.json").read_bytes()
    swapped = run / "approvals" / f"20260102T000000Z_{sha256_bytes(data)[:16]}.dsse.json"
    swapped.write_bytes(data)
    assert _names(run) == [swapped.relative_to(run).as_posix()]
    swapped.unlink()
    (run / "attestation.dsse.json").write_bytes(approval.read_bytes())
    assert _names(run) == ["attestation.dsse.json"]


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a//b", "./a", "a\\b", "a\nb"])
def test_a_manifest_naming_files_elsewhere_is_refused(run: Path, name: str) -> None:
    files = json.loads((run / "manifest.json").read_bytes())["files"]
    files.append({"name": name, "size": 0, "sha256": sha256_bytes(b"")})
    files.sort(key=lambda entry: str(entry["name"]))
    manifest = {"schema": "validation.manifest/1", "run": run.name, "files": files}
    manifest["files_sha256"] = sha256_json({"run": run.name, "files": files})
    (run / "manifest.json").write_bytes(canonical_json(manifest))
    assert "manifest.json" in _names(run)
    with pytest.raises(IntegrityProblem) as refusal:
        read_manifest(run)
    assert refusal.value.code == "EVD-022"


@pytest.mark.parametrize("value", [None, 7, "text", [], {}, [[]], {"id": None}, {"head": []}, {"public": 3}])
@pytest.mark.parametrize("field", ["run", "events", "results", "proposal", "signed_at"])
def test_a_soundly_signed_but_senseless_attestation_is_a_finding(
    run: Path, keys: Path, field: str, value: object
) -> None:
    path = run / "attestation.dsse.json"
    statement, _ = peek(path.read_bytes(), where="x", predicate_type=RUN_PREDICATE)
    statement["predicate"][field] = value
    path.write_bytes(seal(statement, load_signer(str(keys / "runner.pem"))))
    intact = verify_run(run).intact
    wrong = verify_offline.verify(run, {})
    assert intact is (field == "signed_at")
    assert field in {"signed_at", "proposal", "run"} or wrong  # the script compares digests, not every field


@pytest.mark.parametrize("value", [None, 7, [], {}, [[]], "\x1b[2J"])
@pytest.mark.parametrize("field", ["name", "decision", "beside", "key", "run"])
def test_a_soundly_signed_but_senseless_approval_is_harmless(run: Path, keys: Path, field: str, value: object) -> None:
    path = _path(run, "approvals")
    statement, _ = peek(path.read_bytes(), where="x", predicate_type=APPROVAL_PREDICATE)
    statement["predicate"][field] = value
    data = seal(statement, load_signer(str(keys / "reviewer.pem")))
    path.unlink()
    path.with_name(f"20260102T000000Z_{sha256_bytes(data)[:16]}.dsse.json").write_bytes(data)
    report = verify_run(run)
    verify_offline.verify(run, {})
    if value == "\x1b[2J" and field != "beside":
        assert not report.intact
