"""results.json: canonical bytes, ids that find exactly one number."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from validation.errors import IntegrityProblem
from validation.evidence.results import lookup, number_ids, numbers, read_results, write_results

RESULTS = {
    "schema": "validation.results/1",
    "cohort": {"n_cases": 12, "sealed": True},
    "endpoints": {
        "E1": {
            "estimate": {"value": 1.25, "lower": None, "unit": "HU"},
            "subgroups": {"slice_thickness": {"2.5": {"estimate": {"value": 3.5}}, "2": {"5": 4}}},
            "worst_cases": [{"case_id": "C1", "value": 7.0}, {"case_id": "C2", "value": 8.0}],
        }
    },
}


def test_written_file_is_canonical_and_comes_back(tmp_path: Path) -> None:
    record = {"b": [1, 2.5, None], "a": {"é": "µ"}, "run": {"id": "r1"}}
    digest = write_results(tmp_path, record)
    assert (tmp_path / "run.json").read_bytes() == b'{"id":"r1"}'
    assert (tmp_path / "results.json").read_bytes() == '{"a":{"é":"µ"},"b":[1,2.5,null]}'.encode()
    assert read_results(tmp_path) == record
    assert len(digest) == 64


def test_results_do_not_depend_on_the_run(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    digests = [write_results(folder, {**RESULTS, "run": {"id": folder.name}}) for folder in (one, two)]
    assert digests[0] == digests[1]
    assert read_results(two)["run"] == {"id": "two"}
    (two / "run.json").unlink()
    with pytest.raises(IntegrityProblem, match=r"run\.json cannot be read"):
        read_results(two)


def test_every_number_id_finds_its_number() -> None:
    # "2.5" as a key and "2" -> "5" are different numbers with different ids below them
    table = numbers(RESULTS)
    assert list(table) == list(number_ids(RESULTS))
    assert table["E1.estimate.value"] == 1.25
    assert table["E1.worst_cases.1.value"] == 8.0
    assert table["E1.subgroups.slice_thickness.2.5.estimate.value"] == 3.5
    assert table["cohort.n_cases"] == 12
    assert "cohort.sealed" not in table
    for identifier, value in table.items():
        if identifier != "E1.subgroups.slice_thickness.2.5":
            assert lookup(RESULTS, identifier) == value


def test_lookup_returns_records_and_refuses_what_is_not_there() -> None:
    assert lookup(RESULTS, "E1.estimate") == {"value": 1.25, "lower": None, "unit": "HU"}
    assert lookup(RESULTS, "E1.estimate.lower") is None
    for missing in ("E2.estimate", "E1.estimate.middle", "E1.worst_cases.2.value", "E1.worst_cases.-1.value", ""):
        with pytest.raises(KeyError, match="no such id"):
            lookup(RESULTS, missing)
    with pytest.raises(KeyError, match="ambiguous"):
        lookup(RESULTS, "E1.subgroups.slice_thickness.2.5")


@pytest.mark.parametrize("value", [math.nan, math.inf, np.int64(3), 2**60, b"x", {1: 2}])
def test_values_that_are_not_json_are_refused_by_name(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="cohort"):
        write_results(tmp_path, {"cohort": {"n": value}})
    assert not (tmp_path / "results.json").exists()


def test_two_numbers_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two numbers"):
        write_results(tmp_path, {"a": {"1.5": 1.0, "1": {"5": 2.0}}})
    with pytest.raises(ValueError, match="two numbers"):
        write_results(tmp_path, {"cohort": {"n": 1}, "endpoints": {"cohort": {"n": 2}}})


@pytest.mark.parametrize(
    "data", [b'{"a": 1}', b'{"a":1,"a":2}', b'{"b":1,"a":2}', b'{"a":1.0}', b'{"a":1e999}', b'{"a":NaN}']
)
def test_a_file_that_is_not_canonical_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "results.json").write_bytes(data)
    with pytest.raises(IntegrityProblem) as refusal:
        read_results(tmp_path)
    assert refusal.value.code == "EVD-002"


@pytest.mark.parametrize("data", [b"", b"[1]", b"\xff", b"{"])
def test_a_file_that_is_not_a_json_object_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "results.json").write_bytes(data)
    with pytest.raises(IntegrityProblem) as refusal:
        read_results(tmp_path)
    assert refusal.value.code == "EVD-001"
    (tmp_path / "results.json").unlink()
    with pytest.raises(IntegrityProblem, match="cannot be read"):
        read_results(tmp_path)
