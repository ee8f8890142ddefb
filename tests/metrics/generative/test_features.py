"""Radiomic features against scikit-image and SciPy; features of a TorchScript network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from skimage.feature import graycomatrix, graycoprops

from validation.errors import ModelProblem, UsageProblem
from validation.metrics.generative.features import network_features, radiomic_features


def image(seed: int, shape: tuple[int, ...] = (40, 50)) -> np.ndarray:
    return 300 * ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)


def test_features_equal_scikit_image_and_scipy():
    array = image(1)
    found = {
        k: v.item() for k, v in radiomic_features(torch.as_tensor(array)[None], low=-100, high=100, bins=16).items()
    }
    levels = np.clip(np.floor((array + 100) / 200 * 16), 0, 15).astype(np.uint8)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    # directions are merged: counts are summed before they become shares
    counts = graycomatrix(levels, [1], angles, 16, symmetric=True).sum(axis=3, keepdims=True)
    matrix = counts / counts.sum()
    for ours, theirs in (
        ("contrast", "contrast"),
        ("correlation", "correlation"),
        ("energy", "ASM"),
        ("homogeneity",) * 2,
    ):
        assert found[f"glcm {ours}"] == pytest.approx(graycoprops(matrix, theirs)[0, 0])
    assert found["glcm entropy"] == pytest.approx(stats.entropy(matrix.ravel(), base=2))
    assert found["mean"] == pytest.approx(array.mean())
    assert found["sd"] == pytest.approx(array.std())
    assert found["skewness"] == pytest.approx(stats.skew(array.ravel()))
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(array.ravel()))
    assert [found[k] for k in ("p10", "median", "p90")] == pytest.approx(np.percentile(array, [10, 50, 90]))
    assert found["entropy"] == pytest.approx(stats.entropy(np.bincount(levels.ravel()), base=2))


def test_a_region_has_shape_and_its_outside_does_not_count():
    array = image(2, (12, 20, 20))
    mask = np.zeros(array.shape, dtype=bool)
    mask[3:9, 4:16, 5:11] = True
    rule = {"low": -100.0, "high": 100.0}
    found = radiomic_features(torch.as_tensor(array)[None], torch.as_tensor(mask)[None], **rule)
    other = radiomic_features(torch.as_tensor(np.where(mask, array, 9e9))[None], torch.as_tensor(mask)[None], **rule)
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in other.items()}
    assert found["voxels"].item() == 6 * 12 * 6
    assert found["elongation"].item() == pytest.approx(np.sqrt((36 - 1) / (144 - 1)))
    assert found["surface share"].item() == pytest.approx(1 - 4 * 10 * 4 / (6 * 12 * 6))
    assert torch.isnan(
        radiomic_features(torch.as_tensor(array)[None], torch.zeros(1, 12, 20, 20), **rule)["mean"]
    ).all()
    with pytest.raises(UsageProblem, match="bins"):
        radiomic_features(torch.as_tensor(array)[None], low=1.0, high=0.0)


class Pooled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean(dim=(1, 2, 3)).unsqueeze(1), x.amax(dim=(1, 2, 3)).unsqueeze(1)], 1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_features_of_a_network_of_the_user():
    images = torch.rand(20, 8, 8)
    found = network_features(Pooled(), images, batch=7)
    np.testing.assert_allclose(found, np.stack([images.mean((1, 2)), images.amax((1, 2))], 1), rtol=1e-6)
    with pytest.raises(ModelProblem, match="one row per image"):
        network_features(lambda part: part.mean(), images)
