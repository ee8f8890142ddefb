"""Sets of feature vectors: what every metric of generated sets checks first, and how it resamples patients.

A set is an array ``(n, d)``, one row per image, or a table whose numeric columns are features. A table may also have
the columns ``patient`` (images of one patient are one cluster) and ``condition`` (class of the image); any other column
that is not numeric is refused, so that nothing is left out silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.errors import DataProblem
from validation.estimate import Estimate

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
Features = npt.NDArray[np.float64] | pd.DataFrame
LEAST = 10  # images in a set
GROUPS = 20  # of patients that a jackknife leaves out in turn


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Feature vectors (n, d) with the patient code (n,) and the condition (n,) of each image, where known."""

    values: Floats
    patients: Codes
    conditions: npt.NDArray[np.object_] | None
    patient_names: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.values)

    @property
    def n_patients(self) -> int:
        """Number of patients; every image is its own where none is named."""
        return int(self.patients.max()) + 1


def feature_set(data: Features, *, role: str) -> FeatureSet:
    """Return a checked set.

    Raises
    ------
    DataProblem
        ``MET-020`` if it is not a matrix of finite numbers with at least ten rows.
    """
    names: tuple[str, ...] = ()
    conditions = None
    if isinstance(data, pd.DataFrame):
        labels = {name: data[name].astype(str).to_numpy() for name in ("patient", "condition") if name in data}
        rest = data.drop(columns=list(labels))
        text = [str(c) for c in rest.columns if not pd.api.types.is_numeric_dtype(rest[c])]
        if text:
            raise _refused(role, f"columns that are not numbers: {', '.join(text[:5])}")
        values = rest.to_numpy(dtype=np.float64)
        conditions = labels.get("condition")
        patients = labels.get("patient")
        if patients is None:
            codes = np.arange(len(values))
        else:
            unique, codes = np.unique(patients, return_inverse=True)
            names = tuple(unique.tolist())
    else:
        values = np.asarray(data, dtype=np.float64)
        codes = np.arange(len(values)) if values.ndim else np.zeros(0, dtype=np.intp)
    if values.ndim != 2 or values.shape[1] == 0 or len(values) < LEAST:
        raise _refused(role, f"shape {values.shape}; at least {LEAST} rows of features are needed")
    if not np.isfinite(values).all():
        raise _refused(role, "values that are missing or not finite")
    return FeatureSet(values, codes.astype(np.intp), conditions, names)


def scaled_on(real: FeatureSet, *others: FeatureSet) -> tuple[FeatureSet, ...]:
    """Return the sets with every feature centred and scaled as in the real set; constant features are left out.

    Features of different units (a mean in HU, an entropy in bit) have no common distance without this.

    Raises
    ------
    DataProblem
        ``MET-020`` if no feature varies in the real set.
    """
    centre, spread = real.values.mean(0), real.values.std(0)
    kept = spread > 0
    if not kept.any():
        raise _refused("real", "no feature that varies")
    return tuple(replace(s, values=(s.values[:, kept] - centre[kept]) / spread[kept]) for s in (real, *others))


def same_features(**sets: FeatureSet) -> None:
    """Refuse sets of different numbers of features (``MET-021``)."""
    sizes = {role: s.values.shape[1] for role, s in sets.items()}
    if len(set(sizes.values())) > 1:
        raise DataProblem(
            "the sets have different numbers of features: " + ", ".join(f"{r} {n}" for r, n in sizes.items()) + ".",
            code="MET-021",
            where=", ".join(sizes),
            why="Distances between sets exist only in one feature space.",
            action="Extract all sets with the same features in the same order.",
        )


def _refused(role: str, what: str) -> DataProblem:
    return DataProblem(
        f"the set {role!r} has {what}.",
        code="MET-020",
        where=role,
        why="A set is one row of finite features per image.",
        action="Give an array (images, features), or a table of numeric columns with optional patient and condition.",
    )


def patient_groups(patients: Codes, count: int, *, seed: int) -> Codes:
    """Return a group (n,) for every image: patients dealt at random into groups of nearly equal numbers of patients."""
    total = int(patients.max()) + 1
    dealt = np.random.Generator(np.random.Philox(seed)).permutation(total) % min(count, total)
    return dealt[patients].astype(np.intp)


def group_jackknife(
    value: float, without: Sequence[float], *, n: int, n_clusters: int, level: float, unit: str, method: str
) -> Estimate:
    r"""Return an estimate with the t interval of a delete-a-group jackknife.

    With g groups, :math:`v = \frac{g-1}{g}\sum_j (\hat\theta_{(-j)} - \bar\theta)^2` and g - 1 degrees of freedom.
    Used where a bootstrap is not valid: repeated images distort nearest neighbours, ranks of covariances and kernels.

    References
    ----------
    Kott 2001 (J Official Statistics 17:521-526); Quenouille 1956, doi:10.1093/biomet/43.3-4.353.
    """
    g = len(without)
    label = f"{method}, jackknife of {g} groups of patients"
    if g < 5:
        return Estimate(
            value=value, lower=None, upper=None, method=label, n=n, n_clusters=n_clusters, unit=unit, level=level,
            reason=f"{g} patients are too few for an interval",
        )  # fmt: skip
    parts = np.asarray(without)
    error = float(np.sqrt((g - 1) / g * ((parts - parts.mean()) ** 2).sum()))
    half = float(stats.t.isf((1 - level) / 2, g - 1)) * error
    return Estimate(
        value=value, lower=value - half, upper=value + half, method=label, n=n, n_clusters=n_clusters, unit=unit,
        level=level,
    )  # fmt: skip


def two_set_interval(
    value: float,
    without: tuple[Sequence[float], Sequence[float]],
    *,
    n: int,
    n_clusters: int,
    level: float,
    unit: str,
    method: str,
) -> Estimate:
    """Return an estimate from two independent sets: the jackknife variances of both are added."""
    sizes = [len(w) for w in without]
    label = f"{method}, jackknife of {sizes[0]} and {sizes[1]} groups of patients"
    if min(sizes) < 5:
        return Estimate(
            value=value, lower=None, upper=None, method=label, n=n, n_clusters=n_clusters, unit=unit, level=level,
            reason=f"{min(sizes)} patients in one set are too few for an interval",
        )  # fmt: skip
    variance = sum((g - 1) / g * float(np.var(w) * g) for g, w in zip(sizes, without, strict=True))
    half = float(stats.t.isf((1 - level) / 2, min(sizes) - 1)) * float(np.sqrt(variance))
    return Estimate(
        value=value, lower=value - half, upper=value + half, method=label, n=n, n_clusters=n_clusters, unit=unit,
        level=level,
    )  # fmt: skip
