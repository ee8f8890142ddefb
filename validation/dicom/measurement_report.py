"""Measurements as a DICOM structured report (TID 1500, PS3.16), and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validation.dicom.finishing import finish, save
from validation.dicom.headers import read_dataset
from validation.dicom.sources import Derivation, complete, ordered_headers, refused
from validation.dicom.structures import structure
from validation.dicom.uids import derived_uid

Code = tuple[str, str, str]
"""Value, scheme and meaning of a coded concept."""

REPORTS = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measured value: what (coded), how much, and its UCUM unit (coded)."""

    name: Code
    value: float
    unit: Code

    @classmethod
    def volume(cls, value_mm3: float) -> Measure:
        """Return a volume in mm3 (SCT 118565006)."""
        return cls(name=("118565006", "SCT", "Volume"), value=value_mm3, unit=("mm3", "UCUM", "cubic millimeter"))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Measurements of one structure of a segmentation, or of the whole image (``segment`` 0)."""

    label: str
    measures: tuple[Measure, ...] = ()
    segment: int = 0


def write_measurements(
    findings: Sequence[Finding],
    source: Sequence[Path],
    path: Path,
    how: Derivation,
    segmentation: Path | None = None,
) -> Path:
    """Write findings as a Comprehensive 3D SR that refers to its source images, and return its path.

    Parameters
    ----------
    findings
        Measurement groups; those with a segment refer to that segment of ``segmentation``.
    source
        Single-frame files of the series that was measured.
    path
        New file.
    how
        Origin: the model is the device observer, and the algorithm of every group. The report is partial and
        unverified (PS3.3 C.17.2): only a person verifies.
    segmentation
        Segmentation object of the same source.

    Raises
    ------
    DataProblem
        DCM-033 if the file exists, DCM-031 if a value is not finite, DCM-036 if there is nothing to report or a segment
        is not in the segmentation.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    if path.exists():
        raise refused("the file exists.", "DCM-033", path)
    headers = ordered_headers(source, path)
    images = [complete(read_dataset(h.path)) for h in headers]
    segments = None if segmentation is None else read_dataset(segmentation)
    known = set() if segments is None else {int(s.SegmentNumber) for s in segments.SegmentSequence}
    if not findings or any(f.segment and f.segment not in known for f in findings):
        raise refused("there is nothing to report, or a segment that the segmentation does not have.", "DCM-036", path)
    values = [m.value for f in findings for m in f.measures]
    if not all(abs(value) < 1e15 for value in values):
        raise refused("a measured value is not finite.", "DCM-031", path)
    series = str(images[0].SeriesInstanceUID)
    identity = (how.digest, series, *(f"{f.label}/{f.segment}" for f in findings))
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("device", how.manufacturer, how.model_name, how.software_version),
            name=how.model_name,
            manufacturer_name=how.manufacturer,
            model_name=how.model_name,
        ),
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion if images[0].Modality == "CT" else _procedure(),
        imaging_measurements=[_group(f, number, images, segments, how) for number, f in enumerate(findings, 1)],
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=images,
    )
    evidence = [*images, *([] if segments is None else [segments])]
    made = hd.sr.Comprehensive3DSR(
        evidence=evidence,
        content=report[0],
        series_instance_uid=derived_uid("sr-series", *identity),
        series_number=how.series_number + 3,
        sop_instance_uid=derived_uid("sr", *identity),
        instance_number=1,
        manufacturer=how.manufacturer,
        manufacturer_model_name=how.model_name,
        software_versions=how.software_version,
        device_serial_number=how.digest[:16],
        series_description=how.series_description[:64],
    )
    finish(made, how, images[0])
    return save(made, path)


def read_measurements(path: Path) -> list[Finding]:
    """Return the measurement groups of a TID 1500 report, with labels, values and units.

    Raises
    ------
    DataProblem
        DCM-036 if the file is no such report.
    """
    import highdicom as hd

    ds = read_dataset(path)
    if str(ds.get("SOPClassUID")) not in REPORTS:
        raise refused("this file is not a measurement report.", "DCM-036", path)
    try:
        content: Any = hd.sr.srread(path).content
        groups = [*content.get_volumetric_roi_measurement_groups(), *content.get_image_measurement_groups()]
    except (AttributeError, ValueError, KeyError, TypeError, RuntimeError):
        raise refused("this report does not follow TID 1500.", "DCM-036", path) from None
    found = []
    for group in groups:
        segment = 0
        for item in group[0].ContentSequence:
            for reference in item.get("ReferencedSOPSequence") or []:
                segment = int(reference.get("ReferencedSegmentNumber") or segment)
        measures = tuple(
            Measure(name=_triple(m.name), value=float(m.value), unit=_triple(m.unit)) for m in group.get_measurements()
        )
        found.append(Finding(label=str(group.tracking_identifier), measures=measures, segment=segment))
    return found


def _group(finding: Finding, number: int, images: Sequence[Any], segments: Any, how: Derivation) -> Any:
    import highdicom as hd
    from pydicom.sr import coding

    known = structure(finding.label)
    identity = (how.digest, str(images[0].SeriesInstanceUID))
    shared: dict[str, Any] = {
        "tracking_identifier": hd.sr.TrackingIdentifier(
            uid=derived_uid("segment", *identity, finding.label)
            if finding.segment
            else derived_uid("finding", *identity, str(number)),
            identifier=finding.label,
        ),
        "finding_type": coding.Code(*known.type),
        "finding_category": coding.Code(*known.category),
        "algorithm_id": hd.sr.AlgorithmIdentification(name=how.model_name, version=how.software_version),
        "measurements": [
            hd.sr.Measurement(name=coding.Code(*m.name), value=m.value, unit=coding.Code(*m.unit))
            for m in finding.measures
        ],
    }
    if not finding.segment:
        return hd.sr.MeasurementsAndQualitativeEvaluations(
            source_images=[hd.sr.SourceImageForMeasurementGroup.from_source_image(image) for image in images[:1]],
            **shared,
        )
    sources = [hd.sr.SourceImageForSegmentation.from_source_image(image) for image in images]
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segments.SOPClassUID,
            sop_instance_uid=segments.SOPInstanceUID,
            segment_number=finding.segment,
            source_images=sources,
        ),
        **shared,
    )


def _procedure() -> Any:
    from pydicom.sr.coding import Code

    return Code("363679005", "SCT", "Imaging procedure")


def _triple(code: Any) -> Code:
    return str(code.value), str(code.scheme_designator), str(code.meaning)
