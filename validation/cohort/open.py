"""Opening a cohort: the case table joined with what the headers say, and images loaded one case at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from validation.cohort.case import Case, assemble
from validation.cohort.contents import (
    LESIONS,
    TEXT_PREFIX,
    content_columns,
    content_file,
    read_lesions,
    read_text,
)
from validation.cohort.pseudonyms import pseudonyms, study_key
from validation.cohort.spec import CohortSpec
from validation.cohort.table import case_table, role_columns
from validation.dicom.image import Image, Tag
from validation.dicom.locators import SeriesIndex, inspect_image, locator_files, read_image
from validation.errors import DataProblem

if TYPE_CHECKING:
    import pandas as pd


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
    listed
        As ``cases``, rejected cases included.
    listed
        The case table as it was read, rejected cases included, without header columns.
    findings
        Conflicts between table and headers, and what headers warn of (gantry tilt, missing slices).
    rejections
        ``case_id`` -> why it cannot be read (only with ``unreadable: reject``).
    folder, table_path
        Where locators start, and the table.
    """

    def __init__(self, spec: CohortSpec, root: Path) -> None:
        import pandas as pd

        self.spec = spec
        self.folder = root / spec.folder
        self.table_path = root / spec.table
        if not self.folder.is_dir():
            raise DataProblem(
                "there is no such cohort folder.",
                code="COH-010",
                where=str(self.folder),
                why="Locators start there.",
                action="Check `folder` in study.yaml.",
            )
        self.index = SeriesIndex(self.folder)
        self.findings: list[Finding] = []
        self.rejections: dict[str, str] = {}
        self.listed: pd.DataFrame = case_table(spec, self.table_path).sort_index()
        if spec.kind == "table":  # record numbers of a hospital often serve as case ids
            self.listed.index = pd.Index(pseudonyms(self.listed.index, study_key(root)), name="case_id")
            self.listed = self.listed.sort_index()
        self.roles = role_columns(self.listed) if spec.kind == "images" else []
        self.contents = content_columns(self.listed) if spec.kind == "images" else []
        self._join(self._inspect())
        self.cases: pd.DataFrame = self.listed.drop(index=list(self.rejections))
        if self.cases.empty:
            raise DataProblem(
                f"none of the {self.n_listed} cases can be read.",
                code="COH-015",
                where=str(self.table_path),
                why="There is nothing to evaluate.",
                action="Set `unreadable: stop` to see why the first one is refused.",
            )

    @property
    def n_listed(self) -> int:
        """Number of cases in the table."""
        return len(self.listed)

    def locator(self, case_id: str, column: str) -> str | None:
        """Return the locator in a role column, ``None`` for an empty mask cell."""
        cell = self.listed.at[case_id, column]
        return cell if isinstance(cell, str) and cell.strip() else None

    def files(self, case_id: str) -> list[Path]:
        """Return every file of a case, sorted, without repeats."""
        found: set[Path] = set()
        for column in self.roles:
            locator = self.locator(case_id, column)
            if locator is not None:
                found.update(locator_files(locator, self.folder, self.index))
        for column in self.contents:
            cell = self.locator(case_id, column)
            path = content_file(column, cell, self.folder) if cell is not None else None
            if path is not None:
                found.add(path)
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
        return self._with_contents(assemble(case_id, images, self.spec))

    def _with_contents(self, case: Case) -> Case:
        """Return the case with its texts and lesions."""
        texts: dict[str, str] = {}
        lesions = None
        for column in self.contents:
            cell = self.locator(case.case_id, column)
            if cell is None:
                continue
            try:
                if column == LESIONS:
                    lesions = read_lesions(cell, self.folder, case.case_id)
                else:
                    texts[column.removeprefix(TEXT_PREFIX)] = read_text(cell, self.folder)
            except DataProblem as problem:
                raise _of_case(problem, case.case_id, column) from None
        return replace(case, texts=texts, lesions=lesions)

    def _inspect(self) -> pd.DataFrame:
        """Read headers case by case (never pixels); return their tags, one row per listed case."""
        import pandas as pd

        primary = next((r for r in ("input", "reference", "baseline") if r in self.roles), None)
        rows: dict[str, dict[str, Tag]] = {}
        for case_id in self.listed.index:
            for column in self.roles:
                locator = self.locator(case_id, column)
                if locator is None:
                    continue
                try:
                    tags, warnings = inspect_image(locator, self.folder, self.index)
                except DataProblem as problem:
                    if self.spec.unreadable == "stop":
                        raise _of_case(problem, case_id, column) from None
                    self.rejections[case_id] = f"{column}: {problem.code}: {problem.what}"
                    break
                self.findings += [Finding(case_id=case_id, column=column, text=text) for text in warnings]
                if column == primary:
                    rows[case_id] = tags
        return pd.DataFrame.from_dict(rows, orient="index").reindex(self.listed.index)

    def _join(self, headers: pd.DataFrame) -> None:
        """Add header columns to the table; where both have a value the table's wins and a conflict is a finding."""
        for column in headers.columns:
            if column not in self.listed.columns:
                self.listed[column] = headers[column]
                continue
            own, theirs = self.listed[column], headers[column]
            self.findings += [
                Finding(
                    case_id=case_id, column=column, text="table and image header disagree; the table's value is used"
                )
                for case_id in own.index[own.notna() & theirs.notna()]
                if not _agree(own[case_id], theirs[case_id])
            ]
            self.listed[column] = own.astype(object).where(own.notna(), theirs.astype(object)).infer_objects()


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
