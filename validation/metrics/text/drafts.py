"""Drafted against signed reports, case by case: counts of errors, edit effort, and the accuracy of the labeller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from validation.errors import DataProblem, UsageProblem
from validation.metrics.text.labeller import Status, Terms, label
from validation.metrics.text.reports import WORD, compared, edit_distance
from validation.registry import Direction, Kind, metric

EVENTS = ("agreement", "omitted", "invented", "contradicted", "wrong side", "wrong size")


@metric(
    "draft_findings",
    unit="1",
    direction=Direction.NONE,
    roles=("draft", "signed"),
    kind=Kind.VECTOR,
    reference="Irvin 2019, arXiv:1901.07031 (mention, negation, uncertainty); Chapman 2001, doi:10.1006/jbin.2001.1029",
    oracle="reports written with known omissions and inventions; report_findings",
    family="text",
)
def draft_findings(
    draft: Sequence[str], signed: Sequence[str], *, labeller: Terms, tolerance_mm: float = 1.0
) -> dict[str, Tensor]:
    """Count the findings of a draft that differ from those of the signed report.

    For each event its count and, as ``of <event>``, the number of findings that it could have happened to:

    - ``agreement``: both reports say the same of a finding, of those that either mentions;
    - ``omitted``: a finding present in the signed report that the draft has neither as present nor as uncertain;
    - ``invented``: a finding present in the draft that the signed report has neither as present nor as uncertain;
    - ``contradicted``: present in one and absent in the other, of those that both mention;
    - ``wrong side``, ``wrong size``: of findings present in both with a side, or sizes, in both.

    ``omitted`` and ``invented`` also by severity (``omitted critical``). Counts, so that a share over reports keeps the
    findings of one report and patient together (summary ``component_share``).

    Never undefined: an empty draft omits everything.

    Parameters
    ----------
    draft, signed
        Texts of each case.
    labeller
        Name of a labeller of the protocol.
    tolerance_mm
        Difference of sizes that does not matter.
    """
    if not 0 <= tolerance_mm < float("inf"):
        raise UsageProblem(
            f"tolerance_mm is {tolerance_mm}.", code="MET-014", where="tolerance_mm", action="Give 0 mm or more."
        )
    levels = sorted({level for level in labeller.severity.values() if level})
    names = [*EVENTS, *(f"{event} {level}" for event in ("omitted", "invented") for level in levels)]
    counts = {key: [0.0] * len(draft) for name in names for key in (name, f"of {name}")}
    for k, (first, second) in enumerate(zip(draft, signed, strict=True)):
        drafted, final = label(first, labeller), label(second, labeller)
        for finding, level in labeller.severity.items():
            for event, happened in compared(drafted[finding], final[finding], tolerance_mm).items():
                for name in (event, f"{event} {level}"):
                    if name in counts:
                        counts[name][k] += happened
                        counts[f"of {name}"][k] += 1
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in counts.items()}


@metric(
    "draft_edit_share",
    unit="1",
    direction=Direction.LOWER,
    roles=("draft", "signed"),
    reference="Levenshtein 1966 (Soviet Physics Doklady 10:707-710)",
    oracle="dynamic programme by definition; known distances",
    family="text",
)
def draft_edit_share(draft: Sequence[str], signed: Sequence[str]) -> Tensor:
    """Share of a draft that was rewritten before it was signed: 0 if signed as drafted, 1 if nothing was kept.

    Word-level edit distance over the longer of the two lengths; punctuation counts as words.

    Never undefined: an empty draft is wholly rewritten.
    """
    shares = []
    for first, second in zip(draft, signed, strict=True):
        words = WORD.findall(first), WORD.findall(second)
        shares.append(edit_distance(*words) / max(1, len(words[0]), len(words[1])))
    return torch.tensor(shares, dtype=torch.float64)


@metric(
    "labeller_accuracy",
    unit="1",
    direction=Direction.HIGHER,
    roles=("signed", "row"),
    kind=Kind.VECTOR,
    reference="Irvin 2019, arXiv:1901.07031 (labeller against readers)",
    oracle="counts by construction",
    family="text",
)
def labeller_accuracy(
    signed: Sequence[str], row: Sequence[Mapping[str, Any]], *, labeller: Terms, prefix: str = "read."
) -> dict[str, Tensor]:
    """Compare what the labeller reads in signed reports with what a person read in them.

    The labeller is the measuring instrument of all findings, so that its own error must be known on the reports of the
    study. Components: ``read`` (findings that a person read), ``agreed`` (the labeller has the same status), and by
    the person's status ``read present``, ``agreed present``, ...

    Never undefined: without any reading all counts are 0.

    Parameters
    ----------
    signed
        Signed report of each case.
    row
        Row of the case table, with a column ``read.<finding>`` (spaces as underscores) that holds ``present``,
        ``uncertain``, ``absent`` or ``unmentioned``, or is empty where nobody read it.
    labeller
        Name of a labeller of the protocol.
    prefix
        Beginning of the names of these columns.
    """
    names = ["", *(f" {status.value}" for status in Status)]
    counts = {f"{what}{name}": [0.0] * len(signed) for what in ("read", "agreed") for name in names}
    columns = {finding: f"{prefix}{finding.replace(' ', '_')}" for finding in labeller.patterns}
    if row and not set(columns.values()) & set(row[0]):
        raise DataProblem(
            f"the case table has no column of readings, such as {next(iter(columns.values()))!r}.",
            code="MET-042",
            where=prefix,
            why="Without readings by a person the accuracy of the labeller is not known.",
            action="Add one column per finding, or remove the endpoint.",
        )
    for k, (text, own) in enumerate(zip(signed, row, strict=True)):
        found = label(text, labeller)
        for finding, column in columns.items():
            read = own.get(column, "")
            if pd.isna(read) or not str(read).strip():
                continue
            if str(read).strip() not in list(Status):
                raise DataProblem(
                    f"the column {column!r} holds something that is no status.",
                    code="MET-042",
                    where=column,
                    action=f"Use {', '.join(Status)}, or leave the cell empty.",
                )
            status = Status(str(read).strip())
            for name in ("", f" {status.value}"):
                counts[f"read{name}"][k] += 1
                counts[f"agreed{name}"][k] += found[finding].status is status
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in counts.items()}
