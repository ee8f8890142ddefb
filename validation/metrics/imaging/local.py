"""What a global score hides: contrast of a lesion, contrast to noise, local noise, and the worst local error."""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import (
    checked_image,
    checked_mask,
    checked_pair,
    mean_over_voxels,
    variance_over_voxels,
)
from validation.metrics.imaging.regions import window_mean, windows_inside
from validation.registry import Direction, metric


def _checked_window(window: int, image: Tensor) -> list[int]:
    """Return the window per axis, cut to the image where that is thinner."""
    if window < 1:
        raise UsageProblem(
            f"window is {window}.", code="MET-014", where="window", action="Give a number of voxels from 1 up."
        )
    return [min(window, size) for size in image.shape[1:]]


def dilated(mask: Tensor, radius: int) -> Tensor:
    """Return the mask grown by a square (2-D) or cube (3-D) of ``2 radius + 1`` voxels."""
    if radius == 0:
        return mask
    grown = torch.nn.functional.pad(~mask, [radius] * (2 * (mask.ndim - 1)), value=True)
    return ~windows_inside(grown, 2 * radius + 1)


@metric(
    "cnr",
    unit="1",
    direction=Direction.HIGHER,
    roles=("image", "signal_mask", "background_mask"),
    reference="AAPM TG-233, doi:10.1002/mp.13763 (contrast-to-noise ratio)",
    oracle="NumPy",
    family="imaging",
)
def cnr(image: Tensor, signal_mask: Tensor, background_mask: Tensor) -> Tensor:
    """Contrast-to-noise ratio of a signal region against a background region.

    ``|mean(signal) - mean(background)| / SD(background)``, sample standard deviation.

    Undefined (NaN) when a region is empty, the background has fewer than two voxels or no spread.

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    signal_mask, background_mask
        Same shape, bool. In a protocol: ``signal`` and ``background``, names of masks of the case.

    Returns
    -------
    Tensor
        ``(B,)``.
    """
    image = checked_image(image)
    signal = checked_mask(signal_mask, image, role="signal_mask")
    background = checked_mask(background_mask, image, role="background_mask")
    contrast = (mean_over_voxels(image, signal) - mean_over_voxels(image, background)).abs()
    spread = variance_over_voxels(image, background).sqrt()
    return torch.where(spread > 0, contrast / spread, torch.nan)


@metric(
    "lesion_contrast",
    unit="HU",
    direction=Direction.NONE,
    roles=("image", "mask"),
    optional_roles=("background_mask",),
    reference="TG-233, doi:10.1002/mp.13763 (contrast: difference of the mean values of two regions)",
    oracle="NumPy, scipy.ndimage",
    family="imaging",
)
def lesion_contrast(
    image: Tensor, mask: Tensor, background_mask: Tensor | None = None, *, gap: int = 1, ring: int = 3
) -> Tensor:
    """Contrast of a lesion against the ring around it.

    ``mean(lesion) - mean(ring)``. The ring lies ``gap`` voxels outside the lesion and is ``ring`` voxels wide
    (square neighbourhood); with a background mask, that is used instead. An erased lesion comes out near zero,
    whatever the global scores say.

    Undefined (NaN) when the lesion or the ring is empty.

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        The lesion, same shape, bool.
    background_mask
        Background to compare with instead of the ring.
    gap, ring
        In voxels.

    Returns
    -------
    Tensor
        ``(B,)``, in the unit of the image.
    """
    if gap < 0 or ring < 1:
        raise UsageProblem(
            f"gap is {gap}, ring {ring}.",
            code="MET-014",
            where="gap, ring",
            action="Give gap >= 0 and ring >= 1 voxels.",
        )
    image = checked_image(image)
    lesion = checked_mask(mask, image)
    around = checked_mask(background_mask, image, role="background_mask")
    if lesion is None:
        raise UsageProblem("no lesion mask.", code="MET-014", where="mask", action="Name the region of the lesion.")
    if around is None:
        around = dilated(lesion, gap + ring) & ~dilated(lesion, gap)
    return mean_over_voxels(image, lesion) - mean_over_voxels(image, around)


@metric(
    "local_sd",
    unit="HU",
    direction=Direction.LOWER,
    roles=("image",),
    optional_roles=("mask",),
    reference="Christianson 2015, doi:10.2214/AJR.14.13613 (global noise level)",
    oracle="NumPy sliding windows",
    family="imaging",
)
def local_sd(
    image: Tensor, mask: Tensor | None = None, *, window: int = 7, statistic: str = "median", fraction: float = 0.95
) -> Tensor:
    """Statistic of the map of local standard deviations.

    The sample standard deviation in every cube of ``window`` voxels that lies wholly in the mask; then the median,
    the mean, or a quantile (``fraction``) of the map. The median over soft tissue estimates noise in patients, where
    no region is uniform.

    Undefined (NaN) when no window fits in the mask.

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        Same shape, bool; the whole image if absent.
    window
        Side of the window, in voxels.
    statistic
        ``"median"``, ``"mean"`` or ``"quantile"``.
    fraction
        Which quantile.

    Returns
    -------
    Tensor
        ``(B,)``, in the unit of the image.
    """
    if statistic not in ("median", "mean", "quantile") or not 0 <= fraction <= 1 or window < 2:
        raise UsageProblem(
            f"statistic is {statistic!r}, fraction {fraction}, window {window}.",
            code="MET-014",
            where="statistic, fraction, window",
            action="Give median, mean or quantile, a fraction from 0 to 1, and a window of at least 2 voxels.",
        )
    image = checked_image(image)
    mask = checked_mask(mask, image)
    if window > min(image.shape[1:]):
        return torch.full((image.shape[0],), torch.nan, dtype=torch.float64, device=image.device)
    sides = [window] * (image.ndim - 1)
    voxels = window ** (image.ndim - 1)
    shifted = image - mean_over_voxels(image).nan_to_num().reshape(-1, *[1] * (image.ndim - 1)).to(image.dtype)
    variance = window_mean(shifted.square(), sides) - window_mean(shifted, sides).square()
    spread = (variance.clamp(min=0) * voxels / (voxels - 1)).sqrt()
    inside = windows_inside(mask, window) if mask is not None else None
    if statistic == "mean":
        return mean_over_voxels(spread, inside)
    share = 0.5 if statistic == "median" else fraction
    kept = spread.flatten(1) if inside is None else torch.where(inside, spread, torch.nan).flatten(1)
    return _quantile(kept.to(torch.float64), share)


def _quantile(values: Tensor, share: float) -> Tensor:
    """Return the quantile of each row without its NaN, interpolated (``torch.nanquantile`` stops at 16 million)."""
    ordered, _ = values.sort(1)  # NaN last
    count = (~values.isnan()).sum(1)
    position = (count - 1).clamp(min=0) * share
    low = position.floor().long()
    high = torch.minimum(low + 1, (count - 1).clamp(min=0))
    first, second = (ordered.gather(1, index[:, None]).squeeze(1) for index in (low, high))
    return first + (second - first) * (position - low)


@metric(
    "worst_local_error",
    unit="HU",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference="Bhadra 2021, doi:10.1109/TMI.2021.3077857 (local maps of false structure)",
    oracle="NumPy sliding windows; planted false cavity and nodule",
    family="imaging",
)
def worst_local_error(
    output: Tensor, reference: Tensor, mask: Tensor | None = None, *, window: int = 5, signed: bool = False
) -> Tensor:
    """Largest local error: the mean absolute difference in a small window, at its worst place.

    ``max over windows of mean(|output - reference|)``. A false cavity or an invented nodule of about the size of the
    window stands out here although it is too small to move MAE, PSNR or SSIM. With ``signed=True`` the absolute
    value is taken of the window's mean difference, so that zero-mean noise averages out and coherent structure remains.
    Windows whose central voxel is in the mask count.

    Undefined (NaN) when no window has its centre in the mask, or a voxel of the images is not a number.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        Same shape, bool; the whole image if absent.
    window
        Side of the window, in voxels (cut to the image where that is thinner).
    signed
        Whether errors of opposite sign may cancel within a window.

    Returns
    -------
    Tensor
        ``(B,)``, in the unit of the image.
    """
    output, reference = checked_pair(output, reference)
    mask = checked_mask(mask, output)
    sides = _checked_window(window, output)
    difference = output - reference
    local = window_mean(difference if signed else difference.abs(), sides).abs()
    if mask is not None:
        centres = mask[(slice(None), *[slice(w // 2, w // 2 + n) for w, n in zip(sides, local.shape[1:], strict=True)])]
        local = torch.where(centres, local, -torch.inf)
    worst = local.flatten(1).amax(1).to(torch.float64)
    return torch.where(worst >= 0, worst, torch.nan)
