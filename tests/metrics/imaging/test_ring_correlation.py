"""Fourier ring correlation: curves and counts of sFRC, resolution of filtered noise, false and lost structure."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import ndimage

from validation.errors import UsageProblem
from validation.metrics.imaging.hallucination import frc_hallucination, worst_region_deviation
from validation.metrics.imaging.ring_correlation import (
    first_crossing,
    frc_resolution,
    regions,
    ring_correlation,
    ring_weights,
    sfrc_regions,
)
from validation.statistics.proportions import proportion


def batch(image: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(image, dtype=torch.float64).unsqueeze(0)


def sfrc_patches(image: np.ndarray, size: int) -> torch.Tensor:
    """Cut patches as sFRC does: patches at the far border lose their last line, and the rest is zero."""
    starts = range(0, 512, size)
    canvas = np.zeros((len(starts) * size,) * 2)
    canvas[:511, :511] = image[:511, :511]
    return torch.as_tensor(np.stack([canvas[r : r + size, c : c + size] for r in starts for c in starts]))


def sfrc_window(patches: torch.Tensor) -> torch.Tensor:
    """Window as sFRC does: scaled to 0..1, one Hann factor, times the transpose of itself."""
    low, high = patches.amin((1, 2), keepdim=True), patches.amax((1, 2), keepdim=True)
    half = (patches - low) / (high - low) * torch.hann_window(patches.shape[-1], False, dtype=patches.dtype)[:, None]
    return half * half.transpose(1, 2)


@pytest.mark.shared
def test_curves_and_counts_of_sfrc_are_reproduced_patch_by_patch(shared):
    gold = json.loads((shared / "reference" / "imaging" / "sfrc.json").read_text())["runs"]
    folder = shared / "data" / "imaging"
    with np.load(folder / "ct_sr_sfrc" / "sr.npz") as sr, np.load(folder / "ct_lowdose_L506" / "l506.npz") as low:
        runs = {
            "ct_sh_srgan": (sr["sh_srgan"], sr["sh_gt"], 64, 0.33, 21),
            "ct_sh_srwgan": (sr["sh_srwgan"], sr["sh_gt"], 64, 0.33, 22),
            "ct_pail": (low["pail_recon"][None], low["pail_gt"][None], 48, 0.5, 12),
        }
    for name, (outputs, references, size, cutoff, total) in runs.items():
        marked = 0
        for k, (output, reference) in enumerate(zip(outputs, references, strict=True)):
            expected = gold[name]["images"][k]
            patches = [sfrc_patches(image, size) for image in (output, reference)]
            curve = ring_correlation(*[sfrc_window(p) for p in patches]).abs()
            torch.testing.assert_close(curve, torch.tensor(expected["frc"], dtype=torch.float64), atol=2e-5, rtol=0)
            frequency = torch.tensor(gold[name]["fx_coord"], dtype=torch.float64)[:-1]
            crossing = first_crossing(curve[:, :-1], 0.5, frequency)
            tissue = ((patches[1] > 200).sum((1, 2)) > int(0.1 * size**2)) & (patches[1].mean((1, 2)) > 150)
            found = (crossing <= cutoff) & tissue
            assert torch.equal(found, torch.tensor(expected["hallu"]).bool())
            marked += int(found.sum())
        assert marked == total


def test_rings_hold_every_frequency_inside_the_circle_once():
    size = 16
    weights = ring_weights(size)
    down = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(down[:, None], down[None])
    expected = [((np.floor(radius) == r).sum() + (np.ceil(radius) == r).sum()) / 2 for r in range(size // 2)]
    np.testing.assert_allclose(weights.sum(0), expected)


def test_resolution_is_where_the_common_band_ends():
    rng = np.random.default_rng(1)
    n = 256
    frequency = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None])
    common = np.fft.fft2(rng.normal(size=(n, n))) * (frequency < 0.2)
    images = [np.fft.ifft2(common).real + 0.02 * rng.normal(size=(n, n)) for _ in range(2)]
    spacing = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    found = frc_resolution(batch(images[0]), batch(images[1]), spacing_mm=spacing).item()
    assert found == pytest.approx(0.5 / 0.2, rel=0.06)  # the Hann window blurs the cut-off
    same = frc_resolution(batch(images[0]), batch(images[0]), spacing_mm=spacing).item()
    assert same == pytest.approx(1.0)  # two pixels
    invented = images[0] + 5 * np.fft.ifft2(np.fft.fft2(rng.normal(size=(n, n))) * (frequency > 0.2)).real
    sharper = frc_resolution(batch(invented), batch(images[1]), spacing_mm=spacing).item()
    assert sharper > 0.95 * found  # detail that is not there gains nothing
    flat = torch.ones(1, 32, 32)
    assert torch.isnan(frc_resolution(flat, flat, spacing_mm=spacing)).all()
    oblong = torch.tensor([[0.5, 0.7]], dtype=torch.float64)
    assert torch.isnan(frc_resolution(batch(images[0]), batch(images[1]), spacing_mm=oblong)).all()


def test_inverted_structure_is_found_where_an_absolute_correlation_passes_it():
    rng = np.random.default_rng(3)
    image = 100 * ndimage.gaussian_filter(rng.normal(size=(128, 128)), 2)
    inverted = image.copy()
    inverted[:64, :64] *= -1
    spacing = torch.ones(1, 2, dtype=torch.float64)
    rule = {"spacing_mm": spacing, "cutoff_per_mm": 0.1, "size": 64, "stride": 64}
    assert sfrc_regions(batch(image), batch(image), **rule).item() == 0
    assert sfrc_regions(batch(inverted), batch(image), **rule).item() == 1
    patches = [regions(batch(i).unsqueeze(1), 64, 64)[0] for i in (inverted, image)]
    assert ring_correlation(*patches)[0].abs()[1:8].min() > 0.9


def scene(rng: np.random.Generator, n: int = 192) -> np.ndarray:
    image = np.zeros((n, n))
    rows, columns = np.ogrid[:n, :n]
    for _ in range(40):
        y, x, radius, contrast = rng.uniform(0, n), rng.uniform(0, n), rng.uniform(4, 30), rng.uniform(-80, 80)
        image += contrast * ((rows - y) ** 2 + (columns - x) ** 2 < radius**2)
    return ndimage.gaussian_filter(image, 1)


def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a denoised image (blurred, less noise), its reference and the scene."""
    clean = scene(rng)
    output = ndimage.gaussian_filter(clean, 0.7) + ndimage.gaussian_filter(rng.normal(size=clean.shape), 0.7) * 12
    return output, clean + 10 * rng.normal(size=clean.shape), clean


def nodule(shape: tuple[int, int], centre: tuple[float, float], height: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return height * np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * 3**2))


def test_planted_nodules_and_erased_lesions_are_found_and_clean_images_are_not_flagged():
    rng = np.random.default_rng(11)
    clean, invented, erased = [], [], []
    for _ in range(16):
        output, reference, _ = pair(rng)
        centre = tuple(rng.uniform(40, 150, 2))
        lump = nodule(output.shape, centre, 200)
        clean.append(float(frc_hallucination(batch(output), batch(reference)).item() > 0))
        invented.append(float(frc_hallucination(batch(output + lump), batch(reference)).item() > 0))
        erased.append(float(frc_hallucination(batch(output), batch(reference + lump)).item() > 0))
    false_alarms = proportion(clean)
    assert false_alarms.lower is not None
    assert false_alarms.lower <= 0.05  # compatible with alpha
    assert np.mean(clean) <= 0.15
    assert np.mean(invented) >= 0.7
    assert np.mean(erased) >= 0.7


@pytest.mark.shared
def test_a_real_quarter_dose_image_is_not_flagged_but_is_with_a_nodule(shared):
    with np.load(shared / "data" / "imaging" / "ct_lowdose_L506" / "l506.npz") as archive:
        full, quarter = (archive[k].astype(float) for k in ("noise_FD", "noise_QD"))
    body = ndimage.binary_fill_holes(ndimage.binary_opening(full > 600, iterations=3))
    mask = torch.as_tensor(body).unsqueeze(0)
    assert frc_hallucination(batch(quarter), batch(full), mask).item() == 0
    base = worst_region_deviation(batch(quarter), batch(full), mask).item()
    false = quarter + nodule(full.shape, (300, 250), 600)
    assert frc_hallucination(batch(false), batch(full), mask).item() > 0
    assert worst_region_deviation(batch(false), batch(full), mask).item() < base


def test_a_case_has_the_same_value_in_any_batch_and_too_few_regions_are_undefined():
    rng = np.random.default_rng(5)
    pairs = [pair(rng)[:2] for _ in range(2)]
    together = worst_region_deviation(*[torch.cat([batch(p[k]) for p in pairs]) for k in (0, 1)])
    alone = [worst_region_deviation(batch(a), batch(b)).item() for a, b in pairs]
    assert together.tolist() == alone
    assert torch.isnan(frc_hallucination(torch.rand(1, 32, 32), torch.rand(1, 32, 32))).all()
    for wrong in ({"alpha": 2.0}, {"band": (0.5, 0.1)}, {"size": 500}):
        with pytest.raises(UsageProblem):
            frc_hallucination(batch(pairs[0][0]), batch(pairs[0][1]), **wrong)
    with pytest.raises(UsageProblem, match="threshold"):
        frc_resolution(batch(pairs[0][0]), batch(pairs[0][1]), spacing_mm=torch.ones(1, 2), threshold=2)
