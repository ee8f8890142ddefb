"""Measures a cohort in a process of its own: ``python -m tests.study.measure_in_process COHORT RUN``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from tests.study.synthetic import STANDARD, open_written, protocol
from validation.cohort.case import Case
from validation.cohort.open import Cohort
from validation.models import ModelSpec, load_model
from validation.study.plan import make_plan
from validation.study.run import run_measurements


class Slow:
    """A cohort that takes a moment per case, so that a kill can fall anywhere."""

    def __init__(self, cohort: Cohort) -> None:
        self.cases = cohort.cases
        self._cohort = cohort

    def load(self, case_id: str) -> Case:
        time.sleep(0.02)
        return self._cohort.load(case_id)


def main(cohort_folder: str, run_folder: str) -> None:
    spec = ModelSpec(
        name="m", version="1", kind="entry_point", entry_point="tests.models.networks:Sampler", stochastic=True
    )
    plan = make_plan(protocol(*STANDARD, draws=2))
    cpu = torch.device("cpu")
    model = load_model(spec, Path(), cpu)
    print("ready", flush=True)
    run_measurements(
        plan, Slow(open_written(Path(cohort_folder))), model, Path(run_folder), device=cpu, cases_per_shard=3
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
