"""Covariance of figures of merit by resampling cases within their class, given the readers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def resampled_cases(positive: NDArray[np.bool_], replicates: int, seed: int) -> NDArray[np.int64]:
    """Return ``(replicates, case)`` indices drawn with replacement within each class, so that both class sizes stay.

    The stream is numpy's PCG64 with the given seed; the same seed gives the same cases whatever the figure of merit.
    """
    rng = np.random.default_rng(seed)
    drawn = np.empty((replicates, len(positive)), dtype=np.int64)
    for chosen in (np.flatnonzero(~positive), np.flatnonzero(positive)):
        drawn[:, chosen] = chosen[rng.integers(0, len(chosen), size=(replicates, len(chosen)))]
    return drawn


def bootstrap_covariance(
    score: Array, positive: NDArray[np.bool_], figure: Callable[[Array], Array], *, replicates: int, seed: int
) -> Array:
    """Return the covariance ``(1, Q, Q)`` of a figure of merit over resampled cases.

    Parameters
    ----------
    score
        ``(reader, modality, case)``.
    figure
        Batched figure of merit: ``(trial, reader, modality, case)`` to ``(trial, reader, modality)``.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 6; readers are not resampled, as the model treats
    them apart.
    """
    drawn = resampled_cases(positive, replicates, seed)
    step = max(1, (1 << 24) // score.size)
    values = [
        np.asarray(figure(np.moveaxis(score[:, :, drawn[i : i + step]], 2, 0))) for i in range(0, replicates, step)
    ]
    flat = np.concatenate(values).reshape(replicates, -1)
    return np.asarray(np.cov(flat, rowvar=False), dtype=float).reshape(1, flat.shape[1], flat.shape[1])
