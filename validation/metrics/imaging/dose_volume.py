"""Dose-volume histogram points and errors of a dose distribution within a structure."""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_image, checked_mask
from validation.registry import Direction, Kind, metric


@metric(
    "dose_volume_points",
    unit="Gy",
    direction=Direction.NONE,
    roles=("image", "mask"),
    kind=Kind.VECTOR,
    reference="ICRU Report 83 (2010), Journal of the ICRU 10(1)",
    oracle="gamma_dvh.json (numpy.percentile)",
    family="imaging",
)
def dose_volume_points(
    image: Tensor, mask: Tensor, *, volumes_percent: tuple[float, ...] = (98.0, 95.0, 50.0, 2.0)
) -> dict[str, Tensor]:
    """Dose-volume points of a structure: D98 %, D95 %, D50 %, D2 %, mean, least and largest dose.

    D_v is the dose that at least v % of the volume receives: the (100 - v)th percentile of the voxel doses, linearly
    interpolated. With comparator ``reference`` the paired difference is the error of dose calculated on a synthetic CT.
    A whole-body score hides an error in a small target, so measure every structure.

    Undefined (NaN) when the structure is empty.

    Parameters
    ----------
    image
        Dose, ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        The structure, same shape.
    volumes_percent
        Which D_v.

    Returns
    -------
    dict of Tensor
        ``(B,)`` each, in the unit of the dose.

    Examples
    --------
    >>> dose = torch.arange(101.0, dtype=torch.float64).reshape(1, 1, 101)
    >>> points = dose_volume_points(dose, torch.ones(1, 1, 101))
    >>> points["D95"].item(), points["mean"].item()
    (5.0, 50.0)
    """
    if not volumes_percent or not all(0 <= v <= 100 for v in volumes_percent):
        raise UsageProblem(
            f"volumes_percent is {volumes_percent}.",
            code="MET-014",
            where="volumes_percent",
            action="Give percentages of the volume from 0 to 100.",
        )
    dose = checked_image(image)
    inside = checked_mask(mask, dose)
    rows: list[list[float]] = []
    shares = torch.tensor([(100 - v) / 100 for v in volumes_percent], dtype=torch.float64, device=dose.device)
    for k in range(dose.shape[0]):
        values = dose[k][inside[k]].to(torch.float64) if inside is not None else dose[k].flatten().to(torch.float64)
        if len(values) == 0:
            rows.append([torch.nan] * (len(volumes_percent) + 3))
            continue
        ordered = values.sort().values
        position = shares * (len(ordered) - 1)
        low = position.floor().long()
        high = (low + 1).clamp(max=len(ordered) - 1)
        points = ordered[low] + (ordered[high] - ordered[low]) * (position - low)
        rows.append([*points.tolist(), float(values.mean()), float(ordered[0]), float(ordered[-1])])
    names = [*[f"D{v:g}" for v in volumes_percent], "mean", "least", "largest"]
    columns = torch.tensor(rows, dtype=torch.float64, device=dose.device).T
    return dict(zip(names, columns, strict=True))


@metric(
    "volume_at_dose",
    unit="1",
    direction=Direction.NONE,
    roles=("image", "mask"),
    reference="ICRU Report 83 (2010), Journal of the ICRU 10(1)",
    oracle="gamma_dvh.json",
    family="imaging",
)
def volume_at_dose(image: Tensor, mask: Tensor, *, dose: float) -> Tensor:
    """Share of a structure that receives at least a dose.

    Undefined (NaN) when the structure is empty.

    Parameters
    ----------
    image, mask
        As :func:`dose_volume_points`.
    dose
        In the unit of the dose image.
    """
    given = checked_image(image)
    inside = checked_mask(mask, given)
    where = inside if inside is not None else torch.ones_like(given, dtype=torch.bool)
    count = where.flatten(1).sum(1)
    reached = ((given >= dose) & where).flatten(1).sum(1)
    return torch.where(count > 0, reached.to(torch.float64) / count.clamp(min=1), torch.nan)
