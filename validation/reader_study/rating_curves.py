"""Maximum-likelihood ROC curves from ratings: the binormal model and the proper (likelihood-ratio) binormal model.

Ratings are ordered categories; thresholds are free parameters. Many categories give the same fit as their runs: where
neighbouring categories hold cases of one class only, the likelihood depends on their sum (Metz, Herman & Shen 1998,
doi:10.1002/(SICI)1097-0258(19980515)17:9<1033::AID-SIM784>3.0.CO;2-Z), so that continuous ratings are fitted too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri, owens_t

Array = NDArray[np.float64]
Curve = Literal["binormal", "proper"]
Fit = tuple[Array, Array, NDArray[np.bool_], Array]
Laws = Callable[[Array, Array], tuple[Array, ...]]
CATEGORIES = 24  # runs of continuous ratings are joined down to so many, as LABROC5 does
_STEPS = 150
_SCORING = 6  # steps of Fisher scoring before Newton's, which need a start close by


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


def rating_counts(score: Array, positive: NDArray[np.bool_]) -> tuple[Array, NDArray[np.int64]]:
    """Return counts ``(2, category)`` of negative and positive cases, lowest ratings first, and each case's category.

    Categories are the distinct ratings with runs of one class joined; above :data:`CATEGORIES`, neighbours with the
    fewest cases are joined too.

    >>> rating_counts(np.array([1.0, 2.0, 3.0, 3.5, 4.0]), np.array([False, False, True, False, True]))[0]
    array([[2., 0., 1., 0.],
           [0., 1., 0., 1.]])
    """
    levels, place = np.unique(score, return_inverse=True)
    counts = np.stack(
        [np.bincount(place[~positive], minlength=len(levels)), np.bincount(place[positive], minlength=len(levels))]
    )
    group = _runs(counts)
    joined = _join(counts.astype(float), group)
    while joined.shape[1] > CATEGORIES:
        size = joined.sum(axis=0)
        k = int(np.argmin(size[:-1] + size[1:]))
        group = np.where(group > k, group - 1, group)
        joined = _join(counts.astype(float), group)
    return joined, group[place]


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
    compact = [_join(c, _runs(c)) for c in counts]
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
                reason[i] = f"the likelihood of the {curve} curve has no maximum that {_STEPS} steps could find"
                continue
            shape[i], log_likelihood[i] = fitted[0][k], fitted[1][k]
            out[i] = fitted[3][k]
    return FittedCurves(curve, shape, perfect, reason, log_likelihood, out)


def degenerate(counts: Array) -> tuple[str, bool]:
    """Return why counts allow no fit (empty if they do), and whether the fit is the perfect curve.

    >>> degenerate(np.array([[5.0, 0.0], [0.0, 5.0]]))
    ('', True)
    >>> degenerate(np.array([[5.0], [5.0]]))[0]
    'all ratings are tied: they hold no information'
    """
    joined = _join(counts, _runs(counts))
    total = joined.sum(axis=1)
    if (total == 0).any():
        return "there are no cases of one class", False
    if joined.shape[1] == 1:
        return "all ratings are tied: they hold no information", False
    fp = 1 - joined[0].cumsum()[:-1] / total[0]
    tp = 1 - joined[1].cumsum()[:-1] / total[1]
    left, top = fp <= 1e-12, tp >= 1 - 1e-12
    if (left & top).any() or ((left | top).all() and left.any() and top.any()):
        return "", True
    bottom, right = tp <= 1e-12, fp >= 1 - 1e-12
    if (left | bottom).all() or (top | right).all() or (right | bottom).all() or (left | top).all():
        return "every operating point lies on the edge of the unit square: many curves fit equally well", False
    inner = int((~(left | top | bottom | right)).sum())
    if joined.shape[1] == 2 and inner == 1:
        return "the ratings have one threshold only: one operating point does not fix a curve", False
    return "", False


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
        F, G, *_ = _proper(t[None], np.array([[d]]), np.array([[c]]))
        fp, tp = 1 - F[0], 1 - G[0]
    fp, tp = np.clip(fp[::-1], 0, 1), np.clip(tp[::-1], 0, 1)
    return np.concatenate([[0.0], fp, [1.0]]), np.concatenate([[0.0], tp, [1.0]])


def goodness_of_fit(observed: Array, expected: Array) -> tuple[float | None, int, str]:
    """Return Pearson's chi-square of counts in the fitted categories, its degrees of freedom, and why it is missing.

    Neighbouring categories are joined until every expected count is 5 or more; ``df = categories - 3``.
    """
    o, e = observed.copy(), expected.copy()
    while o.shape[1] > 1 and e.min() < 5:
        k = int(np.argmin(e.min(axis=0)))
        j = k - 1 if k == o.shape[1] - 1 or (k > 0 and e[:, k - 1].sum() < e[:, k + 1].sum()) else k
        group = np.arange(o.shape[1]) - (np.arange(o.shape[1]) > j)
        o, e = _join(o, group), _join(e, group)
    df = o.shape[1] - 3
    if df < 1:
        return None, 0, "too few categories with five expected cases of each class to test the fit"
    return float(((o - e) ** 2 / e).sum()), df, ""


def _runs(counts: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the group of each category: empty ones and runs of one class belong to the group before them."""
    kind = (counts[0] > 0).astype(int) + 2 * (counts[1] > 0).astype(int)
    group = np.zeros(len(kind), dtype=np.int64)
    last, g = 0, 0
    for k, now in enumerate(kind):
        if now and last and not (now == last and now < 3):
            g += 1
        group[k] = g
        last = now or last
    return group


def fitted_categories(counts: Array) -> Array:
    """Return counts with empty categories and runs of one class joined, as they are fitted."""
    return _join(counts, _runs(counts))


def _join(counts: Array, group: NDArray[np.int64]) -> Array:
    """Return counts summed over groups."""
    out = np.zeros((2, int(group[-1]) + 1))
    np.add.at(out.T, group, counts.T)
    return out


def _binormal(t: Array, shape: Array) -> tuple[Array, ...]:
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


def _proper(t: Array, d: Array, c: Array) -> tuple[Array, ...]:
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


def _one_sided(sign: float) -> Laws:
    """Return the laws for ``c`` of one sign, by ``(log d_a, logit |c|)`` and ``log`` distances from the bound.

    Thresholds of the proper curve are bounded on one side by ``d_a sqrt(1 + c^2) / (4 c)``; measured from there, every
    value is possible.
    """

    def laws(w: Array, shape: Array) -> tuple[Array, ...]:
        d, size = np.exp(shape[:, :1]), np.maximum(expit(shape[:, 1:]), 1e-9)
        c = sign * size
        s = np.sqrt(1 + c**2)
        away = np.exp(-sign * w)
        F, G, f, g, dF, dG = _proper(d * s / (4 * c) - sign * away, d, c)
        bound = np.stack([s / (4 * c), -d / (4 * s * np.maximum(c**2, 1e-100))], axis=-1)
        by = np.stack([d, c * (1 - size)], axis=-1)
        return F, G, f * away, g * away, (dF + f[..., None] * bound) * by, (dG + g[..., None] * bound) * by

    return laws


def _two_sided(t: Array, shape: Array) -> tuple[Array, ...]:
    """Return the laws of the proper curve at plain thresholds, by ``(log d_a, artanh c)``."""
    d, c = np.exp(shape[:, :1]), np.tanh(shape[:, 1:])
    F, G, f, g, dF, dG = _proper(t, d, c)
    by = np.stack([d, 1 - c**2], axis=-1)
    return F, G, f, g, dF * by, dG * by


def _away(theta: Array, sign: float) -> Array:
    """Return plain thresholds of parameters of :func:`_one_sided`."""
    d, c = np.exp(theta[:, :1]), sign * expit(theta[:, 1:2])
    return np.asarray(d * np.sqrt(1 + c**2) / (4 * c) - sign * np.exp(-sign * theta[:, 2:]))


def _phi(x: Array) -> Array:
    return np.asarray(np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))


def _fit(counts: Array, curve: Curve, near: Array | None) -> tuple[Array, Array, NDArray[np.bool_], Array]:
    """Fit a batch ``(batch, 2, category)``; shapes, log-likelihoods, whether they converged, expected counts."""
    start = _start(counts)
    if curve == "binormal":
        theta, value, done, expected = _score(counts, start, _binormal)
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
            fit = _score(counts[some], begin, _one_sided(sign))
            found.append(_among(len(d), some, fit, np.exp(fit[0][:, 0]), sign * expit(fit[0][:, 1])))
            if np.abs(c).min() < 0.2:  # towards c = 0 the bound of the thresholds runs away
                begin = np.concatenate([begin[:, :1], np.arctanh(first[some])[:, None], _away(begin, sign)], axis=1)
                fit = _score(counts[some], begin, _two_sided)
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
    laws = _one_sided(sign)
    low, high = np.full_like(share, -40.0), np.full_like(share, 40.0)
    for _ in range(70):
        middle = (low + high) / 2
        F, G, *_ = laws(middle, shape)
        under = share > (F + G) / 2
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    w = (low + high) / 2 + 1e-6 * np.arange(share.shape[1])
    return np.concatenate([shape, w], axis=1)


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


def _score(counts: Array, theta: Array, laws: Laws) -> tuple[Array, Array, NDArray[np.bool_], Array]:
    """Maximise the likelihood: damped Fisher scoring, then Newton steps where the observed information is positive."""
    theta = theta.copy()
    value = _value(counts, theta, laws)
    damping = np.full(len(theta), 1e-3)
    done = np.zeros(len(theta), dtype=bool)
    left = np.full(len(theta), np.inf)
    eye = np.eye(theta.shape[1])
    for iteration in range(_STEPS):
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
