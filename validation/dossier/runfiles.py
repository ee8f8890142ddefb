"""Read a run folder for its documents: facts as a :class:`Record`, and the tables and pictures behind the figures."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.dossier.derived import derive
from validation.dossier.record import Record
from validation.errors import IntegrityProblem
from validation.evidence.events import EVENTS_FILE, LEDGER_FILE, read_events, verify_chain
from validation.evidence.results import read_results

if TYPE_CHECKING:
    import pandas as pd

_MOST_BYTES = 64 << 20
INTERFACE_FILE = "interface/acceptance.json"
"""Where a study, and then its run, keeps the record of an interface test."""


class RunFiles:
    """What documents read of a run folder.

    Parameters
    ----------
    folder
        The run folder, see ``docs/architecture.md``. Only ``results.json`` must be there; documents that need another
        file say that it is absent.
    edition
        Folder of an edition, whose record of an interface test counts instead of that of the run.
    """

    def __init__(self, folder: Path, edition: Path | None = None) -> None:
        self.folder = folder
        self._home = edition or folder

    @cached_property
    def record(self) -> Record:
        """Every fact of the run, by id."""
        sources: dict[str, Any] = {"": read_results(self.folder)}
        lock = self._yaml("protocol.lock.yaml")
        if lock is not None:
            sources["protocol"] = lock.get("protocol", lock)
            sources["lock"] = {key: value for key, value in lock.items() if key != "protocol"}
        for name in ("environment", "inputs"):
            content = self._json(f"{name}.json")
            if content is not None:
                sources[name] = content
        if (self._home / INTERFACE_FILE).is_file():
            sources["interface"] = _parsed((self._home / INTERFACE_FILE).read_bytes(), INTERFACE_FILE)
        index = self._json("images/index.json")
        if isinstance(index, list):
            sources["images"] = {f"{entry['case_id']}/{entry['arm']}": entry for entry in index}
        for name, path in (("events", self.folder / EVENTS_FILE), ("ledger", self._study_file(LEDGER_FILE))):
            if path.is_file():
                verify_chain(path)
                sources[name] = {str(e.seq): asdict(e) for e in read_events(path)}
        derived = derive(sources[""], sources.get("protocol", {}))
        if derived:
            sources["derived"] = derived
        return Record(sources)

    @cached_property
    def cases(self) -> pd.DataFrame | None:
        """The analysed cases with their cluster and subgroup columns, or None if the run holds no such table."""
        import pandas as pd

        path = self.folder / "cases.parquet"
        return pd.read_parquet(path) if path.is_file() else None

    def values(self, metric_key: str, component: str = "") -> pd.DataFrame | None:
        """Return a metric, or one component of it, averaged over draws: a row per case, a column per arm.

        None if it was not measured.
        """
        import pyarrow.dataset as ds

        folder = self.folder / "measurements"
        if not folder.is_dir() or not any(folder.glob("part-*.parquet")):
            return None
        wanted = (ds.field("metric") == metric_key) & (ds.field("component") == component)
        parts = [str(path) for path in sorted(folder.glob("part-*.parquet"))]
        table = (
            ds.dataset(parts, format="parquet").to_table(columns=["case_id", "arm", "value"], filter=wanted).to_pandas()
        )
        if table.empty:
            return None
        wide: pd.DataFrame = table.groupby(["case_id", "arm"])["value"].mean().unstack("arm").sort_index()
        return wide

    def endpoint_cases(self, endpoint: str) -> list[str]:
        """Return the ids of the analysed cases that an endpoint is about."""
        from validation.protocol.expressions import select

        cases = self.cases
        if cases is None:
            return []
        if "status" in cases.columns:
            cases = cases[cases["status"] == "analysed"]
        planned = self.record.raw("protocol:endpoints") if self.record.has("protocol") else []
        expression = next((e.get("cases") for e in planned if e["id"] == endpoint), None)
        if expression:
            cases = cases[select(cases, expression, where=f"endpoints[{endpoint}].cases")]
        return [str(i) for i in (cases["case_id"] if "case_id" in cases.columns else cases.index)]

    def images(self, case_id: str) -> list[Path]:
        """Return the stored pictures of a case, input before output before reference."""
        order = {"input": 0, "baseline": 1, "output": 2, "reference": 3, "difference": 4}
        folder = self.folder / "images"
        found = [p for p in folder.glob("*.png") if p.name.startswith(f"{case_id}.")] if folder.is_dir() else []
        return sorted(found, key=lambda p: (order.get(p.name[len(case_id) + 1 : -4].split(".")[0], 9), p.name))

    def _study_file(self, name: str) -> Path:
        inside = self.folder / name
        return inside if inside.is_file() else self.folder.parent.parent / name

    def _bytes(self, path: Path) -> bytes | None:
        if not path.is_file():
            return None
        if path.stat().st_size > _MOST_BYTES:
            raise IntegrityProblem(f"{path.name} is larger than any record of a run.", code="DOS-004", where=str(path))
        return path.read_bytes()

    def _json(self, name: str) -> Any:
        data = self._bytes(self.folder / name)
        return None if data is None else _parsed(data, name)

    def _yaml(self, name: str) -> dict[str, Any] | None:
        import yaml

        data = self._bytes(self.folder / name)
        if data is None:
            return None
        try:
            content = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader
        except yaml.YAMLError:
            content = None
        if not isinstance(content, dict):
            raise IntegrityProblem(f"{name} cannot be read.", code="DOS-004", where=name)
        return content


def _parsed(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise IntegrityProblem(f"{name} is not JSON.", code="DOS-004", where=name) from None
