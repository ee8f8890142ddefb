"""Peers of the shift tests, run in environments of their own: alibi-detect 0.11.4 and evidently.

Neither can be installed beside this project (alibi-detect needs numpy 1; evidently fails on import with pandas 3), so
each runs as a subprocess of a Python that is named on the command line, and is left out with a word otherwise:

    python3.11 -m venv /tmp/alibi && /tmp/alibi/bin/pip install --no-deps alibi-detect==0.11.4 && /tmp/alibi/bin/pip \
        install "numpy<2" "scipy<1.12" "scikit-learn<1.6" "pandas<2.2" matplotlib opencv-python-headless scikit-image \
        dill toml catalogue requests numba "pydantic<2" tqdm "transformers<4.40" torch
    python3.11 -m venv /tmp/evidently && /tmp/evidently/bin/pip install evidently==0.7.23 "pandas<3" "numpy<2.4"
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]

ALIBI = """
import json, sys, time
import numpy as np
from alibi_detect.cd import MMDDrift
spec, data, out = json.load(open(sys.argv[1])), np.load(sys.argv[2]), {}
for name in spec["pairs"]:
    x, y = data[name + "_x"].astype("float32"), data[name + "_y"].astype("float32")
    detector = MMDDrift(x, backend="pytorch", n_permutations=spec["permutations"], p_val=0.05)
    start = time.perf_counter()
    found = detector.predict(y)["data"]
    out[name] = {"p": float(found["p_val"]), "squared": float(found["distance"]), "s": time.perf_counter() - start}
print("RESULT" + json.dumps(out))
"""

EVIDENTLY = """
import json, sys, time
import numpy as np, pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
spec, data, out = json.load(open(sys.argv[1])), np.load(sys.argv[2]), {}
for name in spec["pairs"]:
    names = [f"c{j}" for j in range(data[name + "_x"].shape[1])]
    x, y = (pd.DataFrame(data[name + s], columns=names) for s in ("_x", "_y"))
    start = time.perf_counter()
    found = Report([DataDriftPreset()]).run(y, x).dict()["metrics"]
    count = next(m["value"] for m in found if "DriftedColumnsCount" in m["metric_name"])
    out[name] = {"any": count["count"] > 0, "half": count["share"] >= 0.5, "s": time.perf_counter() - start}
print("RESULT" + json.dumps(out))
"""


def _ask(python: str, script: str, pairs: Pairs, **settings: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "spec.json").write_text(json.dumps({"pairs": list(pairs), **settings}))
        np.savez(folder / "data.npz", **{f"{k}_{s}": v for k, p in pairs.items() for s, v in zip("xy", p, strict=True)})
        (folder / "run.py").write_text(script)
        done = subprocess.run(
            [python, folder / "run.py", folder / "spec.json", folder / "data.npz"],
            capture_output=True, text=True, check=False, env={**os.environ, "DO_NOT_TRACK": "1"},
        )  # fmt: skip
    lines = [text for text in done.stdout.splitlines() if text.startswith("RESULT")]
    if not lines:
        raise SystemExit(f"the peer in {python} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, dict[str, float]] = json.loads(lines[0][6:])
    return answer


def alibi(python: str, pairs: Pairs, permutations: int) -> dict[str, dict[str, float]]:
    """Return p-value ``p``, squared discrepancy and seconds ``s`` of alibi-detect's MMDDrift, per pair."""
    return _ask(python, ALIBI, pairs, permutations=permutations)


def evidently(python: str, pairs: Pairs) -> dict[str, dict[str, float]]:
    """Return what evidently's drift preset says with its defaults, per pair.

    ``any``: at least one column is called drifted; ``half``: at least half of them are, its rule for a data set.
    """
    return _ask(python, EVIDENTLY, pairs)
