"""The laws of ratings behind the binormal and the proper (likelihood-ratio) binormal ROC curve, and their curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, owens_t

Array = NDArray[np.float64]
Curve = Literal["binormal", "proper"]
Laws = Callable[[Array, Array], tuple[Array, ...]]


def curve_auc(curve: Curve, shape: Array) -> Array:
    """Return the area under fitted curves; ``shape`` is ``(..., 2)``.

    Binormal: ``Phi(a / sqrt(1 + b^2))``; proper: ``Phi(d_a / sqrt 2) + 2 Phi_2(-d_a / sqrt 2, 0; rho)`` with
    ``rho = -(1 - c^2) / (1 + c^2)`` (Metz & Pan 1999).
    """
    first, second = shape[..., 0], shape[..., 1]
    if curve == "binormal":
        return np.asarray(ndtr(first / np.sqrt(1 + second**2)))
    h = -first / np.sqrt(2)
    rho = -(1 - second**2) / (1 + second**2)
    both = ndtr(h) / 2 - owens_t(h, -rho / np.sqrt(np.maximum(1 - rho**2, 1e-300)))
    return np.asarray(ndtr(-h) + 2 * both)


def curve_points(curve: Curve, shape: Array, points: int = 2001) -> tuple[Array, Array]:
    """Return ``FPF`` and ``TPF`` of one fitted curve on a fine grid of thresholds, from (0, 0) to (1, 1)."""
    if curve == "binormal":
        a, b = shape
        edges = np.array([-8.0, 8.0])
        low, high = min(edges[0], (edges[0] + a) / b), max(edges[1], (edges[1] + a) / b)
        t = np.sort(np.concatenate([np.linspace(low, high, points), (np.linspace(-8, 8, points) + a) / b]))
        fp, tp = ndtr(-t), ndtr(a - b * t)
    else:
        d, c = shape
        s = np.sqrt(1 + c * c)
        low, high = -(d + 9) / (1 - abs(c)), (d + 9) / (1 - abs(c))
        if abs(c) > 1e-9:
            bound = d * s / (4 * c)
            low, high = (low, min(high, bound)) if c > 0 else (max(low, bound), high)
        wide = np.linspace(low, high, 4 * points)
        t = np.sort(np.concatenate([wide, np.clip(np.linspace(-9, 9, points), low, high)]))
        F, G, *_ = proper_laws(t[None], np.array([[d]]), np.array([[c]]))
        fp, tp = 1 - F[0], 1 - G[0]
    fp, tp = np.clip(fp[::-1], 0, 1), np.clip(tp[::-1], 0, 1)
    return np.concatenate([[0.0], fp, [1.0]]), np.concatenate([[0.0], tp, [1.0]])


def binormal_laws(t: Array, shape: Array) -> tuple[Array, ...]:
    """Return laws of both classes at thresholds, their densities, and derivatives by ``(a, log b)``."""
    a, b = shape[:, :1], np.exp(shape[:, 1:])
    u = b * t - a
    density = _phi(u)
    zero = np.zeros_like(t)
    return (
        ndtr(t),
        ndtr(u),
        _phi(t),
        b * density,
        np.stack([zero, zero], axis=-1),
        np.stack([-density, density * b * t], axis=-1),
    )


def proper_laws(t: Array, d: Array, c: Array) -> tuple[Array, ...]:
    """Return laws and densities of the proper curve at thresholds, and derivatives by ``d_a`` and ``c``."""
    c = np.where(np.abs(c) < 1e-9, np.where(c < 0, -1e-9, 1e-9), c)
    s = np.sqrt(1 + c**2)
    one, two = 1 - c, 1 + c
    above = (c >= 0).astype(float)
    args = (-one * t - d * s / 2, -one * t + d * s / (2 * c), -two * t + d * s / 2, -two * t + d * s / (2 * c))
    p = [_phi(x) for x in args]
    by_d = (-s / 2, s / (2 * c), s / 2, s / (2 * c))
    by_c = (t - d * c / (2 * s), t - d / (2 * s * c**2), -t + d * c / (2 * s), -t - d / (2 * s * c**2))
    slopes = [np.stack([-q * x, -q * y], axis=-1) for q, x, y in zip(p, by_d, by_c, strict=True)]
    return (
        1 - (ndtr(args[0]) + ndtr(args[1]) - above),
        1 - (ndtr(args[2]) + ndtr(args[3]) - above),
        one * (p[0] + p[1]),
        two * (p[2] + p[3]),
        slopes[0] + slopes[1],
        slopes[2] + slopes[3],
    )


def one_sided(sign: float) -> Laws:
    """Return the laws for ``c`` of one sign, by ``(log d_a, logit |c|)`` and ``log`` distances from the bound.

    Thresholds of the proper curve are bounded on one side by ``d_a sqrt(1 + c^2) / (4 c)``; measured from there, every
    value is possible.
    """

    def laws(w: Array, shape: Array) -> tuple[Array, ...]:
        d, size = np.exp(shape[:, :1]), np.maximum(expit(shape[:, 1:]), 1e-9)
        c = sign * size
        s = np.sqrt(1 + c**2)
        away = np.exp(-sign * w)
        F, G, f, g, dF, dG = proper_laws(d * s / (4 * c) - sign * away, d, c)
        bound = np.stack([s / (4 * c), -d / (4 * s * np.maximum(c**2, 1e-100))], axis=-1)
        by = np.stack([d, c * (1 - size)], axis=-1)
        return F, G, f * away, g * away, (dF + f[..., None] * bound) * by, (dG + g[..., None] * bound) * by

    return laws


def two_sided(t: Array, shape: Array) -> tuple[Array, ...]:
    """Return the laws of the proper curve at plain thresholds, by ``(log d_a, artanh c)``."""
    d, c = np.exp(shape[:, :1]), np.tanh(shape[:, 1:])
    F, G, f, g, dF, dG = proper_laws(t, d, c)
    by = np.stack([d, 1 - c**2], axis=-1)
    return F, G, f, g, dF * by, dG * by


def plain_thresholds(theta: Array, sign: float) -> Array:
    """Return plain thresholds of parameters of :func:`one_sided`."""
    d, c = np.exp(theta[:, :1]), sign * expit(theta[:, 1:2])
    return np.asarray(d * np.sqrt(1 + c**2) / (4 * c) - sign * np.exp(-sign * theta[:, 2:]))


def _phi(x: Array) -> Array:
    return np.asarray(np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))
