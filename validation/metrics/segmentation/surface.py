"""Distances between the surfaces of two segmentations: HD95, ASSD, surface Dice.

Convention (that of MONAI and Metrics Reloaded): the surface is the set of voxels of the mask with a face neighbour
outside it (the border of the image counts as outside), distances run between voxel centres in mm, every surface voxel
counts once. DeepMind's surface-distance weighs by surface area and MedPy pools both directions before the percentile,
so their values differ.

An empty segmentation has no surface. Where one is empty and the other is not, the structure was missed or invented: the
distance is the diagonal of the image, the largest there can be, and the surface Dice is 0. It is never left out of a
mean.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import counted
from validation.metrics.segmentation.nearby import nearby
from validation.metrics.segmentation.overlap import checked_masks, checked_spacing
from validation.registry import Direction, metric

REFERENCE = "Maier-Hein 2024, doi:10.1038/s41592-023-02151-z"
ORACLE = "segmentation.json (MONAI, Metrics Reloaded)"
CHUNK = 2048  # surface voxels whose distances to all others are held at a time on a GPU


def surface(mask: Tensor) -> Tensor:
    """Return the voxels of ``(*spatial)`` masks that have a face neighbour outside."""
    inner = mask.clone()
    for axis in range(mask.ndim):
        n = mask.shape[axis]
        inner.narrow(axis, 1, n - 1).logical_and_(mask.narrow(axis, 0, n - 1))
        inner.narrow(axis, 0, n - 1).logical_and_(mask.narrow(axis, 1, n - 1))
        inner.select(axis, 0).fill_(False)
        inner.select(axis, n - 1).fill_(False)
    return mask & ~inner


def _nearest(points: Tensor, edge: Tensor, spacing: Tensor) -> Tensor:
    """Return the distance in mm of every voxel ``(N, ndim)`` to the nearest one of a surface ``(*spatial)``."""
    if points.is_cuda:
        others = edge.nonzero() * spacing
        parts = [torch.cdist(part, others).amin(1) for part in torch.split(points * spacing, CHUNK)]
        return torch.cat(parts)
    steps = spacing.numpy()
    distances = nearby(points.numpy(), edge.numpy(), steps)
    far = np.isinf(distances)
    if far.any():
        from scipy.spatial import cKDTree

        tree = cKDTree(edge.nonzero().numpy() * steps, balanced_tree=False, compact_nodes=False)
        distances[far] = tree.query(points.numpy()[far] * steps)[0]
    return torch.from_numpy(distances)


def surface_distances(output: Tensor, reference: Tensor, spacing: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distances in mm from each surface voxel of one mask to the surface of the other, both ways.

    ``output`` and ``reference`` are single masks ``(*spatial)``, neither empty. Voxels that both surfaces share are at
    distance zero and are not searched.
    """
    box = []
    together = output | reference
    for axis in range(together.ndim):
        held = together
        for other in reversed(range(together.ndim)):
            if other != axis:
                held = held.any(dim=other, keepdim=True)
        where = held.flatten().nonzero().flatten()
        box.append(slice(max(int(where[0]) - 1, 0), int(where[-1]) + 2))
        together = together.narrow(axis, box[-1].start, min(box[-1].stop, together.shape[axis]) - box[-1].start)
    # the box holds one empty voxel around both masks, or ends at the border of the image, which counts as outside
    first, second = surface(output[tuple(box)]), surface(reference[tuple(box)])
    distances = []
    for edge, opposite in ((first, second), (second, first)):
        points = edge.nonzero()
        distance = torch.zeros(points.shape[0], dtype=torch.float64, device=output.device)
        apart = ~opposite[edge]
        if bool(apart.any()):
            distance[apart] = _nearest(points[apart], opposite, spacing)
        distances.append(distance)
    return distances[0], distances[1]


def _per_case(
    output: Tensor, reference: Tensor, spacing_mm: Tensor
) -> tuple[Tensor, list[tuple[Tensor, Tensor] | None]]:
    """Return the worst distance of each case, and both sets of distances where neither mask is empty."""
    spacing = checked_spacing(spacing_mm, output)
    extent = torch.tensor(output.shape[1:], dtype=torch.float64, device=output.device)
    diagonal = (extent * spacing).norm(dim=1)
    sizes = [(counted(mask) > 0).tolist() for mask in (output, reference)]
    found: list[tuple[Tensor, Tensor] | None] = []
    for k, (a, b) in enumerate(zip(*sizes, strict=True)):
        found.append(surface_distances(output[k], reference[k], spacing[k]) if a and b else None)
        if not a and not b:
            diagonal[k] = torch.nan
    return diagonal, found


@metric(
    "hd95",
    unit="mm",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    reference="Huttenlocher 1993, doi:10.1109/34.232073; " + REFERENCE,
    oracle=ORACLE,
    family="segmentation",
)
def hd95(output: Tensor, reference: Tensor, *, spacing_mm: Tensor, percentile: float = 95.0) -> Tensor:
    """Hausdorff distance at a percentile: how far apart the surfaces are at (nearly) their worst place.

    The larger of the two directed percentiles (linear interpolation) of surface distances; see the module for
    conventions. A missed or invented structure has the diagonal of the image.

    Undefined (NaN) when both segmentations are empty.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``; bool, or above 0.5 inside.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    percentile
        95, or 100 for the classical Hausdorff distance.

    Returns
    -------
    Tensor
        ``(B,)``, in mm.
    """
    if not 0 < percentile <= 100:
        raise UsageProblem(
            f"percentile is {percentile}.", code="MET-014", where="percentile", action="Give a number up to 100."
        )
    output, reference = checked_masks(output, reference)
    values, found = _per_case(output, reference, spacing_mm)
    for k, distances in enumerate(found):
        if distances is not None:
            directed = [float(np.percentile(d.cpu().numpy(), percentile)) for d in distances]
            values[k] = max(directed)
    return values


@metric(
    "assd",
    unit="mm",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    reference=REFERENCE,
    oracle="segmentation.json (MONAI, MedPy, Metrics Reloaded)",
    family="segmentation",
)
def assd(output: Tensor, reference: Tensor, *, spacing_mm: Tensor) -> Tensor:
    """Average symmetric surface distance.

    The mean of the distances of all surface voxels of both masks to the other surface. A missed or invented structure
    has the diagonal of the image. Parameters as :func:`hd95`.

    Undefined (NaN) when both segmentations are empty.
    """
    output, reference = checked_masks(output, reference)
    values, found = _per_case(output, reference, spacing_mm)
    for k, distances in enumerate(found):
        if distances is not None:
            values[k] = torch.cat(distances).mean()
    return values


@metric(
    "surface_dice",
    unit="1",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    reference="Nikolov 2021, doi:10.2196/26151; " + REFERENCE,
    oracle=ORACLE,
    family="segmentation",
)
def surface_dice(output: Tensor, reference: Tensor, *, spacing_mm: Tensor, tolerance_mm: float) -> Tensor:
    """Surface Dice (normalised surface distance): the share of both surfaces within a tolerance of the other.

    The tolerance is what readers differ by; it has no default. A missed or invented structure has 0. Other parameters
    as :func:`hd95`.

    Undefined (NaN) when both segmentations are empty.
    """
    if not 0 <= tolerance_mm < float("inf"):
        raise UsageProblem(
            f"tolerance_mm is {tolerance_mm}.",
            code="MET-014",
            where="tolerance_mm",
            action="Give the tolerance in mm, 0 or more: how far readers differ.",
        )
    output, reference = checked_masks(output, reference)
    diagonal, found = _per_case(output, reference, spacing_mm)
    values = torch.where(diagonal.isnan(), torch.nan, torch.zeros_like(diagonal))
    for k, distances in enumerate(found):
        if distances is not None:
            values[k] = (torch.cat(distances) <= tolerance_mm).to(torch.float64).mean()
    return values
