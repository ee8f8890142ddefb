"""Synthetic CT by tissue class: HU error, overlap of bone and air, and the largest false region of a tissue.

A mean over the whole body hides an error in one tissue: bone is a tenth of the volume and matters most for the dose.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_mask, checked_pair, counted, mean_over_voxels
from validation.metrics.imaging.dose_engine import DENSITY, electron_density
from validation.metrics.imaging.regions import checked_spacing
from validation.registry import Direction, Kind, metric

REFERENCE = "Spadea 2021, doi:10.1002/mp.15150 (evaluation of synthetic CT); Thummerer 2023, doi:10.1002/mp.16529"


@metric(
    "tissue_hu_error",
    unit="HU",
    direction=Direction.ZERO,
    roles=("output", "reference"),
    optional_roles=("mask",),
    kind=Kind.VECTOR,
    reference=REFERENCE,
    oracle="gamma_dvh.json (mean and mean absolute error in the body); NumPy by class",
    family="imaging",
)
def tissue_hu_error(
    output: Tensor,
    reference: Tensor,
    mask: Tensor | None = None,
    *,
    edges: tuple[float, ...] = (-200.0, 200.0),
    names: tuple[str, ...] = ("air", "soft tissue", "bone"),
    min_voxels: int = 10,
) -> dict[str, Tensor]:
    """Mean error and mean absolute error in HU, in each tissue class of the reference.

    Classes are intervals of the reference's values, so that what a tissue came out as is charged to the tissue it is.
    Components ``ME bone``, ``MAE bone``, ...

    Undefined (NaN) when a class has fewer than ``min_voxels`` voxels.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``, in HU.
    mask
        Where voxels count (the body), same shape.
    edges, names
        Rising limits between classes in HU, and the names of the classes, one more.
    min_voxels
        Least size of a class.
    """
    output, reference = checked_pair(output, reference)
    return _by_tissue(output, reference, reference, checked_mask(mask, reference), edges, names, min_voxels)


@metric(
    "tissue_density_error",
    unit="1",
    direction=Direction.ZERO,
    roles=("output", "reference"),
    optional_roles=("mask",),
    kind=Kind.VECTOR,
    reference=REFERENCE,
    oracle="NumPy (interp) by class",
    family="imaging",
)
def tissue_density_error(
    output: Tensor,
    reference: Tensor,
    mask: Tensor | None = None,
    *,
    density: tuple[tuple[float, float], ...] = DENSITY,
    edges: tuple[float, ...] = (-200.0, 200.0),
    names: tuple[str, ...] = ("air", "soft tissue", "bone"),
    min_voxels: int = 10,
) -> dict[str, Tensor]:
    """Mean error and mean absolute error of relative electron density, in each tissue class of the reference.

    CT numbers of both images go through the electron-density curve of the treatment planning system first: what
    counts for the dose. Classes are intervals of the reference's HU. Components ``ME bone``, ``MAE bone``, ...

    Undefined (NaN) when a class has fewer than ``min_voxels`` voxels.

    Parameters
    ----------
    output, reference, mask, edges, names, min_voxels
        As :func:`tissue_hu_error`.
    density
        Pairs of HU and relative electron density, by rising HU. The default is an example.
    """
    output, reference = checked_pair(output, reference)
    curve = tuple((float(hu), float(rho)) for hu, rho in density)
    first, second = electron_density(output, curve), electron_density(reference, curve)
    return _by_tissue(first, second, reference, checked_mask(mask, reference), edges, names, min_voxels)


def _by_tissue(
    output: Tensor, reference: Tensor, hu: Tensor, body: Tensor | None, edges: Sequence[float], names: Sequence[str],
    min_voxels: int,
) -> dict[str, Tensor]:  # fmt: skip
    """Return mean and mean absolute difference in the classes of ``hu``."""
    limits = (-float("inf"), *edges, float("inf"))
    if list(edges) != sorted(set(edges)) or len(names) != len(edges) + 1 or len(set(names)) != len(names):
        raise UsageProblem(
            f"edges are {edges}, names {names}.",
            code="MET-014",
            where="edges, names",
            action="Give rising limits in HU and one name more than limits.",
        )
    found: dict[str, Tensor] = {}
    for name, (low, high) in zip(names, pairwise(limits), strict=True):
        tissue = (hu >= low) & (hu < high)
        if body is not None:
            tissue &= body
        enough = (counted(tissue) >= min_voxels).to(output.device)
        for what, power in (("ME", "signed"), ("MAE", "absolute")):
            error = mean_over_voxels(output, tissue, minus=reference, power=power)
            found[f"{what} {name}"] = torch.where(enough, error, torch.nan)
    return found


def _tissue(image: Tensor, lower: float, upper: float, body: Tensor | None) -> Tensor:
    inside = (image >= lower) & (image < upper)
    return inside if body is None else inside & body


def _checked(lower: float, upper: float) -> None:
    if not lower < upper:
        raise UsageProblem(
            f"lower is {lower}, upper {upper}.",
            code="MET-014",
            where="lower, upper",
            action="Give a rising interval of values, such as lower 200 (bone) or upper -200 (air).",
        )


@metric(
    "tissue_dice",
    unit="1",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference=REFERENCE,
    oracle="dice of thresholded images",
    family="imaging",
)
def tissue_dice(
    output: Tensor,
    reference: Tensor,
    mask: Tensor | None = None,
    *,
    lower: float = -float("inf"),
    upper: float = float("inf"),
) -> Tensor:
    """Dice of one tissue, taken as an interval of values in both images: bone from 200 HU, air below -200 HU.

    A tissue missed altogether, or there in the output only, has 0.

    Undefined (NaN) when neither image has the tissue.

    Parameters
    ----------
    output, reference, mask
        As :func:`tissue_hu_error`.
    lower, upper
        The tissue holds values from ``lower`` up to below ``upper``; at least one must be given.
    """
    _checked(lower, upper)
    output, reference = checked_pair(output, reference)
    body = checked_mask(mask, reference)
    first, second = (_tissue(image, lower, upper, body) for image in (output, reference))
    total = counted(first) + counted(second)
    both = counted(first & second)
    return torch.where(total > 0, 2 * both / total.clamp(min=1).to(torch.float64), torch.nan)


@metric(
    "largest_false_tissue",
    unit="mL",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference=REFERENCE,
    oracle="planted cavities of known volume; scipy.ndimage",
    family="imaging",
)
def largest_false_tissue(
    output: Tensor,
    reference: Tensor,
    mask: Tensor | None = None,
    *,
    spacing_mm: Tensor,
    lower: float = -float("inf"),
    upper: float = float("inf"),
    erode: int = 1,
) -> Tensor:
    """Volume of the largest connected region that is a tissue in the output and not in the reference, in mL.

    Finds the false air cavity (``upper: -400``) or the bone that is not there, which whole-image scores pass over. The
    false region is eroded by ``erode`` voxels before its size is taken and grown back within itself, so that a rim of
    partial volume along every true border does not join up. In two dimensions a thickness of 1 mm is taken.

    Defined for every case: zero where there is no false region.

    Parameters
    ----------
    output, reference, mask, lower, upper
        As :func:`tissue_dice`.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    erode
        Voxels (face neighbours) that a border may be off.
    """
    from scipy import ndimage

    _checked(lower, upper)
    if erode < 0:
        raise UsageProblem(f"erode is {erode}.", code="MET-014", where="erode", action="Give 0 or more voxels.")
    output, reference = checked_pair(output, reference)
    body = checked_mask(mask, reference)
    voxel_ml = (checked_spacing(spacing_mm, output).prod(1) / 1000).tolist()
    false = _tissue(output, lower, upper, body) & ~_tissue(reference, lower, upper, body)
    volumes = []
    for case, unit in zip(false.cpu().numpy(), voxel_ml, strict=True):
        core = ndimage.binary_erosion(case, iterations=erode) if erode else case
        if not core.any():
            volumes.append(0.0)
            continue
        around = np.ones((3,) * case.ndim, dtype=bool)
        grown = ndimage.binary_dilation(core, around, iterations=erode, mask=case) if erode else core
        labels, _ = ndimage.label(grown)
        volumes.append(float(np.bincount(labels[grown]).max()) * unit)
    return torch.tensor(volumes, dtype=torch.float64, device=output.device)
