"""Reading one DICOM header into the few facts that placing, rescaling and describing a slice need."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.dicom.image import MAXIMUM_VOXELS, Tag, Vector
from validation.dicom.tags import acquisition_tags
from validation.errors import DataProblem

if TYPE_CHECKING:
    from pydicom import FileDataset

_UNITS = {
    "HU": "HU",
    "HU_MOD": "HU",
    "US": "1",
    "GY": "Gy",
    "BQML": "Bq/mL",
    "CNTS": "counts",
    "OD": "OD",
    "MGML": "mg/mL",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a DICOM image file says about itself, without pixels.

    Lengths in mm; ``position`` and ``orientation`` in the patient coordinate system (PS3.3 C.7.6.2.1.1);
    ``pixel_spacing`` is row spacing, then column spacing (PS3.3 10.7.1.3). ``None`` where the file is silent.
    ``complete`` is False when the file ends before its pixel data do, ``None`` when it has no pixel data at all.
    """

    path: Path
    series_uid: str
    sop_uid: str
    modality: str
    rows: int
    columns: int
    frames: int
    photometric: str
    position: Vector | None
    orientation: tuple[Vector, Vector] | None
    pixel_spacing: tuple[float, float] | None
    slope: float | None
    intercept: float | None
    unit: str
    tilt: float
    enhanced: bool
    complete: bool | None
    tags: dict[str, Tag]


def looks_like_dicom(path: Path) -> bool:
    """Return whether the file has the DICOM preamble (PS3.10 7.1)."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_dataset(path: Path) -> FileDataset:
    """Read a whole DICOM file.

    Raises
    ------
    DataProblem
        If it is missing, is not DICOM (DCM-001), or ends before its data do (DCM-002).
    """
    import pydicom

    with _refusing(path):
        ds = pydicom.dcmread(path)
        ds.walk(lambda _dataset, _element: None)  # pydicom converts values late; damaged ones must be found here
        return ds


def parse_dataset(data: bytes, where: str) -> FileDataset:
    """Read a whole DICOM file from memory, as :func:`read_dataset` does from disk.

    Raises
    ------
    DataProblem
        As :func:`read_dataset`; also if an image lacks pixels (DCM-002) or declares an impossible size (DCM-003).
    """
    import io

    import pydicom

    with _refusing(where, data[:4096]):
        ds = pydicom.dcmread(io.BytesIO(data))
        ds.walk(lambda _dataset, _element: None)
        if header_of(ds, Path(where)) is not None and not _whole(ds):
            raise EOFError
        return ds


def _whole(ds: Any) -> bool:
    """Return whether an image has all its pixels: pydicom reads a value that is cut short without a word."""
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        return bool(ds.get("PixelData"))
    for keyword, bits in (
        ("PixelData", int(ds.get("BitsAllocated") or 0)),
        ("FloatPixelData", 32),
        ("DoubleFloatPixelData", 64),
    ):
        if keyword in ds:
            frames = int(ds.get("NumberOfFrames") or 1)
            count = int(ds.Rows) * int(ds.Columns) * int(ds.get("SamplesPerPixel") or 1) * frames
            return len(ds[keyword].value) >= (count * bits + 7) // 8 > 0
    return False


def read_header(path: Path) -> Header | None:
    """Read a DICOM image up to its pixel data; ``None`` for files without image (DICOMDIR, RT structures, reports).

    Raises
    ------
    DataProblem
        As :func:`read_dataset`; also if declared sizes are impossible (DCM-003).
    """
    from pydicom.filereader import read_partial

    ends: list[int] = []  # size of the pixel data element, its own header included

    def at_pixels(tag: Any, vr: str | None, size: int) -> bool:
        if tag not in _PIXELS:
            return False
        ends.append(0 if size == _UNDEFINED else size + (8 if vr is None else 12))
        return True

    with _refusing(path), path.open("rb") as stream:
        ds = read_partial(stream, stop_when=at_pixels)
        left = path.stat().st_size - stream.tell()
        return header_of(ds, path, complete=None if not ends else ends[0] <= left)


_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}  # float, double and integer pixel data
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_UNDEFINED = 0xFFFFFFFF  # encapsulated: only the decoder can tell whether it is whole


@contextmanager
def _refusing(where: Path | str, head: bytes | None = None) -> Iterator[None]:
    """Turn what pydicom raises on strange files into a DataProblem; ``head`` is the beginning of data in memory."""
    import pydicom.config
    from pydicom.errors import InvalidDicomError

    # pydicom's warnings quote values, which may identify a patient, and end up on the terminal
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    try:
        if head is None:
            with Path(where).open("rb") as stream:
                head = stream.read(4096)
        if _DEFLATED in head:
            raise DataProblem(
                "the transfer syntax Deflated Explicit VR is not read.",
                code="DCM-006",
                where=str(where),
                why="A small deflated file can unpack to any size.",
                action="Convert the series to an uncompressed transfer syntax.",
            )
        yield
    except DataProblem:
        raise
    except InvalidDicomError:
        raise DataProblem(
            "this file is not DICOM.",
            code="DCM-001",
            where=str(where),
            why="An image that cannot be read would silently leave the cohort.",
            action="Remove the file from the series or export it again.",
        ) from None
    except FileNotFoundError:
        raise DataProblem(
            "there is no such file.",
            code="DCM-001",
            where=str(where),
            why="The case has no image.",
            action="Check the path in the case table.",
        ) from None
    except Exception as error:  # pydicom lets many kinds of error out of damaged files
        raise DataProblem(
            f"this DICOM file is damaged or truncated ({type(error).__name__}).",
            code="DCM-002",
            where=str(where),
            why="A partial image would be measured as if it were whole.",
            action="Export or copy the file again.",
        ) from None


def header_of(ds: Any, path: Path, *, complete: bool | None = True) -> Header | None:
    """Return the facts of a dataset that is already in memory."""
    if "Rows" not in ds or "Columns" not in ds:
        if _should_be_image(ds):
            raise DataProblem(
                "this DICOM image ends before its header does, or states no size.",
                code="DCM-002",
                where=str(path),
                why="A damaged slice would silently leave the series.",
                action="Export or copy the file again.",
            )
        return None
    rows, columns = _integer(ds, "Rows", path), _integer(ds, "Columns", path)
    frames = _integer(ds, "NumberOfFrames", path) if ds.get("NumberOfFrames") not in (None, "") else 1
    if min(rows, columns, frames) < 1 or rows * columns * frames > MAXIMUM_VOXELS:
        raise DataProblem(
            f"the header declares {frames} x {rows} x {columns} pixels, which is not an image that can be read.",
            code="DCM-003",
            where=str(path),
            why=f"The size is impossible or beyond {MAXIMUM_VOXELS} voxels.",
            action="Export the file again.",
        )
    orientation = _floats(ds.get("ImageOrientationPatient"), 6)
    position = _floats(ds.get("ImagePositionPatient"), 3)
    spacing = _floats(ds.get("PixelSpacing"), 2)
    tags = acquisition_tags(ds)
    tilt = tags.get("gantry_tilt_deg", 0.0)
    return Header(
        path=path,
        series_uid=str(ds.get("SeriesInstanceUID", "")),
        sop_uid=str(ds.get("SOPInstanceUID", "")),
        modality=str(ds.get("Modality", "")),
        rows=rows,
        columns=columns,
        frames=frames,
        photometric=str(ds.get("PhotometricInterpretation", "")),
        position=None if position is None else (position[0], position[1], position[2]),
        orientation=None
        if orientation is None
        else ((orientation[0], orientation[1], orientation[2]), (orientation[3], orientation[4], orientation[5])),
        pixel_spacing=None if spacing is None or min(spacing) <= 0 else (spacing[0], spacing[1]),
        slope=number_of(ds, "RescaleSlope"),
        intercept=number_of(ds, "RescaleIntercept"),
        unit=unit_of(ds),
        tilt=tilt if isinstance(tilt, float) else 0.0,
        complete=complete,
        enhanced="PerFrameFunctionalGroupsSequence" in ds,
        tags=tags,
    )


def _should_be_image(ds: Any) -> bool:
    """Return whether the SOP class is one of images, or is missing, so that an absent size means damage."""
    from pydicom.uid import UID

    meta = getattr(ds, "file_meta", None)
    uid = (meta.get("MediaStorageSOPClassUID") if meta is not None else None) or ds.get("SOPClassUID")
    if not uid:
        return True
    name = UID(str(uid)).name
    return "Image Storage" in name or name in ("RT Dose Storage", "Segmentation Storage", "Parametric Map Storage")


def unit_of(ds: Any) -> str:
    """Return the unit of rescaled values: Rescale Type, PET Units or Dose Units; HU for CT that does not say otherwise.

    Rescale Type is required for CT only when the unit is not HU (PS3.3 C.8.2.1), so silence means HU there. Magnetic
    resonance and projection images have arbitrary units, ``"1"``.
    """
    modality = str(ds.get("Modality", ""))
    declared = str(ds.get({"PT": "Units", "RTDOSE": "DoseUnits"}.get(modality, "RescaleType")) or "").strip().upper()
    if declared:
        return _UNITS.get(declared, declared)
    return "HU" if modality == "CT" else "1"


def number_of(ds: Any, keyword: str) -> float | None:
    """Return a numeric attribute, ``None`` when absent, empty or not finite."""
    value = ds.get(keyword)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _integer(ds: Any, keyword: str, path: Path) -> int:
    try:
        return int(ds[keyword].value)
    except (TypeError, ValueError):
        raise DataProblem(
            f"{keyword} is not a whole number.",
            code="DCM-003",
            where=str(path),
            why="The size of the image is unknown.",
            action="Export the file again.",
        ) from None


def _floats(value: Any, count: int) -> list[float] | None:
    try:
        numbers = [float(v) for v in value]
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(math.isfinite(n) for n in numbers) else None
