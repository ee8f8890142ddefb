"""A copy of the results that may leave the site: small cells suppressed, single cases left out.

The package of a run is the run byte for byte, so nothing can be hidden in it. This extract is another thing: the
results as JSON without cells of few patients, tied to the record by the digests of its manifest and results.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from validation.digest import canonical_json, sha256_file, write_atomically
from validation.errors import UsageProblem
from validation.evidence.manifest import MANIFEST_FILE
from validation.evidence.results import RESULTS_FILE, read_results
from validation.fairness.export import suppress as suppress_fairness

SCHEMA = "validation.results-extract/1"


def write_extract(run_folder: Path, target: Path, *, minimum: int) -> dict[str, Any]:
    """Write the extract of a closed run that was verified, and return it.

    Raises
    ------
    UsageProblem
        EVD-071 if the file exists or would lie inside the run.
    """
    if target.exists() or run_folder.resolve() in target.resolve().parents:
        raise UsageProblem(
            "the extract cannot be written there: the file exists, or lies inside the run.",
            code="EVD-071",
            where=str(target),
            action="Choose another name with --out.",
        )
    found = suppressed(read_results(run_folder), minimum)
    content = {
        "schema": SCHEMA,
        "notice": f"Not the record: cells of fewer than {minimum} patients are suppressed, single cases are left out. "
        "The signed record stays at the site.",
        "suppressed_below": minimum,
        "record": {
            "run": found["run"]["id"],
            "manifest_sha256": sha256_file(run_folder / MANIFEST_FILE),
            "results_sha256": sha256_file(run_folder / RESULTS_FILE),
        },
        "results": found,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, canonical_json(content))
    return content


def suppressed(results: Mapping[str, Any], minimum: int) -> dict[str, Any]:
    """Return a copy of results without small cells and without anything about single cases.

    - Subgroups of endpoints, representation, and fairness: cells with 1 to ``minimum - 1`` patients, and the smallest
      other cell of a column in which one alone would follow by subtraction.
    - Left out: worst cases, lists of excluded and rejected cases (their numbers stay), interactions and curves.

    Parameters
    ----------
    results
        What ``results.json`` holds.
    minimum
        Smallest number of patients that may be shown, chosen by the site; at least 2.
    """
    if minimum < 2:
        raise ValueError(f"minimum must be at least 2, got {minimum}")
    found: dict[str, Any] = copy.deepcopy(dict(results))
    found["cohort"].pop("exclusions", None)
    found["cohort"].pop("rejections", None)
    for endpoint in found["endpoints"].values():
        for part in ("worst_cases", "interaction", "curves", "curve_axes"):
            endpoint.pop(part, None)
        for levels in endpoint.get("subgroups", {}).values():
            sizes = {
                level: int(cell["estimate"]["n_clusters"] or cell["estimate"]["n"] or 0)
                for level, cell in levels.items()
            }
            for level, why in hidden(sizes, minimum).items():
                levels[level] = {"estimate": None, "status": "suppressed", "reason": why}
    for column in found.get("representativeness", {}).values():
        sizes = {level: int(cell["n"]) for level, cell in column["levels"].items()}
        for level, why in hidden(sizes, minimum).items():
            column["levels"][level] = {"n": None, "observed": None, "standardised_difference": None, "reason": why}
    for row in found.get("missing_covariates", {}).values():
        if 0 < row["n_missing"] < minimum:
            row |= {"n_missing": None, "share": None}
    for name, report in found.get("fairness", {}).items():
        found["fairness"][name] = suppress_fairness(report, minimum)
    return found


def hidden(sizes: Mapping[str, int], minimum: int) -> dict[str, str]:
    """Return the levels that must not be shown, and why.

    >>> sorted(hidden({"F": 40, "M": 38, "X": 3}, 5))
    ['M', 'X']
    """
    small = [level for level, n in sizes.items() if 0 < n < minimum]
    found = dict.fromkeys(small, f"suppressed: fewer than {minimum} patients")
    others = sorted((n, level) for level, n in sizes.items() if level not in small and n > 0)
    if len(small) == 1 and others:
        found[others[0][1]] = "suppressed: else the small cell follows by subtraction"
    return found
