"""The dose engine against closed forms, and dose-volume points, histogram and gamma of a recalculated plan."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from validation.errors import DataProblem, UsageProblem
from validation.metrics.imaging.dose_engine import (
    BETA,
    DENSITY,
    MU,
    PENUMBRA_MM,
    SAD_MM,
    Plan,
    dose,
    electron_density,
    plan_for,
    radiological_depth,
)
from validation.metrics.imaging.planned_dose import (
    planned_dose_histogram,
    planned_dose_points,
    planned_gamma_pass_rate,
)
from validation.metrics.imaging.tissue import tissue_density_error

SPACING = torch.tensor([4.0, 2.0, 2.0], dtype=torch.float64)
SHAPE = (11, 101, 61)


def beam(angle: float = 0.0, half: float = 30.0) -> Plan:
    centre = torch.tensor([(n - 1) / 2 for n in SHAPE], dtype=torch.float64)
    return Plan(isocentre=centre, gantry_degrees=(angle,), fields=((-half, half, -300.0, 300.0),))


def water() -> torch.Tensor:
    return torch.zeros(SHAPE)


def test_depth_dose_in_water_is_the_closed_form_with_the_inverse_square():
    found = dose(water(), SPACING, beam())
    depth = (np.arange(SHAPE[1]) + 0.5) * 2.0
    s = (np.arange(SHAPE[1]) - (SHAPE[1] - 1) / 2) * 2.0
    curve = BETA / (BETA - MU) * (np.exp(-MU * depth) - np.exp(-BETA * depth)) * (SAD_MM / (SAD_MM + s)) ** 2
    at = BETA / (BETA - MU) * (math.exp(-MU * 100) - math.exp(-BETA * 100))
    np.testing.assert_allclose(found[5, 10:, 30], 100 * curve[10:] / at, rtol=2e-3)


def test_layers_add_their_radiological_depth():
    layered = water()
    layered[:, 20:30] = -1000.0  # 20 mm of air
    layered[:, 40:45] = 1000.0  # 10 mm of bone of density 1.6
    density = electron_density(layered, DENSITY)
    depth = radiological_depth(density, SPACING, beam().isocentre, 0.0)
    along = depth[5, :, 30].numpy()
    assert along[60] == pytest.approx(60.5 * 2 - 20 + 10 * 0.6, abs=0.3)
    assert along[25] == pytest.approx(40, abs=1.0)


def test_field_edge_is_half_and_follows_the_error_function():
    found = dose(water(), SPACING, beam(half=20.0))[5, 50].numpy()
    middle = found[30]
    x = (np.arange(SHAPE[2]) - 30) * 2.0
    expected = [
        0.5 * (math.erf((v + 20) / (2**0.5 * PENUMBRA_MM)) - math.erf((v - 20) / (2**0.5 * PENUMBRA_MM))) for v in x
    ]
    inside = np.abs(x) < 30
    np.testing.assert_allclose((found / middle)[inside], np.array(expected)[inside], atol=5e-3)


def test_beams_from_four_sides_of_a_square_are_turned_copies():
    shape = (5, 61, 61)
    centre = torch.tensor([2.0, 30.0, 30.0], dtype=torch.float64)
    image = torch.zeros(shape)
    doses = [
        dose(image, SPACING, Plan(isocentre=centre, gantry_degrees=(a,), fields=((-20, 20, -99, 99),)))
        for a in (0.0, 90.0, 180.0, 270.0)
    ]
    for turns, other in enumerate(doses):
        torch.testing.assert_close(doses[0], torch.rot90(other, turns, (1, 2)), rtol=5e-3, atol=0.2)


def test_fields_cover_the_target_in_the_plane_of_the_isocentre():
    target = torch.zeros(SHAPE, dtype=torch.bool)
    target[4:7, 45:56, 25:36] = True
    plan = plan_for(target, SPACING, (0.0, 90.0), 7.0)
    assert plan.isocentre.tolist() == [5.0, 50.0, 30.0]
    u0, u1, v0, v1 = plan.fields[0]
    assert u0 == pytest.approx(-u1)
    assert u1 == pytest.approx(10 * SAD_MM / (SAD_MM - 10) + 1 + 7, abs=1e-6)
    assert v1 == pytest.approx(4 * SAD_MM / (SAD_MM - 10) + 1 + 7, abs=1e-6)
    assert v0 == pytest.approx(-v1)


@pytest.fixture(scope="module")
def head() -> dict[str, torch.Tensor]:
    z, y, x = np.indices((11, 41, 41)) - np.array([5, 20, 20]).reshape(3, 1, 1, 1)
    radius = np.hypot(y, x)
    image = np.where(radius < 17, 30.0, -1000.0)
    image[(radius >= 15) & (radius < 17)] = 900.0
    target = (z / 2.5) ** 2 + (y / 4) ** 2 + ((x - 4) / 4) ** 2 <= 1
    tensors = {"image": image, "target": target, "body": radius < 17}
    return {
        k: torch.as_tensor(v).unsqueeze(0).float() if k == "image" else torch.as_tensor(v).unsqueeze(0)
        for k, v in tensors.items()
    }


SP = torch.tensor([[4.0, 4.0, 4.0]], dtype=torch.float64)


def test_equal_images_have_equal_doses_and_denser_bone_lowers_the_dose(head):
    image, target, body = head["image"], head["target"], head["body"]
    denser = torch.where(image > 200, image + 200, image)
    points = [planned_dose_points(i, target, target, spacing_mm=SP) for i in (image, image.clone(), denser)]
    assert points[0]["D95"].item() == points[1]["D95"].item() > 60
    loss = 100 * (points[2]["mean"].item() / points[0]["mean"].item() - 1)
    assert loss == pytest.approx(-100 * MU * 200 * 0.0006 * 8, abs=0.3)  # 8 mm of bone on each ray
    share = planned_gamma_pass_rate(image, image.clone(), target, body, spacing_mm=SP, dose_percent=2, distance_mm=2)
    assert share.item() == 100


def test_a_false_cavity_is_seen_in_the_dose_behind_it(head):
    image, target, body = head["image"], head["target"], head["body"]
    wrong = image.clone()
    wrong[:, 3:8, 10:14, 18:23] = -1000.0
    rule = {"spacing_mm": SP, "dose_percent": 1, "distance_mm": 1}
    assert planned_gamma_pass_rate(wrong, image, target, body, **rule).item() < 99
    one = planned_dose_histogram(image, target, target, spacing_mm=SP)
    assert one["0"].item() == 1
    assert one["150"].item() == 0
    shares = torch.stack(list(one.values()))
    assert bool((shares.diff(dim=0) <= 0).all())


def test_empty_target_and_flat_images_are_said_so(head):
    image, body = head["image"], head["body"]
    nowhere = torch.zeros_like(body)
    assert torch.isnan(planned_dose_points(image, body, nowhere, spacing_mm=SP)["D95"]).all()
    assert torch.isnan(planned_dose_histogram(image, body, nowhere, spacing_mm=SP)["0"]).all()
    with pytest.raises(DataProblem):
        planned_dose_points(image[:, 0], body[:, 0], body[:, 0], spacing_mm=SP[:, 1:])
    with pytest.raises(UsageProblem):
        planned_dose_points(image, body, body, spacing_mm=SP, gantry_degrees=())
    with pytest.raises(UsageProblem):
        planned_dose_points(image, body, body, spacing_mm=SP, density=((0.0, 1.0),))


def test_density_error_is_that_of_the_interpolated_curve(head):
    image = head["image"]
    other = torch.where(image > 200, image + 100, image + 10)
    found = tissue_density_error(other, image)
    curve = np.array(DENSITY).T
    expected = np.interp(other.numpy(), *curve) - np.interp(image.numpy(), *curve)
    bone = image.numpy() >= 200
    assert found["ME bone"].item() == pytest.approx(expected[bone].mean(), rel=1e-4)
    soft = (image.numpy() >= -200) & ~bone
    assert found["MAE soft tissue"].item() == pytest.approx(np.abs(expected[soft]).mean(), rel=1e-4)


@pytest.mark.shared
def test_dose_of_an_altered_ct_changes_as_a_pencil_beam_of_another_tool_says(shared):
    """40 HU more in soft tissue: mean target dose against that of pyRadPlan, whose plan has other beams."""
    with np.load(shared / "data/imaging/rt_sct_dose_tg119/tg119.npz") as data:
        spacing = torch.as_tensor(data["spacing_zyx_mm"].astype(np.float64)).unsqueeze(0)
        target = torch.as_tensor(data["mask_OuterTarget"].astype(bool)).unsqueeze(0)
        images = [torch.as_tensor(data[k].astype(np.float32)).unsqueeze(0) for k in ("ct_hu", "hu_soft_plus40HU")]
        doses = [
            data[k].astype(float)[data["mask_OuterTarget"].astype(bool)].mean()
            for k in ("dose_ct", "dose_soft_plus40HU")
        ]
    means = [planned_dose_points(i, target, target, spacing_mm=spacing)["mean"].item() for i in images]
    theirs, ours = 100 * (doses[1] / doses[0] - 1), 100 * (means[1] / means[0] - 1)
    assert ours < 0
    assert theirs < 0
    assert ours == pytest.approx(theirs, abs=1.0)
