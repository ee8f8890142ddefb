"""Offline verification of a closed run: structure, manifest, events, signature, approvals, form of the files.

Nothing here reaches the network or loads a model. Re-computing the estimates from the stored measurements is
``validation.study.reproduce``; the verb ``verify`` calls both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from validation.digest import sha256_file
from validation.errors import IntegrityProblem
from validation.evidence.approvals import Approval, read_approvals
from validation.evidence.attestation import SIGNER_FILE, describe_run
from validation.evidence.events import EVENTS_FILE, read_events
from validation.evidence.keys import PublicKey
from validation.evidence.manifest import (
    ATTESTATION_FILE,
    MANIFEST_FILE,
    TIMESTAMP_CHECKSUM_FILE,
    TIMESTAMP_FILE,
    compare_files,
    list_files,
    read_manifest,
)
from validation.evidence.results import RESULTS_FILE, RUN_FILE, read_results
from validation.evidence.statement import RUN_PREDICATE, check_signature, peek, subject_digest
from validation.evidence.timestamp import TimeStamp, checksum_agrees, verify_token

UNSIGNED = "EVD-028"
_REQUIRED = (RESULTS_FILE, RUN_FILE, EVENTS_FILE)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: the file, what, and the code that ``validation explain`` knows."""

    file: str
    what: str
    code: str


@dataclass(slots=True)
class Verification:
    """What a verification found.

    Parameters
    ----------
    findings
        Everything that is wrong; empty when the evidence is intact.
    notes
        What a reader must know though nothing is wrong, such as an identity that was not proven.
    run, draft, proposal
        As the results say; empty when they cannot be read.
    n_files, n_events
        Files whose hashes agreed and events whose links agreed.
    signed_by, signed_at
        Key id (and name in the trust folder) and time of the run's signature; empty when unsigned.
    identity_proven
        Whether the signing key of the run lies in the trust folder.
    approvals
        The approvals whose signatures verified.
    time_stamp
        The RFC 3161 token, when there is one and it verified.
    recomputed
        Whether the caller computed the estimates again from the measurements (the verb ``verify`` does).
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    run: str = ""
    draft: bool = False
    proposal: dict[str, Any] = field(default_factory=dict)
    n_files: int = 0
    n_events: int = 0
    signed_by: str = ""
    signer_name: str = ""
    signed_at: str = ""
    identity_proven: bool = False
    approvals: list[Approval] = field(default_factory=list)
    time_stamp: TimeStamp | None = None
    recomputed: bool = False

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def add(self, problem: IntegrityProblem, file: str = "") -> None:
        """Record a problem under the file it names."""
        self.findings.append(Finding(file or problem.where, problem.what, problem.code))


def verify_run(
    run_folder: Path,
    *,
    trust: dict[str, PublicKey] | None = None,
    roots: list[bytes] | None = None,
    allow_unsigned: bool = False,
) -> Verification:
    """Verify everything about a closed run that needs no re-computation.

    Parameters
    ----------
    run_folder
        The folder of the run.
    trust
        Trusted keys by id, from :func:`validation.evidence.keys.read_trust`. With it, every signature must be by one of
        them. Without it a signature shows that nothing changed since someone signed, not who signed; this is noted.
    roots
        PEM root certificates of trusted time-stamp authorities.
    allow_unsigned
        Accept a run that was closed without a key.

    Returns
    -------
    Verification
        Every finding with its file; it never stops at the first.
    """
    report = Verification()
    try:
        present = list_files(run_folder)
    except IntegrityProblem as problem:
        report.add(problem)
        return report
    for name in _REQUIRED:
        if name not in present:
            report.findings.append(Finding(name, "missing: no run is complete without it", "EVD-025"))
    changed = _check_files(run_folder, report)
    manifest_sha256 = sha256_file(run_folder / MANIFEST_FILE) if MANIFEST_FILE in present else ""
    _check_events(run_folder, report)
    results = _check_results(run_folder, report)
    _check_signature(run_folder, report, results, manifest_sha256, changed, trust, allow_unsigned)
    _check_approvals(run_folder, report, manifest_sha256, trust)
    if {TIMESTAMP_FILE, TIMESTAMP_CHECKSUM_FILE} & set(present):
        _check_time_stamp(run_folder, report, roots or [])
    _check_readable(run_folder, present, report)
    return report


def _check_files(run_folder: Path, report: Verification) -> set[str]:
    try:
        manifest = read_manifest(run_folder)
    except IntegrityProblem as problem:
        report.add(problem, MANIFEST_FILE)
        return {MANIFEST_FILE}
    wrong = compare_files(run_folder, manifest)
    report.findings.extend(Finding(name, what, "EVD-026") for name, what in wrong.items())
    report.n_files = len(manifest["files"]) - sum(not what.startswith("not part") for what in wrong.values())
    return set(wrong)


def _check_events(run_folder: Path, report: Verification) -> None:
    try:
        report.n_events = len(read_events(run_folder / EVENTS_FILE))
    except IntegrityProblem as problem:
        report.add(problem, EVENTS_FILE)


def _check_results(run_folder: Path, report: Verification) -> dict[str, Any]:
    try:
        results = read_results(run_folder)
        report.run = str(results["run"]["id"])
        report.draft = bool(results["run"]["draft"])
        report.proposal = dict(results.get("proposal") or {})
    except IntegrityProblem as problem:
        report.add(problem, RESULTS_FILE)
        return {}
    except (KeyError, TypeError, ValueError):
        report.findings.append(Finding(RESULTS_FILE, "it does not say which run it is of", "EVD-001"))
        return {}
    if report.draft:
        report.notes.append("DRAFT: this run is not evidence for a final decision")
    return results


def _check_signature(
    run_folder: Path,
    report: Verification,
    results: dict[str, Any],
    manifest_sha256: str,
    changed: set[str],
    trust: dict[str, PublicKey] | None,
    allow_unsigned: bool,
) -> None:
    path = run_folder / ATTESTATION_FILE
    if not path.is_file():
        if (run_folder / SIGNER_FILE).exists():
            report.findings.append(
                Finding(ATTESTATION_FILE, "missing: the run was signed, its signature is gone", "EVD-027")
            )
        elif allow_unsigned:
            report.notes.append("NOT SIGNED: anyone could have made or changed this run")
        else:
            report.findings.append(
                Finding(ATTESTATION_FILE, "NOT SIGNED: anyone could have made or changed this run", UNSIGNED)
            )
        return
    data = path.read_bytes()
    try:
        statement, key_id = peek(data, where=ATTESTATION_FILE, predicate_type=RUN_PREDICATE)
    except IntegrityProblem as problem:
        report.add(problem)
        return
    key = _signing_key(run_folder, report, key_id, changed, trust)
    if key is None:
        return
    try:
        check_signature(data, key, where=ATTESTATION_FILE)
    except IntegrityProblem as problem:
        report.add(problem)
        return
    predicate = statement["predicate"]
    report.signed_by, report.signer_name = key.key_id, key.name
    report.signed_at = str(predicate.get("signed_at", ""))
    report.identity_proven = trust is not None
    if subject_digest(statement) != manifest_sha256 and MANIFEST_FILE not in changed:
        report.findings.append(Finding(MANIFEST_FILE, "it is not the manifest that was signed", "EVD-029"))
        run = predicate.get("run")
        of = run.get("id") if isinstance(run, dict) else None
        if of != report.run:
            report.findings.append(Finding(ATTESTATION_FILE, f"it belongs to another run ({of})", "EVD-029"))
        return
    _check_predicate(run_folder, report, results, predicate)


def _signing_key(
    run_folder: Path, report: Verification, key_id: str, changed: set[str], trust: dict[str, PublicKey] | None
) -> PublicKey | None:
    """Return the key to check the run's signature with, or record why there is none."""
    path = run_folder / SIGNER_FILE
    own = None
    try:
        own = PublicKey.from_pem(path.read_bytes(), where=SIGNER_FILE)
    except FileNotFoundError:
        report.findings.append(Finding(SIGNER_FILE, "missing: the key of the signature is gone", "EVD-027"))
    except IntegrityProblem as problem:
        report.add(problem)
    if trust is not None:
        if key_id not in trust:
            what = f"signed by the key {key_id[:16]}…, which is not in the trust folder"
            report.findings.append(Finding(ATTESTATION_FILE, what, "EVD-042"))
            return None
        return trust[key_id]
    if own is None:
        return None
    if own.key_id != key_id:
        guilty = SIGNER_FILE if SIGNER_FILE in changed else ATTESTATION_FILE
        what = f"the signature names the key {key_id[:16]}…, the run holds {own.key_id[:16]}…"
        report.findings.append(Finding(guilty, what, "EVD-041"))
        return None
    report.notes.append(
        "identity not proven: the signature is checked with the key inside the run; give --trust FOLDER with public "
        "keys that you hold from the signers"
    )
    return own


def _check_predicate(
    run_folder: Path, report: Verification, results: dict[str, Any], predicate: dict[str, Any]
) -> None:
    """Compare what was signed about the run with what the files say now."""
    if not results:
        return
    try:
        now = describe_run(run_folder, results)
    except (IntegrityProblem, KeyError, TypeError, AttributeError):
        return  # already found above
    files = {"run": RUN_FILE, "protocol": RESULTS_FILE, "results": RESULTS_FILE, "proposal": RESULTS_FILE}
    for name, file in {**files, "events": EVENTS_FILE}.items():
        if predicate.get(name) != now[name]:
            what = f"what was signed about {name} is not what the file says"
            if not any(finding.file == file for finding in report.findings):
                report.findings.append(Finding(file, what, "EVD-029"))


def _check_approvals(
    run_folder: Path, report: Verification, manifest_sha256: str, trust: dict[str, PublicKey] | None
) -> None:
    approvals, problems = read_approvals(run_folder, manifest_sha256=manifest_sha256, trust=trust)
    report.approvals = approvals
    for problem in problems:
        report.add(problem)
    if report.draft and any(approval.decision == "accept" for approval in approvals):
        report.notes.append("an approval accepts a DRAFT run; it has no standing as a final decision")


def _check_time_stamp(run_folder: Path, report: Verification, roots: list[bytes]) -> None:
    if not checksum_agrees(run_folder):
        for name, other in ((TIMESTAMP_FILE, TIMESTAMP_CHECKSUM_FILE), (TIMESTAMP_CHECKSUM_FILE, TIMESTAMP_FILE)):
            report.findings.append(Finding(name, f"it and {other} do not agree: one of them was changed", "EVD-063"))
        return
    try:
        report.time_stamp = verify_token(
            (run_folder / TIMESTAMP_FILE).read_bytes(),
            envelope=(run_folder / ATTESTATION_FILE).read_bytes(),
            roots=roots,
        )
    except FileNotFoundError:
        return  # the missing attestation is already a finding
    except IntegrityProblem as problem:
        report.add(problem, TIMESTAMP_FILE)
        return
    if not report.time_stamp.authority_proven:
        report.notes.append(
            "time not proven: the token is for this signature, but no root certificate (*.tsa.pem) of its authority "
            "lies in the trust folder"
        )


def _check_readable(run_folder: Path, present: list[str], report: Verification) -> None:
    """Check that tables and JSON files open, whatever their hashes say."""
    for name in present:
        path = run_folder / name
        try:
            if name.endswith(".parquet"):
                import pyarrow.parquet

                pyarrow.parquet.read_metadata(path)
            elif name.endswith(".json"):
                json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as problem:
            if not any(finding.file == name for finding in report.findings):
                what = f"it cannot be read: {type(problem).__name__}"
                report.findings.append(Finding(name, what, "EVD-001"))
