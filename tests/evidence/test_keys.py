"""Keys: files with the right mode, ids that openssl agrees with, clear refusals."""

from __future__ import annotations

import hashlib
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from validation.errors import IntegrityProblem, UsageProblem
from validation.evidence.keys import PublicKey, generate_key, load_signer, public_half, read_trust


def test_generated_key_files(tmp_path: Path) -> None:
    private, public, key = generate_key("qa-lead", tmp_path)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert public_half(load_signer(str(private))).key_id == key.key_id
    assert PublicKey.from_pem(public.read_bytes(), where="x").key_id == key.key_id
    with pytest.raises(UsageProblem, match="already a key"):
        generate_key("qa-lead", tmp_path)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is the oracle here")
def test_key_id_is_what_openssl_says(tmp_path: Path) -> None:
    _, public, key = generate_key("k", tmp_path)
    command = ["openssl", "pkey", "-pubin", "-in", str(public), "-outform", "DER"]
    der = subprocess.run(command, capture_output=True, check=True).stdout
    assert hashlib.sha256(der).hexdigest() == key.key_id


@pytest.mark.parametrize("name", ["../k", "", "a/b", ".hidden", "x" * 65, "a b"])
def test_names_that_are_not_plain_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageProblem):
        generate_key(name, tmp_path / "keys")
    assert not (tmp_path / "keys").exists()


def test_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, _, key = generate_key("k", tmp_path, passphrase="correct horse")  # noqa: S106
    assert b"ENCRYPTED" in private.read_bytes()
    monkeypatch.delenv("VALIDATION_KEY_PASSPHRASE", raising=False)
    with pytest.raises(UsageProblem, match="none was given") as refusal:
        load_signer(str(private))
    assert refusal.value.code == "EVD-033"
    with pytest.raises(UsageProblem, match="does not open"):
        load_signer(str(private), secret=lambda wanted: "wrong")
    monkeypatch.setenv("VALIDATION_KEY_PASSPHRASE", "correct horse")
    assert public_half(load_signer(str(private))).key_id == key.key_id


def test_key_uri_with_a_file(tmp_path: Path) -> None:
    private, public, key = generate_key("k", tmp_path)
    signer = load_signer(f"file2:{private}", public_key=public)
    assert public_half(signer).key_id == key.key_id
    with pytest.raises(UsageProblem, match="public half"):
        load_signer(f"file2:{private}")
    _, other, _ = generate_key("other", tmp_path)
    with pytest.raises(UsageProblem, match="does not match"):
        load_signer(f"file2:{private}", public_key=other)


def test_an_absent_module_is_one_clear_refusal(tmp_path: Path) -> None:
    _, public, _ = generate_key("k", tmp_path)
    with pytest.raises(UsageProblem) as refusal:
        load_signer("hsm:2", public_key=public, secret=lambda wanted: "1234")
    assert refusal.value.code == "EVD-032"


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_ecdsa_keys_sign_too(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)
    path = tmp_path / "ec.pem"
    path.write_bytes(private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    public = public_half(load_signer(str(path)))
    assert PublicKey.from_pem(public.pem.encode(), where="x").key_id == public.key_id


def test_what_is_not_a_key_is_refused(tmp_path: Path) -> None:
    private = rsa.generate_private_key(65537, 2048)
    pem = private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    for data in (b"", b"no key", pem):
        with pytest.raises(IntegrityProblem):
            PublicKey.from_pem(data, where="signer.pub.pem")
    (tmp_path / "no.pem").write_text("no key")
    for key in ("no.pem", "absent.pem"):
        with pytest.raises(UsageProblem) as refusal:
            load_signer(str(tmp_path / key))
        assert refusal.value.code == "EVD-032"


def test_every_byte_of_a_public_key_counts(tmp_path: Path) -> None:
    _, public, key = generate_key("k", tmp_path)
    whole = public.read_bytes()
    for position in range(len(whole)):
        for mask in (0x01, 0x02, 0x20, 0x80):
            harmed = bytearray(whole)
            harmed[position] ^= mask
            try:
                assert PublicKey.from_pem(bytes(harmed), where="x").key_id != key.key_id
            except IntegrityProblem:
                continue


def test_an_empty_trust_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no public key"):
        read_trust(tmp_path)
    generate_key("alice", tmp_path)
    assert [key.name for key in read_trust(tmp_path).values()] == ["alice"]
