"""What a model observer sees at a known place: channel responses (CHO), eye-filtered template response (NPWE).

The responses are measured per case. The Hotelling template, AUC and d' come from all cases together and belong to the
summary ``detectability`` in :mod:`validation.statistics`, which trains and tests on different patients.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_image, checked_mask
from validation.metrics.imaging.regions import centroid, checked_spacing, crop_around
from validation.registry import Direction, Kind, metric

# dense difference-of-Gaussian set, Abbey and Barrett 2001: first width in cycles per pixel, ratio, bandwidth, channels
DOG_START, DOG_RATIO, DOG_BANDWIDTH, DOG_CHANNELS = 0.005, 1.4, 1.67, 10
GABOR_TOP, GABOR_BANDS, GABOR_ANGLES = 1 / 8, 4, 4
EYE_EXPONENT, EYE_DECAY = 1.3, 0.04  # Burgess 1994: f^1.3 exp(-c f^2), f in cycles per degree, peak near 4


def laguerre_gauss(size: int, width: Tensor, channels: int) -> Tensor:
    """Return Laguerre-Gauss channels ``(B, channels, size, size)`` of Gaussian width ``width (B,)`` in voxels.

    ``sqrt(2) / a * exp(-pi r^2 / a^2) * L_j(2 pi r^2 / a^2)``, Gallas and Barrett 2003, doi:10.1364/JOSAA.20.001725.
    """
    offset = torch.arange(size, dtype=torch.float64, device=width.device) - (size - 1) / 2
    square = offset[:, None].square() + offset[None, :].square()
    argument = 2 * math.pi * square[None] / width.square()[:, None, None]
    terms = [torch.ones_like(argument), 1 - argument]
    for j in range(1, channels - 1):  # three-term recurrence of the Laguerre polynomials
        terms.append(((2 * j + 1 - argument) * terms[j] - j * terms[j - 1]) / (j + 1))
    polynomial = torch.stack(terms[:channels], 1)
    return polynomial * (math.sqrt(2) / width)[:, None, None, None] * torch.exp(-argument / 2)[:, None]


def difference_of_gaussians(size: int) -> Tensor:
    """Return the dense difference-of-Gaussian channels ``(10, size, size)``.

    Abbey and Barrett 2001, doi:10.1364/JOSAA.18.000473.
    """
    cycles = torch.fft.fftfreq(size, dtype=torch.float64)
    square = cycles[:, None].square() + cycles[None, :].square()
    widths = [DOG_START * DOG_RATIO**j for j in range(DOG_CHANNELS)]
    filters = [torch.exp(-square / (2 * (DOG_BANDWIDTH * a) ** 2)) - torch.exp(-square / (2 * a**2)) for a in widths]
    channels: Tensor = torch.fft.fftshift(torch.fft.ifft2(torch.stack(filters)).real, dim=(1, 2))
    return channels


def gabor(size: int) -> Tensor:
    """Return Gabor channels ``(16, size, size)``: four octaves under 1/8 cycle per pixel, four angles, phase 0.

    Eckstein and Whiting 1996, doi:10.1364/JOSAA.13.001777.
    """
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    square = x.square() + y.square()
    channels = []
    for band in range(GABOR_BANDS):
        bandwidth = GABOR_TOP / 2 ** (band + 1)
        centre = 1.5 * bandwidth
        width = 4 * math.log(2) / (math.pi * bandwidth)
        envelope = torch.exp(-4 * math.log(2) * square / width**2)
        for step in range(GABOR_ANGLES):
            angle = math.pi * step / GABOR_ANGLES
            wave = torch.cos(2 * math.pi * centre * (x * math.cos(angle) + y * math.sin(angle)))
            channels.append(envelope * wave)
    return torch.stack(channels)


def responses(regions: Tensor, channels: Tensor) -> Tensor:
    """Return the responses ``(B, C)`` of regions ``(B, S, S)``, each minus its mean, to channels.

    Channels are ``(C, S, S)``, the same for all, or ``(B, C, S, S)``. Sums, not a matrix product, which would round a
    case by how many others share its batch.
    """
    flat = regions.to(torch.float64).flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return (flat[:, None] * channels.to(flat.device).flatten(-2)).sum(-1)


@metric(
    "cho_channels",
    unit="HU",
    direction=Direction.NONE,
    kind=Kind.VECTOR,
    roles=("image", "mask"),
    reference="Barrett 1993, doi:10.1073/pnas.90.21.9758; Gallas 2003, doi:10.1364/JOSAA.20.001725",
    oracle="lcd_cho_python.json and lcd_cho_octave.json (FDA LCD_CT)",
    family="imaging",
)
def cho_channels(
    image: Tensor,
    mask: Tensor,
    *,
    spacing_mm: Tensor,
    channels: str = "laguerre_gauss",
    width_mm: float | None = None,
    n_channels: int = 5,
    roi_size: int = 29,
) -> dict[str, Tensor]:
    """Responses of model-observer channels at a location: the data of a channelised Hotelling observer.

    A square region of ``roi_size`` voxels about the centroid of the mask (nearest voxel; of a volume the nearest
    slice), minus its mean, is multiplied with each channel and summed. Signal-present and signal-absent cases both
    need the mask of the location.

    Undefined (NaN) when the mask is empty or the region leaves the image.

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        The signal's place, same shape, bool.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    channels
        ``"laguerre_gauss"``, ``"difference_of_gaussians"`` (dense, 10 channels) or ``"gabor"`` (4 bands, 4 angles).
        The latter two are defined in cycles per voxel.
    width_mm
        Gaussian width of the Laguerre-Gauss channels, required for them; about the radius of the signal.
    n_channels
        Number of Laguerre-Gauss channels.
    roi_size
        Side of the region, odd, in voxels.

    Returns
    -------
    dict of Tensor
        Components ``channel_01``, ...; values ``(B,)`` in the unit of the image (times the channel, which has none).
    """
    image = checked_image(image)
    place = checked_mask(mask, image)
    if place is None:
        raise UsageProblem("no location.", code="MET-014", where="mask", action="Name the region of the signal.")
    spacing = checked_spacing(spacing_mm, image)
    regions, inside = crop_around(image, centroid(place), roi_size)
    if channels == "laguerre_gauss":
        if width_mm is None or width_mm <= 0 or not 1 <= n_channels <= 30:
            raise UsageProblem(
                f"width_mm is {width_mm}, n_channels {n_channels}.",
                code="MET-014",
                where="width_mm, n_channels",
                action="Give the width of Laguerre-Gauss channels in mm (about the signal's radius), 1 to 30 channels.",
            )
        bank = laguerre_gauss(roi_size, width_mm / spacing[:, -2:].mean(1), n_channels)
    elif channels == "difference_of_gaussians":
        bank = difference_of_gaussians(roi_size)
    elif channels == "gabor":
        bank = gabor(roi_size)
    else:
        raise UsageProblem(
            f"there are no channels named {channels!r}.",
            code="MET-014",
            where="channels",
            action="Give laguerre_gauss, difference_of_gaussians or gabor.",
        )
    values = torch.where(inside[:, None], responses(regions, bank.to(image.device)), torch.nan)
    return {f"channel_{k + 1:02d}": values[:, k] for k in range(values.shape[1])}


def eye_filter(size: int, display_pixel_mm: float, viewing_distance_mm: float) -> Tensor:
    """Return the eye filter ``(size, size)`` on the frequencies of :func:`torch.fft.fftfreq`, Burgess 1994."""
    per_degree = viewing_distance_mm * math.pi / 180 / display_pixel_mm  # pixels per degree
    cycles = torch.fft.fftfreq(size, dtype=torch.float64) * per_degree
    square = cycles[:, None].square() + cycles[None, :].square()
    sensitivity: Tensor = square ** (EYE_EXPONENT / 2) * torch.exp(-EYE_DECAY * square)
    return sensitivity


def template_response(regions: Tensor, template: Tensor, eye: Tensor | None = None) -> Tensor:
    """Return the non-prewhitening response ``(B,)`` of regions to a template, both eye-filtered.

    The template is ``(S, S)`` or ``(B, S, S)``; the mean of each region is removed first.
    """
    flat = regions.to(torch.float64)
    flat = flat - flat.mean((1, 2), keepdim=True)
    if eye is None:
        return (flat * template).sum((1, 2))
    weight = eye.to(flat.device).square()
    seen, sought = torch.fft.fft2(flat), torch.fft.fft2(template.to(torch.float64))
    # the real part of seen * conj(sought), in real numbers: a complex product rounds by the place in the batch
    product: Tensor = (seen.real * sought.real + seen.imag * sought.imag) * weight
    return product.sum((-2, -1)) / regions.shape[-1] ** 2


@metric(
    "npwe_response",
    unit="HU",
    direction=Direction.NONE,
    roles=("image", "mask"),
    reference="Burgess 1994, doi:10.1364/JOSAA.11.001237",
    oracle="lcd_cho_python.json (FDA LCD_CT)",
    family="imaging",
)
def npwe_response(
    image: Tensor,
    mask: Tensor,
    *,
    spacing_mm: Tensor,
    diameter_mm: float,
    roi_size: int = 29,
    display_pixel_mm: float = 0.42,
    viewing_distance_mm: float = 500.0,
) -> Tensor:
    """Decision variable of the non-prewhitening observer with an eye filter, for a disk at a known place.

    The region about the centroid of the mask (as :func:`cho_channels`) and a disk of the given diameter are both
    filtered with ``f^1.3 exp(-0.04 f^2)`` (f in cycles per degree at the given display) and multiplied. A labelled
    summary (AUC) turns it into detectability.

    Undefined (NaN) when the mask is empty or the region leaves the image.

    Parameters
    ----------
    image, mask, spacing_mm, roi_size
        As :func:`cho_channels`.
    diameter_mm
        Diameter of the disk that the observer looks for.
    display_pixel_mm, viewing_distance_mm
        Size of an image voxel on the display, and distance of the eye.

    Returns
    -------
    Tensor
        ``(B,)``, in the unit of the image (times the template, which has none).
    """
    if min(diameter_mm, display_pixel_mm, viewing_distance_mm) <= 0:
        raise UsageProblem(
            "diameter_mm, display_pixel_mm and viewing_distance_mm must be positive.",
            code="MET-014",
            where="diameter_mm, display_pixel_mm, viewing_distance_mm",
            action="Give lengths in mm.",
        )
    image = checked_image(image)
    place = checked_mask(mask, image)
    if place is None:
        raise UsageProblem("no location.", code="MET-014", where="mask", action="Name the region of the signal.")
    spacing = checked_spacing(spacing_mm, image)[:, -2:]
    regions, inside = crop_around(image, centroid(place), roi_size)
    offset = torch.arange(roi_size, dtype=torch.float64, device=image.device) - (roi_size - 1) / 2
    distance = torch.hypot(offset[:, None] * spacing[:, :1, None], offset[None, :] * spacing[:, 1:, None])
    # one voxel of soft edge, so that the template does not jump with the diameter
    template = (0.5 + (diameter_mm / 2 - distance) / spacing.mean(1)[:, None, None]).clamp(0, 1)
    eye = eye_filter(roi_size, display_pixel_mm, viewing_distance_mm)
    return torch.where(inside, template_response(regions, template, eye), torch.nan)
