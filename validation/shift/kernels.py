"""Sums of a kernel over pairs of patients, tile by tile, and statistics of many reassignments by matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from validation.shift.groups import Codes, Flags, Floats, Groups, make

if TYPE_CHECKING:
    import torch

MAXIMUM_UNITS = 2048
_TILE = 1 << 24  # entries of the kernel in memory at a time
_EXACT = 3000  # cases up to which the kernel is computed in float64


@dataclass(frozen=True, eq=False)
class Entries:
    """Pairwise sums over entries: the cases of one unit in one cohort.

    ``groups`` holds one "case" per entry; ``sizes`` (E,) the number of cases. ``sums`` (E, E) adds the kernel over all
    pairs of cases; ``own`` (E, E) over pairs of the same patient, which an unbiased statistic leaves out.
    ``own_pairs`` (E, E) counts them.
    """

    groups: Groups
    sizes: Floats
    sums: list[Floats]
    own: list[Floats]
    own_pairs: Floats


def entries(groups: Groups) -> tuple[Groups, Codes, Floats]:
    """Return groups with one case per entry (unit and cohort), the entry of each case, and the sizes of entries."""
    key = groups.units * 2 + groups.new
    kept, of_case = np.unique(key, return_inverse=True)
    reduced = make((kept % 2).astype(bool), (kept // 2).astype(np.intp), groups.strata, groups.exchange)
    return reduced, of_case, np.bincount(of_case).astype(np.float64)


def squared_median(x: Floats) -> float:
    """Return the median squared distance between different cases (of at most 2000, spread over the sorted data).

    >>> squared_median(np.array([[0.0], [1.0], [3.0]]))
    4.0
    """
    import torch

    order = np.lexsort(x.T)
    chosen = order[np.unique(np.linspace(0, len(x) - 1, min(len(x), 2000)).round().astype(int))]
    points = torch.as_tensor(x[chosen], dtype=torch.float64)
    distances = torch.pdist(points) ** 2
    return float(distances.median()) if len(distances) else 0.0


def gaussian_sums(x: Floats, patients: Codes, groups: Groups, squared_lengths: list[float], *, device: str) -> Entries:
    """Return sums of the kernels exp(-|x - y|^2 / l^2) for several l^2."""
    import torch

    def apply(squares: torch.Tensor) -> Iterator[torch.Tensor]:
        for length in squared_lengths:  # one tile in memory at a time
            yield torch.exp(squares / -length)

    return _sums(x, patients, groups, apply, len(squared_lengths), device)


def distance_sums(x: Floats, patients: Codes, groups: Groups, *, device: str) -> Entries:
    """Return sums of the kernel -|x - y|, whose maximum mean discrepancy squared is the energy distance squared."""
    return _sums(x, patients, groups, lambda squares: [-squares.sqrt()], 1, device)


def _sums(x: Floats, patients: Codes, groups: Groups, kernels: Any, count: int, device: str) -> Entries:
    import torch

    reduced, of_case, sizes = entries(groups)
    order = np.argsort(of_case, kind="stable")  # cases of an entry side by side, so that memory is read in order
    dtype = torch.float64 if len(x) <= _EXACT else torch.float32
    points = torch.as_tensor(x[order], dtype=dtype, device=device)
    owner = torch.as_tensor(patients[order], device=device)
    entry = torch.as_tensor(of_case[order], device=device)
    n, e = len(points), len(sizes)
    norms = (points**2).sum(dim=1)
    single = len(np.unique(patients)) == n
    total = torch.zeros((count, e, e), dtype=torch.float64, device=device)
    own = torch.zeros((count, e, e), dtype=torch.float64, device=device)
    pairs = torch.zeros((e, e), dtype=torch.float64, device=device)
    rows = max(1, _TILE // n)
    for start in range(0, n, rows):
        stop = min(n, start + rows)
        squares = norms[start:stop, None] + norms[None, :] - 2 * points[start:stop] @ points.T
        squares.clamp_(min=0)
        here = torch.arange(start, stop, device=device)
        squares[here - start, here] = 0.0
        same = None if single else owner[start:stop, None] == owner[None, :]
        for k, tile in enumerate(kernels(squares)):
            total[k].index_add_(0, entry[start:stop], _columns(tile, entry, e, n))
            if same is None:
                own[k].view(-1).index_add_(0, entry[start:stop] * (e + 1), tile[here - start, here].double())
            else:
                own[k].index_add_(0, entry[start:stop], _columns(tile * same, entry, e, n))
        if same is None:
            pairs.view(-1).index_add_(
                0, entry[start:stop] * (e + 1), torch.ones(stop - start, dtype=torch.float64, device=device)
            )
        else:
            pairs.index_add_(0, entry[start:stop], _columns(same.to(dtype), entry, e, n))
    to_numpy = [np.asarray(t.cpu().numpy()) for t in total], [np.asarray(t.cpu().numpy()) for t in own]
    return Entries(
        groups=reduced, sizes=sizes, sums=to_numpy[0], own=to_numpy[1], own_pairs=np.asarray(pairs.cpu().numpy())
    )


def _columns(tile: torch.Tensor, entry: torch.Tensor, e: int, n: int) -> torch.Tensor:
    """Add the columns of a tile (r, n) that belong to the same entry: (r, e)."""
    import torch

    if e == n:
        return tile.double()
    return torch.zeros((len(tile), e), dtype=tile.dtype, device=tile.device).index_add_(1, entry, tile).double()


def discrepancies(found: Entries, members: Flags, *, device: str) -> Floats:
    """Return the squared discrepancy of each kernel (count, b) for memberships of entries (b, E).

    Without strata it is unbiased: pairs of the same patient are left out. With strata it is the plain squared norm of
    the weighted difference.
    """
    import torch

    strata = np.unique(found.groups.strata[found.groups.units])
    if len(strata) > 1:
        signed = entry_weights(found, members)
        w = torch.as_tensor(signed, dtype=torch.float64, device=device)
        return np.stack([_quadratic(w, torch.as_tensor(k, device=device)) for k in found.sums])
    x = torch.as_tensor(members.astype(np.float64), device=device)
    pairs = torch.as_tensor(np.outer(found.sizes, found.sizes) - found.own_pairs, device=device)
    counts = _parts(x, pairs)
    result = []
    for total, own in zip(found.sums, found.own, strict=True):
        sums = _parts(x, torch.as_tensor(total - own, device=device))
        value = sums[0] / counts[0] + sums[1] / counts[1] - 2 * sums[2] / counts[2]
        result.append(np.asarray(value.cpu().numpy()))
    return np.stack(result)


def _parts(x: torch.Tensor, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return sums of a symmetric matrix within members (b,), within the others, and between, for members x (b, E)."""
    inside = ((x @ matrix) * x).sum(dim=1)
    rows = x @ matrix.sum(dim=1)
    return inside, matrix.sum() - 2 * rows + inside, rows - inside


def _quadratic(w: torch.Tensor, matrix: torch.Tensor) -> Floats:
    return np.asarray(((w @ matrix) * w).sum(dim=1).cpu().numpy())


def entry_weights(found: Entries, members: Flags) -> Floats:
    """Return the signed weight of each case of an entry (b, E), as :func:`validation.shift.groups.weights`."""
    of_entry = found.groups.strata[found.groups.units]
    member = members.astype(np.float64)
    result = np.zeros_like(member)
    total = np.zeros((len(member), 1))
    for s in np.unique(of_entry):
        inside = np.flatnonzero(of_entry == s)
        size = found.sizes[inside]
        part = member[:, inside]
        n = part @ size
        m = size.sum() - n
        share = n * m / size.sum()
        result[:, inside] = share[:, None] * (part / np.maximum(n, 1)[:, None] - (1 - part) / np.maximum(m, 1)[:, None])
        total += share[:, None]
    return np.asarray(result / np.maximum(total, 1e-300))


def influence_gram(found: Entries, kernel: int) -> tuple[Floats, float]:
    """Return the Gram matrix (U, U) of the patients' influences in the kernel's space, and the degrees of freedom."""
    groups, sizes = found.groups, found.sizes
    mass = entry_weights(found, groups.new[None, :])[0] * sizes
    of_entry = groups.strata[groups.units]
    e = len(sizes)
    rows = np.zeros((groups.count, e))
    traces: list[tuple[Floats, float]] = []
    means = found.sums[kernel] / np.outer(sizes, sizes)
    for new in (False, True):
        own = np.zeros((groups.count, e))
        inside = groups.new == new
        for s in np.unique(of_entry):
            here = np.flatnonzero(inside & (of_entry == s))
            if len(here):
                own[groups.units[here], here] += mass[here]
                np.add.at(
                    own,
                    (groups.units[here][:, None], here[None, :]),
                    -np.outer(mass[here], sizes[here] / sizes[here].sum()),
                )
        total = np.abs(mass[inside]).sum()
        share = np.bincount(
            groups.units[inside], weights=np.abs(mass[inside]) / max(total, 1e-300), minlength=groups.count
        )
        g = max(2, int((share > 0).sum()))
        own *= (np.sqrt((g - 1) / g) / np.maximum(1 - share, 1e-12))[:, None]
        rows += own
        traces.append((own, max(1.0, 1 / max(float((share**2).sum()), 1e-300) - 1)))
    spreads = [float(np.einsum("ue,ef,uf->", own, means, own, optimize=True)) for own, _ in traces]
    df = sum(spreads) ** 2 / max(sum(v**2 / d for v, (_, d) in zip(spreads, traces, strict=True)), 1e-300)
    return np.asarray(rows @ means @ rows.T), float(max(1.0, df))
