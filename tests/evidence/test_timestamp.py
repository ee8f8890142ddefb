"""RFC 3161 time stamps, with an authority made by `openssl ts` on this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from validation.errors import IntegrityProblem, UsageProblem
from validation.evidence.timestamp import attach_token, read_roots, verify_token, write_request
from validation.evidence.verify import verify_run

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="the authority is made with openssl")

CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_cert = {folder}/tsa.crt
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_authority(folder: Path) -> Path:
    folder.mkdir()
    config = folder / "tsa.cnf"
    config.write_text(CONFIG.format(folder=folder))
    (folder / "serial").write_text("01\n")
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", config)
    root = (folder / "root.key", "-out", folder / "root.crt", "-subj", "/CN=Root", "-extensions", "root", "-days", 9)
    _openssl("req", "-x509", *ec, "-keyout", *root)
    _openssl("req", *ec, "-keyout", folder / "tsa.key", "-out", folder / "tsa.csr", "-subj", "/CN=Time Authority")
    issue = ("-CA", folder / "root.crt", "-CAkey", folder / "root.key", "-CAcreateserial", "-days", 9)
    _openssl(
        *("x509", "-req", "-in", folder / "tsa.csr", *issue, "-out", folder / "tsa.crt"),
        *("-extfile", config, "-extensions", "leaf"),
    )
    (folder / "trust").mkdir()
    shutil.copy(folder / "root.crt", folder / "trust" / "here.tsa.pem")
    return folder


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("tsa") / "one")


@pytest.fixture(scope="module")
def rival(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("tsa") / "two")


def stamp(run: Path, authority: Path, token: Path) -> Path:
    request = token.with_suffix(".tsq")
    write_request(run, request)
    _openssl("ts", "-reply", "-config", authority / "tsa.cnf", "-queryfile", request, "-out", token)
    return token


def test_a_token_is_attached_and_verified(run: Path, authority: Path, tmp_path: Path) -> None:
    token = stamp(run, authority, tmp_path / "answer.tsr")
    roots = read_roots(authority / "trust")
    attached = attach_token(run, token, roots=roots)
    assert attached.authority_proven
    report = verify_run(run, roots=roots)
    assert report.intact, report.findings
    assert report.time_stamp == attached
    bare = verify_run(run)
    assert bare.intact
    assert any("time not proven" in note for note in bare.notes)
    with pytest.raises(UsageProblem, match="already"):
        attach_token(run, token, roots=roots)


def test_openssl_agrees_with_the_request(run: Path, authority: Path, tmp_path: Path) -> None:
    token = stamp(run, authority, tmp_path / "answer.tsr")
    verify = ("ts", "-verify", "-data", run / "attestation.dsse.json", "-in", token, "-CAfile", authority / "root.crt")
    _openssl(*verify)


def test_a_token_of_another_authority_is_refused(run: Path, authority: Path, rival: Path, tmp_path: Path) -> None:
    token = stamp(run, rival, tmp_path / "answer.tsr")
    with pytest.raises(IntegrityProblem, match="does not verify"):
        attach_token(run, token, roots=read_roots(authority / "trust"))
    assert not (run / "attestation.tsr").exists()


def test_a_token_for_another_record_is_refused(run: Path, authority: Path, tmp_path: Path) -> None:
    token = stamp(run, authority, tmp_path / "answer.tsr")
    (run / "attestation.dsse.json").write_bytes((run / "attestation.dsse.json").read_bytes() + b" ")
    with pytest.raises(IntegrityProblem, match="something else"):
        attach_token(run, token, roots=[])


def test_a_harmed_token_is_named(run: Path, authority: Path, tmp_path: Path) -> None:
    roots = read_roots(authority / "trust")
    attach_token(run, stamp(run, authority, tmp_path / "answer.tsr"), roots=roots)
    for name in ("attestation.tsr", "attestation.tsr.sha256"):
        whole = (run / name).read_bytes()
        harmed = [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), 29)]
        for data in (*harmed, b"", whole[:-1], whole + b"\0"):
            (run / name).write_bytes(data)
            assert name in [f.file for f in verify_run(run, roots=roots).findings]
        (run / name).unlink()
        assert name in [f.file for f in verify_run(run, roots=roots).findings]
        (run / name).write_bytes(whole)
    assert verify_run(run, roots=roots).intact


def test_the_signature_of_a_token_covers_what_matters(run: Path, authority: Path, tmp_path: Path) -> None:
    token = stamp(run, authority, tmp_path / "answer.tsr").read_bytes()
    envelope = (run / "attestation.dsse.json").read_bytes()
    roots = read_roots(authority / "trust")
    sound = verify_token(token, envelope=envelope, roots=roots)
    uncovered = 0
    for position in range(len(token)):
        harmed = token[:position] + bytes([token[position] ^ 1]) + token[position + 1 :]
        try:
            assert verify_token(harmed, envelope=envelope, roots=roots) == sound
            uncovered += 1  # two version numbers and the name of the signature algorithm, see RFC 5652 section 5.4
        except IntegrityProblem:
            continue
    assert uncovered <= 10


def test_an_unsigned_run_cannot_be_stamped(run: Path, tmp_path: Path) -> None:
    (run / "attestation.dsse.json").unlink()
    with pytest.raises(UsageProblem, match="not signed"):
        write_request(run, tmp_path / "request.tsq")
