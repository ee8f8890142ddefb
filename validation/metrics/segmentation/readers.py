"""Agreement of a proposal with each of several readers, and of the readers with each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.segmentation.overlap import dice
from validation.metrics.segmentation.surface import assd, hd95, surface_dice
from validation.registry import Direction, Kind, metric

MODEL = "model"
_MEASURES: dict[str, Callable[..., Tensor]] = {"dice": dice, "surface_dice": surface_dice, "hd95": hd95, "assd": assd}
_SIMILARITIES = ("dice", "surface_dice")


@metric(
    "reader_disagreement",
    unit="1",
    direction=Direction.LOWER,
    roles=("output", "readers"),
    kind=Kind.RAGGED,
    reference="Obuchowski 2014, doi:10.1016/j.acra.2014.07.004; Barnhart 2007, doi:10.1080/10543400701329489",
    oracle="segmentation.json (pairs of readers); closed forms",
    family="segmentation",
)
def reader_disagreement(
    output: Tensor,
    readers: Sequence[Mapping[str, Tensor]],
    *,
    spacing_mm: Tensor,
    measure: str = "dice",
    tolerance_mm: float | None = None,
) -> list[dict[str, float]]:
    """Disagreement of the proposal with each reader, and of each pair of readers, on one structure.

    Components ``model~A`` for every reader A and ``A~B`` for every pair. Disagreement is 1 minus Dice or surface Dice,
    or a distance (``hd95``, ``assd``) divided by the diagonal of the image, so that it lies between 0 and 1.
    A pair of which one contoured nothing disagrees wholly (1); of which both contoured nothing, not at all (0).

    Undefined (NaN) when fewer than two readers contoured the case.

    Parameters
    ----------
    output
        The model's mask, ``(B, *spatial)``.
    readers
        Of each case, reader to mask ``(*spatial)``.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    measure
        ``dice``, ``surface_dice``, ``hd95`` or ``assd``.
    tolerance_mm
        Of ``surface_dice``.
    """
    if measure not in _MEASURES or (measure == "surface_dice") != (tolerance_mm is not None):
        raise UsageProblem(
            f"measure is {measure!r}, tolerance_mm {tolerance_mm}.",
            code="MET-014",
            where="measure, tolerance_mm",
            action=f"Choose {', '.join(_MEASURES)}; a tolerance belongs to surface_dice, which needs it.",
        )
    found = []
    for k, own in enumerate(readers):
        masks = {MODEL: output[k], **own}
        spacing = spacing_mm[k : k + 1]
        extent = torch.tensor(output.shape[1:], dtype=torch.float64) * spacing[0].cpu()
        scale = 1.0 if measure in _SIMILARITIES else float(extent.norm())
        pairs = combinations(masks, 2)
        found.append(
            {f"{a}~{b}": _disagree(masks[a], masks[b], spacing, measure, tolerance_mm, scale) for a, b in pairs}
        )
    return found


def _disagree(a: Tensor, b: Tensor, spacing: Tensor, measure: str, tolerance: float | None, scale: float) -> float:
    if not bool(a.any()) and not bool(b.any()):
        return 0.0
    options: dict[str, Tensor | float] = {} if measure == "dice" else {"spacing_mm": spacing}
    if tolerance is not None:
        options["tolerance_mm"] = tolerance
    value = float(_MEASURES[measure](a.unsqueeze(0), b.unsqueeze(0), **options)[0])
    return 1 - value if measure in _SIMILARITIES else value / scale
