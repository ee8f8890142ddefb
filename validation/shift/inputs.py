"""What can be compared: arrays of an NPZ archive, and folders of DICOM images, made into tables."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from validation.errors import DataProblem

SERIES = "series"


def table_of_arrays(path: Path, key: str | None = None) -> pd.DataFrame:
    """Return the arrays of an NPZ archive as a table with one row per case.

    A one-dimensional array is a column; (n, d) gives columns ``name_0`` to ``name_<d-1>``; (n, rows, columns) is a
    stack of images and gives its features (:func:`~validation.shift.features.image_features`). All must have the same
    n.

    Raises
    ------
    DataProblem
        SHF-007 if the arrays do not have one number of cases or cannot be used; DCM-021, DCM-022 for a damaged archive.
    """
    from validation.dicom.arrays import check_npz
    from validation.shift.features import image_features

    try:
        with zipfile.ZipFile(path) as archive:
            names = [i.filename.removesuffix(".npy") for i in archive.infolist()]
    except (OSError, zipfile.BadZipFile):
        raise DataProblem("the archive cannot be read.", code="SHF-007", where=str(path)) from None
    chosen = [key] if key is not None else names
    for name in chosen:
        check_npz(path, name)
    parts: list[pd.DataFrame] = []
    with np.load(path, allow_pickle=False) as archive:
        for name in chosen:
            try:
                array = archive[name]
            except (ValueError, OSError, KeyError, zipfile.BadZipFile):
                raise DataProblem("the array cannot be read.", code="SHF-007", where=f"{path}:{name}") from None
            if array.ndim == 1:
                parts.append(pd.DataFrame({name: array}))
            elif array.ndim == 2:
                parts.append(pd.DataFrame(array, columns=[f"{name}_{k}" for k in range(array.shape[1])]))
            elif array.ndim == 3:
                parts.append(image_features(array).add_prefix(f"{name}_" if len(chosen) > 1 else ""))
            else:
                raise DataProblem(
                    f"an array of shape {array.shape} has no cases.", code="SHF-007", where=f"{path}:{name}"
                )
    if not parts or len({len(p) for p in parts}) > 1:
        raise DataProblem(
            "the arrays do not have the same number of cases." if parts else "the archive holds no array.",
            code="SHF-007",
            where=str(path),
            action="Name one array after a colon, or give all arrays the same first axis.",
        )
    return pd.concat(parts, axis=1)


def table_of_images(folder: Path) -> pd.DataFrame:
    """Return one row per DICOM image below a folder: allowed header columns, image features, and a series pseudonym.

    No identifying attribute is read; ``series`` is a hash of the Series Instance UID, and serves as the cluster
    where the table knows no patient.

    Raises
    ------
    DataProblem
        SHF-007 if there is no image; codes DCM-* for files that cannot be read.
    """
    from validation.dicom.headers import read_header
    from validation.dicom.locators import read_image
    from validation.dicom.series import dicom_files
    from validation.shift.features import image_features

    rows: list[dict[str, Any]] = []
    for path in dicom_files(folder):
        header = read_header(path)
        if header is None:
            continue
        array = read_image(path.name, path.parent).array
        stack = array[None] if array.ndim == 2 else array
        mean = image_features(stack).mean()
        series = hashlib.sha256(header.series_uid.encode()).hexdigest()[:12]
        rows.append({SERIES: series, **header.tags, **{str(k): v for k, v in mean.items()}})
    if not rows:
        raise DataProblem("there is no DICOM image below this folder.", code="SHF-007", where=str(folder))
    return pd.DataFrame(rows)
