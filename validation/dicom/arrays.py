"""NPY, NPZ and NIfTI files as images, with their declared sizes checked before anything is unpacked."""

from __future__ import annotations

import math
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from validation.dicom.image import MAXIMUM_VOXELS, Image, Vector
from validation.dicom.pixels import check_finite
from validation.errors import DataProblem


def check_npy(path: Path) -> None:
    """Refuse an NPY file by its header alone: missing (DCM-020), objects or impossible sizes (DCM-021)."""
    _require(path)
    try:
        with path.open("rb") as stream:
            _check_declared(stream, where=str(path))
    except (ValueError, OSError, EOFError) as error:
        raise _refused(error, str(path)) from None


def read_npy(path: Path) -> Image:
    """Read an NPY file; spacing and unit are unknown.

    Raises
    ------
    DataProblem
        As :func:`check_npy`; also if data are short (DCM-021) or not finite (DCM-023).
    """
    check_npy(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _refused(error, str(path)) from None
    return _image(array, path, str(path))


def check_npz(path: Path, key: str) -> None:
    """Refuse an array of an NPZ archive by its header alone; nothing is unpacked beyond the header.

    The headers of an archive are read once and remembered while the file keeps its size and time of change, so that a
    cohort in one archive is opened in one pass.

    Raises
    ------
    DataProblem
        As :func:`check_npy`; also if the archive has no such key (DCM-022).
    """
    _require(path)
    where = f"{path}:{key}"
    status = path.stat()
    try:
        members = _npz_members(path, status.st_mtime_ns, status.st_size)
    except _DAMAGE as error:
        raise _refused(error, where) from None
    if key not in members:
        raise DataProblem(
            "the archive has no array of that name.",
            code="DCM-022",
            where=where,
            why="The case has no image.",
            action=f"Name one of its arrays after the colon: {', '.join(sorted(members)[:20])}.",
        )
    problem = members[key]
    if problem is not None:
        raise problem.with_traceback(None)


@lru_cache(maxsize=4)
def _npz_members(path: Path, mtime_ns: int, size: int) -> dict[str, DataProblem | None]:
    """Return what is wrong with each array of an archive, going by its header."""
    found: dict[str, DataProblem | None] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist()[:_MAXIMUM_MEMBERS]:
            key = info.filename.removesuffix(".npy")
            where = f"{path}:{key}"
            found[key] = None
            try:
                with archive.open(info) as stream:
                    _check_declared(stream, where=where)
            except DataProblem as problem:
                found[key] = problem
            except _DAMAGE as error:
                found[key] = _refused(error, where)
    return found


def read_npz(path: Path, key: str) -> Image:
    """Read one array of an NPZ archive; only that member is unpacked.

    Raises
    ------
    DataProblem
        As :func:`check_npz`; also if data are short (DCM-021) or not finite (DCM-023).
    """
    _require(path)
    where = f"{path}:{key}"
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{key}.npy" not in archive.NameToInfo:
                check_npz(path, key)
            with archive.open(f"{key}.npy") as stream:
                _check_declared(stream, where=where)
            with archive.open(f"{key}.npy") as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
                if stream.read(1):  # also makes zipfile compare the checksum
                    raise ValueError("more data than declared")
    except _DAMAGE as error:
        raise _refused(error, where) from None
    return _image(array, path, where)


_MAXIMUM_MEMBERS = 100_000
_DAMAGE = (ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


def check_nifti(path: Path) -> None:
    """Refuse a NIfTI file by its header alone: missing (DCM-020), unreadable or of impossible size (DCM-021)."""
    _open_nifti(path)


def read_nifti(path: Path) -> Image:
    """Read a NIfTI volume as ``(slices, rows, columns)``: NIfTI's (x, y, z) axes reversed, spacing in mm.

    Directions and origin are converted from NIfTI's coordinates (x to the right, y to the front) to DICOM's.

    Raises
    ------
    DataProblem
        As :func:`check_nifti`; also if data are short (DCM-021) or not finite (DCM-023).
    """
    volume, shape = _open_nifti(path)
    try:
        values = np.asarray(volume.dataobj, dtype=np.float32).reshape(shape)
    except (*_DAMAGE, MemoryError) as error:
        raise _refused(error, str(path)) from None
    header = volume.header
    unit = header.get_xyzt_units()[0]
    factor = {"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)
    spacing = tuple(round(float(z) * factor, 6) for z in reversed(header.get_zooms()[: len(shape)]))
    if min(spacing) <= 0:
        raise _unusable(f"the header declares a spacing of {spacing} mm.", str(path))
    warnings = [] if unit != "unknown" else ["NIfTI does not state its length unit; mm assumed"]
    directions: tuple[Vector, ...] = ()
    origin: tuple[float, ...] = ()
    if int(header["qform_code"]) or int(header["sform_code"]):
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(volume.affine, dtype=np.float64)
        axes = affine[:3, : len(shape)] / np.linalg.norm(affine[:3, : len(shape)], axis=0)
        directions = tuple((float(x), float(y), float(z)) for x, y, z in reversed(axes.T.tolist()))
        origin = tuple(float(v) * factor for v in affine[:3, 3])
    else:
        warnings.append("NIfTI does not state its orientation")
    return Image(
        array=_finite(np.ascontiguousarray(values.transpose()), str(path)),
        spacing_mm=spacing,
        unit="",
        warnings=tuple(warnings),
        directions=directions,
        origin_mm=origin,
        files=(path,),
    )


def _open_nifti(path: Path) -> tuple[Any, tuple[int, ...]]:
    import nibabel

    _require(path)
    try:
        volume: Any = nibabel.load(path)
        shape = tuple(int(n) for n in volume.shape)
    except (nibabel.filebasedimages.ImageFileError, *_DAMAGE) as error:
        raise _refused(error, str(path)) from None
    if not isinstance(volume, nibabel.Nifti1Image):
        raise _unusable("this file is not NIfTI.", str(path))
    _check_shape(shape, str(path))
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3):
        raise _unusable(f"the volume has {len(shape)} axes; 2 or 3 are read.", str(path))
    return volume, shape


def _require(path: Path) -> None:
    if not path.is_file():
        raise DataProblem(
            "there is no such file.",
            code="DCM-020",
            where=str(path),
            why="The case has no image.",
            action="Check the path in the case table.",
        )


def _check_declared(stream: Any, where: str) -> None:
    """Read the NPY header and refuse objects and sizes that cannot be an image."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise DataProblem(
            f"the array has type {dtype}; only plain numbers are read.",
            code="DCM-021",
            where=where,
            why="Python objects in array files can run code when they are loaded.",
            action="Save the image as a numeric array.",
        )
    _check_shape(shape, where)


def _check_shape(shape: tuple[int, ...], where: str) -> None:
    if math.prod(shape) > MAXIMUM_VOXELS or any(n < 1 for n in shape):
        raise _unusable(f"the header declares shape {shape}; an image has 1 to {MAXIMUM_VOXELS} voxels.", where)


def _unusable(what: str, where: str) -> DataProblem:
    return DataProblem(
        what,
        code="DCM-021",
        where=where,
        why="Nothing else than a two- or three-dimensional image of numbers can be measured.",
        action="Save the image again as one.",
    )


def _refused(error: Exception, where: str) -> DataProblem:
    return DataProblem(
        f"the file cannot be read: it is damaged, truncated or of another kind ({type(error).__name__}).",
        code="DCM-021",
        where=where,
        why="A partial image would be measured as if it were whole.",
        action="Save or copy the file again.",
    )


def _finite(array: npt.NDArray[np.float32], where: str) -> npt.NDArray[np.float32]:
    check_finite(array, where)
    return array


def _image(array: npt.NDArray[Any], path: Path, where: str) -> Image:
    if array.ndim not in (2, 3):
        raise _unusable(f"the array has shape {array.shape}; 2 or 3 axes are read.", where)
    return Image(array=_finite(np.asarray(array, np.float32), where), spacing_mm=(), unit="", files=(path,))
