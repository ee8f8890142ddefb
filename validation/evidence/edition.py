"""Editions: the documents of a closed run rendered again, with what persons wrote since, as a record of their own.

The run stays what was signed. An edition is a folder beside it (``STUDY/editions/<run>/<UTC>_<hex>/``) with the
narrative blocks it shows, the documents, and ``edition.json``, which names the run by the digest of its manifest. It
has a manifest and a signature of its own, and persons approve it like a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.digest import canonical_json, sha256_file, write_atomically
from validation.errors import IntegrityProblem
from validation.evidence.approvals import Approval, read_approvals
from validation.evidence.events import utc_now
from validation.evidence.keys import PublicKey, public_half
from validation.evidence.manifest import (
    ATTESTATION_FILE,
    MANIFEST_FILE,
    compare_files,
    read_manifest,
    write_manifest,
)
from validation.evidence.results import parse_canonical
from validation.evidence.statement import check_signature, make_statement, peek, seal, subject_digest

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

EDITION_FILE = "edition.json"
EDITIONS_FOLDER = "editions"
SCHEMA = "validation.edition/1"
PREDICATE = "pkg:pypi/genmed-validation#edition-v1"
_SIGNER_FILE = "signer.pub.pem"


@dataclass(frozen=True, slots=True)
class Checked:
    """What checking an edition found: ``(file, what, code)`` of everything that is wrong, key and approvals."""

    wrong: list[tuple[str, str, str]]
    key_id: str
    approvals: list[Approval]


def editions_of(run_folder: Path) -> list[Path]:
    """Return the closed editions of a run, the oldest first."""
    folder = run_folder.resolve().parent.parent / EDITIONS_FOLDER / run_folder.resolve().name
    return sorted(p.parent for p in folder.glob(f"*/{MANIFEST_FILE}"))


def write_edition(folder: Path, record: dict[str, Any]) -> None:
    """Write ``edition.json``."""
    write_atomically(folder / EDITION_FILE, canonical_json({"schema": SCHEMA, **record}))


def read_edition(folder: Path) -> dict[str, Any]:
    """Read ``edition.json``.

    Raises
    ------
    IntegrityProblem
        EVD-090 if it is not there, or is not the record of an edition.
    """
    try:
        record: dict[str, Any] = parse_canonical((folder / EDITION_FILE).read_bytes(), where=EDITION_FILE)
        sound = record.get("schema") == SCHEMA and {"id", "run", "draft", "run_manifest_sha256"} <= record.keys()
    except (OSError, IntegrityProblem, AttributeError):
        sound, record = False, {}
    if not sound:
        raise IntegrityProblem(
            "this is not the folder of an edition.",
            code="EVD-090",
            where=str(folder),
            why="An edition says in edition.json which run its documents are of.",
            action="Name a folder below editions/, as `validation render` printed it.",
        )
    return record


def close_edition(folder: Path, key: Signer | None) -> str:
    """Write the manifest of an edition and, with a key, the signature over it; return the manifest's digest."""
    record = read_edition(folder)
    public = public_half(key) if key is not None else None
    if public is not None:
        write_atomically(folder / _SIGNER_FILE, public.pem.encode())
    digest = write_manifest(folder, run_id=str(record["id"]))
    if key is not None and public is not None:
        predicate = {"edition": record, "signed_at": utc_now(), "signer": public.key_id}
        write_atomically(
            folder / ATTESTATION_FILE, seal(make_statement(PREDICATE, predicate, manifest_sha256=digest), key)
        )
    return digest


def check_edition(folder: Path, run_folder: Path, *, trust: dict[str, PublicKey] | None = None) -> Checked:
    """Check that an edition is what was closed and signed, and that it is of this very run."""
    wrong: list[tuple[str, str, str]] = []
    key_id = ""
    approvals: list[Approval] = []
    try:
        record = read_edition(folder)
        wrong += [(name, what, "EVD-026") for name, what in compare_files(folder, read_manifest(folder)).items()]
        manifest = sha256_file(folder / MANIFEST_FILE)
        if record["run_manifest_sha256"] != sha256_file(run_folder / MANIFEST_FILE):
            wrong.append((EDITION_FILE, "it is of another run, or the run was changed", "EVD-091"))
        if (folder / ATTESTATION_FILE).is_file():
            key_id = _signature(folder, record, manifest, trust)
        approvals, problems = read_approvals(folder, manifest_sha256=manifest, trust=trust)
        wrong += [(p.where, p.what, p.code) for p in problems]
    except IntegrityProblem as problem:
        wrong.append((problem.where, problem.what, problem.code))
    except FileNotFoundError as problem:
        wrong.append((Path(str(problem.filename)).name, "missing", "EVD-026"))
    return Checked(wrong, key_id, approvals)


def _signature(folder: Path, record: dict[str, Any], manifest: str, trust: dict[str, PublicKey] | None) -> str:
    data = (folder / ATTESTATION_FILE).read_bytes()
    statement, key_id = peek(data, where=ATTESTATION_FILE, predicate_type=PREDICATE)
    own = PublicKey.from_pem((folder / _SIGNER_FILE).read_bytes(), where=_SIGNER_FILE)
    if trust is not None and key_id not in trust:
        what = f"signed by the key {key_id[:16]}…, which is not in the trust folder"
        raise IntegrityProblem(what, code="EVD-042", where=ATTESTATION_FILE)
    check_signature(data, trust[key_id] if trust is not None else own, where=ATTESTATION_FILE)
    if subject_digest(statement) != manifest or statement["predicate"].get("edition") != record:
        raise IntegrityProblem("it is not the edition that was signed", code="EVD-029", where=ATTESTATION_FILE)
    return key_id
