"""Two pooled cohorts with patients as units, and the reassignments of patients that a permutation test tries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.statistics.clusters import group

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.intp]

_BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class Groups:
    """Cases of a baseline and a new cohort, pooled.

    ``new`` (N,) tells the cohort of a case, ``units`` (N,) its patient, numbered from 0, ``strata`` (U,) the stratum of
    a patient, within which cohorts are compared, and ``exchange`` (U,) the set within which patients are exchanged (the
    stratum, or a finer one). ``first`` (U,) is True for patients of the new cohort; ``shared`` (U,) for patients with
    cases in both, whose two sets of cases are exchanged as a pair.
    """

    new: Flags
    units: Codes
    strata: Codes
    shared: Flags
    first: Flags
    exchange: Codes

    @property
    def count(self) -> int:
        """Number of units U."""
        return len(self.strata)

    @property
    def single(self) -> bool:
        """Whether every unit holds one case."""
        return self.count == len(self.units)

    def patients(self, *, new: bool) -> int:
        """Return the number of patients with cases in a cohort."""
        return len(np.unique(self.units[self.new == new]))

    def subset(self, keep: Flags) -> Groups:
        """Return the groups of some cases, units without a case left out."""
        kept, units = np.unique(self.units[keep], return_inverse=True)
        new = self.new[keep]
        return make(new, units, self.strata[kept], self.exchange[kept])

    def assignments(self, replicates: int, seed: int) -> Iterator[Flags]:
        """Yield blocks (b, N) of reassigned membership: patients are exchanged within strata, shared ones flipped.

        All reassignments form a group that leaves the null distribution unchanged if, within a stratum, patients of the
        two cohorts are exchangeable; with 1 added for the observed one the p-value is exact at any sample size.
        """
        rng = np.random.Generator(np.random.Philox(seed))
        rows = max(1, _BLOCK // len(self.units))
        movable = [np.flatnonzero((self.exchange == s) & ~self.shared) for s in np.unique(self.exchange)]
        both = np.flatnonzero(self.shared)
        for start in range(0, replicates, rows):
            b = min(rows, replicates - start)
            of_unit = np.broadcast_to(self.first, (b, self.count)).copy()
            for members in movable:
                of_unit[:, members] = rng.permuted(of_unit[:, members], axis=1)
            if not len(both):
                yield of_unit[:, self.units]
                continue
            flips = np.zeros((b, self.count), dtype=bool)
            flips[:, both] = rng.integers(0, 2, size=(b, len(both)), dtype=np.int8).astype(bool)
            yield np.where(self.shared[self.units], self.new ^ flips[:, self.units], of_unit[:, self.units])

    def smallest_p(self, replicates: int) -> float:
        """Return the smallest p-value these patients can give: few patients have few reassignments.

        Where all strata are balanced, exchanging the cohorts as a whole gives the same distance, so the best is 2 in
        all ways.
        """
        from math import comb

        ways, balanced = 2 ** int(self.shared.sum()), True
        for s in np.unique(self.exchange):
            members = (self.exchange == s) & ~self.shared
            n, new = int(members.sum()), int(self.first[members].sum())
            ways *= comb(n, new) if n <= 500 else 10**18
            balanced &= n == 2 * new
        return float(max((2 if balanced else 1) / min(ways, 10**18), 1 / (1 + replicates)))


def make(new: Flags, units: Codes, strata: Codes, exchange: Codes | None = None) -> Groups:
    """Return groups from membership of cases, units of cases, and strata and exchange sets of units."""
    count = len(strata)
    in_new = np.bincount(units, weights=new, minlength=count)
    size = np.bincount(units, minlength=count)
    shared = (in_new > 0) & (in_new < size)
    return Groups(
        new=new, units=units, strata=strata, shared=shared, first=in_new == size,
        exchange=strata if exchange is None else exchange,
    )  # fmt: skip


def pool(
    n_baseline: int, n_new: int, clusters_baseline: Any = None, clusters_new: Any = None, strata: Codes | None = None
) -> Groups:
    """Pool two cohorts; the same patient id in both means the same patient.

    ``strata`` (N,) holds the stratum of each case, baseline first; all cases of a patient must be in one.

    >>> g = pool(2, 3, ["a", "b"], ["b", "c", "c"])
    >>> g.count, g.shared.tolist()
    (3, [False, True, False])
    """
    n = n_baseline + n_new
    ids = None
    if clusters_baseline is not None and clusters_new is not None:
        ids = [*np.asarray(clusters_baseline).tolist(), *np.asarray(clusters_new).tolist()]
    codes = group(ids, n).codes
    count = int(codes.max(initial=-1)) + 1
    of_unit = np.zeros(count, dtype=np.intp)
    if strata is not None:
        of_unit[codes] = strata
    return make(np.arange(n) >= n_baseline, codes, of_unit)


def weights(groups: Groups, members: Flags) -> Floats:
    r"""Return signed case weights (b, N): a weighted sum is the difference of the cohorts, new minus baseline.

    Without strata they are 1/n in the new cohort and -1/m in the baseline. With strata,

    .. math:: \Delta = \sum_s \omega_s (\bar x_{new,s} - \bar x_{base,s}),\qquad
              \omega_s \propto \frac{n_s m_s}{n_s + m_s}

    so that both cohorts are compared within strata; strata with cases of one cohort only have no weight.
    """
    member = members.astype(np.float64)
    of_case = groups.strata[groups.units]
    present = np.unique(of_case)
    if len(present) == 1:
        n = member.sum(axis=1, keepdims=True)
        m = member.shape[1] - n
        return np.asarray(member / np.maximum(n, 1) - (1 - member) / np.maximum(m, 1))
    result = np.zeros_like(member)
    total = np.zeros((len(member), 1))
    for s in present:
        inside = np.flatnonzero(of_case == s)
        part = member[:, inside]
        n = part.sum(axis=1, keepdims=True)
        m = len(inside) - n
        share = n * m / len(inside)
        result[:, inside] = share * (part / np.maximum(n, 1) - (1 - part) / np.maximum(m, 1))
        total += share
    return np.asarray(result / np.maximum(total, 1e-300))


def bundle(groups: Groups, maximum: int, seed: int) -> Groups:
    """Tie patients of a cohort and stratum into bundles of equal number, so that at most about ``maximum`` units move.

    Patients left over are units of their own, exchanged among themselves. Exchanging whole bundles is a subgroup of
    exchanging patients, so the test stays exact; with hundreds of bundles the loss of power is negligible.

    References
    ----------
    Domingo-Enrich, Dwivedi and Mackey 2025, Cheap permutation testing, arXiv:2502.07672.
    """
    if groups.count <= maximum:
        return groups
    k = -(-groups.count // maximum)
    rng = np.random.Generator(np.random.Philox(seed))
    unit_of = np.empty(groups.count, dtype=np.intp)
    strata: list[int] = []
    exchange: list[int] = []
    for s in np.unique(groups.strata):
        for kind in (groups.first & ~groups.shared, ~groups.first & ~groups.shared, groups.shared):
            members = rng.permutation(np.flatnonzero((groups.strata == s) & kind))
            full = len(members) // k * k
            bundles = np.arange(full) // k
            unit_of[members[:full]] = len(strata) + bundles
            rest = len(members) - full
            unit_of[members[full:]] = len(strata) + full // k + np.arange(rest)
            strata += [int(s)] * (full // k + rest)
            exchange += [2 * int(s)] * (full // k) + [2 * int(s) + 1] * rest
    return make(groups.new, unit_of[groups.units], np.array(strata, dtype=np.intp), np.array(exchange, dtype=np.intp))
