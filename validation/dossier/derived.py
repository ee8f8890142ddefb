"""Facts that documents need and no run measures: computed from the record alone, the same wherever it is read.

They have ids like every fact (``derived:prospective.enrol``), so that a changed copy of a document is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ASSURANCE = 0.9


def derive(results: Mapping[str, Any], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Return the derived facts of a run.

    ``prospective`` holds the sizes of a prospective study on the target population: per confirmatory endpoint the
    number that its stated assumptions need, per level of a target characteristic the number to enrol so that the
    subgroup has its minimum with the stated assurance, and the largest of all.
    """
    from validation.statistics.sample_size import clusters_for_subgroup

    population = protocol.get("population") or {}
    least = int(population.get("minimum_per_subgroup") or 0)
    strata: dict[str, dict[str, dict[str, Any]]] = {}
    for column, levels in (population.get("target") or {}).items():
        strata[column] = {
            str(level): {
                "share": share,
                "minimum": least,
                "enrol": clusters_for_subgroup(least, share, assurance=_ASSURANCE),
            }
            for level, share in levels.items()
            if share > 0 and least > 0
        }
    endpoints = {}
    for name, endpoint in results["endpoints"].items():
        plan = endpoint.get("sample_size") or {}
        needed = [n for n in (plan.get("required_clusters"), plan.get("planned_clusters")) if n]
        if needed and endpoint["hypothesis"]["type"] != "descriptive":
            endpoints[name] = {"needed": max(needed)}
    sizes = [e["needed"] for e in endpoints.values()]
    sizes += [s["enrol"] for levels in strata.values() for s in levels.values()]
    if not sizes:
        return {}
    found = {"assurance": _ASSURANCE, "endpoints": endpoints, "strata": strata, "enrol": max(sizes)}
    return {"prospective": found}
