"""A small run of ``benchmarks/statistics_coverage.py``: every interval and every test, few replicates."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/statistics_coverage.py"
    spec = importlib.util.spec_from_file_location("statistics_coverage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


BENCHMARK = _benchmark()


@pytest.mark.parametrize("case", BENCHMARK.INTERVALS, ids=lambda c: f"{c.name}, {c.scenario}")
def test_coverage(case: Any) -> None:
    share, error, _ = BENCHMARK.coverage(case, 200)
    assert share >= 0.95 - 0.015 - 3 * error
    assert share <= 0.95 + 0.015 + 3 * error or case.conservative


@pytest.mark.parametrize("case", BENCHMARK.TESTS, ids=lambda c: f"{c.name}, {c.scenario}")
def test_type_one_error(case: Any) -> None:
    studies = 30 if "detectability" in case.scenario or "auc" in case.scenario else 100
    share, _, _ = BENCHMARK.type_one_error(case, studies)
    assert share <= case.alpha + 3.5 * math.sqrt(case.alpha * (1 - case.alpha) / studies)
