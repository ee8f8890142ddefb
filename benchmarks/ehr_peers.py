"""Slow metrics of synthetic records beside SDMetrics, SynthEval and anonymeter, on the same tables in the same run.

Run: ``python benchmarks/ehr_peers.py [--sdmetrics PY] [--syntheval PY] [--anonymeter PY] [--rows 10000] [--near 2000]
[--columns 50] [--out FILE]``, PY the interpreter of a throw-away environment that holds the peer (``pip install
sdmetrics``, ``syntheval``, ``anonymeter``; anonymeter wants another NumPy, so each has its own). A peer whose
interpreter is not named is skipped and said to be. None is a dependency of this project; parts of SDMetrics have a
licence that forbids it.

Processor seconds, one thread each, reading the tables not counted; each peer is first called on 200 rows, and so are
we, so that what is compiled is compiled. ``--near`` rows for distances of all pairs, whose time grows with the square
(SDMetrics) or whose memory does (SynthEval); ``--rows`` for the others. Our time is that of the whole registered
metric, with its encoding of the tables, intervals and control attacks; what a peer does is named beside it.

Measured (50 columns; processor seconds of the peer, of us, ratio)::

    singling out, multivariate and univariate, anonymeter 1.1.0, 5,000 rows, 500 attacks   2.93   0.26   11.4
    linkability, anonymeter, 5,000 rows, 500 attacks (all 5,000 people here)               6.43   0.32   20.1
    attribute inference, anonymeter, 5,000 rows, 500 attacks (all 5,000 people here)       1.26   0.31    4.1
    association, SynthEval 1.7 (corr_diff, mixed), 5,000 rows                              7.37   0.27   27.4
    neighbours, SynthEval (Gower matrix), 1,000 rows                                       0.33   0.09    3.5
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from ehr import simulated

ATTACKS = 500

PEER = """
import json, sys, time, warnings, logging, os, contextlib, io
warnings.simplefilter("ignore"); logging.disable(logging.WARNING)
import numpy as np, pandas as pd
folder, package, attacks = sys.argv[1], sys.argv[2], int(sys.argv[3])
read = lambda size: [pd.read_csv(f"{folder}/{size}_{r}.csv") for r in ("train", "synthetic", "holdout")]
if package == "sdmetrics":
    from sdmetrics.single_table import DCROverfittingProtection, LogisticDetection
    from sdmetrics.reports.single_table._properties import ColumnPairTrends
    def about(t): return {"columns": {c: {"sdtype": "numerical" if c[0] == "x" else "categorical"} for c in t}}
    jobs = {
        "neighbours: DCROverfittingProtection": ("near", lambda t, s, h: DCROverfittingProtection.compute(t, s, h, {"tables": {"t": about(t)}, "relationships": []}, "t")),
        "association: ColumnPairTrends": ("rows", lambda t, s, h: ColumnPairTrends().get_score(t, s, about(t))),
        "propensity: LogisticDetection": ("rows", lambda t, s, h: LogisticDetection.compute(t, s, about(t))),
    }
elif package == "syntheval":
    from syntheval import SynthEval
    def one(**metric):
        def work(t, s, h):
            with contextlib.redirect_stdout(io.StringIO()):
                tool = SynthEval(t, holdout_dataframe=h, cat_cols=[c for c in t if c[0] == "c"], nn_distance="gower", verbose=False)
                out = tool.evaluate(s, **metric)
            if out is None or not len(out): raise RuntimeError("no result")
        return work
    jobs = {
        "neighbours: dcr (Gower matrix)": ("near", one(dcr={})),
        "association: corr_diff (mixed)": ("rows", one(corr_diff={"mixed_corr": True})),
        "association: mi_diff": ("near", one(mi_diff={})),
        "propensity: p_mse": ("rows", one(p_mse={})),
    }
else:
    from anonymeter.evaluators import SinglingOutEvaluator, LinkabilityEvaluator, InferenceEvaluator
    def single(mode):
        def work(t, s, h):
            np.random.seed(0)
            SinglingOutEvaluator(ori=t, syn=s, control=h, n_attacks=attacks).evaluate(mode=mode)
        return work
    def link(t, s, h):
        c = list(t.columns)
        LinkabilityEvaluator(ori=t, syn=s, control=h, n_attacks=attacks, aux_cols=(c[::2], c[1::2]), n_neighbors=1).evaluate(n_jobs=1)
    def infer(t, s, h):
        InferenceEvaluator(ori=t, syn=s, control=h, aux_cols=[c for c in t if c != "c0"], secret="c0", n_attacks=attacks).evaluate(n_jobs=1)
    jobs = {
        f"singling out: multivariate, {attacks} attacks": ("rows", single("multivariate")),
        f"singling out: univariate, {attacks} attacks": ("rows", single("univariate")),
        f"linkability: {attacks} attacks": ("rows", link),
        f"attribute inference: {attacks} attacks": ("rows", infer),
    }
for name, (size, work) in jobs.items():
    tables = read(size)
    try:
        with contextlib.suppress(Exception): work(*(x.head(200) for x in tables))
        start = time.process_time(); work(*tables)
        print("RESULT", json.dumps({"name": name, "size": size, "cpu_seconds": time.process_time() - start}), flush=True)
    except BaseException as error:
        print("RESULT", json.dumps({"name": name, "size": size, "error": type(error).__name__ + ": " + str(error)[:100]}), flush=True)
"""  # noqa: E501


def ours(frames: dict[str, list[Any]]) -> dict[str, dict[str, float]]:
    """Return processor seconds of our metrics by kind and size of table."""
    from validation.metrics.privacy.distances import distance_to_closest_record
    from validation.metrics.privacy.inference import attribute_inference, linkability
    from validation.metrics.privacy.singling_out import singling_out
    from validation.metrics.tabular.association import pairwise_association
    from validation.metrics.tabular.detection import propensity_mse

    work: dict[str, Callable[[Any, Any, Any], Any]] = {
        "neighbours": lambda t, s, h: distance_to_closest_record(t, h, s),
        "association": lambda t, s, h: pairwise_association(t, s),
        "propensity": lambda t, s, h: propensity_mse(t, s),
        "singling out": lambda t, s, h: singling_out(t, h, s, attacks=ATTACKS),
        "linkability": lambda t, s, h: linkability(t, h, s),
        "attribute inference": lambda t, s, h: attribute_inference(t, h, s, sensitive=("c0",)),
    }
    found: dict[str, dict[str, float]] = {}
    for size, tables in frames.items():
        for name, run in work.items():
            run(*(x.head(200) for x in tables))
            start = time.process_time()
            run(*tables)
            found.setdefault(name, {})[size] = time.process_time() - start
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    for package in ("sdmetrics", "syntheval", "anonymeter"):
        parser.add_argument(f"--{package}", help=f"interpreter of an environment that holds {package}")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--near", type=int, default=2000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    sizes = {"rows": asked.rows, "near": asked.near}
    frames = {k: [simulated(n, asked.columns, seed) for seed in (10, 11, 12)] for k, n in sizes.items()}
    mine = ours(frames)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size, tables in frames.items():
            for role, table in zip(("train", "synthetic", "holdout"), tables, strict=True):
                table.to_csv(f"{folder}/{size}_{role}.csv", index=False)
        for package in ("sdmetrics", "syntheval", "anonymeter"):
            python = getattr(asked, package)
            if not python:
                print(f"{package}: skipped, no interpreter named (--{package})")
                continue
            command = [python, "-c", PEER, folder, package, str(ATTACKS)]
            silent = True
            with (
                open(f"{folder}/errors.txt", "w", encoding="utf-8") as errors,
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder) as peer,
            ):
                for line in peer.stdout or ():
                    if not line.startswith("RESULT "):
                        continue
                    silent = False
                    row = {"package": package, **json.loads(line.removeprefix("RESULT "))}
                    kind, size = row["name"].split(":")[0], row["size"]
                    row |= {
                        "rows": sizes[size],
                        "columns": asked.columns,
                        "ours_cpu_seconds": round(mine[kind][size], 3),
                    }
                    if "cpu_seconds" in row:
                        row["times_faster"] = round(row["cpu_seconds"] / mine[kind][size], 1)
                    found.append(row)
                    print(json.dumps(row), flush=True)
            if silent:
                print(f"{package}: failed: {Path(folder, 'errors.txt').read_text(encoding='utf-8').strip()[-300:]}")
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
