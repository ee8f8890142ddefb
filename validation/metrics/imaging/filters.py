"""Separable filters over images, fast on CPU and GPU: one-dimensional windows along every axis, valid interior only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 16  # output samples per block: long enough for a matrix product, short enough to waste little on zeros


def banded(window: Tensor, outputs: int) -> Tensor:
    """Return the matrix ``(outputs, outputs + len(window) - 1)`` whose rows are the window, one step further each.

    >>> banded(torch.tensor([1.0, 2.0]), 2)
    tensor([[1., 2., 0.],
            [0., 1., 2.]])
    """
    size = window.shape[0]
    matrix = window.new_zeros(outputs, outputs + size - 1)
    for row in range(outputs):
        matrix[row, row : row + size] = window
    return matrix


def _along_rows(planes: Tensor, window: Tensor) -> Tensor:
    """Filter ``(N, H, W)`` along its second axis; the result ``(N, H - size + 1, W)`` is contiguous.

    Overlapping blocks of rows, seen without a copy, are multiplied by a small banded matrix: every sample is read about
    once, where a direct convolution reads it once per element of the window.
    """
    n, height, width = planes.shape
    size = window.shape[0]
    outputs = height - size + 1
    result = planes.new_empty(n, outputs, width)
    block = min(max(BLOCK, size), outputs)
    matrix = banded(window, block)
    for first in range(0, outputs, block):
        count = min(block, outputs - first)
        part = planes[:, first : first + count + size - 1]
        weights = matrix[:count, : count + size - 1].expand(n, -1, -1)
        torch.bmm(weights, part, out=result[:, first : first + count])
    return result


def filter_valid(images: Tensor, windows: Tensor | Sequence[Tensor]) -> Tensor:
    """Filter every image axis of ``(N, *spatial)``; keep the positions where the whole window lies inside.

    Parameters
    ----------
    images
        ``(N, H, W)`` or ``(N, D, H, W)``, floating.
    windows
        One one-dimensional window for all axes, or one per axis (correlated, not flipped).
    """
    axes = images.ndim - 1
    each = [windows] * axes if isinstance(windows, Tensor) else list(windows)
    each = [window.to(images) for window in each]
    result = images
    if axes == 3 and each[0].shape[0] > 1:
        n, depth, height, width = result.shape
        result = _along_rows(result.reshape(n, depth, height * width), each[0]).reshape(n, -1, height, width)
    if each[-2].shape[0] > 1:
        lead = result.shape[:-2]
        result = _along_rows(result.reshape(-1, *result.shape[-2:]), each[-2])
        result = result.reshape(*lead, *result.shape[1:])
    if each[-1].shape[0] > 1:
        result = _along_columns(result, each[-1])
    return result


def _along_columns(images: Tensor, window: Tensor) -> Tensor:
    """Filter along the last axis, as :func:`_along_rows` with the matrix on the other side."""
    width, size = images.shape[-1], window.shape[0]
    outputs = width - size + 1
    lines = images.contiguous().reshape(-1, width)
    result = lines.new_empty(lines.shape[0], outputs)
    block = min(max(2 * BLOCK, size), outputs)
    matrix = banded(window, block).T.contiguous()
    for first in range(0, outputs, block):
        count = min(block, outputs - first)
        part = lines[:, first : first + count + size - 1]
        torch.mm(part, matrix[: count + size - 1, :count], out=result[:, first : first + count])
    return result.reshape(*images.shape[:-1], outputs)
