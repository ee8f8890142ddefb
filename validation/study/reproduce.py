"""Judging a finished run again from its stored measurements, and comparing every number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from validation.evidence.results import read_results
from validation.study.execute import judge_run


def reproduce(run: Path, judge_again: Callable[..., dict[str, Any]] = judge_run) -> list[str]:
    """Return how the stored results differ from results computed again; empty when every number agrees.

    Measurements, case table, checks and protocol are read from the run folder; model, pixels and study are not
    needed. A record of another kind (a comparison) brings its own ``judge_again``. Numbers must agree to a relative
    1e-9: another processor may round the last bits differently.
    """
    stored = read_results(run)
    again = judge_again(run, finished=stored["run"]["finished"])
    return differences(stored, again)


def differences(stored: Any, again: Any) -> list[str]:
    """Return where two records of plain JSON types differ, at most 50 places."""
    return list(_differences(stored, again, ""))[:50]


def _differences(stored: Any, again: Any, path: str) -> list[str]:
    if isinstance(stored, dict) and isinstance(again, dict):
        found = []
        for key in sorted({*stored, *again}):
            here = f"{path}.{key}" if path else key
            if key not in stored or key not in again:
                found.append(f"{here}: {'not in the record' if key not in stored else 'not computed again'}")
            else:
                found += _differences(stored[key], again[key], here)
        return found
    if isinstance(stored, list) and isinstance(again, list):
        if len(stored) != len(again):
            return [f"{path}: {len(stored)} entries in the record, {len(again)} computed again"]
        pairs = enumerate(zip(stored, again, strict=True))
        return [line for i, (a, b) in pairs for line in _differences(a, b, f"{path}.{i}")]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (stored, again))
    if numbers and abs(stored - again) <= 1e-9 * max(abs(stored), abs(again), 1e-300):
        return []
    if stored == again:
        return []
    return [f"{path.removeprefix('endpoints.')}: {stored!r} in the record, {again!r} computed again"]
