r"""Gamma index of two dose distributions (2-D and 3-D, global and local), with interpolation between voxels.

.. math:: \gamma(r) = \min_d \sqrt{\frac{|d|^2}{\Delta^2} + \frac{(D_o(r+d) - D_r(r))^2}{\delta(r)^2}}

for every voxel r of the reference dose above the cut-off; the output dose is interpolated (multi-linear) at
displacements d on a grid of ``distance_mm / interpolation``. The criterion delta is a percentage of the maximum of the
reference (global) or of the dose at r (local). All voxels above the cut-off are evaluated, whatever the criterion.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_mask, checked_pair
from validation.metrics.imaging.kept import Kept
from validation.metrics.imaging.regions import checked_spacing
from validation.registry import Direction, metric

REFERENCE = "Low 1998, doi:10.1118/1.598248; AAPM TG-218, doi:10.1002/mp.12810"
ORACLE = "gamma_dvh.json (pymedphys 0.41); direct search on small grids; closed forms"
OUTSIDE = 1e9  # dose beyond the grid: so far off that no displacement there is ever nearest
BLOCK = 1 << 22  # interpolated doses held at a time
LIMIT = 2.0  # gamma beyond which the mean does not look
SHELLS = 10  # distance shells per distance criterion


@dataclass(frozen=True, eq=False)
class Piece:
    """Displacements of one shell within one cell of the voxel grid.

    ``corner`` is the cell relative to the voxel, ``weights`` (2**ndim, n) interpolate its corners, ``squares`` (n,) are
    squared distances in units of the distance criterion, ``nearest`` their least.
    """

    corner: tuple[int, ...]
    weights: Tensor
    squares: Tensor
    nearest: float


@lru_cache(maxsize=8)
def search_plan(spacing: tuple[float, ...], distance: float, limit: float, interpolation: int) -> list[list[Piece]]:
    """Return the displacements up to ``limit`` distance criteria, by shell and cell, nearest first."""
    step = distance / interpolation
    reach = int(limit * interpolation + 1e-9)
    line = torch.arange(-reach, reach + 1, dtype=torch.float64)
    grid = torch.stack([g.flatten() for g in torch.meshgrid(*[line] * len(spacing), indexing="ij")], 1)
    squares = grid.square().sum(1)
    grid, squares = grid[squares <= reach**2], squares[squares <= reach**2]
    place = grid * step / torch.tensor(spacing, dtype=torch.float64)
    place = torch.where((place - place.round()).abs() < 1e-9, place.round(), place)
    cell = place.floor()
    share = place - cell
    shell = (squares.sqrt() / interpolation * SHELLS).ceil().long()
    key = torch.cat([shell[:, None], cell.long()], 1)
    kinds, member = torch.unique(key, dim=0, return_inverse=True)
    corners = list(product((0, 1), repeat=len(spacing)))
    plan: list[list[Piece]] = [[] for _ in range(int(shell.max()) + 1)]
    for k, kind in enumerate(kinds.tolist()):
        which = member == k
        part = share[which]
        weights = [
            torch.stack([part[:, a] if up else 1 - part[:, a] for a, up in enumerate(corner)]).prod(0)
            for corner in corners
        ]
        square = squares[which] / interpolation**2
        plan[kind[0]].append(Piece(tuple(kind[1:]), torch.stack(weights), square, float(square.min())))
    return [sorted(pieces, key=lambda p: p.nearest) for pieces in plan]


def gamma_map(
    output: Tensor,
    reference: Tensor,
    counted: Tensor,
    criterion: Tensor,
    plan: list[list[Piece]],
    *,
    limit: float,
    enough: float = 0.0,
) -> Tensor:
    """Return the gamma index (N,) of the counted voxels of one case, at most ``limit``.

    Parameters
    ----------
    output, reference
        Doses ``(*spatial)``.
    counted
        Bool ``(*spatial)``.
    criterion
        Dose criterion of each counted voxel (N,), in the unit of the dose.
    plan
        From :func:`search_plan`.
    limit
        Largest gamma searched for; voxels beyond have this value.
    enough
        The search of a voxel ends when its gamma is at most this (1 where only passing matters).
    """
    if output.device.type == "cpu":
        return _on_cpu(output, reference, counted, criterion, plan, limit, enough)
    ndim, device = output.ndim, output.device
    margin = _margin(plan)
    padded = torch.nn.functional.pad(output.float(), [margin] * (2 * ndim), value=OUTSIDE)
    strides = torch.tensor(padded.stride(), device=device)
    place = ((counted.nonzero() + margin) * strides).sum(1)
    flat = padded.flatten()
    wanted = reference[counted].float()
    scale = (1 / criterion).float().to(device)  # differences in units of the criterion: float32 is accurate to 1e-5
    best = torch.full((len(place),), limit**2, dtype=torch.float32, device=device)
    active = torch.arange(len(place), device=device)
    corners = torch.tensor(list(product((0, 1), repeat=ndim)), device=device)
    for pieces in plan:
        if not pieces or len(active) == 0:
            continue
        nearest = min(piece.nearest for piece in pieces)
        active = active[best[active] > max(nearest, enough**2)]
        for piece in pieces:
            offset = ((corners + torch.tensor(piece.corner, device=device)) * strides).sum(1)
            weights, squares = piece.weights.float().to(device), piece.squares.float().to(device)
            rows = max(1, BLOCK // len(squares))
            for part in torch.split(active, rows):
                values = flat[place[part][:, None] + offset]
                values = (values - wanted[part][:, None]) * scale[part][:, None]
                gap = torch.maximum(values.amin(1), -values.amax(1)).clamp(min=0)
                open_ = piece.nearest + gap.square() < best[part]
                if not bool(open_.any()):
                    continue
                chosen = part[open_]
                found = (values[open_] @ weights).square_().add_(squares).amin(1)
                best[chosen] = torch.minimum(best[chosen], found)
    return best.to(torch.float64).sqrt()


def _margin(plan: list[list[Piece]]) -> int:
    return 1 + max(abs(c) for pieces in plan for piece in pieces for c in piece.corner)


def _on_cpu(
    output: Tensor, reference: Tensor, counted: Tensor, criterion: Tensor, plan: list[list[Piece]],
    limit: float, enough: float,
) -> Tensor:  # fmt: skip
    """Return the gamma index by the compiled search."""
    from validation.metrics.imaging.gamma_search import search

    margin = _margin(plan)
    padded = np.pad(output.numpy().astype(np.float64), margin, constant_values=OUTSIDE)
    index = tuple(axis + margin for axis in counted.numpy().nonzero())
    found = search(
        padded,
        np.ravel_multi_index(index, padded.shape),
        reference[counted].numpy().astype(np.float64),
        1 / criterion.numpy().astype(np.float64),
        sorted((piece for pieces in plan for piece in pieces), key=lambda piece: piece.nearest),
        limit,
        enough,
    )
    return torch.from_numpy(found)


_maps: Kept[list[Tensor]] = Kept()


def _gammas(
    output: Tensor, reference: Tensor, mask: Tensor | None, spacing_mm: Tensor, rule: dict[str, float], enough: float
) -> list[Tensor]:
    """Return the gamma indices of the counted voxels of every case."""
    output, reference = checked_pair(output, reference)
    mask = checked_mask(mask, reference)
    spacing = checked_spacing(spacing_mm, output)
    found = []
    for k in range(output.shape[0]):
        peak = float(reference[k].max())
        counted = reference[k] >= rule["cutoff_percent"] / 100 * peak
        if mask is not None:
            counted &= mask[k]
        if not peak > 0 or not bool(counted.any()):
            found.append(torch.zeros(0, dtype=torch.float64))
            continue
        if rule["local"]:
            counted &= reference[k] > 0
        level = reference[k][counted].to(torch.float64) if rule["local"] else torch.full((int(counted.sum()),), peak)
        plan = search_plan(tuple(spacing[k].tolist()), rule["distance_mm"], rule["limit"], int(rule["interpolation"]))
        criterion = level.to(torch.float64) * rule["dose_percent"] / 100
        found.append(gamma_map(output[k], reference[k], counted, criterion, plan, limit=rule["limit"], enough=enough))
    return found


def _rule(
    dose_percent: float, distance_mm: float, local: bool, cutoff_percent: float, interpolation: int, limit: float
) -> dict[str, float]:
    """Return the criteria of a map by name, refusing those that do not fit."""
    rule = {
        "dose_percent": dose_percent,
        "distance_mm": distance_mm,
        "local": float(local),
        "cutoff_percent": cutoff_percent,
        "interpolation": interpolation,
        "limit": limit,
    }
    fits = dose_percent > 0 and distance_mm > 0 and 0 <= cutoff_percent < 100 and interpolation >= 1 and limit > 0
    if not fits:
        raise UsageProblem(
            "the criteria of the gamma index do not fit: " + ", ".join(f"{k} {v:g}" for k, v in rule.items()) + ".",
            code="MET-014",
            where="dose_percent, distance_mm, cutoff_percent, interpolation, limit",
            action="Give positive criteria, a cut-off from 0 to below 100 and at least one step per distance.",
        )
    return rule


@metric(
    "gamma_pass_rate",
    unit="%",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference=REFERENCE,
    oracle=ORACLE,
    family="imaging",
)
def gamma_pass_rate(
    output: Tensor,
    reference: Tensor,
    mask: Tensor | None = None,
    *,
    spacing_mm: Tensor,
    dose_percent: float,
    distance_mm: float,
    local: bool = False,
    cutoff_percent: float = 10.0,
    interpolation: int = 10,
) -> Tensor:
    """Share of voxels whose gamma index is at most 1, in per cent.

    A high pass rate over a whole plan hides a failure in a small volume: give the region of the target as mask too.

    Undefined (NaN) when no voxel lies above the cut-off and in the mask.

    Parameters
    ----------
    output, reference
        Doses, ``(B, H, W)`` or ``(B, D, H, W)``, on one grid.
    mask
        Where voxels count; everywhere if absent.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    dose_percent, distance_mm
        The criteria, such as 2 (%) and 2 (mm).
    local
        Percentage of the local dose instead of the maximum of the reference.
    cutoff_percent
        Voxels of the reference below this percentage of its maximum do not count.
    interpolation
        Steps per distance criterion at which the output dose is interpolated. The search grid can only miss the nearest
        point, never invent one: gamma comes out too large, not too small. Where the dose changes by more than its
        criterion within one step (steep edges with ``local`` or 1 %), raise it.

    Returns
    -------
    Tensor
        ``(B,)``, in per cent.
    """
    full = _rule(dose_percent, distance_mm, local, cutoff_percent, interpolation, LIMIT)
    gammas = _maps.find((output, reference), (mask, spacing_mm), tuple(full.values()))  # as gamma_mean left it
    if gammas is None:
        short = {**full, "limit": 1.0 + 1.0 / interpolation}
        gammas = _gammas(output, reference, mask, spacing_mm, short, enough=1.0)
    shares = [100 * float((g <= 1 + 1e-6).to(torch.float64).mean()) if len(g) else torch.nan for g in gammas]
    return torch.tensor(shares, dtype=torch.float64, device=output.device)


@metric(
    "gamma_mean",
    unit="1",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference=REFERENCE,
    oracle=ORACLE,
    family="imaging",
)
def gamma_mean(
    output: Tensor,
    reference: Tensor,
    mask: Tensor | None = None,
    *,
    spacing_mm: Tensor,
    dose_percent: float,
    distance_mm: float,
    local: bool = False,
    cutoff_percent: float = 10.0,
    interpolation: int = 10,
    limit: float = LIMIT,
) -> Tensor:
    """Mean gamma index of the voxels above the cut-off; values above ``limit`` count as ``limit``.

    Unlike the pass rate it still tells two good plans apart. Other parameters as :func:`gamma_pass_rate`.

    Undefined (NaN) when no voxel lies above the cut-off and in the mask.
    """
    rule = _rule(dose_percent, distance_mm, local, cutoff_percent, interpolation, limit)
    gammas = _maps.get(
        (output, reference),
        (mask, spacing_mm),
        tuple(rule.values()),
        lambda: _gammas(output, reference, mask, spacing_mm, rule, enough=0.0),
    )
    means = [float(g.mean()) if len(g) else torch.nan for g in gammas]
    return torch.tensor(means, dtype=torch.float64, device=output.device)
