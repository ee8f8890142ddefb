"""Gamma index beside pymedphys, both measured in this run on the same doses; values are compared before the times.

Run: ``python benchmarks/imaging_gamma.py --peer VENV/bin/python [--large] [--json FILE]``. pymedphys wants another
pydicom than this project, so it lives in a throw-away environment (``python -m venv VENV; VENV/bin/pip install
pymedphys==0.41.0 interpolation scipy tqdm pydicom``) and is timed inside its own process, after a first call on a small
dose that compiles what it compiles. Without ``--peer`` only our times are printed. One thread each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from validation.metrics.imaging.gamma import gamma_mean, gamma_pass_rate

PEER = """
import json, sys, time, numpy as np, pymedphys, logging
logging.disable(logging.CRITICAL)
jobs = json.loads(sys.argv[2]); data = np.load(sys.argv[1])
def run(job, small=False):
    ref, out = data[job["name"] + "_reference"], data[job["name"] + "_output"]
    if small: ref, out = (a[tuple(slice(0, 12) for _ in a.shape)] + 1.0 for a in (ref, out))
    axes = tuple(np.arange(n) * job["step"] for n in ref.shape)
    start = time.perf_counter()
    g = pymedphys.gamma(axes, ref, axes, out, job["percent"], job["mm"], lower_percent_dose_cutoff=10,
                        interp_fraction=10, max_gamma=job["limit"], local_gamma=job["local"], quiet=True)
    seconds = time.perf_counter() - start
    g = g[~np.isnan(g)]
    return {"seconds": seconds, "pass": 100 * float((g <= 1).mean()), "mean": float(g.mean())}
run(jobs[0], small=True)
print(json.dumps([run(job) for job in jobs]))
"""


def doses(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a reference dose with steep edges, and one that differs by a tilt, a shift of edges and noise."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    field = (np.abs(grid) < 0.5).all(0).astype(float)
    reference = 60 * ndimage.gaussian_filter(field, 2.0) * (1 + 0.1 * grid[0])
    output = ndimage.shift(reference, 0.6, order=1) * (1 + 0.015 * grid[-1]) + 0.2 * rng.normal(size=shape)
    return reference, output


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, help="Python of an environment that holds pymedphys.")
    parser.add_argument("--large", action="store_true", help="A 256-cube for ours; the peer would take many minutes.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    shapes = {"512^2": (512, 512), "64^3": (64,) * 3}
    arrays: dict[str, np.ndarray] = {}
    jobs: list[dict[str, Any]] = []
    for name, shape in shapes.items():
        arrays[f"{name}_reference"], arrays[f"{name}_output"] = doses(shape, rng)
        step = 1.0 if len(shape) == 2 else 2.5
        for percent, mm, local in ((3, 3, False), (2, 2, False), (1, 1, False), (2, 2, True)):
            for limit in (1.1, 2.0):  # for the pass rate, and for the mean
                jobs.append({"name": name, "step": step, "percent": percent, "mm": mm, "local": local, "limit": limit})
    theirs: list[dict[str, float]] = []
    if options.peer:
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / "doses.npz", **arrays)
            command = [str(options.peer), "-c", PEER, str(Path(folder) / "doses.npz"), json.dumps(jobs)]
            theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    records = []
    gamma_mean(
        torch.ones(1, 8, 8), torch.ones(1, 8, 8), spacing_mm=torch.ones(1, 2), dose_percent=2, distance_mm=2
    )  # compiles
    for k, job in enumerate(jobs):
        pair = [torch.from_numpy(arrays[f"{job['name']}_{which}"]).unsqueeze(0) for which in ("output", "reference")]
        spacing = torch.full((1, pair[0].ndim - 1), job["step"], dtype=torch.float64)
        rule = {"dose_percent": job["percent"], "distance_mm": job["mm"], "local": job["local"]}
        metric = gamma_pass_rate if job["limit"] < 2 else gamma_mean
        start = time.perf_counter()
        value = float(metric(*pair, spacing_mm=spacing, **rule))
        seconds = time.perf_counter() - start
        record = {"metric": metric.__name__, **job, "ours": value, "ours_s": seconds}
        kind = "local" if job["local"] else "global"
        text = f"{job['name']:>6} {metric.__name__:16s} {job['percent']} %/{job['mm']} mm {kind:6s}"
        text += f"  ours {seconds:7.3f} s, {value:8.4f}"
        if theirs:
            peer = theirs[k]
            other = peer["pass"] if metric is gamma_pass_rate else peer["mean"]
            record |= {"peer_s": peer["seconds"], "peer": other, "ratio": peer["seconds"] / seconds}
            text += f"   pymedphys {peer['seconds']:8.3f} s, {other:8.4f}   {peer['seconds'] / seconds:6.1f} x"
        records.append(record)
        print(text, flush=True)
    if options.large:
        pair = [torch.from_numpy(a).unsqueeze(0) for a in reversed(doses((256,) * 3, rng))]
        spacing = torch.full((1, 3), 2.0, dtype=torch.float64)
        for metric in (gamma_pass_rate, gamma_mean):
            start = time.perf_counter()
            value = float(metric(*pair, spacing_mm=spacing, dose_percent=2, distance_mm=2))
            print(
                f" 256^3 {metric.__name__:16s} 2 %/2 mm global  ours {time.perf_counter() - start:7.2f} s, {value:8.4f}"
            )
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
