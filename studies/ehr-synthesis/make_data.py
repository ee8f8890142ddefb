"""Write the tables of the study: real people of the RAND Health Insurance Experiment, cut into three at random.

python studies/ehr-synthesis/make_data.py
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "ehr-generators"))
from randhie import people
from writing import cut, write

if __name__ == "__main__":
    everyone = people(20260601).drop(columns="any_visit")
    write(HERE / "data", cut(everyone, {"train": 1500, "control": 1400, "cases": 0}))
