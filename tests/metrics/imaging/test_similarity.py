"""SSIM and MS-SSIM against scikit-image and MONAI on random images, and the documented difference from torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from tests.metrics.imaging.devices import DEVICES
from validation.errors import UsageProblem
from validation.metrics.imaging.similarity import gaussian_window, ms_ssim, ssim


def smooth_pair(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(shape, generator=generator, dtype=torch.float64).cumsum(-1) * 10
    return reference + 15 * torch.randn(shape, generator=generator, dtype=torch.float64), reference


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(2, 40, 53), (2, 14, 20, 17)])
def test_equal_to_scikit_image(shape, device):
    output, reference = smooth_pair(*shape)
    measured = ssim(output.to(device), reference.to(device), data_range=400)
    for case in range(shape[0]):
        expected = structural_similarity(
            output[case].numpy(),
            reference[case].numpy(),
            data_range=400,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert measured[case].item() == pytest.approx(expected, abs=1e-9)


def test_a_region_is_the_mean_of_the_map_over_it():
    output, reference = smooth_pair(1, 60, 60)
    mask = torch.zeros(1, 60, 60, dtype=torch.bool)
    mask[:, 20:40, 10:30] = True
    _, image = structural_similarity(
        output[0].numpy(),
        reference[0].numpy(),
        data_range=400,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )
    measured = ssim(output, reference, mask, data_range=400).item()
    assert measured == pytest.approx(image[20:40, 10:30].mean(), abs=1e-9)
    mask[:] = False
    mask[:, :3] = True  # only where no window fits
    assert torch.isnan(ssim(output, reference, mask, data_range=400))


def test_float32_keeps_its_digits_far_from_zero():
    output, reference = smooth_pair(1, 64, 64)
    exact = ssim(output + 20000, reference + 20000, data_range=4000).item()
    single = ssim((output + 20000).float(), (reference + 20000).float(), data_range=4000).item()
    assert single == pytest.approx(exact, abs=1e-5)


def test_torchmetrics_differs_by_its_padding():
    from torchmetrics.functional.image import structural_similarity_index_measure

    output, reference = smooth_pair(1, 48, 48)
    peer = structural_similarity_index_measure(output[None], reference[None], data_range=400.0, return_full_image=True)
    cropped = peer[1][..., 5:-5, 5:-5].mean().item()
    assert ssim(output, reference, data_range=400).item() == pytest.approx(cropped, abs=1e-4)


def test_multi_scale_equals_monai_in_two_and_three_dimensions():
    from monai.metrics import MultiScaleSSIMMetric

    output, reference = smooth_pair(1, 180, 190)
    peer = MultiScaleSSIMMetric(2, data_range=400.0, kernel_sigma=1.5)
    expected = peer(output[:, None].float(), reference[:, None].float()).item()
    assert ms_ssim(output, reference, data_range=400).item() == pytest.approx(expected, abs=1e-5)
    output, reference = smooth_pair(1, 44, 46, 45)
    weights = (0.0448, 0.2856, 0.3001)
    peer = MultiScaleSSIMMetric(3, data_range=400.0, kernel_sigma=1.5, weights=[w / sum(weights) for w in weights])
    expected = peer(output[:, None].float(), reference[:, None].float()).item()
    assert ms_ssim(output, reference, data_range=400, scales=3).item() == pytest.approx(expected, abs=1e-5)


def test_one_for_identical_images_and_lower_for_noise():
    output, reference = smooth_pair(1, 180, 180)
    for metric in (ssim, ms_ssim):
        assert metric(reference, reference, data_range=400).item() == pytest.approx(1, abs=1e-12)
        assert metric(output, reference, data_range=400) < 1
    flat = torch.zeros(1, 20, 20)
    assert ssim(flat, flat, data_range=1).item() == 1


def test_too_small_images_are_undefined():
    assert torch.isnan(ssim(torch.zeros(2, 10, 50), torch.zeros(2, 10, 50), data_range=1)).all()
    assert torch.isnan(ms_ssim(torch.zeros(2, 175, 200), torch.zeros(2, 175, 200), data_range=1)).all()


def test_wrong_parameters_are_refused():
    pair = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
    with pytest.raises(UsageProblem, match="data_range"):
        ssim(*pair, data_range=-1)
    with pytest.raises(UsageProblem, match="scales"):
        ms_ssim(*pair, data_range=1, scales=6)


def test_the_window_is_that_of_scipy():
    from scipy.ndimage import gaussian_filter1d

    impulse = np.zeros(21)
    impulse[10] = 1
    expected = gaussian_filter1d(impulse, 1.5, truncate=3.5)[5:16]
    np.testing.assert_allclose(gaussian_window().numpy(), expected, atol=1e-12)
