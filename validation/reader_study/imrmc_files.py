"""The ``.imrmc`` text format: a header, ``BEGIN DATA:``, then rows of reader, case, modality, score."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd

from validation.errors import DataProblem
from validation.reader_study.scores import ReaderScores, from_frame

_TRUTH_READERS = {"-1", "truth"}


def read_imrmc(path: Path) -> ReaderScores:
    """Read an ``.imrmc`` file. Rows of reader ``-1`` or ``truth`` give the truth of a case; all others are scores.

    Cases that have a truth but were never read are left out.

    Raises
    ------
    DataProblem
        If the data section is missing, a row has too few parts, or a scored case has no truth.
    """
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip().upper().startswith("BEGIN DATA")), None)
    if start is None:
        raise DataProblem(
            "the file has no line 'BEGIN DATA:'.",
            code="RDR-009",
            where=path.name,
            action="Check that it is an .imrmc file.",
        )
    try:
        parsed = list(csv.reader(lines[start + 1 :]))
    except csv.Error as problem:
        raise DataProblem("the data section cannot be read.", code="RDR-009", where=path.name) from problem
    truth: dict[str, str] = {}
    rows: list[tuple[str, str, str, str]] = []
    for number, parts in enumerate(parsed, start=start + 2):
        cells = [part.strip() for part in parts]
        if not any(cells):
            continue
        if len(cells) < 4:
            raise DataProblem(
                "a data row needs reader, case, modality and score.", code="RDR-009", where=f"{path.name}:{number}"
            )
        reader, case, modality, score = cells[:4]
        if reader.lower() in _TRUTH_READERS:
            if truth.setdefault(case, score) != score:
                raise DataProblem("a case is given two truths.", code="RDR-005", where=f"{path.name}:{number}")
        else:
            rows.append((reader, case, modality, score))
    table = pd.DataFrame(rows, columns=["reader", "case", "modality", "score"])
    without = ~table["case"].isin(list(truth))
    if without.any():
        raise DataProblem(
            f"{int(without.sum())} scores belong to cases without a truth row.",
            code="RDR-003",
            where=path.name,
            action="Add a row with reader -1 for each case.",
        )
    return from_frame(table.assign(truth=table["case"].map(truth)), where=path.name)


def imrmc_text(scores: ReaderScores, *, description: str = "Reader study") -> str:
    """Return the study as the text of an ``.imrmc`` file, with scores in full precision."""
    stream = io.StringIO()
    stream.write(f"{' '.join(description.split())}\n\n")
    counts = {
        "NR": len(scores.readers),
        "N0": int((~scores.positive).sum()),
        "N1": int(scores.positive.sum()),
        "NM": len(scores.modalities),
    }
    stream.writelines(f"{key}: {value}\n" for key, value in counts.items())
    stream.write("\nBEGIN DATA:\n")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([("-1", case, "0", int(p)) for case, p in zip(scores.cases, scores.positive, strict=True)])
    for row in scores.to_frame().itertuples(index=False):
        writer.writerow((row.reader, row.case, row.modality, repr(float(str(row.score)))))
    return stream.getvalue()
