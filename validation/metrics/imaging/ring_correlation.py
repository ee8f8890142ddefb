"""Fourier ring correlation of output and reference: of the whole image, and region by region.

The correlation of ring r is taken between the spectra of two images after their mean is removed and a Hann window
applied. Frequencies count half for the ring below and half for the ring above their radius (both the same for a whole
radius). The correlation is signed: a structure with inverted contrast correlates negatively and counts as disagreement.

Compared with sFRC (Kc et al. 2024, doi:10.36227/techrxiv.171259560.02243347/v1), whose curves and counts the tests
reproduce with these functions: sFRC takes the absolute value, so that inverted structure passes, multiplies each
windowed patch by its own transpose, and scales each patch to 0..1 instead of removing its mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_mask, checked_pair
from validation.metrics.imaging.regions import checked_spacing
from validation.registry import Direction, metric


def ring_weights(size: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the weights ``(size * (size // 2 + 1), size // 2)`` of half-plane frequencies in rings 0, 1, ...

    Rings lie inside the circle of the Nyquist frequency. Frequencies that the half plane (``rfft2``) leaves out are
    counted by doubling their mirror images.
    """
    across = torch.arange(size // 2 + 1, device=device, dtype=torch.float64)
    down = torch.fft.fftfreq(size, 1 / size, device=device, dtype=torch.float64)
    radius = (down[:, None].square() + across.square()).sqrt().flatten()
    weights = torch.zeros(radius.numel(), size // 2 + 2, device=device, dtype=torch.float64)
    for ring in (radius.floor(), radius.ceil()):
        inside = ring.clamp(max=size // 2 + 1).long()
        weights.scatter_add_(1, inside[:, None], torch.full_like(radius, 0.5)[:, None])
    twice = torch.ones(size // 2 + 1, device=device, dtype=torch.float64) * 2
    twice[0] = 1
    if size % 2 == 0:
        twice[-1] = 1
    return weights[:, : size // 2] * twice.repeat(size)[:, None]


def ring_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return the signed Fourier ring correlation ``(N, size // 2)`` of square patches ``(N, size, size)``.

    Patches are taken as they are (see :func:`windowed`). A ring without power in one of the two is NaN.

    Examples
    --------
    >>> patch = torch.eye(8, dtype=torch.float64).unsqueeze(0)
    >>> ring_correlation(patch, -patch).round(decimals=6)
    tensor([[-1., -1., -1., -1.]], dtype=torch.float64)
    """
    weights = ring_weights(first.shape[-1], first.device)
    a, b = (torch.fft.rfft2(patch.to(torch.float64)).flatten(1) for patch in (first, second))
    cross = (a.real * b.real + a.imag * b.imag) @ weights
    power = [(s.real.square() + s.imag.square()) @ weights for s in (a, b)]
    scale = (power[0] * power[1]).sqrt()
    return torch.where(scale > 0, cross / scale, torch.nan)


def windowed(patches: Tensor) -> Tensor:
    """Return patches ``(N, size, size)`` without their mean, under a Hann window."""
    hann = torch.hann_window(patches.shape[-1], periodic=False, dtype=patches.dtype, device=patches.device)
    return (patches - patches.mean(dim=(-2, -1), keepdim=True)) * hann[:, None] * hann


def first_crossing(curve: Tensor, threshold: float, position: Tensor) -> Tensor:
    """Return where each curve ``(N, R)`` first meets the threshold (interpolated); infinity where it never does.

    ``position`` ``(R,)`` is the abscissa. A curve that begins below the threshold has its first position.
    """
    below = curve < threshold
    found = below.any(1)
    after = below.to(torch.int8).argmax(1)
    before = (after - 1).clamp(min=0)
    high, low = (curve.gather(1, k[:, None]).squeeze(1) for k in (before, after))
    drop = high - low
    share = torch.where((after > 0) & (drop > 0), (high - threshold) / drop, torch.zeros_like(drop))
    place = position[before] + share.nan_to_num() * (position[after] - position[before])
    return torch.where(found, place, torch.inf)


def as_slices(image: Tensor) -> Tensor:
    """Return a batch ``(B, S, H, W)`` of slices: a volume as it is, a 2-D image as one slice."""
    return image.unsqueeze(1) if image.ndim == 3 else image


def regions(slices: Tensor, size: int, stride: int) -> Tensor:
    """Return the square regions ``(B, P, size, size)`` of ``(B, S, H, W)``; the last ones end at the border."""
    if not 8 <= size <= min(slices.shape[-2:]) or stride < 1:
        raise UsageProblem(
            f"size is {size}, stride {stride}, the image {tuple(slices.shape[-2:])}.",
            code="MET-014",
            where="size, stride",
            action="Give regions of at least 8 pixels that fit in the image, and a stride from 1 up.",
        )
    starts = [[*range(0, n - size, stride), n - size] for n in slices.shape[-2:]]
    parts = [slices[..., r : r + size, c : c + size] for r in starts[0] for c in starts[1]]
    return torch.stack(parts, 2).flatten(1, 2)


@metric(
    "frc_resolution",
    unit="mm",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    reference="Saxton and Baumeister 1982, doi:10.1111/j.1365-2818.1982.tb00405.x; Banterle 2013, "
    "doi:10.1016/j.jsb.2013.05.004 (threshold 1/7)",
    oracle="NumPy; low-pass filtered noise of known cut-off",
    family="imaging",
)
def frc_resolution(output: Tensor, reference: Tensor, *, spacing_mm: Tensor, threshold: float = 1 / 7) -> Tensor:
    """Resolution by Fourier ring correlation: the finest period at which the output still agrees with the reference.

    The central square of the image (all slices of a volume together) is compared ring by ring; the resolution is the
    period (mm) of the frequency at which the correlation first falls below the threshold. With comparator ``input``
    the difference is the gain in resolution of a super-resolution model. Detail that was invented does not correlate,
    so it does not improve this figure, whereas it improves an MTF. It cannot be finer than twice the pixel, which is
    returned when the correlation never falls below the threshold.

    Undefined (NaN) when the correlation does not exist (an image without any variation) or the pixels are not square.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    threshold
        Correlation that counts as agreement: 1/7 (the usual fixed one), or 0.5.

    Returns
    -------
    Tensor
        ``(B,)``, in mm.
    """
    if not 0 < threshold < 1:
        raise UsageProblem(
            f"threshold is {threshold}.", code="MET-014", where="threshold", action="Give a number from 0 to 1."
        )
    output, reference = checked_pair(output, reference)
    spacing = checked_spacing(spacing_mm, output)[:, -2:]
    size = min(output.shape[-2:])
    top, left = ((n - size) // 2 for n in output.shape[-2:])
    weights = ring_weights(size, output.device)
    sums = []
    for k in range(output.shape[0]):
        total = torch.zeros(3, size // 2, dtype=torch.float64, device=output.device)
        for a, b in zip(as_slices(output[k : k + 1])[0], as_slices(reference[k : k + 1])[0], strict=True):
            crop = [i[None, top : top + size, left : left + size].to(torch.float64) for i in (a, b)]
            one, two = (torch.fft.rfft2(windowed(c)).flatten(1) for c in crop)
            total[0] += ((one.real * two.real + one.imag * two.imag) @ weights)[0]
            total[1] += ((one.real.square() + one.imag.square()) @ weights)[0]
            total[2] += ((two.real.square() + two.imag.square()) @ weights)[0]
        sums.append(total)
    cross, first, second = torch.stack(sums, 1)
    scale = (first * second).sqrt()
    curve = torch.where(scale > 0, cross / scale, torch.nan)
    curve[:, 0] = torch.where(torch.isfinite(curve[:, 1:]).any(1), 1.0, torch.nan)  # the mean was removed
    curve = torch.where(torch.isnan(curve), 0.0, curve)  # a ring without power holds no agreement
    rings = torch.arange(size // 2, device=output.device, dtype=torch.float64)
    crossing = first_crossing(curve, threshold, rings).clamp(max=size / 2)
    period = size * spacing[:, 0] / crossing
    square = (spacing[:, 0] - spacing[:, 1]).abs() <= 1e-3 * spacing[:, 0]
    return torch.where(square & (crossing > 0), period, torch.nan)


@metric(
    "sfrc_regions",
    unit="1",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    optional_roles=("mask",),
    reference="Kc et al. 2024 (sFRC), doi:10.36227/techrxiv.171259560.02243347/v1; limits as the protocol sets them",
    oracle="sfrc.json (DIDSR/sfrc: curves of all patches, counts 21 and 22 on the published images)",
    family="imaging",
)
def sfrc_regions(
    output: Tensor,
    reference: Tensor,
    mask: Tensor | None = None,
    *,
    spacing_mm: Tensor,
    cutoff_per_mm: float,
    size: int = 64,
    stride: int = 64,
    threshold: float = 0.5,
) -> Tensor:
    """Count the regions whose Fourier ring correlation falls below a threshold before a given frequency.

    The rule of sFRC, with a signed correlation and a plain Hann window (see the module): its ``cutoff_per_mm`` must be
    tuned on images with known false structure. ``frc_hallucination`` needs no tuning.

    Undefined (NaN) when no region lies in the mask, or the pixels are not square.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)`` (slice by slice).
    mask
        Regions with at least half of their pixels in it count; all if absent.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    cutoff_per_mm
        Frequency in 1/mm: a crossing at or below it marks the region.
    size, stride
        Of the regions, in pixels.
    threshold
        Correlation at which agreement ends.

    Returns
    -------
    Tensor
        ``(B,)``, counts.
    """
    output, reference = checked_pair(output, reference)
    spacing = checked_spacing(spacing_mm, output)[:, -2:]
    inside = regions_inside(checked_mask(mask, output), output, size, stride)
    counts = []
    for k in range(output.shape[0]):
        patches = [regions(as_slices(i[k : k + 1]), size, stride)[0].to(torch.float64) for i in (output, reference)]
        curve = ring_correlation(windowed(patches[0]), windowed(patches[1]))
        curve[:, 0] = 1.0  # the mean was removed
        frequency = torch.arange(size // 2, device=output.device, dtype=torch.float64) / (size * spacing[k, 0])
        marked = first_crossing(curve.nan_to_num(1.0), threshold, frequency) <= cutoff_per_mm
        square = abs(float(spacing[k, 0] - spacing[k, 1])) <= 1e-3 * float(spacing[k, 0])
        usable = square and bool(inside[k].any())
        counts.append(float((marked & inside[k]).sum()) if usable else torch.nan)
    return torch.tensor(counts, dtype=torch.float64, device=output.device)


def regions_inside(mask: Tensor | None, image: Tensor, size: int, stride: int) -> Tensor:
    """Return ``(B, P)``: regions with at least half of their pixels in the mask."""
    if mask is None:
        first = regions(as_slices(image[:, ..., :1].expand_as(image)), size, stride)
        return torch.ones(first.shape[:2], dtype=torch.bool, device=image.device)
    share = regions(as_slices(mask).to(torch.float32), size, stride).mean(dim=(-2, -1))
    return share >= 0.5
