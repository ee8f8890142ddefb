"""Closing a run: what is written, what is refused, and that others can read it."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.evidence.conftest import make_results, make_run
from validation.errors import IntegrityProblem, UsageProblem
from validation.evidence.approvals import approve
from validation.evidence.attestation import close
from validation.evidence.keys import load_signer
from validation.evidence.rocrate import write_crate
from validation.evidence.verify import verify_run


def test_the_statement_is_in_toto_in_dsse(run: Path) -> None:
    # checked by hand against the DSSE and in-toto texts, with cryptography alone
    envelope = json.loads((run / "attestation.dsse.json").read_bytes())
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    assert kind == b"application/vnd.in-toto+json"
    encoding = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
    key = load_pem_public_key((run / "signer.pub.pem").read_bytes())
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), encoding)  # type: ignore[union-attr, call-arg]
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    predicate = statement["predicate"]
    assert predicate["protocol"] == {"id": "tiny", "version": "1.0.0", "digest": "ab" * 32}
    assert predicate["proposal"]["outcome"] == "pass"
    assert predicate["events"]["length"] == 3


def test_unsigned_runs_say_so(tmp_path: Path, keys: Path) -> None:
    run = make_run(tmp_path / "run")
    assert close(run).key_id == ""
    report = verify_run(run)
    assert [(f.file, f.code) for f in report.findings] == [("attestation.dsse.json", "EVD-028")]
    allowed = verify_run(run, allow_unsigned=True)
    assert allowed.intact
    assert any("NOT SIGNED" in note for note in allowed.notes)
    (run / "cases.parquet").write_bytes(b"changed")
    with pytest.raises(IntegrityProblem, match=r"cases\.parquet"):
        close(run, load_signer(str(keys / "runner.pem")))


def test_an_unsigned_run_can_be_signed_later_but_only_once(tmp_path: Path, keys: Path) -> None:
    run = make_run(tmp_path / "run")
    close(run)
    signer = load_signer(str(keys / "runner.pem"))
    close(run, signer)
    assert verify_run(run).intact
    with pytest.raises(IntegrityProblem, match="already signed"):
        close(run, signer)


def test_an_approved_run_is_not_closed_again(tmp_path: Path, keys: Path) -> None:
    run = make_run(tmp_path / "run")
    close(run)
    signer = load_signer(str(keys / "runner.pem"))
    approve(run, signer, name="A", role="author", meaning="I wrote it")
    with pytest.raises(IntegrityProblem, match="already signed or approved"):
        close(run, signer)


def test_a_crash_leaves_nothing_that_is_signed_by_accident(tmp_path: Path, keys: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "measurements" / ".part-00001.parquet.abc.part").write_bytes(b"half")
    with (run / "events.jsonl").open("ab") as stream:
        stream.write(b'{"half')
    close(run, load_signer(str(keys / "runner.pem")))
    assert not list(run.rglob("*.part"))
    assert verify_run(run).intact


def test_a_run_with_a_link_is_not_closed(tmp_path: Path, keys: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "link").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityProblem, match="symbolic link"):
        close(run, load_signer(str(keys / "runner.pem")))


def test_broken_events_or_results_are_not_signed(tmp_path: Path, keys: Path) -> None:
    signer = load_signer(str(keys / "runner.pem"))
    run = make_run(tmp_path / "one")
    text = (run / "events.jsonl").read_bytes()
    (run / "events.jsonl").write_bytes(text.replace(b"started", b"stopped"))
    with pytest.raises(IntegrityProblem, match="line 2"):
        close(run, signer)
    run = make_run(tmp_path / "two")
    (run / "results.json").write_bytes((run / "results.json").read_bytes() + b"\n")
    with pytest.raises(IntegrityProblem, match="canonical"):
        close(run, signer)
    assert not (run / "manifest.json").exists()


@pytest.mark.parametrize("field", ["name", "role", "meaning"])
@pytest.mark.parametrize("text", ["", "   ", "a\nb", "\x1b[31mred", "x" * 501])
def test_approvals_need_words(run: Path, keys: Path, field: str, text: str) -> None:
    words = {"name": "A", "role": "reviewer", "meaning": "reviewed", field: text}
    with pytest.raises(UsageProblem) as refusal:
        approve(run, load_signer(str(keys / "reviewer.pem")), **words)
    assert refusal.value.code == "EVD-050"


def test_nobody_approves_a_changed_run(run: Path, keys: Path) -> None:
    (run / "dossier" / "report.html").write_text("nicer")
    with pytest.raises(IntegrityProblem, match=r"report\.html"):
        approve(run, load_signer(str(keys / "reviewer.pem")), name="A", role="r", meaning="m")


def test_the_index_follows_from_the_run_alone(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "a" / "run"), tmp_path / "b" / "run"
    shutil.copytree(one, two)
    for run in (one, two):
        write_crate(run, make_results("run"))
    data = (one / "ro-crate-metadata.json").read_bytes()
    assert data == (two / "ro-crate-metadata.json").read_bytes()
    graph = {entity["@id"]: entity for entity in json.loads(data)["@graph"]}
    assert graph["./"]["datePublished"] == "2026-01-02T03:14:05Z"
    assert graph["./"]["conformsTo"]["@id"] == "https://w3id.org/ro/wfrun/process/0.5"
    assert {part["@id"] for part in graph["./"]["hasPart"]} <= set(graph)
    assert graph["#run"]["instrument"]["@id"] in graph


def test_the_rocrate_library_reads_the_index(run: Path) -> None:
    from rocrate.rocrate import ROCrate

    crate = ROCrate(run)
    assert crate.name == "A tiny study"
    names = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    made_after = {"manifest.json", "attestation.dsse.json", "ro-crate-metadata.json"}
    described = {entity.id for entity in crate.data_entities}
    assert described == {name for name in names - made_after if not name.startswith("approvals/")}
