"""What every derived object states about its origin, and writing it whole."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from validation.dicom.sources import Derivation, of_patient_and_study
from validation.digest import write_atomically


def finish(ds: Any, how: Derivation, source: Any) -> None:
    """Add patient and study of the source, the model as equipment, the synthetic mark, and the time of the content."""
    for element in of_patient_and_study(source):
        if element.tag not in ds and element.keyword != "SpecificCharacterSet":
            ds[element.tag] = element
    for item in ds.get("ContributingEquipmentSequence") or []:
        if item.get("ManufacturerModelName") == "highdicom" and "ContributionDateTime" in item:
            del item.ContributionDateTime  # the time of writing, so that writing again would give other bytes
    ds.ContributingEquipmentSequence = [*ds.get("ContributingEquipmentSequence", []), how.equipment()]
    if how.synthetic:
        ds.SyntheticData = "YES"
    date, time = how.moment.strftime("%Y%m%d"), how.moment.strftime("%H%M%S")
    for prefix in ("Content", "InstanceCreation", "Series"):
        if f"{prefix}Date" in ds or prefix == "InstanceCreation":
            setattr(ds, f"{prefix}Date", date)
            setattr(ds, f"{prefix}Time", time)


def save(ds: Any, path: Path) -> Path:
    """Write an object whole or not at all, in UTF-8 where it holds other characters than ASCII."""
    settle_characters(ds)
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    write_atomically(path, stream.getvalue())
    return path


def settle_characters(ds: Any) -> None:
    """State the character set that the texts of a dataset need: none for ASCII, else ISO_IR 192 (PS3.3 C.12.1.1.2).

    Texts must be decoded already, as :func:`validation.dicom.sources.complete` does for those of a source.
    """
    plain = True

    def look(_dataset: Any, element: Any) -> None:
        nonlocal plain
        values = element.value if element.VM > 1 else [element.value]
        if element.VR in ("LO", "LT", "PN", "SH", "ST", "UC", "UT"):
            plain = plain and all(str(v).isascii() for v in values)

    ds.walk(look)
    for item in (ds, *(i for e in ds.iterall() if e.VR == "SQ" for i in e.value)):
        if "SpecificCharacterSet" in item:
            del item.SpecificCharacterSet
    if not plain:
        ds.SpecificCharacterSet = "ISO_IR 192"
