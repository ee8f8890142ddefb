"""MTF from a circular edge, against a disk blurred by a Gaussian, whose MTF is known."""

from __future__ import annotations

import json
import math
import zipfile

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from validation.errors import UsageProblem
from validation.metrics.imaging.resolution import mtf, mtf10, mtf50


def blurred_disk(
    *, size: int = 160, radius_mm: float = 15.0, sigma_mm: float = 0.8, pixel: float = 0.6, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a disk of 100 HU on 20 HU, blurred by a Gaussian on an 8 times finer grid, sampled, and its mask."""
    fine = 8
    axis = (np.arange(size * fine) + 0.5) / fine - size / 2
    y, x = (axis - shift) * pixel, (axis + 0.6 * shift) * pixel
    disk = (y[:, None] ** 2 + x[None, :] ** 2 <= radius_mm**2).astype(float)
    smooth = gaussian_filter(disk, sigma_mm / pixel * fine, truncate=6)
    # point samples at voxel centres: no aperture beyond the Gaussian (the mean of the four central fine samples)
    centre = slice(fine // 2 - 1, None, fine), slice(fine // 2, None, fine)
    sampled = sum(smooth[a, b] for a in centre for b in centre) / 4
    return 20 + 80 * sampled, sampled > 0.5


def tensors(image: np.ndarray, mask: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.as_tensor(image).unsqueeze(0), torch.as_tensor(mask).unsqueeze(0)


def spacing(pixel: float, cases: int = 1, axes: int = 2) -> torch.Tensor:
    return torch.full((cases, axes), pixel)


@pytest.mark.parametrize(("sigma", "pixel", "shift"), [(0.8, 0.6, 0.0), (0.5, 0.5, 0.37), (1.2, 0.7, 1.9)])
def test_the_mtf_of_a_gaussian_blur(sigma, pixel, shift):
    image, mask = tensors(*blurred_disk(sigma_mm=sigma, pixel=pixel, shift=shift))
    half = mtf50(image, mask, spacing_mm=spacing(pixel)).item()
    tenth = mtf10(image, mask, spacing_mm=spacing(pixel)).item()
    assert half == pytest.approx(math.sqrt(math.log(2) / 2) / (math.pi * sigma), rel=0.02)
    assert tenth == pytest.approx(math.sqrt(math.log(10) / 2) / (math.pi * sigma), rel=0.03)
    curve = mtf(image, mask, spacing_mm=spacing(pixel), max_frequency=0.5)
    for name, value in curve.items():
        expected = math.exp(-2 * (math.pi * sigma * float(name)) ** 2)
        assert value.item() == pytest.approx(expected, abs=0.02), name


def test_noise_moves_it_little_and_a_volume_pools_slices():
    image, mask = blurred_disk()
    rng = np.random.default_rng(5)
    volume = torch.as_tensor(image + rng.normal(0, 4, (8, *image.shape))).unsqueeze(0)
    masks = torch.as_tensor(mask).expand(1, 8, -1, -1)
    half = mtf50(volume, masks, spacing_mm=spacing(0.6, axes=3)).item()
    assert half == pytest.approx(math.sqrt(math.log(2) / 2) / (math.pi * 0.8), rel=0.05)


def test_a_mask_drawn_a_little_off_gives_the_same_answer():
    image, mask = tensors(*blurred_disk())
    moved = torch.roll(mask, (2, -1), (1, 2))
    straight, off = (mtf50(image, m, spacing_mm=spacing(0.6)).item() for m in (mask, moved))
    assert off == pytest.approx(straight, rel=0.01)


def test_blur_lowers_it_case_by_case_in_a_batch():
    pairs = [blurred_disk(sigma_mm=s) for s in (0.6, 1.2)]
    image = torch.as_tensor(np.stack([p[0] for p in pairs]))
    mask = torch.as_tensor(np.stack([p[1] for p in pairs]))
    values = mtf50(image, mask, spacing_mm=spacing(0.6, cases=2))
    alone = mtf50(image[:1], mask[:1], spacing_mm=spacing(0.6))
    assert values[0] > 1.8 * values[1]
    assert values[0].item() == pytest.approx(alone[0].item(), rel=1e-12)


def test_undefined_when_absent_faint_or_at_the_border():
    image, mask = tensors(*blurred_disk())
    assert torch.isnan(mtf50(image, torch.zeros_like(mask), spacing_mm=spacing(0.6)))
    noise = torch.randn(image.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    assert torch.isnan(mtf50(image + 50 * noise, mask, spacing_mm=spacing(0.6)))
    assert torch.isnan(mtf50(image[:, 45:, :], mask[:, 45:, :], spacing_mm=spacing(0.6)))
    assert torch.isnan(mtf50(torch.zeros_like(image), mask, spacing_mm=spacing(0.6)))
    assert torch.isnan(mtf10(image, mask, spacing_mm=spacing(0.6), max_frequency=0.1))


def test_wrong_parameters_are_refused():
    image, mask = tensors(*blurred_disk(size=64, radius_mm=8))
    with pytest.raises(UsageProblem, match="reach"):
        mtf50(image, mask, spacing_mm=spacing(0.6), reach=2.0)
    with pytest.raises(UsageProblem, match="bin_width"):
        mtf(image, mask, spacing_mm=spacing(0.6), bin_width=0.0)


@pytest.mark.shared
def test_a_real_catphan_rod_agrees_with_its_line_pairs(shared):
    """The edge of the Teflon rod against the line-pair module of the same scan, as pylinac reads it."""
    import pydicom
    from scipy import ndimage

    reference = shared / "reference" / "imaging" / "pylinac_catphan.json"
    result = json.loads(reference.read_text())["runs"]["varian_hq_head_CatPhan504"]["results"]
    line_pairs = result["ctp528"]["mtf_lp_mm"]["50"]
    slices = []
    with zipfile.ZipFile(shared / "data" / "imaging" / "ct_catphan504_cbct" / "high_quality_head.zip") as packed:
        for name in packed.namelist():
            if name.lower().endswith(".dcm"):
                with packed.open(name) as stream:
                    slices.append(pydicom.dcmread(stream, force=True))
    slices = sorted((s for s in slices if "ImagePositionPatient" in s), key=lambda s: float(s.ImagePositionPatient[2]))
    middle = slices[len(slices) // 2 - 1 : len(slices) // 2 + 3]
    volume = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in middle])
    masks = []
    for image in volume:
        labels, _ = ndimage.label((image > 600) & (image < 1400))
        sizes = np.bincount(labels.ravel())
        rod = [k for k in range(1, len(sizes)) if 400 < sizes[k] < 600]
        assert len(rod) == 1
        masks.append(labels == rod[0])
    pixel = float(middle[0].PixelSpacing[0])
    measured = mtf50(
        torch.as_tensor(volume).unsqueeze(0),
        torch.as_tensor(np.stack(masks)).unsqueeze(0),
        spacing_mm=torch.tensor([[2.5, pixel, pixel]]),
    )
    assert measured.item() == pytest.approx(line_pairs, rel=0.05)
