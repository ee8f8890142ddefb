"""Locators: the short names by which case tables and `measure` point at images.

============================== =====================================
``scans/p01``                  a folder with one DICOM series
``scans/p01/001.dcm``          one DICOM file
``volumes/p01.nii.gz``         NIfTI
``arrays/p01.npy``             NPY
``arrays/all.npz:p01``         one array of an NPZ archive
``series:1.2.840...``          the series of that UID, anywhere below the root
============================== =====================================

A locator never leaves its root: absolute paths, ``..`` and links that point outside are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from validation.dicom.arrays import check_nifti, check_npy, check_npz, read_nifti, read_npy, read_npz
from validation.dicom.headers import Header, read_header
from validation.dicom.image import Image, Tag
from validation.dicom.pixels import no_pixels
from validation.dicom.series import index_series, inspect_series, read_series, series_headers, series_tags
from validation.errors import DataProblem


class SeriesIndex:
    """Finds series by UID below a root; headers are scanned once, when the first ``series:`` locator asks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._found: dict[str, list[Path]] | None = None

    def files(self, uid: str) -> list[Path]:
        """Return the files of a series, in order of path (DataProblem DCM-007 if there are none)."""
        if self._found is None:
            self._found = index_series(self.root)
        if uid not in self._found:
            raise DataProblem(
                "there is no DICOM image of this series.",
                code="DCM-007",
                where=f"{self.root}, series:{uid}",
                why="The case has no image.",
                action="Check the UID in the case table.",
            )
        return self._found[uid]


@dataclass(frozen=True)
class Place:
    """A locator that was taken apart: its kind, its path (inside the root) and the key or UID after the colon."""

    kind: str
    path: Path
    key: str


def resolve(locator: str, root: Path) -> Place:
    """Take a locator apart and check that it stays inside ``root``.

    Raises
    ------
    DataProblem
        If it is empty, leaves the root, or is of no known kind (DCM-024).
    """
    text = locator.strip()
    if text.startswith("series:"):
        uid = text.removeprefix("series:")
        if not uid or len(uid) > 64 or set(uid) - set("0123456789."):
            raise _bad("a series locator is series: and a DICOM UID.", locator)
        return Place("series", root, uid)
    head, key = text, ""
    if ".npz:" in text.lower():
        cut = text.lower().index(".npz:") + 4
        head, key = text[:cut], text[cut + 1 :]
    if not head or "\0" in head or Path(head).is_absolute() or ".." in Path(head).parts:
        raise _bad("a locator is a relative path below the cohort folder.", locator)
    path = root / head
    if not path.resolve().is_relative_to(root.resolve()):
        raise _bad("this locator leads outside the cohort folder.", locator)
    name = path.name.lower()
    if name.endswith(".npz"):
        if not key:
            raise _bad("an NPZ locator names the array after a colon, as in scans.npz:full_dose.", locator)
        return Place("npz", path, key)
    if name.endswith(".npy"):
        return Place("npy", path, "")
    if name.endswith((".nii", ".nii.gz")):
        return Place("nifti", path, "")
    if path.is_dir():
        return Place("folder", path, "")
    return Place("dicom", path, "")


def read_image(locator: str, root: Path, index: SeriesIndex | None = None) -> Image:
    """Read the image that a locator names.

    Parameters
    ----------
    locator
        See the table above.
    root
        Folder that locators are relative to and may not leave.
    index
        Shared index for ``series:`` locators, so that a cohort is scanned once.

    Raises
    ------
    DataProblem
        If the locator leaves the root or the image cannot be read whole.
    """
    place = resolve(locator, root)
    if place.kind == "npz":
        return read_npz(place.path, place.key)
    if place.kind == "npy":
        return read_npy(place.path)
    if place.kind == "nifti":
        return read_nifti(place.path)
    return read_series(_headers(place, root, index), where=locator)


def inspect_image(locator: str, root: Path, index: SeriesIndex | None = None) -> tuple[dict[str, Tag], tuple[str, ...]]:
    """Check what a locator names without reading pixels; return its acquisition tags and warnings.

    DICOM headers are read one file at a time; a series must be whole, of one unit, without doubled slices. Arrays and
    NIfTI files have no tags; their declared type and size are checked.

    Raises
    ------
    DataProblem
        As :func:`read_image`, as far as headers tell.
    """
    place = resolve(locator, root)
    if place.kind == "npz":
        check_npz(place.path, place.key)
        return {}, ()
    if place.kind == "npy":
        check_npy(place.path)
        return {}, ()
    if place.kind == "nifti":
        check_nifti(place.path)
        return {}, ()
    ordered, _, warnings = inspect_series(_headers(place, root, index), locator)
    return series_tags(ordered), warnings


def locator_files(locator: str, root: Path, index: SeriesIndex | None = None) -> list[Path]:
    """Return every file that reading the locator touches, in order of path, for the seal."""
    place = resolve(locator, root)
    if place.kind == "folder":
        return sorted(h.path for h in series_headers(place.path))
    if place.kind == "series":
        return sorted((index or SeriesIndex(root)).files(place.key))
    return [place.path]


def _headers(place: Place, root: Path, index: SeriesIndex | None) -> list[Header]:
    if place.kind == "folder":
        return series_headers(place.path)
    if place.kind == "series":
        return [h for path in (index or SeriesIndex(root)).files(place.key) if (h := read_header(path)) is not None]
    header = read_header(place.path)
    if header is None:
        raise no_pixels(place.path)
    return [header]


def _bad(what: str, locator: str) -> DataProblem:
    return DataProblem(
        what,
        code="DCM-024",
        where=locator[:200],
        why="Only files inside the sealed cohort may be evaluated.",
        action="Correct the cell in the case table.",
    )
