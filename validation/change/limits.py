"""Operating limits and headers: is every case where the label says, and was anything changed that nobody declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from validation.change.triggers import allows
from validation.cohort.open import open_cohort
from validation.cohort.seal import check_seal, read_manifest
from validation.dicom.tags import COLUMNS
from validation.errors import ValidationProblem
from validation.protocol.change_schema import Bound
from validation.study.prepare import seal_path
from validation.study.spec import Study

PATIENT_COLUMNS = {"sex", "age_years", "body_part", "tube_current_ma", "exposure", "exposure_time_ms", "ctdivol_mgy"}
"""Of the patient, or set from patient to patient by exposure control: single values mean nothing."""
FEW_VALUES = 12


def operating_limits(cases: pd.DataFrame, bounds: Sequence[Bound]) -> list[dict[str, Any]]:
    """Return for every operating limit how many cases lie outside, and the values that do.

    A limit on a column that the cohort does not have, or on a value that is not stated, is not met: it is not known.

    Examples
    --------
    >>> frame = pd.DataFrame({"kernel": ["Br40", "Br60"]})
    >>> operating_limits(frame, [Bound(quantity="kernel", allowed=["Br40"])])[0]["outside"]
    ['Br60']
    """
    found = []
    for bound in bounds:
        if bound.quantity not in cases.columns:
            found.append(_row(bound, len(cases), [], "the cohort does not state it"))
            continue
        column = cases[bound.quantity]
        inside = [None if _missing(v) else allows(bound, v) for v in column]
        outside = sorted({str(v) for v, ok in zip(column, inside, strict=True) if ok is False})
        unknown = sum(ok is None for ok in inside)
        reason = f"{unknown} cases do not state it" if unknown else ""
        found.append(_row(bound, sum(ok is not True for ok in inside), outside[:20], reason))
    return found


def header_drift(study: Study, new: pd.DataFrame, explained: Sequence[str]) -> dict[str, Any]:
    """Compare the acquisition headers of two cohorts: values never seen at baseline, and which of them were declared.

    The baseline's cohort must be at hand and as it was sealed; if not, ``compared`` is false, with the reason. Columns
    of text, and of numbers with at most a dozen values at baseline (tube voltage, slice thickness), are compared value
    by value; others by their range.

    Parameters
    ----------
    study
        The study that the baseline belongs to.
    new
        Case table of the new cohort with its header columns (``Cohort.cases``).
    explained
        Columns that the declared change may alter.

    Returns
    -------
    dict
        ``compared``, ``reason``, ``columns`` (column -> new and baseline values, ``n_cases``, ``declared``).
    """
    try:
        before = open_cohort(study.spec.cohort, study.folder)
        if seal_path(study).exists():
            check_seal(before, read_manifest(seal_path(study)))
    except ValidationProblem as problem:
        return {"compared": False, "reason": f"the baseline cohort is not at hand: {problem.what}", "columns": {}}
    columns = [c for c in COLUMNS if c not in PATIENT_COLUMNS and c in {*before.cases.columns, *new.columns}]
    found = {}
    for column in columns:
        old, now = (_texts(frame, column) for frame in (before.cases, new))
        outside = _never_seen(old, now)
        if outside:
            found[column] = {
                "new_values": sorted(set(outside))[:10],
                "baseline_values": sorted(set(old))[:10],
                "n_cases": len(outside),
                "declared": column in explained,
            }
    return {"compared": True, "reason": "", "columns": found}


def _never_seen(old: list[str], new: list[str]) -> list[str]:
    seen = set(old)
    numbers = [_number(v) for v in (*old, *new)]
    if len(seen) > FEW_VALUES and all(n is not None for n in numbers):
        known = [n for n in (_number(v) for v in old) if n is not None]
        low, high = min(known), max(known)
        return [v for v in new if (n := _number(v)) is not None and not low <= n <= high]
    return [v for v in new if v not in seen]


def _texts(frame: pd.DataFrame, column: str) -> list[str]:
    if column not in frame.columns:
        return []
    return ["not stated" if _missing(v) else f"{v:g}" if isinstance(v, float) else str(v) for v in frame[column]]


def _missing(value: Any) -> bool:
    return bool(value is None or value is pd.NA or (isinstance(value, float) and value != value))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _row(bound: Bound, n_outside: int, outside: list[str], reason: str) -> dict[str, Any]:
    limits = bound.model_dump(mode="json")
    return {"quantity": bound.quantity, "limit": limits, "n_outside": n_outside, "outside": outside, "reason": reason}
