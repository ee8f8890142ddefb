"""Simulated reader scores after Roe and Metz: random readers, random cases, and how strongly they agree.

The score of reader ``j`` for case ``k`` of truth ``t`` under modality ``i`` is

``mu_it + R_jt + C_kt + (RC)_jkt + (mR)_ijt + (mC)_ikt + (mRC)_ijkt``,

with independent normal terms. The first three random terms are common to all modalities, the last three belong to one.
The model of 1997 has one set of variances; the extensions let them differ by truth (Hillis 2012) and by modality
(Gallas & Hillis 2014).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.errors import UsageProblem

Array = NDArray[np.float64]

READER, CASE, READER_CASE = 0, 1, 2
# difference of means, variance of readers (and of readers by modality): Roe & Metz 1997, table 1
_MEANS_AND_READERS = {
    "HH": {0.75: 0.011, 1.5: 0.03, 2.5: 0.056},
    "HL": {0.75: 0.0055, 1.5: 0.0055, 2.5: 0.0055},
    "LH": {0.75: 0.011, 1.5: 0.03, 2.5: 0.056},
    "LL": {0.75: 0.0055, 1.5: 0.0055, 2.5: 0.0055},
}
# variance of cases (and of cases by modality), of readers by cases, and of what is left: high and low data correlation
_CASES = {"H": (0.3, 0.3, 0.2, 0.2), "L": (0.1, 0.1, 0.2, 0.6)}
_BUDGET = 1 << 20  # scores held at once


@dataclass(frozen=True, slots=True, kw_only=True)
class RoeMetz:
    """Means and variances of the scores.

    Parameters
    ----------
    means
        ``(modality, truth)`` mean scores, truth 0 before 1.
    shared
        ``(truth, 3)`` variances of reader, case, and reader by case that all modalities have in common.
    own
        ``(modality, truth, 3)`` the same for the terms of one modality.

    References
    ----------
    Roe & Metz 1997, doi:10.1016/S1076-6332(97)80032-3; Hillis 2012, doi:10.1016/j.acra.2012.09.011;
    Gallas & Hillis 2014, doi:10.1117/1.JMI.1.3.031006.
    """

    means: Array
    shared: Array
    own: Array

    def __post_init__(self) -> None:
        arrays = {name: np.array(getattr(self, name), dtype=float) for name in ("means", "shared", "own")}
        M = arrays["means"].shape[0] if arrays["means"].ndim == 2 else 0
        shapes = {"means": (M, 2), "shared": (2, 3), "own": (M, 2, 3)}
        for name, array in arrays.items():
            if M < 1 or array.shape != shapes[name] or not np.isfinite(array).all():
                raise _wrong("a Roe-Metz model needs finite means (modality, truth) and variances of matching shape.")
            object.__setattr__(self, name, array)
        if min(self.shared.min(), self.own.min()) < 0:
            raise _wrong("a variance of a Roe-Metz model is negative.")
        if (self.shared[:, CASE:].sum(-1) + self.own[..., CASE:].sum(-1) <= 0).any():
            raise _wrong("the scores of a class do not vary between cases.")

    @property
    def modalities(self) -> int:
        """Number of modalities."""
        return int(self.means.shape[0])

    def null(self) -> RoeMetz:
        """Return the model with every modality as the first one, so that there is no difference to find."""
        M = self.modalities
        return RoeMetz(means=self.means[[0] * M], shared=self.shared, own=self.own[[0] * M])


def roe_metz(
    *,
    differences: tuple[float, ...],
    reader: float,
    reader_modality: float | None = None,
    case: float,
    case_modality: float,
    reader_case: float,
    rest: float,
    b: float = 1.0,
) -> RoeMetz:
    """Return a model with one set of variances, or with unequal variances of the two classes.

    Parameters
    ----------
    differences
        Mean of diseased less non-diseased cases, one per modality.
    reader, reader_modality
        Variances of readers and of readers by modality, equal for both classes; the second equals the first if omitted.
    case, case_modality, reader_case, rest
        Variances of non-diseased cases; those of diseased cases are larger by ``1 / b**2`` (Hillis 2012; 2018,
        doi:10.1002/sim.7616).
    b
        Ratio of the standard deviations of non-diseased to diseased cases.

    Examples
    --------
    >>> roe_metz(differences=(1.0, 1.2), reader=0.01, case=0.3, case_modality=0.3, reader_case=0.2, rest=0.2).modalities
    2
    """
    if not (np.isfinite(b) and b > 0):
        raise _wrong("the ratio b of standard deviations must be positive.")
    scale = np.array([1.0, 1 / b**2])
    by_modality = reader if reader_modality is None else reader_modality
    shared = np.stack([np.array([reader, reader]), case * scale, reader_case * scale], axis=-1)
    own = np.stack([np.array([by_modality, by_modality]), case_modality * scale, rest * scale], axis=-1)
    return RoeMetz(
        means=np.array([[0.0, d] for d in differences]), shared=shared, own=np.repeat(own[None], len(differences), 0)
    )


def published_structures() -> dict[str, RoeMetz]:
    """Return the twelve null structures of Roe & Metz 1997, such as ``HL0.75``.

    The first letter tells the correlation between readings of one case (high, low), the second the variance of readers,
    the number the difference of the class means.

    >>> sorted(published_structures())[:3]
    ['HH0.75', 'HH1.50', 'HH2.50']
    """
    found = {}
    for name, rows in _MEANS_AND_READERS.items():
        case, case_modality, reader_case, rest = _CASES[name[0]]
        for mean, reader in rows.items():
            found[f"{name}{mean:.2f}"] = roe_metz(
                differences=(mean, mean),
                reader=reader,
                case=case,
                case_modality=case_modality,
                reader_case=reader_case,
                rest=rest,
            )
    return found


def simulate_batches(
    model: RoeMetz,
    *,
    readers: int,
    negatives: int,
    positives: int,
    trials: int,
    seed: int,
    device: str = "cpu",
) -> Iterator[Any]:
    """Yield batches of simulated studies: torch tensors ``(trial, reader, modality, case)``, float64, on the device.

    Non-diseased cases come first. A batch holds at most about one million scores, whatever the number of trials. One
    seed gives the same studies on the same kind of device; a CPU and a GPU draw from different streams.

    Raises
    ------
    UsageProblem
        If a size is not positive.
    """
    import torch

    if min(readers, negatives, positives, trials) < 1:
        raise _wrong("readers, cases of each class and trials must be positive.")
    generator = torch.Generator(device=device).manual_seed(seed)
    step = max(1, _BUDGET // (readers * model.modalities * (negatives + positives)))
    for start in range(0, trials, step):
        size = min(step, trials - start)
        sides = [
            _one_class(model, truth, readers, cases, size, generator, device)
            for truth, cases in enumerate((negatives, positives))
        ]
        yield torch.cat(sides, dim=-1)


def _one_class(model: RoeMetz, truth: int, readers: int, cases: int, trials: int, generator: Any, device: str) -> Any:
    """Return the scores of the cases of one class."""
    import torch

    M = model.modalities

    def normal(variance: Array, *shape: int) -> Any:
        scale = torch.as_tensor(np.sqrt(variance), dtype=torch.float64, device=device)
        return scale * torch.randn(trials, *shape, generator=generator, dtype=torch.float64, device=device)

    shared, own = model.shared[truth], model.own[:, truth]
    by_modality = {k: own[:, k][:, None] for k in (READER, CASE, READER_CASE)}
    score = normal(by_modality[READER_CASE], readers, M, cases)
    score += normal(by_modality[READER], readers, M, 1)
    score += normal(by_modality[CASE], 1, M, cases)
    score += normal(shared[READER], readers, 1, 1)
    score += normal(shared[CASE], 1, 1, cases)
    score += normal(shared[READER_CASE], readers, 1, cases)
    score += torch.as_tensor(model.means[:, truth], device=device)[:, None]
    return score


def _wrong(what: str) -> UsageProblem:
    return UsageProblem(
        what,
        code="RDR-020",
        where="simulation",
        why="Scores drawn from an impossible model would look like evidence.",
        action="Correct the parameters of the simulation.",
    )
