"""What is asked of an archive, and whether an answer is what was asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from validation.dicom.services import services
from validation.errors import UsageProblem

_UID = re.compile(r"^[0-9.]{1,64}$")
STUDY_KEYS, SERIES_KEYS, INSTANCE_KEYS = (tuple(services()["query_keys"][k]) for k in ("study", "series", "instance"))


@dataclass(frozen=True, kw_only=True)
class Query:
    """Matching keys; empty ones match everything. Texts may hold ``*`` and ``?``; dates are YYYYMMDD, inclusive."""

    patient: str = ""
    accession: str = ""
    study: str = ""
    series: str = ""
    modality: str = ""
    since: str = ""
    until: str = ""
    study_description: str = ""
    series_description: str = ""

    def __post_init__(self) -> None:
        """Refuse what would not be a query.

        Raises
        ------
        UsageProblem
            PACS-011 if nothing is asked, a date or UID is not one, or a text holds characters that separate values.
        """
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        if not any(given.values()):
            raise _bad("the query names nothing, so it would ask for the whole archive.")
        for name in ("since", "until"):
            if given[name] and not re.fullmatch(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", given[name]):
                raise _bad(f"{name} is not a date of the form YYYYMMDD.")
        if self.since and self.until and self.since > self.until:
            raise _bad("since is later than until.")
        for name in ("study", "series"):
            if given[name] and not _UID.match(given[name]):
                raise _bad(f"{name} is not a UID.")
        if any("\\" in value or not value.isprintable() or len(value) > 64 for value in given.values()):
            raise _bad("a value is longer than 64 characters, or holds a backslash or control character.")

    def study_filters(self) -> dict[str, str]:
        """Return matching keys of the study level by keyword; descriptions are matched here, since archives differ."""
        dates = f"{self.since}-{self.until}" if self.since or self.until else ""
        pairs = zip(STUDY_KEYS, (self.patient, self.accession, self.study, dates), strict=False)
        return {key: value for key, value in pairs if value}

    def series_filters(self) -> dict[str, str]:
        """Return matching keys of the series level by keyword."""
        pairs = zip(SERIES_KEYS, (self.series, self.modality), strict=False)
        return {key: value for key, value in pairs if value}

    def matches_study(self, answer: Any) -> bool:
        """Return whether an answer is what was asked; an archive may ignore a key that it does not support."""
        date = str(answer.get("StudyDate") or "")
        return (
            _matches(answer, "PatientID", self.patient)
            and _matches(answer, "AccessionNumber", self.accession)
            and _matches(answer, "StudyInstanceUID", self.study)
            and _matches(answer, "StudyDescription", self.study_description)
            and (not self.since or date >= self.since)
            and (not self.until or (bool(date) and date <= self.until))
        )

    def matches_series(self, answer: Any) -> bool:
        """As :meth:`matches_study`, for the series level."""
        return (
            _matches(answer, "SeriesInstanceUID", self.series)
            and _matches(answer, "Modality", self.modality)
            and _matches(answer, "SeriesDescription", self.series_description)
        )


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One object that an archive lists. UIDs were checked to be UIDs."""

    study: str
    series: str
    uid: str
    sop_class: str
    number: int | None = None


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series that an archive lists, with what was said about it at study and series level."""

    study: str
    uid: str
    modality: str
    description: str
    number: int | None
    patient: str


class Channel(Protocol):
    """One way to talk to an archive."""

    name: str

    def reach(self) -> None:
        """Do nothing but find out whether the archive answers."""

    def find_series(self, query: Query) -> list[Series]:
        """Return the series that match, in the order of their UIDs, each once."""

    def find_instances(self, series: Series) -> list[Instance]:
        """Return the objects of a series, in the order of their UIDs, each once."""

    def fetch(self, wanted: Sequence[Instance], receive: Callable[[Instance, bytes], None]) -> None:
        """Retrieve objects as they are stored; ``receive`` is given each as the bytes of a file, in any order."""

    def store(self, files: Iterable[Path], stored: Callable[[Path, str], None]) -> None:
        """Send files; ``stored`` is told each with the reason of a refusal, empty if it was accepted."""

    def close(self) -> None:
        """End all connections."""


def is_uid(text: str) -> bool:
    """Return whether a text is made as a UID is, so that it can be part of an address and of a file name."""
    return bool(_UID.match(text)) and ".." not in text


def number_of(answer: Any, keyword: str) -> int | None:
    """Return a whole number of an answer, if it is one."""
    try:
        return int(answer.get(keyword))
    except (TypeError, ValueError):
        return None


def _matches(answer: Any, keyword: str, wanted: str) -> bool:
    if not wanted:
        return True
    text = str(answer.get(keyword) or "").strip()
    if keyword in ("StudyDescription", "SeriesDescription"):  # archives differ in case sensitivity (PS3.4 C.2.2.2.1)
        text, wanted = text.lower(), wanted.lower()
    return fnmatchcase(text, wanted.replace("[", "[[]"))


def _bad(what: str) -> UsageProblem:
    return UsageProblem(
        what,
        code="PACS-011",
        where="the query",
        action="Give at least one of --patient, --study, --modality, --since ...",
    )
