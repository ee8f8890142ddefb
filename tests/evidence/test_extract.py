"""The extract of results that may leave a site holds no small cell and no single case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from validation.cli.main import main
from validation.evidence.extract import suppressed


def cell(n: int) -> dict:
    return {"estimate": {"value": 0.123456, "n": n, "n_clusters": n}, "status": "pass", "reason": f"{n} patients"}


def results() -> dict:
    return {
        "cohort": {"n_listed": 90, "exclusions": [{"case_id": "c1", "reason": "x"}], "rejections": []},
        "endpoints": {
            "E1": {
                "estimate": {"value": 1.0, "n": 81},
                "worst_cases": [{"case_id": "c9", "value": 3.0}],
                "subgroups": {
                    "sex": {"F": cell(40), "M": cell(38), "X": cell(3)},
                    "age": {"young": cell(2), "middle": cell(3), "old": cell(76)},
                    "kernel": {"sharp": cell(0), "soft": cell(81)},
                },
            }
        },
        "representativeness": {"sex": {"levels": {"X": {"n": 3, "observed": {}}, "F": {"n": 78, "observed": {}}}}},
        "missing_covariates": {"sex": {"n_missing": 2, "n": 90, "share": 0.02}},
        "fairness": {},
    }


def test_small_cells_and_those_that_give_them_away_are_hidden() -> None:
    full = results()
    found = suppressed(full, 5)
    groups = found["endpoints"]["E1"]["subgroups"]
    assert {level: c["status"] for level, c in groups["sex"].items()} == {
        "F": "pass",
        "M": "suppressed",
        "X": "suppressed",
    }
    assert [c["status"] for c in groups["age"].values()] == ["suppressed", "suppressed", "pass"]
    assert groups["kernel"] == full["endpoints"]["E1"]["subgroups"]["kernel"]  # an empty cell says nothing of a person
    assert all(level["n"] is None for level in found["representativeness"]["sex"]["levels"].values())
    assert found["missing_covariates"]["sex"]["n_missing"] is None
    text = json.dumps(found)
    assert "c9" not in text
    assert "c1" not in text
    assert full == results()  # the record is never changed


def test_the_verb_writes_an_extract_tied_to_the_record(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    for expected in (0, 2):  # a second time the file exists
        with pytest.raises(SystemExit) as end:
            main(["package", str(run), "--suppress", "5", "--out", str(out)])
        assert int(end.value.code or 0) == expected
    content = json.loads(out.read_bytes())
    assert content["suppressed_below"] == 5
    assert len(content["record"]["manifest_sha256"]) == 64
    path = run / "results.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(SystemExit) as end:
        main(["package", str(run), "--suppress", "5", "--out", str(tmp_path / "other.json")])
    assert end.value.code == 4
    capsys.readouterr()
