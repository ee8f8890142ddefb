"""Detection of single lesions by a segmentation: how many were found, how many are false, by size.

Lesions are connected components (face, edge and corner neighbours). A lesion of the reference is found when at least a
share of its voxels (``min_overlap``) is marked; a marked component is false when less than that share of it lies in any
lesion of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.segmentation.overlap import checked_masks, checked_spacing
from validation.registry import Direction, Kind, metric

REFERENCE = "Maier-Hein 2024, doi:10.1038/s41592-023-02151-z (per-lesion sensitivity)"
ORACLE = "counts by construction; scipy.ndimage"


@dataclass(frozen=True, eq=False)
class Lesions:
    """Components of one case: voxels of each reference lesion, whether it was found, and the number of false ones."""

    voxels: npt.NDArray[np.int64]
    found: npt.NDArray[np.bool_]
    false: int


def match_lesions(output: Tensor, reference: Tensor, min_overlap: float, min_voxels: int) -> Lesions:
    """Match the components of two bool masks ``(*spatial)`` of one case."""
    from scipy import ndimage

    neighbours = np.ones((3,) * reference.ndim)
    marked, truth = output.cpu().numpy(), reference.cpu().numpy()
    lesions, n = ndimage.label(truth, neighbours)
    sizes = np.bincount(lesions[truth], minlength=n + 1)[1:]
    covered = np.bincount(lesions[truth & marked], minlength=n + 1)[1:]
    kept = sizes >= min_voxels
    marks, m = ndimage.label(marked, neighbours)
    mark_sizes = np.bincount(marks[marked], minlength=m + 1)[1:]
    inside = np.bincount(marks[truth & marked], minlength=m + 1)[1:]
    false = (mark_sizes >= min_voxels) & ~_enough(inside, mark_sizes, min_overlap)
    return Lesions(sizes[kept], _enough(covered, sizes, min_overlap)[kept], int(false.sum()))


def _enough(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64], share: float) -> npt.NDArray[np.bool_]:
    return (part > 0) & (part >= share * whole)


def _checked(min_overlap: float, min_voxels: int) -> None:
    if not 0 <= min_overlap <= 1 or min_voxels < 1:
        raise UsageProblem(
            f"min_overlap is {min_overlap}, min_voxels {min_voxels}.",
            code="MET-014",
            where="min_overlap, min_voxels",
            action="Give a share from 0 (any voxel) to 1 and a number of voxels from 1 up.",
        )


@metric(
    "lesion_sensitivity",
    unit="1",
    direction=Direction.HIGHER,
    roles=("output", "reference"),
    reference=REFERENCE,
    oracle=ORACLE,
    family="segmentation",
)
def lesion_sensitivity(output: Tensor, reference: Tensor, *, min_overlap: float = 0.1, min_voxels: int = 1) -> Tensor:
    """Share of the reference lesions of a case that were found.

    Every lesion counts the same, whatever its size; a case where nothing was marked has 0.

    Undefined (NaN) when the reference has no lesion of at least ``min_voxels``.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``; bool, or above 0.5 inside. All lesions of a case in one mask.
    min_overlap
        Least share of a lesion's voxels that must be marked; 0 means any voxel.
    min_voxels
        Smaller components are left out, of the reference and of the marks.

    Returns
    -------
    Tensor
        ``(B,)``, between 0 and 1.
    """
    _checked(min_overlap, min_voxels)
    output, reference = checked_masks(output, reference)
    matched = [match_lesions(a, b, min_overlap, min_voxels) for a, b in zip(output, reference, strict=True)]
    shares = [m.found.mean() if len(m.found) else np.nan for m in matched]
    return torch.tensor(shares, dtype=torch.float64, device=output.device)


@metric(
    "false_lesions",
    unit="1",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    reference=REFERENCE,
    oracle=ORACLE,
    family="segmentation",
)
def false_lesions(output: Tensor, reference: Tensor, *, min_overlap: float = 0.1, min_voxels: int = 1) -> Tensor:
    """Count the marked components of a case that are no lesion.

    Defined for every case: with an empty reference every marked component is false. Parameters as
    :func:`lesion_sensitivity`.
    """
    _checked(min_overlap, min_voxels)
    output, reference = checked_masks(output, reference)
    counts = [match_lesions(a, b, min_overlap, min_voxels).false for a, b in zip(output, reference, strict=True)]
    return torch.tensor(counts, dtype=torch.float64, device=output.device)


@metric(
    "lesion_counts",
    unit="1",
    direction=Direction.NONE,
    roles=("output", "reference"),
    kind=Kind.VECTOR,
    reference=REFERENCE,
    oracle=ORACLE,
    family="segmentation",
)
def lesion_counts(
    output: Tensor,
    reference: Tensor,
    *,
    spacing_mm: Tensor,
    edges_ml: tuple[float, ...] = (0.1, 1.0),
    min_overlap: float = 0.1,
    min_voxels: int = 1,
) -> dict[str, Tensor]:
    """Lesions and found lesions of a case by size, and the number of false ones.

    Components ``lesions <0.1 mL``, ``found <0.1 mL``, ... for the sizes that ``edges_ml`` separates, and ``false``.
    Counts, so that a ratio over patients keeps lesions of one patient together. In two dimensions a thickness of 1 mm
    is taken.

    Defined for every case.

    Parameters
    ----------
    output, reference, min_overlap, min_voxels
        As :func:`lesion_sensitivity`.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    edges_ml
        Rising volumes in mL that separate small from larger lesions.
    """
    _checked(min_overlap, min_voxels)
    edges = tuple(edges_ml)
    if not edges or list(edges) != sorted(set(edges)) or edges[0] <= 0:
        raise UsageProblem(
            f"edges_ml is {edges}.", code="MET-014", where="edges_ml", action="Give rising volumes in mL, above 0."
        )
    output, reference = checked_masks(output, reference)
    voxel_ml = (checked_spacing(spacing_mm, output).prod(1) / 1000).tolist()
    names = [f"<{edges[0]:g} mL", *[f"{a:g}-{b:g} mL" for a, b in pairwise(edges)]]
    names.append(f">={edges[-1]:g} mL")
    columns: dict[str, list[float]] = {f"{what} {name}": [] for name in names for what in ("lesions", "found")}
    columns["false"] = []
    for k in range(output.shape[0]):
        matched = match_lesions(output[k], reference[k], min_overlap, min_voxels)
        size = np.searchsorted(edges, matched.voxels * voxel_ml[k], side="right")
        for j, name in enumerate(names):
            columns[f"lesions {name}"].append(float((size == j).sum()))
            columns[f"found {name}"].append(float(matched.found[size == j].sum()))
        columns["false"].append(float(matched.false))
    return {name: torch.tensor(v, dtype=torch.float64, device=output.device) for name, v in columns.items()}
