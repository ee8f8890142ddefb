"""Event tables (subject, time, code, value), real and synthetic, in one common form of patients, visits and codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.errors import DataProblem
from validation.metrics.reuse import reused

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NAMES = {
    "subject": ("subject_id", "subject", "patient_id", "patient", "person_id", "id"),
    "time": ("time", "timestamp", "datetime", "date", "day", "visit"),
    "code": ("code", "visit_codes", "event", "concept_id"),
    "value": ("numeric_value", "value", "value_as_number"),
}


@dataclass(frozen=True, eq=False)
class Events:
    """Events of one table, sorted by patient, time and place in the file (so equal times keep their order).

    ``patient`` counts patients from 0, ``visit`` visits (distinct times of a patient) over the whole table, ``time``
    is in
    days (or the file's number), NaN for events without a time (birth dates, demographics), which belong to no visit
    (-1).
    """

    patient: Ints
    visit: Ints
    time: Floats
    code: Ints
    value: Floats
    patients: int

    @cached_property
    def visits(self) -> tuple[Ints, Floats]:
        """Return patient and time of every visit."""
        dated = self.visit >= 0
        _, first = np.unique(self.visit[dated], return_index=True)
        return self.patient[dated][first], self.time[dated][first]

    @cached_property
    def rank(self) -> Ints:
        """Return the number of every visit within its patient, from 0."""
        who, _ = self.visits
        start = np.searchsorted(who, np.arange(self.patients), side="left")
        return np.asarray(np.arange(len(who)) - start[who])

    @cached_property
    def visit_counts(self) -> Ints:
        """Return the number of visits of every patient."""
        return np.bincount(self.visits[0], minlength=self.patients)


@dataclass(frozen=True, eq=False)
class Histories:
    """Encoded training, synthetic and (where given) holdout events, with the codes of all of them."""

    train: Events
    synthetic: Events
    holdout: Events | None
    codes: tuple[str, ...]
    frequent: Ints  # real codes by falling number of patients
    has_values: bool

    @cached_property
    def real(self) -> Events:
        """Training and holdout events together, patients of the holdout after those of training."""
        return self.train if self.holdout is None else join(self.train, self.holdout)


def join(a: Events, b: Events) -> Events:
    """Return the events of two tables of different patients."""
    shift = int(a.visit.max(initial=-1)) + 1
    return Events(
        np.concatenate([a.patient, b.patient + a.patients]),
        np.concatenate([a.visit, np.where(b.visit >= 0, b.visit + shift, -1)]),
        np.concatenate([a.time, b.time]),
        np.concatenate([a.code, b.code]),
        np.concatenate([a.value, b.value]),
        a.patients + b.patients,
    )


@reused
def read_histories(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    subject: str = "",
    time: str = "",
    code: str = "",
    value: str = "",
) -> Histories:
    """Encode event tables; columns are found by their usual names (MEDS, OMOP-like) unless named.

    Raises
    ------
    DataProblem
        LON-001 if subject, time or code has no column, LON-002 if times cannot be read or no event has one.
    """
    named = {"subject": subject, "time": time, "code": code, "value": value}
    frames = [f for f in (train, synthetic, holdout) if f is not None]
    found: dict[str, str] = {}
    for role, usual in _NAMES.items():
        options = [named[role]] if named[role] else [c for c in usual if all(c in f.columns for f in frames)]
        missing = not options or not all(options[0] in f.columns for f in frames)
        if missing and (role != "value" or named[role]):
            raise DataProblem(
                f"no column holds the {role} in every table.",
                code="LON-001",
                where=f"--param {role}",
                action=f"Name it: --param {role}=COLUMN (usual names: {', '.join(usual)}).",
            )
        found[role] = "" if missing else options[0]
    texts = pd.concat([f[found["code"]].astype(object).map(_text) for f in frames], ignore_index=True)
    codes, names = pd.factorize(texts, sort=True)
    cuts = np.cumsum([len(f) for f in frames])[:-1]
    made = [_events(f, c.astype(np.int64), found) for f, c in zip(frames, np.split(codes, cuts), strict=True)]
    pairs = np.unique(np.stack([made[0].patient, made[0].code], axis=1), axis=0)
    counts = np.bincount(pairs[:, 1], minlength=len(names))
    frequent = np.argsort(-counts, kind="stable")
    return Histories(
        made[0],
        made[1],
        made[2] if holdout is not None else None,
        tuple(map(str, names)),
        frequent[counts[frequent] > 0],
        bool(found["value"]),
    )


def _text(v: Any) -> str:
    if v is None or v is pd.NA or (isinstance(v, float) and np.isnan(v)):
        return "(missing)"
    return f"{v:.15g}" if isinstance(v, float) else str(v)


def _events(frame: pd.DataFrame, code: Ints, found: dict[str, str]) -> Events:
    patient, who = pd.factorize(frame[found["subject"]].astype(object), sort=False)
    when = _days(frame[found["time"]])
    value = (
        pd.to_numeric(frame[found["value"]], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        if found["value"]
        else np.full(len(frame), np.nan)
    )
    keep = patient >= 0
    if not keep.any() or not np.isfinite(when[keep]).any():
        raise DataProblem("no event has a subject and a time.", code="LON-002", where=found["time"])
    order = np.lexsort((np.arange(len(frame)), when, patient))
    order = order[keep[order]]
    p, t = patient[order].astype(np.int64), when[order]
    dated = np.isfinite(t)
    visit = np.full(len(order), -1, np.int64)
    pd_, td = p[dated], t[dated]
    new = np.r_[True, (pd_[1:] != pd_[:-1]) | (td[1:] != td[:-1])]
    visit[dated] = np.cumsum(new) - 1
    return Events(p, visit, t, code[order], value[order], len(who))


def _days(column: pd.Series[Any]) -> Floats:
    if pd.api.types.is_numeric_dtype(column):
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan))
    try:
        when = (
            pd.to_datetime(column, errors="raise", utc=True, format="ISO8601")
            if not pd.api.types.is_datetime64_any_dtype(column)
            else pd.to_datetime(column, utc=True)
        )
    except (ValueError, TypeError):
        raise DataProblem("times are neither numbers nor ISO dates.", code="LON-002", where=str(column.name)) from None
    return np.asarray((when - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1), dtype=np.float64)
