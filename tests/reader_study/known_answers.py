"""Reading the answers that other tools gave, so that tests can name the tool, its version and the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import _shared_root
from validation.reader_study.scores import ReaderScores, from_frame
from validation.reader_study.tables import read_scores

OWN = Path(__file__).resolve().parent.parent / "gold" / "reader_study"
_read: dict[Path, ReaderScores] = {}


def answers(path: Path) -> tuple[str, list[dict[str, Any]]]:
    """Return "tool version" and the list of results of a gold file."""
    record = json.loads(path.read_text())
    meta = record["meta"]
    results = record["results"] if "results" in record else record["result"]
    return f"{meta['tool']} {meta.get('version', '')}".strip(), results if isinstance(results, list) else [results]


def indexed(prefix: str, *others: str) -> list[Any]:
    """Return one parameter per file of the shared index whose name starts so, its id naming tool and version."""
    root = _shared_root()
    if root is None:
        return [pytest.param("", id="no shared data")]
    index = json.loads((root / "reference/mrmc/gold/INDEX.json").read_text())
    return [
        pytest.param(row["file"], id=f"{row['tool']} {row['version'] or ''}-{row['file']}")
        for row in index
        if row["file"].startswith((prefix, *others))
    ]


def scores_of(path: Path) -> ReaderScores:
    """Read a table once."""
    if path not in _read:
        _read[path] = read_scores(path)
    return _read[path]


def named_scores(data: Path, name: str) -> ReaderScores:
    """Return the scores that a gold record names: ``file.csv``, ``file.csv#trial=2``, or ``file.csv case=column``."""
    if "#trial=" in name:
        file, trial = name.split("#trial=")
        table = pd.read_csv(data / file, dtype=str)
        return from_frame(table[table["trial"] == trial])
    if " case=" in name:
        file, column = name.split(" case=")
        table = pd.read_csv(data / file, dtype=str)
        return from_frame(table.assign(case=table[column]))
    return scores_of(data / name)


def close(ours: Any, theirs: Any, *, rtol: float = 1e-6, atol: float = 1e-12) -> None:
    """Compare numbers, `"NA"` standing for what is not defined."""
    np.testing.assert_allclose(_floats(ours), _floats(theirs), rtol=rtol, atol=atol)


def _floats(values: Any) -> Any:
    """Return a flat array of floats, NaN for NA and None."""
    flat = np.ravel(np.asarray(values, dtype=object))
    return np.array([np.nan if v is None or v == "NA" else v for v in flat], dtype=float)
