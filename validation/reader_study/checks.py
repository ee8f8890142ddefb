"""What authorities look for in the analysis of a reader study, checked on its data and settings.

Each check is ``met``, ``unmet``, ``not stated`` (nothing in data or settings tells) or ``not applicable``. A check that
is not stated is an open point, never a pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from validation.errors import DataProblem
from validation.reader_study.endpoints import LOCALISATION
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores

WASHOUT_DAYS = 28
LEVELS = 7  # the guidance names scales of 7 and of 100 points as finer ones
_ROC = ("auc", "binormal_auc", "proper_auc", "partial_auc", "expected_utility")
_AT = ("sensitivity_at_specificity", "specificity_at_sensitivity")


class Status(StrEnum):
    """What a check came to."""

    MET = "met"
    UNMET = "unmet"
    NOT_STATED = "not stated"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the scores do not tell; ``None`` where it is not stated.

    Parameters
    ----------
    readings
        Long table with ``reader, case`` and, for the washout, ``read_at`` (ISO 8601 times of the readings); empty
        scores are counted from it.
    training_cases
        Names of cases on which the model or the readers were trained.
    truthers
        Names of those who set the reference standard.
    fallback
        The analysis that the protocol fixed in case assumptions fail.
    sequential
        Whether a case is read twice in a row by design, so that no washout applies.
    """

    readings: pd.DataFrame | None = None
    training_cases: frozenset[str] | None = None
    truthers: frozenset[str] | None = None
    fallback: str | None = None
    sequential: bool = False


def study_checks(
    scores: ReaderScores, plan: AnalysisPlan, circumstances: Circumstances | None = None
) -> list[dict[str, Any]]:
    """Return one row per check: ``id``, ``check``, ``source``, ``status``, ``detail``.

    No row holds a name of a case or a person.

    References
    ----------
    FDA, Clinical Performance Assessment: Considerations for CADe Devices, 28 September 2022 (sections in ``source``);
    FDA, Statistical Guidance on Reporting Results from Studies Evaluating Diagnostic Tests, 13 March 2007, section 6.
    """
    c = circumstances or Circumstances()
    return [
        random_readers_and_cases(scores, plan),
        explicit_decisions(scores, plan),
        washout(c.readings, sequential=c.sequential, several=len(scores.modalities) > 1),
        training_cases_apart(scores, c.training_cases),
        truthers_apart(scores, c.truthers),
        nothing_dropped(scores, c.readings),
        fine_scale(scores, plan),
        fallback_fixed(c.fallback),
        several_differences(scores, plan),
    ]


def random_readers_and_cases(scores: ReaderScores, plan: AnalysisPlan) -> dict[str, Any]:
    """Check that the primary analysis takes readers and cases as samples (IV, IV.A)."""
    name = "readers and cases are both random in the primary analysis"
    if plan.effects is not Effects.RRRC:
        return _row("random_effects", name, "FDA 2022, IV", Status.UNMET, f"analysed with {plan.effects.value}")
    if plan.standalone is not None:
        people = len(scores.readers) - 1
        status = Status.MET if people > 1 else Status.UNMET
        return _row(
            "random_effects", name, "FDA 2022, IV", status, f"the system is fixed; {people} readers are a sample"
        )
    status = Status.MET if len(scores.readers) > 1 else Status.UNMET
    return _row("random_effects", name, "FDA 2022, IV", status, f"{len(scores.readers)} readers")


def explicit_decisions(scores: ReaderScores, plan: AnalysisPlan) -> dict[str, Any]:
    """Check that sensitivity and specificity rest on recorded decisions, not on ratings (IV.A)."""
    name = "sensitivity and specificity rest on explicit decisions"
    source = "FDA 2022, IV.A"
    if plan.endpoint in _AT:
        return _row("explicit_decisions", name, source, Status.UNMET, "read off a curve of ratings")
    if plan.endpoint not in ("sensitivity", "specificity"):
        return _row("explicit_decisions", name, source, Status.NOT_APPLICABLE, f"the endpoint is {plan.endpoint}")
    if plan.threshold is not None or scores.decision is None:
        return _row(
            "explicit_decisions", name, source, Status.UNMET, f"derived from ratings of {plan.threshold} and above"
        )
    return _row("explicit_decisions", name, source, Status.MET, "column decision")


def washout(readings: pd.DataFrame | None, *, sequential: bool = False, several: bool = True) -> dict[str, Any]:
    """Check that a reader saw a case again after 28 days or more (IV.C).

    Raises
    ------
    DataProblem
        If ``read_at`` holds something that is no time.
    """
    name = f"at least {WASHOUT_DAYS} days between two readings of a case by a reader"
    source = "FDA 2022, IV.C"
    if sequential:
        return _row("washout", name, source, Status.NOT_APPLICABLE, "sequential design")
    if not several:
        return _row("washout", name, source, Status.NOT_APPLICABLE, "one modality")
    if readings is None or "read_at" not in readings.columns:
        return _row("washout", name, source, Status.NOT_STATED, "no column read_at with the times of the readings")
    text = readings["read_at"].astype("string").str.strip()
    blank = text.isna() | (text == "")
    times = pd.to_datetime(text.where(~blank), utc=True, errors="coerce", format="ISO8601")
    wrong = times.isna() & ~blank
    if wrong.any():
        raise DataProblem(
            f"column 'read_at' holds entries that are no times, first in data row {int(np.flatnonzero(wrong)[0]) + 1}.",
            code="RDR-025",
            where="read_at",
            action="Write times as 2026-01-31T09:30:00Z.",
        )
    table = pd.DataFrame(
        {
            "reader": readings["reader"].astype("string").str.strip(),
            "case": readings["case"].astype("string").str.strip(),
            "at": times,
        }
    )
    gaps = table.sort_values("at", kind="stable").groupby(["reader", "case"])["at"].diff().dropna()
    days = gaps.dt.total_seconds() / 86400
    if blank.any():
        detail = f"{int(blank.sum())} readings have no time"
        return _row("washout", name, source, Status.NOT_STATED, detail)
    if days.empty:
        return _row("washout", name, source, Status.MET, "no reader read a case twice")
    short = int((days < WASHOUT_DAYS).sum())
    detail = f"shortest {days.min():.1f} days; {short} of {len(days)} gaps are shorter than {WASHOUT_DAYS} days"
    return _row("washout", name, source, Status.UNMET if short else Status.MET, detail)


def training_cases_apart(scores: ReaderScores, training: frozenset[str] | None) -> dict[str, Any]:
    """Check that no case of the study was used for training (IV.F, V.B)."""
    name = "no case of the study was used to train the model or the readers"
    if training is None:
        return _row("training_cases", name, "FDA 2022, IV.F", Status.NOT_STATED, "no list of training cases")
    shared = len({_same(case) for case in scores.cases} & {_same(case) for case in training})
    status = Status.UNMET if shared else Status.MET
    return _row(
        "training_cases", name, "FDA 2022, IV.F", status, f"{shared} of {len(scores.cases)} cases are training cases"
    )


def truthers_apart(scores: ReaderScores, truthers: frozenset[str] | None) -> dict[str, Any]:
    """Check that those who set the truth are not readers (VI)."""
    name = "those who set the reference standard are not readers"
    if not truthers:
        return _row("truthers", name, "FDA 2022, VI", Status.NOT_STATED, "no list of truthers")
    shared = len({_same(reader) for reader in scores.readers} & {_same(person) for person in truthers})
    status = Status.UNMET if shared else Status.MET
    return _row("truthers", name, "FDA 2022, VI", status, f"{shared} of {len(truthers)} truthers are readers")


def nothing_dropped(scores: ReaderScores, readings: pd.DataFrame | None = None) -> dict[str, Any]:
    """Check that equivocal or unfinished readings were not left out (FDA 2007, section 6)."""
    name = "equivocal readings are counted, none was dropped"
    source = "FDA 2007, section 6"
    empty = 0
    if readings is not None and "score" in readings.columns:
        column = readings["score"]
        empty = int((column.isna() | (column.astype("string").str.strip() == "").fillna(True)).sum())
    undecided = 0 if scores.decision is None else int((np.isnan(scores.decision) & scores.read).sum())
    if empty or undecided:
        detail = f"{empty} readings have no score, {undecided} no decision"
        return _row("equivocal", name, source, Status.UNMET, detail)
    if scores.read.all():
        return _row("equivocal", name, source, Status.MET, "every cell of reader, modality and case was read")
    detail = f"{int((~scores.read).sum())} cells have no reading; the data cannot tell design from dropped readings"
    return _row("equivocal", name, source, Status.NOT_STATED, detail)


def fine_scale(scores: ReaderScores, plan: AnalysisPlan) -> dict[str, Any]:
    """Check that ratings used enough levels for an ROC endpoint (IV.D)."""
    name = f"the rating scale has {LEVELS} levels or more"
    source = "FDA 2022, IV.D"
    if plan.endpoint not in (*_ROC, *_AT, *LOCALISATION):
        return _row("rating_scale", name, source, Status.NOT_APPLICABLE, f"the endpoint is {plan.endpoint}")
    levels = len(np.unique(scores.score[scores.read & np.isfinite(scores.score)]))
    status = Status.MET if levels >= LEVELS else Status.UNMET
    return _row("rating_scale", name, source, status, f"{levels} different ratings were given")


def fallback_fixed(fallback: str | None) -> dict[str, Any]:
    """Check that the protocol fixed what is done if assumptions fail (IV)."""
    name = "an alternative analysis was fixed in case assumptions fail"
    stated = bool(fallback and fallback.strip())
    status = Status.MET if stated else Status.NOT_STATED
    return _row("fallback", name, "FDA 2022, IV", status, (fallback or "").strip() or "none given")


def several_differences(scores: ReaderScores, plan: AnalysisPlan) -> dict[str, Any]:
    """Check that several differences are adjusted for (IV.A)."""
    name = "several differences are adjusted for"
    M = len(scores.modalities)
    number = 1 if plan.standalone is not None else M - 1 if plan.control is not None else M * (M - 1) // 2
    if number < 2:
        return _row("multiplicity", name, "FDA 2022, IV.A", Status.NOT_APPLICABLE, f"{number} difference")
    status = Status.MET if plan.holm else Status.UNMET
    detail = f"{number} differences, {'adjusted by Holm' if plan.holm else 'not adjusted'}"
    return _row("multiplicity", name, "FDA 2022, IV.A", status, detail)


def _same(name: str) -> str:
    return name.strip().casefold()


def _row(identifier: str, check: str, source: str, status: Status, detail: str) -> dict[str, Any]:
    return {"id": identifier, "check": check, "source": source, "status": status.value, "detail": detail}
