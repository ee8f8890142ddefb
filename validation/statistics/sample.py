"""What a summary is given: the measurements of one endpoint, one row per case, with patients as clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """Measurements of one endpoint, one row per case.

    Parameters
    ----------
    values
        Values of the judged arm, shape (n,), in the unit of the metric; NaN marks a value that is missing. Values are
        already averaged over the draws of a stochastic model, and rows are sorted by case id. For a vector metric,
        where ``components`` carries the data, it may be all NaN.
    clusters
        The patient (or other independent unit) of each case, shape (n,), any hashable ids. Cases of one patient are
        never treated as independent.
    comparator
        Values of the comparator arm, shape (n,), the same cases in the same order.
    labels
        Truth of each case, shape (n,), 0 (absent, negative) or 1 (present, positive); NaN where unknown.
    components, comparator_components
        Components of a vector metric, shape (n, k).
    component_names
        The k names of the components.
    ragged
        Whether cases differ in which components they have; then one component is enough for a case to have a value.

    Raises
    ------
    ValueError
        If shapes disagree or labels are other than 0 and 1: a defect of the caller, since cohorts are checked before.

    Examples
    --------
    >>> s = Sample(values=[1.0, 2.0, 4.0], clusters=["a", "a", "b"])
    >>> s.n, s.n_clusters
    (3, 2)
    >>> s.subset([True, False, True]).values.tolist()
    [1.0, 4.0]
    """

    values: Floats
    clusters: NDArray[Any]
    comparator: Floats | None = None
    labels: Floats | None = None
    components: Floats | None = None
    comparator_components: Floats | None = None
    component_names: tuple[str, ...] = ()
    ragged: bool = False

    def __post_init__(self) -> None:
        for name in ("values", "comparator", "labels", "components", "comparator_components"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _floats(given))
        object.__setattr__(self, "clusters", np.asarray(self.clusters))
        object.__setattr__(self, "component_names", tuple(self.component_names))
        if self.values.ndim != 1:
            raise ValueError(f"values must have one dimension, got shape {self.values.shape}")
        n = len(self.values)
        for name in ("clusters", "comparator", "labels"):
            given = getattr(self, name)
            if given is not None and given.shape != (n,):
                raise ValueError(f"{name} must have shape ({n},), got {given.shape}")
        for name in ("components", "comparator_components"):
            given = getattr(self, name)
            if given is not None and given.shape != (n, len(self.component_names)):
                raise ValueError(f"{name} must have shape ({n}, {len(self.component_names)}), got {given.shape}")
        if self.labels is not None and not np.isin(self.labels[~np.isnan(self.labels)], (0.0, 1.0)).all():
            raise ValueError("labels must be 0 or 1")

    @property
    def n(self) -> int:
        """Number of cases (rows)."""
        return len(self.values)

    @property
    def n_clusters(self) -> int:
        """Number of independent clusters (patients)."""
        return len(set(self.clusters.tolist()))

    def subset(self, mask: ArrayLike) -> Sample:
        """Return the rows where ``mask`` (bool, shape (n,)) is true."""
        keep = np.asarray(mask, dtype=bool)
        if keep.shape != (self.n,):
            raise ValueError(f"mask must have shape ({self.n},), got {keep.shape}")
        rows = {
            name: getattr(self, name)[keep]
            for name in ("values", "clusters", "comparator", "labels", "components", "comparator_components")
            if getattr(self, name) is not None
        }
        return replace(self, **rows)

    def by_cluster(self) -> Sample:
        """Return one row per cluster: the highest value and label of its cases, unknown where one of them is.

        The patient is called positive when any of the cases is, and has the condition when any of them has.

        Raises
        ------
        ValueError
            For a sample of components, which have no highest value.

        Examples
        --------
        >>> s = Sample(values=[1.0, 3.0, 2.0], clusters=["a", "a", "b"], labels=[0, 1, 0]).by_cluster()
        >>> s.values.tolist(), s.labels.tolist()
        ([3.0, 2.0], [1.0, 0.0])
        """
        if self.components is not None:
            raise ValueError("components of several cases have no highest value")
        codes: dict[object, int] = {}
        where = np.array([codes.setdefault(c, len(codes)) for c in self.clusters.tolist()], dtype=np.intp)

        def highest(column: Floats | None) -> Floats | None:
            if column is None:
                return None
            found = np.full(len(codes), -np.inf)
            with np.errstate(invalid="ignore"):
                np.maximum.at(found, where, column)  # NaN wins: a patient with an unknown case is unknown
            return found

        values = highest(self.values)
        assert values is not None  # noqa: S101 - for the type checker: a sample always has values
        return Sample(
            values=values,
            clusters=np.array(list(codes), dtype=self.clusters.dtype),
            comparator=highest(self.comparator),
            labels=highest(self.labels),
        )


def _floats(given: ArrayLike) -> Floats:
    array = np.array(given, dtype=np.float64)  # a copy: nobody can change a sample from outside
    array.setflags(write=False)
    return array
