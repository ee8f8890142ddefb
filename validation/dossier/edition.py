"""Render the documents of a closed run again, as an edition: with what persons wrote since, and nothing else new."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from validation.digest import sha256_file
from validation.dossier.binder import bind
from validation.dossier.final import reasons_not_final
from validation.errors import IntegrityProblem, UsageProblem
from validation.evidence.edition import EDITIONS_FOLDER, close_edition, write_edition
from validation.evidence.events import utc_now
from validation.evidence.manifest import MANIFEST_FILE, compare_files, read_manifest
from validation.evidence.results import read_results
from validation.protocol.catalogue import regulatory_catalogue
from validation.protocol.schema import Pathway

if TYPE_CHECKING:
    from securesystemslib.signer import Signer


def make_edition(
    run_folder: Path, pathways: Sequence[Pathway], *, by: str, key: Signer | None = None, workers: int | None = None
) -> tuple[Path, list[str]]:
    """Render an edition, close it, sign it if a key is given; return its folder and what keeps it from being final.

    Parameters
    ----------
    run_folder
        A closed run; its files are compared with its manifest first.
    pathways
        Which files to render; those of the claim if empty.
    by
        Who renders it.
    key
        A signer, or None for an edition that is not signed.
    workers
        Number of processes that print.

    Raises
    ------
    UsageProblem
        DOS-035 if a pathway is not known.
    IntegrityProblem
        EVD-021 if the run is not closed, EVD-026 if a file of it was changed.
    """
    run_folder = run_folder.resolve()
    results = read_results(run_folder)
    wrong = compare_files(run_folder, read_manifest(run_folder))
    if wrong:
        name, what = next(iter(wrong.items()))
        raise IntegrityProblem(
            f"{name}: {what}.",
            code="EVD-026",
            where=str(run_folder / name),
            why="Documents of a run that was changed would show numbers that nobody measured.",
            action="Run `validation verify`, and restore the run from its package.",
        )
    chosen = list(pathways) or list(results["claim"]["pathways"])
    unknown = set(chosen) - set(regulatory_catalogue().packages)
    if unknown:
        raise UsageProblem(f"there is no pathway {min(unknown)!r}.", code="DOS-005", where="--pathway")
    study = run_folder.parent.parent
    now = utc_now()
    name = f"{now.replace('-', '').replace(':', '')}_{secrets.token_hex(4)}"
    home = study / EDITIONS_FOLDER / run_folder.name
    part = home / f".{name}.part"
    part.mkdir(parents=True)
    record = {
        "id": name,
        "run": str(results["run"]["id"]),
        "run_manifest_sha256": sha256_file(run_folder / MANIFEST_FILE),
        "rendered": now,
        "by": by,
        "pathways": chosen,
    }
    try:
        write_edition(part, {**record, "draft": True, "not_final": []})  # the documents name their edition
        bind(run_folder, list(chosen), workers=workers, edition=part)
        reasons = reasons_not_final(run_folder, study, edition=part, pathways=chosen)
        blocks = sorted((part / "narrative").glob("*.md"))
        write_edition(
            part,
            {
                **record,
                "draft": bool(results["run"]["draft"]) or bool(reasons),
                "not_final": reasons,
                "narratives": {b.stem: sha256_file(b) for b in blocks},
            },
        )
        close_edition(part, key)
        part.rename(home / name)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return home / name, reasons
