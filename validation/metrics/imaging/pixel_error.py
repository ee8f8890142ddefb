"""Voxel-wise errors against a reference: RMSE, MAE, PSNR, HU bias."""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_mask, checked_pair, mean_over_voxels
from validation.registry import Direction, metric


def positive_data_range(data_range: float) -> float:
    """Return the data range, refusing zero, negative and non-finite ones (``MET-013``)."""
    if not 0 < data_range < float("inf"):
        raise UsageProblem(
            f"data_range is {data_range}.",
            code="MET-013",
            where="data_range",
            why="It is the width of the intensity scale that the value is relative to.",
            action="Give a positive number in the unit of the image, such as 2000 for HU from -1000 to 1000.",
        )
    return float(data_range)


@metric(
    "rmse",
    unit="HU",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference="doi:10.3354/cr030079",
    oracle="NumPy; scikit-image mean_squared_error; iq_fullref.json",
    family="imaging",
)
def rmse(output: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
    """Root mean squared error between output and reference.

    ``sqrt(mean((output - reference)^2))`` over the voxels of the mask, or all.

    Undefined (NaN) when the mask is empty or a voxel in it is not a number.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``, in the unit of the image.
    mask
        Same shape, bool.

    Returns
    -------
    Tensor
        ``(B,)``, in the unit of the image.

    Examples
    --------
    >>> round(rmse(torch.zeros(1, 2, 2), torch.full((1, 2, 2), 3.0)).item(), 6)
    3.0
    """
    output, reference = checked_pair(output, reference)
    return mean_over_voxels(output, checked_mask(mask, output), minus=reference, power="square").sqrt()


@metric(
    "mae",
    unit="HU",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference="doi:10.3354/cr030079",
    oracle="NumPy; iq_fullref.json",
    family="imaging",
)
def mae(output: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute error between output and reference.

    ``mean(|output - reference|)`` over the voxels of the mask, or all. Shapes as :func:`rmse`.

    Undefined (NaN) when the mask is empty or a voxel in it is not a number.
    """
    output, reference = checked_pair(output, reference)
    return mean_over_voxels(output, checked_mask(mask, output), minus=reference, power="absolute")


@metric(
    "psnr",
    unit="dB",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference="doi:10.1049/el:20080522",
    oracle="scikit-image peak_signal_noise_ratio; torchmetrics; iq_fullref.json",
    family="imaging",
)
def psnr(output: Tensor, reference: Tensor, mask: Tensor | None = None, *, data_range: float) -> Tensor:
    """Peak signal-to-noise ratio of the output against the reference.

    ``20 log10(data_range) - 10 log10(mean((output - reference)^2))``. The data range is part of the definition and has
    no default: a range taken from the image at hand makes values of two cases incomparable. Shapes as :func:`rmse`.

    Undefined (NaN) when output and reference are identical (the ratio has no finite value, and an infinity would
    swallow every mean it enters), when the mask is empty, or when a voxel in it is not a number.

    Parameters
    ----------
    output, reference, mask
        As :func:`rmse`.
    data_range
        Width of the intensity scale, in the unit of the image.
    """
    data_range = positive_data_range(data_range)
    output, reference = checked_pair(output, reference)
    mse = mean_over_voxels(output, checked_mask(mask, output), minus=reference, power="square")
    return torch.where(mse > 0, 10 * torch.log10(data_range**2 / mse), torch.nan)


@metric(
    "hu_bias",
    unit="HU",
    direction=Direction.ZERO,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference="IEC 61223-3-5:2019 (mean CT number)",
    oracle="NumPy",
    family="imaging",
)
def hu_bias(output: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean signed difference of the output from the reference, in a region.

    ``mean(output - reference)`` over the voxels of the mask, or all: positive when the output is too bright. Give a
    region of one material; over a whole image errors of opposite sign cancel. Shapes as :func:`rmse`.

    Undefined (NaN) when the mask is empty or a voxel in it is not a number.
    """
    output, reference = checked_pair(output, reference)
    return mean_over_voxels(output, checked_mask(mask, output), minus=reference)
