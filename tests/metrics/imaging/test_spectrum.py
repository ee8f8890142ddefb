"""Noise power spectra: the gold file, Parseval, noise of known spectrum, placement of regions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from validation.errors import DataProblem, UsageProblem
from validation.metrics.imaging.spectrum import (
    nps,
    nps_mean_frequency,
    nps_peak_frequency,
    power_spectrum,
    radial_spectrum,
    region_corners,
)

ONE_MM = torch.ones(1, 2)


@pytest.mark.shared
def test_the_gold_spectra_of_six_phantom_conditions(shared):
    gold = json.loads((shared / "reference" / "imaging" / "nps_and_piq.json").read_text())["nps"]
    with np.load(shared / "data" / "imaging" / "ct_lcd_dose" / "lcd_small.npz", allow_pickle=False) as archive:
        scans = {name: archive[f"{name}_sa"].astype(np.float64) for name in gold}
    assert len(gold) == 6
    for name, entry in gold.items():
        # ten repeated scans: minus their mean, rescaled for the lost degree of freedom, stacked as slices of one case
        noise = torch.as_tensor((scans[name] - scans[name].mean(0)) * np.sqrt(10 / 9)).unsqueeze(0)
        mask = torch.zeros_like(noise, dtype=torch.bool)
        mask[..., 96:160, 96:160] = True
        spacing = torch.ones(1, 3)
        settings = {"roi_size": 32, "stride": 32, "detrend": "mean"}
        spectrum, regions = power_spectrum(noise, mask, spacing, **settings)
        reference = entry["reference"]
        assert regions.item() == 40
        # the integral over frequency is the variance
        assert spectrum.sum().item() / 32**2 == pytest.approx(reference["integral_over_freq(=variance)"], rel=1e-9)
        frequency, power = radial_spectrum(spectrum, spacing, bin_width=1 / 32, bins=16)
        np.testing.assert_allclose(frequency[0, 1:], reference["radial_freq"][1:], rtol=1e-9)
        np.testing.assert_allclose(power[0, 1:], reference["radial_nps"][1:], rtol=1e-9)
        peak = nps_peak_frequency(noise, mask, spacing_mm=spacing, **settings)
        assert peak.item() == pytest.approx(reference["peak_freq"], rel=1e-9)
        mean = nps_mean_frequency(noise, mask, spacing_mm=spacing, average="plane", **settings)
        assert mean.item() == pytest.approx(reference["mean_freq"], rel=1e-9)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_white_noise_has_a_flat_spectrum_of_its_variance(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    generator = torch.Generator().manual_seed(1)
    image = (20 * torch.randn(2, 12, 256, 256, generator=generator)).to(device)
    spacing = torch.tensor([[3.0, 0.5, 0.8], [1.0, 0.7, 0.7]])
    values = nps(image, spacing_mm=spacing, detrend="mean", max_frequency=0.6)
    area = (spacing[:, 1] * spacing[:, 2]).tolist()
    for case in range(2):
        curve = torch.stack([v[case].cpu() for v in values.values()]).numpy()
        nyquist = 0.5 / max(spacing[case, 1:].tolist())
        known = np.isfinite(curve)
        assert known.sum() == min(12, int(nyquist / 0.05) + (nyquist % 0.05 > 0.01))
        assert np.allclose(curve[known], 400 * area[case], rtol=0.05)


def test_correlated_noise_has_its_own_mean_frequency():
    # white noise blurred by a Gaussian of 1 mm: NPS(f) ~ exp(-(2 pi f)^2)
    rng = np.random.default_rng(2)
    size, pixel, roi = 512, 0.5, 256
    frequency = np.fft.fftfreq(size, pixel)
    square = frequency[:, None] ** 2 + frequency[None, :] ** 2
    blur = np.exp(-2 * np.pi**2 * square)
    noise = np.stack([np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) * blur).real for _ in range(8)])
    image = torch.as_tensor(noise).unsqueeze(0)
    kwargs = {"spacing_mm": torch.full((1, 3), pixel), "detrend": "mean", "roi_size": roi}
    rings = (np.arange(1, roi // 2) + 0.5) / (roi * pixel)
    expected = (rings * np.exp(-((2 * np.pi * rings) ** 2))).sum() / np.exp(-((2 * np.pi * rings) ** 2)).sum()
    assert nps_mean_frequency(image, **kwargs).item() == pytest.approx(expected, rel=0.03)
    # over the plane: int f^2 NPS df / int f NPS df = 1 / (4 sqrt(pi))
    in_plane = nps_mean_frequency(image, average="plane", **kwargs).item()
    assert in_plane == pytest.approx(1 / (4 * np.sqrt(np.pi)), rel=0.03)


def test_a_gradient_is_not_noise_once_it_is_detrended():
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    image = (0.4 * x - 0.2 * y).unsqueeze(0)
    with_mean = power_spectrum(image, None, ONE_MM, roi_size=64, stride=32, detrend="mean")[0].sum()
    with_plane = power_spectrum(image, None, ONE_MM, roi_size=64, stride=32, detrend="plane")[0].sum()
    bowl = (0.01 * x * x).unsqueeze(0)
    with_quadratic = power_spectrum(bowl, None, ONE_MM, roi_size=64, stride=32, detrend="quadratic")[0].sum()
    assert with_mean > 1e4
    assert with_plane < 1e-12 * with_mean
    assert with_quadratic < 1e-12 * with_mean


def test_regions_lie_in_the_mask_and_as_many_as_fit():
    mask = torch.zeros(2, 1, 40, 50, dtype=torch.bool)
    mask[0, :, 5:21, 7:39] = True  # 16 x 32: with side 16 and stride 16 exactly two regions, at an offset
    corners = region_corners(mask, 16, 16)
    assert corners.tolist() == [[0, 5, 7], [0, 5, 23]]


def test_no_region_gives_nan_and_other_cases_are_untouched():
    image = torch.randn(2, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    mask = torch.ones(2, 64, 64, dtype=torch.bool)
    mask[0, :, ::8] = False
    spacing = torch.ones(2, 2)
    values = nps(image, mask, spacing_mm=spacing, roi_size=16)
    alone = nps(image[1:], mask[1:], spacing_mm=spacing[1:], roi_size=16)
    assert all(torch.isnan(v[0]) for v in values.values())
    assert torch.isfinite(values["0.325"][1])
    assert values["0.325"][1] == alone["0.325"][0]
    assert torch.isnan(values["0.975"][1])  # beyond the Nyquist frequency
    assert torch.isnan(nps_mean_frequency(image, mask, spacing_mm=spacing, roi_size=16)[0])
    assert torch.isnan(nps_peak_frequency(torch.zeros(1, 64, 64), spacing_mm=ONE_MM, roi_size=16, detrend="mean"))


@pytest.mark.parametrize(
    "settings", [{"roi_size": 128}, {"roi_size": 32, "detrend": "cubic"}, {"roi_size": 32, "bin_width": 0.0}]
)
def test_impossible_parameters_are_refused(settings):
    with pytest.raises(UsageProblem, match=next(reversed(settings))):
        nps(torch.zeros(1, 64, 64), spacing_mm=ONE_MM, **settings)


def test_spacing_must_fit_the_image():
    with pytest.raises(DataProblem, match="spacing_mm"):
        nps(torch.zeros(1, 64, 64), spacing_mm=torch.ones(1, 3), roi_size=16)
