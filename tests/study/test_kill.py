"""Killed at any moment and resumed, a run gives the bytes of one that was left alone."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.study.synthetic import write_cohort
from validation.study.shards import read_measurements, shard_files

ROOT = Path(__file__).resolve().parents[2]


def start(cohort: Path, run: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.study.measure_in_process", str(cohort), str(run)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if process.stdout is None or process.stdout.readline() != "ready\n":  # imports are done, measuring begins
        pytest.fail(process.communicate(timeout=60)[1])
    return process


def contents(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((run / "measurements").iterdir()) if not p.name.startswith(".")}


KILLS = int(os.environ.get("VALIDATION_TEST_KILLS", "5"))


@pytest.mark.slow
def test_kill_at_random_moments_then_resume(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 36)
    calm, harried = tmp_path / "calm", tmp_path / "harried"
    calm.mkdir()
    harried.mkdir()
    process = start(cohort, calm)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=300)
    whole_run_s = time.monotonic() - begun
    assert process.returncode == 0, errors
    moments = random.Random(20261122)  # noqa: S311 - not for secrets
    left: list[int] = []
    for kill in range(KILLS):
        process = start(cohort, harried)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Every kill looks at a later part of the run than the one before, so that some find shards already there.
            process.wait(timeout=whole_run_s * moments.uniform(0.0, 0.4 + 0.2 * kill / KILLS))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        left.append(len(shard_files(harried)))
        for shard in shard_files(harried):  # whatever is there is whole
            assert shard.read_bytes() == (calm / "measurements" / shard.name).read_bytes()
    assert left == sorted(left)  # nothing that was finished is lost
    process = start(cohort, harried)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert contents(harried) == contents(calm)
    assert read_measurements(harried).num_rows == 36 * (2 * 2 + 2) + 9 * 2
