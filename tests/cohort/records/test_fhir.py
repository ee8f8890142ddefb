"""FHIR bundles and bulk exports: references, components, time zones; what is left out has a reason."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from validation.cohort.records import read_fhir
from validation.errors import DataProblem

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "gender": "female",
    "birthDate": "1961-07-02",
    "deceasedDateTime": "2024-01-01T00:30:00+01:00",
    "name": [{"family": "MUST-NOT-APPEAR"}],
}
PRESSURE = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}], "text": "MUST-NOT-APPEAR"},
    "subject": {"reference": "urn:uuid:aaa"},
    "encounter": {"reference": "Encounter/e1"},
    "effectiveDateTime": "2023-05-06T12:00:00+02:00",
    "component": [
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
            "valueQuantity": {"value": 141, "unit": "mmHg", "code": "mm[Hg]"},
        },
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": "8462-4"}]},
            "valueQuantity": {"value": 88.5, "code": "mm[Hg]"},
        },
    ],
}


def _condition(**changes: Any) -> dict[str, Any]:
    base = {
        "resourceType": "Condition",
        "id": "c1",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "44054006"}]},
        "subject": {"reference": "Patient/p1"},
        "onsetDateTime": "2020-02",
    }
    return {**base, **changes}


def _bundle(path: Path, *resources: dict[str, Any]) -> Path:
    urls = {"p1": "urn:uuid:aaa"}
    entries = [{"fullUrl": urls.get(r.get("id", ""), f"urn:uuid:{i}"), "resource": r} for i, r in enumerate(resources)]
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    return path


def test_a_bundle_gives_patients_and_events(tmp_path: Path) -> None:
    records = read_fhir(_bundle(tmp_path / "b.json", PRESSURE, _condition(), PATIENT))
    events = {e.code: e for e in records.events}
    patient = records.patients["p1"]
    assert (patient.sex, patient.birth_year, patient.death_time) == ("F", 1961, datetime(2023, 12, 31, 23, 30))
    assert set(events) == {"LOINC//8480-6", "LOINC//8462-4", "SNOMED//44054006"}
    upper = events["LOINC//8480-6"]
    assert upper.patient_id == "p1"  # through the full URL of the bundle
    assert (upper.numeric_value, upper.unit, upper.visit_id) == (141.0, "mm[Hg]", "e1")
    assert upper.time == datetime(2023, 5, 6, 10, 0)
    assert events["SNOMED//44054006"].time == datetime(2020, 2, 1)
    assert records.remarks["date given as a year or month only, taken as its first day"] == 1
    assert "MUST-NOT-APPEAR" not in repr((records.patients, events))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    wrong = {"coding": [{"code": "entered-in-error"}]}
    resources = [
        PATIENT,
        _condition(verificationStatus=wrong),
        _condition(onsetDateTime=None),
        _condition(code={"text": "free text only"}),
        _condition(subject=None),
        {"resourceType": "Claim", "id": "x"},
    ]
    records = read_fhir(_bundle(tmp_path / "b.json", *resources))
    assert list(records.events) == []
    assert records.left_out == {
        "Condition: entered in error, cancelled or not done": 1,
        "Condition: no date": 1,
        "Condition: no code": 1,
        "Condition: no patient": 1,
        "Claim: a kind of resource that is not read": 1,
    }


def test_bulk_exports_list_patients_in_a_later_file(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text(json.dumps(_condition()) + "\n\n" + json.dumps(_condition(id="c2")) + "\n")
    (tmp_path / "z.ndjson").write_text(json.dumps(PATIENT) + "\n")
    records = read_fhir(tmp_path)
    assert sum(e.patient_id in records.patients for e in records.events) == 2


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"resourceType": 7}', '{"resourceType": "Patient"}', "{" * 100_000])
def test_what_is_no_fhir_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataProblem) as refusal:
        list(read_fhir(tmp_path / "x.json").events)
    assert refusal.value.code == "REC-030"


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.ndjson").write_text(json.dumps(PATIENT) + "\n{broken\n")
    with pytest.raises(DataProblem) as refusal:
        read_fhir(tmp_path)
    assert refusal.value.where.endswith("x.ndjson:2")
