"""The likelihood of rating counts under a pair of laws with free thresholds, and its maximum, for batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from validation.reader_study.curve_laws import Array, Laws

Fit = tuple[Array, Array, NDArray[np.bool_], Array]
STEPS = 150
_SCORING = 6  # steps of Fisher scoring before Newton's, which need a start close by


def maximise(counts: Array, theta: Array, laws: Laws) -> tuple[Array, Array, NDArray[np.bool_], Array]:
    """Maximise the likelihood: damped Fisher scoring, then Newton steps where the observed information is positive."""
    theta = theta.copy()
    value = _value(counts, theta, laws)
    damping = np.full(len(theta), 1e-3)
    done = np.zeros(len(theta), dtype=bool)
    left = np.full(len(theta), np.inf)
    eye = np.eye(theta.shape[1])
    for iteration in range(STEPS):
        work = np.flatnonzero(~done & np.isfinite(value))
        if not len(work):
            break
        gradient, information = _gradient(counts[work], theta[work], laws)
        if iteration >= _SCORING:
            observed = _observed(counts[work], theta[work], laws)
            usable = np.flatnonzero(np.isfinite(observed).all(axis=(1, 2)))
            usable = usable[np.linalg.eigvalsh(observed[usable])[:, 0] > 1e-8]
            information[usable] = observed[usable]
        size = np.einsum("bpp->bp", information)
        damped = information + eye * (damping[work, None] * size + 1e-10)[:, :, None]
        step = np.linalg.solve(damped, gradient[..., None])[..., 0]
        gain = (gradient * step).sum(axis=1)
        trial = theta[work] + step
        now = _value(counts[work], trial, laws)
        better = now >= value[work] - 1e-13 * np.abs(value[work])
        left[work] = gain
        small = gain < 1e-13 * np.maximum(1.0, np.abs(value[work]))
        theta[work[better]], value[work[better]] = trial[better], now[better]
        damping[work] = np.where(better, np.maximum(damping[work] / 10, 1e-12), damping[work] * 10)
        done[work[small & better]] = True
        damping[work] = np.minimum(damping[work], 1e12)
        done[work[damping[work] >= 1e12]] = True
    done = left < 1e-6  # near a limit of the shape, such as d_a = 0, steps shrink while the curve stands still
    p, q, *_ = _cells(theta, laws)
    total = counts.sum(axis=-1)
    expected = np.stack([p * total[:, :1], q * total[:, 1:]], axis=1)
    return theta, value, done & np.isfinite(value), expected


def _cells(theta: Array, laws: Laws) -> tuple[Array, Array, Array, Array]:
    """Return probabilities of the categories in both classes, and their derivatives by all parameters."""
    t = theta[:, 2:]
    F, G, f, g, dF, dG = laws(t, theta[:, :2])
    B, K = t.shape
    out = []
    for law, density, by_shape in ((F, f, dF), (G, g, dG)):
        whole = np.concatenate([np.zeros((B, 1)), law, np.ones((B, 1))], axis=1)
        jacobian = np.zeros((B, K + 2, K + 2))
        jacobian[:, 1:-1, :2] = by_shape
        at = np.arange(K)
        jacobian[:, at + 1, at + 2] = density
        out.append((np.diff(whole, axis=1), np.diff(jacobian, axis=1)))
    return out[0][0], out[1][0], out[0][1], out[1][1]


def _value(counts: Array, theta: Array, laws: Laws) -> Array:
    """Return the log-likelihood, minus infinity where a category has no probability."""
    t = theta[:, 2:]
    with np.errstate(over="ignore", invalid="ignore"):
        F, G, *_ = laws(t, theta[:, :2])
    total = np.zeros(len(theta))
    edge = np.zeros((len(t), 1))
    for k, law in enumerate((F, G)):
        p = np.diff(np.concatenate([edge, law, edge + 1], axis=1), axis=1)
        n = counts[:, k]
        good = (p > 0) & np.isfinite(p)
        term = np.where(n > 0, n * np.log(np.where(good, p, 1.0)), 0.0)
        total += np.where(good | ((n == 0) & (p >= 0)), term, -np.inf).sum(axis=1)
    ordered = (np.diff(t, axis=1) > 0).all(axis=1) if t.shape[1] > 1 else np.ones(len(t), dtype=bool)
    inside = (np.abs(theta[:, 1]) < 12) & (np.abs(theta[:, 0]) < 40)
    return np.where(ordered & inside & np.isfinite(total), total, -np.inf)


def _gradient(counts: Array, theta: Array, laws: Laws) -> tuple[Array, Array]:
    """Return the score of the likelihood ``(batch, parameter)`` and the expected information."""
    p, q, dp, dq = _cells(theta, laws)
    total = counts.sum(axis=-1)
    gradient, information = 0.0, 0.0
    for k, (cell, slope) in enumerate(((p, dp), (q, dq))):
        safe = np.maximum(cell, 1e-12)
        gradient = gradient + np.einsum("bk,bkp->bp", counts[:, k] / safe, slope)
        weighted = slope * (total[:, k, None] / safe)[:, :, None]
        information = information + np.swapaxes(slope, 1, 2) @ weighted
    return np.asarray(gradient), np.asarray(information)


def _observed(counts: Array, theta: Array, laws: Laws) -> Array:
    """Return the observed information by central differences of the score."""
    B, P = theta.shape
    h = 1e-5
    shifted = theta[:, None] + h * np.concatenate([np.eye(P), -np.eye(P)])
    with np.errstate(all="ignore"):
        g = _gradient(np.repeat(counts, 2 * P, axis=0), shifted.reshape(-1, P), laws)[0].reshape(B, 2, P, P)
    information = -(g[:, 0] - g[:, 1]) / (2 * h)
    return np.asarray((information + np.swapaxes(information, 1, 2)) / 2)
