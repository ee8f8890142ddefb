"""A DICOM series from files of any nesting, as one image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from validation.dicom.geometry import Stack, stack
from validation.dicom.headers import Header, header_of, looks_like_dicom, number_of, read_dataset, read_header
from validation.dicom.image import MAXIMUM_VOXELS, Image, Tag
from validation.dicom.pixels import check_finite, check_photometric, decode, no_pixels, rescale, truncated
from validation.errors import DataProblem


def dicom_files(folder: Path) -> Iterator[Path]:
    """Yield files with a DICOM preamble below a folder, in order of path.

    Raises
    ------
    DataProblem
        If a file with a DICOM suffix is not DICOM (DCM-001), or a link leaves the folder (DCM-024).
    """
    top = folder.resolve()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() or p.is_symlink()):
        if not path.resolve().is_relative_to(top):
            raise DataProblem(
                "this link leads outside the folder of its series.",
                code="DCM-024",
                where=str(path),
                why="Only files inside the sealed cohort may be evaluated.",
                action="Copy the file into the cohort folder.",
            )
        if not path.is_file():
            continue
        if looks_like_dicom(path):
            yield path
        elif path.suffix.lower() in (".dcm", ".dicom", ".ima"):
            raise DataProblem(
                f"this file is named {path.suffix} but is not DICOM.",
                code="DCM-001",
                where=str(path),
                why="A slice may be missing from the series.",
                action="Remove the file or export it again.",
            )


def index_series(folder: Path) -> dict[str, list[Path]]:
    """Return the image files below a folder by Series Instance UID; headers are read one at a time and dropped."""
    found: dict[str, list[Path]] = {}
    for path in dicom_files(folder):
        header = read_header(path)
        if header is not None:
            found.setdefault(header.series_uid, []).append(path)
    return found


def series_headers(folder: Path, uid: str | None = None) -> list[Header]:
    """Return the headers of the one series in a folder, or of the series ``uid``.

    Raises
    ------
    DataProblem
        If there is no DICOM image (DCM-007), or more than one series and no ``uid`` (DCM-008).
    """
    if not folder.is_dir():
        raise DataProblem(
            "there is no such folder.",
            code="DCM-007",
            where=str(folder),
            why="The case has no image.",
            action="Check the path in the case table.",
        )
    headers = [h for path in dicom_files(folder) if (h := read_header(path)) is not None]
    if uid is not None:
        headers = [h for h in headers if h.series_uid == uid]
    if not headers:
        raise DataProblem(
            "there is no DICOM image in this folder." if uid is None else "there is no DICOM image of this series.",
            code="DCM-007",
            where=str(folder),
            why="The case has no image.",
            action="Check the path in the case table.",
        )
    if len({h.series_uid for h in headers}) > 1:
        raise DataProblem(
            f"this folder holds {len({h.series_uid for h in headers})} series.",
            code="DCM-008",
            where=str(folder),
            why="Which one the case means must not be guessed.",
            action="Name the series in the case table as series:<SeriesInstanceUID>, or give it its own folder.",
        )
    return headers


def check_series(headers: Sequence[Header], where: str) -> tuple[str, ...]:
    """Refuse files that do not belong together; return what is worth a warning.

    Raises
    ------
    DataProblem
        Doubled SOP Instance UIDs (DCM-009), mixed units, modalities or photometric interpretations (DCM-012),
        different sizes (DCM-013), or missing spacing in part of the files (DCM-014).
    """
    for header in headers:
        if header.complete is None:
            raise no_pixels(header.path)
        if not header.complete:
            raise truncated(header.path)
        check_photometric(header)
    doubled = sum(count - 1 for count in Counter(h.sop_uid for h in headers).values())
    if doubled:
        raise DataProblem(
            f"{doubled} file(s) repeat the SOP Instance UID of another file.",
            code="DCM-009",
            where=where,
            why="Slices would be counted twice, or an altered copy would replace the original.",
            action="Keep one file per SOP Instance UID.",
        )
    for name, values in {
        "units": {h.unit for h in headers},
        "modalities": {h.modality for h in headers},
        "photometric interpretations": {h.photometric for h in headers},
    }.items():
        if len(values) > 1:
            raise DataProblem(
                f"files of one series have different {name}: {', '.join(sorted(values))}.",
                code="DCM-012",
                where=where,
                why="Values in different units cannot be measured together.",
                action="Separate the images into series of one kind.",
            )
    if any(h.slope == 0 for h in headers):
        raise DataProblem(
            "the rescale slope is zero.",
            code="DCM-012",
            where=where,
            why="Every pixel would have the same value.",
            action="Export the series again.",
        )
    if len({h.slope is None or h.intercept is None for h in headers}) > 1:
        raise DataProblem(
            "some files of this series state rescale slope and intercept, others do not.",
            code="DCM-012",
            where=where,
            why="The unit of the others is unknown.",
            action="Export the series again.",
        )
    if len({(h.rows, h.columns) for h in headers}) > 1:
        raise _not_one_volume("slices of this series differ in size.", where)
    if len({h.pixel_spacing for h in headers}) > 1:
        raise _not_one_volume("slices of this series differ in pixel spacing.", where)
    warnings: list[str] = []
    if len({(h.slope, h.intercept) for h in headers}) > 1:
        warnings.append("rescale slope or intercept changes within the series; each slice is rescaled by its own")
    if headers[0].photometric == "MONOCHROME1":
        warnings.append("MONOCHROME1: values are kept as stored, only the display is inverted")
    return tuple(warnings)


def _not_one_volume(what: str, where: str) -> DataProblem:
    return DataProblem(
        what,
        code="DCM-013",
        where=where,
        why="They do not form one volume.",
        action="Separate them into series or cases of their own.",
    )


def series_tags(headers: Sequence[Header]) -> dict[str, Tag]:
    """Return the tags of a series: the common value, the median of numbers that vary, nothing where text varies."""
    tags: dict[str, Tag] = {}
    for column in dict.fromkeys(c for h in headers for c in h.tags):
        values = [h.tags[column] for h in headers if column in h.tags]
        if len(set(values)) == 1:
            tags[column] = values[0]
        elif not any(isinstance(v, str) for v in values):
            tags[column] = float(np.median([float(v) for v in values]))
    return tags


def inspect_series(headers: Sequence[Header], where: str) -> tuple[list[Header], Stack | None, tuple[str, ...]]:
    """Check a series without its pixels; return its headers in order of position, their geometry, and warnings.

    The geometry is ``None`` for a single file without position, and for multi-frame files, whose frames place
    themselves.

    Raises
    ------
    DataProblem
        As :func:`check_series` and :func:`validation.dicom.geometry.stack`; also if slices do not state their
        position (DCM-014), several files are multi-frame (DCM-013), or the series is too large (DCM-003).
    """
    warnings = check_series(headers, where)
    first = headers[0]
    if len(headers) == 1 and (first.frames > 1 or first.enhanced):
        return list(headers), None, warnings
    if any(h.frames > 1 for h in headers):
        raise _not_one_volume("several multi-frame files share this series.", where)
    if len(headers) * first.rows * first.columns > MAXIMUM_VOXELS:
        raise DataProblem(
            f"the series declares more than {MAXIMUM_VOXELS} voxels.",
            code="DCM-003",
            where=where,
            why="It would not fit into memory.",
            action="Split it into cases.",
        )
    placed = [(h.position, (*h.orientation[0], *h.orientation[1])) for h in headers if h.position and h.orientation]
    if len(placed) < len(headers):
        if len(headers) == 1:
            return list(headers), None, warnings
        raise DataProblem(
            "some slices do not state their position and orientation.",
            code="DCM-014",
            where=where,
            why="Their order cannot be established; instance numbers are not reliable.",
            action="Export the series with its geometry, or give single images cases of their own.",
        )
    geometry = stack(
        np.array([p for p, _ in placed]), np.array([o for _, o in placed]), declared_tilt_deg=first.tilt, where=where
    )
    return [headers[i] for i in geometry.order], geometry, (*warnings, *geometry.warnings)


def read_series(headers: Sequence[Header], where: str) -> Image:
    """Read the pixels of a series in order of position, rescaled.

    One file is decoded at a time into the volume. A series of one single-frame file is two-dimensional.

    Raises
    ------
    DataProblem
        As :func:`inspect_series` and :func:`validation.dicom.pixels.decode`.
    """
    ordered, geometry, found = inspect_series(headers, where)
    warnings = list(found)
    first = ordered[0]
    if first.frames > 1 or first.enhanced:
        from validation.dicom.multiframe import read_multiframe

        return read_multiframe(first, found)
    volume = np.empty((len(ordered), first.rows, first.columns), np.float32)
    padding = 0
    for i, header in enumerate(ordered):
        volume[i], padded = _read_slice(header)
        padding += padded
    check_finite(volume, where)
    if padding:
        warnings.append(f"{padding / volume.size:.2%} of the pixels hold the padding value, outside the reconstruction")
    if first.pixel_spacing is None:
        warnings.append("pixel spacing is not stated")
    single = len(ordered) == 1
    spacing: tuple[float, ...] = () if first.pixel_spacing is None else first.pixel_spacing
    if not single and spacing and geometry is not None and geometry.spacing_mm is not None:
        spacing = (geometry.spacing_mm, *spacing)
    directions = () if geometry is None else geometry.directions
    return Image(
        array=volume[0] if single else volume,
        spacing_mm=spacing,
        unit=first.unit,
        tags=series_tags(ordered),
        warnings=tuple(warnings),
        regular=geometry is None or geometry.regular,
        directions=directions[1:] if single else directions,
        origin_mm=() if geometry is None else geometry.origin_mm,
        files=tuple(h.path for h in ordered),
    )


def _read_slice(expected: Header) -> tuple[npt.NDArray[np.float32], int]:
    """Return rescaled values and how many pixels hold the padding value (PS3.3 C.7.5.1.1.2)."""
    ds = read_dataset(expected.path)
    header = header_of(ds, expected.path)
    if header is None or (header.rows, header.columns) != (expected.rows, expected.columns):
        raise truncated(expected.path, ": the file changed while it was read")
    stored = decode(ds, expected.path)
    if stored.shape != (header.rows, header.columns):
        raise truncated(expected.path, f": they decode to shape {stored.shape}")
    padding = number_of(ds, "PixelPaddingValue")
    padded = 0 if padding is None else int((stored == padding).sum())
    return rescale(stored, header.slope, header.intercept), padded
