"""RMSE, MAE, PSNR and HU bias against NumPy, scikit-image and torchmetrics; masks, NaN and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from tests.metrics.imaging.devices import DEVICES
from validation.errors import DataProblem, UsageProblem
from validation.metrics.imaging.batches import mean_over_voxels, variance_over_voxels
from validation.metrics.imaging.pixel_error import hu_bias, mae, psnr, rmse


def random_pair(*shape: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.normal(0, 300, shape).astype(np.float32)
    return reference + rng.normal(3, 20, shape).astype(np.float32), reference


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(3, 40, 50), (2, 9, 20, 30)])
def test_equal_to_numpy_and_scikit_image_per_case(shape, device):
    output, reference = random_pair(*shape)
    pair = torch.as_tensor(output, device=device), torch.as_tensor(reference, device=device)
    mask = np.random.default_rng(1).random(shape) < 0.3
    torch_mask = torch.as_tensor(mask, device=device)
    values = {
        "rmse": rmse(*pair),
        "mae": mae(*pair, torch_mask),
        "bias": hu_bias(*pair, torch_mask),
        "psnr": psnr(*pair, data_range=2000),
    }
    for case in range(shape[0]):
        error = output[case].astype(float) - reference[case]
        assert values["rmse"][case].item() == pytest.approx(np.sqrt((error**2).mean()), rel=1e-6)
        assert values["mae"][case].item() == pytest.approx(np.abs(error[mask[case]]).mean(), rel=1e-6)
        assert values["bias"][case].item() == pytest.approx(error[mask[case]].mean(), rel=1e-5)
        expected = peak_signal_noise_ratio(reference[case].astype(float), output[case].astype(float), data_range=2000)
        assert values["psnr"][case].item() == pytest.approx(expected, abs=1e-5)


def test_psnr_equals_torchmetrics():
    from torchmetrics.functional.image import peak_signal_noise_ratio as peer

    output, reference = (torch.as_tensor(a) for a in random_pair(1, 64, 64))
    expected = peer(output, reference, data_range=2000.0).item()
    assert psnr(output, reference, data_range=2000).item() == pytest.approx(expected, abs=1e-4)


def test_identical_images_have_no_psnr_and_no_error():
    image = torch.full((2, 8, 8), 7.0)
    assert torch.isnan(psnr(image, image, data_range=100)).all()
    assert rmse(image, image).tolist() == mae(image, image).tolist() == hu_bias(image, image).tolist() == [0, 0]


def test_a_large_offset_does_not_cost_digits():
    reference = torch.full((1, 512, 512), 30000.0)
    output = reference + 1
    assert rmse(output, reference).item() == pytest.approx(1, rel=1e-7)
    image = reference + torch.tensor([0.0, 2.0]).repeat(256)
    assert variance_over_voxels(image).item() == pytest.approx(512 * 512 / (512 * 512 - 1), rel=1e-7)


def test_an_empty_mask_and_nan_are_undefined_and_stay_in_their_case():
    output, reference = (torch.as_tensor(a) for a in random_pair(3, 8, 8))
    output[1, 0, 0] = torch.nan
    mask = torch.ones(3, 8, 8, dtype=torch.bool)
    mask[0] = False
    for metric in (rmse, mae, hu_bias):
        assert torch.isnan(metric(output, reference, mask)).tolist() == [True, True, False]
    mask[1, 0, 0] = False  # a bad voxel outside the region does not count
    assert torch.isfinite(mae(output, reference, mask)[1])


def test_integers_are_not_wrapped():
    low, high = torch.zeros(1, 4, 4, dtype=torch.uint8), torch.full((1, 4, 4), 200, dtype=torch.uint8)
    assert hu_bias(low, high).item() == -200
    wide = torch.full((1, 4, 4), -32768, dtype=torch.int16), torch.full((1, 4, 4), 32767, dtype=torch.int16)
    assert mae(*wide).item() == 65535


@settings(max_examples=25, deadline=None)
@given(st.floats(-1000, 1000), st.floats(0.1, 10), st.integers(0, 2**16))
def test_shifting_both_images_changes_nothing_and_scaling_scales(shift, scale, seed):
    output, reference = (torch.as_tensor(a, dtype=torch.float64) for a in random_pair(1, 6, 7, seed=seed))
    for metric in (rmse, mae, hu_bias):
        value = metric(output, reference)
        assert torch.allclose(metric(output + shift, reference + shift), value, atol=1e-9)
        assert torch.allclose(metric(output * scale, reference * scale), value * scale, rtol=1e-9)
    assert rmse(output, reference) >= mae(output, reference) >= hu_bias(output, reference).abs()


def test_wrong_shapes_are_refused():
    with pytest.raises(DataProblem, match="reference"):
        rmse(torch.zeros(1, 4, 4), torch.zeros(1, 4, 5))
    with pytest.raises(DataProblem, match="shape"):
        rmse(torch.zeros(4, 4), torch.zeros(4, 4))
    with pytest.raises(DataProblem, match="mask"):
        mae(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4), torch.ones(4, 4))
    for data_range in (0, -1, float("inf"), float("nan")):
        with pytest.raises(UsageProblem, match="data_range"):
            psnr(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4), data_range=data_range)


def test_moments_equal_numpy():
    values = torch.as_tensor(np.random.default_rng(2).normal(size=(4, 5, 6)))
    mask = torch.as_tensor(np.random.default_rng(3).random((4, 5, 6)) < 0.5)
    for case in range(4):
        inside = values[case][mask[case]].numpy()
        assert mean_over_voxels(values, mask)[case].item() == pytest.approx(inside.mean())
        assert variance_over_voxels(values, mask)[case].item() == pytest.approx(inside.var(ddof=1))
