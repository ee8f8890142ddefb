"""Virtual heads: ellipsoids of tissue, as a CT in HU and as MR images (T1- and T2-weighted) in arbitrary units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SHAPE = (20, 72, 72)
SPACING_MM = (5.0, 3.0, 3.0)
TISSUES = ("air", "fat", "bone", "brain", "fluid", "cavity", "tumour", "brainstem")
HU = {
    "air": -1000.0,
    "fat": -90.0,
    "bone": 850.0,
    "brain": 36.0,
    "fluid": 8.0,
    "cavity": -1000.0,
    "tumour": 48.0,
    "brainstem": 33.0,
}
MR = {
    "air": 0.0,
    "fat": 1.0,
    "bone": 0.08,
    "brain": 0.62,
    "fluid": 0.22,
    "cavity": 0.0,
    "tumour": 0.42,
    "brainstem": 0.68,
}
T2 = {
    "air": 0.0,
    "fat": 0.7,
    "bone": 0.05,
    "brain": 0.42,
    "fluid": 1.0,
    "cavity": 0.0,
    "tumour": 0.75,
    "brainstem": 0.36,
}


@dataclass(frozen=True)
class Head:
    """One virtual head: images and masks, all of ``SHAPE``."""

    ct: np.ndarray
    mr: np.ndarray
    t2: np.ndarray
    masks: dict[str, np.ndarray]


def draw_head(rng: np.random.Generator, *, field_t: float, age: int) -> Head:
    """Draw a head; bone is less dense in the old, and 3 T images have more shading."""
    z, y, x = (
        (np.arange(n) - (n - 1) / 2).reshape([-1 if k == axis else 1 for k in range(3)]) * step
        for axis, (n, step) in enumerate(zip(SHAPE, SPACING_MM, strict=True))
    )
    width, length = rng.normal(74, 3), rng.normal(90, 3)
    y = y - rng.normal(0, 2)
    x = x - rng.normal(0, 2)

    def ellipsoid(cz: float, cy: float, cx: float, az: float, ay: float, ax: float) -> np.ndarray:
        return np.asarray(((z - cz) / az) ** 2 + ((y - cy) / ay) ** 2 + ((x - cx) / ax) ** 2 <= 1)

    skin, skull = rng.uniform(4, 8), rng.uniform(5, 9)
    labels = np.zeros(SHAPE, dtype=int)
    labels[ellipsoid(-20, 0, 0, 120, length, width)] = 1
    labels[ellipsoid(-20, 0, 0, 114, length - skin, width - skin)] = 2
    inner = ellipsoid(-20, 0, 0, 106, length - skin - skull, width - skin - skull)
    labels[inner] = 3
    for side in (-1, 1):
        labels[ellipsoid(5, 2, 14 * side, rng.uniform(14, 20), rng.uniform(24, 32), rng.uniform(5, 9)) & inner] = 4
    brainstem = ellipsoid(-40, 25, 0, 20, 13, 14) & inner
    labels[brainstem] = 7
    for side in (-1, 1):  # frontal sinus and mastoid cells: air beside bone
        labels[ellipsoid(-30, -length + 14, 13 * side, rng.uniform(12, 20), rng.uniform(5, 8), rng.uniform(8, 13))] = 5
        labels[ellipsoid(-42, 28, (width - 15) * side, rng.uniform(8, 12), rng.uniform(6, 10), 5)] = 5
    radius = rng.uniform(11, 17)
    place = rng.uniform((-10, -35, -30), (20, 30, 30))
    tumour = ellipsoid(*place, radius, radius, radius) & (labels == 3)
    labels[tumour] = 6
    hu, mr = dict(HU), dict(MR)
    hu["bone"] = rng.normal(980 - 3 * age, 60)
    for name in ("fat", "brain", "fluid", "tumour", "brainstem"):
        hu[name] += rng.normal(0, 4)
        mr[name] *= rng.normal(1, 0.04)
    ct = ndimage.gaussian_filter(np.array([hu[t] for t in TISSUES])[labels], 0.5)
    ct = ct + ndimage.gaussian_filter(rng.normal(0, 25, SHAPE), (0, 0.7, 0.7))
    signal = ndimage.gaussian_filter(np.array([mr[t] for t in TISSUES])[labels], 0.5)
    shading = 1 + (0.10 if field_t > 2 else 0.05) * (rng.normal() * x / 100 + rng.normal() * y / 100)
    signal = rng.uniform(600, 1400) * np.abs(signal * shading + rng.normal(0, 0.02, SHAPE) * (1.5 / field_t) ** 0.5)
    body = ndimage.binary_fill_holes(labels > 0)
    return Head(
        ct=ct.astype(np.float32),
        mr=signal.astype(np.float32),
        t2=_t2_image(labels, rng.spawn(1)[0]),
        masks={"body": body, "target": tumour, "brainstem": brainstem & ~tumour},
    )


def _t2_image(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a T2-weighted image, its brain at about 420, from a random stream of its own."""
    weights = np.array([T2[tissue] * (rng.normal(1, 0.04) if T2[tissue] > 0.1 else 1) for tissue in TISSUES])
    image = ndimage.gaussian_filter(weights[labels], 0.5) + rng.normal(0, 0.02, SHAPE)
    return (1000 * np.abs(image)).astype(np.float32)
