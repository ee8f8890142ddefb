"""Going on with a change that was interrupted: what was asked stands in the workspace, what is done is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from validation.change.baseline import RunRecord, read_verified
from validation.change.execution import complete_modification
from validation.change.revalidation import RECORD_FILE, REQUEST_FILE, Request, complete_revalidation
from validation.change.triggers import Change
from validation.change.workspace import FOLDER
from validation.errors import IntegrityProblem
from validation.study.spec import Study, load_study


def is_change(made: Study) -> bool:
    """Tell whether a study folder is the workspace of a change."""
    return (made.folder / REQUEST_FILE).is_file() and made.folder.parent.name == FOLDER


def home_of(made: Study) -> Study:
    """Return the study that a change belongs to."""
    return load_study(made.folder.parent.parent)


def resume_change(made: Study, run: Path, *, actor: str, quiet: bool) -> dict[str, Any]:
    """Bring the run of an interrupted change to its change record and return it.

    Measured cases are kept, as by any resumed run. The baseline is verified again and must be the one that the change
    began with. A record that was already written is kept.

    Raises
    ------
    IntegrityProblem
        CHG-003 if the baseline is not what was signed, or is another one.
    """
    if (run / RECORD_FILE).is_file():
        found: dict[str, Any] = json.loads((run / RECORD_FILE).read_bytes())
        return found
    asked = json.loads((made.folder / REQUEST_FILE).read_bytes())
    baseline = _earlier(made, asked["baseline"], allow_unsigned=asked["allow_unsigned"])
    last = _earlier(made, asked["last"], allow_unsigned=asked["allow_unsigned"]) if asked["last"] else None
    request = Request(
        changes=[Change(kind, value) for kind, value in asked["changes"]], baseline=baseline.folder, actor=actor,
        facts=asked["facts"], allow_unsigned=asked["allow_unsigned"], quiet=quiet,
    )  # fmt: skip
    if asked["modification"] is not None:
        return complete_modification(made, run, asked["modification"], request, baseline, last)
    return complete_revalidation(home_of(made), made, run, request, baseline, last)


def _earlier(made: Study, asked: dict[str, str], *, allow_unsigned: bool) -> RunRecord:
    record = read_verified(made.folder / asked["folder"], allow_unsigned=allow_unsigned)
    if record.manifest_sha256 != asked["manifest_sha256"]:
        raise IntegrityProblem(
            "the baseline is not the run that this change began with.",
            code="CHG-003",
            where=record.folder.name,
            why="A change must be compared with the version that was named when it began.",
            action="Restore that run, or begin the revalidation again.",
        )
    return record
