"""Reading ahead, batching, progress and the record of the environment."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from validation.errors import DataProblem
from validation.study.batches import batch_size, group
from validation.study.environment import describe_environment, deterministic, git_state
from validation.study.progress import Lines, show_progress
from validation.study.reader import read_ahead


def test_cases_come_in_order_with_their_problems_and_few_at_a_time() -> None:
    held, most, lock = 0, 0, threading.Lock()

    def load(name: str) -> str:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        if name == "7":
            raise DataProblem("cannot be read.", code="X")
        return name

    names = [str(i) for i in range(50)]
    for expected, (name, outcome) in zip(names, read_ahead(load, names, ahead=3), strict=True):
        assert name == expected
        assert isinstance(outcome, DataProblem) if name == "7" else outcome == name
        with lock:
            held -= 1
    assert most <= 3 + 2


def test_a_defect_while_reading_is_raised() -> None:
    def load(name: str) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(read_ahead(load, ["a"]))


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 10**6)), max_size=60), st.integers(1, 5))
def test_groups_keep_every_item_once_and_never_mix_shapes(items: list[tuple[int, int]], most: int) -> None:
    def size(shape: tuple[int, ...]) -> int:
        return most + shape[0] - 1

    groups = list(group(items, shape=lambda item: (item[0],), size=size))
    assert sorted(item for part in groups for item in part) == sorted(items)
    for part in groups:
        assert len({shape for shape, _ in part}) == 1
        assert 1 <= len(part) <= size((part[0][0],))
    assert groups == list(group(items, shape=lambda item: (item[0],), size=size))


def test_batches_are_bounded_by_voxels_and_by_cases() -> None:
    assert batch_size((10, 10), 1000, "cpu") == 4
    assert batch_size((10, 10), 1000, "cuda") == 10
    assert batch_size((10, 10, 10), 1000, "cuda") == 1
    assert batch_size((100, 100, 100), 1000, "cuda") == 1


_FITS = """
import torch
from validation.study.batches import memory_limit, voxels_that_fit

cpu, voxels = torch.device("cpu"), 1 << 20

def work() -> None:
    (torch.zeros(16, voxels) + 1).sum()  # two tensors of 64 MiB

print(voxels_that_fit(work, voxels, cpu, 380 << 20) // voxels)  # 2.97 times as much
print(voxels_that_fit(work, voxels, cpu, 3000 << 20) // voxels)  # 23.4 times as much
print(voxels_that_fit(work, voxels, cpu, 1) // voxels)
print(0 < memory_limit(cpu) < 1 << 50)
"""


def test_the_memory_of_the_work_decides_how_much_fits() -> None:
    # in a process of its own: one that has worked before reuses memory that it freed, and grows less
    done = subprocess.run([sys.executable, "-c", _FITS], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["2", "16", "1", "True"]


def test_lines_tell_how_many_and_how_long() -> None:
    stream = io.StringIO()
    with show_progress(4, 1, stream=stream) as progress:
        progress.advance(1)
        progress.advance(2)
    assert stream.getvalue().splitlines() == ["measured 4 of 4 cases in 0 s"]
    eager = io.StringIO()
    lines = Lines(100, 0, eager, every_s=0)
    lines.advance(50)
    assert eager.getvalue().startswith("measured 50 of 100 cases, about ")


def test_a_bar_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with show_progress(2, stream=stream) as progress:
        progress.advance(2)
    assert "2/2" in stream.getvalue()


def test_environment_is_plain_and_names_nobody(tmp_path: Path) -> None:
    import getpass
    import platform

    record = describe_environment(torch.device("cpu"), seed=2**63 - 1, precision="fp32", folder=tmp_path)
    text = json.dumps(record)
    assert record["packages"]["torch"] == torch.__version__
    assert record["seed"] == str(2**63 - 1)
    assert record["gpu"] is None
    assert record["determinism"]["deterministic_algorithms"] is True
    assert record["study"]["git"] == {"commit": None, "dirty": None}
    assert platform.node() not in text or len(platform.node()) < 4
    assert f'"{getpass.getuser()}"' not in text
    assert str(tmp_path) not in text


def test_git_commit_and_uncommitted_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "study.yaml").write_text("a")
    git("add", "study.yaml")
    git("commit", "-m", "first")
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "study.yaml").write_text("b")
    assert git_state(tmp_path) == {**clean, "dirty": True}


def test_deterministic_mode_refuses_what_cannot_be_repeated() -> None:
    before = torch.backends.cudnn.deterministic
    with deterministic(torch.device("cpu")):
        assert torch.backends.cudnn.deterministic
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.deterministic == before
    assert not torch.are_deterministic_algorithms_enabled()
