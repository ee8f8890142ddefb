"""Pulling a cohort: find, fetch, de-identify, and write whole files under pseudonyms, so that a second call goes on.

A file is named by pseudonyms that depend only on the key, and is written whole or not at all; so the folder itself is
the journal: what is there is done. No identifier of the archive is written to disk.
"""

from __future__ import annotations

import errno
import hmac
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from validation import __version__
from validation.dicom.confidentiality import Options, rules
from validation.dicom.deidentify import Deidentifier
from validation.dicom.pacs import failures
from validation.dicom.pacs.query import Channel, Instance, Query, Series
from validation.dicom.services import pulled_classes
from validation.digest import canonical_json, write_atomically
from validation.errors import DataProblem, RunProblem

RECORD, REFUSED, TABLE = "pull.json", "refused.jsonl", "cases.csv"


@dataclass
class Pulled:
    """What a pull did; ``to_dict`` holds no identifier."""

    series: int = 0
    listed: int = 0
    written: int = 0
    there: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)


def pull(
    channel: Channel,
    query: Query,
    folder: Path,
    *,
    key: bytes,
    options: Options,
    where: str = "the archive",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Pulled:
    """Pull every series that matches into a cohort folder, and return what was done.

    Parameters
    ----------
    channel
        An open channel.
    query
        What to pull.
    folder
        New folder, or the folder of an interrupted pull of the same query, profile and key.
    key
        32 bytes that make the pseudonyms.
    options
        The de-identification profile.

    Raises
    ------
    DataProblem
        PACS-012 if nothing matches; PACS-013 if the folder holds something else; PACS-001 to PACS-007 of the channel.
    RunProblem
        PACS-008 if the disk is full or the folder cannot be written.
    """
    cleaner = Deidentifier(key, options)
    begun = _begin(folder, query, key, options)
    series = channel.find_series(query)
    if not series:
        raise DataProblem(
            "nothing in the archive matches the query.",
            code="PACS-012",
            where=where,
            action="Check the values; texts may hold * for any characters.",
        )
    done = Pulled(series=len(series))
    listed = [instance for one in series for instance in channel.find_instances(one)]
    done.listed = len(listed)
    kept_out = _refused_before(folder)
    places = {instance.uid: _place(instance, cleaner) for instance in listed}
    refused_now: list[dict[str, str]] = []
    wanted = []
    for instance in listed:
        name = places[instance.uid]
        if name in kept_out:
            done.refused[kept_out[name]] += 1
        elif instance.sop_class and instance.sop_class not in pulled_classes():
            done.refused["PACS-021: objects of this kind are not pulled"] += 1
        elif (folder / "images" / name).exists():
            done.there += 1
        else:
            wanted.append(instance)

    def receive(instance: Instance, data: bytes) -> None:
        name = places[instance.uid]
        try:
            content = _cleaned(data, instance, cleaner, where)
        except DataProblem as problem:
            if problem.code not in ("PACS-021", "PACS-022"):
                raise
            reason = f"{problem.code}: {problem.what}"
            done.refused[reason] += 1
            refused_now.append({"object": name, "reason": reason})
            _append(folder / REFUSED, refused_now[-1])
            return
        _write(folder / "images" / name, content)
        done.written += 1
        progress(done.written + done.there, len(listed) - sum(done.refused.values()))

    if wanted:
        channel.fetch(wanted, receive)
    done.actions = cleaner.done
    _finish(folder, begun, done, series, cleaner)
    return done


def _begin(folder: Path, query: Query, key: bytes, options: Options) -> dict[str, Any]:
    """Return the head of the record; refuse a folder that holds another pull, or anything else."""
    head = {
        "schema": "validation.pull/1",
        "program": __version__,
        "query_fingerprint": _fingerprint(key, canonical_json(asdict(query))),
        "key_fingerprint": _fingerprint(key, b""),
        "profile": {**options.model_dump(), "edition": rules().edition},
    }
    record = folder / RECORD
    if record.exists():
        try:
            before = json.loads(record.read_bytes())
        except (OSError, ValueError):
            before = {}
        changed = [k for k in ("query_fingerprint", "key_fingerprint", "profile") if before.get(k) != head[k]]
        if changed:
            names = {
                "query_fingerprint": "another query",
                "key_fingerprint": "another key",
                "profile": "another profile",
            }
            raise DataProblem(
                f"this folder holds a pull with {' and '.join(names[k] for k in changed)}.",
                code="PACS-013",
                where=str(folder),
                why="Two pulls in one folder could not be told apart, or would give one patient two pseudonyms.",
                action="Give the same query, key and profile to go on, or a new folder.",
            )
    elif folder.exists() and any(folder.iterdir()):
        raise DataProblem(
            "this folder is not empty and holds no pull.",
            code="PACS-013",
            where=str(folder),
            action="Name a new folder.",
        )
    else:
        _write(record, json.dumps({**head, "complete": False}, indent=1).encode() + b"\n")
    return head


def _fingerprint(key: bytes, text: bytes) -> str:
    return hmac.digest(key, b"fingerprint\0" + text, "sha256").hex()[:16]


def _place(instance: Instance, cleaner: Deidentifier) -> str:
    """Return the name of an object's file below ``images``, made of pseudonyms alone."""
    return f"{cleaner.uid(instance.series)}/{cleaner.uid(instance.uid)}.dcm"


def _cleaned(data: bytes, instance: Instance, cleaner: Deidentifier, where: str) -> bytes:
    """Return the de-identified file of what the archive sent, after checking that it is what was asked for."""
    from validation.dicom.headers import parse_dataset

    ds = parse_dataset(data, where)
    asked = {"StudyInstanceUID": instance.study, "SeriesInstanceUID": instance.series, "SOPInstanceUID": instance.uid}
    if any(str(ds.get(keyword) or "") != uid for keyword, uid in asked.items()):
        raise failures.another(where, "another object than the one asked for")
    if instance.sop_class and str(ds.get("SOPClassUID") or "") != instance.sop_class:
        raise failures.another(where, "an object of another kind than it had listed")
    cleaner.apply(ds)
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        raise RunProblem(
            "the disk is full." if full else f"the folder cannot be written ({problem.strerror}).",
            code="PACS-008",
            where=str(path.parent),
            why="What has arrived is whole and kept; the object in hand was not written.",
            action="Make room, then give the same command again: it goes on where it stopped.",
        ) from None


def _append(path: Path, line: dict[str, str]) -> None:
    before = path.read_bytes() if path.exists() else b""
    _write(path, before + canonical_json(line) + b"\n")


def _refused_before(folder: Path) -> dict[str, str]:
    path = folder / REFUSED
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {entry["object"]: entry["reason"] for entry in map(json.loads, lines)}


def _finish(folder: Path, head: dict[str, Any], done: Pulled, series: Sequence[Series], cleaner: Deidentifier) -> None:
    from validation.dicom.pacs.table import case_table

    text, cases = case_table(folder, [cleaner.uid(one.uid) for one in series])
    _write(folder / TABLE, text.encode())
    record = {
        **head,
        "complete": True,
        "series": done.series,
        "cases": cases,
        "objects": {
            "listed": done.listed,
            "kept": done.written + done.there,
            "refused": dict(sorted(done.refused.items())),
        },
        "actions_of_last_call": dict(sorted(done.actions.items())),
        "not_done": [
            "pixels are not changed: text in them is refused where the header admits or suggests it",
            "faces in heads are not hidden (113102 is not claimed)",
        ],
    }
    _write(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n")
