"""Resolution from the edge of a disk or rod insert: MTF (TTF for low contrast), and where it falls to 50 % and 10 %.

Method of the circular edge (Richard 2012, doi:10.1118/1.4725171; AAPM TG-233, doi:10.1002/mp.13763): voxels are
sorted by their distance from the edge of the insert, which gives a finely sampled edge-spread function; its
derivative is the line-spread function; the modulus of its Fourier transform, divided by the value at zero frequency,
is the MTF. The curvature of the edge is neglected: the radius of the insert should be many times the width of the blur.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_image, checked_mask
from validation.metrics.imaging.regions import centroid, checked_spacing
from validation.registry import Direction, Kind, metric

BINS = 256
FINE_STEP = 0.002  # 1/mm, spacing at which the curve is searched for its 50 % and 10 % points
REFERENCE = "Richard 2012, doi:10.1118/1.4725171; AAPM TG-233, doi:10.1002/mp.13763"


def edge_spread(
    image: Tensor, mask: Tensor, spacing: Tensor, reach: float, minimum_cnr: float
) -> tuple[Tensor, Tensor]:
    """Return the edge-spread function ``(B, BINS)`` and the half width it covers, in mm ``(B,)``.

    Bin ``k`` is the mean of the voxels whose distance from the edge lies in the k-th of ``BINS`` equal steps from
    ``-half width`` (inside) to ``+half width``. The half width is ``reach`` times the radius of the insert. A row is
    NaN where the insert is absent, too near the border, or too faint for its noise.
    """
    if image.ndim == 3:
        image, mask = image.unsqueeze(1), mask.unsqueeze(1)
    batch, depth, height, width = image.shape
    image = image.to(torch.float64)
    row_mm, column_mm = spacing[:, -2], spacing[:, -1]
    area = mask.flatten(2).sum(2)
    used = area > 0
    radius = ((area.sum(1) / used.sum(1).clamp(min=1)) * row_mm * column_mm / math.pi).sqrt()
    centre = centroid(mask.flatten(0, 1)).reshape(batch, depth, 2).nan_to_num()
    rows = torch.arange(height, dtype=torch.float64, device=image.device)
    columns = torch.arange(width, dtype=torch.float64, device=image.device)
    beyond = torch.full((), torch.inf, dtype=torch.float64, device=image.device)

    def distances() -> Tensor:
        dy = (rows - centre[..., :1]) * row_mm[:, None, None]
        dx = (columns - centre[..., 1:]) * column_mm[:, None, None]
        distance = torch.hypot(dy[..., :, None], dx[..., None, :]) / radius[:, None, None, None]
        return torch.where(used[..., None, None], distance, beyond)

    def mean_where(chosen: Tensor) -> Tensor:
        return torch.where(chosen, image, 0.0).flatten(1).sum(1) / chosen.flatten(1).sum(1)

    for _ in range(3):  # the centre of gravity of the contrast refines a mask that is drawn by hand
        distance = distances()
        ring = (distance > 1 + 0.5 * reach) & (distance < 1 + reach)
        background = mean_where(ring)
        contrast = mean_where(distance < 1 - 0.5 * reach) - background
        share = (image - background[:, None, None, None]) / contrast[:, None, None, None]
        share = torch.where(distance < 1 + 0.5 * reach, share, 0.0)
        total = share.sum((2, 3))
        moved = torch.stack([(share.sum(3) * rows).sum(2), (share.sum(2) * columns).sum(2)], -1) / total[..., None]
        plausible = (moved - centre).abs().amax(-1, keepdim=True) * row_mm[:, None, None] < 0.5 * radius[:, None, None]
        centre = torch.where(plausible & used[..., None], moved, centre)
    distance = distances()
    ring = (distance > 1 + 0.5 * reach) & (distance < 1 + reach)
    n_ring = ring.flatten(1).sum(1)
    level = mean_where(ring)
    noise = (
        torch.where(ring, image - level[:, None, None, None], 0.0).square().flatten(1).sum(1) / (n_ring - 1)
    ).sqrt()
    contrast = (mean_where(distance < 1 - 0.5 * reach) - level).abs()

    place = torch.floor((distance - (1 - reach)) / (2 * reach) * BINS)
    place = torch.where((place >= 0) & (place < BINS), place, BINS).long().flatten(1)
    count = torch.zeros(batch, BINS + 1, dtype=torch.float64, device=image.device)
    total = torch.zeros_like(count)
    count.scatter_add_(1, place, torch.ones_like(place, dtype=torch.float64))
    total.scatter_add_(1, place, image.flatten(1))
    count, total = count[:, :BINS], total[:, :BINS]
    spread = _bridged(total / count.clamp(min=1), count > 0)
    clear = (contrast > 0) & (contrast * used.sum(1).sqrt() >= minimum_cnr * noise)
    border = torch.stack([centre[..., 0], height - 1 - centre[..., 0]], -1).amin(-1) * row_mm[:, None]
    border = torch.minimum(
        border, torch.stack([centre[..., 1], width - 1 - centre[..., 1]], -1).amin(-1) * column_mm[:, None]
    )
    whole = torch.where(used, border >= (1 + reach) * radius[:, None], True).all(1) & used.any(1)
    return torch.where((clear & whole)[:, None], spread, torch.nan), reach * radius


def _bridged(values: Tensor, known: Tensor) -> Tensor:
    """Return the rows with unknown entries interpolated between known neighbours (constant beyond the ends)."""
    n = values.shape[1]
    index = torch.arange(n, device=values.device).expand_as(values)
    before = torch.where(known, index, -1).cummax(1).values
    after = torch.where(known, index, n).flip(1).cummin(1).values.flip(1)
    before, after = torch.where(before < 0, after, before), torch.where(after >= n, before, after)
    before, after = before.clamp(0, n - 1), after.clamp(0, n - 1)
    low, high = values.gather(1, before), values.gather(1, after)
    share = (index - before) / (after - before).clamp(min=1)
    return low + (high - low) * share


def transfer_function(spread: Tensor, half_width: Tensor, frequency: Tensor) -> Tensor:
    """Return the MTF ``(B, F)`` at frequencies in 1/mm from edge-spread functions.

    The line-spread function is tapered (cosine) over the outer half of its width. The blur of binning and differencing,
    one ``sinc`` each, is divided out.
    """
    step = 2 * half_width / BINS
    line = spread.diff(dim=1)
    position = (torch.arange(1, BINS, dtype=torch.float64, device=spread.device) * 2 / BINS - 1)[None, :]
    taper = torch.where(position.abs() <= 0.5, 1.0, torch.cos(math.pi * (position.abs() - 0.5)).square())
    line = line * taper
    modulus = torch.empty(line.shape[0], frequency.shape[0], dtype=torch.float64, device=line.device)
    for k, (values, half) in enumerate(zip(line, half_width, strict=True)):  # case by case: the same bits in any batch
        phase = 2 * math.pi * (position[0] * half)[:, None] * frequency[None, :]
        real, imaginary = (values[:, None] * torch.cos(phase)).sum(0), (values[:, None] * torch.sin(phase)).sum(0)
        modulus[k] = torch.hypot(real, imaginary) / values.sum().abs()
    return modulus / torch.sinc(frequency[None, :] * step[:, None]).square()


def _curve(
    image: Tensor, mask: Tensor, spacing_mm: Tensor, reach: float, minimum_cnr: float, frequency: Tensor
) -> Tensor:
    if not 0 < reach <= 0.95 or minimum_cnr < 0:
        raise UsageProblem(
            f"reach is {reach}, minimum_cnr {minimum_cnr}.",
            code="MET-014",
            where="reach, minimum_cnr",
            action="Give a reach above 0 and up to 0.95 (in radii of the insert) and a minimum_cnr of 0 or more.",
        )
    image = checked_image(image)
    insert = checked_mask(mask, image)
    if insert is None:
        raise UsageProblem("no insert.", code="MET-014", where="mask", action="Name the region of the disk or rod.")
    spacing = checked_spacing(spacing_mm, image)
    spread, half_width = edge_spread(image, insert, spacing, reach, minimum_cnr)
    return transfer_function(spread, half_width, frequency.to(image.device))


@metric(
    "mtf",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.VECTOR,
    roles=("image", "mask"),
    reference=REFERENCE,
    oracle="analytic disk blurred by a Gaussian of known MTF",
    family="imaging",
)
def mtf(
    image: Tensor,
    mask: Tensor,
    *,
    spacing_mm: Tensor,
    bin_width: float = 0.05,
    max_frequency: float = 1.0,
    reach: float = 0.8,
    minimum_cnr: float = 15.0,
) -> dict[str, Tensor]:
    """Modulation transfer function from the circular edge of a disk or rod (task transfer function at that contrast).

    See the module for the method. Slices of a volume in which the mask has voxels are pooled, each about its own
    centre, so a tilted rod does no harm.

    Undefined (NaN) when the mask is empty, the insert lies nearer to the border than its own reach, or the
    contrast-to-noise ratio times the square root of the number of slices is under ``minimum_cnr`` (TG-233 asks for 15).

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        The insert, same shape, bool.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    bin_width, max_frequency
        Step and end of the frequencies, in 1/mm.
    reach
        How far inside and outside the edge voxels are used, in radii; nothing else may lie within ``1 + reach`` radii.
    minimum_cnr
        Least contrast-to-noise ratio.

    Returns
    -------
    dict of Tensor
        Components named by frequency in 1/mm (from one step up); values ``(B,)``, 1 at zero frequency.
    """
    steps = round(max_frequency / bin_width) if bin_width > 0 else 0
    if steps < 1:
        raise UsageProblem(
            f"bin_width is {bin_width}, max_frequency {max_frequency}.",
            code="MET-014",
            where="bin_width, max_frequency",
            action="Give positive frequencies in 1/mm.",
        )
    frequency = torch.arange(1, steps + 1, dtype=torch.float64) * bin_width
    curve = _curve(image, mask, spacing_mm, reach, minimum_cnr, frequency)
    return {f"{f:.6g}": curve[:, k] for k, f in enumerate(frequency.tolist())}


def _crossing(
    level: float,
    image: Tensor,
    mask: Tensor,
    spacing_mm: Tensor,
    max_frequency: float,
    reach: float,
    minimum_cnr: float,
) -> Tensor:
    """Return the first frequency at which the MTF falls to a level, NaN if it does not up to ``max_frequency``."""
    if not max_frequency > 0:
        raise UsageProblem(
            f"max_frequency is {max_frequency}.",
            code="MET-014",
            where="max_frequency",
            action="Give a positive frequency in 1/mm.",
        )
    steps = math.ceil(max_frequency / FINE_STEP)
    frequency = torch.arange(steps + 1, dtype=torch.float64, device=image.device) * FINE_STEP
    curve = _curve(image, mask, spacing_mm, reach, minimum_cnr, frequency)
    below = curve <= level
    first = below.to(torch.int8).argmax(1).clamp(min=1)
    high, low = curve.gather(1, first[:, None] - 1).squeeze(1), curve.gather(1, first[:, None]).squeeze(1)
    crossing = frequency[first - 1] + FINE_STEP * (high - level) / (high - low)
    return torch.where(below.any(1), crossing, torch.nan)


@metric(
    "mtf50",
    unit="1/mm",
    direction=Direction.HIGHER,
    roles=("image", "mask"),
    reference=REFERENCE,
    oracle="analytic disk blurred by a Gaussian of known MTF",
    family="imaging",
)
def mtf50(
    image: Tensor,
    mask: Tensor,
    *,
    spacing_mm: Tensor,
    max_frequency: float = 2.0,
    reach: float = 0.8,
    minimum_cnr: float = 15.0,
) -> Tensor:
    """Frequency at which the MTF falls to 50 %. Parameters as :func:`mtf`.

    Undefined (NaN) when the MTF is (see :func:`mtf`), or does not fall to 50 % up to ``max_frequency``.
    """
    return _crossing(0.5, image, mask, spacing_mm, max_frequency, reach, minimum_cnr)


@metric(
    "mtf10",
    unit="1/mm",
    direction=Direction.HIGHER,
    roles=("image", "mask"),
    reference=REFERENCE,
    oracle="analytic disk blurred by a Gaussian of known MTF",
    family="imaging",
)
def mtf10(
    image: Tensor,
    mask: Tensor,
    *,
    spacing_mm: Tensor,
    max_frequency: float = 2.0,
    reach: float = 0.8,
    minimum_cnr: float = 15.0,
) -> Tensor:
    """Frequency at which the MTF falls to 10 %. Parameters as :func:`mtf`.

    Undefined (NaN) when the MTF is (see :func:`mtf`), or does not fall to 10 % up to ``max_frequency``.
    """
    return _crossing(0.1, image, mask, spacing_mm, max_frequency, reach, minimum_cnr)
