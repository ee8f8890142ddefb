"""OMOP Common Data Model 5.3 and 5.4, from any database that SQLAlchemy reaches, read-only and as a stream."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.cohort.records.tables import Event, Patient, Records
from validation.errors import DataProblem, UsageProblem

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

_ROWS = 10_000
_SEX = {8507: "M", 8532: "F"}  # concept ids of the standard vocabulary "Gender"


@dataclass(frozen=True)
class Domain:
    """A table of events: its concept column, its date, and where a number and its unit stand."""

    table: str
    concept: str
    time: str
    value: str = ""
    unit: str = ""


DOMAINS = (
    Domain("visit_occurrence", "visit_concept_id", "visit_start_date"),
    Domain("condition_occurrence", "condition_concept_id", "condition_start_date"),
    Domain("drug_exposure", "drug_concept_id", "drug_exposure_start_date", "quantity"),
    Domain("procedure_occurrence", "procedure_concept_id", "procedure_date"),
    Domain("device_exposure", "device_concept_id", "device_exposure_start_date"),
    Domain("measurement", "measurement_concept_id", "measurement_date", "value_as_number", "unit_source_value"),
    Domain("observation", "observation_concept_id", "observation_date", "value_as_number", "unit_source_value"),
)


def read_omop(url: str, *, schema: str | None = None) -> Records:
    """Read persons and events of an OMOP database.

    Codes are ``vocabulary_id//concept_code`` where the table ``concept`` is there, else ``OMOP//concept_id``; concept
    0 (no standard concept) becomes ``UNMAPPED//<table>`` and is counted. The datetime column of a table is used where
    it is filled, else its date. Deaths become the code ``DEATH``.

    Parameters
    ----------
    url
        SQLAlchemy address: ``sqlite:///cdm.db``, ``postgresql+pg8000://user@host/cdm``. A password may stand in the
        environment as ``VALIDATION_DATABASE_PASSWORD`` instead of in the address; it is never printed.
    schema
        Schema of the tables, such as ``cdm``.

    Raises
    ------
    UsageProblem
        REC-020 if the address is none, or its driver is not installed.
    DataProblem
        REC-021 if the database cannot be read, or has no table ``person`` or no table of events.
    """
    engine = _engine(url)
    from sqlalchemy import MetaData
    from sqlalchemy.exc import SQLAlchemyError

    wanted = {"person", "death", "concept", "observation_period", *(d.table for d in DOMAINS)}
    metadata = MetaData(schema=schema)
    try:
        metadata.reflect(engine, only=lambda name, _: name.lower() in wanted, views=True, resolve_fks=False)
    except (SQLAlchemyError, OSError) as problem:
        raise _unreadable(engine, problem) from None
    tables = {t.name.lower(): t for t in metadata.tables.values()}
    domains = [d for d in DOMAINS if d.table in tables]
    if "person" not in tables or not domains:
        lacking = "table `person`" if "person" not in tables else "table of events"
        raise DataProblem(
            f"the database has no {lacking}.",
            code="REC-021",
            where=_name(engine),
            why="Those of the OMOP Common Data Model are read.",
            action="Name the schema of the CDM with --schema.",
        )
    left_out: Counter[str] = Counter()
    remarks: Counter[str] = Counter()
    patients: dict[str, Patient] = {}
    events = _stream(engine, tables, domains, patients, left_out, remarks)
    return Records(kind="omop", patients=patients, events=events, left_out=left_out, remarks=remarks)


def _engine(url: str) -> Engine:
    import os

    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        address = make_url(url)
        if address.get_backend_name() == "sqlite":
            path = Path(address.database or "")
            if not path.is_file():
                raise DataProblem("there is no such database file.", code="REC-021", where=str(path))
            read_only = f"{path.resolve().as_uri()}?mode=ro"
            return create_engine("sqlite://", creator=lambda: sqlite3.connect(read_only, uri=True))
        password = os.environ.get("VALIDATION_DATABASE_PASSWORD")
        if password and address.password is None:
            address = address.set(password=password)
        options = {"postgresql_readonly": True} if address.get_backend_name() == "postgresql" else {}
        return create_engine(address, execution_options=options)
    except (ArgumentError, NoSuchModuleError, ImportError) as problem:
        raise UsageProblem(
            f"the address of the database cannot be used ({type(problem).__name__}).",
            code="REC-020",
            where="the address, which is not repeated here because it may hold a password",
            action="Write sqlite:///FILE or postgresql+pg8000://user@host/database (pip install "
            "'genmed-validation[postgresql]').",
        ) from None


def _stream(
    engine: Engine,
    tables: dict[str, Table],
    domains: list[Domain],
    patients: dict[str, Patient],
    left_out: Counter[str],
    remarks: Counter[str],
) -> Iterator[Event]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with engine.connect().execution_options(stream_results=True, max_row_buffer=_ROWS) as connection:
            periods = _periods(connection, tables)
            for patient in _persons(connection, tables, remarks):
                patients[patient.patient_id] = patient
            yield from _deaths(connection, tables, patients)
            for domain in domains:
                for event in _domain(connection, tables, domain, left_out, remarks):
                    begin_end = periods.get(event.patient_id)
                    if event.time is not None and periods and not _inside(event.time, begin_end):
                        remarks["event outside the observation period of its patient"] += 1
                    yield event
    except (SQLAlchemyError, OSError) as problem:
        raise _unreadable(engine, problem) from None
    finally:
        engine.dispose()


def _persons(connection: Connection, tables: dict[str, Table], remarks: Counter[str]) -> Iterator[Patient]:
    from sqlalchemy import select

    person = tables["person"]
    names = [
        "person_id",
        "gender_concept_id",
        "year_of_birth",
        "race_concept_id",
        "ethnicity_concept_id",
        "care_site_id",
    ]
    columns = _columns(person, names, needed=("person_id",))
    concepts = _concepts(connection, tables, ["race_concept_id", "ethnicity_concept_id"], person)
    for row in connection.execute(select(*columns)).mappings():
        sex = _SEX.get(int(row.get("gender_concept_id") or 0))
        if sex is None:
            remarks["patient whose sex is neither F nor M"] += 1
        year = row.get("year_of_birth")
        site = row.get("care_site_id")
        yield Patient(
            patient_id=str(row["person_id"]),
            sex=sex,
            birth_year=None if year is None else int(year),
            race=concepts.get(int(row.get("race_concept_id") or 0)),
            ethnicity=concepts.get(int(row.get("ethnicity_concept_id") or 0)),
            site=None if site is None else str(site),
        )


def _concepts(connection: Connection, tables: dict[str, Table], names: list[str], person: Table) -> dict[int, str]:
    """Return the names of the few concepts that persons refer to."""
    from sqlalchemy import select

    columns = [person.c[n] for n in names if n in person.c]
    ids = {int(v) for c in columns for (v,) in connection.execute(select(c).distinct()) if v}
    if "concept" not in tables:
        return {i: f"OMOP//{i}" for i in ids}
    concept = tables["concept"]
    found = connection.execute(
        select(concept.c.concept_id, concept.c.concept_name).where(concept.c.concept_id.in_(ids))
    )
    return {int(i): str(name) for i, name in found}


def _deaths(connection: Connection, tables: dict[str, Table], patients: dict[str, Patient]) -> Iterator[Event]:
    from sqlalchemy import select

    if "death" not in tables:
        return
    columns = _columns(tables["death"], ["person_id", "death_date", "death_datetime"], needed=("person_id",))
    for row in connection.execute(select(*columns)).mappings():
        when = _time(row.get("death_datetime")) or _time(row.get("death_date"))
        who = str(row["person_id"])
        if who in patients:
            patients[who].death_time = when
        yield Event(patient_id=who, time=when, code="DEATH")


def _domain(
    connection: Connection, tables: dict[str, Table], domain: Domain, left_out: Counter[str], remarks: Counter[str]
) -> Iterator[Event]:
    from sqlalchemy import select

    table = tables[domain.table]
    needed = ("person_id", domain.concept, domain.time)
    stamp = domain.time.removesuffix("_date") + "_datetime"
    optional = [stamp, domain.value, domain.unit, "visit_occurrence_id"]
    columns = _columns(table, [*needed, *(n for n in optional if n)], needed=needed)
    statement = select(*columns)
    named = "concept" in tables
    if named:
        concept = tables["concept"]
        statement = statement.add_columns(concept.c.vocabulary_id, concept.c.concept_code).select_from(
            table.outerjoin(concept, table.c[domain.concept] == concept.c.concept_id)
        )
    for row in connection.execute(statement).mappings():
        identifier = row[domain.concept]
        if row["person_id"] is None:
            left_out[f"{domain.table}: no person"] += 1
            continue
        if not identifier:
            code = f"UNMAPPED//{domain.table}"
            remarks[f"{domain.table}: no standard concept"] += 1
        elif named and row["vocabulary_id"] is not None:
            code = f"{row['vocabulary_id']}//{row['concept_code']}"
        else:
            code = f"OMOP//{identifier}"
        when = _time(row.get(stamp)) or _time(row[domain.time])
        if when is None:
            left_out[f"{domain.table}: no date"] += 1
            continue
        value, visit = row.get(domain.value) if domain.value else None, row.get("visit_occurrence_id")
        unit = row.get(domain.unit) if domain.unit else None
        yield Event(
            patient_id=str(row["person_id"]),
            time=when,
            code=code,
            numeric_value=None if value is None else float(value),
            unit=None if unit is None else str(unit),
            visit_id=None if visit is None else str(visit),
        )


def _periods(connection: Connection, tables: dict[str, Table]) -> dict[str, tuple[date, date]]:
    """Return the first and last day of every person's observation; several periods are taken as one."""
    from sqlalchemy import select

    if "observation_period" not in tables:
        return {}
    names = ["person_id", "observation_period_start_date", "observation_period_end_date"]
    found: dict[str, tuple[date, date]] = {}
    for row in connection.execute(select(*_columns(tables["observation_period"], names, needed=tuple(names)))):
        start, end = _time(row[1]), _time(row[2])
        if start is None or end is None:
            continue
        known = found.get(str(row[0]), (start.date(), end.date()))
        found[str(row[0])] = (min(known[0], start.date()), max(known[1], end.date()))
    return found


def _inside(when: datetime, period: tuple[date, date] | None) -> bool:
    return period is not None and period[0] <= when.date() <= period[1]


def _columns(table: Table, names: list[str], *, needed: tuple[str, ...]) -> list[Any]:
    from sqlalchemy import type_coerce
    from sqlalchemy.types import NullType

    missing = [n for n in needed if n not in table.c]
    if missing:
        raise DataProblem(
            f"the table {table.name} has no column {', '.join(missing)}.",
            code="REC-021",
            where=table.name,
            why="The OMOP Common Data Model asks for it.",
        )
    # as the driver gives them: SQLite keeps dates as text, which SQLAlchemy's own types would refuse in some forms
    return [type_coerce(table.c[n], NullType()).label(n) for n in names if n in table.c]


def _time(value: Any) -> datetime | None:
    """Return a date or time stamp of any driver (SQLite keeps them as text) as a UTC time without a zone."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else None


def _name(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _unreadable(engine: Engine, problem: Exception) -> DataProblem:
    return DataProblem(
        f"the database cannot be read ({type(problem).__name__}).",
        code="REC-021",
        where=_name(engine),
        why="The driver's own message is not repeated, because it may hold data.",
        action="Check the address, the schema and that the user may read the tables.",
    )
