"""Writing the data sets of a study: tables cut by patient, so that nobody is in two of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def cut(frame: pd.DataFrame, sizes: dict[str, int]) -> dict[str, pd.DataFrame]:
    """Return consecutive parts of a table with one row per patient; a size of 0 takes the rest."""
    parts, at = {}, 0
    for name, size in sizes.items():
        stop = at + size if size else len(frame)
        parts[name] = frame.iloc[at:stop].reset_index(drop=True)
        at = stop
    return parts


def write(folder: Path, parts: dict[str, pd.DataFrame]) -> None:
    """Write each part as ``folder/<name>.csv`` and say how many patients it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        part.to_csv(folder / f"{name}.csv", index=False)
        people = part[next(c for c in ("patient_id", "subject_id") if c in part)].nunique()
        print(f"{folder.name}/{name}.csv: {len(part)} rows, {people} patients")
