"""Segmentation metrics against the gold values of several tools, and the cases where other tools drop a miss."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from scipy import ndimage

from validation.errors import DataProblem, UsageProblem
from validation.metrics.segmentation.overlap import dice, volume_bias
from validation.metrics.segmentation.surface import assd, hd95, surface, surface_dice

SPACING = torch.ones(1, 3)


@pytest.fixture(scope="module")
def gold(shared):
    return json.loads((shared / "reference" / "imaging" / "segmentation.json").read_text())["cases"]


@pytest.mark.shared
def test_sixty_pairs_of_readers_equal_the_gold_values(shared, gold):
    folder = shared / "data" / "imaging" / "seg_lidc_readers"
    rows = {row["key"]: row for row in csv.DictReader((folder / "masks4_meta.csv").read_text().splitlines())}
    compared = 0
    with np.load(folder / "masks4.npz", allow_pickle=False) as archive:
        for key, expected in gold.items():
            columns = int(rows[key]["shape"].split("x")[-1])
            readers = np.unpackbits(archive[key], axis=-1, count=columns).astype(bool)
            padded = np.pad(readers[:2], ((0, 0), (2, 2), (2, 2), (2, 2)))
            assert list(padded.shape[1:]) == expected["shape"]
            output, reference = (torch.as_tensor(mask).unsqueeze(0) for mask in padded)
            spacing = torch.tensor([expected["spacing"]], dtype=torch.float64)
            assert dice(output, reference).item() == pytest.approx(expected["mr_dsc"], abs=1e-12)
            assert hd95(output, reference, spacing_mm=spacing).item() == pytest.approx(expected["mr_hd_perc"], abs=1e-5)
            worst = hd95(output, reference, spacing_mm=spacing, percentile=100).item()
            assert worst == pytest.approx(expected["mr_hd"], abs=1e-9)
            assert assd(output, reference, spacing_mm=spacing).item() == pytest.approx(expected["mr_assd"], abs=1e-9)
            share = surface_dice(output, reference, spacing_mm=spacing, tolerance_mm=1.0).item()
            assert share == pytest.approx(expected["mr_nsd"], abs=1e-9)
            volumes = (expected["vox"][0] - expected["vox"][1]) * np.prod(expected["spacing"]) / 1000
            assert volume_bias(output, reference, spacing_mm=spacing).item() == pytest.approx(volumes, rel=1e-9)
            compared += 1
    assert compared == 60


def box(start: int, stop: int, size: int = 24) -> torch.Tensor:
    mask = torch.zeros(1, size, size, size, dtype=torch.bool)
    mask[:, start:stop, start:stop, start:stop] = True
    return mask


def test_a_missed_structure_and_an_invented_one_are_the_worst_and_never_dropped():
    structure, empty = box(4, 12), box(0, 0)
    diagonal = 24 * 3**0.5
    for output, reference in ((empty, structure), (structure, empty)):
        assert dice(output, reference).item() == 0
        assert surface_dice(output, reference, spacing_mm=SPACING, tolerance_mm=3).item() == 0
        assert hd95(output, reference, spacing_mm=SPACING).item() == pytest.approx(diagonal)
        assert assd(output, reference, spacing_mm=SPACING).item() == pytest.approx(diagonal)
    assert volume_bias(empty, structure, spacing_mm=SPACING).item() == pytest.approx(-0.512)
    assert volume_bias(structure, empty, spacing_mm=SPACING).item() == pytest.approx(0.512)
    batch = hd95(torch.cat([structure, empty]), torch.cat([structure, structure]), spacing_mm=torch.ones(2, 3))
    assert batch.mean() > 20  # a miss makes the mean worse; it does not vanish from it


def test_nothing_to_find_and_nothing_found_is_undefined():
    empty = box(0, 0)
    for value in (
        dice(empty, empty),
        volume_bias(empty, empty, spacing_mm=SPACING),
        hd95(empty, empty, spacing_mm=SPACING),
        assd(empty, empty, spacing_mm=SPACING),
        surface_dice(empty, empty, spacing_mm=SPACING, tolerance_mm=1),
    ):
        assert torch.isnan(value).all()


def test_right_volume_in_the_wrong_place_and_a_shift_of_two_voxels():
    here, there, shifted = box(2, 8), box(14, 20), torch.roll(box(2, 8), 2, 3)
    assert volume_bias(here, there, spacing_mm=SPACING).item() == 0
    assert dice(here, there).item() == 0
    assert hd95(here, there, spacing_mm=SPACING).item() > 15
    assert hd95(here, shifted, spacing_mm=SPACING, percentile=100).item() == pytest.approx(2)
    assert hd95(here, shifted, spacing_mm=torch.tensor([[1.0, 1.0, 0.5]]), percentile=100).item() == pytest.approx(1)
    assert surface_dice(here, shifted, spacing_mm=SPACING, tolerance_mm=2).item() == 1
    assert surface_dice(here, shifted, spacing_mm=SPACING, tolerance_mm=1).item() < 1
    assert hd95(here, here, spacing_mm=SPACING).item() == assd(here, here, spacing_mm=SPACING).item() == 0


@pytest.mark.parametrize("shape", [(1, 30, 40), (1, 12, 20, 18)])
def test_surfaces_and_distances_equal_scipy_on_random_blobs_that_touch_the_border(shape):
    rng = np.random.default_rng(7)
    for _ in range(5):
        blobs = [ndimage.gaussian_filter(rng.normal(size=shape[1:]), 2) > 0.02 for _ in range(2)]
        spacing = rng.uniform(0.5, 3, len(shape) - 1)
        edges = [blob & ~ndimage.binary_erosion(blob) for blob in blobs]
        for blob, edge in zip(blobs, edges, strict=True):
            assert np.array_equal(surface(torch.as_tensor(blob)).numpy(), edge)
        to = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
        distances = [to[1][edges[0]], to[0][edges[1]]]
        tensors = [torch.as_tensor(blob).unsqueeze(0) for blob in blobs]
        given = torch.as_tensor(spacing).unsqueeze(0)
        expected = max(np.percentile(d, 95) for d in distances)
        assert hd95(*tensors, spacing_mm=given).item() == pytest.approx(expected, rel=1e-9)
        assert assd(*tensors, spacing_mm=given).item() == pytest.approx(np.concatenate(distances).mean(), rel=1e-9)


def test_probabilities_and_labels_are_thresholded():
    mask = box(4, 12)
    assert dice(mask.float() * 0.9, mask.to(torch.uint8)).item() == 1
    assert dice(mask.float() * 0.4, mask).item() == 0


def test_wrong_input_is_refused():
    mask = box(4, 12)
    with pytest.raises(DataProblem, match="shape"):
        dice(mask, mask[:, 1:])
    with pytest.raises(DataProblem, match="shape"):
        dice(mask[0, 0], mask[0, 0])
    with pytest.raises(DataProblem, match="spacing_mm"):
        hd95(mask, mask, spacing_mm=torch.ones(1, 2))
    with pytest.raises(UsageProblem, match="tolerance_mm"):
        surface_dice(mask, mask, spacing_mm=SPACING, tolerance_mm=-1)
    with pytest.raises(UsageProblem, match="percentile"):
        hd95(mask, mask, spacing_mm=SPACING, percentile=0)
