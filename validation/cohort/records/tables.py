"""The common form of imported records, and how it is written: whole or not at all, split by patient."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from validation.digest import canonical_json, sha256_file, write_atomically
from validation.errors import DataProblem, UsageProblem

EVENT_COLUMNS = ("patient_id", "time", "code", "numeric_value", "unit", "visit_id", "site")
PATIENT_COLUMNS = ("patient_id", "sex", "birth_year", "death_time", "race", "ethnicity", "site")
_ROWS = 50_000
_DICTIONARY = """# Made by `validation import`; add labels, ranges and codes that your study relies on.
schema: 1
columns:
  patient_id: {type: identifier, label: Patient}
  time: {type: date, label: "When it was recorded, UTC", missing: "not dated, such as demographics"}
  code: {type: category, label: "Vocabulary//code"}
  numeric_value: {type: number, label: "Value of a measurement, in its own unit", missing: "the event has no number"}
  unit: {type: category, label: "Unit of the value", missing: "no number, or no unit given"}
  visit_id: {type: identifier, label: "Visit or encounter", missing: "not tied to a visit"}
  site: {type: category, label: "Where it was recorded", missing: "not stated"}
  sex: {type: category, codes: {F: female, M: male}, missing: "not stated, or neither"}
  birth_year: {type: number, label: "Year of birth", unit: a, range: [1880, 2100], missing: "not stated"}
  death_time: {type: date, label: "When the patient died, UTC", missing: "not known to have died"}
  race: {type: category, missing: "not stated"}
  ethnicity: {type: category, missing: "not stated"}
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One dated fact about a patient; ``time`` is UTC without a zone, ``None`` where the source has no date."""

    patient_id: str
    time: datetime | None
    code: str
    numeric_value: float | None = None
    unit: str | None = None
    visit_id: str | None = None
    site: str | None = None


@dataclass(slots=True)
class Patient:
    """One patient; ``sex`` is ``F``, ``M`` or ``None``."""

    patient_id: str
    sex: str | None = None
    birth_year: int | None = None
    death_time: datetime | None = None
    race: str | None = None
    ethnicity: str | None = None
    site: str | None = None


@dataclass(kw_only=True)
class Records:
    """What an importer found.

    Parameters
    ----------
    kind
        ``meds``, ``omop`` or ``fhir``.
    patients
        By patient id; filled while events are read, so complete only afterwards.
    events
        Read once, as a stream: memory does not grow with the number of events.
    left_out
        Reason to number of records that did not become an event; filled while events are read.
    remarks
        Reason to number of records that did, with something to know about them.
    splits
        Patient to split where the source has its own (MEDS).
    """

    kind: str
    patients: dict[str, Patient]
    events: Iterable[Event]
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    splits: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Split:
    """Shares of patients by name; who falls where depends on the patient and the seed alone, not on order or number.

    >>> split = Split({"train": 0.5, "holdout": 0.5}, seed=1)
    >>> split.of("patient 7") == Split({"train": 0.5, "holdout": 0.5}, seed=1).of("patient 7")
    True
    """

    shares: dict[str, float]
    seed: int = 0

    def __post_init__(self) -> None:
        named = all(name.isidentifier() for name in self.shares)
        if not named or min(self.shares.values(), default=0) <= 0 or abs(sum(self.shares.values()) - 1) > 1e-9:
            raise UsageProblem(
                "the shares of a split are positive, have plain names and sum to 1.",
                code="REC-001",
                where="--split",
                action="Write, for example, --split train=0.7,control=0.15,holdout=0.15.",
            )

    def of(self, patient: str) -> str:
        """Return the part that a patient belongs to."""
        digest = hashlib.sha256(f"{self.seed}\0{patient}".encode()).digest()
        place, reached = int.from_bytes(digest[:8], "big") / 2**64, 0.0
        for name, share in self.shares.items():
            reached += share
            if place < reached:
                return name
        return next(reversed(self.shares))


def write_records(records: Records, folder: Path, *, split: Split | None = None) -> dict[str, Any]:
    """Write records as Parquet tables with a data dictionary, and return what ``import.json`` says.

    ``events.parquet`` and ``patients.parquet``, or ``events.<part>.parquet`` and ``patients.<part>.parquet`` with a
    split (or the splits of the source); ``dictionary.yaml``; ``import.json`` with counts, reasons and digests. The
    folder appears when everything is in it, never half.

    Raises
    ------
    UsageProblem
        REC-002 if the folder exists.
    DataProblem
        REC-003 if the source holds no event of a known patient.
    """
    if folder.exists():
        raise UsageProblem(
            "the folder exists already.",
            code="REC-002",
            where=str(folder),
            why="Tables of two imports would be mixed.",
            action="Name a new folder with --out.",
        )
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        report = _write(records, part, split)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return report


def _write(records: Records, folder: Path, split: Split | None) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("patient_id", pa.string()),
            ("time", pa.timestamp("us")),
            ("code", pa.string()),
            ("numeric_value", pa.float64()),
            ("unit", pa.string()),
            ("visit_id", pa.string()),
            ("site", pa.string()),
        ]
    )

    def part_of(patient: str) -> str:
        if split is not None:
            return split.of(patient)
        return records.splits.get(patient, "unassigned") if records.splits else ""

    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        for chunk in _chunks(_known(records)):
            parts: dict[str, list[Event]] = {}
            for event in chunk:
                parts.setdefault(part_of(event.patient_id), []).append(event)
            for name, events in sorted(parts.items()):
                if name not in writers:
                    path = folder / _file("events", name)
                    writers[name] = stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
                columns = {c: [getattr(e, c) for e in events] for c in EVENT_COLUMNS}
                writers[name].write_table(pa.table(columns, schema=schema))
                counts[name] += len(events)
    if not counts:
        raise DataProblem(
            "the source holds no event of a known patient.",
            code="REC-003",
            where=records.kind,
            why="; ".join(f"{n} {reason}" for reason, n in records.left_out.items()),
            action="Check that the tables of persons and events belong together.",
        )
    people: dict[str, list[Patient]] = {}
    for patient in sorted(records.patients.values(), key=lambda p: p.patient_id):
        people.setdefault(part_of(patient.patient_id), []).append(patient)
    for name, patients in people.items():
        columns = {c: [getattr(p, c) for p in patients] for c in PATIENT_COLUMNS}
        types = {"birth_year": pa.int32(), "death_time": pa.timestamp("us")}
        arrays = {c: pa.array(values, types.get(c, pa.string())) for c, values in columns.items()}
        pq.write_table(pa.table(arrays), folder / _file("patients", name), compression="zstd")
    write_atomically(folder / "dictionary.yaml", _DICTIONARY.encode())
    report = {
        "schema": "validation.import/1",
        "source": records.kind,
        "events": {name or "all": n for name, n in sorted(counts.items())},
        "patients": {name or "all": len(found) for name, found in sorted(people.items())},
        "left_out": dict(sorted(records.left_out.items())),
        "remarks": dict(sorted(records.remarks.items())),
        "split": {"shares": split.shares, "seed": split.seed} if split else {},
        "files": {p.name: sha256_file(p) for p in sorted(folder.iterdir())},
    }
    write_atomically(folder / "import.json", canonical_json(report))
    return report


def _known(records: Records) -> Iterator[Event]:
    """Yield the events of known patients; the others are counted."""
    for event in records.events:
        if event.patient_id in records.patients:
            yield event
        else:
            records.left_out["event of a patient who is not in the source"] += 1


def _chunks(events: Iterator[Event]) -> Iterator[list[Event]]:
    while chunk := list(islice(events, _ROWS)):
        yield chunk


def _file(table: str, part: str) -> str:
    return f"{table}.{part}.parquet" if part else f"{table}.parquet"
