"""Noise, contrast and local errors against NumPy, and planted faults that global scores do not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

from tests.metrics.imaging.devices import DEVICES
from validation.errors import UsageProblem
from validation.metrics.imaging.local import cnr, lesion_contrast, local_sd, worst_local_error
from validation.metrics.imaging.noise import noise_magnitude
from validation.metrics.imaging.pixel_error import mae, psnr
from validation.metrics.imaging.similarity import ssim


def noise(*shape: int, sd: float = 20.0, seed: int = 0) -> torch.Tensor:
    return sd * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(2, 30, 40), (2, 6, 20, 20)])
def test_noise_magnitude_is_the_sample_standard_deviation(shape, device):
    image = noise(*shape) + 1000
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.4
    whole, region = noise_magnitude(image.to(device)), noise_magnitude(image.to(device), mask.to(device))
    for case in range(shape[0]):
        assert whole[case].item() == pytest.approx(image[case].numpy().std(ddof=1), rel=1e-12)
        assert region[case].item() == pytest.approx(image[case][mask[case]].numpy().std(ddof=1), rel=1e-12)


@pytest.mark.shared
def test_noise_magnitude_gives_the_gold_standard_deviation(shared):
    import json

    gold = json.loads((shared / "reference" / "imaging" / "nps_and_piq.json").read_text())["nps"]["fbp_dose100"]
    with np.load(shared / "data" / "imaging" / "ct_lcd_dose" / "lcd_small.npz", allow_pickle=False) as archive:
        scans = archive["fbp_dose100_sa"].astype(np.float64)
    image = torch.as_tensor((scans - scans.mean(0)) * np.sqrt(10 / 9))[None, :, 96:160, 96:160]
    assert noise_magnitude(image).item() == pytest.approx(gold["pixel_sd_HU"], rel=2e-3)


def test_detrending_takes_out_a_gradient_without_bias():
    y, x = torch.meshgrid(torch.arange(30.0), torch.arange(40.0), indexing="ij")
    gradient = (2 * x - 3 * y).to(torch.float64)
    images = noise(400, 30, 40, sd=10) + gradient
    mask = torch.rand(400, 30, 40, generator=torch.Generator().manual_seed(2)) < 0.02  # about 24 voxels
    assert noise_magnitude(images).mean() > 25
    values = noise_magnitude(images, mask, detrend="plane").square()
    assert values.nanmean().item() == pytest.approx(100, rel=0.05)
    assert noise_magnitude(gradient[None], detrend="plane").item() == pytest.approx(0, abs=1e-9)


def test_too_few_voxels_are_undefined():
    image, mask = noise(3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[1, 0, 0] = True
    mask[2, 0, :3] = True
    assert torch.isnan(noise_magnitude(image, mask)).tolist() == [True, True, False]
    assert torch.isnan(noise_magnitude(image, mask, detrend="plane")).all()
    with pytest.raises(UsageProblem, match="detrend"):
        noise_magnitude(image, detrend="cubic")


def test_cnr_and_lesion_contrast_equal_numpy():
    image = noise(1, 64, 64, sd=5)
    lesion = torch.zeros(1, 64, 64, dtype=torch.bool)
    lesion[:, 30:38, 30:38] = True
    background = torch.zeros_like(lesion)
    background[:, 5:20, 5:20] = True
    image = image - 12.0 * lesion
    a, b = image[lesion].numpy(), image[background].numpy()
    assert cnr(image, lesion, background).item() == pytest.approx(abs(a.mean() - b.mean()) / b.std(ddof=1), rel=1e-12)
    near = ndimage.binary_dilation(lesion[0].numpy(), np.ones((3, 3)))
    ring = ndimage.binary_dilation(lesion[0].numpy(), np.ones((3, 3)), iterations=4) & ~near
    expected = a.mean() - image[0].numpy()[ring].mean()
    assert lesion_contrast(image, lesion).item() == pytest.approx(expected, rel=1e-12)
    assert lesion_contrast(image, lesion, background).item() == pytest.approx(a.mean() - b.mean(), rel=1e-12)
    assert torch.isnan(cnr(image, lesion, torch.zeros_like(background)))
    assert torch.isnan(cnr(torch.zeros_like(image), lesion, background))
    assert torch.isnan(lesion_contrast(image, torch.zeros_like(lesion)))


@pytest.mark.parametrize(("shape", "window"), [((2, 20, 24), 5), ((1, 8, 12, 11), 3)])
def test_local_sd_equals_numpy_windows(shape, window):
    image = noise(*shape) + 5000
    views = [sliding_window_view(case.numpy(), [window] * (len(shape) - 1)) for case in image]
    axes = tuple(range(-(len(shape) - 1), 0))
    for statistic, reduce in (("median", np.median), ("mean", np.mean), ("quantile", lambda v: np.quantile(v, 0.95))):
        measured = local_sd(image, window=window, statistic=statistic)
        for case, view in enumerate(views):
            assert measured[case].item() == pytest.approx(reduce(view.std(axis=axes, ddof=1)), rel=1e-6)


def test_local_sd_counts_windows_inside_the_mask_only():
    image = noise(1, 40, 40, sd=3)
    image[:, :, 20:] += 500
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[:, :, :20] = True
    assert local_sd(image, mask, statistic="quantile", fraction=1.0) < 6
    assert local_sd(image, statistic="quantile", fraction=1.0) > 100
    assert torch.isnan(local_sd(image, mask & (torch.arange(40) < 5), window=7))


@pytest.mark.parametrize("device", DEVICES)
def test_worst_local_error_equals_numpy_windows(device):
    output, reference = noise(2, 9, 15, 12), noise(2, 9, 15, 12, seed=1)
    mask = torch.zeros(2, 9, 15, 12, dtype=torch.bool)
    mask[0, :, :8] = True
    for signed in (False, True):
        difference = (output - reference).numpy()
        difference = difference if signed else np.abs(difference)
        local = np.abs(sliding_window_view(difference, (3, 3, 3), axis=(1, 2, 3)).mean(axis=(-1, -2, -3)))
        measured = worst_local_error(output.to(device), reference.to(device), window=3, signed=signed)
        np.testing.assert_allclose(measured.cpu().numpy(), local.reshape(2, -1).max(1), rtol=1e-9)
        inside = worst_local_error(output.to(device), reference.to(device), mask.to(device), window=3, signed=signed)
        centres = mask[0, 1:-1, 1:-1, 1:-1].numpy()
        assert inside[0].item() == pytest.approx(local[0][centres].max(), rel=1e-9)
        assert torch.isnan(inside[1])


def test_a_thin_volume_has_a_thin_window():
    output, reference = noise(1, 1, 20, 20), noise(1, 1, 20, 20, seed=1)
    flat = worst_local_error(output[:, 0], reference[:, 0])
    assert worst_local_error(output, reference).item() == pytest.approx(flat.item(), rel=1e-12)


def test_a_false_air_cavity_passes_global_scores_and_is_found_here():
    reference = noise(1, 48, 96, 96, sd=10)
    clean = reference + noise(1, 48, 96, 96, sd=10, seed=1)
    false = clean.clone()
    false[:, 20:25, 40:45, 50:55] -= 1000  # five voxels wide
    # the global scores hardly move, or stay far on the good side
    assert (mae(false, reference) - mae(clean, reference)).item() < 0.5
    assert psnr(false, reference, data_range=3000).item() > 40
    similarity = [ssim(image, reference, data_range=3000).item() for image in (clean, false)]
    assert similarity[0] - similarity[1] < 0.01
    assert worst_local_error(clean, reference) < 20
    assert worst_local_error(false, reference) > 900
    assert worst_local_error(false, reference, signed=True) > 900


def test_a_nodule_that_was_added_or_erased_is_found():
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    nodule = ((y - 60).square() + (x - 70).square() <= 9)[None]
    scan = noise(1, 128, 128, sd=8) + 60 * nodule
    erased = scan - 60 * nodule
    assert lesion_contrast(scan, nodule).item() == pytest.approx(60, abs=6)
    assert abs(lesion_contrast(erased, nodule).item()) < 6
    assert worst_local_error(erased, scan, signed=True).item() == pytest.approx(60, rel=0.05)
    assert worst_local_error(scan + noise(1, 128, 128, sd=8, seed=3), scan, signed=True) < 12


def test_wrong_parameters_are_refused():
    pair = torch.zeros(1, 16, 16), torch.zeros(1, 16, 16)
    with pytest.raises(UsageProblem, match="window"):
        worst_local_error(*pair, window=0)
    with pytest.raises(UsageProblem, match="statistic"):
        local_sd(pair[0], statistic="mode")
    with pytest.raises(UsageProblem, match="ring"):
        lesion_contrast(pair[0], pair[1].bool(), ring=0)
