"""Closing a run: public key, index, manifest over every file, and the signed statement over the manifest."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.digest import sha256_file, write_atomically
from validation.errors import IntegrityProblem
from validation.evidence.events import EVENTS_FILE, read_events, repair_events, utc_now, verify_chain
from validation.evidence.keys import public_half
from validation.evidence.manifest import (
    APPROVALS_FOLDER,
    ATTESTATION_FILE,
    MANIFEST_FILE,
    compare_files,
    read_manifest,
    write_manifest,
)
from validation.evidence.results import RESULTS_FILE, read_results
from validation.evidence.rocrate import write_crate
from validation.evidence.statement import RUN_PREDICATE, make_statement, seal

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

SIGNER_FILE = "signer.pub.pem"
_TOOLS = ("genmed-validation", "cryptography", "numpy", "rfc8785", "securesystemslib", "torch")


@dataclass(frozen=True, slots=True)
class Closure:
    """What closing a run came to: digest of the manifest, head of the events, key id (empty: unsigned)."""

    manifest_sha256: str
    events_head: str
    key_id: str


def close(run_folder: Path, key: Signer | None = None) -> Closure:
    """Close a run: after this only ``approvals/`` and ``attestation.tsr`` may be added to the folder.

    Writes ``signer.pub.pem`` (when signed), ``ro-crate-metadata.json``, ``manifest.json`` and
    ``attestation.dsse.json``. A run may be closed without a key and signed later by calling this again with one: its
    files are then first compared with the manifest.

    Parameters
    ----------
    run_folder
        The folder of a finished run; ``results.json`` must be there.
    key
        A signer from :func:`validation.evidence.keys.load_signer`, or ``None`` for an unsigned run, which ``verify``
        reports as NOT SIGNED.

    Raises
    ------
    IntegrityProblem
        EVD-001 or EVD-002 for the results, EVD-010 for the events, EVD-020 for a link or a name, EVD-023 if the run was
        closed and signed or approved before, EVD-024 if files changed since it was closed without a key.
    """
    _check_open(run_folder)
    _remove_unfinished(run_folder)
    results = read_results(run_folder)
    repair_events(run_folder / EVENTS_FILE)
    head = verify_chain(run_folder / EVENTS_FILE)
    public = public_half(key) if key is not None else None
    if public is not None:
        write_atomically(run_folder / SIGNER_FILE, public.pem.encode())
    write_crate(run_folder, results)
    digest = write_manifest(run_folder, run_id=str(results["run"]["id"]))
    if key is not None and public is not None:
        predicate = describe_run(run_folder, results)
        predicate.update(signed_at=utc_now(), signer=public.key_id)
        statement = make_statement(RUN_PREDICATE, predicate, manifest_sha256=digest)
        write_atomically(run_folder / ATTESTATION_FILE, seal(statement, key))
    return Closure(digest, head, public.key_id if public else "")


def describe_run(run_folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """Return what the attestation says of a run, from its files; ``verify`` makes it again and compares."""
    run, protocol = results["run"], results["protocol"]
    events = read_events(run_folder / EVENTS_FILE)
    return {
        "run": {name: run.get(name) for name in ("id", "started", "finished", "draft", "draft_reasons")},
        "protocol": {name: protocol.get(name) for name in ("id", "version", "digest")},
        "results": {"name": RESULTS_FILE, "sha256": sha256_file(run_folder / RESULTS_FILE)},
        "events": {"name": EVENTS_FILE, "head": verify_chain(run_folder / EVENTS_FILE), "length": len(events)},
        "proposal": results.get("proposal"),
        "tools": _tool_versions(),
    }


def _tool_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _check_open(run_folder: Path) -> None:
    """Refuse to close over a signature or an approval, or over files that changed since an unsigned close."""
    approvals = run_folder / APPROVALS_FOLDER
    if (run_folder / ATTESTATION_FILE).exists() or (approvals.is_dir() and any(approvals.iterdir())):
        raise IntegrityProblem(
            "the run is already signed or approved; it cannot be closed again.",
            code="EVD-023",
            where=str(run_folder),
            why="What was signed must stay what it was.",
            action="Start a new run; `validation diff` shows what differs between the two.",
        )
    if (run_folder / MANIFEST_FILE).exists():
        wrong = compare_files(run_folder, read_manifest(run_folder))
        if wrong:
            name, what = next(iter(wrong.items()))
            raise IntegrityProblem(
                f"{name}: {what}.",
                code="EVD-024",
                where=str(run_folder / name),
                why="The run was closed without a signature and changed afterwards.",
                action="Restore the file, or start a new run.",
            )


def _remove_unfinished(run_folder: Path) -> None:
    """Remove temporary files of writers that were killed; a whole file never has such a name."""
    for path in run_folder.rglob(".*.part"):
        if path.is_file() and not path.is_symlink():
            path.unlink()
