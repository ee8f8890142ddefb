"""MEDS event streams (Medical Event Data Standard, schema 0.3 and 0.4): Parquet files of subject, time, code, value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from validation.cohort.records.tables import Event, Patient, Records
from validation.errors import DataProblem

_SEX = {"F": "F", "FEMALE": "F", "M": "M", "MALE": "M"}
_WANTED = ("subject_id", "time", "code")
_OPTIONAL = ("numeric_value", "unit", "visit_id", "hadm_id")


def read_meds(source: Path) -> Records:
    """Read a MEDS data set: a folder with ``data/**/*.parquet``, or one Parquet file of events.

    Sex, race and birth come from the undated codes that MEDS pipelines write (``GENDER//F``, ``RACE//…``,
    ``MEDS_BIRTH``, ``MEDS_DEATH``); ``metadata/subject_splits.parquet`` gives the splits where it is there.

    Raises
    ------
    DataProblem
        REC-010 if there is no Parquet file, one cannot be read, or a column of the standard is missing.
    """
    files = [source] if source.is_file() else sorted((source / "data").rglob("*.parquet"))
    if not files:
        raise _refused("there is no Parquet file in its folder `data`", source)
    patients: dict[str, Patient] = {}
    left_out: Counter[str] = Counter()
    remarks: Counter[str] = Counter()
    for path in files:
        _columns(path)
    return Records(
        kind="meds",
        patients=patients,
        events=_events(files, patients, left_out, remarks),
        left_out=left_out,
        remarks=remarks,
        splits={} if source.is_file() else _splits(source / "metadata" / "subject_splits.parquet"),
    )


def _columns(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as problem:
        raise _refused(f"it cannot be read as Parquet ({type(problem).__name__})", path) from None
    missing = [c for c in _WANTED if c not in names]
    if missing:
        raise _refused(f"it has no column {', '.join(missing)}", path)
    return [c for c in (*_WANTED, *_OPTIONAL) if c in names]


def _events(
    files: list[Path], patients: dict[str, Patient], left_out: Counter[str], remarks: Counter[str]
) -> Iterator[Event]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in files:
        names = _columns(path)
        try:
            for batch in pq.ParquetFile(path).iter_batches(batch_size=50_000, columns=names):
                for row in batch.to_pylist():
                    event = _event(row, patients, left_out, remarks)
                    if event is not None:
                        yield event
        except (pa.ArrowException, OSError) as problem:
            raise _refused(f"it cannot be read to its end ({type(problem).__name__})", path) from None


def _event(
    row: dict[str, Any], patients: dict[str, Patient], left_out: Counter[str], remarks: Counter[str]
) -> Event | None:
    subject, code, time = row["subject_id"], row["code"], row["time"]
    if subject is None or not code:
        left_out["event without a subject or a code"] += 1
        return None
    if time is not None and not isinstance(time, datetime):
        raise _refused("its column time is not a time stamp", Path("time"))
    when = time.astimezone(UTC).replace(tzinfo=None) if time is not None and time.tzinfo is not None else time
    patient = patients.setdefault(str(subject), Patient(str(subject)))
    kind, _, rest = str(code).partition("//")
    if kind == "GENDER":
        patient.sex = _SEX.get(rest.upper())
    elif kind == "RACE":
        patient.race = rest or None
    elif kind == "ETHNICITY":
        patient.ethnicity = rest or None
    elif kind == "MEDS_BIRTH" and when is not None:
        patient.birth_year = when.year
    elif kind == "MEDS_DEATH":
        patient.death_time = when
    value = row.get("numeric_value")
    if value is not None and value != value:
        value = None
    if when is None:
        remarks["event without a date"] += 1
    visit = row.get("visit_id", row.get("hadm_id"))
    return Event(
        patient_id=str(subject),
        time=when,
        code=str(code),
        numeric_value=value,
        unit=row.get("unit"),
        visit_id=None if visit is None else str(visit),
    )


def _splits(path: Path) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return {}
    try:
        table = pq.read_table(path, columns=["subject_id", "split"]).to_pylist()
    except (pa.ArrowException, OSError, KeyError) as problem:
        raise _refused(f"the splits cannot be read ({type(problem).__name__})", path) from None
    return {str(row["subject_id"]): str(row["split"]) for row in table}


def _refused(what: str, where: Path) -> DataProblem:
    return DataProblem(
        f"this is not a MEDS data set: {what}.",
        code="REC-010",
        where=str(where),
        why="Subject, time and code are what the standard asks of every file.",
        action="Give the folder that holds `data/`, or one Parquet file of events.",
    )
