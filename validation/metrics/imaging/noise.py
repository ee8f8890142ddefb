"""Noise and contrast in regions of one image: standard deviation, local standard deviation, CNR."""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_image, checked_mask, variance_over_voxels
from validation.registry import Direction, metric


def without_plane(image: Tensor, mask: Tensor | None) -> Tensor:
    """Return the image minus the plane fitted to the voxels in the mask (least squares), float64, zero outside it."""
    batch, *shape = image.shape
    values = image.to(torch.float64).flatten(1)
    inside = torch.ones_like(values) if mask is None else mask.flatten(1).to(torch.float64)
    values = torch.where(inside > 0, values, 0.0)
    axes = [torch.linspace(-1, 1, size, dtype=torch.float64, device=image.device) for size in shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    basis = torch.cat([torch.ones_like(grid[:1]), grid])
    normal = torch.einsum("kp,bp,lp->bkl", basis, inside, basis)
    right = torch.einsum("kp,bp->bk", basis, values * inside)
    # the pseudo-inverse also serves masks that lie in a line or a plane
    coefficients = torch.einsum("bkl,bl->bk", torch.linalg.pinv(normal, hermitian=True), right)
    return (values - coefficients @ basis).reshape(batch, *shape)


@metric(
    "noise_magnitude",
    unit="HU",
    direction=Direction.LOWER,
    roles=("image",),
    optional_roles=("mask",),
    reference="IEC 61223-3-5:2019 (image noise: SD of CT numbers in a uniform region)",
    oracle="NumPy std(ddof=1); nps_and_piq.json pixel SD",
    family="imaging",
)
def noise_magnitude(image: Tensor, mask: Tensor | None = None, *, detrend: str = "none") -> Tensor:
    """Noise as the standard deviation of the voxels in a uniform region.

    Sample standard deviation (``n - 1``). With ``detrend="plane"`` a fitted plane is subtracted first, so that
    cupping or a shading gradient is not counted as noise; the fitted coefficients then count as lost degrees of
    freedom.

    Undefined (NaN) when the region has fewer voxels than the fit needs, or a voxel in it is not a number.

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        The uniform region, same shape, bool; the whole image if absent.
    detrend
        ``"none"`` or ``"plane"``.

    Returns
    -------
    Tensor
        ``(B,)``, in the unit of the image.

    Examples
    --------
    >>> round(noise_magnitude(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])).item(), 6)
    1.290994
    """
    if detrend not in ("none", "plane"):
        raise UsageProblem(f"detrend is {detrend!r}.", code="MET-014", where="detrend", action="Give none or plane.")
    image = checked_image(image)
    mask = checked_mask(mask, image)
    if detrend == "none":
        return variance_over_voxels(image, mask).sqrt()
    residual = without_plane(image, mask)
    variance = variance_over_voxels(residual, mask)
    n = mask.flatten(1).sum(1) if mask is not None else torch.full_like(variance, image[0].numel())
    lost = image.ndim - 1
    return torch.where(n > lost + 1, variance * (n - 1) / (n - 1 - lost).clamp(min=1), torch.nan).sqrt()


@metric(
    "uniformity",
    unit="HU",
    direction=Direction.LOWER,
    roles=("image", "mask"),
    reference="IEC 61223-3-5:2019 (uniformity: difference of mean CT numbers between periphery and centre)",
    oracle="NumPy; images with planted cupping",
    family="imaging",
)
def uniformity(image: Tensor, mask: Tensor) -> Tensor:
    """Non-uniformity of a round region: the largest difference of mean CT number between its periphery and its centre.

    Five discs in plane, each with 0.25 of the radius of the region: one in its centre, four at 0.65 of its radius
    (above, below, left and right). Slices of a volume in which the mask has voxels are pooled. The standard asks for
    the largest absolute difference; noise adds to it, so compare images of like noise, or with the noise-free image.

    Undefined (NaN) when the region is so small that a disc holds no voxel of it, or a voxel there is not a number.

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        A round region of one material, same shape, bool.

    Returns
    -------
    Tensor
        ``(B,)``, in the unit of the image.
    """
    image = checked_image(image)
    region = checked_mask(mask, image)
    if region is None:
        raise UsageProblem("no mask.", code="MET-014", where="mask", action="Name the region.")
    found = []
    rows = torch.arange(image.shape[-2], dtype=torch.float64, device=image.device)[:, None]
    columns = torch.arange(image.shape[-1], dtype=torch.float64, device=image.device)[None, :]
    for values, inside in zip(image, region, strict=True):
        flat = inside.reshape(-1, *inside.shape[-2:]).any(0).to(torch.float64)
        area = flat.sum().clamp(min=1)
        centre = (flat * rows).sum() / area, (flat * columns).sum() / area
        radius = (area / torch.pi).sqrt()
        means = []
        for down, across in ((0.0, 0.0), (-0.65, 0.0), (0.65, 0.0), (0.0, -0.65), (0.0, 0.65)):
            y, x = rows - centre[0] - down * radius, columns - centre[1] - across * radius
            disc = inside & (y.square() + x.square() <= (0.25 * radius) ** 2)
            means.append(values[disc].to(torch.float64).mean())
        found.append((torch.stack(means[1:]) - means[0]).abs().amax())
    return torch.stack(found)
