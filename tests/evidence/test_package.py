"""Packages: deterministic, verifiable, and refused when they are unsafe; the auditor's script works alone."""

from __future__ import annotations

import ast
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.evidence.conftest import make_run
from validation.errors import IntegrityProblem, UsageProblem
from validation.evidence import package, verify_offline
from validation.evidence.approvals import approve
from validation.evidence.attestation import close
from validation.evidence.keys import load_signer
from validation.evidence.package import open_run, write_package
from validation.evidence.verify import verify_run

SCRIPT = Path(verify_offline.__file__)


def _audit(script: Path, *arguments: object) -> tuple[int, str]:
    """Run the auditor's script by itself: isolated, in an empty folder."""
    command = [sys.executable, "-I", "-X", "importtime", str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=script.parent, timeout=60)
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "import time" in line}
    assert "cryptography" in imported
    assert not imported & {"validation", "securesystemslib", "rfc8785", "numpy"}
    return done.returncode, done.stdout


def test_a_package_is_deterministic_and_verifies(run: Path, trust: Path, tmp_path: Path) -> None:
    one = write_package(run, tmp_path / "one.zip")
    shutil.copytree(run, tmp_path / "copy" / run.name)
    assert write_package(tmp_path / "copy" / run.name, tmp_path / "two.zip") == one
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with open_run(tmp_path / "one.zip") as opened:
        assert opened.notes == []
        assert verify_run(opened.run_folder).intact
        unpacked = opened.run_folder
    assert not unpacked.exists()


def test_a_package_is_written_once_and_not_into_the_run(run: Path, tmp_path: Path) -> None:
    write_package(run, tmp_path / "one.zip")
    for target in (tmp_path / "one.zip", run / "two.zip"):
        with pytest.raises(UsageProblem) as refusal:
            write_package(run, target)
        assert refusal.value.code == "EVD-071"


def test_a_draft_is_packaged_only_as_a_draft(tmp_path: Path, keys: Path) -> None:
    run = make_run(tmp_path / "run", draft=True)
    close(run, load_signer(str(keys / "runner.pem")))
    with pytest.raises(UsageProblem, match="DRAFT"):
        write_package(run, tmp_path / "final.zip")
    write_package(run, tmp_path / "draft.zip", draft=True)
    with zipfile.ZipFile(tmp_path / "draft.zip") as archive:
        assert archive.read("README.txt").startswith(b"DRAFT")
    with pytest.raises(UsageProblem, match="cannot be accepted"):
        approve(run, load_signer(str(keys / "reviewer.pem")), name="A", role="r", meaning="m", decision="accept")
    approve(run, load_signer(str(keys / "reviewer.pem")), name="A", role="r", meaning="m", decision="reject")


def test_an_unsigned_or_harmed_run_is_not_packaged(tmp_path: Path, run: Path) -> None:
    unsigned = make_run(tmp_path / "unsigned")
    close(unsigned)
    with pytest.raises(IntegrityProblem, match="NOT SIGNED"):
        write_package(unsigned, tmp_path / "x.zip")
    (run / "cases.parquet").write_bytes(b"")
    with pytest.raises(IntegrityProblem, match=r"cases\.parquet"):
        write_package(run, tmp_path / "x.zip", draft=True)
    assert not (tmp_path / "x.zip").exists()


def _repack(source: Path, target: Path, **changes: bytes | None) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            if member.filename not in changes:
                new.writestr(member, old.read(member))
        for name, data in changes.items():
            if data is not None:
                new.writestr(name, data)
    return target


def test_unsafe_archives_are_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = tmp_path / "sound.zip"
    write_package(run, sound)
    outside = tmp_path / "outside.txt"
    for name in ("../outside.txt", "/outside.txt", f"{run.name}/../../outside.txt", "..\\outside.txt", "a/./b"):
        bad = _repack(sound, tmp_path / "bad.zip", **{name: b"x"})
        with pytest.raises(IntegrityProblem), open_run(bad):
            pass
        assert not outside.exists()
    for name in ("other.txt", "__MACOSX/x"):
        bad = _repack(sound, tmp_path / "bad.zip", **{name: b"x"})
        with pytest.raises(IntegrityProblem, match="not part of a package"), open_run(bad):
            pass
    link = zipfile.ZipInfo(f"{run.name}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    bad = _repack(sound, tmp_path / "bad.zip")
    with zipfile.ZipFile(bad, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(IntegrityProblem, match="link"), open_run(bad):
        pass
    bad = _repack(sound, tmp_path / "bad.zip")
    with zipfile.ZipFile(bad, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(f"{run.name}/results.json", b"{}")
    with pytest.raises(IntegrityProblem, match="twice"), open_run(bad):
        pass
    monkeypatch.setattr(package, "_ALWAYS_ALLOWED", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run/manifest.json", b"0" * 10_000_000)
    with pytest.raises(IntegrityProblem, match="bomb"), open_run(tmp_path / "bomb.zip"):
        pass


def test_damage_to_an_archive_is_found(run: Path, tmp_path: Path) -> None:
    sound = tmp_path / "sound.zip"
    write_package(run, sound)
    whole = sound.read_bytes()
    bad = tmp_path / "bad.zip"
    silent = 0
    for position in range(40, len(whole), max(1, len(whole) // 60)):
        harmed = bytearray(whole)
        harmed[position] ^= 0x10
        bad.write_bytes(harmed)
        try:
            with open_run(bad) as opened:
                silent += verify_run(opened.run_folder).intact and not opened.notes
        except (IntegrityProblem, UsageProblem):
            continue
    assert silent <= 20  # dates, attributes and duplicated header fields of the zip, and the README: not evidence
    bad.write_bytes(b"PK no archive")
    with pytest.raises(UsageProblem, match="neither"), open_run(bad):
        pass


def test_a_changed_script_is_pointed_out(run: Path, tmp_path: Path) -> None:
    sound = tmp_path / "sound.zip"
    write_package(run, sound)
    bad = _repack(sound, tmp_path / "bad.zip", **{"verify.py": b"print('INTACT')"})
    with open_run(bad) as opened:
        assert "do not run it" in opened.notes[0]


def test_the_script_imports_the_standard_library_and_cryptography_only() -> None:
    tree = ast.parse(SCRIPT.read_text())
    names = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"cryptography"}


def test_the_script_accepts_an_intact_package(run: Path, trust: Path, tmp_path: Path) -> None:
    write_package(run, tmp_path / "one.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(tmp_path / "audit")
    script = tmp_path / "audit" / "verify.py"
    code, output = _audit(script)
    assert code == 0, output
    assert "identity not proven" in output
    assert "A. Reviewer, reviewer: I reviewed the results accept" in output
    code, output = _audit(script, "--trust", trust)
    assert code == 0, output
    assert "identity not proven" not in output


FILES = [
    "attestation.dsse.json",
    "cases.parquet",
    "events.jsonl",
    "manifest.json",
    "results.json",
    "run.json",
    "signer.pub.pem",
    "approvals",
]


@pytest.mark.parametrize("name", FILES)
def test_the_script_names_what_was_changed(run: Path, name: str) -> None:
    path = next((run / name).iterdir()) if name == "approvals" else run / name
    whole = path.read_bytes()
    for position in (0, len(whole) // 3, len(whole) // 2, len(whole) - 2):
        harmed = bytearray(whole)
        harmed[position] ^= 0x04
        path.write_bytes(harmed)
        wrong = {found for found, _ in verify_offline.verify(run, {})}
        expected = path.relative_to(run).as_posix()
        assert expected in wrong, (position, wrong)
    if name != "approvals":  # one approval can be taken away unseen; with two, the later one tells
        path.unlink()
        assert name in {found for found, _ in verify_offline.verify(run, {})}


def test_the_script_ends_with_4_and_names_the_file(run: Path, tmp_path: Path, keys: Path) -> None:
    script = shutil.copy(SCRIPT, tmp_path / "verify.py")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    shutil.copy(keys / "stranger.pub.pem", stranger)
    code, output = _audit(script, run, "--trust", stranger)
    assert code == 4
    assert "not in the trust folder" in output
    (run / "extra.txt").write_text("x")
    code, output = _audit(script, run)
    assert code == 4
    assert "WRONG     extra.txt: not part of the run" in output


def test_the_script_checks_ecdsa_too(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    path = tmp_path / "ec.pem"
    path.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    run = make_run(tmp_path / "run")
    close(run, load_signer(str(path)))
    assert verify_run(run).intact
    assert verify_offline.verify(run, {}) == []
