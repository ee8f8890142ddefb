"""Precision, recall, density and coverage of a generated set."""

from __future__ import annotations

import numpy as np
import torch

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.generative.neighbours import own_radii, squared_blocks
from validation.metrics.generative.sets import Features, feature_set, same_features, scaled_on
from validation.registry import Direction, Kind, metric
from validation.statistics.means import mean
from validation.statistics.proportions import proportion


@metric(
    "precision_recall_coverage",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.ESTIMATE,
    roles=("real", "synthetic"),
    reference="Kynkäänniemi 2019, arXiv:1904.06991; Naeem 2020, arXiv:2002.09797",
    oracle="distribution.json (prdc 0.2)",
    family="generative",
)
def precision_recall_coverage(
    real: Features, synthetic: Features, *, k: int = 5, standardise: bool = False, level: float = 0.95
) -> dict[str, Estimate]:
    """Precision, recall, density and coverage: are generated images like real ones, and are all real ones covered.

    The ball of an image reaches to its k-th nearest image (of another patient) of its own set.

    - ``precision``: share of synthetic images inside the ball of any real image (fidelity);
    - ``recall``: share of real images inside the ball of any synthetic image (diversity);
    - ``density``: mean number of real balls around a synthetic image, divided by k; may exceed 1;
    - ``coverage``: share of real images whose ball holds a synthetic image.

    Precision and recall change places in some tools; here as in Kynkäänniemi. Values depend on k and on the sizes of
    the sets. Intervals hold the other set fixed: Wilson (or t) over images, with patients as clusters.

    Parameters
    ----------
    real, synthetic
        Sets, see :mod:`validation.metrics.generative.sets`.
    k
        Neighbours that make a ball.
    standardise
        Centre and scale every feature as in the real set, for features of different units (radiomic ones).
    """
    first, second = feature_set(real, role="real"), feature_set(synthetic, role="synthetic")
    same_features(real=first, synthetic=second)
    if standardise:
        first, second = scaled_on(first, second)
    if not 1 <= k < min(first.n_patients, second.n_patients):
        raise UsageProblem(
            f"k is {k} with {first.n_patients} and {second.n_patients} patients.",
            code="MET-014",
            where="k",
            action="Give a number of neighbours from 1 to below the number of patients of each set.",
        )
    radii = [torch.as_tensor(own_radii(s, k)).square() for s in (first, second)]
    inside = np.zeros(second.n)
    covered, recalled = np.zeros(first.n, dtype=bool), np.zeros(first.n, dtype=bool)
    for start, block in squared_blocks(first.values, second.values):
        rows = slice(start, start + len(block))
        held = block <= radii[0][rows, None].to(block.dtype)
        inside += held.sum(0).numpy()
        covered[rows] = held.any(1).numpy()
        recalled[rows] = (block <= radii[1].to(block.dtype)).any(1).numpy()
    patients = first.patients, second.patients
    return {
        "precision": proportion((inside > 0).astype(float), clusters=patients[1], level=level),
        "recall": proportion(recalled.astype(float), clusters=patients[0], level=level),
        "density": mean(inside / k, clusters=patients[1], level=level, method="density"),
        "coverage": proportion(covered.astype(float), clusters=patients[0], level=level),
    }
