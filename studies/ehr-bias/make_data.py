"""Write a training table in which people in fair or poor health are few, and a holdout in which they are not.

python studies/ehr-bias/make_data.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "ehr-generators"))
from randhie import people
from writing import write

FEW = 90

if __name__ == "__main__":
    everyone = people(20260603).drop(columns="visits")
    frail = everyone["health"].isin(["fair", "poor"])
    everyone["frail"] = np.where(frail, "yes", "no")
    everyone = everyone.drop(columns="health")
    few, others = everyone[frail], everyone[~frail]
    train = pd.concat([others.iloc[:1500], few.iloc[:FEW]]).sample(frac=1, random_state=1).reset_index(drop=True)
    cases = pd.concat([others.iloc[1500:3000], few.iloc[FEW:]]).reset_index(drop=True)
    write(HERE / "data", {"train": train, "cases": cases})
