"""Edit effort: how much of a contour a reader had to redraw.

``output`` is the proposal, ``reference`` the contour after human editing (or the expert's own).
"""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.segmentation.overlap import checked_masks, checked_spacing
from validation.metrics.segmentation.surface import surface, surface_distances
from validation.registry import Direction, metric


@metric(
    "added_path_length",
    unit="mm",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    reference="Vaassen 2020, doi:10.1016/j.phro.2019.12.001",
    oracle="closed forms (boxes), NumPy",
    family="segmentation",
)
def added_path_length(output: Tensor, reference: Tensor, *, spacing_mm: Tensor, tolerance_mm: float = 0.0) -> Tensor:
    """Length of the final contour that the proposal did not have, in mm: what had to be drawn by hand.

    In every slice (first array axis of a volume) the contour is the set of pixels with a neighbour outside; the pixels
    of the final contour farther than ``tolerance_mm`` from any pixel of the proposal's contour of that slice are
    counted and multiplied by the in-plane pixel size (geometric mean of row and column spacing). A structure missed
    altogether costs its whole contour. A structure invented where there is none costs nothing to draw: read
    ``edited_surface_fraction`` beside it.

    Undefined (NaN) when both segmentations are empty.

    Parameters
    ----------
    output, reference
        Proposal and final contour, ``(B, H, W)`` or ``(B, D, H, W)``; bool, or above 0.5 inside.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    tolerance_mm
        How far a contour may lie off without being redrawn.

    Returns
    -------
    Tensor
        ``(B,)``, in mm.
    """
    _checked(tolerance_mm)
    output, reference = checked_masks(output, reference)
    spacing = checked_spacing(spacing_mm, output)
    lengths = []
    for k in range(output.shape[0]):
        first, second = output[k], reference[k]
        if not bool(first.any()) and not bool(second.any()):
            lengths.append(torch.nan)
            continue
        planes = zip(first, second, strict=True) if output.ndim == 4 else [(first, second)]
        plane = spacing[k, -2:]
        pixels = sum(_added(a, b, plane, tolerance_mm) for a, b in planes)
        lengths.append(pixels * float(plane.prod().sqrt()))
    return torch.tensor(lengths, dtype=torch.float64, device=output.device)


def _added(proposal: Tensor, final: Tensor, spacing: Tensor, tolerance: float) -> int:
    """Return the number of contour pixels of one slice that had to be added."""
    if not bool(final.any()):
        return 0
    if tolerance == 0 or not bool(proposal.any()):
        return int((surface(final) & ~surface(proposal)).sum())
    _, distances = surface_distances(proposal, final, spacing)
    return int((distances > tolerance).sum())


@metric(
    "edited_surface_fraction",
    unit="1",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    reference="Vaassen 2020, doi:10.1016/j.phro.2019.12.001; Nikolov 2021, doi:10.2196/26151",
    oracle="closed forms (boxes)",
    family="segmentation",
)
def edited_surface_fraction(output: Tensor, reference: Tensor, *, spacing_mm: Tensor, tolerance_mm: float) -> Tensor:
    """Share of the final surface that lies farther than a tolerance from the proposed surface.

    Surfaces and distances as in ``surface_dice``. A structure missed or invented altogether has 1: all of it had to be
    drawn or deleted.

    Undefined (NaN) when both segmentations are empty.

    Parameters
    ----------
    output, reference, spacing_mm
        As :func:`added_path_length`.
    tolerance_mm
        Required: what readers leave unedited.
    """
    _checked(tolerance_mm)
    output, reference = checked_masks(output, reference)
    spacing = checked_spacing(spacing_mm, output)
    shares = []
    for k in range(output.shape[0]):
        here = bool(output[k].any()), bool(reference[k].any())
        if all(here):
            _, distances = surface_distances(output[k], reference[k], spacing[k])
            shares.append(float((distances > tolerance_mm).to(torch.float64).mean()))
        else:
            shares.append(1.0 if any(here) else torch.nan)
    return torch.tensor(shares, dtype=torch.float64, device=output.device)


def _checked(tolerance_mm: float) -> None:
    if not 0 <= tolerance_mm < float("inf"):
        raise UsageProblem(
            f"tolerance_mm is {tolerance_mm}.",
            code="MET-014",
            where="tolerance_mm",
            action="Give the tolerance in mm, 0 or more: what readers leave unedited.",
        )
