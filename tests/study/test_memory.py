"""Peak memory does not grow with the number of cases (small sizes; benchmarks/run_memory.py has the full ones)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "run_memory.py"


@pytest.mark.slow
def test_six_times_the_cases_take_no_more_memory() -> None:
    command = [sys.executable, str(BENCHMARK), "--small", "10", "--large", "60", "--size", "256"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
