"""The machine and software that a run was made on, and the switches that make it repeatable."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import validation


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Make PyTorch repeat itself bit by bit, and put the switches back afterwards.

    Deterministic algorithms only (an operation without one raises), cuDNN without autotuning, no TF32, and no fusing of
    TorchScript operations: that begins after a few calls, so a resumed process would round differently. The number of
    threads may be changed inside; it is put back too.
    """
    if device.type == "cuda":  # read once, when cuBLAS starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.get_num_threads(),
    )
    fusion = _set_fusion([])
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        _set_fusion(fusion)
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.backends.cudnn.deterministic = before[2]
        torch.set_float32_matmul_precision(before[3])
        torch.backends.cudnn.allow_tf32 = before[4]
        torch.set_num_threads(before[5])


def _set_fusion(strategy: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Set which TorchScript operations are fused, and return what was set before."""
    with warnings.catch_warnings():
        # TorchScript is deprecated upstream, yet its archives are run here; the notice is for those who write them.
        warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated.*")
        before: list[tuple[str, int]] = torch.jit.set_fusion_strategy(strategy)
    return before


def describe_environment(device: torch.device, *, seed: int, precision: str, folder: Path) -> dict[str, Any]:
    """Return what is recorded in ``environment.json``: plain JSON types, no host name, user or duration.

    Parameters
    ----------
    device
        Where the run was made.
    seed, precision
        From the protocol.
    folder
        The study folder; its git commit is recorded, and whether it holds uncommitted changes.
    """
    with deterministic(device):
        switches = {
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
            "cudnn_tf32": torch.backends.cudnn.allow_tf32,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
            "threads": torch.get_num_threads(),
        }
    return {
        "validation": {"version": validation.__version__, "git": git_state(Path(validation.__file__).parent)},
        "study": {"git": git_state(folder)},
        "python": {"version": platform.python_version(), "implementation": platform.python_implementation()},
        "system": {"name": platform.system(), "release": platform.release(), "machine": platform.machine()},
        "processor": _processor(),
        "gpu": _gpu(device),
        "determinism": switches,
        "seed": str(seed),
        "precision": precision,
        "packages": packages(),
    }


def packages() -> dict[str, str]:
    """Return the installed distributions and their versions, by name in lower case."""
    found = {
        str(d.metadata["Name"]).lower(): d.version for d in importlib.metadata.distributions() if d.metadata["Name"]
    }
    return dict(sorted(found.items()))


def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit of the git repository that a folder lies in, and whether files in the folder differ from it.

    ``{"commit": None, "dirty": None}`` where there is no repository or no git.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no", "--", "."))
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": dirty}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "core.fsmonitor=false", *arguments]  # a repository's settings must not start programs
    done = subprocess.run(  # noqa: S603 - fixed command, no shell
        command, cwd=folder, capture_output=True, text=True, timeout=20, check=True
    )
    return done.stdout.strip()


def _processor() -> dict[str, Any]:
    name = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        name = platform.processor()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if sys.platform != "win32" else None
    return {"name": name, "logical_cores": os.cpu_count(), "memory_bytes": memory}


def _gpu(device: torch.device) -> dict[str, Any] | None:
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "driver": _driver(),
    }


def _driver() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    return text.splitlines()[0].partition(":")[2].strip()
