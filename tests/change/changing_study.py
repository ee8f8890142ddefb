"""A small study whose scanner, software and model can be changed: squares of noise, and a TorchScript smoother."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from validation.evidence.attestation import close
from validation.evidence.keys import generate_key, load_signer
from validation.study.execute import begin, carry_on
from validation.study.prepare import lock_study, seal_study
from validation.study.spec import load_study

PROTOCOL = """\
schema: 1
id: squares-changing
version: 1.0.0
title: A small protocol whose subject changes
claim:
  type: low_dose_denoising
  statement: The model lowers noise in simulated squares.
  pathways: [internal_validation, pccp_acp]
  hazards:
    - {id: H-01, description: Noise stays}
population:
  description: Simulated squares, nobody's images.
  subgroups: [sex]
  minimum_per_subgroup: 5
  minimum_clusters: 10
reference_standard: {method: noise-free simulation}
independence: {disjoint: [patient_id], from: training.csv}
endpoints:
  - id: E1
    role: primary
    title: Noise against the input
    cases: "kind == 'patient'"
    metric: {name: noise_magnitude, region: middle}
    summary: paired_mean_difference
    comparator: input
    hypothesis: {type: superiority, margin: -5.0, unit: HU}
    hazards: [H-01]
  - id: E2
    role: primary
    title: Bias against the reference
    cases: "kind == 'patient'"
    metric: {name: hu_bias, region: middle}
    summary: mean
    hypothesis: {type: equivalence, margin: 4.0, unit: HU}
  - id: E3
    role: secondary
    title: Noise in the phantom
    cases: "kind == 'phantom'"
    metric: {name: noise_magnitude, region: middle}
    summary: paired_mean_difference
    comparator: input
    hypothesis: {type: superiority, margin: -5.0, unit: HU}
    minimum_clusters: 4
    subgroups: false
multiplicity: {method: fixed_sequence, order: [E1, E2, E3]}
shift:
  variables:
    - {column: age, statistic: ks}
    - {column: sex, statistic: chi2}
change_protocol:
  modifications:
    - id: M1
      kind: retraining
      description: Retraining of the same architecture on more patients from the same scanners.
      rationale: More patients lower the residual error.
      implementation: manual
      scope: global
      frequency: at most yearly
      bounds:
        - {quantity: training_patients, minimum: 3}
        - {quantity: E2.estimate.upper, maximum: 4.0}
      endpoints: [E1, E2]
      data_management: New training patients share no patient with the holdout.
      retraining: Same script and stopping rule.
      update_procedure: Released by quality management after a complete run.
      benefits: [Lower noise]
      risks: [Bias of values]
      mitigations: [Bias as a primary endpoint]
    - id: M2
      kind: new_scanner
      description: One further scanner model of a manufacturer that is already in the label.
      bounds:
        - {quantity: manufacturer, allowed: [Maker A, Maker B]}
      endpoints: [E1, E2]
  cumulative_impact: Every version is compared with the first one as well as with the last.
  labelling: The label names version and scanners.
  history:
    - {version: 1.0.0, date: '2026-01-15', changes: First version of the plan.}
  revalidation:
    operating_limits:
      - {quantity: manufacturer, allowed: [Maker A]}
      - {quantity: kernel, allowed: [Soft]}
    release_limits:
      - {endpoint: E1, margin: 3.0, rationale: A third of the smallest reduction that is claimed.}
    constancy:
      - {id: C1, endpoint: E3, arm: input, tolerance: 3.0, rationale: Three standard errors of repeated scans.}
monitoring:
  period: monthly
  cases_per_period: 40
  indicators:
    - {id: MON-1, endpoint: E1, threshold: -9.0, direction: above, chart: cusum, average_run_length: 370}
    - {id: MON-2, endpoint: E1, threshold: -9.0, direction: above, chart: e_process, lowest: -40, highest: 10}
    - {id: MON-3, column: age, threshold: 85, direction: above, chart: shewhart}
  escalation: A signal stops the use of the model until a person has decided.
  owner_role: Quality manager
"""

STUDY = """\
schema: 1
id: squares-changing
title: A small study whose subject changes
notice: Simulated squares.
protocol: protocol.yaml
model: {name: smoother, version: 1.0.0, kind: torchscript, path: smoother.ts}
cohort:
  folder: data
  table: data/cases.csv
  arrays: {unit: HU, spacing_mm: [1.0, 1.0]}
"""


class Smoother(nn.Module):
    """The mean of three by three pixels, plus an offset."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.full((1, 1, 3, 3), 1 / 9))
        self.offset = offset

    def forward(self, image: Tensor) -> Tensor:
        """Smooth images (B, 1, H, W)."""
        padded = torch.nn.functional.pad(image, [1, 1, 1, 1], mode="reflect")
        return torch.nn.functional.conv2d(padded, self.weight) + self.offset


def write_model(path: Path, offset: float = 0.0) -> Path:
    """Write a TorchScript archive of the smoother."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated.*")
        torch.jit.save(torch.jit.script(Smoother(offset)), str(path))
    return path


def write_cohort(
    folder: Path,
    *,
    patients: int = 16,
    seed: int = 3,
    noise: float = 20.0,
    prefix: str = "a",
    manufacturer: str = "Maker A",
    kernel: str = "Soft",
    software: str = "1.0",
    size: int = 24,
) -> Path:
    """Write two cases per patient and twelve scans of one phantom."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    mask = np.zeros((size, size), bool)
    mask[4:-4, 4:-4] = True
    np.save(folder / "middle.npy", mask)
    lines = ["case_id,patient_id,sex,age,kind,manufacturer,kernel,software_version,input,reference,mask.middle"]
    names = [(f"{prefix}{i:03d}", f"{prefix}-patient-{i // 2}", i // 2) for i in range(2 * patients)]
    for case, patient, number in [*names, *((f"ph{i}", f"ph{i}", -1) for i in range(12))]:
        clean = np.full((size, size), 40.0, "float32")
        np.save(folder / f"{case}.in.npy", clean + rng.normal(0, noise, (size, size)).astype("float32"))
        np.save(folder / f"{case}.ref.npy", clean)
        who = f"{'FM'[number % 2]},{40 + number % 30},patient" if number >= 0 else ",,phantom"
        images = f"{case}.in.npy,{case}.ref.npy,middle.npy"
        lines.append(f"{case},{patient},{who},{manufacturer},{kernel},{software},{images}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_study(folder: Path) -> Path:
    """Write the study, lock it and seal its cohort."""
    write_cohort(folder / "data", patients=32)  # a chart wants thirty patients at baseline
    write_model(folder / "smoother.ts")
    (folder / "training.csv").write_text("patient_id\nother-1\nother-2\n")
    (folder / "protocol.yaml").write_text(PROTOCOL)
    (folder / "study.yaml").write_text(STUDY)
    study = load_study(folder)
    lock_study(study, signer="A Tester")
    seal_study(study, signer="A Tester")
    return folder


def make_key(folder: Path) -> str:
    """Make a key pair and return the path of its private half."""
    return str(generate_key("tester", folder)[0])


def baseline_run(folder: Path, key: str) -> Path:
    """Run the study, close and sign it, and return the run folder."""
    study = load_study(folder)
    run = begin(study, device="cpu", purpose="baseline", actor="A Tester")
    carry_on(study, run, actor="A Tester", quiet=True)
    close(run, load_signer(key))
    return run
