"""Write the 69 recipients of the Stanford heart-transplant data that ship inside statsmodels, cut in two.

    python studies/ehr-rare-disease/make_data.py

Miller 1976, Biometrika 63:449-464. Columns: days of survival after transplantation, death (1) or censored (0), age.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "ehr-generators"))
from writing import cut, write

if __name__ == "__main__":
    import statsmodels.api as sm

    raw = sm.datasets.heart.load_pandas().data
    frame = pd.DataFrame(
        {
            "patient_id": [f"HEART-{k + 1:02d}" for k in range(len(raw))],
            "age": raw["age"],
            "days": raw["survival"].astype(int),
            "died": raw["censors"].astype(int),
        }
    ).sample(frac=1, random_state=20260604)
    write(HERE / "data", cut(frame, {"train": 35, "cases": 0}))
