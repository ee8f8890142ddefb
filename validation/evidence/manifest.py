"""``manifest.json``: name, size and SHA-256 of every file of a run.

Everything in the folder is listed except the manifest itself, what is made over it (attestation, time-stamp token)
and ``approvals/``, which grows later. The manifest carries the digest of its own list, so that a changed manifest and a
changed file are told apart even without a signature.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from validation.digest import canonical_json, sha256_bytes, sha256_file, sha256_json, write_atomically
from validation.errors import IntegrityProblem
from validation.evidence.results import parse_canonical

MANIFEST_FILE = "manifest.json"
ATTESTATION_FILE = "attestation.dsse.json"
TIMESTAMP_FILE = "attestation.tsr"
TIMESTAMP_CHECKSUM_FILE = "attestation.tsr.sha256"
APPROVALS_FOLDER = "approvals"
SCHEMA = "validation.manifest/1"
_NOT_LISTED = {MANIFEST_FILE, ATTESTATION_FILE, TIMESTAMP_FILE, TIMESTAMP_CHECKSUM_FILE}


def write_manifest(run_folder: Path, *, run_id: str) -> str:
    """List every file of the run and return the SHA-256 of the manifest.

    Raises
    ------
    IntegrityProblem
        EVD-020 if the folder holds a symbolic link, a device, a pipe or a name that cannot travel.
    """
    data = canonical_json(_document(list(describe_files(run_folder)), run_id))
    write_atomically(run_folder / MANIFEST_FILE, data)
    return sha256_bytes(data)


def describe_files(run_folder: Path) -> Iterator[dict[str, Any]]:
    """Iterate over ``{"name", "size", "sha256"}`` of the files that a manifest lists, sorted by name."""
    for name in list_files(run_folder):
        if not _is_listed(name):
            continue
        path = run_folder / name
        yield {"name": name, "size": path.stat().st_size, "sha256": sha256_file(path)}


def list_files(run_folder: Path) -> list[str]:
    """Return the relative POSIX names of all files below a folder, sorted; links and special files are refused.

    Raises
    ------
    IntegrityProblem
        EVD-020, naming what is refused.
    """
    names = []
    for folder, folders, files in os.walk(run_folder, followlinks=False, onerror=_unreadable):
        for entry in [*folders, *files]:
            path = Path(folder, entry)
            name = path.relative_to(run_folder).as_posix()
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise _refused(name, "it is a symbolic link or a special file")
            check_name(name)
            if stat.S_ISREG(mode):
                names.append(name)
    return sorted(names)


def check_name(name: str) -> None:
    """Refuse a name that leaves the folder or cannot travel between systems.

    >>> check_name("measurements/part-00000.parquet")
    >>> check_name("../keys/private.pem")
    Traceback (most recent call last):
    ...
    validation.errors.IntegrityProblem: [EVD-020] ../keys/private.pem: the name is refused: it leaves the folder. ...
    """
    parts = name.split("/")
    if name.startswith("/") or any(part in {"", ".", ".."} for part in parts) or PurePosixPath(name).is_absolute():
        raise _refused(name, "it leaves the folder")
    if "\\" in name or any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in name):
        raise _refused(name, "it holds a character that not every system can store")


def read_manifest(run_folder: Path) -> dict[str, Any]:
    """Read ``manifest.json`` and check its form and the digest of its own list.

    Raises
    ------
    IntegrityProblem
        EVD-021 if it is missing, EVD-022 if it was changed.
    """
    path = run_folder / MANIFEST_FILE
    if not path.is_file():
        raise IntegrityProblem(
            "there is no manifest: the run was not closed.",
            code="EVD-021",
            where=str(path),
            why="Without it nothing says which files belong to the run.",
            action="Finish the run with `validation resume`, or restore the folder from its package.",
        )
    try:
        record = parse_canonical(path.read_bytes(), where=MANIFEST_FILE)
        sound = record == _document(record["files"], record["run"])
        for entry in record["files"]:
            check_name(entry["name"])
            sound = sound and set(entry) == {"name", "size", "sha256"} and _is_listed(entry["name"])
        listed = [entry["name"] for entry in record["files"]]
        sound = sound and listed == sorted(set(listed))
    except (IntegrityProblem, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise IntegrityProblem(
            f"{MANIFEST_FILE} was changed after the run was closed.",
            code="EVD-022",
            where=MANIFEST_FILE,
            why="Its list does not agree with the digest it carries of itself.",
            action="Restore the file from the signed package.",
        )
    return record


def compare_files(run_folder: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with which file: missing, changed, or not part of the run; empty when all agree."""
    present = {name for name in list_files(run_folder) if _is_listed(name)}
    wrong: dict[str, str] = {}
    for entry in manifest["files"]:
        name = entry["name"]
        what = _compare(run_folder / name, entry) if name in present else "missing"
        if what:
            wrong[name] = what
    listed = {entry["name"] for entry in manifest["files"]}
    wrong.update({name: "not part of the run: it was added after the run was closed" for name in present - listed})
    return dict(sorted(wrong.items()))


def _compare(path: Path, entry: dict[str, Any]) -> str:
    try:
        size = path.stat().st_size
        if size != entry["size"]:
            return f"changed: {size} bytes instead of {entry['size']}"
        return "" if sha256_file(path) == entry["sha256"] else "changed: its SHA-256 is not the one in the manifest"
    except OSError as problem:
        return f"it cannot be read: {problem.strerror or type(problem).__name__}"


def _is_listed(name: str) -> bool:
    return name not in _NOT_LISTED and not name.startswith(f"{APPROVALS_FOLDER}/")


def _document(files: list[dict[str, Any]], run_id: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run": run_id,
        "files": files,
        "files_sha256": sha256_json({"run": run_id, "files": files}),
    }


def _refused(name: str, why: str) -> IntegrityProblem:
    shown = name.encode("utf-8", "backslashreplace").decode()
    return IntegrityProblem(
        f"the name is refused: {why}.",
        code="EVD-020",
        where="".join(c if c.isprintable() else "?" for c in shown),
        why="Evidence must unpack to the same plain files on every system, and never outside its folder.",
        action="Remove or rename it.",
    )


def _unreadable(problem: OSError) -> None:
    raise IntegrityProblem(
        f"it cannot be read: {problem.strerror or type(problem).__name__}.",
        code="EVD-001",
        where=str(problem.filename),
        why="What cannot be read cannot be verified.",
        action="Give the account that verifies the right to read the run.",
    ) from None
