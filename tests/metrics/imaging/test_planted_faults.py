"""Faults that global scores pass over, planted one at a time: each is found by the metric that looks for it.

False-alarm rates on clean images, with intervals, and power by size of the fault: ``benchmarks/imaging_faults.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from validation.metrics.imaging.hallucination import frc_hallucination
from validation.metrics.imaging.local import lesion_contrast, worst_local_error
from validation.metrics.imaging.noise import uniformity
from validation.metrics.imaging.pixel_error import mae
from validation.metrics.imaging.planned_dose import planned_gamma_pass_rate
from validation.metrics.imaging.similarity import ssim
from validation.metrics.imaging.tissue import largest_false_tissue, tissue_dice, tissue_hu_error
from validation.metrics.imaging.translation import cycle_steganography, geometric_shift, input_difference

SPACING = torch.tensor([[4.0, 3.0, 3.0]], dtype=torch.float64)
PLANE = torch.ones(1, 2, dtype=torch.float64)


def batch(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float64)).unsqueeze(0)


@pytest.fixture(scope="module")
def head() -> dict[str, np.ndarray]:
    """A head of brain, skull and a sinus, and a synthetic CT of it that errs by noise alone."""
    rng = np.random.default_rng(7)
    z, y, x = np.indices((12, 64, 64)) - np.array([6, 32, 32]).reshape(3, 1, 1, 1)
    radius = np.hypot(y / 1.15, x)
    ct = np.where(radius < 26, 36.0, -1000.0)
    ct[(radius >= 22) & (radius < 26)] = 850.0
    sinus = (y + 22) ** 2 + x**2 < 16
    ct[sinus] = -1000.0
    ct = ndimage.gaussian_filter(ct, 0.6)
    body = radius < 26
    target = (z / 3) ** 2 + (y / 6) ** 2 + ((x - 6) / 6) ** 2 < 1
    output = ct + ndimage.gaussian_filter(rng.normal(0, 20, ct.shape), 0.7)
    return {"ct": ct, "output": output, "body": body, "target": target}


def test_twenty_hu_in_bone_only_are_charged_to_bone(head):
    wrong = head["output"] + 20.0 * (head["ct"] > 200)
    body = torch.as_tensor(head["body"]).unsqueeze(0)
    clean = tissue_hu_error(batch(head["output"]), batch(head["ct"]), body)
    found = tissue_hu_error(batch(wrong), batch(head["ct"]), body)
    assert found["ME bone"].item() - clean["ME bone"].item() == pytest.approx(20, abs=1e-6)
    assert abs(clean["ME bone"].item()) < 3
    assert found["ME soft tissue"].item() == pytest.approx(clean["ME soft tissue"].item())
    shares = [mae(batch(i), batch(head["ct"]), body).item() for i in (head["output"], wrong)]
    assert shares[1] - shares[0] < 5  # over the whole body it hardly shows


def test_a_shift_of_two_voxels_is_measured_and_a_clean_image_has_none(head):
    shifted = np.roll(head["output"], 2, axis=2)
    assert geometric_shift(batch(shifted), batch(head["ct"]), spacing_mm=SPACING).item() == pytest.approx(6.0, abs=0.5)
    assert geometric_shift(batch(head["output"]), batch(head["ct"]), spacing_mm=SPACING).item() < 0.5


def test_a_small_false_cavity_passes_every_global_score_and_is_found(head):
    wrong = head["output"].copy()
    wrong[5:8, 36:39, 18:21] = -1000.0  # 1 mL of a head of 1.5 L
    body, target = (torch.as_tensor(head[name]).unsqueeze(0) for name in ("body", "target"))
    images, reference = (batch(head["output"]), batch(wrong)), batch(head["ct"])
    scores = [(mae(i, reference, body).item(), ssim(i, reference, body, data_range=3000).item()) for i in images]
    assert scores[1][0] - scores[0][0] < 2
    assert scores[1][1] > 0.95
    assert tissue_dice(images[1], reference, body, lower=200).item() > 0.95
    volumes = [largest_false_tissue(i, reference, body, spacing_mm=SPACING, upper=-400.0).item() for i in images]
    assert volumes[0] == 0
    assert volumes[1] == pytest.approx(27 * 36 / 1000, rel=0.1)
    worst = [worst_local_error(i, reference, body, window=3, signed=True).item() for i in images]
    assert worst[1] > 700 > 10 * worst[0]
    rule = {"spacing_mm": SPACING, "dose_percent": 1.0, "distance_mm": 1.0}
    passed = [planned_gamma_pass_rate(i, reference, target, body, **rule).item() for i in images]
    assert passed[0] == 100
    assert passed[1] > 99  # even the dose passes: no global score may stand alone


@pytest.fixture(scope="module")
def chest() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A structured slice, its reference with noise, and a denoised output that is faithful."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:192, :192] - 95.5
    clean = np.where(np.hypot(y, x) < 80, 40.0, -100.0)
    for _ in range(70):
        cy, cx, r = rng.uniform(-60, 60), rng.uniform(-60, 60), rng.uniform(2, 7)
        clean += rng.choice([-60, 60]) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * r**2))
    reference = clean + 10 * rng.normal(size=clean.shape)
    output = ndimage.gaussian_filter(clean, 0.7) + ndimage.gaussian_filter(rng.normal(size=clean.shape), 0.7) * 12
    return clean, reference, output


def test_an_invented_nodule_and_an_erased_lesion_are_found_and_a_faithful_image_is_not_flagged(chest):
    _, reference, output = chest
    y, x = np.mgrid[:192, :192]
    nodule = 200.0 * np.exp(-((y - 110) ** 2 + (x - 70) ** 2) / (2 * 3.5**2))
    inside = torch.as_tensor((y - 110) ** 2 + (x - 70) ** 2 < 5**2).unsqueeze(0)
    assert frc_hallucination(batch(output), batch(reference)).item() == 0
    # the correlation of regions sees large disagreement only (benchmarks/imaging_faults.py): small ones are local
    contrasts = [lesion_contrast(batch(i), inside).item() for i in (output + nodule, reference + nodule, output)]
    assert contrasts[0] == pytest.approx(contrasts[1], rel=0.15)
    assert abs(contrasts[2]) < 0.4 * contrasts[1]
    worst = [
        worst_local_error(batch(i), batch(reference), window=7, signed=True).item() for i in (output, output + nodule)
    ]
    assert worst[1] > 2 * worst[0]


def test_cupping_is_seen_by_uniformity_and_equals_what_was_planted():
    y, x = np.mgrid[:100, :100] - 49.5
    radius = np.hypot(y, x)
    disc = torch.as_tensor(radius < 40).unsqueeze(0)
    cupped = 100 + 0.01 * radius**2
    expected = [cupped[np.hypot(y - a, x - b) <= 10].mean() for a, b in ((0, 0), (26, 0))]
    assert uniformity(batch(cupped), disc).item() == pytest.approx(expected[1] - expected[0], rel=0.02)
    assert uniformity(batch(np.full((100, 100), 5.0)), disc).item() == 0
    assert torch.isnan(uniformity(batch(cupped), torch.zeros_like(disc))).all()
    volume = torch.stack([batch(cupped)[0]] * 3).unsqueeze(0)
    assert uniformity(volume, torch.stack([disc[0]] * 3).unsqueeze(0)).item() == pytest.approx(
        uniformity(batch(cupped), disc).item()
    )


def test_a_hidden_pattern_is_lost_by_faint_noise_and_an_honest_cycle_is_not():
    """The way there writes the input into the last digits of a constant image; the way back reads them."""
    rng = np.random.default_rng(3)
    images = torch.as_tensor(rng.uniform(0, 100, (4, 24, 24)))

    def hide(image: torch.Tensor) -> torch.Tensor:
        return 50 + 1e-3 * image

    def read(image: torch.Tensor) -> torch.Tensor:
        return (image - 50) * 1e3

    hidden = cycle_steganography(hide, read, images, amplitude=0.01)
    honest = cycle_steganography(lambda i: 1.1 * i, lambda i: i / 1.1, images, amplitude=0.01)
    assert hidden["amplification"].lower > 100
    assert honest["amplification"].upper < 2
    noisy = read(hide(images) + 0.01 * torch.randn(images.shape, dtype=torch.float64))
    assert input_difference(read(hide(images)), images).max().item() < 1e-6
    assert input_difference(noisy, images).min().item() > 5
