"""A study folder for one change: the same protocol and criteria, with another cohort, another model, or both.

``STUDY/changes/<name>_<UTC>_<hex>/`` holds a ``study.yaml`` of its own (paths relative to it), lock and protocol of
the study, the seal of the cohort that is used, a ledger, and later ``runs/``. A run of it can be verified and packaged
like any other. The pseudonym key is that of the study: the same patient keeps the same pseudonym.
"""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from validation.change.baseline import RunRecord
from validation.cohort.pseudonyms import KEY_FILE, study_key
from validation.digest import write_atomically
from validation.errors import UsageProblem
from validation.evidence.events import COHORT_OPENED, append_event, read_events
from validation.models.spec import ModelSpec
from validation.protocol import lock as locks
from validation.protocol.schema import Protocol
from validation.study.prepare import require_lock, seal_path, seal_study
from validation.study.spec import FILE, Study, load_study

FOLDER = "changes"
REGISTER = "register.jsonl"
TABLES = ("cases.csv", "cases.parquet")


def open_workspace(
    study: Study,
    baseline: RunRecord,
    *,
    name: str,
    actor: str,
    reason: str,
    cohort: Path | None = None,
    model: ModelSpec | None = None,
    training_manifest: Path | None = None,
) -> Study:
    """Make the folder of a change and return it as a study that is locked and sealed.

    Parameters
    ----------
    study
        The study whose protocol is locked.
    baseline
        The verified run that the change is compared with.
    name
        First part of the folder's name.
    actor, reason
        For the ledgers.
    cohort
        Folder (with cases.csv or cases.parquet) or table of a new cohort; the study's own if not given.
    model
        The changed model, with absolute paths; the study's own if not given.
    training_manifest
        Training cases of the changed model, checked against the holdout in place of the study's.

    Raises
    ------
    UsageProblem
        CHG-005 if the new cohort has no case table.
    ProtocolProblem, IntegrityProblem
        As for any run: an unlocked or edited protocol, a changed cohort.
    """
    protocol, record = require_lock(study)
    table = _table(cohort) if cohort is not None else None
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}_{secrets.token_hex(4)}"
    folder = study.folder / FOLDER / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')[:40] or 'change'}_{stamp}"
    folder.mkdir(parents=True)
    write_atomically(folder / "protocol.yaml", _yaml(locks.content(protocol)))
    write_atomically(locks.lock_path(folder), locks.text(record).encode())
    _copy_key(study.folder, folder)
    _copy_training(study, protocol, folder, training_manifest)
    _copy_shift_baseline(study, protocol, folder)
    write_atomically(folder / FILE, _yaml(_spec(study, folder, table, model, baseline)))
    made = load_study(folder)
    if table is None:
        _same_cohort(study, made, actor=actor, reason=reason)
    else:
        append_event(
            made.ledger_path,
            actor=actor,
            action="protocol-locked",
            object_digest=record.digest,
            reason="lock taken over from the study",
            details={"protocol": protocol.id, "version": protocol.version, "baseline": baseline.manifest_sha256},
        )
        seal_study(made, signer=actor, reason=reason)
    return made


def register_path(study: Study) -> Path:
    """Return the hash-chained register of the changes of a study."""
    return study.folder / FOLDER / REGISTER


def last_accepted(study: Study) -> Path | None:
    """Return the run of the last change in the register that a named person accepted; ``None`` if there is none."""
    from validation.evidence.approvals import read_approvals
    from validation.evidence.manifest import MANIFEST_FILE

    found = None
    for event in read_events(register_path(study)):
        run = study.folder / str(event.details.get("folder", ""))
        if event.action != "change-recorded" or not (run / MANIFEST_FILE).is_file():
            continue
        approvals, problems = read_approvals(run, manifest_sha256=event.object_digest)
        decisions = [a.decision for a in approvals if a.decision]
        if not problems and decisions and decisions[-1] == "accept":
            found = run
    return found


def _same_cohort(study: Study, made: Study, *, actor: str, reason: str) -> None:
    """Take over seal and ledger, and enter the coming opening in the ledger of the study itself."""
    if not seal_path(study).exists():
        raise UsageProblem(
            "the cohort of the study is not sealed.",
            code="RUN-042",
            where=str(study.folder),
            why="A change is judged on the holdout that the first version was judged on.",
            action="Run `validation seal` first.",
        )
    write_atomically(seal_path(made), seal_path(study).read_bytes())
    write_atomically(made.ledger_path, study.ledger_path.read_bytes())
    append_event(
        study.ledger_path,
        actor=actor,
        action=COHORT_OPENED,
        reason=reason,
        details={"change": made.folder.name},
    )


def _spec(
    study: Study, folder: Path, table: Path | None, model: ModelSpec | None, baseline: RunRecord
) -> dict[str, Any]:
    spec = study.spec

    def moved(path: str | None, home: Path = study.folder) -> str | None:
        return None if path is None else os.path.relpath(home / path, folder)

    data: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=False)
    data["id"] = f"{spec.id[:48]}-change"
    data["protocol"] = "protocol.yaml"
    chosen = model or spec.model
    data["model"] = chosen.model_dump(mode="json", exclude_none=True) | (
        {"path": moved(chosen.path)} if chosen.path else {}
    )
    if spec.baseline is not None and spec.baseline.path:
        data["baseline"]["path"] = moved(spec.baseline.path)
    if table is not None:
        data["cohort"]["folder"] = moved(".", table.parent)
        data["cohort"]["table"] = moved(table.name, table.parent)
    else:
        data["cohort"]["folder"], data["cohort"]["table"] = moved(spec.cohort.folder), moved(spec.cohort.table)
    data.pop("signing_key", None)
    data["title"] = f"{spec.title}: change against {baseline.results['run']['id']}"
    return data


def _table(cohort: Path) -> Path:
    cohort = cohort.resolve()
    if cohort.is_file():
        return cohort
    for name in TABLES:
        if (cohort / name).is_file():
            return cohort / name
    raise UsageProblem(
        "the new cohort has no case table.",
        code="CHG-005",
        where=str(cohort),
        why="The table names the cases, their patients and their images.",
        action="Put cases.csv (columns as in the study's own table) into the folder, or name the table.",
    )


def _copy_key(source: Path, target: Path) -> None:
    """Write the study's pseudonym key (made now if the study has none) with the rights of a secret."""
    key = study_key(source)
    handle = os.open(target / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(key.hex() + "\n")


def _copy_training(study: Study, protocol: Protocol, folder: Path, given: Path | None) -> None:
    if protocol.independence is None:
        return
    name = Path(protocol.independence.from_)
    source = given or study.folder / name
    target = folder / name
    if not source.is_file() or not target.resolve().is_relative_to(folder.resolve()):
        raise UsageProblem(
            f"the training manifest {name.name!r} is not in the study folder.",
            code="CHG-006",
            where=str(study.folder),
            why="Independence of training and holdout is checked again after every change.",
            action="Put it there, or name the new one in the candidate file (`training_manifest`).",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, source.read_bytes())


def _copy_shift_baseline(study: Study, protocol: Protocol, folder: Path) -> None:
    """Copy the table of development cases that every run is compared with, where the protocol names one."""
    name = protocol.shift.baseline if protocol.shift else None
    if name is None or (folder / name).exists():
        return
    source, target = study.folder / name, folder / name
    if not source.is_file() or not target.resolve().is_relative_to(folder.resolve()):
        raise UsageProblem(
            f"the table {Path(name).name!r} that the shift plan compares with is not in the study folder.",
            code="CHG-006",
            where=str(study.folder),
            action="Put it there.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, source.read_bytes())


def _yaml(data: Any) -> bytes:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    return b"# Written by `validation revalidate` or `validation execute`.\n" + text.encode()
