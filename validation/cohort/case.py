"""One case: its images on one grid, in one unit, and what else is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from validation.cohort.spec import MASK_PREFIX, CohortSpec
from validation.dicom.image import Image, Tag, Vector
from validation.dicom.orientation import align
from validation.errors import DataProblem
from validation.metrics.detection.marks import Lesion

SPACING_TOLERANCE = 0.01
"""Relative difference of spacing allowed between the images of one case."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The images of one case.

    ``arrays`` maps a role (``input``, ``reference``, ``baseline``) to float32 values in ``unit``; ``masks`` maps a
    region name to bool. All have one shape, ``(rows, columns)`` or ``(slices, rows, columns)``, except that with
    ``upsampling`` (factors per axis) the input is coarser; the grid is then that of the others. ``spacing_mm`` is in
    array-axis order, empty when unknown. ``tags`` are allowed acquisition tags of the input. ``regular`` is False when
    slices are missing, unevenly spaced or sheared, so that three-dimensional metrics do not apply. ``directions`` and
    ``origin_mm`` place the grid in the patient (see :class:`~validation.dicom.image.Image`), empty when unknown;
    outputs that were made elsewhere are aligned by them. ``texts`` maps a name (``reference``, ``source``) to a
    text and ``lesions`` are those of the truth, ``None`` where the case table does not say (see
    :mod:`validation.cohort.contents`). Texts never leave the case: only what is measured of them is kept.
    """

    case_id: str
    arrays: dict[str, npt.NDArray[np.float32]]
    masks: dict[str, npt.NDArray[np.bool_]]
    spacing_mm: tuple[float, ...]
    unit: str
    tags: dict[str, Tag] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    regular: bool = True
    directions: tuple[Vector, ...] = ()
    origin_mm: tuple[float, ...] = ()
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    lesions: tuple[Lesion, ...] | None = None
    upsampling: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid on which outputs are expected and images are compared, ``()`` for a case without any."""
        for role, array in {**self.arrays, **self.masks}.items():
            factors = self.upsampling if role == "input" and self.upsampling else (1,) * array.ndim
            return tuple(n * factor for n, factor in zip(array.shape, factors, strict=True))
        return ()

    def on_grid(self, role: str) -> npt.NDArray[np.float32]:
        """Return an image on the grid of the case; a coarser input has each voxel repeated, nothing interpolated."""
        array = self.arrays[role]
        if role == "input":
            for axis, factor in enumerate(self.upsampling):
                array = array if factor == 1 else np.repeat(array, factor, axis)
        return array


def assemble(case_id: str, images: dict[str, Image], spec: CohortSpec) -> Case:
    """Check that the images of a case belong together and return them as a case.

    Raises
    ------
    DataProblem
        If they differ in shape (COH-011), grid (COH-012) or unit (COH-013), or do not state a unit (COH-014).
    """
    if not images:
        return Case(case_id=case_id, arrays={}, masks={}, spacing_mm=(), unit="")
    first_name = next((name for name in images if name != "input"), "input") if spec.upsampling else next(iter(images))
    first = images[first_name]
    factors = tuple((spec.upsampling or [])[-first.array.ndim :])
    coarse = _coarser(first, factors, first_name == "input", case_id) if factors else first
    source, source_unit = spec.arrays, spec.input_unit
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    units: dict[str, str] = {}
    spacing: tuple[float, ...] = ()
    warnings: list[str] = []
    for name, loaded in images.items():
        like = coarse if name == "input" else first
        image = align(loaded, like, where=f"case {case_id}, {name}")
        if image.array.shape != like.array.shape:
            raise DataProblem(
                f"{name} has shape {image.array.shape}, {first_name} has {first.array.shape}"
                + (f", and inputs are declared coarser by {list(factors)}." if factors else "."),
                code="COH-011",
                where=f"case {case_id}",
                why="Images of one case are compared voxel by voxel.",
                action="Resample them to one grid before the study.",
            )
        own = tuple(s / f for s, f in zip(image.spacing_mm, factors if name == "input" else (), strict=False))
        own = own or image.spacing_mm  # of a coarser input: that of the grid which it is a part of
        if own and spacing and not np.allclose(own, spacing, rtol=SPACING_TOLERANCE):
            raise DataProblem(
                f"{name} has a spacing of {image.spacing_mm} mm, which does not fit the {spacing} mm of the case.",
                code="COH-012",
                where=f"case {case_id}",
                why="Images of one case are compared voxel by voxel.",
                action="Resample them to one grid before the study.",
            )
        spacing = spacing or own
        warnings += [f"{name}: {text}" for text in image.warnings]
        if name.startswith(MASK_PREFIX):
            masks[name.removeprefix(MASK_PREFIX)] = image.array != 0
        elif name == "input" and source_unit is not None:
            arrays[name] = image.array
        elif image.unit:
            arrays[name], units[name] = image.array, image.unit
        elif source.unit is None:
            raise DataProblem(
                f"{name} does not state the unit of its values.",
                code="COH-014",
                where=f"case {case_id}",
                why="A margin in HU cannot be applied to values of unknown unit.",
                action="Set `arrays: {unit: HU}` (and slope, intercept if stored with an offset) in study.yaml.",
            )
        else:
            arrays[name] = np.asarray(image.array * source.slope + source.intercept, np.float32)
            units[name] = source.unit
    if len(set(units.values())) > 1:
        raise DataProblem(
            f"images of one case have different units: {', '.join(f'{n} {u}' for n, u in sorted(units.items()))}.",
            code="COH-013",
            where=f"case {case_id}",
            why="Values in different units cannot be compared.",
            action="Export all images of a case in one unit.",
        )
    if not spacing and source.spacing_mm is not None:
        spacing = tuple(source.spacing_mm[-first.array.ndim :])
    return Case(
        case_id=case_id,
        arrays=arrays,
        masks=masks,
        spacing_mm=spacing,
        unit=next(iter(units.values()), ""),
        tags=images.get("input", first).tags,
        warnings=tuple(warnings),
        regular=all(i.regular for i in images.values()),
        directions=first.directions,
        origin_mm=first.origin_mm,
        upsampling=factors,
    )


def _coarser(first: Image, factors: tuple[int, ...], is_input: bool, case_id: str) -> Image:
    """Return the grid of the input: that of ``first`` with blocks of ``factors`` voxels made one."""
    shape = first.array.shape
    if len(factors) != len(shape) or any(n % f for n, f in zip(shape, factors, strict=True) if not is_input):
        raise DataProblem(
            f"images of shape {shape} cannot be cut into the declared blocks of {list(factors)} voxels.",
            code="COH-011",
            where=f"case {case_id}",
            why="Each voxel of the input must cover a whole block of the output.",
            action="Correct `cohort.upsampling` in study.yaml, or crop the images.",
        )
    if is_input:
        return first
    blocks = first.array[tuple(slice(None, None, f) for f in factors)]
    origin = np.array(first.origin_mm)
    for direction, step, factor in zip(first.directions, first.spacing_mm, factors, strict=False):
        origin = origin + np.array(direction) * step * (factor - 1) / 2
    spacing = tuple(s * f for s, f in zip(first.spacing_mm, factors, strict=False))
    return replace(first, array=blocks, spacing_mm=spacing, origin_mm=tuple(float(v) for v in origin))
