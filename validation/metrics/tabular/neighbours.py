"""Exact nearest neighbours of mixed records by Gower's distance, without a distance matrix.

Gower's distance is the mean over columns of |difference| / range for numbers and 0 or 1 for categories. The range is
that of all tables together, so distances to two references are comparable. A missing cell differs from a present one
by 1 and from another missing one by 0.

The search is exact. Reference records are sorted by a key that cannot differ by more than the distance does (a signed
sum of scaled columns), each query starts at its own key and walks outwards, a candidate is left as soon as its partial
sum passes the second-best distance, and the walk ends where the key alone does. Memory is that of the tables.

Reference: Gower 1971, doi:10.2307/2528823.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from validation.metrics.tabular.encoding import Floats, Part, Tables

_CHUNK = 512
_MISSING = 9.0  # far outside 0..1, so that a capped difference is 1, and 0 from another missing cell
TIE = 1e-9  # distances closer than this are ties: sums of the same terms in another order


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Per query: distances to the nearest and second nearest reference record (inf where there is none), and its row."""

    first: Floats
    second: Floats
    index: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Space:
    """How records become points: columns in the order of their power to tell records apart, and the key."""

    low: Floats
    span: Floats
    numeric_order: npt.NDArray[np.intp]
    categorical_order: npt.NDArray[np.intp]
    signs: Floats
    marks: tuple[npt.NDArray[np.float64], ...]

    def points(self, part: Part) -> tuple[npt.NDArray[np.int32], Floats, Floats]:
        """Return category codes (n, q), scaled numbers (n, p) and keys (n,)."""
        x = (part.numbers - self.low) / self.span
        known = np.where(np.isnan(x), 0.0, x)
        key = known @ self.signs
        for k, mark in enumerate(self.marks):
            key += mark[part.codes[:, k]]
        scaled = np.where(np.isnan(x), _MISSING, x)[:, self.numeric_order]
        return np.ascontiguousarray(part.codes[:, self.categorical_order]), np.ascontiguousarray(scaled), key


def space(tables: Tables, columns: tuple[str, ...] | None = None) -> Space:
    """Return the geometry of the tables: one scaling for all of them, columns ordered so that candidates fail early."""
    low, span = tables.span
    part = tables.train
    sample = part.take(np.arange(0, part.n, max(1, part.n // 4000)))
    x = np.nan_to_num((sample.numbers - low) / span)
    spread = np.abs(x - x[::-1]).mean(axis=0) if x.size else np.zeros(x.shape[1])
    mixed = np.array([1 - ((np.bincount(c) / len(c)) ** 2).sum() for c in sample.codes.T]) if len(x) else np.zeros(0)
    # marks: each category becomes 0 or 1, the commonest half against the rest, so that the key spreads
    marks = []
    for k, names in enumerate(tables.levels):
        share = np.bincount(sample.codes[:, k], minlength=len(names)) / max(1, sample.n)
        order = np.argsort(-share, kind="stable")
        mark = np.zeros(len(names))
        mark[order[np.cumsum(share[order]) > 0.5]] = 1.0
        marks.append(mark)
    everything = np.column_stack([x, *(m[sample.codes[:, k]] for k, m in enumerate(marks))])
    signs = np.ones(everything.shape[1])
    if len(everything) > 2:
        covariance = np.atleast_2d(np.cov(everything, rowvar=False))
        signs = np.where(np.linalg.eigh(covariance)[1][:, -1] >= 0, 1.0, -1.0)
    p = x.shape[1]
    return Space(
        low,
        span,
        np.argsort(-spread, kind="stable"),
        np.argsort(-mixed, kind="stable") if len(mixed) else np.zeros(0, np.intp),
        signs[:p],
        tuple(m * s for m, s in zip(marks, signs[p:], strict=True)),
    )


def nearest(geometry: Space, queries: Part, references: Part, *, itself: bool = False) -> Neighbours:
    """Return the two nearest reference records of every query.

    Parameters
    ----------
    geometry
        From :func:`space`, the same for every search that is to be compared.
    queries, references
        Encoded records.
    itself
        Whether queries and references are the same table; then a record is not its own neighbour.

    Notes
    -----
    Exact to floating point; time grows with the product of the sizes, memory with their sum.
    """
    codes, numbers, keys = geometry.points(queries)
    ref_codes, ref_numbers, ref_keys = geometry.points(references)
    order = np.argsort(ref_keys, kind="stable")
    search, columns = _search(), codes.shape[1] + numbers.shape[1]
    reference = ref_codes[order], ref_numbers[order], ref_keys[order], order.astype(np.int64)
    own = np.arange(queries.n, dtype=np.int64) if itself else np.full(queries.n, -1, np.int64)
    first, second = np.empty(queries.n), np.empty(queries.n)
    index = np.empty(queries.n, np.int64)
    # neighbouring queries walk over the same reference records, which then stay in the cache
    walk = np.argsort(keys, kind="stable").astype(np.int64)

    def run(start: int) -> None:
        rows = walk[start : start + _CHUNK]
        search(rows, codes, numbers, keys, own, *reference, first, second, index)

    starts = range(0, queries.n, _CHUNK)
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(run, starts))
    return Neighbours(first / columns, second / columns, index)


def threads() -> int:
    """Return how many threads a search may use: $OMP_NUM_THREADS, else the processors of this process."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdigit() and int(named) > 0 else len(os.sched_getaffinity(0))


@cache
def _search() -> Callable[..., None]:
    """Compile the search (once per process; the machine code is kept on disk where that can be written)."""
    import numba

    def search(  # noqa: PLR0913
        rows: Any, codes: Any, numbers: Any, keys: Any, own: Any,
        ref_codes: Any, ref_numbers: Any, ref_keys: Any, ref_rows: Any, first: Any, second: Any, index: Any,
    ) -> None:  # fmt: skip
        n, q, p = ref_keys.shape[0], codes.shape[1], numbers.shape[1]
        for a in range(rows.shape[0]):
            i = rows[a]
            best, runner, at = np.inf, np.inf, -1
            key, me = keys[i], own[i]
            up = np.searchsorted(ref_keys, key)
            down = up - 1
            while True:
                gap_up = ref_keys[up] - key if up < n else np.inf
                gap_down = key - ref_keys[down] if down >= 0 else np.inf
                if min(gap_up, gap_down) > runner + 1e-9 or (gap_up == np.inf and gap_down == np.inf):
                    break
                if gap_up <= gap_down:
                    j = up
                    up += 1
                else:
                    j = down
                    down -= 1
                if ref_rows[j] == me:
                    continue
                total = 0.0
                k = 0
                while k < q and total <= runner:
                    stop = min(k + 8, q)
                    differ = 0
                    while k < stop:
                        differ += codes[i, k] != ref_codes[j, k]
                        k += 1
                    total += differ
                k = 0
                while k < p and total <= runner:
                    stop = min(k + 4, p)
                    while k < stop:
                        total += min(1.0, abs(numbers[i, k] - ref_numbers[j, k]))
                        k += 1
                if total < best or (total == best and ref_rows[j] < at):
                    runner = best
                    best = total
                    at = ref_rows[j]
                elif total < runner:
                    runner = total
            first[i], second[i], index[i] = best, runner, at

    try:
        return numba.njit(nogil=True, cache=True)(search)  # type: ignore[no-any-return]
    except RuntimeError:  # no place to keep compiled code (a read-only installation)
        return numba.njit(nogil=True)(search)  # type: ignore[no-any-return]
