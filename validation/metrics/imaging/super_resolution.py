"""Super-resolution: overshoot at edges, consistency with the input after down-sampling, and detail without support.

Resolution itself is measured by ``mtf50``, ``mtf10`` (phantoms) and ``frc_resolution`` (with a reference).
"""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_image, checked_mask, checked_pair
from validation.metrics.imaging.regions import checked_spacing
from validation.metrics.imaging.resolution import edge_spread
from validation.metrics.imaging.ring_correlation import as_slices
from validation.registry import Direction, metric


@metric(
    "edge_overshoot",
    unit="%",
    direction=Direction.LOWER,
    roles=("image", "mask"),
    reference="AAPM TG-233, doi:10.1002/mp.13763 (edge-spread function)",
    oracle="analytic edges with planted overshoot",
    family="imaging",
)
def edge_overshoot(
    image: Tensor, mask: Tensor, *, spacing_mm: Tensor, reach: float = 0.8, minimum_cnr: float = 15.0
) -> Tensor:
    """Overshoot at the edge of a disk or rod, in per cent of its contrast: what sharpening adds on both sides.

    From the edge-spread function of ``mtf`` (smoothed over a fortieth of its width): how far it rises above the plateau
    inside plus how far it falls below the plateau outside, relative to the difference of the plateaus, which are the
    means of the outer third of either side. Noise adds to it, so compare images of like noise.

    Undefined (NaN) when no edge-spread function can be measured (see ``mtf``).

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        The insert, same shape, bool.
    spacing_mm, reach, minimum_cnr
        As in ``mtf``.
    """
    image = checked_image(image)
    insert = checked_mask(mask, image)
    if insert is None:
        raise UsageProblem("no mask.", code="MET-014", where="mask", action="Name the region of the insert.")
    spread, _ = edge_spread(image, insert, checked_spacing(spacing_mm, image), reach, minimum_cnr)
    bins = spread.shape[1]
    width = max(3, bins // 40)
    smooth = torch.nn.functional.avg_pool1d(spread.unsqueeze(1), width, 1).squeeze(1)
    inside, outside = spread[:, : bins // 6].mean(1), spread[:, -(bins // 6) :].mean(1)
    contrast = inside - outside
    sign = torch.sign(contrast).unsqueeze(1)
    above = ((smooth * sign).amax(1) - inside * sign[:, 0]).clamp(min=0)
    below = (outside * sign[:, 0] - (smooth * sign).amin(1)).clamp(min=0)
    return torch.where(contrast.abs() > 0, 100 * (above + below) / contrast.abs(), torch.nan)


@metric(
    "data_consistency",
    unit="HU",
    direction=Direction.LOWER,
    roles=("output", "input"),
    reference="Lugmayr 2021, CVPR Workshops, 596-612 (consistency of super-resolution with its input)",
    oracle="NumPy block means",
    family="imaging",
)
def data_consistency(output: Tensor, input: Tensor, *, factor: int) -> Tensor:
    """Root mean square difference of output and input after down-sampling both in plane by a factor.

    Means over ``factor x factor`` pixels: what the low-resolution scanner would have seen. Whatever detail was
    invented, it must average out to the measured values. The input lies on the grid of the output (each pixel
    repeated, or any interpolation that keeps block means). Noise that the model removes counts as a difference, so the
    limit must allow for the noise of the input.

    Undefined (NaN) when the image is smaller than one block or has voxels that are not numbers.

    Parameters
    ----------
    output, input
        ``(B, H, W)`` or ``(B, D, H, W)``.
    factor
        Pixels per block and axis, 2 or more.

    Returns
    -------
    Tensor
        ``(B,)``, in the unit of the image.
    """
    _checked_factor(factor)
    output, seen = checked_pair(output, input)
    difference = as_slices(output - seen).to(torch.float64)
    if min(difference.shape[-2:]) < factor:
        return torch.full((len(difference),), torch.nan, dtype=torch.float64, device=output.device)
    blocks = torch.nn.functional.avg_pool2d(difference, factor)
    return blocks.flatten(1).square().mean(1).sqrt()


@metric(
    "unsupported_detail",
    unit="1",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    reference="Bendat and Piersol 2010, doi:10.1002/9781118032428 (coherence)",
    oracle="planted aliasing of known frequency; the reference itself",
    family="imaging",
)
def unsupported_detail(output: Tensor, reference: Tensor, *, factor: int, bands: int = 8) -> Tensor:
    """Share of the detail beyond the input's resolution that is not in the reference: aliasing and invention.

    Of the spectral power of the output above the Nyquist frequency of the input (``1 / factor`` of the output's), the
    share that does not cohere with the reference: ``1 - coherence``, weighted by power over ``bands`` rings, coherence
    over all frequencies of a ring and all slices. 0 when all fine detail is true, near 1 when none is.

    Undefined (NaN) when the output has no power there (less than 1e-12 of its total).

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``.
    factor
        Up-sampling factor, 2 or more.
    bands
        Rings from the input's to the output's Nyquist frequency.
    """
    _checked_factor(factor)
    if bands < 1:
        raise UsageProblem(f"bands is {bands}.", code="MET-014", where="bands", action="Give 1 or more.")
    output, reference = checked_pair(output, reference)
    height, width = output.shape[-2:]
    window = torch.hann_window(height, dtype=torch.float64, device=output.device)[:, None] * torch.hann_window(
        width, dtype=torch.float64, device=output.device
    )
    radius = torch.hypot(
        torch.fft.fftfreq(height, dtype=torch.float64, device=output.device)[:, None],
        torch.fft.rfftfreq(width, dtype=torch.float64, device=output.device),
    )
    edges = torch.linspace(0.5 / factor, 0.5, bands + 1, dtype=torch.float64, device=output.device)
    ring = torch.bucketize(radius.flatten(), edges, right=True) - 1
    shares = []
    for a, b in zip(as_slices(output), as_slices(reference), strict=True):
        spectra = []
        for image in (a, b):
            part = image.to(torch.float64)
            spectra.append(torch.fft.rfft2((part - part.mean(dim=(-2, -1), keepdim=True)) * window).flatten(1))
        o, r = spectra
        lost = power = torch.zeros((), dtype=torch.float64, device=output.device)
        for k in range(bands):
            here = ring == k
            own = o[:, here].abs().square().sum()
            cross = (o[:, here] * r[:, here].conj()).sum().abs().square()
            both = own * r[:, here].abs().square().sum()
            coherence = torch.where(both > 0, cross / both.clamp(min=1e-300), torch.zeros_like(both))
            power, lost = power + own, lost + own * (1 - coherence).clamp(min=0)
        shares.append(torch.where(power > 1e-12 * o.abs().square().sum(), lost / power.clamp(min=1e-300), torch.nan))
    return torch.stack(shares)


def _checked_factor(factor: int) -> None:
    if factor < 2:
        raise UsageProblem(
            f"factor is {factor}.", code="MET-014", where="factor", action="Give the up-sampling factor, 2 or more."
        )
