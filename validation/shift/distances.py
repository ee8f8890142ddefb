"""Distances between the distributions of one variable in two cohorts, for many reassignments at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from scipy import stats

from validation.estimate import Estimate
from validation.shift.groups import Codes, Flags, Floats, Groups, weights
from validation.shift.influence import Influence, Noise, influence, lower_limit, multiplier_norms, norm_upper, quantile

_GRID = 200
_DUST = 1e-12  # a distance that is only rounding


class Distance(ABC):
    """A statistic of one variable: its value under reassignments of patients, and the effect with its limits.

    ``statistic`` is what the permutation test orders by; ``effect`` is the size that is reported, in ``unit``.
    """

    label: str
    unit: str = "1"
    signed = False
    largest: float | None = None  # what the effect can be at most

    def __init__(self, groups: Groups, *, seed: int) -> None:
        self.groups, self.seed = groups, seed
        observed = self.evaluate(groups.new[None, :])
        self.observed, self.value = float(observed[0][0]), float(observed[1][0])
        if abs(self.value) < _DUST and self.largest is not None:
            self.value = 0.0

    @abstractmethod
    def evaluate(self, members: Flags) -> tuple[Floats, Floats]:
        """Return statistic and effect (b,), (b,) for memberships (b, N)."""

    @abstractmethod
    def limits(self, level: float) -> tuple[float | None, float | None]:
        """Return the two-sided limits of the effect at a level."""

    @property
    @abstractmethod
    def standard_error(self) -> float:
        """Largest standard error over the directions in which the cohorts may differ."""

    def estimate(self, level: float, unit: str | None = None) -> Estimate:
        """Return the effect with its limits."""
        lower, upper = self.limits(level)
        g = self.groups
        reason = ""
        if lower is None:
            reason = "all values are equal, or every patient has the same in both cohorts, so their spread is not known"
        return Estimate(
            value=self.value, lower=lower, upper=upper, method=self.label, n=len(g.new), unit=unit or self.unit,
            level=level, n_clusters=g.count, reason=reason,
        )  # fmt: skip


class _Ordered(Distance):
    """Distances between distribution functions of a number; D is known at the distinct values."""

    def __init__(self, x: Floats, groups: Groups, *, seed: int) -> None:
        self.order = np.argsort(x, kind="stable")
        ordered = x[self.order]
        self.ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
        self.points = ordered[self.ends]
        self.mass = np.diff(np.r_[0, self.ends + 1]) / len(x)
        self.x = x
        k = len(self.points)
        self.grid = np.arange(k) if k <= _GRID else np.unique(np.linspace(0, k - 1, _GRID).round().astype(int))
        self._found: Influence | None = None
        self._norms: Floats | None = None
        super().__init__(groups, seed=seed)

    def process(self, members: Flags) -> Floats:
        """Return D (b, K): distribution function of the new cohort minus that of the baseline."""
        signed = weights(self.groups, members)[:, self.order]
        return np.asarray(np.cumsum(signed, axis=1)[:, self.ends])

    def found(self) -> Influence:
        """Return the influence of patients on D at the points of the grid."""
        if self._found is None:
            below = (self.x[:, None] <= self.points[self.grid]).astype(np.float64)
            self._found = influence(self.groups, below)
        return self._found

    def limits(self, level: float) -> tuple[float | None, float | None]:
        """See base class; none when all values are equal."""
        if len(self.points) < 2 or self.standard_error <= 0:
            return None, None
        if self._norms is None:
            self._norms = multiplier_norms(self.found(), self.norm, seed=self.seed)
        lower = lower_limit(self.value, self._norms, self.found().df, level)
        return min(lower, self.value), max(self.upper(level), self.value)

    def upper(self, level: float) -> float:
        """Return the upper limit: value plus quantile times the largest standard error."""
        return self.value + quantile(self.found().df, level) * self.standard_error

    @abstractmethod
    def norm(self, process: Floats) -> Floats:
        """Return the norm (b,) of D on the grid (b, k)."""

    def grid_mass(self, exact: Floats) -> Floats:
        """Return weights of the grid points that add up to those of all points."""
        if len(self.grid) == len(exact):
            return exact
        edges = np.r_[0, self.grid[:-1] + 1]
        return np.asarray(np.add.reduceat(exact, edges))

    def spacing(self) -> Floats:
        """Return the length from each distinct value to the next (0 after the last)."""
        return np.asarray(np.r_[np.diff(self.points), 0.0])


class KolmogorovSmirnov(_Ordered):
    """Largest difference of the distribution functions."""

    label = "largest difference of distribution functions (Kolmogorov-Smirnov); pointwise Newcombe bound"
    largest = 1.0

    def evaluate(self, members: Flags) -> tuple[Floats, Floats]:
        """See base class."""
        largest = np.abs(self.process(members)).max(axis=1)
        return largest, largest

    def norm(self, process: Floats) -> Floats:
        """See base class."""
        return np.asarray(np.abs(process).max(axis=1))

    @property
    def standard_error(self) -> float:
        """See base class."""
        return float(np.sqrt((self.found().rows ** 2).sum(axis=0).max(initial=0.0)))

    def upper(self, level: float) -> float:
        """Return the largest pointwise upper limit, by Newcombe's method at the effective numbers of cases."""
        signed = weights(self.groups, self.groups.new[None, :])[0]
        z = float(stats.norm.isf((1 - level) / 2))
        below = self.x[:, None] <= self.points[self.grid]
        shrink = (z / quantile(self.found().df, level)) ** 2
        parts = []
        for new in (True, False):
            inside = self.groups.new == new
            w = np.abs(signed[inside])
            p = np.clip((w / w.sum()) @ below[inside], 0.0, 1.0)
            parts.append((p, *_wilson(p, self._effective(new, p) * shrink, z)))
        (p, low, high), (q, low_q, high_q) = parts
        up = p - q + np.hypot(high - p, q - low_q)
        down = q - p + np.hypot(high_q - q, p - low)
        inner = np.ones(len(p), dtype=bool)
        inner[-1] = len(p) == 1  # at the largest value both functions are 1 by definition
        return float(np.minimum(1.0, np.maximum(up, down))[inner].max())

    def _effective(self, new: bool, p: Floats) -> Floats:
        """Return the effective number of cases at each grid point: Kish's for weights, less for clustered patients."""
        inside = self.groups.new == new
        w = np.abs(weights(self.groups, self.groups.new[None, :])[0][inside])
        w = w / w.sum()
        independent = 1 / float((w**2).sum())
        together = 1 / float((np.bincount(self.groups.units[inside], weights=w) ** 2).sum())
        if together >= independent * (1 - 1e-9):
            return np.full(len(p), independent)
        sums = np.zeros((self.groups.count, len(p)))
        np.add.at(
            sums, self.groups.units[inside], w[:, None] * ((self.x[inside][:, None] <= self.points[self.grid]) - p)
        )
        variance = (sums**2).sum(axis=0)
        binomial = p * (1 - p)
        with np.errstate(divide="ignore", invalid="ignore"):
            effective = np.where((binomial > 0) & (variance > 0), binomial / variance, together)
        return np.asarray(np.clip(effective, min(together, independent), independent))


class _Squared(_Ordered):
    """Distances that are norms of a Hilbert space, for which the upper limit is closer."""

    _noise: Noise | None = None

    @abstractmethod
    def scaled(self) -> Floats:
        """Return the influences (U, k), scaled so that their plain norm is that of the distance."""

    @property
    def noise(self) -> Noise:
        """Return the covariance of the estimated difference, in three numbers."""
        if self._noise is None:
            rows = self.scaled()
            gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
            self._noise = Noise.of(gram, _largest_root(rows) ** 2, self.found().df)
        return self._noise

    @property
    def standard_error(self) -> float:
        """See base class."""
        return math.sqrt(self.noise.top)

    def upper(self, level: float) -> float:
        """Return the upper limit of a Hilbert norm."""
        return norm_upper(self.value**2, self.noise, level)


class CramerVonMises(_Squared):
    """Root mean squared difference of the distribution functions over the pooled cases."""

    label = "root mean squared difference of distribution functions (Cramer-von Mises)"
    largest = 1.0

    def evaluate(self, members: Flags) -> tuple[Floats, Floats]:
        """Return Anderson's T = nm/(n+m) times the mean squared difference, and its root mean square."""
        squared = (self.process(members) ** 2) @ self.mass
        n = members.sum(axis=1)
        total = members.shape[1]
        return n * (total - n) / total * squared, np.sqrt(squared)

    def norm(self, process: Floats) -> Floats:
        """See base class."""
        return np.sqrt((process**2) @ self.grid_mass(self.mass))

    def scaled(self) -> Floats:
        """See base class."""
        return np.asarray(self.found().rows * np.sqrt(self.grid_mass(self.mass)))


class Wasserstein(_Ordered):
    """Area between the distribution functions: the mean distance that cases would have to move."""

    label = "Wasserstein-1 distance"

    def evaluate(self, members: Flags) -> tuple[Floats, Floats]:
        """See base class."""
        area = np.abs(self.process(members)) @ self.spacing()
        return area, area

    def norm(self, process: Floats) -> Floats:
        """See base class."""
        return np.asarray(np.abs(process) @ self.grid_mass(self.spacing()))

    @property
    def standard_error(self) -> float:
        """See base class: directions are functions of slope at most 1."""
        step = self.grid_mass(self.spacing())
        return float(np.sqrt(step @ np.abs(self.found().covariance) @ step))


class Energy(_Squared):
    """Energy distance: root of twice the integrated squared difference of the distribution functions."""

    label = "energy distance"

    def evaluate(self, members: Flags) -> tuple[Floats, Floats]:
        """See base class."""
        distance = np.sqrt(2 * ((self.process(members) ** 2) @ self.spacing()))
        return distance, distance

    def norm(self, process: Floats) -> Floats:
        """See base class."""
        return np.sqrt(2 * ((process**2) @ self.grid_mass(self.spacing())))

    def scaled(self) -> Floats:
        """See base class."""
        return np.asarray(self.found().rows * np.sqrt(2 * self.grid_mass(self.spacing())))


class StandardisedDifference(Distance):
    """Difference of means over the root of the mean of the two variances, with its sign."""

    label = "standardised difference of means, t (CR3)"
    signed = True

    def __init__(self, x: Floats, groups: Groups, *, seed: int) -> None:
        self.x = x - x.mean()
        super().__init__(groups, seed=seed)
        c = weights(groups, groups.new[None, :])[0]
        spread, columns = self._spread(c), self.x[:, None]
        for new in (True, False):
            inside = groups.new == new
            centre = np.average(self.x[inside], weights=np.abs(c[inside])) if np.abs(c[inside]).sum() > 0 else 0.0
            square = (self.x - centre) ** 2 * (0.5 if new else -0.5) * inside
            columns = np.concatenate([columns, square[:, None]], axis=1)
        found = influence(groups, columns)
        self.df = found.df
        gradient = np.array([1.0, -self.value / (2 * spread), -self.value / (2 * spread)]) / np.array(
            [spread, spread, spread]
        )
        self._error = float(np.linalg.norm(found.rows @ gradient)) if spread > 0 else 0.0

    def _spread(self, c: Floats) -> float:
        variances = []
        for sign in (1.0, -1.0):
            w = np.maximum(sign * c, 0.0)
            n = w.sum() ** 2 / max(float((w**2).sum()), 1e-300)
            centre = (w @ self.x) / max(w.sum(), 1e-300)
            variances.append(float(w @ (self.x - centre) ** 2) / max(w.sum(), 1e-300) * n / max(n - 1, 1e-300))
        return math.sqrt(sum(variances) / 2)

    def evaluate(self, members: Flags) -> tuple[Floats, Floats]:
        """Return the absolute and the signed standardised difference."""
        c = weights(self.groups, members)
        difference = c @ self.x
        total = np.zeros(len(c))
        for sign in (1.0, -1.0):
            w = np.maximum(sign * c, 0.0)
            mass = np.maximum(w.sum(axis=1), 1e-300)
            n = mass**2 / np.maximum((w**2).sum(axis=1), 1e-300)
            centre = (w @ self.x) / mass
            total += ((w @ self.x**2) / mass - centre**2) * n / np.maximum(n - 1, 1e-300)
        spread = np.sqrt(np.maximum(total, 0.0) / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            effect = np.where(spread > 0, difference / spread, 0.0)
        return np.abs(effect), effect

    def limits(self, level: float) -> tuple[float | None, float | None]:
        """See base class."""
        if self._error <= 0:
            return None, None
        half = quantile(self.df, level) * self._error
        return self.value - half, self.value + half

    @property
    def standard_error(self) -> float:
        """See base class."""
        return self._error


class ChiSquared(Distance):
    """Pearson's statistic over the levels of a category; the effect is the total variation distance of the shares."""

    label = "total variation distance of the shares of levels"
    largest = 1.0

    def __init__(self, codes: Codes, n_levels: int, groups: Groups, *, seed: int) -> None:
        self.indicators = (codes[:, None] == np.arange(n_levels)).astype(np.float64)
        self.share = self.indicators.mean(axis=0)
        self._found: Influence | None = None
        self._norms: Floats | None = None
        super().__init__(groups, seed=seed)

    def evaluate(self, members: Flags) -> tuple[Floats, Floats]:
        """Return Pearson's statistic and the total variation distance."""
        d = weights(self.groups, members) @ self.indicators
        n, total = members.sum(axis=1), members.shape[1]
        return (d**2 / self.share).sum(axis=1) * n * (total - n) / total, self.norm(d)

    @staticmethod
    def norm(d: Floats) -> Floats:
        """Return half the sum of absolute differences."""
        return np.asarray(0.5 * np.abs(d).sum(axis=1))

    def found(self) -> Influence:
        """Return the influence of patients on the shares."""
        if self._found is None:
            self._found = influence(self.groups, self.indicators)
        return self._found

    @property
    def standard_error(self) -> float:
        r"""Largest standard error over sets of levels, at most :math:`\frac12\sqrt{\sum_{kl}|V_{kl}|}`.

        A level that no sampled case has still has a share; so V is not taken below that of the pooled shares with half
        a case added to each level, at the effective number of cases.
        """
        v = self.found().covariance
        c = weights(self.groups, self.groups.new[None, :])[0]
        per_unit = np.zeros((2, self.groups.count))
        for row, new in enumerate((False, True)):
            inside = self.groups.new == new
            w = np.abs(c[inside])
            per_unit[row] = np.bincount(
                self.groups.units[inside], weights=w / max(w.sum(), 1e-300), minlength=self.groups.count
            )
        inverse = float((per_unit**2).sum()) if not self.groups.single else float((c**2).sum())
        n = len(self.indicators)
        p = (self.share * n + 0.5) / (n + 0.5 * len(self.share))
        floor = (np.diag(p) - np.outer(p, p)) * min(inverse, float((c**2).sum()))
        return 0.5 * max(float(np.sqrt(np.abs(v).sum())), float(np.sqrt(np.abs(floor).sum())))

    def limits(self, level: float) -> tuple[float | None, float | None]:
        """See base class."""
        if len(self.share) < 2:
            return None, None
        if self._norms is None:
            self._norms = multiplier_norms(self.found(), self.norm, seed=self.seed)
        lower = lower_limit(self.value, self._norms, self.found().df, level)
        upper = min(1.0, self.value + quantile(self.found().df, level) * self.standard_error)
        return min(lower, self.value), max(upper, self.value)


ORDERED: dict[str, Callable[..., Distance]] = {
    "ks": KolmogorovSmirnov,
    "cramer_von_mises": CramerVonMises,
    "wasserstein": Wasserstein,
    "energy": Energy,
    "standardised_difference": StandardisedDifference,
}


def _largest_root(rows: Floats) -> float:
    """Return the root of the largest eigenvalue of rows' rows."""
    if not rows.size:
        return 0.0
    return float(np.linalg.norm(rows, 2))


def _wilson(p: Floats, n: Floats, z: float) -> tuple[Floats, Floats]:
    """Return Wilson's limits for many proportions at once."""
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return np.minimum(np.clip(centre - half, 0, 1), p), np.maximum(np.clip(centre + half, 0, 1), p)
