"""Write features of real images and the diagnosis that goes with them: 569 fine-needle aspirates of breast masses.

    python studies/ehr-multimodal/make_data.py

The data ship inside scikit-learn (breast cancer Wisconsin, diagnostic; Wolberg, Mangasarian, Street, Street 1995, CC BY
4.0). Features are measured on digitised images of cell nuclei; those of the mean nucleus are used. One row is one
patient.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "ehr-generators"))
from writing import cut, write

if __name__ == "__main__":
    from sklearn.datasets import load_breast_cancer

    raw = load_breast_cancer(as_frame=True)
    wanted = [c for c in raw.data.columns if c.startswith("mean ")]
    frame = raw.data[wanted].rename(columns=lambda c: "image_" + c.removeprefix("mean ").replace(" ", "_"))
    frame["diagnosis"] = np.where(raw.target == 0, "malignant", "benign")
    frame.insert(0, "patient_id", [f"FNA-{k + 1:03d}" for k in range(len(frame))])
    write(HERE / "data", cut(frame.sample(frac=1, random_state=20260605), {"train": 280, "cases": 0}))
