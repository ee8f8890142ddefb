"""Computing a change record again: what it says must follow from its run, and from the runs it was compared with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from validation.change.assessment import assess
from validation.change.baseline import RunRecord, read_run
from validation.change.constancy import constancy
from validation.change.decision import decide
from validation.change.execution import propose
from validation.change.revalidation import RECORD_FILE, compare_versions, describe
from validation.change.shifted import shift_of_runs
from validation.digest import sha256_file
from validation.evidence.manifest import MANIFEST_FILE
from validation.study.reproduce import differences


def is_change_run(run: Path) -> bool:
    """Tell whether a run holds a change record."""
    return (run / RECORD_FILE).is_file()


def recheck(run: Path, earlier: Sequence[Path] = ()) -> tuple[list[str], list[str]]:
    """Return how the change record of a run differs from one computed again, and notes on what was not computed.

    From the run itself: endpoints, proposal and assessments. With the runs of the original and the last version, found
    by the digests that the record names (among ``earlier``, or beside the run in its study): the differences of every
    endpoint, phantom constancy and shift. Header drift, operating limits and bounds of a modification need the cohort,
    which is no part of a record; the proposal is computed from them as they are recorded.

    Parameters
    ----------
    run
        The folder of the change's run; its files have been verified.
    earlier
        Folders of runs that may be the earlier versions.
    """
    record: dict[str, Any] = json.loads((run / RECORD_FILE).read_bytes())
    new = read_run(run)
    again: dict[str, Any] = {"endpoints": new.results["endpoints"], "run": describe(new)}
    if record["kind"] == "modification":
        again["proposal"] = propose(record["modification"]).to_dict()
        again["result"] = "within" if record["modification"]["within"] else "outside"
    else:
        again["proposal"] = decide(record).to_dict()
    again["assessments"] = assess(record)
    notes = []
    for version, part in (("baseline", "differences"), ("last", "differences_last")):
        if record[version] is None:
            continue
        found = _find(record[version]["manifest_sha256"], run, earlier)
        if found is None:
            notes.append(f"the {version} run of the change is not here: what was compared with it was not recomputed")
            continue
        again[part] = compare_versions(new, {version: found})[version]
        if version == "baseline" and record["kind"] == "revalidation":
            again["constancy"] = constancy(new, found)
            again["shift"] = shift_of_runs(new, found)
    plain = json.loads(json.dumps(again))
    return differences({key: record.get(key) for key in plain}, plain), notes


def _find(manifest_sha256: str, run: Path, earlier: Sequence[Path]) -> RunRecord | None:
    for folder in [*earlier, *_beside(run)]:
        manifest = folder / MANIFEST_FILE
        if manifest.is_file() and sha256_file(manifest) == manifest_sha256:
            return read_run(folder)
    return None


def _beside(run: Path) -> Iterator[Path]:
    """Yield the runs of the study that a change belongs to: STUDY/changes/CHANGE/runs/RUN."""
    run = run.resolve()
    if len(run.parents) > 3 and run.parents[2].name == "changes":
        study = run.parents[3]
        yield from sorted(study.glob("runs/*"))
        yield from sorted(study.glob("changes/*/runs/*"))
