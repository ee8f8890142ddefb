"""Lesions found and missed, and edit effort, against counts and lengths known by construction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from validation.errors import UsageProblem
from validation.metrics.segmentation.editing import added_path_length, edited_surface_fraction
from validation.metrics.segmentation.lesions import false_lesions, lesion_counts, lesion_sensitivity
from validation.metrics.segmentation.overlap import iou
from validation.metrics.segmentation.surface import surface_dice

SPACING = torch.ones(1, 3)


def volume(*boxes: tuple[int, int], size: int = 40) -> torch.Tensor:
    mask = torch.zeros(1, size, size, size, dtype=torch.bool)
    for start, stop in boxes:
        mask[:, start:stop, start:stop, start:stop] = True
    return mask


def test_one_of_three_lesions_missed_and_one_invented():
    truth = volume((2, 5), (10, 16), (24, 36))
    marked = volume((2, 5), (24, 36), (18, 21))
    assert lesion_sensitivity(marked, truth).item() == pytest.approx(2 / 3)
    assert false_lesions(marked, truth).item() == 1
    counts = {k: v.item() for k, v in lesion_counts(marked, truth, spacing_mm=SPACING, edges_ml=(0.1, 1.0)).items()}
    assert counts == {
        "lesions <0.1 mL": 1, "found <0.1 mL": 1,
        "lesions 0.1-1 mL": 1, "found 0.1-1 mL": 0,
        "lesions >=1 mL": 1, "found >=1 mL": 1,
        "false": 1,
    }  # fmt: skip


def test_everything_missed_is_zero_and_an_empty_reference_is_undefined_but_its_false_lesions_count():
    truth, empty = volume((2, 5), (10, 16)), volume()
    assert lesion_sensitivity(empty, truth).item() == 0
    assert torch.isnan(lesion_sensitivity(truth, empty)).all()
    assert false_lesions(truth, empty).item() == 2
    assert false_lesions(empty, empty).item() == 0


def test_overlap_decides_and_small_specks_can_be_left_out():
    truth = volume((10, 20))
    touched = volume((10, 20)) & (torch.arange(40) < 11)  # a tenth of the lesion
    assert lesion_sensitivity(touched, truth, min_overlap=0.05).item() == 1
    assert lesion_sensitivity(touched, truth, min_overlap=0.5).item() == 0
    speck = truth.clone()
    speck[:, 30, 30, 30] = True
    assert false_lesions(speck, truth).item() == 1
    assert false_lesions(speck, truth, min_voxels=2).item() == 0
    for wrong in ({"min_overlap": 2.0}, {"min_voxels": 0}):
        with pytest.raises(UsageProblem, match="min_overlap"):
            lesion_sensitivity(truth, truth, **wrong)
    with pytest.raises(UsageProblem, match="edges_ml"):
        lesion_counts(truth, truth, spacing_mm=SPACING, edges_ml=(2.0, 1.0))


def test_iou_equals_scikit_learn():
    rng = np.random.default_rng(2)
    a, b = rng.random((2, 1, 20, 20)) > 0.6
    assert iou(torch.as_tensor(a), torch.as_tensor(b)).item() == pytest.approx(jaccard_score(b.ravel(), a.ravel()))


def square(first: int, last: int, shift: int = 0) -> torch.Tensor:
    mask = torch.zeros(1, 30, 30, dtype=torch.bool)
    mask[:, first:last, first + shift : last + shift] = True
    return mask


def test_added_path_length_of_a_shifted_square():
    # a 10 x 10 square has a contour of 36 pixels; shifted by 2 columns, the final contour has 32 pixels that are not
    # on the proposal's: all but those of the top and bottom rows that overlap (2 x 8)
    proposal, final = square(5, 15), square(5, 15, shift=2)
    spacing = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    assert added_path_length(proposal, final, spacing_mm=spacing).item() == pytest.approx((36 - 16) * 0.5)
    assert added_path_length(final, final, spacing_mm=spacing).item() == 0
    assert added_path_length(proposal, final, spacing_mm=spacing, tolerance_mm=1.0).item() == 0
    assert added_path_length(square(0, 0), final, spacing_mm=spacing).item() == pytest.approx(18)
    assert added_path_length(final, square(0, 0), spacing_mm=spacing).item() == 0
    assert torch.isnan(added_path_length(square(0, 0), square(0, 0), spacing_mm=spacing)).all()


def test_added_path_length_of_a_volume_is_the_sum_over_slices():
    volume_final = torch.stack([square(5, 15)[0], square(8, 12)[0], square(0, 0)[0]])[None]
    missed = torch.zeros_like(volume_final)
    spacing = torch.tensor([[3.0, 1.0, 1.0]], dtype=torch.float64)
    assert added_path_length(missed, volume_final, spacing_mm=spacing).item() == 36 + 12


def test_right_volume_in_the_wrong_place_must_be_redrawn_wholly():
    here, there = volume((2, 8)), volume((20, 26))
    assert edited_surface_fraction(here, there, spacing_mm=SPACING, tolerance_mm=2).item() == 1
    assert edited_surface_fraction(volume(), there, spacing_mm=SPACING, tolerance_mm=2).item() == 1
    assert edited_surface_fraction(there, volume(), spacing_mm=SPACING, tolerance_mm=2).item() == 1
    assert edited_surface_fraction(there, there, spacing_mm=SPACING, tolerance_mm=0).item() == 0
    shifted = torch.roll(here, 1, 3)
    share = edited_surface_fraction(here, shifted, spacing_mm=SPACING, tolerance_mm=0).item()
    assert share == pytest.approx(1 - surface_dice(here, shifted, spacing_mm=SPACING, tolerance_mm=0).item())
    with pytest.raises(UsageProblem, match="tolerance_mm"):
        edited_surface_fraction(here, there, spacing_mm=SPACING, tolerance_mm=-1)
