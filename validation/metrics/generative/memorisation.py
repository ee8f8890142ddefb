"""Copying: generated images that are nearer to the training images than held-out patients are."""

from __future__ import annotations

import numpy as np

from validation.errors import DataProblem
from validation.estimate import Estimate
from validation.metrics.generative.neighbours import nearest, own_radii
from validation.metrics.generative.sets import Features, FeatureSet, feature_set, same_features, scaled_on
from validation.registry import Direction, Kind, metric
from validation.statistics.proportions import proportion
from validation.statistics.roc import auc


@metric(
    "memorisation",
    unit="1",
    direction=Direction.LOWER,
    kind=Kind.ESTIMATE,
    roles=("real", "holdout", "synthetic"),
    reference="Meehan 2020, arXiv:2004.05675 (data copying); Carlini 2023, arXiv:2301.13188",
    oracle="planted copies; false-alarm rate on held-out patients",
    family="generative",
)
def memorisation(
    real: Features,
    holdout: Features,
    synthetic: Features,
    *,
    quantile: float = 0.01,
    standardise: bool = False,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Distances of synthetic images to the training set against those of held-out patients (the null).

    - ``nearer than holdout``: probability that a synthetic image lies nearer to its nearest training image than a
      held-out image does to its own: 0.5 when the generator knows no more of the training images than of the
      population, 1 for copies; below 0.5 for a generator of poor images;
    - ``copies``: share of synthetic images nearer than all but a share ``quantile`` of the held-out images; about
      ``quantile`` (at most) where nothing is copied.

    A few copies among many good images move the first hardly, the second at once. Held-out images of a patient who is
    in the training set would make copying look normal; they are refused.

    Parameters
    ----------
    real
        Training set of the generator.
    holdout
        Images of other patients of the same population, not used in training.
    synthetic
        Generated images.
    quantile
        Share of held-out images that are allowed to be as near.
    standardise
        Centre and scale every feature as in the real set, for features of different units (radiomic ones).
    """
    train, held, made = _three(real, holdout, synthetic)
    if standardise:
        train, held, made = scaled_on(train, held, made)
    far = nearest(held.values, train.values)[0]
    near = nearest(made.values, train.values)[0]
    scores = -np.concatenate([near, far])
    truth = np.concatenate([np.ones(made.n), np.zeros(held.n)])
    clusters = np.concatenate([made.patients, held.patients + made.n_patients])
    rank = max(0, int(np.floor(quantile * (held.n + 1))) - 1)
    threshold = float(np.sort(far)[rank])
    return {
        "nearer than holdout": auc(scores, truth, clusters=clusters, level=level),
        "copies": proportion((near < threshold).astype(float), clusters=made.patients, level=level),
    }


@metric(
    "authenticity",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.ESTIMATE,
    roles=("real", "synthetic"),
    reference="Alaa 2022, arXiv:2102.08921",
    oracle="distribution.json, distribution2.json (by definition; the authors' tool indexes another set)",
    family="generative",
)
def authenticity(real: Features, synthetic: Features, *, standardise: bool = False, level: float = 0.95) -> Estimate:
    """Share of synthetic images that are no copies: farther from their nearest real image than that image's neighbour.

    For each synthetic image, the distance to its nearest real image is compared with the distance of *that* real image
    to its own nearest real image of another patient. About one half to two thirds for a new sample of the
    population (take it from a held-out set), near 0 for copies.

    Parameters
    ----------
    real, synthetic
        Training set and generated images, see :mod:`validation.metrics.generative.sets`.
    standardise
        Centre and scale every feature as in the real set, for features of different units (radiomic ones).
    """
    train, made = feature_set(real, role="real"), feature_set(synthetic, role="synthetic")
    same_features(real=train, synthetic=made)
    if standardise:
        train, made = scaled_on(train, made)
    radii = own_radii(train, 1)
    distance, index = nearest(made.values, train.values)
    return proportion((distance > radii[index]).astype(float), clusters=made.patients, level=level)


def _three(real: Features, holdout: Features, synthetic: Features) -> tuple[FeatureSet, FeatureSet, FeatureSet]:
    train = feature_set(real, role="real")
    held = feature_set(holdout, role="holdout")
    made = feature_set(synthetic, role="synthetic")
    same_features(real=train, holdout=held, synthetic=made)
    shared = len(set(train.patient_names) & set(held.patient_names))
    if shared:
        raise DataProblem(
            f"{shared} patients of the holdout are also in the training set.",
            code="MET-022",
            where="real, holdout",
            why="Images of one patient resemble each other, so copying would look normal.",
            action="Take all images of these patients out of the holdout.",
        )
    return train, held, made
