"""Drafted against signed reports: omissions, inventions, sides, sizes and edit effort."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.metrics.text.labeller import Label, Status, label, read_terms
from validation.registry import Direction, Kind, metric
from validation.statistics.means import mean
from validation.statistics.proportions import proportion

WORD = re.compile(r"\w+|[^\w\s]")


def edit_distance(first: list[str], second: list[str]) -> int:
    """Return the Levenshtein distance of two sequences: insertions, deletions and substitutions.

    >>> edit_distance(list("kitten"), list("sitting"))
    3
    """
    codes: dict[str, int] = {}
    a = np.array([codes.setdefault(w, len(codes)) for w in first], dtype=np.int64)
    b = np.array([codes.setdefault(w, len(codes)) for w in second], dtype=np.int64)
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for k, word in enumerate(a, start=1):
        best = np.concatenate([[k], np.minimum(row[1:] + 1, row[:-1] + (b != word))])
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


@dataclass(frozen=True, eq=False)
class Pairs:
    """Drafts and signed reports (n,) with the patient of each."""

    drafts: list[str]
    signed: list[str]
    patients: np.ndarray | None


def _pairs(reports: pd.DataFrame, draft: str, signed: str, patient: str) -> Pairs:
    missing = [name for name in (draft, signed) if name not in reports]
    if missing or reports.empty:
        raise DataProblem(
            f"the table of reports lacks {', '.join(missing)}." if missing else "the table of reports is empty.",
            code="MET-041",
            where="reports",
            action="Give one row per report with the columns draft and signed, and the patient.",
        )
    empty = int((reports[signed].isna() | (reports[signed].astype(str).str.strip() == "")).sum())
    if empty:
        raise DataProblem(
            f"{empty} of {len(reports)} signed reports are empty.",
            code="MET-041",
            where="reports",
            why="A report that was not signed is no reference.",
            action="Leave these rows out by the protocol, and say so.",
        )
    drafts = reports[draft].fillna("").astype(str).tolist()  # a draft that failed is an empty draft: all is omitted
    patients = reports[patient].astype(str).to_numpy() if patient in reports else None
    return Pairs(drafts, reports[signed].astype(str).tolist(), patients)


@metric(
    "report_edit_effort",
    unit="1",
    direction=Direction.LOWER,
    kind=Kind.ESTIMATE,
    roles=("reports",),
    reference="Levenshtein 1966 (Soviet Physics Doklady 10:707-710)",
    oracle="dynamic programme by definition; known distances",
    family="text",
)
def report_edit_effort(
    reports: pd.DataFrame,
    *,
    draft: str = "draft",
    signed: str = "signed",
    patient: str = "patient",
    level: float = 0.95,
) -> dict[str, Estimate]:
    """How much of a drafted report was rewritten before it was signed.

    - ``edited share``: word-level edit distance over the longer of the two lengths, mean over reports; 0 if signed as
      drafted, 1 if nothing was kept. Words are compared as written; punctuation counts as words;
    - ``signed unchanged``: share of reports without any edit.

    Parameters
    ----------
    reports
        One row per report; ``draft`` empty where the model gave none (counts as wholly rewritten).
    draft, signed, patient
        Names of columns; ``patient`` may be absent.
    """
    pairs = _pairs(reports, draft, signed, patient)
    shares = []
    for a, b in zip(pairs.drafts, pairs.signed, strict=True):
        words = WORD.findall(a), WORD.findall(b)
        shares.append(edit_distance(*words) / max(1, len(words[0]), len(words[1])))
    same = [float(share == 0) for share in shares]
    return {
        "edited share": mean(shares, clusters=pairs.patients, level=level, method="mean edited share"),
        "signed unchanged": proportion(same, clusters=pairs.patients, level=level),
    }


@metric(
    "report_findings",
    unit="1",
    direction=Direction.NONE,
    kind=Kind.ESTIMATE,
    roles=("reports", "terms"),
    reference="Irvin 2019, arXiv:1901.07031 (mention, negation, uncertainty); Chapman 2001, doi:10.1006/jbin.2001.1029",
    oracle="reports written with known omissions and inventions",
    family="text",
)
def report_findings(
    reports: pd.DataFrame,
    terms: pd.DataFrame,
    *,
    tolerance_mm: float = 1.0,
    draft: str = "draft",
    signed: str = "signed",
    patient: str = "patient",
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Compare the findings of drafted reports with those of the signed reports.

    - ``agreement``: share of findings that either report mentions on which both say the same (present, uncertain,
      absent, unmentioned);
    - ``omitted``: of the findings present in signed reports, those the draft has neither as present nor as uncertain;
    - ``invented``: of the findings present in drafts, those the signed report has neither as present nor as uncertain;
    - both also by severity (``omitted critical``, ...), where the table of terms names severities;
    - ``contradicted``: of the findings that both mention, present in one and absent in the other;
    - ``wrong side``: of the findings present in both with a side in both, those whose sides differ;
    - ``wrong size``: of the findings present in both with sizes in both, those with a size in the draft that differs
      from all sizes in the signed report by more than the tolerance.

    All are lower-is-better except agreement. Patients are clusters. A share without any finding to count is
    insufficient, never 0.

    Parameters
    ----------
    reports
        One row per report: draft, signed, patient.
    terms
        Findings, terms and severities, see :mod:`validation.metrics.text.labeller`.
    tolerance_mm
        Difference of sizes that does not matter.
    """
    if not 0 <= tolerance_mm < float("inf"):
        raise UsageProblem(
            f"tolerance_mm is {tolerance_mm}.", code="MET-014", where="tolerance_mm", action="Give 0 mm or more."
        )
    pairs, lexicon = _pairs(reports, draft, signed, patient), read_terms(terms)
    events: dict[str, list[tuple[float, int]]] = {}
    severities = sorted({s for s in lexicon.severity.values() if s})
    for name in ("agreement", "omitted", "invented", "contradicted", "wrong side", "wrong size"):
        events[name] = []
        if name in ("omitted", "invented"):
            events |= {f"{name} {s}": [] for s in severities}
    for row, (a, b) in enumerate(zip(pairs.drafts, pairs.signed, strict=True)):
        drafted, final = label(a, lexicon), label(b, lexicon)
        for finding, severity in lexicon.severity.items():
            for name, event in compared(drafted[finding], final[finding], tolerance_mm).items():
                events[name].append((float(event), row))
                if f"{name} {severity}" in events:
                    events[f"{name} {severity}"].append((float(event), row))
    owners = pairs.patients if pairs.patients is not None else np.arange(len(pairs.drafts)).astype(str)
    return {
        name: proportion([e for e, _ in found], clusters=owners[[r for _, r in found]] if found else None, level=level)
        for name, found in events.items()
    }


def compared(drafted: Label, final: Label, tolerance: float) -> dict[str, bool]:
    """Return the events of one finding of one report: only those whose denominator it belongs to."""
    found = {}
    said = (Status.PRESENT, Status.UNCERTAIN)
    if Status.UNMENTIONED not in (drafted.status, final.status) or drafted.status is not final.status:
        found["agreement"] = drafted.status is final.status
    if final.status is Status.PRESENT:
        found["omitted"] = drafted.status not in said
    if drafted.status is Status.PRESENT:
        found["invented"] = final.status not in said
    if Status.UNMENTIONED not in (drafted.status, final.status):
        found["contradicted"] = {drafted.status, final.status} == {Status.PRESENT, Status.ABSENT}
    if drafted.status is final.status is Status.PRESENT:
        if drafted.sides and final.sides:
            found["wrong side"] = drafted.sides != final.sides
        if drafted.sizes_mm and final.sizes_mm:
            gaps = [min(abs(size - other) for other in final.sizes_mm) for size in drafted.sizes_mm]
            found["wrong size"] = max(gaps) > tolerance + 1e-9
    return found
