"""Prepare published scores for pleural effusion on ChestX-ray14 as a cohort and a table of answers.

    VALIDATION_SHARED=/path/to/shared python studies/detection-cxr/prepare.py

Reads ``data/imaging/cxr_nih_ai`` in the shared folder and writes ``data/`` and ``answers/`` beside this script.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
RUN = 37


def shared_folder() -> Path:
    """Return the shared folder, or exit with what to do."""
    named = os.environ.get("VALIDATION_SHARED")
    folder = Path(named) if named else HERE.parents[2] / "shared"
    if not (folder / "data" / "imaging" / "cxr_nih_ai").is_dir():
        sys.exit("no shared data: set VALIDATION_SHARED to the folder that holds data/imaging/cxr_nih_ai")
    return folder / "data" / "imaging" / "cxr_nih_ai"


def main() -> None:
    """Write the case table and the table of scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE)
    out: Path = parser.parse_args().out
    folder = shared_folder()
    truth = pd.read_csv(folder / "truth_demographics.csv.gz")
    scores = pd.read_csv(folder / f"preds_run{RUN}.csv.gz")
    names = truth["path"].str.removesuffix(".png")
    age = truth["Patient Age"]
    cases = pd.DataFrame({
        "case_id": names, "patient_id": truth["Patient ID"].map("nih-{:05d}".format), "sex": truth["Patient Gender"],
        "age": age, "age_band": pd.cut(age, [-1, 17, 49, 69, 200], labels=["0-17", "18-49", "50-69", "70+"]),
        "view": truth["View Position"], "effusion": truth["Effusion"].astype(int),
    })  # fmt: skip
    for name in ("data", "answers"):
        (out / name).mkdir(parents=True, exist_ok=True)
    cases.to_csv(out / "data" / "cases.csv", index=False)
    answers = pd.DataFrame({"case_id": scores["path"].str.removesuffix(".png"), "effusion": scores["prob_Effusion"]})
    answers.to_csv(out / "answers" / "scores.csv", index=False)
    print(f"{len(cases)} radiographs of {cases['patient_id'].nunique()} patients in {out / 'data'}")


if __name__ == "__main__":
    main()
