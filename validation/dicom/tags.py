"""The allow-list: which DICOM attributes may leave a header, under which column name and in which unit.

Everything else (names, identifiers, dates, free text, private tags) stays behind. Attributes are those of PS3.3 that
describe equipment and acquisition, and none that PS3.15 Annex E (basic confidentiality profile) removes, except
patient sex and age in years, which the case table needs; ages above 89 are reported as 90
(45 CFR 164.514(b)(2)(i)(C)).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from validation.dicom.image import Tag


class Allowed(NamedTuple):
    """One attribute: DICOM keyword, column it becomes, unit of the column, and how its value is converted."""

    keyword: str
    column: str
    unit: str
    convert: Callable[[Any], Tag | None]


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        parts: Iterable[object] = [value]
    else:
        parts = value if isinstance(value, Iterable) else [value]
    text = "\\".join(" ".join(str(p).split()) for p in parts)
    printable = "".join(c for c in text if c.isprintable())[:64]
    return printable or None


def _number(value: Any) -> float | None:
    if not isinstance(value, str) and isinstance(value, Iterable):
        values = list(value)
        value = values[0] if len(values) == 1 else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < 1e12 else None


def _age_years(value: Any) -> float | None:
    """Convert an Age String (PS3.5 6.2): ``045Y``, ``018M``, ``006W``, ``010D``; 90 for anyone older than 89."""
    match = re.fullmatch(r"(\d{3})([YMWD])", str(value).strip())
    if match is None:
        return None
    years = int(match[1]) / {"Y": 1, "M": 12, "W": 52.1775, "D": 365.25}[match[2]]
    return 90.0 if years > 89 else round(years, 3)


def _sex(value: Any) -> str | None:
    text = str(value).strip().upper()
    return text if text in {"M", "F", "O"} else None


def _manufacturer(value: Any) -> str | None:
    """Give one maker one name: headers of the same maker differ in case and in legal form."""
    text = _text(value)
    if text is None:
        return None
    for pattern, name in _MAKERS:
        if re.match(pattern, text, re.IGNORECASE):
            return name
    return text


_MAKERS = (
    (r"ge( |$)|general electric", "GE"),
    (r"siemens", "Siemens"),
    (r"philips", "Philips"),
    (r"canon", "Canon"),
    (r"toshiba", "Canon"),
    (r"varian", "Varian"),
    (r"fujifilm", "Fujifilm"),
    (r"hitachi", "Hitachi"),
    (r"united imaging|uih( |$)", "United Imaging"),
)

ALLOWED: tuple[Allowed, ...] = (
    Allowed("Modality", "modality", "", _text),
    Allowed("Manufacturer", "manufacturer", "", _manufacturer),
    Allowed("ManufacturerModelName", "model_name", "", _text),
    Allowed("SoftwareVersions", "software_version", "", _text),
    Allowed("BodyPartExamined", "body_part", "", _text),
    Allowed("ImageType", "image_type", "", _text),
    Allowed("PhotometricInterpretation", "photometric_interpretation", "", _text),
    Allowed("ConvolutionKernel", "kernel", "", _text),
    Allowed("FilterType", "filter", "", _text),
    Allowed("KVP", "kvp", "kV", _number),
    Allowed("XRayTubeCurrent", "tube_current_ma", "mA", _number),
    Allowed("ExposureTime", "exposure_time_ms", "ms", _number),
    Allowed("Exposure", "exposure", "mA.s", _number),
    Allowed("CTDIvol", "ctdivol_mgy", "mGy", _number),
    Allowed("SpiralPitchFactor", "pitch", "1", _number),
    Allowed("SliceThickness", "slice_thickness_mm", "mm", _number),
    Allowed("SpacingBetweenSlices", "declared_slice_spacing_mm", "mm", _number),
    Allowed("ReconstructionDiameter", "reconstruction_diameter_mm", "mm", _number),
    Allowed("GantryDetectorTilt", "gantry_tilt_deg", "deg", _number),
    Allowed("PatientPosition", "patient_position", "", _text),
    Allowed("ContrastBolusAgent", "contrast_agent", "", lambda v: "given" if _text(v) else None),
    Allowed("MagneticFieldStrength", "field_strength_t", "T", _number),
    Allowed("ScanningSequence", "scanning_sequence", "", _text),
    Allowed("SequenceVariant", "sequence_variant", "", _text),
    Allowed("RepetitionTime", "repetition_time_ms", "ms", _number),
    Allowed("EchoTime", "echo_time_ms", "ms", _number),
    Allowed("InversionTime", "inversion_time_ms", "ms", _number),
    Allowed("FlipAngle", "flip_angle_deg", "deg", _number),
    Allowed("ReceiveCoilName", "coil", "", _text),
    Allowed("ViewPosition", "view_position", "", _text),
    Allowed("PatientSex", "sex", "", _sex),
    Allowed("PatientAge", "age_years", "a", _age_years),
)

COLUMNS: tuple[str, ...] = tuple(a.column for a in ALLOWED)


def acquisition_tags(dataset: Any) -> dict[str, Tag]:
    """Return the allowed attributes of a dataset by column name; attributes that are absent or unusable are left out.

    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.Manufacturer, ds.KVP, ds.PatientName, ds.PatientAge = "GE MEDICAL SYSTEMS", "120", "Doe^J", "093Y"
    >>> acquisition_tags(ds)
    {'manufacturer': 'GE', 'kvp': 120.0, 'age_years': 90.0}
    """
    tags: dict[str, Tag] = {}
    for allowed in ALLOWED:
        value = dataset.get(allowed.keyword)
        if value is None or value == "":
            continue
        converted = allowed.convert(value)
        if converted is not None:
            tags[allowed.column] = converted
    return tags
