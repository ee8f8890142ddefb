"""Features of images for the metrics of generated sets: radiomic ones that need no weights, or a network's.

The radiomic features follow the Image Biomarker Standardisation Initiative: intensity statistics, the grey-level
co-occurrence matrix at distance 1 of all directions (merged before normalising), and the shape of the region.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from torch import Tensor

from validation.errors import ModelProblem, UsageProblem
from validation.metrics.imaging.batches import checked_image, checked_mask
from validation.registry import Direction, Kind, metric

INTENSITY = ("mean", "sd", "skewness", "kurtosis", "p10", "median", "p90", "entropy")
TEXTURE = ("glcm contrast", "glcm correlation", "glcm energy", "glcm homogeneity", "glcm entropy")
SHAPE = ("voxels", "elongation", "surface share")


@metric(
    "radiomic_features",
    unit="1",
    direction=Direction.NONE,
    kind=Kind.VECTOR,
    roles=("image",),
    optional_roles=("mask",),
    reference="IBSI, Zwanenburg 2020, doi:10.1148/radiol.2020191145; Haralick 1973, doi:10.1109/TSMC.1973.4309314",
    oracle="scikit-image (graycomatrix), SciPy",
    family="generative",
)
def radiomic_features(
    image: Tensor, mask: Tensor | None = None, *, low: float, high: float, bins: int = 32
) -> dict[str, Tensor]:
    """Radiomic features of an image or region: intensity, texture and, with a mask, shape.

    Texture and entropy are taken after clipping to ``low``..``high`` and cutting into ``bins`` equal bins, the same for
    all images, so that brightness differences remain visible. The features are inputs for ``frechet_distance`` and the
    other metrics of sets, not endpoints.

    Undefined (NaN) when the region has fewer than 8 voxels, or where a value does not exist (skewness of a constant).

    Parameters
    ----------
    image
        ``(B, H, W)`` or ``(B, D, H, W)``.
    mask
        Same shape; the whole image if absent (then without shape).
    low, high
        Range of the bins, in the unit of the image.
    bins
        Number of grey levels.

    Returns
    -------
    dict of Tensor
        ``(B,)`` each.
    """
    if not low < high or not 2 <= bins <= 256:
        raise UsageProblem(
            f"low is {low}, high {high}, bins {bins}.",
            code="MET-014",
            where="low, high, bins",
            action="Give a rising range and 2 to 256 bins.",
        )
    image = checked_image(image)
    region = checked_mask(mask, image)
    names = [*INTENSITY, *TEXTURE, *(SHAPE if region is not None else ())]
    rows = []
    for k in range(image.shape[0]):
        inside = region[k] if region is not None else torch.ones_like(image[k], dtype=torch.bool)
        if int(inside.sum()) < 8:
            rows.append([np.nan] * len(names))
            continue
        levels = ((image[k] - low) / (high - low) * bins).floor().clamp(0, bins - 1).long()
        row = [*_intensity(image[k][inside].to(torch.float64), levels[inside], bins), *_texture(levels, inside, bins)]
        rows.append(row + (_shape(inside) if region is not None else []))
    columns = torch.tensor(rows, dtype=torch.float64, device=image.device).T
    return dict(zip(names, columns, strict=True))


def _entropy(share: Tensor) -> float:
    kept = share[share > 0]
    return float(-(kept * kept.log2()).sum())


def _intensity(values: Tensor, levels: Tensor, bins: int) -> list[float]:
    centre = values.mean()
    spread = (values - centre).square().mean().sqrt()
    unit = (values - centre) / spread if spread > 0 else torch.full_like(values, torch.nan)
    ordered = values.sort().values
    position = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64, device=values.device) * (len(values) - 1)
    below = position.floor().long()
    above = (below + 1).clamp(max=len(values) - 1)
    quantiles = ordered[below] + (ordered[above] - ordered[below]) * (position - below)
    share = torch.bincount(levels, minlength=bins).to(torch.float64) / len(levels)
    moments = [float(unit.pow(p).mean()) for p in (3, 4)]
    return [float(centre), float(spread), moments[0], moments[1] - 3, *quantiles.tolist(), _entropy(share)]


def _texture(levels: Tensor, inside: Tensor, bins: int) -> list[float]:
    """Return features of the symmetric co-occurrence matrix of all neighbours at distance 1 (chessboard)."""
    counts = torch.zeros(bins * bins, dtype=torch.float64, device=levels.device)
    moves = [m for m in product((-1, 0, 1), repeat=levels.ndim) if m > (0,) * levels.ndim]
    for move in moves:
        here = tuple(slice(max(0, -m), n - max(0, m)) for m, n in zip(move, levels.shape, strict=True))
        there = tuple(slice(max(0, m), n - max(0, -m)) for m, n in zip(move, levels.shape, strict=True))
        both = inside[here] & inside[there]
        pairs = levels[here][both] * bins + levels[there][both]
        counts += torch.bincount(pairs, minlength=bins * bins)
    matrix = counts.reshape(bins, bins)
    matrix = matrix + matrix.T
    total = matrix.sum()
    if total == 0:
        return [float("nan")] * len(TEXTURE)
    p = matrix / total
    grey = torch.arange(bins, dtype=torch.float64, device=levels.device)
    apart = grey[:, None] - grey
    mean = (p.sum(0) * grey).sum()
    variance = (p.sum(0) * (grey - mean).square()).sum()
    joint = ((grey[:, None] - mean) * (grey - mean) * p).sum()
    return [
        float((p * apart.square()).sum()),
        float(joint / variance) if variance > 0 else float("nan"),
        float(p.square().sum()),
        float((p / (1 + apart.square())).sum()),
        _entropy(p),
    ]


def _shape(inside: Tensor) -> list[float]:
    """Return voxels, the ratio of least to largest principal axis, and the share of voxels at the surface."""
    from validation.metrics.segmentation.surface import surface

    places = inside.nonzero().to(torch.float64)
    axes = torch.linalg.eigvalsh(torch.cov(places.T)).clamp(min=0)
    ratio = float((axes[0] / axes[-1]).sqrt()) if axes[-1] > 0 else float("nan")
    return [float(len(places)), ratio, float(surface(inside).sum() / len(places))]


def network_features(
    network: Callable[[Tensor], object], images: Tensor, *, name: str = "network", batch: int = 16
) -> np.ndarray:
    """Return the features ``(n, d)`` that a network of the user gives for images ``(n, H, W)`` or ``(n, D, H, W)``.

    Parameters
    ----------
    network
        Takes ``(n, 1, H, W)`` (or volumes) float32 and returns ``(n, d)``; further axes are averaged.
    images
        Images, as the network expects their intensities.
    name
        Name of its file, for complaints.
    batch
        Images shown together.

    Raises
    ------
    ModelProblem
        ``MOD-007`` if it fails, or its output is not one row of finite numbers per image.
    """
    found = []
    with torch.inference_mode():
        for part in torch.split(images.to(torch.float32).unsqueeze(1), batch):
            try:
                features = network(part)
            except Exception as error:  # a network is foreign code: whatever it raises is its failure
                raise _unfit(name, f"it failed on an image ({type(error).__name__})") from None
            if not isinstance(features, Tensor) or features.ndim < 2 or len(features) != len(part):
                raise _unfit(name, "its output is not one row per image")
            found.append(features.flatten(2).mean(2) if features.ndim > 2 else features)
    values = torch.cat(found).to(torch.float64).numpy()
    if not np.isfinite(values).all():
        raise _unfit(name, "its features are not finite")
    return np.asarray(values)


def _unfit(name: str, why: str) -> ModelProblem:
    return ModelProblem(
        f"the feature network does not fit these images: {why}.",
        code="MOD-007",
        where=name,
        action="It must take (n, 1, H, W) float32 and return (n, d).",
    )
