"""Approvals: further small signed statements over the manifest, by named people with a role and a meaning.

They carry what 21 CFR 11.50(a) asks of a signed record (printed name, date and time, meaning) and are linked to it by
its digest (11.70). This supports such a procedure; identity proofing and access control stay with the organisation.
Any number may be added in any order. Each lists the digests of the approvals that lay beside it when it was made, so
that an earlier one cannot be removed unseen once a later one exists.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from validation.digest import sha256_bytes, sha256_file, write_atomically
from validation.errors import IntegrityProblem, UsageProblem
from validation.evidence.events import utc_now
from validation.evidence.keys import PublicKey, public_half
from validation.evidence.manifest import APPROVALS_FOLDER, MANIFEST_FILE, compare_files, list_files, read_manifest
from validation.evidence.results import parse_canonical, read_results
from validation.evidence.statement import (
    APPROVAL_PREDICATE,
    check_signature,
    make_statement,
    peek,
    seal,
    subject_digest,
)

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

Decision = Literal["accept", "reject", ""]
_SUFFIX = ".dsse.json"
_LONGEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One signature by a person.

    Parameters
    ----------
    name, role, meaning
        Printed name, role, and what the signature means (review, approval, responsibility, authorship), as signed.
    decision
        ``accept`` or ``reject`` for a final decision, empty for a signature with another meaning.
    time
        UTC time of the signature.
    run, draft
        Run and its draft state when it was signed.
    key_id, key_name
        The key, and its name in the trust folder (empty without one).
    file
        Name of the file below ``approvals/``.
    """

    name: str
    role: str
    meaning: str
    decision: str
    time: str
    run: str
    draft: bool
    key_id: str
    key_name: str
    file: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


def approve(run_folder: Path, key: Signer, *, name: str, role: str, meaning: str, decision: Decision = "") -> Approval:
    """Sign the manifest of a closed run as a named person.

    Raises
    ------
    UsageProblem
        EVD-050 if name, role or meaning is empty, too long or holds control characters; EVD-051 if a DRAFT run would be
        accepted as final.
    IntegrityProblem
        EVD-021, EVD-022, EVD-026 if the run is not closed or a file of it was changed: nobody signs a broken record.
    """
    fields = {"name": name, "role": role, "meaning": meaning}
    for field, text in fields.items():
        _check_text(field, text)
    wrong = compare_files(run_folder, read_manifest(run_folder))
    if wrong:
        file, what = next(iter(wrong.items()))
        raise IntegrityProblem(
            f"{file}: {what}.",
            code="EVD-026",
            where=file,
            why="A signature over a record that is not what was closed would mislead.",
            action="Run `validation verify` and restore the run from its package.",
        )
    run = _subject(run_folder)
    if run["draft"] and decision == "accept":
        raise UsageProblem(
            "a DRAFT run cannot be accepted as final.",
            code="EVD-051",
            where="--decision accept",
            why="; ".join(run.get("draft_reasons") or ["it was not run under a locked protocol on the full cohort"]),
            action="Sign it without --decision (as a review), or make a final run.",
        )
    public = public_half(key)
    manifest_sha256 = sha256_file(run_folder / MANIFEST_FILE)
    predicate = {
        **fields,
        "decision": decision,
        "time": utc_now(),
        "run": run["id"],
        "draft": bool(run["draft"]),
        "key": {"id": public.key_id, "public": public.pem},
        "beside": sorted(sha256_file(path) for path in _files(run_folder)),
    }
    statement = make_statement(APPROVAL_PREDICATE, predicate, manifest_sha256=manifest_sha256)
    data = seal(statement, key)
    file = f"{predicate['time'].replace(':', '').replace('-', '')}_{sha256_bytes(data)[:16]}{_SUFFIX}"
    write_atomically(run_folder / APPROVALS_FOLDER / file, data)
    return _approval(predicate, public, file)


def read_approvals(
    run_folder: Path, *, manifest_sha256: str, trust: dict[str, PublicKey] | None = None
) -> tuple[list[Approval], list[IntegrityProblem]]:
    """Return the approvals that verify, by time, and a problem for each file that does not.

    Without ``trust`` a signature is checked with the key inside the statement, which proves that it was not changed,
    not who signed.
    """
    approvals: list[Approval] = []
    problems: list[IntegrityProblem] = []
    digests: set[str] = set()
    beside: dict[str, list[str]] = {}
    for path in _files(run_folder):
        where = f"{APPROVALS_FOLDER}/{path.relative_to(run_folder / APPROVALS_FOLDER).as_posix()}"
        try:
            data = path.read_bytes()
            approval, seen = _verify(data, path.name, where, manifest_sha256, trust)
        except IntegrityProblem as problem:
            problems.append(problem)
            continue
        digests.add(sha256_bytes(data))
        beside[where] = seen
        approvals.append(approval)
    for where, seen in beside.items():
        if not problems and set(seen) - digests:
            problems.append(
                _refused(APPROVALS_FOLDER, f"an approval is missing that lay there when {where} was signed", "EVD-054")
            )
    return sorted(approvals, key=lambda approval: (approval.time, approval.file)), problems


def _verify(
    data: bytes, file: str, where: str, manifest_sha256: str, trust: dict[str, PublicKey] | None
) -> tuple[Approval, list[str]]:
    if not file.endswith(f"_{sha256_bytes(data)[:16]}{_SUFFIX}"):
        raise _refused(where, "it is not an approval, or was changed or renamed", "EVD-052")
    statement, key_id = peek(data, where=where, predicate_type=APPROVAL_PREDICATE)
    predicate = statement["predicate"]
    try:
        inside = PublicKey.from_pem(predicate["key"]["public"].encode(), where=where)
        seen = [str(digest) for digest in predicate["beside"]]
        approval = _approval(predicate, inside, file)
        if not all(
            str(predicate[name]).isprintable() for name in ("name", "role", "meaning", "decision", "time", "run")
        ):
            raise ValueError("a text that is not printable")
    except (KeyError, TypeError, AttributeError, ValueError):
        raise _refused(where, "it does not say who signed what", "EVD-052") from None
    if trust is not None and key_id not in trust:
        raise _refused(where, f"signed by the key {key_id[:16]}…, which is not in the trust folder", "EVD-042")
    key = trust[key_id] if trust is not None else inside
    if inside.key_id != key_id:
        raise _refused(where, "the key inside is not the key of the signature", "EVD-052")
    check_signature(data, key, where=where)
    if subject_digest(statement) != manifest_sha256:
        raise _refused(where, f"it approves another record (run {approval.run})", "EVD-053")
    return _approval(predicate, key, file), seen


def _approval(predicate: dict[str, Any], key: PublicKey, file: str) -> Approval:
    texts = {name: str(predicate[name]) for name in ("name", "role", "meaning", "decision", "time", "run")}
    return Approval(**texts, draft=bool(predicate["draft"]), key_id=key.key_id, key_name=key.name, file=file)


def _subject(folder: Path) -> dict[str, Any]:
    """Return id and draft state of what is approved: a run, or an edition of its documents."""
    path = folder / "edition.json"
    if not path.is_file():
        run: dict[str, Any] = read_results(folder)["run"]
        return run
    record = parse_canonical(path.read_bytes(), where=path.name)
    return {"id": f"{record['run']}/{record['id']}", "draft": record["draft"], "draft_reasons": record["not_final"]}


def _files(run_folder: Path) -> list[Path]:
    folder = run_folder / APPROVALS_FOLDER
    return [folder / name for name in list_files(folder)] if folder.is_dir() else []


def _check_text(field: str, text: str) -> None:
    if text.strip() and len(text) <= _LONGEST and text.isprintable():
        return
    raise UsageProblem(
        f"the {field} must be 1 to {_LONGEST} printable characters.",
        code="EVD-050",
        where=f"--{field}",
        why="A signature shows who signed, in which role, and what it means.",
        action=f'Give it in words, such as --{field} "...".',
    )


def _refused(where: str, what: str, code: str) -> IntegrityProblem:
    return IntegrityProblem(
        what,
        code=code,
        where=where,
        why="Only signatures over this very record count.",
        action="Restore the folder approvals/ from the signed package.",
    )
