"""Shifts of real data that are there are found; one site split against itself is not.

    python benchmarks/shift_real.py [--splits 500] [--json FILE]

With the shared data: two vendors of MR phantoms, two hospitals with heart patients, T1 against T2 slices of one head;
then random halves of one hospital, each family of tests at alpha 0.05. Without them the last part runs on simulated
patients, and the others are left out with a word. Exit code 1 if a comparison with a shift has no finding, one without
has any, or false alarms are too many.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from validation.protocol.plan_schemas import ShiftVariable
from validation.shift.compare import compare
from validation.shift.features import image_features
from validation.shift.inputs import table_of_images

SHARED = Path(os.environ.get("VALIDATION_SHARED", Path(__file__).resolve().parents[2] / "shared"))
JOINT = ["mmd", "energy", "classifier"]
HEART = [("age", "ks"), ("thalach", "ks"), ("oldpeak", "cramer_von_mises"), ("trestbps", "wasserstein"), ("cp", "chi2")]
IMAGE = [("noise_sd", "ks"), ("p50", "ks"), ("edge_share", "ks"), ("high_frequency_share", "ks")]


def variables(chosen: list[tuple[str, str]]) -> list[ShiftVariable]:
    return [ShiftVariable(column=c, statistic=s) for c, s in chosen]  # type: ignore[arg-type]


def heart() -> pd.DataFrame | None:
    path = SHARED / "data/ehr/uci_heart_sites/heart_cleveland_hungary.csv"
    return pd.read_csv(path) if path.is_file() else None


def vendors() -> tuple[pd.DataFrame, pd.DataFrame]:
    with (
        tempfile.TemporaryDirectory() as name,
        zipfile.ZipFile(SHARED / "data/imaging/mr_acr_multivendor/acr_dicom.zip") as archive,
    ):
        for member in archive.namelist():
            if member.endswith("/") or ".." in member:
                continue
            target = Path(name) / ("ge" if member.startswith("GE") else "siemens") / member
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))
        return table_of_images(Path(name) / "ge"), table_of_images(Path(name) / "siemens")


def contrasts() -> tuple[pd.DataFrame, pd.DataFrame]:
    with np.load(SHARED / "data/imaging/mr_ms_t1t2/patient07.npz", allow_pickle=False) as data:
        names = {k.lower(): k for k in data.files}
        t1, t2 = (data[next(v for k, v in names.items() if k.startswith(n) and "scale" not in k)] for n in ("t1", "t2"))
    axis = int(np.argmin(t1.shape))
    slices = [np.moveaxis(v, axis, 0)[20:100].astype(float) for v in (t1, t2)]
    a, b = (image_features(s).assign(place=range(len(s))) for s in slices)
    return a, b


def shifts() -> list[dict[str, Any]]:
    """Return one row per comparison and test."""
    table = heart()
    if table is None or not (SHARED / "data/imaging").is_dir():
        print("no shared data: the real shifts are left out")
        return []
    sites = table[table.site == "cleveland"], table[table.site == "hungary"]
    t1, t2 = contrasts()
    asked: list[tuple[str, tuple[pd.DataFrame, pd.DataFrame], list[tuple[str, str]], dict[str, Any], bool]] = [
        ("MR phantoms, GE against Siemens", vendors(), IMAGE[:2], {"cluster": "series", "minimum_clusters": 4}, True),
        ("heart patients, Cleveland against Hungary", sites, HEART, {"multivariate": JOINT}, True),
        ("T1 against T2, paired slices", (t1, t2), IMAGE, {"cluster": "place", "multivariate": JOINT}, True),
        ("T1, even against odd slices", (t1[::2], t1[1::2]), IMAGE, {"multivariate": JOINT}, False),
    ]
    rows = []
    for title, (before, after), chosen, settings, there in asked:
        report = compare(before, after, variables(chosen), permutations=1999, **settings)
        found = [*report.variables, *report.multivariate]
        print(f"\n{title}: n {len(before)} and {len(after)}; {'a shift is there' if there else 'none is there'}")
        for c in found:
            low, high = c.effect.lower or 0.0, c.effect.upper or 0.0
            effect = f"{c.effect.value:8.3f} [{low:.3f}, {high:.3f}]"
            print(f"  {c.name:22s} {c.statistic:18s} {effect:26s} adjusted p {c.p_adjusted:.4f}  {c.finding}")
            rows.append({"comparison": title, "there": there, "test": c.name, "finding": str(c.finding),
                         "effect": c.effect.to_dict(), "p_adjusted": c.p_adjusted})  # fmt: skip
    return rows


def false_alarms(splits: int, alpha: float = 0.05) -> list[dict[str, Any]]:
    """Return how often random halves of one hospital are found different, per family and per joint test."""
    rng = np.random.default_rng(1)
    table, name = heart(), "Cleveland"
    if table is not None:
        table = table[table.site == "cleveland"]
    else:
        name, n = "simulated hospital", 300
        table = pd.DataFrame(
            {"age": rng.normal(55, 9, n).round(), "thalach": rng.normal(150, 22, n).round(),
             "cp": rng.integers(1, 5, n), "oldpeak": rng.exponential(1, n).round(1),
             "trestbps": rng.normal(130, 17, n).round()}
        )  # fmt: skip
    counts = dict.fromkeys(["any variable (Holm)", "any joint test (Holm)", *JOINT], 0)
    half = len(table) // 2
    for k in range(splits):
        mixed = table.iloc[rng.permutation(len(table))]
        r = compare(mixed[:half], mixed[half:], variables(HEART), multivariate=JOINT, permutations=199, seed=k)
        counts["any variable (Holm)"] += any(c.finding == "shifted" for c in r.variables)
        counts["any joint test (Holm)"] += any(c.finding == "shifted" for c in r.multivariate)
        for c in r.multivariate:
            counts[c.name] += (c.p_value or 1.0) <= alpha
    print(f"\nfalse alarms, {name} split against itself, {splits} splits, alpha {alpha}")
    rows = []
    for what, hits in counts.items():
        ok = bool(hits <= stats.binom.isf(0.001, splits, alpha))
        print(f"  {what:24s} {hits / splits:.3f}  {'ok' if ok else 'TOO MANY'}")
        rows.append({"family": what, "splits": splits, "alarms": hits, "rate": hits / splits, "ok": ok})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=500)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found, alarms = shifts(), false_alarms(arguments.splits)
    if arguments.json:
        arguments.json.write_text(json.dumps({"shifts": found, "false_alarms": alarms}, indent=2))
    seen: dict[str, list[bool]] = {}
    for row in found:
        seen.setdefault(row["comparison"], []).append(row["finding"] == "shifted")
    there = {row["comparison"]: row["there"] for row in found}
    good = all(any(hits) == there[what] for what, hits in seen.items()) and all(row["ok"] for row in alarms)
    print("\nall as expected" if good else "\nNOT AS EXPECTED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
