"""OMOP databases: a real PostgreSQL where there is one, and SQLite; what is counted, left out and refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.cohort.records.postgres import binaries, server
from validation.cohort.records import read_omop
from validation.errors import DataProblem, UsageProblem

TABLES = """
create table person (person_id integer primary key, gender_concept_id integer, year_of_birth integer,
  race_concept_id integer, ethnicity_concept_id integer, care_site_id integer);
create table death (person_id integer, death_date date);
create table concept (concept_id integer primary key, concept_name varchar(255), vocabulary_id varchar(20),
  concept_code varchar(50));
create table observation_period (person_id integer, observation_period_start_date date,
  observation_period_end_date date);
create table condition_occurrence (condition_occurrence_id integer, person_id integer, condition_concept_id integer,
  condition_start_date date, condition_start_datetime timestamp, visit_occurrence_id integer);
create table measurement (measurement_id integer, person_id integer, measurement_concept_id integer,
  measurement_date date, measurement_datetime timestamp, value_as_number numeric, unit_source_value varchar(50),
  visit_occurrence_id integer);
insert into person values (1, 8507, 1950, 8527, 0, 10), (2, 8532, 1962, 0, 0, 11), (3, 0, 1970, 0, 0, null);
insert into death values (1, '2021-05-04');
insert into concept values (201826, 'Type 2 diabetes mellitus', 'SNOMED', '44054006'),
  (3004410, 'Hemoglobin A1c', 'LOINC', '4548-4'), (8527, 'White', 'Race', '5');
insert into observation_period values (1, '2019-01-01', '2021-12-31'), (2, '2019-01-01', '2021-12-31'),
  (3, '2019-01-01', '2021-12-31');
insert into condition_occurrence values (1, 1, 201826, '2020-02-03', '2020-02-03 09:30:00', 7),
  (2, 2, 0, '2020-03-01', null, null), (3, 2, 999, '2018-03-01', null, null),
  (4, 9, 201826, '2020-03-01', null, null);
insert into measurement values (1, 1, 3004410, '2020-02-03', null, 7.4, '%', 7),
  (2, 2, 3004410, '2020-02-04', null, null, null, null);
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a small OMOP database."""
    folder = tmp_path_factory.mktemp("omop")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'cdm.db'}"
        _fill(url)
        yield url
        return
    if binaries() is None:
        pytest.skip("no PostgreSQL on this machine")
    with server(folder) as url:
        _fill(url)
        yield url


def _fill(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in TABLES.split(";"):
            if statement.strip():
                connection.execute(text(statement))
    engine.dispose()


def test_persons_events_and_codes(database: str) -> None:
    records = read_omop(database)
    events = list(records.events)
    first = records.patients["1"]
    assert (first.sex, first.birth_year, first.race, first.site) == ("M", 1950, "White", "10")
    assert first.death_time == datetime(2021, 5, 4)
    assert records.patients["3"].sex is None
    codes = sorted((e.patient_id, e.code) for e in events)
    assert codes == [
        ("1", "DEATH"),
        ("1", "LOINC//4548-4"),
        ("1", "SNOMED//44054006"),
        ("2", "LOINC//4548-4"),
        ("2", "OMOP//999"),
        ("2", "UNMAPPED//condition_occurrence"),
        ("9", "SNOMED//44054006"),
    ]
    diabetes = next(e for e in events if e.code == "SNOMED//44054006" and e.patient_id == "1")
    assert diabetes.time == datetime(2020, 2, 3, 9, 30)
    assert diabetes.visit_id == "7"
    a1c = next(e for e in events if e.code == "LOINC//4548-4" and e.patient_id == "1")
    assert (a1c.numeric_value, a1c.unit) == (pytest.approx(7.4), "%")
    assert records.remarks["condition_occurrence: no standard concept"] == 1
    assert records.remarks["event outside the observation period of its patient"] == 2


def test_the_source_is_only_read(database: str) -> None:
    list(read_omop(database).events)
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        _write(database)


def _write(url: str) -> None:
    from validation.cohort.records.omop import _engine

    engine = _engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("delete from person"))
    finally:
        engine.dispose()


def test_without_the_table_of_concepts_codes_are_concept_ids(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cdm.db'}"
    _fill(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("drop table concept"))
    engine.dispose()
    codes = {e.code for e in read_omop(url).events}
    assert "OMOP//201826" in codes


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("no address", "REC-020"),
        ("strange://x", "REC-020"),
        ("sqlite:////nowhere/cdm.db", "REC-021"),
        ("postgresql+pg8000://someone:secret@127.0.0.1:1/cdm", "REC-021"),
    ],
)
def test_what_cannot_be_reached_is_refused_without_its_password(url: str, code: str) -> None:
    with pytest.raises((DataProblem, UsageProblem)) as refusal:
        read_omop(url)
    assert refusal.value.code == code
    assert "secret" not in str(refusal.value)


def test_a_file_that_is_no_database_and_one_without_persons_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"this is not a database" * 100)
    engine = create_engine(f"sqlite:///{tmp_path / 'y.db'}")
    with engine.begin() as connection:
        connection.execute(text("create table other (id integer)"))
    engine.dispose()
    for name in ("x.db", "y.db"):
        with pytest.raises(DataProblem) as refusal:
            read_omop(f"sqlite:///{tmp_path / name}")
        assert refusal.value.code == "REC-021"


def test_dates_that_are_none_are_counted_not_lost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cdm.db'}"
    _fill(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("update measurement set measurement_date = 'yesterday' where measurement_id = 1"))
    engine.dispose()
    records: Any = read_omop(url)
    events = list(records.events)
    assert records.left_out["measurement: no date"] == 1
    assert sum(e.code == "LOINC//4548-4" for e in events) == 1
