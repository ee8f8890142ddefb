"""A virtual CT scanner: exact projection of ellipses, photon and electronic noise, filtered back-projection.

Geometry: parallel beam, 360 views over 180 degrees, 448 detector elements of 1 mm, images of 256 x 256 pixels of
1.5625 mm (field of view 400 mm). Objects are sets of ellipses and Gaussian blobs, whose line integrals are known
exactly: images have no discretisation error of a voxel phantom, and the reconstruction never sees the grid it is
judged on.

Attenuation is that of water at one effective energy (70 keV, 0.0193 /mm; NIST XCOM, doi:10.18434/T48G6X): no beam
hardening and no scatter are simulated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

SIZE = 256
PIXEL_MM = 1.5625
VIEWS = 360
BINS = 448
PITCH_MM = 1.0
SUBSAMPLES = 2
MU_WATER = 0.0193
ELECTRONIC_SD = 8.0  # standard deviation of electronic noise, in photons


@dataclass(frozen=True)
class Grid:
    """Views, detector and image of a reconstruction; the defaults are those of the virtual scanner."""

    size: int = SIZE
    pixel_mm: float = PIXEL_MM
    views: int = VIEWS
    bins: int = BINS
    pitch_mm: float = PITCH_MM


@dataclass(frozen=True)
class Ellipse:
    """An ellipse: centre and semi-axes in mm (x to the right, y downwards), angle in radians, contrast in HU."""

    x: float
    y: float
    a: float
    b: float
    angle: float = 0.0
    hu: float = 0.0

    def contains(self, x: np.ndarray, y: np.ndarray, grow: float = 1.0) -> np.ndarray:
        """Return where points lie inside the ellipse whose axes are multiplied by ``grow``."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        u = ((x - self.x) * c + (y - self.y) * s) / (self.a * grow)
        v = (-(x - self.x) * s + (y - self.y) * c) / (self.b * grow)
        return np.asarray(u * u + v * v <= 1.0)


@dataclass(frozen=True)
class Cut:
    """An ellipse painted only where ``holes`` do not lie; ellipses are convex, so chords meet in intervals."""

    shape: Ellipse
    holes: tuple[Ellipse, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel: the ramp filter times a window with a cutoff (1/mm) and an exponent of its roll-off."""

    name: str
    window: str
    cutoff: float


@dataclass(frozen=True)
class Vendor:
    """A simulated manufacturer with its kernels and its photons per ray in air at 100 mAs."""

    manufacturer: str
    model: str
    kernels: tuple[Kernel, ...]
    photons: float


VENDORS = (
    Vendor("Simulated A", "VirtualScan A1", (Kernel("A-Soft", "hann", 0.42), Kernel("A-Detail", "hann", 0.60)), 4.0e5),
    Vendor(
        "Simulated B", "VirtualScan B1", (Kernel("B-Soft", "cosine", 0.36), Kernel("B-Detail", "cosine", 0.50)), 4.0e5
    ),
    Vendor(
        "Simulated C",
        "VirtualScan C1",
        (Kernel("C-Soft", "butterworth", 0.24), Kernel("C-Detail", "butterworth", 0.32)),
        4.0e5,
    ),
)

# Not in the label of the demonstration: a fourth manufacturer with one, sharper kernel, for the revalidation study.
FOURTH_VENDOR = Vendor("Simulated D", "VirtualScan D1", (Kernel("D-Sharp", "hann", 1.00),), 4.0e5)


@cache
def _axes() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return cosines and sines of the views and the positions of the detector samples in mm."""
    theta = torch.arange(VIEWS, dtype=torch.float64) * (math.pi / VIEWS)
    n = BINS * SUBSAMPLES
    s = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * (PITCH_MM / SUBSAMPLES)
    return torch.cos(theta).float(), torch.sin(theta).float(), s.float()


def _chord(e: Ellipse) -> tuple[torch.Tensor, torch.Tensor]:
    """Return entry and exit of each ray through an ellipse, along the ray, (views, samples); equal if missed.

    A ray of view angle t at distance s from the centre of rotation is the set of points s (cos t, sin t) + r (-sin t,
    cos t).
    """
    cos, sin, s = _axes()
    c, k = math.cos(e.angle), math.sin(e.angle)
    # direction and offset of the ray in the axes of the ellipse, scaled to the unit circle
    du = ((-sin * c + cos * k) / e.a)[:, None]
    dv = ((sin * k + cos * c) / e.b)[:, None]
    px = s[None, :] * cos[:, None] - e.x
    py = s[None, :] * sin[:, None] - e.y
    u, v = (px * c + py * k) / e.a, (-px * k + py * c) / e.b
    qa, qb, qc = du * du + dv * dv, u * du + v * dv, u * u + v * v - 1.0
    root = torch.sqrt(torch.clamp(qb * qb - qa * qc, min=0.0)) / qa
    middle = -qb / qa
    return middle - root, middle + root


def _small(sino: torch.Tensor, x: torch.Tensor, y: torch.Tensor, reach: float, profile: object) -> None:
    """Add many small objects whose projections lie within ``reach`` mm of their centres."""
    cos, sin, s = _axes()
    step = PITCH_MM / SUBSAMPLES
    half = math.ceil(reach / step) + 1
    centre = x[:, None] * cos + y[:, None] * sin
    first = torch.round((centre - s[0]) / step).long() - half
    offsets = torch.arange(2 * half + 1)
    index = first[..., None] + offsets
    distance = s[0] + index * step - centre[..., None]
    values = profile(distance)  # type: ignore[operator]
    n = s.numel()
    inside = (index >= 0) & (index < n)
    rows = torch.arange(VIEWS)[None, :, None] * n
    flat = (index.clamp(0, n - 1) + rows).reshape(-1)
    sino.view(-1).index_add_(0, flat, torch.where(inside, values, 0.0).reshape(-1))


def project(cuts: list[Cut], vessels: np.ndarray, blobs: np.ndarray) -> torch.Tensor:
    """Return exact line integrals of attenuation, (views, bins), averaged over each detector element.

    ``cuts`` are painted additively: each adds its own HU contrast. ``vessels`` (n, 4) are discs x, y, radius (mm), HU;
    ``blobs`` (n, 4) are Gaussians x, y, standard deviation (mm), peak HU.
    """
    total = torch.zeros(VIEWS, BINS * SUBSAMPLES)
    for cut in cuts:
        near, far = _chord(cut.shape)
        length = far - near
        chords = [_chord(hole) for hole in cut.holes]
        # inclusion and exclusion over the holes: all are intervals on the ray
        for subset in range(1, 2 ** len(chords)):
            members = [i for i in range(len(chords)) if subset >> i & 1]
            lo, hi = near, far
            for i in members:
                lo, hi = torch.maximum(lo, chords[i][0]), torch.minimum(hi, chords[i][1])
            length = length + (-1.0) ** len(members) * torch.clamp(hi - lo, min=0.0)
        total += length * (cut.shape.hu * MU_WATER / 1000.0)
    for table, discs in ((vessels, True), (blobs, False)):
        # in groups of like size, so that the window around each object is tight
        order = np.argsort(table[:, 2]) if len(table) else np.zeros(0, dtype=int)
        for part in np.array_split(order, max(1, len(order) // 40)):
            if not len(part):
                continue
            x, y, r, hu = (torch.as_tensor(table[part, i], dtype=torch.float32) for i in range(4))
            size, scale = r[:, None, None], (hu * MU_WATER / 1000.0)[:, None, None]
            if discs:
                _small(
                    total,
                    x,
                    y,
                    float(r.max()),
                    lambda d, q=size, w=scale: 2 * w * torch.sqrt(torch.clamp(q * q - d * d, min=0)),
                )
            else:
                _small(
                    total,
                    x,
                    y,
                    3.5 * float(r.max()),
                    lambda d, q=size, w=scale: w * q * math.sqrt(2 * math.pi) * torch.exp(-0.5 * (d / q) ** 2),
                )
    return total.view(VIEWS, BINS, SUBSAMPLES).mean(-1)


def add_noise(line_integrals: torch.Tensor, photons: float, generator: torch.Generator) -> torch.Tensor:
    """Return line integrals measured with ``photons`` per ray in air: Poisson and electronic noise, then the log.

    Counts below one are set to one before the logarithm (photon starvation is not otherwise corrected).
    """
    counts = torch.poisson(photons * torch.exp(-line_integrals), generator=generator)
    counts += ELECTRONIC_SD * torch.randn(counts.shape, generator=generator)
    return -torch.log(torch.clamp(counts, min=1.0) / photons)


UPSAMPLE = 8
CHEST = Grid()


def _fft_length(grid: Grid) -> int:
    return int(2 ** math.ceil(math.log2(2 * grid.bins)))


@cache
def _filter(kernel: Kernel, grid: Grid) -> torch.Tensor:
    """Return the frequency response of the band-limited ramp filter times the kernel's window.

    The ramp is transformed from its samples in space (Kak and Slaney 1988, chapter 3), so that CT numbers are not
    shifted.
    """
    n = _fft_length(grid)
    k = torch.arange(n, dtype=torch.float64)
    k = torch.where(k > n / 2, k - n, k)
    ramp = torch.where(k % 2 == 1, -1.0 / (math.pi * torch.where(k == 0, 1.0, k) * grid.pitch_mm) ** 2, 0.0)
    ramp[0] = 0.25 / grid.pitch_mm**2
    response = torch.fft.rfft(ramp).real * grid.pitch_mm
    f = torch.fft.rfftfreq(n, grid.pitch_mm).double()
    if kernel.window == "hann":
        window = torch.where(f < kernel.cutoff, 0.5 * (1 + torch.cos(math.pi * f / kernel.cutoff)), 0.0)
    elif kernel.window == "cosine":
        window = torch.where(f < kernel.cutoff, torch.cos(0.5 * math.pi * f / kernel.cutoff), 0.0)
    else:
        window = 1.0 / (1.0 + (f / kernel.cutoff) ** 6)
    return (response * window).to(torch.complex64)


@cache
def _views(grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine of each view."""
    theta = torch.arange(grid.views, dtype=torch.float64) * (math.pi / grid.views)
    return torch.cos(theta).float(), torch.sin(theta).float()


def _nearest_sample(grid: Grid, view: int) -> torch.Tensor:
    """Return, for each pixel, the index of the nearest upsampled detector sample in a view."""
    cos, sin = _views(grid)
    c = (torch.arange(grid.size, dtype=torch.float32) - (grid.size - 1) / 2) * grid.pixel_mm
    s = (c * cos[view])[None, :] + (c * sin[view])[:, None]
    sample = torch.round((s.reshape(-1) / grid.pitch_mm + (grid.bins - 1) / 2) * UPSAMPLE)
    return sample.clamp(0, grid.bins * UPSAMPLE - 1).to(torch.int32)


@cache
def _backprojection_index(grid: Grid) -> torch.Tensor:
    """Return the indices of all views, (views, pixels)."""
    return torch.stack([_nearest_sample(grid, view) for view in range(grid.views)])


def reconstruct(sinograms: torch.Tensor, kernel: Kernel, grid: Grid = CHEST) -> torch.Tensor:
    """Return images in HU, (batch, size, size), from line integrals (batch, views, bins) by filtered back-projection.

    The filtered projections are interpolated eightfold in the Fourier domain; the pixels take the nearest sample.
    """
    batch, n = sinograms.shape[0], _fft_length(grid)
    spectrum = torch.fft.rfft(sinograms, n=n, dim=-1) * _filter(kernel, grid)
    padded = torch.zeros(batch, grid.views, n * UPSAMPLE // 2 + 1, dtype=torch.complex64)
    padded[..., : n // 2 + 1] = spectrum
    filtered = torch.fft.irfft(padded, n=n * UPSAMPLE, dim=-1)[..., : grid.bins * UPSAMPLE] * UPSAMPLE
    rows = filtered.permute(1, 2, 0).contiguous()
    index = _backprojection_index(grid) if grid == CHEST else None  # other grids are used once: not worth the memory
    image = torch.zeros(grid.size * grid.size, batch)
    for view in range(grid.views):
        image += rows[view].index_select(0, index[view] if index is not None else _nearest_sample(grid, view))
    mu = (image * (math.pi / grid.views)).T.reshape(batch, grid.size, grid.size)
    return mu * (1000.0 / MU_WATER) - 1000.0


def pixel_grid() -> tuple[np.ndarray, np.ndarray]:
    """Return the x and y coordinates of the pixel centres in mm, (256, 256) each."""
    c = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_MM
    y, x = np.meshgrid(c, c, indexing="ij")
    return x, y
