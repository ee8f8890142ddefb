"""Pushing derived objects into an archive, and asking it afterwards whether they are there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from validation.dicom.headers import parse_dataset
from validation.dicom.pacs.query import Channel, Instance, Series, is_uid
from validation.dicom.series import dicom_files
from validation.dicom.services import services
from validation.digest import canonical_json, sha256_bytes
from validation.errors import DataProblem, RunProblem

JOURNAL = "push-{name}.jsonl"


@dataclass
class Pushed:
    """What a push did."""

    files: int = 0
    sent: int = 0
    before: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Object:
    path: Path
    instance: Instance
    sha256: str


def push(
    channel: Channel,
    folder: Path,
    *,
    archive: str,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Pushed:
    """Send every derived object below a folder, and check that the archive lists them.

    Sent objects are noted in ``push-<archive>.jsonl`` beside them, so that a second call sends what is left. Sending an
    object again does no harm: its UIDs and bytes are the same.

    Raises
    ------
    DataProblem
        PACS-030 if there is nothing to send or an object is not derived; PACS-031 if two files share a UID;
        PACS-001 to PACS-007 of the channel.
    RunProblem
        PACS-008 if the note cannot be written.
    """
    objects = [_object(path) for path in dicom_files(folder)] if folder.is_dir() else []
    if not objects:
        raise DataProblem(
            "there is no DICOM object to send.",
            code="PACS-030",
            where=str(folder),
            action="Name the folder of an export.",
        )
    if len({o.instance.uid for o in objects}) < len(objects):
        raise DataProblem(
            "two files hold an object of one UID.",
            code="PACS-031",
            where=str(folder),
            why="The archive would keep one of them, and nobody would know which.",
            action="Keep one file per object.",
        )
    journal = folder / JOURNAL.format(name="".join(c if c.isalnum() else "-" for c in archive))
    done = Pushed(files=len(objects))
    sent_before = _sent_before(journal)
    waiting = {o.path: o for o in objects if sent_before.get(o.instance.uid) != o.sha256}
    done.before = len(objects) - len(waiting)

    def stored(path: Path, reason: str) -> None:
        item = waiting[path]
        if reason:
            done.refused[str(path.relative_to(folder))] = reason
            return
        _note(journal, {"uid": item.instance.uid, "sha256": item.sha256})
        done.sent += 1
        progress(done.sent + done.before, done.files)

    channel.store(list(waiting), stored)
    refused = {folder / name for name in done.refused}
    done.missing = sorted(
        str(o.path.relative_to(folder)) for o in _not_listed(channel, objects) if o.path not in refused
    )
    return done


def _object(path: Path) -> _Object:
    """Read one file whole, and refuse what is not derived."""
    data = path.read_bytes()
    ds = parse_dataset(data, str(path))
    sop_class = str(ds.get("SOPClassUID") or "")
    kind = [str(part).upper() for part in ds.get("ImageType") or []]
    derived = sop_class in services()["written"] or kind[:1] == ["DERIVED"]
    instance = Instance(
        study=str(ds.get("StudyInstanceUID") or ""),
        series=str(ds.get("SeriesInstanceUID") or ""),
        uid=str(ds.get("SOPInstanceUID") or ""),
        sop_class=sop_class,
    )
    if not derived or not all(map(is_uid, (instance.study, instance.series, instance.uid))):
        raise DataProblem(
            "this object is not a derived one, or lacks a UID.",
            code="PACS-030",
            where=str(path),
            why="Only what a model made is sent; an acquisition already is in its archive, under its own UID.",
            action="Export the outputs with `validation pacs export`.",
        )
    return _Object(path=path, instance=instance, sha256=sha256_bytes(data))


def _not_listed(channel: Channel, objects: Sequence[_Object]) -> list[_Object]:
    by_series: dict[tuple[str, str], list[_Object]] = {}
    for item in objects:
        by_series.setdefault((item.instance.study, item.instance.series), []).append(item)
    missing = []
    for (study, series), items in by_series.items():
        place = Series(study=study, uid=series, modality="", description="", number=None, patient="")
        listed = {instance.uid for instance in channel.find_instances(place)}
        missing += [item for item in items if item.instance.uid not in listed]
    return missing


def _sent_before(journal: Path) -> dict[str, str]:
    """Return what was sent, UID to digest; a line that a crash cut short is left out, so it is sent again."""
    found: dict[str, str] = {}
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []:
        try:
            entry: Any = json.loads(line)
            found[str(entry["uid"])] = str(entry["sha256"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _note(journal: Path, entry: dict[str, str]) -> None:
    try:
        cut = journal.exists() and not journal.read_bytes().endswith(b"\n")
        with journal.open("ab") as stream:
            stream.write((b"\n" if cut else b"") + canonical_json(entry) + b"\n")
    except OSError as problem:
        raise RunProblem(
            f"the note of what was sent cannot be written ({problem.strerror}).",
            code="PACS-008",
            where=str(journal),
            why="A second call could not tell what is left.",
            action="Make room, then give the same command again.",
        ) from None
