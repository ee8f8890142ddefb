"""Polygons along pixel edges: they enclose the pixels exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from validation.dicom.contours import filled, polygons_of


def _shoelace(polygon: np.ndarray) -> float:
    row, column = polygon.T
    return abs(float(np.sum(column * np.roll(row, -1) - np.roll(column, -1) * row))) / 2


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.6, 0.8, 0.95, 1.0])
def test_any_mask_survives_with_its_area_and_its_regions(share: float) -> None:
    rng = np.random.default_rng(int(share * 100))
    for _ in range(20):
        mask = rng.random((17, 23)) < share
        polygons = polygons_of(mask)
        np.testing.assert_array_equal(filled(polygons, mask.shape), mask)
        assert len(polygons) == ndimage.label(mask)[1]
        assert sum(map(_shoelace, polygons)) == pytest.approx(mask.sum(), abs=1e-9)


def test_a_ring_is_one_contour() -> None:
    y, x = np.mgrid[:64, :64]
    radius = np.hypot(y - 31, x - 30)
    ring = (radius < 25) & (radius > 10)
    (polygon,) = polygons_of(ring)
    np.testing.assert_array_equal(filled([polygon], ring.shape), ring)


def test_filling_agrees_with_matplotlib() -> None:
    from matplotlib.path import Path

    rng = np.random.default_rng(3)
    polygon = rng.uniform(-3, 33, (9, 2))
    rows, columns = np.mgrid[:30, :31]
    wanted = np.zeros((30, 31), bool)
    for k in range(9):  # winding parity from the triangles of a fan
        fan = polygon[[0, k, (k + 1) % 9]]
        points = np.stack([rows.ravel(), columns.ravel()], 1)
        wanted ^= Path(fan).contains_points(points).reshape(30, 31)
    np.testing.assert_array_equal(filled([polygon], (30, 31)), wanted)


def test_nothing() -> None:
    assert polygons_of(np.zeros((4, 5), bool)) == []
    assert not filled([], (4, 5)).any()
