"""What the page knows of single cases: their groups, measured values, pictures and the digests of their files.

Cases are the bulk of the page, so they travel as columns of plain JSON that the page's script reads. Values have seven
significant digits here; the exact ones are in the measurement files, whose names and digests stand beside them.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.digest import sha256_bytes
from validation.dossier.runfiles import RunFiles
from validation.errors import IntegrityProblem

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUE_BYTES = 700_000
MOST_DIGEST_BYTES = 450_000
_EMPTY: dict[str, Any] = {"ids": [], "clusters": [], "reasons": [], "groups": {}, "values": [], "left_out": []}
_HIDDEN = {"case_id", "cluster", "status", "reason"}


def casebook(files: RunFiles) -> dict[str, Any]:
    """Return the cases of a run for the page; an empty book, with the reason, where their tables cannot be read.

    ``ids``, ``clusters``, ``reasons`` (empty for an analysed case) and ``groups`` (column -> values) are parallel
    lists; ``values`` maps a metric and an arm to one number or null per case; ``left_out`` names what did not fit.
    """
    import pyarrow

    try:
        return _book(files)
    except (pyarrow.ArrowException, KeyError) as problem:
        why = f"the tables of cases and measurements cannot be read ({type(problem).__name__})"
        return {**_EMPTY, "left_out": [{"metric": "every case", "why": why}]}


def _book(files: RunFiles) -> dict[str, Any]:
    table = files.cases
    if table is None:
        return _EMPTY
    table = table.set_index("case_id").sort_index() if "case_id" in table.columns else table.sort_index()
    ids = [str(i) for i in table.index]
    reasons = [str(r) for r in table["reason"]] if "reason" in table.columns else [""] * len(ids)
    book: dict[str, Any] = {
        "ids": ids,
        "clusters": [str(c) for c in table["cluster"]] if "cluster" in table.columns else [],
        "reasons": reasons,
        "groups": {str(c): _cells(table[c]) for c in table.columns if c not in _HIDDEN},
        "values": [],
        "left_out": [],
        "digests": {},
        "shards": _shards(files.folder, ids),
    }
    digests = _digests(files.folder, ids)
    if len(json.dumps(digests)) <= MOST_DIGEST_BYTES:
        book["digests"] = digests
    else:
        why = "the page would become too large; they are in checks/case_files.json"
        book["left_out"].append({"metric": "digests of the files of every case", "why": why})
    size = 0
    for key, arms in _measured(files.folder).items():
        wide = files.values(key)
        if wide is None:
            book["left_out"].append({"metric": key, "why": "one value per component, not per case"})
            continue
        for arm in arms:
            column = wide[arm].reindex(table.index)
            numbers = [None if value != value else float(f"{value:.7g}") for value in column.tolist()]
            size += len(json.dumps(numbers))
            if size > MOST_VALUE_BYTES:
                book["left_out"].append({"metric": f"{key}, {arm}", "why": "the page would become too large"})
                continue
            book["values"].append({"metric": key, "arm": arm, "unit": arms[arm], "numbers": numbers})
    return book


def pictures(files: RunFiles, room: int) -> list[dict[str, Any]]:
    """Return the pictures of the record with windows and digests; as many as there is room for travel in the page.

    Each has ``case_id``, ``arm``, ``low``, ``high``, ``unit``, ``slice_index``, ``file`` (in the run folder),
    ``sha256`` and ``data`` (a data URL, or null where the file beside the page is to be shown).
    """
    path = files.folder / "images" / "index.json"
    if not path.is_file():
        return []
    try:
        index = json.loads(path.read_bytes())
        entries = [{k: e[k] for k in ("case_id", "arm", "file", "low", "high", "unit", "slice_index")} for e in index]
    except (ValueError, KeyError, TypeError):
        raise IntegrityProblem(
            "the list of pictures cannot be read.", code="DOS-004", where="images/index.json"
        ) from None
    found, size = [], 0
    for entry in entries:
        name = str(entry["file"])
        source = files.folder / "images" / name
        if Path(name).name != name or not source.is_file() or source.is_symlink():
            continue
        data = source.read_bytes()
        size += 4 * len(data) // 3
        inside = "data:image/png;base64," + base64.b64encode(data).decode() if size <= room else None
        found.append({**entry, "file": f"images/{name}", "sha256": sha256_bytes(data), "data": inside})
    return found


def _measured(folder: Path) -> dict[str, dict[str, str]]:
    """Return the arms of every metric key that was measured, with the unit of each, in a fixed order."""
    import pyarrow.dataset as ds

    parts = [str(path) for path in sorted((folder / "measurements").glob("part-*.parquet"))]
    if not parts:
        return {}
    table = ds.dataset(parts, format="parquet").to_table(columns=["metric", "arm", "unit"])
    rows = table.group_by(["metric", "arm", "unit"]).aggregate([]).to_pylist()
    found: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda r: (r["metric"], r["arm"], r["unit"])):
        found.setdefault(row["metric"], {}).setdefault(row["arm"], row["unit"])
    return found


def _shards(folder: Path, ids: list[str]) -> dict[str, Any]:
    """Return the names of the measurement files and, for every case, the position of the file that holds it."""
    import pyarrow.dataset as ds

    parts = sorted((folder / "measurements").glob("part-*.parquet"))
    place: dict[str, int] = {}
    for number, path in enumerate(parts):
        column = ds.dataset(str(path), format="parquet").to_table(columns=["case_id"])["case_id"]
        place |= dict.fromkeys((str(c) for c in column.unique().to_pylist()), number)
    return {"files": [f"measurements/{p.name}" for p in parts], "of": [place.get(i, -1) for i in ids]}


def _digests(folder: Path, ids: list[str]) -> dict[str, Any]:
    """Return each digest once and, by role, which one is that of every case; empty where the run records none."""
    path = folder / "checks" / "case_files.json"
    if not path.is_file():
        return {}
    try:
        cases = json.loads(path.read_bytes())
        roles = sorted({role for entry in cases.values() for role in entry})
        of = {role: [str(cases.get(i, {}).get(role, {}).get("sha256", "")) for i in ids] for role in roles}
    except (ValueError, AttributeError, TypeError):
        raise IntegrityProblem("the digests of the cases cannot be read.", code="DOS-004", where=path.name) from None
    once = {digest: number for number, digest in enumerate(dict.fromkeys(d for all_ in of.values() for d in all_))}
    return {"once": list(once), "of": {role: [once[digest] for digest in all_] for role, all_ in of.items()}}


def _cells(column: pd.Series[Any]) -> list[str | None]:
    """Return the values as text, as the levels of subgroups are named in the results."""
    return [None if missing else str(value) for value, missing in zip(column.tolist(), column.isna(), strict=True)]
