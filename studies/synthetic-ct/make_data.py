"""Make the simulated cohort: pairs of MR image and CT of virtual heads, masks and the case table.

    python studies/synthetic-ct/make_data.py

No person is behind any of these images.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from head import SPACING_MM, draw_head

AGE_BANDS = {"18-49": (20, 50), "50-69": (50, 70), "70+": (70, 88)}


def rows(patients: int, rng: np.random.Generator, *, prefix: str, year: int) -> list[dict[str, object]]:
    """Return the rows of a case table, balanced over sex, age band and field strength."""
    found = []
    for i in range(patients):
        band = list(AGE_BANDS)[(i // 2) % 3]
        found.append(
            {
                "case_id": f"{prefix}P{i + 1:03d}", "patient_id": f"{prefix}P{i + 1:03d}",
                "site": f"{prefix}{int(rng.integers(1, 4)):02d}", "sex": "FM"[i % 2],
                "age": int(rng.integers(*AGE_BANDS[band])), "age_band": band, "field_t": (1.5, 3.0)[(i // 6) % 2],
                "acquisition_date": f"{year}-{int(rng.integers(1, 13)):02d}-{int(rng.integers(1, 29)):02d}",
            }
        )  # fmt: skip
    return found


def save_table(out: Path, table: list[dict[str, object]], masks: dict[str, np.ndarray]) -> None:
    """Write the masks of all cases and the case table, which names them."""
    np.savez_compressed(out / "masks.npz", **masks)
    with (out / "cases.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def main() -> None:
    """Write images, masks and the case table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=36)
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--seed", type=int, default=20260301)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    table = rows(arguments.patients, rng, prefix="SCT-", year=2025)
    masks: dict[str, np.ndarray] = {}
    for row in table:
        head = draw_head(rng, field_t=float(str(row["field_t"])), age=int(str(row["age"])))
        case_id = str(row["case_id"])
        np.savez_compressed(out / f"{case_id}.npz", mr=head.mr, ct=np.rint(head.ct).astype(np.float32))
        row |= {"input": f"{case_id}.npz:mr", "reference": f"{case_id}.npz:ct"}
        for name, mask in head.masks.items():
            masks[f"{case_id}_{name}"] = mask
            row[f"mask.{name}"] = f"masks.npz:{case_id}_{name}"
    save_table(out, table, masks)
    print(f"{len(table)} simulated heads of spacing {SPACING_MM} mm in {out}")


if __name__ == "__main__":
    main()
