"""Peak memory of a measurement must not grow with the number of cases.

Runs the engine on 10 and on 100 cases, each in a process of its own, and compares the peak resident sets::

    python benchmarks/run_memory.py [--small 10 --large 100 --size 512]

Exit code 1 if the larger run takes more than 10 % more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = 1.10


def measure(cases: int, size: int, folder: Path) -> None:
    """Measure simulated cases in this process and print the peak in MiB."""
    import numpy as np
    import torch

    from tests.study.synthetic import STANDARD, protocol
    from validation.cohort.open import open_cohort
    from validation.cohort.spec import CohortSpec
    from validation.models import ModelSpec, load_model
    from validation.study.plan import make_plan
    from validation.study.run import run_measurements

    rng = np.random.default_rng(1)
    lines = ["case_id,patient_id,kind,input,reference,mask.middle"]
    mask = np.ones((size, size), bool)
    np.save(folder / "m.npy", mask)
    for i in range(cases):
        for role in "ir":
            np.save(folder / f"{role}{i}.npy", rng.normal(0, 30, (size, size)).astype("float32"))
        lines.append(f"c{i:04d},p{i},phantom,i{i}.npy,r{i}.npy,m.npy")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    spec = CohortSpec.model_validate({"table": "cases.csv", "arrays": {"unit": "HU", "spacing_mm": [1.0, 1.0]}})
    cpu = torch.device("cpu")
    model = load_model(
        ModelSpec(name="m", version="1", kind="entry_point", entry_point="tests.models.networks:Smooth"), Path(), cpu
    )
    run = folder / "run"
    run.mkdir()
    run_measurements(make_plan(protocol(*STANDARD)), open_cohort(spec, folder), model, run, device=cpu)
    print(json.dumps({"cases": cases, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def peak(cases: int, size: int) -> float:
    """Return the peak resident set, in MiB, of a process that measures so many cases."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--measure", str(cases), "--size", str(size), "--folder", folder]
        environment = {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "PATH": "/usr/bin:/bin",
            "MALLOC_ARENA_MAX": "2",
        }
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["peak_mib"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=10)
    parser.add_argument("--large", type=int, default=100)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--measure", type=int)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.measure, chosen.size, chosen.folder)
        return 0
    small, large = peak(chosen.small, chosen.size), peak(chosen.large, chosen.size)
    print(f"{chosen.small} cases: {small:.0f} MiB; {chosen.large} cases: {large:.0f} MiB; ratio {large / small:.3f}")
    return int(large / small > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
