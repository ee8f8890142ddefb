"""Shards are the same bytes for the same rows, and tell when they were changed."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from validation.errors import IntegrityProblem
from validation.study.shards import (
    SCHEMA,
    Rejection,
    Row,
    own_shard,
    read_measurements,
    read_rejections,
    read_shard,
    shard_path,
    write_shard,
)

ROWS = [
    Row("a", "rmse", "output", 0, "", 1.25, "HU", ""),
    Row("a", "nps", "output", 0, "0.1", 1e-300, "HU2.mm2", ""),
    Row("b", "rmse", "output", 0, "", None, "HU", "not defined"),
]
REJECTED = [Rejection(case_id="b", reason="no image", code="RUN-020")]


def write(path: Path, rows: list[Row] = ROWS, cases: tuple[str, ...] = ("a", "b")) -> bytes:
    write_shard(path, rows, plan_digest="p", case_ids=cases, rejections=REJECTED)
    return path.read_bytes()


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "1.parquet")
    assert write(tmp_path / "2.parquet") == first
    changed = [*ROWS[:1], Row("a", "nps", "output", 0, "0.1", 1.0000000000000002e-300, "HU2.mm2", ""), ROWS[2]]
    assert write(tmp_path / "3.parquet", changed) != first


def test_rows_and_rejections_come_back(tmp_path: Path) -> None:
    path = shard_path(tmp_path, 0)
    write(path)
    table = read_measurements(tmp_path)
    assert table.schema == SCHEMA
    assert [Row(**record) for record in table.to_pylist()] == ROWS
    assert read_rejections(tmp_path) == REJECTED
    assert own_shard(path, plan_digest="p", case_ids=["a", "b"])
    assert not own_shard(tmp_path / "none.parquet", plan_digest="p", case_ids=["a", "b"])
    for plan, cases in (("q", ["a", "b"]), ("p", ["a"]), ("p", ["b", "a"])):
        with pytest.raises(IntegrityProblem) as caught:
            own_shard(path, plan_digest=plan, case_ids=cases)
        assert caught.value.code == "RUN-011"


def test_no_measurements_are_an_empty_table(tmp_path: Path) -> None:
    assert read_measurements(tmp_path).num_rows == 0


def test_a_value_that_was_edited_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    write(path)
    table = pq.read_table(path)
    column = SCHEMA.get_field_index("value")
    edited = table.set_column(column, SCHEMA.field("value"), [[0.5, 1e-300, None]])
    pq.write_table(edited.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(IntegrityProblem) as caught:
        read_shard(path)
    assert caught.value.code == "RUN-010"


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "1.parquet"
    data = write(path)
    before = read_shard(path)
    noticed = 0
    for position in range(0, len(data), 7):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x15]) + data[position + 1 :])
        try:
            table, note = read_shard(path)
        except IntegrityProblem:
            noticed += 1
        else:  # padding and statistics carry no rows
            assert table.to_pylist() == before[0].to_pylist()
            assert note["rows"] == before[1]["rows"]
    assert noticed > len(data) / 7 / 3
