"""Exact nearest neighbours of mixed records by Gower's distance, without a distance matrix.

Gower's distance is the mean over columns of |difference| / range for numbers and 0 or 1 for categories. The range is
that of training and holdout records together, so distances to two references are comparable and no
synthetic outlier can shrink them; a difference counts at most 1. A missing cell differs from a present one
by 1 and from another missing one by 0.

The search is exact and memory is that of the tables. Reference records lie in blocks, one byte per cell, column after
column. For a query the bytes give a lower bound of the distance to every record of a block at a few processor
instructions per record; only records whose bound does not pass the second-best distance are measured exactly. Records
are
sorted by a key that cannot differ by more than the distance does, blocks are visited outwards from the query's key, and
blocks whose keys are too far are not visited.

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

from validation.metrics.reuse import reused
from validation.metrics.tabular.encoding import Floats, Part, Tables

_CHUNK = 64
_BLOCK = 256
_MISSING = 9.0  # far outside 0..1, so that a capped difference is 1, and 0 from another missing cell
TIE = 1e-9  # distances closer than this are ties: sums of the same terms in another order


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Per query: distances to the nearest and second nearest record (inf where none), and its row."""

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
        known = np.where(np.isnan(x), 0.0, np.clip(x, 0, 1))
        key = known @ self.signs
        for k, mark in enumerate(self.marks):
            key += mark[part.codes[:, k]]
        scaled = np.where(np.isnan(x), _MISSING, np.clip(x, -4, 5))[:, self.numeric_order]
        return np.ascontiguousarray(part.codes[:, self.categorical_order]), np.ascontiguousarray(scaled), key


@reused
def space(tables: Tables) -> Space:
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


@reused
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
    Exact to floating point; time grows with the product of the sizes, memory with their sum. Of records at equal
    distance the first in the reference table is named.
    """
    codes, numbers, keys = geometry.points(queries)
    ref_codes, ref_numbers, ref_keys = geometry.points(references)
    order = np.argsort(ref_keys, kind="stable")
    columns = codes.shape[1] + numbers.shape[1]
    step = max(1, min(255, 65_535 // columns))  # of the byte scale: a sum over columns must fit 16 bits
    cells = _blocks(_bytes(ref_codes[order], ref_numbers[order], step))
    reference = cells, ref_codes[order], ref_numbers[order], ref_keys[order], order.astype(np.int64)
    own = np.arange(queries.n, dtype=np.int64) if itself else np.full(queries.n, -1, np.int64)
    first, second = np.full(queries.n, np.inf), np.full(queries.n, np.inf)
    index = np.full(queries.n, -1, np.int64)
    asked = _bytes(codes, numbers, step)
    # queries with like keys share the blocks that are visited, which then stay in the cache
    walk = np.argsort(keys, kind="stable").astype(np.int64)
    search = _search()

    def run(start: int) -> None:
        rows = walk[start : start + _CHUNK]
        search(rows, asked, codes, numbers, keys, own, step, *reference, first, second, index)

    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(run, range(0, queries.n, _CHUNK)))
    # sums of the same terms in another order are the same distance
    return Neighbours(np.round(first / columns, 12), np.round(second / columns, 12), index)


def _bytes(codes: npt.NDArray[np.int32], numbers: Floats, step: int) -> npt.NDArray[np.uint8]:
    """Return records as bytes (n, columns): codes modulo 256 and rounded scaled numbers.

    A missing number is written 0, whose difference from a number is at most the 1 that it counts.
    """
    scaled = np.rint(np.where(numbers == _MISSING, 0.0, np.clip(numbers, 0, 1)) * step)
    return np.concatenate([(codes % 256).astype(np.uint8), np.clip(scaled, 0, 255).astype(np.uint8)], axis=1)


def _blocks(cells: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return bytes as (blocks, columns, records of a block); the last block is filled with copies."""
    n, columns = cells.shape
    filled = np.concatenate([cells, np.repeat(cells[-1:], -n % _BLOCK, axis=0)])
    return np.ascontiguousarray(filled.reshape(-1, _BLOCK, columns).transpose(0, 2, 1))


def threads() -> int:
    """Return how many threads a search may use: $OMP_NUM_THREADS, else the processors of this process."""
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdigit() and int(named) > 0 else len(os.sched_getaffinity(0))


@cache
def _search() -> Callable[..., None]:
    """Compile the search (once per process; the machine code is kept on disk where that can be written)."""
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(_walk)
    except RuntimeError:  # no place to keep compiled code (a read-only installation)
        return numba.njit(nogil=True)(_walk)


def _walk(
    rows: Any,
    asked: Any,
    codes: Any,
    numbers: Any,
    keys: Any,
    own: Any,
    step: int,
    cells: Any,
    ref_codes: Any,
    ref_numbers: Any,
    ref_keys: Any,
    ref_rows: Any,
    first: Any,
    second: Any,
    index: Any,
) -> None:
    n, q, p = ref_keys.shape[0], codes.shape[1], numbers.shape[1]
    blocks = cells.shape[0]
    bound = np.empty(_BLOCK, np.uint16)
    # first, second: running sums over columns; the caller divides
    middle = min(blocks - 1, np.searchsorted(ref_keys, keys[rows[len(rows) // 2]]) // _BLOCK)
    for turn in range(2 * blocks):
        # 0, +1, -1, +2, -2 ... blocks away from the middle of these queries
        at = middle + (turn + 1) // 2 if turn % 2 else middle - turn // 2
        if at < 0 or at >= blocks:
            continue
        start = at * _BLOCK
        stop = min(n, start + _BLOCK)
        low, high = ref_keys[start], ref_keys[stop - 1]
        block = cells[at]
        for a in range(rows.shape[0]):
            i = rows[a]
            gap = max(low - keys[i], keys[i] - high)
            if gap > second[i] + 1e-9:
                continue
            # rounding to bytes may lengthen each numeric difference by one step
            limit = np.uint16(min(65_535.0, second[i] * step + p + 1e-6))
            for r in range(_BLOCK):
                bound[r] = 0
            for k in range(q):
                mine, column = asked[i, k], block[k]
                for r in range(_BLOCK):
                    bound[r] += np.uint16(step) if column[r] != mine else np.uint16(0)
            if p > 0:
                smallest = np.uint16(65_535)
                for r in range(_BLOCK):
                    smallest = min(smallest, bound[r])
                if smallest > limit:
                    continue
            for k in range(q, q + p):
                mine, column = asked[i, k], block[k]
                for r in range(_BLOCK):
                    other = column[r]
                    bound[r] += np.uint16(max(other, mine) - min(other, mine))
            for r in range(stop - start):
                if bound[r] > limit:
                    continue
                j = start + r
                if ref_rows[j] == own[i]:
                    continue
                total = 0.0
                for k in range(q):
                    total += codes[i, k] != ref_codes[j, k]
                for k in range(p):
                    total += min(1.0, abs(numbers[i, k] - ref_numbers[j, k]))
                if total < first[i] or (total == first[i] and ref_rows[j] < index[i]):
                    second[i] = first[i]
                    first[i] = total
                    index[i] = ref_rows[j]
                elif total < second[i]:
                    second[i] = total
                else:
                    continue
                limit = np.uint16(min(65_535.0, second[i] * step + p + 1e-6))
