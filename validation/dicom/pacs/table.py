"""The case table of a pulled cohort: one row per series, with pseudonyms and acquisition facts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from validation.dicom.tags import acquisition_tags

COLUMNS = (
    "case_id", "patient_id", "study", "input", "modality", "objects", "manufacturer", "model_name", "sex", "age_years",
    "study_date", "series_description",
)  # fmt: skip


def case_table(folder: Path, series: Sequence[str]) -> tuple[str, int]:
    """Return the table of the series below ``images`` as CSV text, and its number of rows.

    ``input`` is the locator of the series; ``study_date`` is shifted, or empty, as the profile says.
    """
    import pydicom

    rows = []
    for uid in sorted(set(series)):
        files = sorted((folder / "images" / uid).glob("*.dcm"))
        if not files:
            continue
        ds = pydicom.dcmread(files[0], stop_before_pixels=True)
        facts = acquisition_tags(ds)
        rows.append(
            {
                "patient_id": str(ds.get("PatientID", "")),
                "study": str(ds.get("StudyInstanceUID", "")),
                "input": f"images/{uid}",
                "modality": str(ds.get("Modality", "")),
                "objects": len(files),
                "study_date": str(ds.get("StudyDate", "")),
                "series_description": str(ds.get("SeriesDescription", "")),
                **{name: facts.get(name, "") for name in ("manufacturer", "model_name", "sex", "age_years")},
            }
        )
    rows.sort(key=lambda row: (str(row["patient_id"]), str(row["study_date"]), str(row["input"])))
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for number, row in enumerate(rows, 1):
        writer.writerow({"case_id": f"case-{number:05d}", **row})
    return stream.getvalue(), len(rows)
