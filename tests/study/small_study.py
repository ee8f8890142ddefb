"""A whole study on disk, small enough to run in seconds: squares of noise, and a model that halves the noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PROTOCOL = """\
schema: 1
id: squares
version: 1.0.0
title: A small protocol for tests
claim:
  type: low_dose_denoising
  statement: The model lowers noise in simulated squares.
  pathways: [internal_validation]
  hazards:
    - {id: H-01, description: Noise stays}
population:
  description: Simulated squares, nobody's images.
  eligibility: "kind != 'spare'"
  subgroups: [sex]
  target: {sex: {F: 0.5, M: 0.5}}
  minimum_per_subgroup: 5
  minimum_clusters: 10
reference_standard: {method: noise-free simulation}
data_quality:
  - {id: DQ-1, expect: expect_column_values_to_be_in_set, column: sex, arguments: {value_set: [F, M]}}
independence: {disjoint: [patient_id], from: training.csv}
endpoints:
  - id: E1
    role: primary
    title: Noise against the input
    metric: {name: noise_magnitude, region: middle}
    summary: paired_mean_difference
    comparator: input
    hypothesis: {type: superiority, margin: -5.0, unit: HU}
    hazards: [H-01]
  - id: E2
    role: secondary
    title: Error against the reference
    metric: {name: rmse}
    summary: paired_mean_difference
    comparator: input
    hypothesis: {type: superiority, margin: 0.0, unit: HU}
multiplicity: {method: fixed_sequence, order: [E1, E2]}
"""

STUDY = """\
schema: 1
id: squares
title: A small study for tests
notice: Simulated squares.
protocol: protocol.yaml
model: {name: halver, version: 1.0.0, kind: precomputed, path: outputs, outputs: "{case_id}.npy"}
cohort:
  folder: data
  table: data/cases.csv
  arrays: {unit: HU, spacing_mm: [1.0, 1.0]}
"""


def write_study(folder: Path, *, patients: int = 14, size: int = 24, seed: int = 3) -> Path:
    """Write a study with two cases per patient and one case that is not eligible."""
    rng = np.random.default_rng(seed)
    (folder / "data").mkdir(parents=True)
    (folder / "outputs").mkdir()
    mask = np.zeros((size, size), bool)
    mask[4:-4, 4:-4] = True
    np.save(folder / "data" / "middle.npy", mask)
    lines = ["case_id,patient_id,sex,kind,input,reference,mask.middle"]
    for i in range(2 * patients + 1):
        case = f"c{i:03d}"
        clean = np.full((size, size), 40.0, "float32")
        noise = rng.normal(0, 20, (size, size)).astype("float32")
        np.save(folder / "data" / f"{case}.in.npy", clean + noise)
        np.save(folder / "data" / f"{case}.ref.npy", clean)
        np.save(folder / "outputs" / f"{case}.npy", clean + noise / 2)
        kind = "spare" if i == 2 * patients else "patient"
        lines.append(f"{case},patient-{i // 2},{'FM'[i // 2 % 2]},{kind},{case}.in.npy,{case}.ref.npy,middle.npy")
    (folder / "data" / "cases.csv").write_text("\n".join(lines) + "\n")
    (folder / "training.csv").write_text("patient_id\nother-1\nother-2\n")
    (folder / "protocol.yaml").write_text(PROTOCOL)
    (folder / "study.yaml").write_text(STUDY)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    """Replace text in a file; the old text must be there."""
    text = path.read_text()
    if old not in text:
        raise ValueError(f"{old!r} is not in {path.name}")
    path.write_text(text.replace(old, new))
