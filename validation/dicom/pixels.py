"""Decoding one DICOM file's pixels into rescaled values."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from validation.dicom.headers import Header
from validation.dicom.isolated import HELPER
from validation.errors import DataProblem

if TYPE_CHECKING:
    from pydicom import FileDataset

MONOCHROME = {"MONOCHROME1", "MONOCHROME2"}


_IN_PROCESS = ("pydicom", "pylibjpeg", "pyjpegls", "pillow")
"""Decoders in order of preference; what only GDCM reads is decoded by a helper process."""


def check_photometric(header: Header) -> None:
    """Refuse colour and palette images.

    Raises
    ------
    DataProblem
        DCM-005.
    """
    if header.photometric not in MONOCHROME:
        raise DataProblem(
            f"photometric interpretation {header.photometric or '(missing)'} is not greyscale.",
            code="DCM-005",
            where=str(header.path),
            why="Colour and palette values are not measurements in a physical unit.",
            action="Use the original greyscale series, not a screen capture.",
        )


def no_pixels(path: Path) -> DataProblem:
    """Return the problem of a file whose pixel data are absent (DCM-004)."""
    return DataProblem(
        "this DICOM file has a header but no pixel data, or was cut off before them.",
        code="DCM-004",
        where=str(path),
        why="There is nothing to measure.",
        action="Export the series with its pixel data.",
    )


def truncated(path: Path, detail: str = "") -> DataProblem:
    """Return the problem of a file that ends before its pixel data do (DCM-002)."""
    return DataProblem(
        f"the pixel data are damaged or shorter than the header declares{detail}.",
        code="DCM-002",
        where=str(path),
        why="A partial image would be measured as if it were whole.",
        action="Export or copy the file again.",
    )


def decode(ds: FileDataset, path: Path) -> npt.NDArray[Any]:
    """Return stored values, ``(rows, columns)`` or ``(frames, rows, columns)``, of any installed transfer syntax.

    Raises
    ------
    DataProblem
        If there are no pixels (DCM-004), fewer than the header declares (DCM-002), or no decoder for the transfer
        syntax (DCM-006).
    """
    if not any(k in ds for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise no_pixels(path)
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    syntax = getattr(ds.file_meta, "TransferSyntaxUID", None)
    if syntax is None or not syntax.is_transfer_syntax:
        raise DataProblem(
            "the file does not state its transfer syntax.",
            code="DCM-006",
            where=str(path),
            why="How its pixels are stored is unknown.",
            action="Export the file again.",
        )
    _check_codestream(ds, path)
    try:
        if not syntax.is_encapsulated:
            return pixel_array(ds, raw=True)
        available = get_decoder(syntax).available_plugins
        chosen = next((plugin for plugin in _IN_PROCESS if plugin in available), "")
        if chosen == "pillow" and ds.get("BitsAllocated") != 8:
            chosen = ""
        if not chosen and "gdcm" in available:
            return HELPER.decode(path)
        return pixel_array(ds, raw=True, decoding_plugin=chosen)
    except (NotImplementedError, RuntimeError) as error:
        missing = "no decoder" if isinstance(error, NotImplementedError) else "the pixel data cannot be decoded"
        raise DataProblem(
            f"{missing} ({syntax.name}).",
            code="DCM-006",
            where=str(path),
            why="The image cannot be read.",
            action="Convert the series to an uncompressed transfer syntax, or export it again if it is damaged.",
        ) from None
    except Exception as error:  # decoders let many kinds of error out of damaged files
        raise truncated(path, f" ({type(error).__name__})") from None


def _check_codestream(ds: FileDataset, path: Path) -> None:
    """Refuse JPEG 2000 frames that declare another size than the header, before a decoder allocates it.

    A codestream starts SOC (FF4F) SIZ (FF51), then Lsiz, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz (ISO/IEC 15444-1 A.5.1).
    """
    data = ds.get("PixelData")
    if not isinstance(data, bytes) or not ds.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    start = -1
    while (start := data.find(b"\xff\x4f\xff\x51", start + 1)) >= 0:
        field = data[start + 8 : start + 24]
        if len(field) < 16:
            raise truncated(path)
        width, height, left, top = struct.unpack(">IIII", field)
        if (height - top, width - left) != (ds.Rows, ds.Columns):
            raise truncated(path, ": a compressed frame has another size")


def rescale(stored: npt.NDArray[Any], slope: float | None, intercept: float | None) -> npt.NDArray[np.float32]:
    """Return ``slope * stored + intercept`` as float32 (PS3.3 C.7.6.16.2.9.1; slope 1 and intercept 0 if absent)."""
    values = stored.astype(np.float64) * (1.0 if slope is None else slope) + (0.0 if intercept is None else intercept)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is refused by check_finite
        return np.asarray(values, dtype=np.float32)


def check_finite(array: npt.NDArray[np.float32], where: str) -> None:
    """Refuse NaN and infinite values.

    Raises
    ------
    DataProblem
        DCM-023.
    """
    if not np.isfinite(array).all():
        raise DataProblem(
            f"{int((~np.isfinite(array)).sum())} voxels are not finite numbers.",
            code="DCM-023",
            where=where,
            why="One NaN makes every mean of the image NaN.",
            action="Save the image with real values everywhere.",
        )
