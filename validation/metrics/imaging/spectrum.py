"""Noise power spectrum of CT images: radial spectrum, mean and peak frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.batches import checked_image, checked_mask
from validation.metrics.imaging.regions import checked_spacing, windows_inside
from validation.registry import Direction, Kind, metric

CHUNK = {"cpu": 16, "cuda": 2048}  # regions transformed at a time: what fits in a cache, what fills a GPU
DETREND_ORDERS = {"mean": 0, "plane": 1, "quadratic": 2}


def region_corners(mask: Tensor, size: int, stride: int) -> Tensor:
    """Return the corners ``(R, 3)`` (slice, row, column) of square regions that lie wholly in the masks of slices.

    Per case the regions stand on a lattice of the given stride, whose offset is the one that fits most regions
    (the first such offset), the same in every slice. ``mask`` is ``(B, D, H, W)``; slices count through the batch.
    """
    batch, depth, height, width = mask.shape
    fits = windows_inside(mask.flatten(0, 1), size).reshape(batch, depth, height - size + 1, width - size + 1)
    rows, columns = fits.shape[2:]
    padded = torch.nn.functional.pad(fits, (0, -columns % stride, 0, -rows % stride))
    lattice = padded.reshape(batch, depth, padded.shape[2] // stride, stride, padded.shape[3] // stride, stride)
    best = lattice.sum((1, 2, 4)).flatten(1).argmax(1)
    row = torch.arange(rows, device=mask.device) % stride == (best // stride)[:, None]
    column = torch.arange(columns, device=mask.device) % stride == (best % stride)[:, None]
    chosen: Tensor = fits & row[:, None, :, None] & column[:, None, None, :]
    corners: Tensor = chosen.flatten(0, 1).nonzero()
    return corners


def polynomial_basis(size: int, order: int, device: torch.device) -> Tensor:
    """Return orthonormal polynomials over a square region, up to the order, as columns ``(size * size, terms)``."""
    axis = torch.linspace(-1, 1, size, dtype=torch.float64, device=device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    terms = [x**i * y**j for i in range(order + 1) for j in range(order + 1 - i)]
    basis, _ = torch.linalg.qr(torch.stack(terms, -1).reshape(size * size, -1))
    return torch.as_tensor(basis)


def without_trend(regions: Tensor, basis: Tensor) -> Tensor:
    """Return square regions ``(R, size, size)`` minus their least-squares polynomial.

    Term by term: a matrix product would round a region by how many others are multiplied with it.
    """
    if basis.shape[1] == 1:
        return regions - regions.mean((1, 2), keepdim=True)
    flat = regions.flatten(1)
    rest = flat
    for term in basis.T.contiguous():
        rest = rest - (flat * term).sum(1, keepdim=True) * term
    return rest.reshape_as(regions)


def power_spectrum(
    image: Tensor, mask: Tensor | None, spacing_mm: Tensor, *, roi_size: int, stride: int, detrend: str
) -> tuple[Tensor, Tensor]:
    """Return the two-dimensional NPS per case ``(B, roi_size, roi_size)`` and the number of regions ``(B,)``.

    ``NPS(u, v) = dx dy / (Nx Ny) * mean |DFT2(roi - trend)|^2``, ICRU Report 87, in-plane, image unit^2 mm^2;
    frequencies in the order of :func:`torch.fft.fftfreq`. Its integral over frequency is the variance of the
    detrended regions.
    """
    if detrend not in DETREND_ORDERS:
        raise UsageProblem(
            f"detrend is {detrend!r}.", code="MET-014", where="detrend", action="Give mean, plane or quadratic."
        )
    image = checked_image(image)
    spacing = checked_spacing(spacing_mm, image)[:, -2:]
    mask = checked_mask(mask, image)
    if mask is None:
        mask = torch.ones_like(image, dtype=torch.bool)
    if not 4 <= roi_size <= min(image.shape[-2:]) or stride < 1:
        raise UsageProblem(
            f"roi_size is {roi_size}, stride {stride}, the image {tuple(image.shape[-2:])}.",
            code="MET-014",
            where="roi_size, stride",
            action="Give a region of at least 4 voxels that fits in the image, and a stride of at least 1.",
        )
    if image.ndim == 3:
        image, mask = image.unsqueeze(1), mask.unsqueeze(1)
    depth = image.shape[1]
    corners = region_corners(mask, roi_size, stride)
    patches = image.flatten(0, 1).unfold(1, roi_size, 1).unfold(2, roi_size, 1)
    basis = polynomial_basis(roi_size, DETREND_ORDERS[detrend], image.device)
    half = roi_size // 2 + 1
    squares = torch.zeros(image.shape[0], roi_size, half, 2, dtype=torch.float64, device=image.device)
    count = torch.bincount(corners[:, 0] // depth, minlength=image.shape[0])
    for part in torch.split(corners, CHUNK.get(image.device.type, 32)):
        regions = patches[part[:, 0], part[:, 1], part[:, 2]].to(torch.float64)
        transform = torch.fft.rfft2(without_trend(regions, basis))
        squares.index_add_(0, part[:, 0] // depth, torch.view_as_real(transform).square_())
    total = torch.empty(image.shape[0], roi_size, roi_size, dtype=torch.float64, device=image.device)
    total[..., :half] = squares.sum(-1)
    # a real image has the same power at the opposite frequency
    opposite = (-torch.arange(roi_size, device=image.device)) % roi_size
    total[..., half:] = total[:, opposite][..., opposite[half:]]
    scale = spacing.prod(1) / roi_size**2 / count.clamp(min=1)
    return torch.where(count > 0, scale, torch.nan)[:, None, None] * total, count


def plane_frequency(size: int, spacing: Tensor) -> Tensor:
    """Return the radial frequency ``(B, size, size)`` in 1/mm of every sample of a two-dimensional transform."""
    cycles = torch.fft.fftfreq(size, dtype=torch.float64, device=spacing.device)
    return torch.hypot(cycles[:, None] / spacing[:, :1, None], cycles[None, :] / spacing[:, 1:, None])


def radial_spectrum(
    spectrum: Tensor, spacing_mm: Tensor, *, bin_width: float | Tensor, bins: int
) -> tuple[Tensor, Tensor]:
    """Return the mean frequency (1/mm) and the mean power in rings of frequency, each ``(B, bins)``.

    ``bin_width`` is one number or one per case, in 1/mm. Ring ``k`` holds ``k * bin_width <= f < (k + 1) *
    bin_width``. The zero frequency (removed with the trend) and everything from the Nyquist frequency of the coarser
    axis up (incomplete rings) stay out. Empty rings are NaN.
    """
    spacing = spacing_mm.to(spectrum.device, torch.float64)[:, -2:]
    width = torch.as_tensor(bin_width, dtype=torch.float64, device=spectrum.device).reshape(-1, 1, 1)
    frequency = plane_frequency(spectrum.shape[-1], spacing)
    nyquist = 0.5 / spacing.amax(1)
    # a relative hair keeps frequencies that sit on a bin edge from falling to either side by rounding
    ring = torch.floor(frequency / width * (1 + 1e-12)).long()
    counted = (frequency > 0) & (frequency < nyquist[:, None, None]) & (ring < bins)
    ring = torch.where(counted, ring, bins).flatten(1)
    sums = torch.zeros(3, spectrum.shape[0], bins + 1, dtype=torch.float64, device=spectrum.device)
    for row, values in enumerate((torch.ones_like(frequency), frequency, spectrum)):
        sums[row].scatter_add_(1, ring, values.flatten(1))
    filled = sums[0] > 0
    means = torch.where(filled, sums[1:] / sums[0].clamp(min=1), torch.nan)[..., :bins]
    return means[0], means[1]


@metric(
    "nps",
    unit="HU2.mm2",
    direction=Direction.NONE,
    kind=Kind.VECTOR,
    roles=("image",),
    optional_roles=("mask",),
    reference="ICRU Report 87 (2012)",
    oracle="nps_and_piq.json (ICRU formula; pylinac); white noise of known variance",
    family="imaging",
)
def nps(
    image: Tensor,
    mask: Tensor | None = None,
    *,
    spacing_mm: Tensor,
    roi_size: int = 64,
    stride: int | None = None,
    detrend: str = "plane",
    bin_width: float = 0.05,
    max_frequency: float = 1.0,
) -> dict[str, Tensor]:
    """Radially averaged in-plane noise power spectrum of a uniform region.

    Square regions of ``roi_size`` voxels that lie wholly in the mask are detrended and Fourier-transformed;
    ``dx dy / (Nx Ny) |DFT2|^2`` is averaged over regions (and slices of a volume), then over rings of frequency. One
    image estimates one spectrum: structure that is in the region counts as noise, so give a uniform region, or
    difference images.

    Undefined (NaN) when no region fits in the mask; a component is also undefined where the ring holds no frequency
    of the transform, or lies at or above the Nyquist frequency.

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        The uniform region, same shape, bool; the whole image if absent.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    roi_size, stride
        Side of a region and distance between regions, in voxels; the stride is half the side if not given.
    detrend
        ``"mean"``, ``"plane"`` or ``"quadratic"``: the polynomial that is subtracted from each region.
    bin_width, max_frequency
        Width of a ring and end of the last one, in 1/mm.

    Returns
    -------
    dict of Tensor
        Components named by the centre of their ring in 1/mm; values ``(B,)`` in image unit^2 mm^2.
    """
    if not bin_width > 0 or not max_frequency >= bin_width:
        raise UsageProblem(
            f"bin_width is {bin_width}, max_frequency {max_frequency}.",
            code="MET-014",
            where="bin_width, max_frequency",
            action="Give positive frequencies in 1/mm, the largest not below the width of a ring.",
        )
    spectrum, _ = power_spectrum(
        image, mask, spacing_mm, roi_size=roi_size, stride=stride or max(roi_size // 2, 1), detrend=detrend
    )
    bins = round(max_frequency / bin_width)
    _, power = radial_spectrum(spectrum, spacing_mm, bin_width=bin_width, bins=bins)
    return {f"{(k + 0.5) * bin_width:.6g}": power[:, k] for k in range(bins)}


@metric(
    "nps_mean_frequency",
    unit="1/mm",
    direction=Direction.NONE,
    roles=("image",),
    optional_roles=("mask",),
    reference="AAPM TG-233 (2019), doi:10.1002/mp.13763",
    oracle="nps_and_piq.json; noise of known spectrum",
    family="imaging",
)
def nps_mean_frequency(
    image: Tensor,
    mask: Tensor | None = None,
    *,
    spacing_mm: Tensor,
    roi_size: int = 64,
    stride: int | None = None,
    detrend: str = "plane",
    average: str = "radial",
) -> Tensor:
    """Mean frequency of the noise power spectrum, a one-number description of noise texture.

    ``average="radial"``: ``sum(f NPS(f)) / sum(NPS(f))`` over rings of the radial spectrum, as wide as the
    resolution of the transform (1 / side of the region), below the Nyquist frequency (TG-233). ``average="plane"``:
    the same over all samples of the two-dimensional spectrum, corners included; it weights high frequencies more and
    comes out higher. Frequencies under the resolution are removed with the trend, so choose regions much larger than
    the grain of the noise. Lower means coarser noise. Other parameters as :func:`nps`.

    Undefined (NaN) when no region fits in the mask, or the region holds no noise at all.
    """
    if average not in ("radial", "plane"):
        raise UsageProblem(f"average is {average!r}.", code="MET-014", where="average", action="Give radial or plane.")
    spectrum, frequency, power = _rings(image, mask, spacing_mm, roi_size, stride, detrend)
    if average == "plane":
        frequency = plane_frequency(roi_size, spacing_mm.to(spectrum.device, torch.float64)[:, -2:]).flatten(1)
        power = spectrum.flatten(1)
    weight = power.nan_to_num().sum(1)
    return torch.where(weight > 0, (frequency * power).nan_to_num().sum(1) / weight, torch.nan)


@metric(
    "nps_peak_frequency",
    unit="1/mm",
    direction=Direction.NONE,
    roles=("image",),
    optional_roles=("mask",),
    reference="AAPM TG-233 (2019), doi:10.1002/mp.13763",
    oracle="nps_and_piq.json",
    family="imaging",
)
def nps_peak_frequency(
    image: Tensor,
    mask: Tensor | None = None,
    *,
    spacing_mm: Tensor,
    roi_size: int = 64,
    stride: int | None = None,
    detrend: str = "plane",
) -> Tensor:
    """Frequency at which the radial noise power spectrum is highest.

    The mean frequency of the ring with the greatest mean power; rings are as wide as the resolution of the transform
    (1 / side of the region). Parameters as :func:`nps`.

    Undefined (NaN) when no region fits in the mask, or the region holds no noise at all.
    """
    _, frequency, power = _rings(image, mask, spacing_mm, roi_size, stride, detrend)
    highest, ring = power.nan_to_num(nan=-1.0).max(1)
    return torch.where(highest > 0, frequency.gather(1, ring[:, None]).squeeze(1), torch.nan)


def _rings(
    image: Tensor, mask: Tensor | None, spacing_mm: Tensor, roi_size: int, stride: int | None, detrend: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two-dimensional spectrum, and frequency and power of rings as wide as its resolution."""
    spectrum, _ = power_spectrum(
        image, mask, spacing_mm, roi_size=roi_size, stride=stride or max(roi_size // 2, 1), detrend=detrend
    )
    width = 1 / (roi_size * spacing_mm.to(spectrum.device, torch.float64)[:, -2:].amax(1))
    frequency, power = radial_spectrum(spectrum, spacing_mm, bin_width=width, bins=roi_size // 2)
    return spectrum, frequency, power
