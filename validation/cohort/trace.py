"""From a case to the files it was read from: one digest per image, without a file name, for the record of a run."""

from __future__ import annotations

from typing import Any

from validation.cohort.open import Cohort
from validation.dicom.locators import locator_files
from validation.digest import sha256_json


def case_files(cohort: Cohort, manifest: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return ``{case_id: {role: {"sha256", "files"}}}`` from the seal of a cohort; no file is read again.

    One file has its own SHA-256. Several (a DICOM series) have that of the canonical JSON list of theirs,
    sorted. File names stay behind: they may hold a patient's name.

    Parameters
    ----------
    cohort, manifest
        The open cohort, and its seal as :func:`validation.cohort.seal.read_manifest` returned it.
    """
    known = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for case_id in cohort.cases.index:
        roles = {}
        for role in cohort.roles:
            locator = cohort.locator(case_id, role)
            if locator is None:
                continue
            names = [
                p.relative_to(cohort.folder).as_posix() for p in locator_files(locator, cohort.folder, cohort.index)
            ]
            digests = sorted(known[name] for name in names)
            roles[role] = {"sha256": digests[0] if len(digests) == 1 else sha256_json(digests), "files": len(digests)}
        found[str(case_id)] = roles
    return found
