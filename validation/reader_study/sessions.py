"""What reading in two sessions does to simulated scores: drift of the scale, and memory of cases seen before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from validation.errors import UsageProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Two sessions, in each of which every case is read once, under one of two modalities.

    Parameters
    ----------
    layout
        ``crossover``: half of the cases of each class are read under the first modality in session 1 and under the
        second in session 2, the other half the other way round. ``blocked``: everything under the second modality in
        session 1, under the first in session 2 (a control read first).
    drift
        Standard deviation of the shift of a reader's scores in a session, in the unit of the scores. A shift common to
        a modality changes no AUC; in a cross-over it mixes two scales within a modality.
    memory
        Rise of the mean score of diseased cases at the second reading if it followed at once.
    half_life_days, washout_days
        Memory halves with every ``half_life_days`` of the washout between the sessions.

    Notes
    -----
    Additive effects on the latent score, the same for all cases of a class: a conjecture to see how far a design is
    immune, not a model of recall. Memory and its half-life have no accepted values; vary them.

    References
    ----------
    FDA, Clinical Performance Assessment: Considerations for CADe Devices, 28 September 2022, section IV.C (washout) and
    appendix A (cross-over: session effects cancel, but add variability).
    """

    layout: Literal["crossover", "blocked"] = "crossover"
    drift: float = 0.0
    memory: float = 0.0
    half_life_days: float = 14.0
    washout_days: float = 28.0

    def __post_init__(self) -> None:
        numbers = (self.drift, self.memory, self.half_life_days, self.washout_days)
        if not np.isfinite(numbers).all() or self.drift < 0 or self.half_life_days <= 0 or self.washout_days < 0:
            raise UsageProblem(
                "drift and washout must not be negative, the half-life of memory must be positive.",
                code="RDR-020",
                where="--sessions",
                action="Correct the settings of the sessions.",
            )

    @property
    def remembered(self) -> float:
        """What is left of the memory after the washout.

        >>> Sessions(memory=0.4, half_life_days=14, washout_days=28).remembered
        0.1
        """
        return float(self.memory * 0.5 ** (self.washout_days / self.half_life_days))

    def second(self, negatives: int, positives: int) -> NDArray[np.bool_]:
        """Return ``(modality, case)``: whether a case is read in the second session under a modality."""
        if self.layout == "blocked":
            return np.repeat(np.array([[True], [False]]), negatives + positives, axis=1)
        odd = np.concatenate([np.arange(negatives), np.arange(positives)]) % 2 == 1
        return np.stack([odd, ~odd])

    def applied(self, scores: Any, positive: NDArray[np.bool_], generator: Any) -> Any:
        """Return scores ``(trial, reader, 2, case)`` as read in the sessions; ``generator`` is one of torch."""
        import torch

        n1 = int(positive.sum())
        device = scores.device
        second = torch.as_tensor(self.second(len(positive) - n1, n1), device=device)
        size = (*scores.shape[:2], 2)
        shift = self.drift * torch.randn(size, generator=generator, dtype=scores.dtype, device=device)
        by_case = torch.where(second, shift[..., 1, None, None], shift[..., 0, None, None])
        known = second & torch.as_tensor(positive, device=device)
        return scores + by_case + self.remembered * known
