"""Summaries of a noise power spectrum: mean frequency, its difference between arms, and the curve with its band."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.estimate import Estimate
from validation.statistics.clusters import Clusters, group, mean_covariance
from validation.statistics.means import mean
from validation.statistics.ratios import mean_ratio
from validation.statistics.sample import Floats


def frequencies(component_names: tuple[str, ...]) -> Floats:
    """Return the frequencies that name the components of a spectrum, in 1/mm.

    >>> frequencies(("0.1250", "0.2500")).tolist()
    [0.125, 0.25]

    Raises
    ------
    ValueError
        If a name is not a number: the components are not those of a spectrum.
    """
    return np.array([float(name) for name in component_names])


def spectrum_mean(
    spectra: ArrayLike,
    frequency: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1/mm",
) -> Estimate:
    r"""Estimate the mean frequency of the spectrum averaged over cases.

    :math:`\bar f = \sum_j f_j w_j \bar S_j / \sum_j w_j \bar S_j`, with the spectrum averaged over cases first and w
    the bin widths (half the distance between neighbours). It is a ratio of two means over cases, so the interval is
    Fieller's, with patients as clusters.

    Parameters
    ----------
    spectra
        Radial noise power, shape (n, k), any unit, not negative; cases with a missing bin are left out.
    frequency
        Frequencies of the k bins, increasing, in ``unit``.

    Returns
    -------
    Estimate
        Insufficient with fewer than two patients or without any noise power.

    References
    ----------
    ICRU Report 87 (2012); Samei et al. 2019 (AAPM TG-233), doi:10.1002/mp.13763.

    Examples
    --------
    >>> e = spectrum_mean([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 2.0, 1.0]], [0.1, 0.2, 0.3])
    >>> round(e.value, 3)
    0.2
    """
    moment, power, ids = _moments(spectra, frequency, clusters)
    fit = mean_ratio(moment, power, clusters=ids, level=level, unit=unit)
    label = fit.method.replace("ratio of means", "mean frequency of the mean spectrum")
    return _renamed(fit, label, fit.reason.replace("the mean of the comparator", "the total noise power"))


def spectrum_mean_difference(
    spectra: ArrayLike,
    comparator: ArrayLike,
    frequency: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    unit: str = "1/mm",
) -> Estimate:
    """Estimate the shift of the mean frequency between two arms of the same cases (spectra minus comparator).

    The interval is a t interval with the cluster-robust variance of the linearised difference of the two ratios.

    Returns
    -------
    Estimate
        Insufficient as :func:`spectrum_mean`; without limits when the spectra have the same shape in all cases.
    """
    a, b = np.asarray(spectra, dtype=np.float64), np.asarray(comparator, dtype=np.float64)
    hole = np.isnan(a).any(axis=1) | np.isnan(b).any(axis=1)
    ids = None if clusters is None else np.asarray(clusters)[~hole]
    values: list[float] = []
    influence = np.zeros(int((~hole).sum()))
    groups: Clusters = group(ids, len(influence))
    label = f"difference of mean frequency, {'t' if groups.single else 'cluster-robust t (CR3)'} on linearised ratios"
    if np.isinf(a[~hole]).any() or np.isinf(b[~hole]).any():
        return Estimate.insufficient(
            "some noise power is infinite",
            n=len(influence),
            unit=unit,
            method=label,
            level=level,
            n_clusters=groups.count,
        )
    for sign, arm in ((1.0, a[~hole]), (-1.0, b[~hole])):
        moment, power, _ = _moments(arm, frequency, None)
        if groups.count < 2 or power.mean() <= 0:
            reason = "fewer than two patients have both spectra" if groups.count < 2 else "an arm has no noise power"
            return Estimate.insufficient(
                reason, n=len(influence), unit=unit, method=label, level=level, n_clusters=groups.count
            )
        centre = float(moment.mean() / power.mean())
        values.append(centre)
        influence += sign * (moment - centre * power) / power.mean()
    value = values[0] - values[1]
    fit = mean_covariance(influence[:, None], groups)
    error = math.sqrt(float(fit.covariance[0, 0]))
    reason, lower, upper = "", None, None
    if error <= 1e-12 * max(values):
        reason = "the spectra of the two arms have the same shape in all patients, so the spread cannot be estimated"
    else:
        half = float(stats.t.isf((1 - level) / 2, fit.df)) * error
        lower, upper = value - half, value + half
    return Estimate(
        value=value, lower=lower, upper=upper, method=label, n=len(influence), unit=unit, level=level,
        n_clusters=groups.count, reason=reason,
    )  # fmt: skip


def component_means(
    components: ArrayLike, *, clusters: ArrayLike | None = None, level: float = 0.95, unit: str = "1"
) -> list[Estimate]:
    """Return the mean of each component over cases, with its (pointwise) interval: a curve with a band."""
    columns = np.asarray(components, dtype=np.float64)
    return [mean(column, clusters=clusters, level=level, unit=unit) for column in columns.T]


def _moments(
    spectra: ArrayLike, frequency: ArrayLike, clusters: ArrayLike | None
) -> tuple[Floats, Floats, ArrayLike | None]:
    """Return the first moment and the total power of each complete case, and its cluster."""
    s, f = np.asarray(spectra, dtype=np.float64), np.asarray(frequency, dtype=np.float64)
    if s.ndim != 2 or f.shape != (s.shape[1],) or not (np.diff(f) > 0).all():
        raise ValueError("a spectrum needs one increasing frequency for each of its bins")
    keep = ~np.isnan(s).any(axis=1)
    width = np.gradient(f) if len(f) > 1 else np.ones(len(f))
    weighted = s[keep] * width
    return weighted @ f, weighted.sum(axis=1), None if clusters is None else np.asarray(clusters)[keep]


def _renamed(fit: Estimate, method: str, reason: str) -> Estimate:
    record = fit.to_dict() | {"method": method, "reason": reason}
    return Estimate.from_dict(record)
