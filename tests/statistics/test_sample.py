"""The sample: shapes are checked, nothing can change it, patients are counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from validation.statistics.sample import Sample


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": [[1.0], [2.0]], "clusters": [1, 2]},
        {"values": [1.0, 2.0], "clusters": [1]},
        {"values": [1.0, 2.0], "clusters": [1, 2], "comparator": [1.0]},
        {"values": [1.0, 2.0], "clusters": [1, 2], "labels": [0, 2]},
        {"values": [1.0, 2.0], "clusters": [1, 2], "components": [[1.0], [2.0]]},
        {"values": [1.0, 2.0], "clusters": [1, 2], "comparator_components": [1.0, 2.0], "component_names": ("a",)},
    ],
)
def test_shapes_and_labels_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Sample(**wrong)


def test_a_sample_is_a_copy_that_cannot_be_written() -> None:
    given = np.array([1.0, 2.0])
    sample = Sample(values=given, clusters=["a", "b"])
    given[0] = 9.0
    assert sample.values[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        sample.values[0] = 3.0


def test_subset_keeps_rows_together() -> None:
    sample = Sample(
        values=[1.0, 2.0, 3.0], clusters=["a", "b", "b"], labels=[0, np.nan, 1], components=[[1.0], [2.0], [3.0]],
        component_names=("c00",),
    )  # fmt: skip
    part = sample.subset([False, True, True])
    assert part.components is not None
    assert (part.values.tolist(), part.components.ravel().tolist(), part.n, part.n_clusters) == ([2, 3], [2, 3], 2, 1)
    with pytest.raises(ValueError, match="mask"):
        sample.subset([True])
