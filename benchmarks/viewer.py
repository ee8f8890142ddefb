"""Size of the viewer's page and the time until a browser has it ready, by number of cases.

Run ``python benchmarks/viewer.py [--cases 500 2000]``; needs chromium. Processor seconds of the page's own process
stand beside the wall clock, since a busy machine stretches only the latter.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.dossier.example_run import write_example_run
from tests.dossier.viewer.conftest import FLAGS, list_pictures
from validation.dossier.viewer import run_page


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, nargs="*", default=[500, 2000])
    asked = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium on this machine: skipped")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        for cases in asked.cases:
            run = write_example_run(Path(folder) / str(cases), patients=cases // 2)
            list_pictures(run)
            start = time.perf_counter()
            data = run_page(run)
            made = time.perf_counter() - start
            path = Path(folder) / f"{cases}.html"
            path.write_bytes(data)
            page = browser.new_page()
            start = time.perf_counter()
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready=yes]", state="attached")
            opened = time.perf_counter() - start
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            facts = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
            row = {
                "cases": cases,
                "megabytes": round(len(data) / 1e6, 2),
                "seconds_to_make": round(made, 2),
                "seconds_to_open": round(opened, 2),
                "processor_seconds_of_the_page": round(facts["ProcessTime"], 2),
            }
            print(json.dumps(row), flush=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
