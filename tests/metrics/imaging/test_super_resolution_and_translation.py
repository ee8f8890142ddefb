"""Super-resolution and translation metrics against analytic edges, planted aliasing, shifts and hidden patterns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage, special

from validation.errors import ModelProblem, UsageProblem
from validation.metrics.imaging.super_resolution import data_consistency, edge_overshoot, unsupported_detail
from validation.metrics.imaging.translation import cycle_steganography, geometric_shift


def batch(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float64)).unsqueeze(0)


def disk(ringing: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a disk with a smooth edge and an overshoot of a known share of its contrast on either side."""
    rows, columns = np.indices((128, 128)) - 63.5
    distance = np.hypot(rows, columns) - 30
    edge = 0.5 * special.erfc(distance / 1.5)
    bump = np.exp(-((distance + 6) ** 2) / 8) - np.exp(-((distance - 6) ** 2) / 8)
    return batch(100 * (edge + ringing * bump)), torch.as_tensor(distance < 0).unsqueeze(0)


def test_overshoot_is_found_and_a_smooth_edge_has_none():
    spacing = torch.ones(1, 2, dtype=torch.float64)
    smooth, mask = disk(0.0)
    assert edge_overshoot(smooth, mask, spacing_mm=spacing).item() < 0.5
    for share in (0.05, 0.1):
        ringing, _ = disk(share)
        assert edge_overshoot(ringing, mask, spacing_mm=spacing).item() == pytest.approx(200 * share, rel=0.1)
        assert edge_overshoot(-ringing, mask, spacing_mm=spacing).item() == pytest.approx(200 * share, rel=0.1)
    assert torch.isnan(edge_overshoot(torch.zeros(1, 128, 128), mask, spacing_mm=spacing)).all()


def test_data_consistency_sees_what_the_scanner_saw_and_not_the_detail():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(3, 32, 32))
    detail = rng.normal(size=truth.shape)
    blocks = detail.reshape(3, 8, 4, 8, 4).mean((2, 4))
    invented = detail - np.repeat(np.repeat(blocks, 4, 1), 4, 2)  # averages out in every block
    assert data_consistency(batch(truth + invented), batch(truth), factor=4).item() == pytest.approx(0, abs=1e-12)
    expected = np.sqrt((blocks**2).mean())
    assert data_consistency(batch(truth + detail), batch(truth), factor=4).item() == pytest.approx(expected)
    assert torch.isnan(data_consistency(batch(truth), batch(truth), factor=64)).all()
    with pytest.raises(UsageProblem, match="factor"):
        data_consistency(batch(truth), batch(truth), factor=1)


def test_invented_detail_is_unsupported_and_true_detail_is_not():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(128, 128))
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    low = np.fft.ifft2(np.fft.fft2(truth) * (frequency < 0.25)).real
    made_up = low + np.fft.ifft2(np.fft.fft2(rng.normal(size=truth.shape)) * (frequency >= 0.25)).real
    assert unsupported_detail(batch(0.5 * truth), batch(truth), factor=2).item() == pytest.approx(0, abs=1e-9)
    assert unsupported_detail(batch(made_up), batch(truth), factor=2).item() > 0.95
    half = unsupported_detail(batch(truth + made_up - low), batch(truth), factor=2).item()
    assert half == pytest.approx(0.5, abs=0.1)
    aliased = truth.copy()
    aliased += 3 * np.cos(2 * np.pi * 0.4 * np.arange(128))  # a fold-over pattern
    assert unsupported_detail(batch(aliased), batch(truth), factor=2).item() > 0.4
    assert torch.isnan(unsupported_detail(torch.zeros(1, 16, 16), torch.zeros(1, 16, 16), factor=2)).all()


@pytest.mark.parametrize("shape", [(96, 80), (24, 48, 40)])
def test_a_shift_of_two_voxels_is_found_across_contrasts_and_no_shift_is_not(shape):
    rng = np.random.default_rng(3)
    image = ndimage.gaussian_filter((ndimage.gaussian_filter(rng.normal(size=shape), 4) > 0).astype(float), 0.8)
    other = 3 - 2 * image + 0.02 * rng.normal(size=shape)  # inverted contrast, noise
    spacing = torch.full((1, len(shape)), 0.5, dtype=torch.float64)
    spacing[0, -1] = 0.8
    assert geometric_shift(batch(other), batch(image), spacing_mm=spacing).item() < 0.05
    moved = np.roll(other, 2, -1)
    assert geometric_shift(batch(moved), batch(image), spacing_mm=spacing).item() == pytest.approx(1.6, abs=0.1)
    half = ndimage.shift(other, [0.5] + [0] * (len(shape) - 1), mode="wrap")
    assert geometric_shift(batch(half), batch(image), spacing_mm=spacing).item() == pytest.approx(0.25, abs=0.1)
    flat = torch.zeros(1, *shape)
    assert torch.isnan(geometric_shift(flat, flat, spacing_mm=spacing)).all()


@pytest.mark.shared
def test_registered_t1_and_t2_images_have_no_shift_and_a_planted_one_is_found(shared):
    with np.load(shared / "data" / "imaging" / "mr_ms_t1t2" / "patient07.npz") as archive:
        t1, t2 = (archive[k][30:90, 20:140, 10:110].astype(float) for k in ("T1", "T2"))
    spacing = torch.ones(1, 3, dtype=torch.float64)
    assert geometric_shift(batch(t2), batch(t1), spacing_mm=spacing).item() < 0.7
    moved = np.roll(t2, 2, 1)
    assert geometric_shift(batch(moved), batch(t1), spacing_mm=spacing).item() > 1.3


def test_a_hidden_pattern_collapses_under_faint_noise_and_an_honest_cycle_does_not():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(12, 32, 32, generator=generator, dtype=torch.float64)

    def smooth(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x.unsqueeze(1), 5, 1, 2).squeeze(1)

    def hiding(x: torch.Tensor) -> torch.Tensor:
        return 2 * smooth(x) + 1e-3 * (x - smooth(x))  # detail at a thousandth of its size

    # the way back knows how the detail is hidden: it solves hiding(x) = y exactly, amplifying the faint part
    basis = torch.stack([hiding(e.reshape(1, 32, 32))[0].flatten() for e in torch.eye(1024, dtype=torch.float64)], 1)
    inverse = torch.linalg.inv(basis)

    def revealing(y: torch.Tensor) -> torch.Tensor:
        return (y.flatten(1) @ inverse.T).reshape(y.shape)

    hidden = cycle_steganography(hiding, revealing, images, amplitude=1e-2)
    assert hidden["cycle error"].value < 1e-6
    assert hidden["amplification"].lower > 3
    honest = cycle_steganography(lambda x: 2 * x + 1, lambda y: (y - 1) / 2, images, amplitude=1e-2)
    assert honest["amplification"].upper < 1
    assert honest["increase"].upper < 0.01
    with pytest.raises(ModelProblem, match="shape"):
        cycle_steganography(lambda x: x, lambda y: y[..., :-1], images, amplitude=1e-2)
    with pytest.raises(UsageProblem, match="amplitude"):
        cycle_steganography(lambda x: x, lambda y: y, images, amplitude=0)
