"""Nearest neighbours between sets of features, in blocks of bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from validation.metrics.generative.sets import Codes, FeatureSet, Floats

BLOCK = 1 << 23  # distances held at a time
EXACT = 2e9  # multiplications up to which distances are computed in float64


def _prepared(a: Floats, b: Floats) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both sets about a common centre, in float64 where that is fast enough, else float32."""
    centre = b.mean(0)
    exact = len(a) * len(b) * a.shape[1] <= EXACT
    kind = torch.float64 if exact else torch.float32
    return torch.as_tensor(a - centre, dtype=kind), torch.as_tensor(b - centre, dtype=kind)


def squared_blocks(a: Floats, b: Floats):  # type: ignore[no-untyped-def]
    """Yield (first row, squared distances (rows, m)) of a against b."""
    first, second = _prepared(a, b)
    norms = second.square().sum(1)
    rows = max(1, BLOCK // len(second))
    for start in range(0, len(first), rows):
        part = first[start : start + rows]
        block = torch.addmm(norms.unsqueeze(0), part, second.T, alpha=-2)
        yield start, block.add_(part.square().sum(1, keepdim=True)).clamp_(min=0)


def own_radii(data: FeatureSet, k: int) -> Floats:
    """Return the distance (n,) of every image to its k-th nearest image of another patient of its set."""
    found = np.empty(data.n)
    codes = torch.as_tensor(data.patients)
    single = data.n_patients == data.n  # then only the image itself is left out
    for start, block in squared_blocks(data.values, data.values):
        rows = torch.arange(len(block))
        if single:
            block[rows, rows + start] = torch.inf
        else:
            block.masked_fill_(codes[start : start + len(block), None] == codes, torch.inf)
        nearest_k = block.topk(min(k, block.shape[1]), dim=1, largest=False).values[:, -1]
        found[start : start + len(block)] = nearest_k.sqrt().double()
    return found


def nearest(a: Floats, b: Floats) -> tuple[Floats, Codes]:
    """Return the distance (n,) of every row of a to its nearest row of b, and which that is."""
    distance = np.empty(len(a))
    index = np.empty(len(a), dtype=np.intp)
    for start, block in squared_blocks(a, b):
        values, where = block.min(1)
        distance[start : start + len(block)] = values.sqrt().double()
        index[start : start + len(block)] = where
    return distance, index


Flags = npt.NDArray[np.bool_]
