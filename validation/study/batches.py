"""Putting cases of equal shape together, and how many fit into memory at once."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")
CASES_PER_BATCH = {"cpu": 4, "cuda": 64}
"""More cases at once than this gains nothing; on a CPU a few already keep every core busy."""
SHARE_OF_MEMORY = {"cpu": 0.25, "cuda": 0.7}
BYTES_PER_VOXEL = 2048.0
"""Assumed where the peak cannot be measured: float32 activations of a U-Net with 128 channels alive per voxel."""


def batch_size(shape: tuple[int, ...], voxels: int, device_type: str) -> int:
    """Return how many cases of a shape make a batch when ``voxels`` voxels fit.

    >>> batch_size((512, 512), 1 << 20, "cpu")
    4
    >>> batch_size((2000, 2000), 1 << 20, "cpu")
    1
    """
    return max(1, min(CASES_PER_BATCH.get(device_type, 4), voxels // math.prod(shape)))


def group(
    items: Iterable[T], *, shape: Callable[[T], tuple[int, ...]], size: Callable[[tuple[int, ...]], int]
) -> Iterator[list[T]]:
    """Yield lists of items of equal shape, at most ``size(shape)`` long, depending on the order of the items only.

    No more than twice a full batch is held back for partners: then the longest-waiting shape is given out unfilled.

    >>> list(group(["a", "b", "cc", "d"], shape=lambda s: (len(s),), size=lambda _: 2))
    [['a', 'b'], ['cc'], ['d']]
    """
    waiting: dict[tuple[int, ...], list[T]] = {}
    for item in items:
        key = shape(item)
        waiting.setdefault(key, []).append(item)
        if len(waiting[key]) >= size(key):
            yield waiting.pop(key)
        elif sum(map(len, waiting.values())) > 2 * max(size(key) for key in waiting):
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def memory_limit(device: torch.device) -> int:
    """Return the bytes that a batch may take: a share of what the device, or the control group, has in all.

    The total, not what happens to be free, so that a repeated run on the same machine comes to the same batches.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
    else:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            try:
                total = min(total, int(Path(name).read_text()))
            except (OSError, ValueError):  # no such control group, or "max"
                continue
    return int(total * SHARE_OF_MEMORY.get(device.type, 0.25))


def voxels_that_fit(work: Callable[[], object], voxels: int, device: torch.device, limit: int) -> int:
    """Return how many voxels fit into ``limit`` bytes, from the peak memory of ``work`` on ``voxels`` voxels.

    The answer is ``voxels`` times a power of two (at least 1), so that small differences in the measured peak do not
    change it. The first call of ``work`` is not measured: libraries then allocate what they keep.
    """
    work()
    peak = peak_memory(work, device)
    per_voxel = max(peak / voxels, 16.0) if peak is not None else BYTES_PER_VOXEL
    cases = max(1.0, limit / (per_voxel * voxels))
    return int(voxels << min(int(math.log2(cases)), 10))


def peak_memory(work: Callable[[], object], device: torch.device) -> int | None:
    """Return the bytes by which memory grows at most while working; ``None`` where the system does not tell."""
    return _peak_cuda(work, device) if device.type == "cuda" else _peak_cpu(work)


def _peak_cuda(work: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before


def _peak_cpu(work: Callable[[], object]) -> int | None:
    """Return the growth of the resident set while working; Linux lets a process reset its own high-water mark."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _high_water()
    except OSError:
        return None
    work()
    return _high_water() - before


def _high_water() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("the kernel does not tell the high-water mark")
