from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.cohort.test_open import opened, write_table
from tests.dicom.making import write_series
from validation.cohort.open import Cohort
from validation.cohort.seal import check_files, check_seal, read_manifest, seal
from validation.digest import canonical_json, sha256_json
from validation.errors import IntegrityProblem


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    for name in ("a", "b"):
        write_series(tmp_path / "images" / name, n=2)
    write_table(tmp_path, "case_id,patient_id,input\na,p1,a\nb,p2,b\n")
    return opened(tmp_path)


def test_manifest_names_every_file_and_is_canonical(cohort: Cohort, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest = seal(cohort, path)
    assert sorted(manifest["files"]) == ["a/001.dcm", "a/002.dcm", "b/001.dcm", "b/002.dcm"]
    data = (cohort.folder / "a" / "001.dcm").read_bytes()
    assert manifest["files"]["a/001.dcm"] == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert path.read_bytes() == canonical_json(manifest)
    assert manifest["digest"] == sha256_json({k: v for k, v in manifest.items() if k != "digest"})
    assert read_manifest(path) == manifest
    check_seal(cohort, manifest)
    check_files(cohort.folder, cohort.table_path, manifest)
    again = tmp_path / "again.json"
    seal(cohort, again)
    assert again.read_bytes() == path.read_bytes()


def _named(cohort: Cohort, manifest: dict[str, object]) -> str:
    with pytest.raises(IntegrityProblem) as caught:
        check_seal(cohort, manifest)
    assert caught.value.code == "COH-021"
    return caught.value.what


def test_one_changed_bit_is_named(cohort: Cohort, tmp_path: Path) -> None:
    manifest = seal(cohort, tmp_path / "m.json")
    path = cohort.folder / "b" / "002.dcm"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert _named(cohort, manifest) == "the cohort differs from its seal (1 changed: b/002.dcm)."


def test_missing_extra_and_table_are_named(cohort: Cohort, tmp_path: Path) -> None:
    manifest = seal(cohort, tmp_path / "m.json")
    write_series(cohort.folder / "a" / "more", n=1, series=None)
    extra = cohort.folder / "b" / "003.dcm"
    extra.write_bytes((cohort.folder / "b" / "001.dcm").read_bytes())
    (cohort.folder / "a" / "more" / "001.dcm").unlink()
    assert _named(cohort, manifest) == "the cohort differs from its seal (1 extra: b/003.dcm)."
    extra.unlink()
    (cohort.folder / "a" / "001.dcm").unlink()
    write_table(tmp_path, "case_id,patient_id,input\na,p1,a\nb,p3,b\n")
    what = _named(cohort, manifest)
    assert "1 changed: the case table cases.csv" in what
    assert "1 missing: a/001.dcm" in what
    with pytest.raises(IntegrityProblem):
        check_files(cohort.folder, cohort.table_path, manifest)


def test_an_edited_manifest_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    seal(cohort, path)
    manifest = json.loads(path.read_text())
    del manifest["files"]["a/001.dcm"]
    edits = (json.dumps(manifest).encode(), b"", b"[]", b"\xff", path.read_bytes()[:-3])
    for data in edits:
        path.write_bytes(data)
        with pytest.raises(IntegrityProblem) as caught:
            read_manifest(path)
        assert caught.value.code == "COH-020"
