"""Reading the runs that a change is compared with, after making sure that they are what was signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from validation.digest import sha256_file
from validation.errors import IntegrityProblem, ProtocolProblem, RunProblem, ValidationProblem
from validation.evidence.keys import PublicKey
from validation.evidence.manifest import MANIFEST_FILE
from validation.evidence.results import RESULTS_FILE, read_results
from validation.evidence.verify import UNSIGNED, verify_run
from validation.protocol import lock as locks
from validation.protocol.schema import Protocol
from validation.study.execute import LOCK_FILE
from validation.study.reproduce import reproduce
from validation.study.samples import read_cases, read_measurement_table

CRITERIA = ("endpoints", "population", "reference_standard", "execution", "multiplicity")


@dataclass(frozen=True)
class RunRecord:
    """A finished run, read whole.

    Parameters
    ----------
    folder, results, protocol, cases, measurements
        The run folder and what it holds.
    manifest_sha256
        Digest of the manifest, which stands for every file of the run; empty for a run that is not closed yet.
    signed_by
        Key id of the signature, empty if unsigned.
    """

    folder: Path
    results: dict[str, Any]
    protocol: Protocol
    cases: pd.DataFrame
    measurements: pd.DataFrame
    manifest_sha256: str
    signed_by: str = ""

    def link(self) -> dict[str, Any]:
        """Return what another record says about this run: enough to find it, and to see that it is the same."""
        return {
            "run": self.results["run"]["id"],
            "manifest_sha256": self.manifest_sha256,
            "results_sha256": sha256_file(self.folder / RESULTS_FILE),
            "signed_by": self.signed_by,
            "draft": bool(self.results["run"]["draft"]),
            "finished": self.results["run"]["finished"],
            "model": {key: self.results["model"].get(key) for key in ("name", "version", "sha256")},
            "protocol_digest": self.results["protocol"]["digest"],
            "proposal": self.results["proposal"]["outcome"],
            "n_clusters": self.results["cohort"]["n_clusters"],
        }


def read_run(folder: Path) -> RunRecord:
    """Read a judged run without verifying it: one that this process has just made."""
    manifest = folder / MANIFEST_FILE
    return RunRecord(
        folder=folder,
        results=read_results(folder),
        protocol=locks.read_lock(folder / LOCK_FILE).parsed(),
        cases=read_cases(folder),
        measurements=read_measurement_table(folder),
        manifest_sha256=sha256_file(manifest) if manifest.is_file() else "",
    )


def read_verified(
    folder: Path, *, trust: dict[str, PublicKey] | None = None, allow_unsigned: bool = False
) -> RunRecord:
    """Verify a run as ``validation verify`` does, estimates computed again included, and read it.

    Raises
    ------
    RunProblem
        CHG-002 if the folder is no run at all.
    IntegrityProblem
        CHG-003, naming the first file that is not what was signed (exit code 4).
    """
    if not (folder / RESULTS_FILE).is_file() and not (folder / MANIFEST_FILE).is_file():
        raise RunProblem(
            "this is not the folder of a finished run.",
            code="CHG-002",
            where=str(folder),
            why="A change is judged against the record of a run.",
            action="Give the folder of a run that was closed and signed (under runs/).",
        )
    report = verify_run(folder, trust=trust, allow_unsigned=allow_unsigned)
    findings = [f"{finding.file}: {finding.what}" for finding in report.findings]
    if not findings:
        try:
            findings = [f"{RESULTS_FILE}: {what}" for what in reproduce(folder)]
        except ValidationProblem as problem:
            findings = [f"{problem.where or RESULTS_FILE}: {problem.what}"]
    if findings:
        unsigned = all(finding.code == UNSIGNED for finding in report.findings) and bool(report.findings)
        raise IntegrityProblem(
            f"the run cannot serve as a baseline: {findings[0]}"
            + (f" ({len(findings) - 1} more)" if len(findings) > 1 else ""),
            code="CHG-003",
            where=folder.name,
            why="What a change is compared with must be exactly what was signed.",
            action="Sign it (`validation sign RUN --attest --key ...`), or give --allow-unsigned for a trial."
            if unsigned
            else "`validation verify` lists everything; restore the run from its package.",
        )
    record = read_run(folder)
    return RunRecord(**{**record.__dict__, "signed_by": report.signed_by})


def require_same_criteria(baseline: RunRecord, protocol: Protocol) -> None:
    """Refuse a baseline that was judged by other criteria than those now locked.

    Raises
    ------
    ProtocolProblem
        CHG-004, naming what differs.
    """
    before, now = locks.content(baseline.protocol), locks.content(protocol)
    differences = [c for part in CRITERIA for c in locks.changes(before[part], now[part], part)]
    if differences:
        raise ProtocolProblem(
            f"the baseline was judged by other criteria than those locked now: {differences[0]}"
            + (f" ({len(differences) - 1} more)" if len(differences) > 1 else ""),
            code="CHG-004",
            where=baseline.folder.name,
            why="Two runs can only be compared under the same endpoints, population and execution.",
            action="Make a baseline run under the protocol that is locked now.",
        )
