"""Noise insertion: what a real CT slice would look like at a lower dose, from the slice itself.

Method (image-domain form of Yu et al. 2012, doi:10.1097/RCT.0b013e318258e891, for scans whose raw data are not
available): the slice is projected, the variance that the lower dose would add to each ray is computed from the
attenuation along it, noise of that variance is reconstructed with a matched kernel, and the noise image is added. The
scan itself stays as it is.

Variance of a line integral at N photons: ``exp(p) / N``; going from dose 1 to dose a adds ``(1/a - 1) exp(p) / N``.
N, which the header does not tell, is calibrated: the noise that it implies at full dose must equal the noise measured
in a uniform region of the real scan. The cutoff of the kernel is calibrated likewise, on the mean frequency of the
measured noise power spectrum.

Not modelled: electronic noise apart from quantum noise, bowtie filter, tube current modulation within the slice,
scatter, fan-beam geometry, and the scanner's own adaptive filters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .scanner import MU_WATER, Grid, Kernel, _views, reconstruct


def grid_for(size: int, pixel_mm: float) -> Grid:
    """Return a parallel-beam grid that covers the diagonal of an image with rays as fine as its pixels."""
    return Grid(size=size, pixel_mm=pixel_mm, views=600, bins=int(np.ceil(size * 1.42 / 2) * 2), pitch_mm=pixel_mm)


def project_raster(image_hu: np.ndarray, grid: Grid, coarse: int = 2) -> torch.Tensor:
    """Return line integrals (views, bins) of a slice in HU; pixels are averaged ``coarse`` by ``coarse`` first.

    The result sets only the variance of noise, so bilinear sampling along the rays is fine enough.
    """
    mu = torch.as_tensor(np.clip(image_hu, -1000, 3000) + 1000.0, dtype=torch.float32) * (MU_WATER / 1000.0)
    mu = torch.nn.functional.avg_pool2d(mu[None, None], coarse)
    half = grid.size * grid.pixel_mm / 2
    step = grid.pixel_mm * coarse
    steps = int(grid.bins / coarse)
    t = (torch.arange(steps) - (steps - 1) / 2) * step
    s = (torch.arange(grid.bins // coarse) - (grid.bins // coarse - 1) / 2) * step
    cos, sin = _views(grid)
    rows = []
    for c, k in zip(cos.tolist(), sin.tolist(), strict=True):
        x = s[:, None] * c - t[None, :] * k
        y = s[:, None] * k + t[None, :] * c
        where = torch.stack([x, y], dim=-1)[None] / half
        rows.append(torch.nn.functional.grid_sample(mu, where, align_corners=False)[0, 0].sum(-1) * step)
    sinogram = torch.stack(rows)
    return torch.nn.functional.interpolate(sinogram[None], size=grid.bins, mode="linear", align_corners=False)[0]


@dataclass(frozen=True)
class Calibration:
    """Photons per ray and kernel that reproduce the noise of a real scan."""

    photons: float
    kernel: Kernel
    measured_sd: float
    simulated_sd: float
    measured_frequency: float
    simulated_frequency: float


def noise_image(
    line_integrals: torch.Tensor,
    photons: float,
    fraction: float,
    kernel: Kernel,
    grid: Grid,
    generator: torch.Generator,
) -> np.ndarray:
    """Return the noise in HU that dose ``fraction`` adds; 0.5 gives the noise of the full dose itself."""
    variance = (1.0 / fraction - 1.0) * torch.exp(line_integrals) / photons
    noise = torch.sqrt(variance) * torch.randn(line_integrals.shape, generator=generator)
    return (reconstruct(noise[None], kernel, grid)[0] + 1000.0).numpy()


def mean_frequency(patches: np.ndarray, pixel_mm: float) -> float:
    """Return the mean frequency (1/mm) of the radial noise power of square patches, (n, k, k), each minus its plane."""
    k = patches.shape[-1]
    axis = np.linspace(-1, 1, k)
    basis = np.linalg.qr(np.stack([np.ones((k, k)), *np.meshgrid(axis, axis)], -1).reshape(k * k, 3))[0]
    flat = patches.reshape(len(patches), -1)
    flat = flat - flat @ basis @ basis.T
    power = (np.abs(np.fft.fft2(flat.reshape(-1, k, k))) ** 2).mean(0)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(k, pixel_mm), np.fft.fftfreq(k, pixel_mm)))
    inside = (f > 0) & (f < 0.5 / pixel_mm)
    rings = np.round(f[inside] * k * pixel_mm).astype(int)
    radial = np.bincount(rings, power[inside]) / np.maximum(np.bincount(rings), 1)
    centre = np.bincount(rings, f[inside]) / np.maximum(np.bincount(rings), 1)
    return float((radial * centre).sum() / radial.sum())


def patches_at(image: np.ndarray, centres: list[tuple[int, int]], size: int) -> np.ndarray:
    """Return square patches (n, size, size) about the given rows and columns."""
    h = size // 2
    return np.stack([image[r - h : r - h + size, c - h : c - h + size] for r, c in centres])


def calibrate(
    image_hu: np.ndarray,
    centres: list[tuple[int, int]],
    size: int,
    grid: Grid,
    generator: torch.Generator,
    noise: np.ndarray | None = None,
) -> Calibration:
    """Fit photons and kernel cutoff to the noise in uniform patches of a real slice, or in a noise image of it."""
    real = patches_at(image_hu if noise is None else noise, centres, size)
    target_f = mean_frequency(real, grid.pixel_mm)
    target_sd = _detrended_sd(real)
    line_integrals = project_raster(image_hu, grid)
    low, high = 0.2 * 0.5 / grid.pixel_mm, 1.6 * 0.5 / grid.pixel_mm
    for _ in range(6):  # the mean frequency grows with the cutoff: bisection
        kernel = Kernel("matched", "hann", 0.5 * (low + high))
        part = patches_at(noise_image(line_integrals, 1e5, 0.5, kernel, grid, generator), centres, size)
        frequency, sd = mean_frequency(part, grid.pixel_mm), _detrended_sd(part)
        low, high = (kernel.cutoff, high) if frequency < target_f else (low, kernel.cutoff)
    photons = 1e5 * (sd / target_sd) ** 2
    check = patches_at(noise_image(line_integrals, photons, 0.5, kernel, grid, generator), centres, size)
    return Calibration(photons, kernel, target_sd, _detrended_sd(check), target_f, frequency)


def _detrended_sd(patches: np.ndarray) -> float:
    k = patches.shape[-1]
    axis = np.linspace(-1, 1, k)
    basis = np.linalg.qr(np.stack([np.ones((k, k)), *np.meshgrid(axis, axis)], -1).reshape(k * k, 3))[0]
    flat = patches.reshape(len(patches), -1)
    return float(np.sqrt(((flat - flat @ basis @ basis.T) ** 2).sum(1).mean() / (k * k - 3)))
