"""What an image does to the dose of a plan: dose-volume points, dose-volume histogram and gamma of a recalculation.

The same beams with the same monitor units are calculated on each image by the engine of ``dose_engine`` (its physics
and limits stand there). With comparator ``reference`` the difference is the error of dose that a synthetic CT makes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import DataProblem, UsageProblem
from validation.metrics.imaging.batches import checked_image, checked_mask, checked_pair
from validation.metrics.imaging.dose_engine import DENSITY, REFERENCE, checked_beams, dose, plan_for
from validation.metrics.imaging.dose_volume import dose_volume_points
from validation.metrics.imaging.gamma import gamma_pass_rate
from validation.metrics.imaging.kept import Kept
from validation.metrics.imaging.regions import checked_spacing
from validation.registry import Direction, Kind, metric

Curve = tuple[tuple[float, float], ...]
BEAMS = (0.0, 72.0, 144.0, 216.0, 288.0)
ORACLE = "closed forms: water, layers, inverse square, field edge; opposed beams"
_doses: Kept[Tensor] = Kept(3)  # output, reference and one more


def planned_dose(
    image: Tensor,
    target: Tensor,
    spacing_mm: Tensor,
    gantry_degrees: tuple[float, ...],
    margin_mm: float,
    density: Curve,
) -> Tensor:
    """Return the dose of the plan on every image of a batch ``(B, D, H, W)``; NaN where the target is empty."""
    angles = checked_beams(gantry_degrees, margin_mm)
    curve = tuple((float(hu), float(rho)) for hu, rho in density)

    def compute() -> Tensor:
        seen = checked_image(image)
        if seen.ndim != 4:
            raise DataProblem(
                f"the dose is calculated on volumes, and the image has shape {tuple(image.shape[1:])}.",
                code="MET-010",
                where="image",
                why="Beams cross the slices and have a width across them.",
                action="Give whole series as cases.",
            )
        inside = checked_mask(target, seen, role="target_mask")
        spacing = checked_spacing(spacing_mm, seen)
        found = []
        for k in range(len(seen)):
            if inside is None or not bool(inside[k].any()):
                found.append(torch.full(seen.shape[1:], torch.nan, dtype=torch.float64, device=seen.device))
                continue
            plan = plan_for(inside[k], spacing[k], angles, margin_mm)
            found.append(dose(seen[k], spacing[k], plan, curve))
        return torch.stack(found)

    return _doses.get((image,), (target, spacing_mm), (angles, margin_mm, curve), compute)


@metric(
    "planned_dose_points",
    unit="%",
    direction=Direction.NONE,
    roles=("image", "mask", "target_mask"),
    kind=Kind.VECTOR,
    reference=REFERENCE + "; ICRU Report 83 (2010)",
    oracle=ORACLE,
    family="imaging",
)
def planned_dose_points(
    image: Tensor,
    mask: Tensor,
    target_mask: Tensor,
    *,
    spacing_mm: Tensor,
    gantry_degrees: tuple[float, ...] = BEAMS,
    margin_mm: float = 7.0,
    density: Curve = DENSITY,
    volumes_percent: tuple[float, ...] = (98.0, 95.0, 50.0, 2.0),
) -> dict[str, Tensor]:
    """Dose-volume points of a structure, from a plan that is recalculated on the image.

    Components as ``dose_volume_points``: ``D98``, ``D95``, ``D50``, ``D2``, ``mean``, ``least``, ``largest``.

    Undefined (NaN) when the structure or the target is empty.

    Parameters
    ----------
    image
        CT numbers in HU, ``(B, D, H, W)``.
    mask
        The structure that is reported (in a protocol: ``region``), same shape.
    target_mask
        The target that the beams aim at (in a protocol: ``target``), same shape.
    spacing_mm
        ``(B, 3)``, in array-axis order.
    gantry_degrees
        Direction of each beam, in the plane of rows and columns; 0 comes from the first row.
    margin_mm
        Of each field around the projection of the target.
    density
        Electron-density curve: pairs of HU and relative electron density. The default is an example.
    volumes_percent
        Which D_v.

    Returns
    -------
    dict of Tensor
        ``(B,)`` each, in per cent of the dose at the isocentre at 100 mm depth in water.
    """
    found = planned_dose(image, target_mask, spacing_mm, gantry_degrees, margin_mm, density)
    return dose_volume_points(found, mask, volumes_percent=tuple(volumes_percent))


@metric(
    "planned_dose_histogram",
    unit="1",
    direction=Direction.NONE,
    roles=("image", "mask", "target_mask"),
    kind=Kind.VECTOR,
    reference=REFERENCE + "; ICRU Report 83 (2010)",
    oracle=ORACLE,
    family="imaging",
    axis="dose / %",
)
def planned_dose_histogram(
    image: Tensor,
    mask: Tensor,
    target_mask: Tensor,
    *,
    spacing_mm: Tensor,
    gantry_degrees: tuple[float, ...] = BEAMS,
    margin_mm: float = 7.0,
    density: Curve = DENSITY,
    step_percent: float = 5.0,
    highest_percent: float = 150.0,
) -> dict[str, Tensor]:
    """Cumulative dose-volume histogram of a structure, from a plan that is recalculated on the image.

    Components named by the dose: the share of the structure that receives at least it. Other parameters as
    :func:`planned_dose_points`.

    Undefined (NaN) when the structure or the target is empty.

    Parameters
    ----------
    image, mask, target_mask, spacing_mm, gantry_degrees, margin_mm, density
        As :func:`planned_dose_points`.
    step_percent, highest_percent
        Doses at which the histogram is read.
    """
    if not 0 < step_percent <= highest_percent < float("inf"):
        raise UsageProblem(
            f"step_percent is {step_percent}, highest_percent {highest_percent}.",
            code="MET-014",
            where="step_percent, highest_percent",
            action="Give a positive step and a highest dose above it.",
        )
    found = planned_dose(image, target_mask, spacing_mm, gantry_degrees, margin_mm, density)
    inside = checked_mask(mask, found)
    where = torch.ones_like(found, dtype=torch.bool) if inside is None else inside
    count = where.flatten(1).sum(1).to(torch.float64)
    known = (count > 0) & ~found.flatten(1).isnan().any(1)
    levels = [step_percent * k for k in range(round(highest_percent / step_percent) + 1)]
    shares = {}
    for level in levels:
        reached = ((found >= level) & where).flatten(1).sum(1).to(torch.float64)
        shares[f"{level:g}"] = torch.where(known, reached / count.clamp(min=1), torch.nan)
    return shares


@metric(
    "planned_gamma_pass_rate",
    unit="%",
    direction=Direction.HIGHER,
    roles=("output", "reference", "target_mask"),
    optional_roles=("mask",),
    reference=REFERENCE + "; AAPM TG-218, doi:10.1002/mp.12810",
    oracle=ORACLE + "; gamma as gamma_pass_rate",
    family="imaging",
)
def planned_gamma_pass_rate(
    output: Tensor,
    reference: Tensor,
    target_mask: Tensor,
    mask: Tensor | None = None,
    *,
    spacing_mm: Tensor,
    dose_percent: float,
    distance_mm: float,
    local: bool = False,
    cutoff_percent: float = 10.0,
    gantry_degrees: tuple[float, ...] = BEAMS,
    margin_mm: float = 7.0,
    density: Curve = DENSITY,
) -> Tensor:
    """Gamma pass rate between the doses of one plan recalculated on output and reference.

    Undefined (NaN) when the target is empty, or no voxel lies above the cut-off and in the mask.

    Parameters
    ----------
    output, reference
        CT numbers in HU, ``(B, D, H, W)``.
    target_mask, spacing_mm, gantry_degrees, margin_mm, density
        As :func:`planned_dose_points`.
    mask, dose_percent, distance_mm, local, cutoff_percent
        As :func:`gamma_pass_rate`.
    """
    checked_pair(output, reference)
    first, second = (
        planned_dose(image, target_mask, spacing_mm, gantry_degrees, margin_mm, density)
        for image in (output, reference)
    )
    return gamma_pass_rate(
        first, second, mask, spacing_mm=spacing_mm, dose_percent=dose_percent, distance_mm=distance_mm, local=local,
        cutoff_percent=cutoff_percent,
    )  # fmt: skip
