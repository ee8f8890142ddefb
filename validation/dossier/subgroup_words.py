"""What the subgroups of a run leave open, in few words: one entry per column and state instead of one per subgroup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from validation.dossier.record import Fact, Node, Record


class SubgroupWords:
    """Condense the subgroups of all endpoints.

    Parameters
    ----------
    record
        The facts of the run.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._endpoints: Mapping[str, Any] = record.node()["endpoints"]

    def too_small(self) -> list[dict[str, Any]]:
        """Return, per column, the levels with fewer patients than planned and the endpoints that this leaves open.

        Each entry has ``column``, ``levels`` (each with ``level``, and the fewest and most patients with a value over
        the endpoints as facts) and ``endpoints``.
        """
        columns: dict[str, dict[str, list[Fact]]] = {}
        concerned: dict[str, list[str]] = {}
        for endpoint, column, level, entry in self._judged():
            if entry["status"] != "inconclusive" or not self._small(entry):
                continue
            columns.setdefault(column, {}).setdefault(level, []).append(entry["estimate"]["n_clusters"])
            if endpoint not in concerned.setdefault(column, []):
                concerned[column].append(endpoint)
        return [
            {
                "column": column,
                "levels": [{"level": level, **self._range(counts)} for level, counts in levels.items()],
                "endpoints": concerned[column],
            }
            for column, levels in columns.items()
        ]

    def unmet(self) -> list[dict[str, Any]]:
        """Return, per endpoint and state, the levels with enough patients in which it was not met or not settled."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for endpoint, column, level, entry in self._judged():
            state = str(entry["status"])
            if state not in ("fail", "inconclusive") or (state == "inconclusive" and self._small(entry)):
                continue
            row = found.setdefault((endpoint, state), {"endpoint": endpoint, "status": entry["status"], "levels": {}})
            row["levels"].setdefault(column, []).append(level)
        return list(found.values())

    def reasons(self, levels: Node) -> list[dict[str, Any]]:
        """Return the distinct reasons of the levels of one column that are not met, each with its levels, in order."""
        found: dict[str, dict[str, Any]] = {}
        for level, entry in levels.items():
            if entry["status"] in ("fail", "inconclusive") and str(entry["reason"]):
                found.setdefault(str(entry["reason"]), {"reason": entry["reason"], "levels": []})["levels"].append(
                    level
                )
        return list(found.values())

    def methods(self, endpoint: Node) -> list[Fact]:
        """Return the distinct methods of the interaction tests of an endpoint."""
        found: dict[str, Fact] = {}
        for test in endpoint["interaction"].values() if "interaction" in endpoint else ():
            if "method" in test and str(test["method"]) and not test["p_value"].missing:
                found.setdefault(str(test["method"]), test["method"])
        return list(found.values())

    def missing(self) -> list[tuple[str, Node]]:
        """Return the characteristics that are missing for some case."""
        record = self._record.node()
        if "missing_covariates" not in record:
            return []
        return [(column, m) for column, m in record["missing_covariates"].items() if m["n_missing"].nonzero]

    def _judged(self) -> list[tuple[str, str, str, Node]]:
        return [
            (endpoint, column, level, entry)
            for endpoint, e in self._endpoints.items()
            if str(e["hypothesis"]["type"]) != "descriptive"
            for column, levels in e["subgroups"].items()
            for level, entry in levels.items()
        ]

    def _small(self, entry: Node) -> bool:
        """Tell whether a subgroup has fewer patients than planned; the record's reason says so in every run."""
        count = entry["estimate"]["n_clusters"]
        if count.missing:
            return False
        least = 0
        if self._record.has("protocol"):
            least = self._record.raw("protocol:population").get("minimum_per_subgroup") or 0
        return int(self._record.raw(count.identifier)) < least or entry["estimate"]["value"].missing

    def _range(self, counts: list[Fact]) -> dict[str, Fact | None]:
        ordered = sorted(counts, key=lambda fact: int(self._record.raw(fact.identifier)))
        return {"fewest": ordered[0], "most": None if ordered[0] == ordered[-1] else ordered[-1]}
