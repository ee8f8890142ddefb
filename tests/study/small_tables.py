"""A whole study of synthetic records on disk, small enough to run in seconds; faults are planted by the caller."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.metrics.tabular.generators import population

PROTOCOL = """\
schema: 1
id: records
version: 1.0.0
title: A small protocol of synthetic records for tests
claim:
  type: ehr_synthesis
  statement: The synthetic table keeps the distributions of the simulated patients.
  pathways: [internal_validation]
  hazards:
    - {id: H-01, description: A patient is recognised}
population:
  description: Simulated patients, nobody's records.
  eligibility: age >= 18
  subgroups: [sex]
  minimum_per_subgroup: 20
  minimum_clusters: 50
reference_standard: {method: simulated records}
data_quality:
  - {id: DQ-1, expect: expect_column_values_to_be_in_set, column: sex, arguments: {value_set: [F, M]}}
endpoints:
  - id: P1
    role: primary
    title: Copies of training patients
    metric: {name: exact_copies}
    sets: {holdout: control}
    pick: {component: synthetic_equal_to_train}
    hypothesis: {type: performance_goal, margin: 0.02, unit: "1"}
    hazards: [H-01]
  - id: P2
    role: primary
    title: Every association kept
    metric: {name: pairwise_association}
    pick: {component: "*"}
    hypothesis: {type: equivalence, margin: 0.45, unit: "1"}
  - id: S1
    role: secondary
    title: Every column keeps its distribution
    metric:
      name: tabular_fidelity
      only: [structure, marginal_distance, rare_categories, subgroup]
      subgroups_of: [sex, site]
    pick: {finding: marginal_distance, component: "*"}
    hypothesis: {type: performance_goal, margin: 0.15, better: lower, unit: "1"}
  - id: X1
    role: exploratory
    title: Every attack
    metric: {name: tabular_privacy, only: [exact_copies, membership_tpr]}
    sets: {holdout: control}
    pick: {finding: exact_copies}
    hypothesis: {type: descriptive}
"""

STUDY = """\
schema: 1
id: records
title: A small study of records for tests
notice: Simulated patients.
model: {name: sampler, version: 1.0.0, kind: synthetic_data, family: copula}
cohort: {kind: table, table: data/holdout.csv, case_id: patient_id}
data:
  dictionary: dictionary.yaml
  sets:
    train: {table: data/train.csv}
    control: {table: data/control.csv}
    synthetic: {table: data/synthetic.csv}
"""

DICTIONARY = """\
schema: 1
columns:
  age: {type: number, unit: a, range: [0, 120]}
  sex: {type: category, codes: {F: female, M: male}}
  site: {type: category, codes: {A: first, B: second, C: third}}
  pressure: {type: number, unit: "mm[Hg]", range: [30, 300]}
  dose: {type: number, unit: mg, range: [0, 500], missing: not prescribed}
  disease: {type: category, codes: {yes: present, no: absent}}
"""


def write_tables(folder: Path, synthetic: pd.DataFrame | None = None, *, n: int = 400) -> Path:
    """Write a study; without ``synthetic``, fresh records of the same population are the synthetic ones."""
    (folder / "data").mkdir(parents=True)
    for k, name in enumerate(("train", "holdout", "control")):
        table = real(k, n)
        table.insert(0, "patient_id", [f"{name}-patient-{i}" for i in range(n)])
        table.to_csv(folder / "data" / f"{name}.csv", index=False)
    (real(9, n) if synthetic is None else synthetic).to_csv(folder / "data" / "synthetic.csv", index=False)
    (folder / "protocol.yaml").write_text(PROTOCOL)
    (folder / "study.yaml").write_text(STUDY)
    (folder / "dictionary.yaml").write_text(DICTIONARY)
    return folder


def real(k: int, n: int = 400) -> pd.DataFrame:
    """Draw table ``k`` of simulated patients: 0 is the training table."""
    return population(n, seed=100 + k)
