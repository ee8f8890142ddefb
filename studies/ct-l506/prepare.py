"""Prepare the L506 pair as a cohort: one real slice at quarter dose and at full dose, with region masks.

    VALIDATION_SHARED=/path/to/shared python studies/ct-l506/prepare.py

Reads ``data/imaging/ct_lowdose_L506/l506.npz`` in the shared folder and writes ``data/`` beside this script.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

HERE = Path(__file__).resolve().parent
OFFSET = 1024  # stored value of 0 HU; see README.md for how it was inferred


def shared_folder() -> Path:
    """Return the shared folder, or exit with what to do."""
    named = os.environ.get("VALIDATION_SHARED")
    folder = Path(named) if named else HERE.parents[2] / "shared"
    if not (folder / "data" / "imaging").is_dir():
        sys.exit("no shared data: set VALIDATION_SHARED to the folder that holds data/imaging")
    return folder


def regions(smooth_hu: np.ndarray) -> dict[str, np.ndarray]:
    """Return masks of the body and of soft tissue, from the noise-reduced reconstruction of the same slice.

    Neither of the two measured images takes part in drawing the masks.
    """
    inside = ndimage.binary_opening(smooth_hu > -400, iterations=3)
    labels, _ = ndimage.label(inside)
    body = ndimage.binary_fill_holes(labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1)
    flat = ndimage.median_filter(smooth_hu, 5)
    tissue = (flat > 60) & (flat < 180) & body
    tissue = ndimage.binary_erosion(ndimage.binary_opening(tissue, iterations=3), iterations=4)
    return {"body": ndimage.binary_erosion(body, iterations=2), "tissue": tissue}


def main() -> None:
    """Write arrays, masks and the case table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "data")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with np.load(shared_folder() / "data/imaging/ct_lowdose_L506/l506.npz", allow_pickle=False) as archive:
        full, quarter, smooth = (archive[key] for key in ("noise_FD", "noise_QD", "noise_gt"))
    np.savez_compressed(out / "l506.npz", full_dose=full, quarter_dose=quarter)
    masks = regions(smooth.astype(np.float32) - OFFSET)
    np.savez_compressed(out / "masks.npz", **masks)
    (out / "cases.csv").write_text(
        "case_id,patient_id,dose_fraction,input,reference,mask.body,mask.tissue\n"
        "L506-032,L506,0.25,l506.npz:quarter_dose,l506.npz:full_dose,masks.npz:body,masks.npz:tissue\n",
        encoding="utf-8",
    )
    print(f"1 case in {out}: tissue {int(masks['tissue'].sum())} pixels, body {int(masks['body'].sum())} pixels")


if __name__ == "__main__":
    main()
