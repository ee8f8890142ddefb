"""Gamma index, dose-volume points and tissue errors against gold values, closed forms, a direct search and faults."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator

from validation.errors import UsageProblem
from validation.metrics.imaging.dose_volume import dose_volume_points, volume_at_dose
from validation.metrics.imaging.gamma import gamma_mean, gamma_pass_rate
from validation.metrics.imaging.pixel_error import mae, psnr
from validation.metrics.imaging.similarity import ssim
from validation.metrics.imaging.tissue import largest_false_tissue, tissue_dice, tissue_hu_error

ONE = torch.ones(1, 3, dtype=torch.float64)


def batch(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array, dtype=np.float64)).unsqueeze(0)


@pytest.fixture(scope="module")
def plan(shared):
    gold = json.loads((shared / "reference" / "imaging" / "gamma_dvh.json").read_text())["results"]
    with np.load(shared / "data" / "imaging" / "rt_sct_dose_tg119" / "tg119.npz") as archive:
        return gold, {name: archive[name] for name in archive.files}


@pytest.mark.shared
def test_gamma_equals_pymedphys_within_the_search_grid(plan):
    gold, data = plan
    scale = float(data["dose_scale_Gy"])
    reference, spacing = batch(data["dose_ct"] * scale), torch.as_tensor(data["spacing_zyx_mm"]).unsqueeze(0)
    compared = 0
    for variant, results in gold.items():
        output = batch(data[f"dose_{variant}"] * scale)
        for name, expected in results.items():
            if "%/" not in name:
                continue
            rule = {"dose_percent": float(name[0]), "distance_mm": float(name[3]), "local": "local" in name}
            share = gamma_pass_rate(output, reference, spacing_mm=spacing, **rule).item()
            assert share == pytest.approx(expected["pass_pct"], abs=0.02)
            mean = gamma_mean(output, reference, spacing_mm=spacing, **rule).item()
            assert mean == pytest.approx(expected["mean_gamma"], abs=0.02 if rule["local"] else 0.005)
            compared += 1
    assert compared == 12
    finer = gamma_mean(
        batch(data["dose_soft_plus40HU"] * scale), reference, spacing_mm=spacing, dose_percent=1, distance_mm=1,
        interpolation=20,
    ).item()  # fmt: skip
    # a finer search can only come nearer: the tool lies between a search in tenths and one in twentieths
    assert finer < gold["soft_plus40HU"]["1%/1mm"]["mean_gamma"]


@pytest.mark.shared
def test_dose_volume_points_and_tissue_errors_equal_the_gold_values(plan):
    gold, data = plan
    scale = float(data["dose_scale_Gy"])
    for variant, results in gold.items():
        for structure, values in results["DVH"].items():
            mask = torch.as_tensor(data[f"mask_{structure}"] > 0).unsqueeze(0)
            for dose, expected in ((data["dose_ct"], values["ref"]), (data[f"dose_{variant}"], values["eval"])):
                points = dose_volume_points(batch(dose * scale), mask)
                for ours, theirs in (("mean", "Dmean"), ("largest", "Dmax"), ("least", "Dmin")):
                    assert points[ours].item() == pytest.approx(expected[theirs], abs=1e-9)
                for level in (98, 95, 50, 2):
                    assert points[f"D{level}"].item() == pytest.approx(expected[f"D{level}"], abs=1e-9)
                assert volume_at_dose(batch(dose * scale), mask, dose=2.0).item() == pytest.approx(expected["V2Gy"])
        body = torch.as_tensor(data["mask_BODY"] > 0).unsqueeze(0)
        pair = batch(data[f"hu_{variant}"]), batch(data["ct_hu"])
        whole = tissue_hu_error(*pair, body, edges=(), names=("all",))
        assert whole["MAE all"].item() == pytest.approx(results["HU"]["MAE_body"])
        assert whole["ME all"].item() == pytest.approx(results["HU"]["ME_body"])


def searched(output, reference, spacing, dose, distance, steps):
    """Search directly, displacement by displacement, with SciPy's interpolation."""
    axes = [np.arange(n) * s for n, s in zip(reference.shape, spacing, strict=True)]
    at = RegularGridInterpolator(axes, output, bounds_error=False, fill_value=np.inf)
    line = np.arange(-2 * steps, 2 * steps + 1) * distance / steps
    moves = np.array([m for m in product(line, repeat=reference.ndim) if np.hypot.reduce(m) <= 2 * distance + 1e-9])
    criterion = dose / 100 * reference.max()
    gammas = []
    for index in np.argwhere(reference >= 0.1 * reference.max()):
        values = at(index * np.asarray(spacing) + moves)
        squares = (moves**2).sum(1) / distance**2 + ((values - reference[tuple(index)]) / criterion) ** 2
        gammas.append(min(2.0, np.sqrt(squares.min())))
    return np.array(gammas)


@pytest.mark.parametrize("shape", [(14, 17), (6, 7, 8)])
def test_gamma_equals_a_direct_search(shape):
    rng = np.random.default_rng(4)
    reference = 10 * ndimage.gaussian_filter(rng.random(shape), 1.5)
    output = np.roll(reference, 1, 0) + 0.02 * rng.normal(size=shape)
    spacing = (2.0, 1.5, 2.5)[: len(shape)]
    expected = searched(output, reference, spacing, 3, 3, 4)
    rule = {"spacing_mm": torch.tensor([spacing], dtype=torch.float64), "dose_percent": 3, "distance_mm": 3}
    tensors = batch(output), batch(reference)
    assert gamma_mean(*tensors, **rule, interpolation=4).item() == pytest.approx(expected.mean(), abs=1e-5)
    share = gamma_pass_rate(*tensors, **rule, interpolation=4).item()
    assert share == pytest.approx(100 * (expected <= 1 + 1e-6).mean())


def test_gamma_of_a_uniform_error_and_of_a_shift_of_two_voxels_are_known():
    flat = torch.full((1, 8, 8, 8), 2.0, dtype=torch.float64)
    rule = {"spacing_mm": ONE, "dose_percent": 2, "distance_mm": 2}
    assert gamma_mean(flat * 1.01, flat, **rule).item() == pytest.approx(0.5, abs=1e-4)
    assert gamma_pass_rate(flat * 1.021, flat, **rule).item() == 0
    assert gamma_pass_rate(flat, flat, **rule).item() == 100
    ramp = torch.arange(1.0, 41, dtype=torch.float64).repeat(8, 8, 1)[None]
    shifted = ramp.clone()
    shifted[..., 2:] = ramp[..., :-2]
    inner = torch.zeros_like(ramp, dtype=torch.bool)
    inner[..., 10:30] = True
    exact = {"spacing_mm": ONE, "dose_percent": 1e-3, "distance_mm": 4, "limit": 1.0}
    assert gamma_mean(shifted, ramp, inner, **exact).item() == pytest.approx(0.5, abs=0.01)
    assert torch.isnan(gamma_mean(flat * 0, flat * 0, **rule)).all()
    with pytest.raises(UsageProblem, match="criteria"):
        gamma_pass_rate(flat, flat, spacing_mm=ONE, dose_percent=0, distance_mm=2)


@pytest.mark.shared
def test_error_and_psnr_of_synthetic_ct_equal_those_of_the_synthrad_evaluation(plan, shared):
    """Its range is 4095 HU and its mask the body; its MS-SSIM weighs and masks otherwise and is not compared."""
    gold = json.loads((shared / "reference" / "imaging" / "synthrad2025_metrics.json").read_text())["results"]
    _, data = plan
    reference, inside = batch(data["ct_hu"]), torch.as_tensor(data["mask_BODY"].astype(bool)).unsqueeze(0)
    for variant, expected in gold.items():
        output = batch(data[f"hu_{variant}"])
        assert mae(output, reference, inside).item() == pytest.approx(expected["mae"], rel=1e-9)
        assert psnr(output, reference, inside, data_range=4095).item() == pytest.approx(expected["psnr"], abs=2e-3)


def body(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    grid = np.indices((24, 64, 64)) - np.array([12, 32, 32])[:, None, None, None]
    radius = np.hypot(grid[1], grid[2])
    image = np.where(radius < 26, 40.0, -1000.0)
    image[radius < 8] = 700  # bone
    return image + 10 * rng.normal(size=image.shape), radius < 24


def test_a_bias_in_bone_only_is_found_in_bone_only():
    rng = np.random.default_rng(6)
    reference, inside = body(rng)
    output = reference + 10 * rng.normal(size=reference.shape)
    biased = output + 20 * (reference > 200)
    mask = torch.as_tensor(inside).unsqueeze(0)
    clean = tissue_hu_error(batch(output), batch(reference), mask)
    found = tissue_hu_error(batch(biased), batch(reference), mask)
    assert found["ME bone"].item() - clean["ME bone"].item() == pytest.approx(20, abs=1e-6)
    assert found["ME soft tissue"].item() == clean["ME soft tissue"].item()
    assert abs(clean["ME bone"].item()) < 1
    assert torch.isnan(found["ME air"]).all()  # no air in the body: undefined, not zero
    with pytest.raises(UsageProblem, match="edges"):
        tissue_hu_error(batch(output), batch(reference), edges=(2.0, 1.0))


def test_a_small_false_air_cavity_passes_the_global_scores_and_is_found():
    rng = np.random.default_rng(8)
    reference, inside = body(rng)
    output = reference + 3 * rng.normal(size=reference.shape)
    cavity = output.copy()
    cavity[10:14, 14:18, 30:34] = -950  # 64 voxels in 98304
    mask = torch.as_tensor(inside).unsqueeze(0)
    pair = batch(cavity), batch(reference)
    assert mae(*pair).item() - mae(batch(output), batch(reference)).item() < 1
    spoilt = ssim(*pair, data_range=4000).item()
    assert ssim(batch(output), batch(reference), data_range=4000).item() - spoilt < 0.03
    assert psnr(*pair, data_range=4000).item() > 35
    rule = {"spacing_mm": ONE, "upper": -400.0}
    assert largest_false_tissue(*pair, mask, **rule).item() == pytest.approx(0.064)  # 2 x 2 x 2 is left, all come back
    assert largest_false_tissue(*pair, mask, **rule, erode=0).item() == pytest.approx(0.064)
    assert largest_false_tissue(batch(output), batch(reference), mask, **rule).item() == 0
    assert tissue_dice(*pair, mask, upper=-400.0).item() == 0
    assert torch.isnan(tissue_dice(batch(output), batch(reference), mask, upper=-400.0)).all()
    assert tissue_dice(batch(output), batch(reference), mask, lower=200.0).item() > 0.99
    with pytest.raises(UsageProblem, match="lower"):
        tissue_dice(*pair, lower=2.0, upper=1.0)
