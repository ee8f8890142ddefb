"""Sealing a cohort: a manifest of hashes of the case table and of every file that its cases touch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from validation.cohort.open import Cohort
from validation.digest import canonical_json, sha256_file, sha256_json, write_atomically
from validation.errors import IntegrityProblem

SCHEMA = "validation.manifest/1"
MAXIMUM_NAMED = 10


def seal(cohort: Cohort, path: Path, data: dict[str, Path] | None = None) -> dict[str, Any]:
    """Write the manifest of a cohort, and of the further data sets of its study by name, and return it.

    The manifest is RFC 8785 JSON: ``schema``, ``n_cases``, ``table`` (``{sha256, size}``), ``files``
    (``{path relative to the cohort folder: {sha256, size}}``), ``data`` (further data sets, if any) and
    ``digest``, the SHA-256 of the canonical form of
    everything else. Files are hashed as streams. Paths that leave the cohort folder cannot occur (see
    :mod:`validation.dicom.locators`).
    """
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "n_cases": cohort.n_listed,
        "table": _entry(cohort.table_path),
        "files": {name: _entry(cohort.folder / name) for name in _names(cohort)},
    }
    if data:
        manifest["data"] = {name: _entry(file) for name, file in data.items()}
    manifest["digest"] = sha256_json(manifest)
    write_atomically(path, canonical_json(manifest))
    return manifest


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest and check its own digest.

    Raises
    ------
    IntegrityProblem
        If it is missing, unreadable or was edited (COH-020).
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        body = {k: v for k, v in manifest.items() if k != "digest"}
        intact = manifest["schema"] == SCHEMA and manifest["digest"] == sha256_json(body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise IntegrityProblem(
            "the cohort manifest is missing, unreadable or was edited after sealing.",
            code="COH-020",
            where=str(path),
            why="It is the proof that the holdout was fixed before the model was run on it.",
            action="Restore the sealed manifest, or seal again and record the reason as a deviation.",
        )
    checked: dict[str, Any] = manifest
    return checked


def check_seal(cohort: Cohort, manifest: dict[str, Any], data: dict[str, Path] | None = None) -> None:
    """Compare every file with the manifest, those of further data sets included.

    Raises
    ------
    IntegrityProblem
        Naming the files that changed, are missing or are extra (COH-021).
    """
    changed, missing = _compare(cohort.folder, manifest["files"])
    if _differs(cohort.table_path, manifest["table"]):
        changed.insert(0, f"the case table {cohort.table_path.name}")
    extra = sorted(set(_names(cohort)) - set(manifest["files"])) if not missing else []
    sealed, files = manifest.get("data", {}), data or {}
    changed += [name for name in files if name in sealed and _differs(files[name], sealed[name])]
    missing += sorted(set(sealed) - set(files))
    extra += sorted(set(files) - set(sealed))
    _raise_if_any(changed, missing, extra, where=str(cohort.folder))


def check_files(folder: Path, table: Path, manifest: dict[str, Any]) -> None:
    """As :func:`check_seal` for changed and missing files, without opening the cohort first (no image is parsed)."""
    changed, missing = _compare(folder, manifest["files"])
    if not table.is_file():
        missing.insert(0, f"the case table {table.name}")
    elif _differs(table, manifest["table"]):
        changed.insert(0, f"the case table {table.name}")
    _raise_if_any(changed, missing, [], where=str(folder))


def _compare(folder: Path, files: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    missing = [name for name in files if not (folder / name).is_file()]
    gone = set(missing)
    changed = [name for name, entry in files.items() if name not in gone and _differs(folder / name, entry)]
    return changed, missing


def _raise_if_any(changed: list[str], missing: list[str], extra: list[str], where: str) -> None:
    parts = [
        f"{len(names)} {word}: {', '.join(names[:MAXIMUM_NAMED])}" + (" ..." if len(names) > MAXIMUM_NAMED else "")
        for word, names in (("changed", changed), ("missing", missing), ("extra", extra))
        if names
    ]
    if parts:
        raise IntegrityProblem(
            f"the cohort differs from its seal ({'; '.join(parts)}).",
            code="COH-021",
            where=where,
            why="Results on a changed holdout are not results on the sealed one.",
            action="Restore the files, or seal again and record the reason as a deviation.",
        )


def _names(cohort: Cohort) -> list[str]:
    return sorted({p.relative_to(cohort.folder).as_posix() for c in cohort.cases.index for p in cohort.files(c)})


def _entry(path: Path) -> dict[str, Any]:
    return {"sha256": sha256_file(path), "size": path.stat().st_size}


def _differs(path: Path, entry: dict[str, Any]) -> bool:
    return bool(path.stat().st_size != entry["size"] or sha256_file(path) != entry["sha256"])
