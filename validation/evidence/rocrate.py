"""``ro-crate-metadata.json``: the index of a run for machines, as RO-Crate 1.1 with the Process Run Crate profile 0.5.

Written directly as JSON-LD, because every byte must follow from the run: no clock, no random ids.

References
----------
RO-Crate 1.1: https://w3id.org/ro/crate/1.1. Process Run Crate 0.5: https://w3id.org/ro/wfrun/process/0.5
(Leo et al. 2024, doi:10.1371/journal.pone.0309210).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from validation import __version__
from validation.digest import canonical_json, write_atomically
from validation.evidence.manifest import describe_files

CRATE_FILE = "ro-crate-metadata.json"
_SPECIFICATION = "https://w3id.org/ro/crate/1.1"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_TYPES = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".yaml": "application/yaml",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".html": "text/html",
    ".csv": "text/csv",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".pem": "application/x-pem-file",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


def write_crate(run_folder: Path, results: dict[str, Any]) -> None:
    """Write the index of all files that are there now; ``datePublished`` is the end of the run."""
    (run_folder / CRATE_FILE).unlink(missing_ok=True)
    run, protocol, study = results["run"], results["protocol"], results.get("study", {})
    files = [_file(entry) for entry in describe_files(run_folder)]
    outputs = [{"@id": entry["@id"]} for entry in files]
    inputs = [{"@id": name} for name in ("protocol.lock.yaml", "study.yaml", "inputs.json")]
    inputs = [reference for reference in inputs if reference in outputs]
    title = str(study.get("title") or protocol.get("title") or run["id"])
    action = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"validation run {run['id']}",
        "instrument": {"@id": "#genmed-validation"},
        "object": inputs,
        "result": [reference for reference in outputs if reference not in inputs],
        "startTime": run.get("started"),
        "endTime": run.get("finished"),
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": title,
        "description": f"Record of run {run['id']} under protocol {protocol.get('id')} {protocol.get('version')}. "
        f"{study.get('notice', '')}".strip(),
        "datePublished": run.get("finished"),
        "license": "The terms of the organisation that made the run apply.",
        "conformsTo": {"@id": _PROFILE},
        "hasPart": outputs,
        "mentions": {"@id": "#run"},
    }
    software = {
        "@id": "#genmed-validation",
        "@type": "SoftwareApplication",
        "name": "genmed-validation",
        "version": __version__,
        "softwareVersion": __version__,
    }
    descriptor = {
        "@id": CRATE_FILE,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": _SPECIFICATION},
    }
    profile = {"@id": _PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    document = {
        "@context": [f"{_SPECIFICATION}/context", "https://w3id.org/ro/terms/workflow-run/context"],
        "@graph": [descriptor, root, profile, software, action, *files],
    }
    write_atomically(run_folder / CRATE_FILE, canonical_json(document))


def _file(entry: dict[str, Any]) -> dict[str, Any]:
    from urllib.parse import quote

    suffix = Path(entry["name"]).suffix
    return {
        "@id": quote(entry["name"]),
        "@type": "File",
        "name": entry["name"],
        "contentSize": str(entry["size"]),
        "sha256": entry["sha256"],
        "encodingFormat": _TYPES.get(suffix, "application/octet-stream"),
    }
