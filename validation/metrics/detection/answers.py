"""Scores and marks of a system, case by case, for the endpoints of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from validation.errors import DataProblem, UsageProblem
from validation.metrics.detection.marks import Lesion, Marks, match
from validation.registry import Direction, Kind, metric


@metric(
    "score",
    unit="1",
    direction=Direction.NONE,
    roles=("scores",),
    reference="FDA 2022, Clinical Performance Assessment: Considerations for CADe Devices",
    oracle="identity",
    family="detection",
)
def score(scores: Mapping[str, Tensor], *, of: str) -> Tensor:
    """Give the score of a case, as the model answered it.

    Summaries make of it AUC, sensitivity and specificity at a pre-set threshold, predictive values and calibration.

    Never undefined.

    Parameters
    ----------
    scores
        Named scores, each ``(B,)``.
    of
        Which of them.
    """
    return scores[of]


@metric(
    "highest_mark",
    unit="1",
    direction=Direction.NONE,
    roles=("marks", "lesions"),
    optional_roles=("spacings",),
    reference="Chakraborty 2017, Observer Performance Methods for Diagnostic Imaging (CRC Press), highest rating",
    oracle="counts by construction",
    family="detection",
)
def highest_mark(
    marks: Sequence[Marks],
    lesions: Sequence[Sequence[Lesion]],
    spacings: Sequence[Sequence[float]],
    *,
    floor: float = 0.0,
) -> Tensor:
    """Give the highest rating of the marks of a case, wherever they are; ``floor`` for a case without a mark.

    What a system of marks says of the case as a whole: summaries make of it AUC, sensitivity and specificity per case
    and per patient. A lesion that was missed counts as found here when a false mark stands elsewhere in the case, so
    read it beside ``mark_ratings``.

    Never undefined.

    Parameters
    ----------
    marks, lesions, spacings
        As :func:`mark_ratings`; only the ratings are used.
    floor
        Rating of no mark, at most that of any mark.
    """
    lowest = min((float(own.ratings.min()) for own in marks if len(own.ratings)), default=floor)
    if lowest < floor:
        raise DataProblem(
            f"a mark is rated {lowest:g}, below the floor {floor:g} of cases without a mark.",
            code="MET-032",
            where="floor",
            why="A case without any mark would rank above one with a mark.",
            action="State a `floor` that no rating lies below.",
        )
    return torch.tensor([float(own.ratings.max()) if len(own.ratings) else floor for own in marks], dtype=torch.float64)


@metric(
    "mark_ratings",
    unit="1",
    direction=Direction.NONE,
    roles=("marks", "lesions"),
    optional_roles=("spacings",),
    kind=Kind.RAGGED,
    reference="Chakraborty 2017, Observer Performance Methods for Diagnostic Imaging (CRC Press)",
    oracle="counts by construction; a direct count of the marks of reference/own",
    family="detection",
)
def mark_ratings(
    marks: Sequence[Marks],
    lesions: Sequence[Sequence[Lesion]],
    spacings: Sequence[Sequence[float]],
    *,
    tolerance_mm: float = 0.0,
) -> list[dict[str, float]]:
    """Match the marks of a case to its lesions, and give the rating of each.

    Components: ``lesions`` and ``false marks`` (their numbers), ``lesion NNN`` (the highest rating of a mark on it,
    absent if no mark hit it), ``size NNN`` (mL, where known) and ``false NNN`` (the rating of a false mark). A lesion
    that was missed is counted in ``lesions`` and is therefore in every denominator.

    Never undefined; a mark that cannot be placed is refused.

    Parameters
    ----------
    marks, lesions
        Of each case.
    spacings
        Spacing of each case in mm, in array-axis order.
    tolerance_mm
        How far beside a lesion a mark still hits it.
    """
    if not 0 <= tolerance_mm < float("inf"):
        raise UsageProblem(
            f"tolerance_mm is {tolerance_mm}.", code="MET-014", where="tolerance_mm", action="Give 0 mm or more."
        )
    found = []
    for own, truth, spacing in zip(marks, lesions, spacings, strict=True):
        best, false = match(own, truth, spacing, tolerance_mm=tolerance_mm)
        case = {"lesions": float(len(truth)), "false marks": float(len(false))}
        for number, lesion in enumerate(truth, start=1):
            if lesion.name in best:
                case[f"lesion {number:03d}"] = best[lesion.name]
            if lesion.size_ml is not None:
                case[f"size {number:03d}"] = lesion.size_ml
        case |= {f"false {number:03d}": rating for number, rating in enumerate(sorted(false, reverse=True), start=1)}
        found.append(case)
    return found
