"""Profiles of patients as sparse counts (patients by features), compared with patients as the units."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse, stats

from validation.estimate import Estimate
from validation.metrics.longitudinal.events import Events, Histories, Ints
from validation.metrics.tabular.exact import moment_tail

PERMUTATIONS = 300
TOP = 40  # codes among which pairs and transitions are counted one by one; the others are taken together
FEW = 20  # patients of each kind below which nothing is judged


def counts(patient: Ints, feature: Ints, patients: int, features: int) -> Any:
    """Return the sparse matrix of how often each patient has each feature."""
    ones = np.ones(len(patient))
    return sparse.csr_matrix((ones, (patient, feature)), shape=(patients, features))


def presence(patient: Ints, feature: Ints, patients: int, features: int) -> Any:
    """Return the sparse matrix of whether each patient has each feature."""
    found = counts(patient, feature, patients, features)
    found.data[:] = 1.0
    return found


def code_counts(e: Events, h: Histories) -> Any:
    """Return patients by codes."""
    return counts(e.patient, e.code, e.patients, len(h.codes))


def classes(h: Histories, top: int = TOP) -> Ints:
    """Return the class of every code: the commonest real ones by themselves, the rest together (class ``top``)."""
    to = np.full(len(h.codes), top, np.int64)
    to[h.frequent[:top]] = np.arange(min(top, len(h.frequent)))
    return to


def visit_presence(e: Events, to: Ints, width: int) -> Any:
    """Return visits by classes of codes, 0 or 1."""
    dated = e.visit >= 0
    return presence(e.visit[dated], to[e.code[dated]], len(e.visits[0]), width)


def transitions(e: Events, h: Histories, top: int = TOP) -> Any:
    """Return patients by transitions: class a in a visit and class b in the next visit of the patient (all pairs)."""
    to, width = classes(h, top), top + 1
    seen = visit_presence(e, to, width)
    who, _ = e.visits
    follows = np.flatnonzero(who[1:] == who[:-1])
    before, after = seen[follows], seen[follows + 1]
    return _products(before, after, who[follows], e.patients, width)


def cooccurrences(e: Events, h: Histories, top: int = TOP) -> Any:
    """Return patients by pairs of different classes that share a visit, 0 or 1."""
    to, width = classes(h, top), top + 1
    seen = visit_presence(e, to, width)
    found = _products(seen, seen, e.visits[0], e.patients, width).tocoo()
    a, b = found.col // width, found.col % width
    keep = a < b
    return presence(found.row[keep].astype(np.int64), found.col[keep].astype(np.int64), e.patients, width * width)


def _products(before: Any, after: Any, who: Ints, patients: int, width: int) -> Any:
    """Return patients by (a, b): how often a stands in a row of ``before`` and b in the same row of ``after``."""
    a, b = before.tocsr(), after.tocsr()
    na, nb = np.diff(a.indptr), np.diff(b.indptr)
    rows = np.repeat(np.arange(a.shape[0]), na * nb)
    first = np.repeat(a.indices, np.repeat(nb, na))
    starts = np.repeat(np.repeat(b.indptr[:-1], na), np.repeat(nb, na))
    within = np.arange(len(rows)) - np.repeat(np.cumsum(np.repeat(nb, na)) - np.repeat(nb, na), np.repeat(nb, na))
    second = b.indices[starts + within]
    return counts(np.asarray(who)[rows], first.astype(np.int64) * width + second, patients, width * width)


def first_transitions(e: Events, codes: int) -> tuple[Any, Any]:
    """Return patients by (first code of a visit, of the next), and patients by first code of all."""
    dated = e.visit >= 0
    _, at = np.unique(e.visit[dated], return_index=True)
    code, who = e.code[dated][at], e.visits[0]
    follows = np.flatnonzero(who[1:] == who[:-1])
    start = e.rank == 0
    moves = counts(who[follows], code[follows] * codes + code[follows + 1], e.patients, codes * codes)
    return moves, counts(who[start], code[start], e.patients, codes)


def profile_distance(made: Any, real: Any, *, level: float, seed: int, what: str) -> tuple[Estimate, float | None]:
    """Return the total variation of two pooled profiles, with patients as units, and the permutation p-value.

    Formula: ½ Σ |p - q|, p and q the shares of all counts. The interval is the delta method's for the set of features
    that
    are commoner in the synthetic table, a ratio of sums over patients. The null permutes whole patients; its upper tail
    is a gamma distribution of the same moments.
    """
    n, m = made.shape[0], real.shape[0]
    method = f"total variation of {what}, patients as units"
    a, b = np.asarray(made.sum(0)).ravel(), np.asarray(real.sum(0)).ravel()
    if min(n, m) < FEW or not a.sum() or not b.sum():
        why = f"{n} synthetic and {m} real patients" if min(n, m) < FEW else f"a table has no {what}"
        return Estimate.insufficient(why, n=n + m, unit="1", method=method, level=level, n_clusters=n + m), None
    p, q = a / a.sum(), b / b.sum()
    value = 0.5 * float(np.abs(p - q).sum())
    inside = (p > q).astype(np.float64)
    variance = 0.0
    for matrix, shares in ((made, p), (real, q)):
        size = np.asarray(matrix.sum(1)).ravel()
        off = (matrix @ inside - size * float(shares @ inside)) / size.mean()
        variance += float(off.var(ddof=1)) / len(size)
    half = float(stats.norm.isf((1 - level) / 2)) * math.sqrt(variance)
    estimate = Estimate(
        value=value,
        lower=max(0.0, value - half),
        upper=min(1.0, value + half),
        method=method,
        n=int(a.sum() + b.sum()),
        unit="1",
        level=level,
        n_clusters=n + m,
    )
    used = np.flatnonzero(a + b)
    both = sparse.vstack([made, real]).tocsc()[:, used].tocsr()
    total = (a + b)[used]
    rng = np.random.default_rng(seed)
    null = np.empty(PERMUTATIONS)
    for k in range(0, PERMUTATIONS, 50):
        labels = np.zeros((min(50, PERMUTATIONS - k), n + m))
        for row in labels:
            row[rng.permutation(n + m)[:n]] = 1.0
        drawn = np.asarray((both.T @ labels.T).T)
        rest = total - drawn
        with np.errstate(all="ignore"):
            gaps = drawn / drawn.sum(1, keepdims=True) - rest / rest.sum(1, keepdims=True)
        null[k : k + len(labels)] = 0.5 * np.abs(np.nan_to_num(gaps)).sum(1)
    return estimate, moment_tail(value, null)


def mean_distance(made: Any, real: Any, *, level: float, seed: int, what: str) -> tuple[Estimate, float | None, int]:
    """Return the feature whose mean over patients differs most in standard errors: difference, p-value, feature.

    The p-value is that of the largest |t| over all features under permutation of patients (so for all of them
    together).
    """
    n, m = made.shape[0], real.shape[0]
    method = f"difference of means of {what}, largest |t|, patients as units"
    if min(n, m) < FEW:
        why = f"{n} synthetic and {m} real patients"
        return Estimate.insufficient(why, n=n + m, unit="1", method=method, level=level, n_clusters=n + m), None, -1
    both = sparse.vstack([made, real]).tocsc()
    every = n + m
    sums, squares = np.asarray(both.sum(0)).ravel(), np.asarray(both.multiply(both).sum(0)).ravel()
    spread = squares / every - (sums / every) ** 2
    held = np.diff(both.indptr)
    used = np.flatnonzero((spread > 1e-12) & (held >= 5))
    if not len(used):
        return Estimate.insufficient(f"no {what} varies", n=every, unit="1", method=method, level=level), None, -1
    both, sums, spread = both[:, used].tocsr(), sums[used], spread[used]
    scale = np.sqrt(spread * (1 / n + 1 / m))

    def largest(labels: Any) -> Any:
        drawn = np.asarray((both.T @ labels.T).T)
        return (drawn / n - (sums - drawn) / m) / scale

    first = np.zeros((1, every))
    first[0, :n] = 1
    t = largest(first)[0]
    at = int(np.argmax(np.abs(t)))
    rng = np.random.default_rng(seed)
    null = np.empty(PERMUTATIONS)
    for k in range(0, PERMUTATIONS, 50):
        labels = np.zeros((min(50, PERMUTATIONS - k), every))
        for row in labels:
            row[rng.permutation(every)[:n]] = 1.0
        null[k : k + len(labels)] = np.abs(largest(labels)).max(1)
    x, y = (np.asarray(z[:, used[at]].todense()).ravel() for z in (made.tocsc(), real.tocsc()))
    gap = float(x.mean() - y.mean())
    error = math.sqrt(float(x.var(ddof=1)) / n + float(y.var(ddof=1)) / m)
    half = float(stats.norm.isf((1 - level) / 2 / len(used))) * error
    estimate = Estimate(
        value=gap,
        lower=gap - half,
        upper=gap + half,
        method=method + f" of {len(used)} features",
        n=every,
        unit="1",
        level=level,
        n_clusters=every,
    )
    return estimate, moment_tail(float(np.abs(t[at])), null), int(used[at])
