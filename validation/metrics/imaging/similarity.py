"""Structural similarity, single-scale and multi-scale, in 2-D and 3-D.

Convention: Gaussian window of 11 voxels per axis (sigma 1.5), population covariance, mean over the **valid
interior** (the positions where the whole window lies inside the image). scikit-image (``gaussian_weights=True,
sigma=1.5, use_sample_covariance=False``) and MONAI do the same; torchmetrics averages over the reflect-padded full
image, and piq downsamples first by default, so their values differ.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own short name
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_mask, checked_pair, mean_over_voxels
from validation.metrics.imaging.filters import filter_valid
from validation.metrics.imaging.pixel_error import positive_data_range
from validation.registry import Direction, metric

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03
SLAB = 32  # slices of a volume worked on at a time
# five-scale exponents, Wang 2003 (calibration across scales)
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def gaussian_window(size: int = WINDOW, sigma: float = SIGMA) -> Tensor:
    """Return a one-dimensional Gaussian window that sums to one, in float64."""
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weight = torch.exp(-0.5 * (offset / sigma).square())
    return weight / weight.sum()


def similarity_maps(output: Tensor, reference: Tensor, shift: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Return the SSIM map and the contrast-structure map over the valid interior.

    Only the sum of the two variances enters the formula, so four filters serve instead of five. Both images are shifted
    by ``shift`` first, which leaves (co)variances unchanged and keeps float32 from cancelling.
    """
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    x, y = output - shift, reference - shift
    n = x.shape[0]
    filtered = filter_valid(torch.cat([x, y, x * x + y * y, x * y]), gaussian_window())
    mean_x, mean_y, squares, product = filtered[:n], filtered[n : 2 * n], filtered[2 * n : 3 * n], filtered[3 * n :]
    structure = (2 * (product - mean_x * mean_y) + c2) / (squares - mean_x.square() - mean_y.square() + c2)
    mean_x, mean_y = mean_x + shift, mean_y + shift
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return luminance * structure, structure


def mean_similarity(output: Tensor, reference: Tensor, mask: Tensor | None, data_range: float) -> tuple[Tensor, Tensor]:
    """Return the means over the valid interior of the SSIM map and the contrast-structure map, each ``(B,)``.

    Volumes are worked through in slabs of slices, so that memory stays a small multiple of a slab.
    """
    shift = mean_over_voxels(reference).to(reference.dtype).reshape(-1, *[1] * (reference.ndim - 1))
    inside = interior(mask)
    rows = output.shape[1] - WINDOW + 1
    step = SLAB if output.ndim == 4 else rows
    sums = torch.zeros(3, output.shape[0], dtype=torch.float64, device=output.device)
    for first in range(0, rows, step):
        part = slice(first, min(first + step, rows) + WINDOW - 1)
        maps = similarity_maps(output[:, part], reference[:, part], shift, data_range)
        within = None if inside is None else inside[:, first : first + step]
        count = within.flatten(1).sum(1) if within is not None else torch.full_like(sums[2], maps[0][0].numel())
        for row, values in enumerate(maps):
            # an empty part has no mean, and no share in the whole
            sums[row] += torch.where(count > 0, mean_over_voxels(values, within), 0.0) * count
        sums[2] += count
    means = torch.where(sums[2] > 0, sums[:2] / sums[2].clamp(min=1), torch.nan)
    return means[0], means[1]


def interior(mask: Tensor | None) -> Tensor | None:
    """Return the part of a mask where the whole window fits in the image."""
    if mask is None:
        return None
    edge = WINDOW // 2
    return mask[(slice(None), *[slice(edge, size - edge) for size in mask.shape[1:]])]


@metric(
    "ssim",
    unit="1",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference="doi:10.1109/TIP.2003.819861",
    oracle="scikit-image structural_similarity; MONAI SSIMMetric; iq_fullref.json",
    family="imaging",
)
def ssim(output: Tensor, reference: Tensor, mask: Tensor | None = None, *, data_range: float) -> Tensor:
    """Structural similarity index, mean over the valid interior.

    Gaussian window 11, sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance; see the module for how other tools
    differ. With a mask, the mean of the map over the interior voxels in the mask.

    Undefined (NaN) when an axis of the image is shorter than 11 voxels, or no voxel of the mask is in the interior.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        Same shape, bool.
    data_range
        Width of the intensity scale, in the unit of the image.

    Returns
    -------
    Tensor
        ``(B,)``, between -1 and 1, 1 for identical images.
    """
    data_range = positive_data_range(data_range)
    output, reference = checked_pair(output, reference)
    mask = checked_mask(mask, output)
    if min(output.shape[1:]) < WINDOW:
        return torch.full((output.shape[0],), torch.nan, dtype=torch.float64, device=output.device)
    return mean_similarity(output, reference, mask, data_range)[0]


@metric(
    "ms_ssim",
    unit="1",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    reference="doi:10.1109/ACSSC.2003.1292216",
    oracle="MONAI MultiScaleSSIMMetric; iq_fullref.json",
    family="imaging",
)
def ms_ssim(output: Tensor, reference: Tensor, *, data_range: float, scales: int = 5) -> Tensor:
    """Multi-scale structural similarity.

    The product over scales of the mean contrast-structure term to the power of its weight; at the coarsest scale the
    mean SSIM takes its place. Scales are halved by averaging blocks of two voxels per axis. Windows as :func:`ssim`;
    negative means (anti-correlated structure) count as zero. With fewer than five scales the first weights are used,
    divided by their sum.

    Undefined (NaN) when the image is too small for the scales: every axis must have at least ``11 * 2**(scales -
    1)`` voxels.

    Parameters
    ----------
    output, reference, data_range
        As :func:`ssim`.
    scales
        Number of scales, 1 to 5.

    Returns
    -------
    Tensor
        ``(B,)``, between 0 and 1.
    """
    data_range = positive_data_range(data_range)
    if not 1 <= scales <= len(SCALE_WEIGHTS):
        raise UsageProblem(
            f"scales is {scales}.", code="MET-014", where="scales", action="Give a number of scales from 1 to 5."
        )
    output, reference = checked_pair(output, reference)
    if min(output.shape[1:]) < WINDOW * 2 ** (scales - 1):
        return torch.full((output.shape[0],), torch.nan, dtype=torch.float64, device=output.device)
    weights = torch.tensor(SCALE_WEIGHTS[:scales], dtype=torch.float64, device=output.device)
    if scales < len(SCALE_WEIGHTS):
        weights = weights / weights.sum()
    halve = F.avg_pool2d if output.ndim == 3 else F.avg_pool3d
    terms = []
    for scale in range(scales):
        if scale:
            output, reference = (halve(image.unsqueeze(1), 2).squeeze(1) for image in (output, reference))
        similarity, structure = mean_similarity(output, reference, None, data_range)
        terms.append(similarity if scale == scales - 1 else structure)
    return (torch.stack(terms, 1).clamp(min=0) ** weights).prod(1)
