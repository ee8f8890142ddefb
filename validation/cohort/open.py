"""Opening a cohort: the case table joined with what the headers say, and images loaded one case at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from validation.cohort.spec import MASK_PREFIX, CohortSpec
from validation.cohort.table import case_table, role_columns
from validation.dicom.image import Image, Tag
from validation.dicom.locators import SeriesIndex, locator_files, read_image, read_tags
from validation.errors import DataProblem

if TYPE_CHECKING:
    import pandas as pd

SPACING_TOLERANCE = 0.01
"""Relative difference of spacing allowed between the images of one case."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The images of one case.

    ``arrays`` maps a role (``input``, ``reference``, ``baseline``) to float32 values in ``unit``; ``masks`` maps a
    region name to bool. All have one shape, ``(rows, columns)`` or ``(slices, rows, columns)``. ``spacing_mm`` is in
    array-axis order, empty when unknown. ``tags`` are allowed acquisition tags of the input. ``regular`` is False when
    slices are missing, unevenly spaced or sheared, so that three-dimensional metrics do not apply.
    """

    case_id: str
    arrays: dict[str, npt.NDArray[np.float32]]
    masks: dict[str, npt.NDArray[np.bool_]]
    spacing_mm: tuple[float, ...]
    unit: str
    tags: dict[str, Tag] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    regular: bool = True


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a case that the dossier lists; ``text`` holds no identifying value."""

    case_id: str
    column: str
    text: str


class Cohort:
    """A case table whose images are read on demand; it never holds pixels.

    Attributes
    ----------
    cases
        Index ``case_id`` (text, sorted); columns of the table plus header columns. Rejected cases are not in it.
    findings
        Conflicts between table and headers.
    rejections
        ``case_id`` -> why it cannot be read (only with ``unreadable: reject``).
    folder, table_path
        Where locators start, and the table.
    """

    def __init__(self, spec: CohortSpec, root: Path) -> None:
        self.spec = spec
        self.folder = root / spec.folder
        self.table_path = root / spec.table
        if not self.folder.is_dir():
            raise DataProblem(
                "there is no such cohort folder.",
                code="COH-010",
                where=str(self.folder),
                action="Check `folder` in study.yaml.",
            )
        self.index = SeriesIndex(self.folder)
        self.findings: list[Finding] = []
        self.rejections: dict[str, str] = {}
        self.cases: pd.DataFrame = case_table(spec, self.table_path).sort_index()
        self.n_listed = len(self.cases)
        self.roles = role_columns(self.cases)
        self._add_header_columns()

    def locator(self, case_id: str, column: str) -> str | None:
        """Return the locator in a role column, ``None`` for an empty mask cell."""
        cell = self.cases.at[case_id, column]
        return str(cell) if isinstance(cell, str) and cell.strip() else None

    def files(self, case_id: str) -> list[Path]:
        """Return every file of a case, sorted, without repeats."""
        found: set[Path] = set()
        for column in self.roles:
            locator = self.locator(case_id, column)
            if locator is not None:
                found.update(locator_files(locator, self.folder, self.index))
        return sorted(found)

    def load(self, case_id: str) -> Case:
        """Read the images of a case.

        Raises
        ------
        DataProblem
            If an image cannot be read whole, or the images of the case differ in shape (COH-011), spacing (COH-012)
            or unit (COH-013), or do not state a unit (COH-014).
        """
        images: dict[str, Image] = {}
        for column in self.roles:
            locator = self.locator(case_id, column)
            if locator is not None:
                try:
                    images[column] = read_image(locator, self.folder, self.index)
                except DataProblem as problem:
                    raise _of_case(problem, case_id, column) from None
        return _assemble(case_id, images, self.spec)

    def _add_header_columns(self) -> None:
        """Read headers case by case (never pixels) and join their tags; the table's own value wins."""
        import pandas as pd

        primary = next((r for r in ("input", "reference", "baseline") if r in self.roles), None)
        rows: dict[str, dict[str, Tag]] = {}
        for case_id in self.cases.index:
            try:
                for column in self.roles:
                    locator = self.locator(case_id, column)
                    if locator is None:
                        continue
                    tags = read_tags(locator, self.folder, self.index)
                    if column == primary:
                        rows[case_id] = tags
            except DataProblem as problem:
                problem = _of_case(problem, case_id, column)
                if self.spec.unreadable == "stop":
                    raise problem from None
                self.rejections[case_id] = f"{problem.code}: {problem.what}"
        if self.rejections:
            self.cases = self.cases.drop(index=list(self.rejections))
            if self.cases.empty:
                raise DataProblem("no case can be read.", code="COH-015", where=str(self.table_path))
        headers = pd.DataFrame.from_dict(rows, orient="index").reindex(self.cases.index)
        for column in headers.columns:
            if column not in self.cases.columns:
                self.cases[column] = headers[column]
                continue
            own, theirs = self.cases[column], headers[column]
            for case_id in own.index[own.notna() & theirs.notna()]:
                if not _agree(own[case_id], theirs[case_id]):
                    self.findings.append(
                        Finding(case_id=case_id, column=column, text="table and image header disagree; table used")
                    )
            self.cases[column] = own.where(own.notna(), theirs)


def open_cohort(spec: CohortSpec, root: Path) -> Cohort:
    """Open a cohort whose paths are relative to ``root`` (the study folder): table and headers, no pixels.

    Raises
    ------
    DataProblem
        If the table or an image header is refused (unless the case may be rejected, see ``CohortSpec.unreadable``).
    """
    return Cohort(spec, root)


def _agree(own: Any, header: Any) -> bool:
    if isinstance(header, str):
        return str(own).strip().casefold() == header.casefold()
    try:
        return bool(np.isclose(float(own), float(header), rtol=1e-3))
    except (TypeError, ValueError):
        return False


def _of_case(problem: DataProblem, case_id: str, column: str) -> DataProblem:
    return DataProblem(
        problem.what,
        code=problem.code,
        where=f"case {case_id}, {column}, {problem.where}",
        why=problem.why,
        action=problem.action,
    )


def _assemble(case_id: str, images: dict[str, Image], spec: CohortSpec) -> Case:
    first_name = next(iter(images))
    first = images[first_name]
    source = spec.arrays
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    units: dict[str, str] = {}
    spacing: tuple[float, ...] = ()
    warnings: list[str] = []
    for name, image in images.items():
        if image.array.shape != first.array.shape:
            raise DataProblem(
                f"{name} has shape {image.array.shape}, {first_name} has {first.array.shape}.",
                code="COH-011",
                where=f"case {case_id}",
                why="Images of one case are compared voxel by voxel.",
                action="Resample them to one grid before the study.",
            )
        if image.spacing_mm and spacing and not np.allclose(image.spacing_mm, spacing, rtol=SPACING_TOLERANCE):
            raise DataProblem(
                f"{name} has a spacing of {image.spacing_mm} mm, other images of the case {spacing} mm.",
                code="COH-012",
                where=f"case {case_id}",
                why="Images of one case are compared voxel by voxel.",
                action="Resample them to one grid before the study.",
            )
        spacing = spacing or image.spacing_mm
        warnings += [f"{name}: {text}" for text in image.warnings]
        if name.startswith(MASK_PREFIX):
            masks[name.removeprefix(MASK_PREFIX)] = image.array != 0
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
        tags=first.tags,
        warnings=tuple(warnings),
        regular=all(i.regular for i in images.values()),
    )
