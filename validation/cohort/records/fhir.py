"""FHIR R4 and R5 resources: bundles (JSON) and bulk exports (NDJSON), one event per coded fact."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from validation.cohort.records.tables import Event, Patient, Records
from validation.errors import DataProblem

_MOST_BYTES = 256 << 20
_SEX = {"female": "F", "male": "M"}
_SYSTEMS = {
    "http://loinc.org": "LOINC",
    "http://snomed.info/sct": "SNOMED",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "http://hl7.org/fhir/sid/icd-10": "ICD10",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD10CM",
    "http://hl7.org/fhir/sid/icd-9-cm": "ICD9CM",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "http://www.ama-assn.org/go/cpt": "CPT4",
    "http://www.whocc.no/atc": "ATC",
}
# resource -> (fields with its code, fields with its time), the first that is filled counts
_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Condition": (("code",), ("onsetDateTime", "onsetPeriod", "recordedDate")),
    "Observation": (("code",), ("effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued")),
    "Procedure": (("code",), ("performedDateTime", "performedPeriod", "occurrenceDateTime", "occurrencePeriod")),
    "Immunization": (("vaccineCode",), ("occurrenceDateTime",)),
    "MedicationRequest": (("medicationCodeableConcept", "medication"), ("authoredOn",)),
    "MedicationAdministration": (
        ("medicationCodeableConcept", "medication"),
        ("effectiveDateTime", "effectivePeriod", "occurenceDateTime", "occurencePeriod"),
    ),
    "MedicationStatement": (
        ("medicationCodeableConcept", "medication"),
        ("effectiveDateTime", "effectivePeriod", "dateAsserted"),
    ),
    "AllergyIntolerance": (("code",), ("onsetDateTime", "recordedDate")),
    "Encounter": (("type", "class"), ("period", "actualPeriod")),
}
_WITHDRAWN = {"entered-in-error", "cancelled", "not-done", "refuted"}


def read_fhir(source: Path) -> Records:
    """Read the resources of a file or of every ``.json`` and ``.ndjson`` file of a folder.

    Patients, and of the coded resources their first coding, time, quantity, encounter and place of service. Resources
    that were entered in error, cancelled or not done are left out and counted, as are kinds that are not read. Names,
    addresses, identifiers and texts are never read.

    Raises
    ------
    DataProblem
        REC-030 if there is no such file, or one is not JSON of FHIR resources; the line is named.
    """
    if source.is_file():
        files = [source]
    else:
        files = sorted(p for p in source.rglob("*") if p.suffix in {".json", ".ndjson"} and p.is_file())
    if not files:
        raise _refused("there is no .json or .ndjson file here", source)
    patients: dict[str, Patient] = {}
    left_out: Counter[str] = Counter()
    remarks: Counter[str] = Counter()
    # patients first, since an export may list them in a later file
    for path in files:
        for resource in _resources(path):
            if resource.get("resourceType") == "Patient":
                patient = _patient(resource, remarks, path)
                patients[patient.patient_id] = patient
    events = (e for path in files for r in _resources(path) for e in _events(r, left_out, remarks))
    return Records(kind="fhir", patients=patients, events=events, left_out=left_out, remarks=remarks)


def _resources(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the resources of a file; of a bundle its entries, with references by full URL replaced by ids."""
    if path.suffix == ".ndjson":
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _parsed(line, f"{path}:{number}")
        return
    if path.stat().st_size > _MOST_BYTES:
        raise _refused("a bundle of this size is not read whole; export it as NDJSON", path)
    content = _parsed(path.read_bytes(), str(path))
    if content.get("resourceType") != "Bundle":
        yield content
        return
    entries = [e for e in content.get("entry") or [] if isinstance(e, dict) and isinstance(e.get("resource"), dict)]
    known = {str(e["fullUrl"]): _id(e["resource"]) for e in entries if e.get("fullUrl")}
    for entry in entries:
        yield {**entry["resource"], "_known": known}


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("resourceType"), str):
        raise _refused("it is not JSON of a FHIR resource", Path(where))
    return content


def _patient(resource: dict[str, Any], remarks: Counter[str], path: Path) -> Patient:
    if not _id(resource):
        raise _refused("a patient has no id", path)
    sex = _SEX.get(str(resource.get("gender")))
    if sex is None:
        remarks["patient whose sex is neither F nor M"] += 1
    birth = str(resource.get("birthDate") or "")[:4]
    return Patient(
        patient_id=_id(resource),
        sex=sex,
        birth_year=int(birth) if birth.isdigit() else None,
        death_time=_time(resource.get("deceasedDateTime"), remarks),
    )


def _events(resource: dict[str, Any], left_out: Counter[str], remarks: Counter[str]) -> Iterator[Event]:
    kind = resource["resourceType"]
    if kind == "Patient":
        return
    if kind not in _FIELDS:
        left_out[f"{kind}: a kind of resource that is not read"] += 1
        return
    status = {str(resource.get("status")), *_codes_of(resource.get("verificationStatus"))}
    if status & _WITHDRAWN:
        left_out[f"{kind}: entered in error, cancelled or not done"] += 1
        return
    who = _reference(resource.get("subject") or resource.get("patient"), resource)
    if not who:
        left_out[f"{kind}: no patient"] += 1
        return
    codes, times = _FIELDS[kind]
    when = next((t for f in times if (t := _time(resource.get(f), remarks)) is not None), None)
    if when is None:
        left_out[f"{kind}: no date"] += 1
        return
    visit = _id(resource) if kind == "Encounter" else _reference(resource.get("encounter"), resource)
    site = _reference(resource.get("serviceProvider"), resource)
    parts = [resource, *(p for p in resource.get("component") or [] if isinstance(p, dict))]
    found = 0
    for part in parts:
        code = next((c for f in codes if (c := _coded(part.get(f)))), "")
        value, unit = _quantity(part)
        has_parts = part is resource and len(parts) > 1 and value is None
        if not code or has_parts:
            continue
        found += 1
        yield Event(
            patient_id=who,
            time=when,
            code=code,
            numeric_value=value,
            unit=unit,
            visit_id=visit or None,
            site=site or None,
        )
    if not found:
        left_out[f"{kind}: no code"] += 1


def _coded(concept: Any) -> str:
    """Return ``vocabulary//code`` of the first coding of a concept, a reference to one, or a list of concepts."""
    if isinstance(concept, list):
        return next((c for part in concept if (c := _coded(part))), "")
    if not isinstance(concept, dict):
        return ""
    if isinstance(concept.get("concept"), dict):  # CodeableReference of R5
        return _coded(concept["concept"])
    codings = concept["coding"] if isinstance(concept.get("coding"), list) else [concept]
    for coding in codings:
        if isinstance(coding, dict) and coding.get("code"):
            system = str(coding.get("system") or "local")
            return f"{_SYSTEMS.get(system, system.rstrip('/').rpartition('/')[2])}//{coding['code']}"
    return ""


def _codes_of(concept: Any) -> set[str]:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    return {str(c.get("code")) for c in codings or [] if isinstance(c, dict)}


def _quantity(part: dict[str, Any]) -> tuple[float | None, str | None]:
    quantity = part.get("valueQuantity")
    if isinstance(quantity, dict) and isinstance(quantity.get("value"), int | float):
        unit = quantity.get("code") or quantity.get("unit")
        return float(quantity["value"]), None if unit is None else str(unit)
    number = part.get("valueInteger")
    return (float(number), None) if isinstance(number, int) and not isinstance(number, bool) else (None, None)


def _reference(reference: Any, resource: dict[str, Any]) -> str:
    """Return the id that a reference names, whether it is relative, absolute or the full URL of a bundle entry."""
    text = str(reference.get("reference") or "") if isinstance(reference, dict) else ""
    known: dict[str, str] = resource.get("_known", {})
    return known.get(text) or text.partition("/_history/")[0].rpartition("/")[2].removeprefix("urn:uuid:")


def _id(resource: dict[str, Any]) -> str:
    return str(resource.get("id") or "")


def _time(value: Any, remarks: Counter[str]) -> datetime | None:
    """Return the start of a FHIR dateTime or period in UTC; a year or month alone becomes its first day and is counted.

    >>> _time("2024-03", Counter())
    datetime.datetime(2024, 3, 1, 0, 0)
    >>> _time({"start": "2024-03-05T10:00:00+02:00"}, Counter())
    datetime.datetime(2024, 3, 5, 8, 0)
    """
    if isinstance(value, dict):
        value = value.get("start")
    if not isinstance(value, str) or not value:
        return None
    if len(value) in (4, 7):
        remarks["date given as a year or month only, taken as its first day"] += 1
        value += "-01-01" if len(value) == 4 else "-01"
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    return when.astimezone(UTC).replace(tzinfo=None) if when.tzinfo else when


def _refused(what: str, where: Path) -> DataProblem:
    return DataProblem(
        f"these FHIR resources cannot be read: {what}.",
        code="REC-030",
        where=str(where),
        why="A resource that is skipped without a word would be missing from every table.",
        action="Give a bundle (.json), a bulk export (.ndjson), or a folder of them.",
    )
