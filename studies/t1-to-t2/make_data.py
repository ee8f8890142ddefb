"""Make the simulated cohort: T1- and T2-weighted images of virtual heads with a tumour, masks and the case table.

    python studies/t1-to-t2/make_data.py

The heads are those of ``studies/synthetic-ct/head.py``, drawn with seeds of their own. No person is behind them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "synthetic-ct"))
from head import SPACING_MM, draw_head
from make_data import rows, save_table


def main() -> None:
    """Write images, masks and the case table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=36)
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--seed", type=int, default=20260402)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    table = rows(arguments.patients, rng, prefix="T12-", year=2025)
    masks: dict[str, np.ndarray] = {}
    for row in table:
        head = draw_head(rng, field_t=float(str(row["field_t"])), age=int(str(row["age"])))
        case_id = str(row["case_id"])
        np.savez_compressed(out / f"{case_id}.npz", t1=head.mr, t2=head.t2)
        row |= {"input": f"{case_id}.npz:t1", "reference": f"{case_id}.npz:t2"}
        brain = head.masks["body"] & (np.abs(head.ct - 36) < 60)
        for name, mask in (("body", head.masks["body"]), ("lesion", head.masks["target"]), ("brain", brain)):
            masks[f"{case_id}_{name}"] = mask
            row[f"mask.{name}"] = f"masks.npz:{case_id}_{name}"
    save_table(out, table, masks)
    print(f"{len(table)} simulated pairs of T1 and T2 images, spacing {SPACING_MM} mm, in {out}")


if __name__ == "__main__":
    main()
