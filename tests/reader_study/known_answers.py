"""Reading the answers that other tools gave, so that tests can name the tool, its version and the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from validation.reader_study.scores import ReaderScores
from validation.reader_study.tables import read_scores

OWN = Path(__file__).resolve().parent.parent / "gold" / "reader_study"
_read: dict[Path, ReaderScores] = {}


def answers(path: Path) -> tuple[str, list[dict[str, Any]]]:
    """Return "tool version" and the list of results of a gold file."""
    record = json.loads(path.read_text())
    meta = record["meta"]
    results = record["results"]
    return f"{meta['tool']} {meta.get('version', '')}".strip(), results if isinstance(results, list) else [results]


def scores_of(path: Path) -> ReaderScores:
    """Read a table once."""
    if path not in _read:
        _read[path] = read_scores(path)
    return _read[path]


def close(ours: Any, theirs: Any, *, rtol: float = 1e-6, atol: float = 1e-12) -> None:
    """Compare numbers, `"NA"` standing for what is not defined."""
    ours = np.array([np.nan if v is None else v for v in np.ravel(ours)], dtype=float)
    theirs = np.array(
        [np.nan if v in ("NA", None) else v for v in np.ravel(np.asarray(theirs, dtype=object))], dtype=float
    )
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
