"""How long a large dossier takes: a package of at least 200 pages with 100 figures, on the processors there are.

    python benchmarks/dossier.py [--endpoints 34] [--pathway us_510k]

The record is that of the example run of the tests with its endpoints repeated under further names. Printed are pages,
figures, seconds and the peak memory of the processes.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def enlarge(run: Path, count: int) -> None:
    """Repeat the endpoints of a run under further names, in its results and its protocol."""
    import yaml

    from validation.evidence.results import read_results, write_results

    results = read_results(run)
    lock = yaml.safe_load((run / "protocol.lock.yaml").read_text(encoding="utf-8"))
    known = [name for name in results["endpoints"] if results["endpoints"][name]["subgroups"]]
    planned = {e["id"]: e for e in lock["protocol"]["endpoints"]}
    for k in range(count):
        old, new = known[k % len(known)], f"R{k:02d}"
        results["endpoints"][new] = copy.deepcopy(results["endpoints"][old])
        lock["protocol"]["endpoints"].append({**copy.deepcopy(planned[old]), "id": new})
    write_results(run, results)
    (run / "protocol.lock.yaml").write_text(yaml.safe_dump(lock, sort_keys=False), encoding="utf-8")


def main() -> None:
    """Render and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=34)
    parser.add_argument("--pathway", default="us_510k")
    options = parser.parse_args()
    from tests.dossier.example_run import write_example_run
    from validation.dossier import render
    from validation.dossier.pages import pages_of

    folder = Path(tempfile.mkdtemp(prefix="dossier-benchmark-"))
    try:
        run = write_example_run(folder)
        enlarge(run, options.endpoints)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        written = render(run, [options.pathway])
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        pages = sum(pages_of(p)[""] for p in written if p.suffix == ".pdf")
        figures = sum(p.read_text(encoding="utf-8").count("<figure") for p in written if p.suffix == ".html")
        report = {
            "documents": sum(p.suffix == ".pdf" for p in written),
            "pages": pages,
            "figures": figures,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
            "processors": len(os.sched_getaffinity(0)),
            "load": round(os.getloadavg()[0], 1),
            "peak_memory_of_a_process_mb": round(after.ru_maxrss / 1024),
        }
        print(json.dumps(report, indent=2))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
