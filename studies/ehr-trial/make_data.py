"""Write the arms of a real randomised trial: free care and 95 % cost sharing, RAND Health Insurance Experiment.

python studies/ehr-trial/make_data.py
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "ehr-generators"))
from randhie import people
from writing import cut, write

if __name__ == "__main__":
    everyone = people(20260602).drop(columns="visits")
    control = everyone[everyone["plan"] == "free"].drop(columns="plan")
    treated = everyone[everyone["plan"] == "95 %"].drop(columns="plan")
    write(HERE / "data", cut(control, {"train": 600, "cases": 0}) | {"treated": treated})
