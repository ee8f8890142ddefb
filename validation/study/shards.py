"""Measurements on disk: shards that are whole or absent, with the same bytes every time.

A shard holds the measurements of a fixed run of consecutive case ids. Its Parquet metadata carries the plan's digest,
its case ids, the rejected cases and a digest of its rows, so that a resumed run can tell whether the shard is its own
and intact.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from validation.digest import canonical_json, write_atomically
from validation.errors import IntegrityProblem

SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("draw", pa.int32(), nullable=False),
        pa.field("component", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=True),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("note", pa.string(), nullable=False),
    ]
)
_KEY = b"validation.shard"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; see the table in docs/architecture.md."""

    case_id: str
    metric: str
    arm: str
    draw: int
    component: str
    value: float | None
    unit: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A case that was planned but could not be measured, and why."""

    case_id: str
    reason: str
    code: str

    def to_dict(self) -> dict[str, str]:
        """Return the fields as plain JSON types."""
        return {"case_id": self.case_id, "reason": self.reason, "code": self.code}


def shard_path(run_folder: Path, number: int) -> Path:
    """Return the path of a shard."""
    return run_folder / "measurements" / f"part-{number:05d}.parquet"


def write_shard(
    path: Path, rows: Sequence[Row], *, plan_digest: str, case_ids: Sequence[str], rejections: Sequence[Rejection]
) -> None:
    """Write a shard whole or not at all; equal content gives equal bytes.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written; nothing is left behind then.
    """
    columns = {name: [getattr(row, name) for row in rows] for name in SCHEMA.names}
    note = {
        "plan": plan_digest,
        "cases": list(case_ids),
        "rejections": [rejection.to_dict() for rejection in rejections],
        "rows": _rows_sha256(columns),
    }
    table = pa.table(columns, schema=SCHEMA.with_metadata({_KEY: canonical_json(note)}))
    buffer = io.BytesIO()
    # Every setting that shapes the bytes is named, so that a changed default elsewhere cannot change them.
    pq.write_table(
        table,
        buffer,
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=["case_id", "metric", "arm", "component", "unit", "note"],
        write_statistics=True,
        data_page_version="1.0",
        row_group_size=1 << 20,
        store_schema=True,
    )
    write_atomically(path, buffer.getvalue())


def read_shard(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Return the rows and the note of a shard after checking that it is intact.

    Raises
    ------
    IntegrityProblem
        If it is not a shard, is cut off, or its rows do not match their digest (RUN-010).
    """
    try:
        table = pq.read_table(path, schema=None, memory_map=False)
        note: dict[str, Any] = json.loads((table.schema.metadata or {})[_KEY])
        intact = table.schema.equals(SCHEMA) and _rows_sha256(table.to_pydict()) == note["rows"]
    except (pa.ArrowException, KeyError, ValueError, OSError):
        intact = False
    if not intact:
        raise IntegrityProblem(
            "this file of measurements is damaged or was changed.",
            code="RUN-010",
            where=f"measurements/{path.name}",
            why="Shards are written whole or not at all, so this was not caused by an interrupted run.",
            action="Find out what changed it. Removing the file lets `validation resume` measure its cases again.",
        )
    return table, note


def own_shard(path: Path, *, plan_digest: str, case_ids: Sequence[str]) -> bool:
    """Tell whether a shard exists, is intact and belongs to this plan and these cases.

    Raises
    ------
    IntegrityProblem
        If it is damaged, or belongs to other cases or another plan (RUN-010, RUN-011).
    """
    if not path.exists():
        return False
    _, note = read_shard(path)
    if note.get("plan") != plan_digest or note.get("cases") != list(case_ids):
        raise IntegrityProblem(
            "this file of measurements belongs to another plan or other cases.",
            code="RUN-011",
            where=f"measurements/{path.name}",
            why="Measurements of two protocols must never be mixed.",
            action="Start a new run with `validation run`.",
        )
    return True


def shard_files(run_folder: Path) -> list[Path]:
    """Return the shards of a run in order."""
    return sorted((run_folder / "measurements").glob("part-*.parquet"))


def read_rejections(run_folder: Path) -> list[Rejection]:
    """Return the rejected cases of every shard, by case id."""
    found = [Rejection(**entry) for path in shard_files(run_folder) for entry in read_shard(path)[1]["rejections"]]
    return sorted(found, key=lambda rejection: rejection.case_id)


def iterate_measurements(run_folder: Path) -> Iterator[pa.Table]:
    """Yield the rows of each shard in order, so that memory holds one shard at a time."""
    for path in shard_files(run_folder):
        yield read_shard(path)[0].replace_schema_metadata(None)


def read_measurements(run_folder: Path) -> pa.Table:
    """Return all measurements of a run in order of case id, metric, arm, draw."""
    return pa.concat_tables(iterate_measurements(run_folder)) if shard_files(run_folder) else SCHEMA.empty_table()


def _rows_sha256(columns: dict[str, list[Any]]) -> str:
    digest = hashlib.sha256()
    for name in SCHEMA.names:
        digest.update(name.encode() + b"\0")
        for value in columns[name]:
            text = value.hex() if isinstance(value, float) else repr(value)
            digest.update(text.encode() + b"\0")
    return digest.hexdigest()
