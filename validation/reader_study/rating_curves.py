"""Maximum-likelihood ROC curves from ratings: the binormal model and the proper (likelihood-ratio) binormal model.

Ratings are ordered categories; thresholds are free parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from validation.reader_study.curve_laws import (
    Array,
    Curve,
    binormal_laws,
    one_sided,
    plain_thresholds,
    two_sided,
)
from validation.reader_study.curve_likelihood import STEPS, Fit, maximise
from validation.reader_study.rating_counts import degenerate, fitted_categories


@dataclass(frozen=True, slots=True)
class FittedCurves:
    """Curves fitted to a batch of rating counts.

    Parameters
    ----------
    curve
        ``binormal``: ``TPF = Phi(a + b Phi^-1(FPF))`` with ``shape = (a, b)``; ``proper``: the ROC curve of the
        likelihood ratio of the same two normal laws, ``shape = (d_a, c)``.
    shape
        ``(batch, 2)``; NaN where there is no fit.
    perfect
        ``(batch,)``: the likelihood rises without bound of the shape towards the perfect curve, whose AUC is 1.
    reason
        Why there is no fit; empty where there is one.
    log_likelihood
        ``(batch,)`` multinomial, without constants.
    expected
        Expected counts ``(2, category)`` per entry, for the goodness of fit; ``None`` without a fit.
    """

    curve: Curve
    shape: Array
    perfect: NDArray[np.bool_]
    reason: list[str]
    log_likelihood: Array
    expected: list[Array | None]


def fit_curves(counts: list[Array], curve: Curve, near: Array | None = None) -> FittedCurves:
    """Fit curves to counts of ratings by maximum likelihood (Fisher scoring; all entries of one size at once).

    Parameters
    ----------
    counts
        Per entry ``(2, category)``: negative and positive cases by rising rating.
    near
        Shape ``(2,)`` of a fit to nearly the same counts, to start from; without one several starts are compared.

    Notes
    -----
    With few data there may be no maximum: all ratings tied, or one threshold only (one operating point cannot fix two
    parameters), or operating points on one side of the unit square only. The entry then has a reason and no shape.
    Where every operating point has FPF 0 or TPF 1, and both occur (or they coincide: perfect separation), the
    likelihood is greatest in the limit of an AUC of 1 and the entry is ``perfect``.

    References
    ----------
    Dorfman & Alf 1969, doi:10.1016/0022-2496(69)90019-4 (maximum likelihood, scoring); Metz & Pan 1999,
    "Proper" binormal ROC curves, Journal of Mathematical Psychology; Dorfman & Berbaum 1995, Academic Radiology
    2:907-915 (degenerate data).
    """
    n = len(counts)
    shape, log_likelihood = np.full((n, 2), np.nan), np.full(n, np.nan)
    perfect = np.zeros(n, dtype=bool)
    reason, expected = [""] * n, [None] * n
    compact = [fitted_categories(c) for c in counts]
    groups: dict[int, list[int]] = {}
    for i, c in enumerate(compact):
        why, flawless = degenerate(c)
        reason[i], perfect[i] = why, flawless
        if not why and not flawless:
            groups.setdefault(c.shape[1], []).append(i)
    out: list[Array | None] = list(expected)
    for members in groups.values():
        batch = np.stack([compact[i] for i in members])
        fitted = _fit(batch, curve, near)
        for k, i in enumerate(members):
            if not fitted[2][k]:
                reason[i] = f"the likelihood of the {curve} curve has no maximum that {STEPS} steps could find"
                continue
            shape[i], log_likelihood[i] = fitted[0][k], fitted[1][k]
            out[i] = fitted[3][k]
    return FittedCurves(curve, shape, perfect, reason, log_likelihood, out)


def _fit(counts: Array, curve: Curve, near: Array | None) -> tuple[Array, Array, NDArray[np.bool_], Array]:
    """Fit a batch ``(batch, 2, category)``; shapes, log-likelihoods, whether they converged, expected counts."""
    start = _start(counts)
    if curve == "binormal":
        theta, value, done, expected = maximise(counts, start, binormal_laws)
        return np.stack([theta[:, 0], np.exp(theta[:, 1])], axis=-1), value, done, expected
    a, b = start[:, 0], np.exp(start[:, 1])
    d = np.maximum(a * np.sqrt(2) / np.sqrt(1 + b**2), 0.2)
    found = []
    starts = [
        (b - 1) / (b + 1),
        np.full_like(d, -0.5),
        np.full_like(d, -0.1),
        np.full_like(d, 0.1),
        np.full_like(d, 0.5),
    ]
    if near is not None and np.isfinite(near).all() and near[0] > 0.05:
        d, starts = np.full_like(d, near[0]), [np.full_like(d, near[1])]
    for c in starts:
        first = np.clip(np.where(np.abs(c) < 0.02, 0.02, c), -0.9, 0.9)
        for sign in (-1.0, 1.0):
            some = np.flatnonzero(np.sign(first) == sign)
            if not len(some):
                continue
            begin = _proper_start(counts[some], d[some], first[some], sign)
            fit = maximise(counts[some], begin, one_sided(sign))
            found.append(_among(len(d), some, fit, np.exp(fit[0][:, 0]), sign * expit(fit[0][:, 1])))
            if np.abs(c).min() < 0.2:  # towards c = 0 the bound of the thresholds runs away
                begin = np.concatenate(
                    [begin[:, :1], np.arctanh(first[some])[:, None], plain_thresholds(begin, sign)], axis=1
                )
                fit = maximise(counts[some], begin, two_sided)
                found.append(_among(len(d), some, fit, np.exp(fit[0][:, 0]), np.tanh(fit[0][:, 1])))
    values = np.stack([x[1] for x in found])
    best = values.argmax(axis=0)
    at = np.arange(len(d))
    shape, value, expected = (np.stack([x[k] for x in found])[best, at] for k in range(3))
    return shape, value, np.isfinite(values[best, at]), expected


def _among(n: int, some: NDArray[np.int64], fit: Fit, d: Array, c: Array) -> list[Array]:
    """Return shapes, log-likelihoods (minus infinity without convergence) and expected counts at their places."""
    out = []
    for part, missing in (
        (np.stack([d, c], axis=-1), np.nan),
        (np.where(fit[2], fit[1], -np.inf), -np.inf),
        (fit[3], np.nan),
    ):
        whole = np.full((n, *part.shape[1:]), missing)
        whole[some] = part
        out.append(whole)
    return out


def _start(counts: Array) -> Array:
    """Return starting values: a line through normal deviates of the operating points, half a case added."""
    total = counts.sum(axis=-1, keepdims=True)
    share = (counts.cumsum(axis=-1)[..., :-1] + 0.5) / (total + 1)
    z = ndtri(share)
    z = z + 1e-3 * np.arange(z.shape[-1])  # ties between thresholds
    x, y = z[:, 0], z[:, 1]
    centred = x - x.mean(axis=1, keepdims=True)
    spread = (centred**2).sum(axis=1)
    slope = (centred * y).sum(axis=1) / np.where(spread > 0, spread, 1.0)
    b = np.clip(np.where(spread > 1e-6, slope, 1.0), 0.3, 3.0)
    a = (b[:, None] * x - y).mean(axis=1)
    return np.concatenate([a[:, None], np.log(b)[:, None], x], axis=1)


def _proper_start(counts: Array, d: Array, c: Array, sign: float) -> Array:
    """Return starting values of one side, thresholds where both classes together have the observed shares."""
    total = counts.sum(axis=-1, keepdims=True)
    share = ((counts.cumsum(axis=-1)[..., :-1] + 0.5) / (total + 1)).mean(axis=1)
    share = np.maximum.accumulate(share + 1e-5 * np.arange(share.shape[1]), axis=1)
    shape = np.stack([np.log(d), logit(np.abs(c))], axis=-1)
    laws = one_sided(sign)
    low, high = np.full_like(share, -40.0), np.full_like(share, 40.0)
    for _ in range(70):
        middle = (low + high) / 2
        F, G, *_ = laws(middle, shape)
        under = share > (F + G) / 2
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    w = (low + high) / 2 + 1e-6 * np.arange(share.shape[1])
    return np.concatenate([shape, w], axis=1)
