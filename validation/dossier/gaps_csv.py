"""The gap report as a table for spreadsheets: one row per artefact and per requirement."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from validation.digest import write_atomically
from validation.dossier.gaps import Gaps, Row

COLUMNS = (
    "pathway",
    "claim",
    "run",
    "kind",
    "id",
    "need",
    "classification",
    "state",
    "title",
    "where",
    "narrative",
    "because",
    "source",
    "artefacts",
)


def write_csv(path: Path, reports: Iterable[Gaps]) -> None:
    """Write the rows of several reports, in UTF-8 with a header line.

    A cell that a spreadsheet would read as a formula gets an apostrophe in front.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for report in reports:
        for kind, rows in (("artefact", report.artefacts), ("requirement", report.requirements)):
            writer.writerows([_plain(cell) for cell in _cells(report, kind, row)] for row in rows)
    write_atomically(path, text.getvalue().encode())


def _cells(report: Gaps, kind: str, row: Row) -> list[str]:
    block = f"narrative/{row.narrative}.md" if row.narrative else ""
    return [
        report.pathway,
        report.claim,
        report.run,
        kind,
        row.id,
        row.need,
        row.classification,
        row.state,
        row.title,
        "; ".join(row.where),
        block,
        row.because,
        row.source,
        " ".join(row.artefacts),
    ]


def _plain(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
