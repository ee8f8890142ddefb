from __future__ import annotations

import pydicom
import pytest
from pydicom.datadict import dictionary_description, tag_for_keyword

from validation.dicom.tags import ALLOWED, acquisition_tags


def test_allow_list_names_standard_attributes_once() -> None:
    keywords = [a.keyword for a in ALLOWED]
    assert len(set(keywords)) == len(keywords)
    assert len({a.column for a in ALLOWED}) == len(ALLOWED)
    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        assert tag is not None
        assert dictionary_description(tag)


def test_allow_list_holds_no_name_date_identifier_or_free_text() -> None:
    forbidden = ("Name", "Date", "UID", "ID", "Number", "Address", "Comments", "Description", "Institution", "Station")
    exempt = {"ManufacturerModelName", "ReceiveCoilName"}
    for allowed in ALLOWED:
        assert allowed.keyword in exempt or not any(allowed.keyword.endswith(word) for word in forbidden)


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("045Y", 45.0),
        ("018M", 1.5),
        ("026W", 0.498),
        ("010D", 0.027),
        ("090Y", 90.0),
        ("104Y", 90.0),
        ("", None),
        ("45", None),
    ],
)
def test_age(age: str, years: float | None) -> None:
    ds = pydicom.Dataset()
    ds.add_new("PatientAge", "AS", age)
    assert acquisition_tags(ds).get("age_years") == years


@pytest.mark.parametrize(
    ("text", "maker"),
    [
        ("GE MEDICAL SYSTEMS", "GE"),
        ("Siemens Healthineers", "Siemens"),
        ("SIEMENS", "Siemens"),
        ("Philips Medical Systems", "Philips"),
        ("TOSHIBA", "Canon"),
        ("Gestalt Imaging", "Gestalt Imaging"),
        ("  Some   Maker ", "Some Maker"),
    ],
)
def test_one_name_per_maker(text: str, maker: str) -> None:
    ds = pydicom.Dataset()
    ds.Manufacturer = text
    assert acquisition_tags(ds) == {"manufacturer": maker}


def test_odd_values_are_left_out() -> None:
    ds = pydicom.Dataset()
    ds.add_new("PatientSex", "CS", "FEMALE?")
    ds.add_new("ContrastBolusAgent", "LO", "given by Nurse Example")
    ds.add_new("KVP", "DS", "")
    ds.add_new("ConvolutionKernel", "SH", ["Br40d", "3"])
    ds.add_new("MagneticFieldStrength", "DS", ["1.5", "3"])
    assert acquisition_tags(ds) == {"contrast_agent": "given", "kernel": "Br40d\\3"}
