"""Write event streams of real people: one event per visit class and year of the RAND Health Insurance Experiment.

    python studies/ehr-longitudinal/make_data.py

At enrolment (day 0) each person has codes of plan, health and limitation; at the end of every year a code that says how
often a physician was seen (none, 1-2, 3-5, 6 or more), with the number as its value.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "ehr-generators"))
from randhie import people, years
from writing import cut, write


def events(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per event: subject_id, time (days since enrolment), code, numeric_value."""
    first = frame[frame["year"] == 1]
    parts = [
        pd.DataFrame(
            {
                "subject_id": first["patient_id"],
                "time": 0.0,
                "code": name.upper() + "//" + first[name].fillna("unknown").astype(str),
                "numeric_value": np.nan,
            }
        )
        for name in ("plan", "health", "limitation")
    ]
    class_of = pd.cut(frame["visits"], [-1, 0, 2, 5, 10_000], labels=["none", "1-2", "3-5", "6 or more"]).astype(str)
    parts.append(
        pd.DataFrame(
            {
                "subject_id": frame["patient_id"],
                "time": 365.0 * frame["year"],
                "code": "VISITS//" + class_of,
                "numeric_value": frame["visits"].astype(float),
            }
        )
    )
    return pd.concat(parts).sort_values(["subject_id", "time", "code"], kind="stable").reset_index(drop=True)


if __name__ == "__main__":
    everyone = people(20260601)
    by_year = years()
    parts = cut(everyone, {"train": 1500, "control": 1400, "cases": 0})
    streams = {name: events(by_year[by_year["patient_id"].isin(part["patient_id"])]) for name, part in parts.items()}
    cases = parts["cases"][["patient_id", "plan", "health", "limitation"]]
    write(HERE / "data", {"train": streams["train"], "control": streams["control"], "holdout": streams["cases"]})
    write(HERE / "data", {"cases": cases, "train_people": parts["train"][["patient_id"]]})
