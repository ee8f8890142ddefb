"""Measuring whole data sets: every number of a metric with its interval at several levels, stored without a record.

One file per metric, ``measurements/sets/<16 digits of the SHA-256 of its key>.json``, is all that judging reads. An
estimate is evaluated while the data are open, at the levels that the protocol's alpha and its control of multiplicity
need and at a fixed grid (:data:`validation.study.plan.ALPHAS`). Rows of a data set appear by the keyed pseudonym of
their patient, or by number where records name nobody (synthetic ones).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from validation.cohort.datasets import DataSet, DataSets
from validation.digest import canonical_json, sha256_bytes, write_atomically
from validation.errors import DataProblem, IntegrityProblem, ValidationProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.reuse import reusing
from validation.registry import Metric
from validation.study.plan import Plan, SetTask
from validation.study.set_features import with_features

FOLDER = "measurements/sets"
SCHEMA = "validation.set-measurement/1"
MANY = "*"


def set_path(run: Path, key: str) -> Path:
    """Return where the measurement of a key lies."""
    return run / FOLDER / f"{sha256_bytes(key.encode())[:16]}.json"


def run_set_metrics(plan: Plan, sets: DataSets, run: Path) -> int:
    """Measure every metric of whole data sets that is not measured yet; return how many there are.

    A metric that cannot run leaves a file that says why: it is failed evidence, not a gap.
    """
    with reusing():  # the tables stay the same; every metric is evaluated at several levels
        for task in plan.set_tasks:
            path = set_path(run, task.key)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, canonical_json(measure_set(task, plan, sets)))
    return len(plan.set_tasks)


def read_set_measurements(run: Path) -> dict[str, dict[str, Any]]:
    """Return every measurement of whole data sets by its key.

    Raises
    ------
    IntegrityProblem
        RUN-010 if a file is damaged.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((run / FOLDER).glob("*.json")):
        try:
            content = json.loads(path.read_bytes())
            intact = content["schema"] == SCHEMA and set_path(run, content["key"]) == path
        except (ValueError, KeyError, TypeError):
            intact = False
        if not intact:
            raise IntegrityProblem("a measurement of data sets is damaged.", code="RUN-010", where=path.name)
        found[content["key"]] = content
    return found


def measure_set(task: SetTask, plan: Plan, sets: DataSets) -> dict[str, Any]:
    """Return the measurement of one metric: its numbers, or why there are none."""
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "key": task.key,
        "metric": task.metric.name,
        "plan": plan.digest(),
        "sets": {},
        "rows": [],
        "error": "",
    }
    try:
        used = {
            role: sets.prepared(part.name, with_features)
            for role, part in _sets_of(task.metric, task.sets, sets).items()
        }
        record["sets"] = {role: {"name": found.name, **found.describe()} for role, found in used.items()}
        record["rows"] = _rows(task, plan.seed, sets, used)
    except ValidationProblem as problem:
        record["error"] = f"{problem.code}: {problem.what}"
    except Exception as error:  # whatever breaks, the record must say so; the text may hold values, so no text
        record["error"] = f"the metric could not run ({type(error).__name__})"
    return record


def _sets_of(metric: Metric, named: Mapping[str, str], sets: DataSets) -> dict[str, DataSet]:
    """Return the data set of every role; an optional role whose set is not there is left out."""
    found = {}
    for role in (*metric.roles, *metric.optional_roles):
        name = named.get(role, role)
        if role in metric.optional_roles and role not in named and name not in sets.names():
            continue
        found[role] = sets[name]
    if metric.family not in ("longitudinal", "generative") and not metric.name.startswith("longitudinal_"):
        for role, part in found.items():
            if part.kind == "table" and part.patients and part.n_patients < len(part.data):
                raise DataProblem(
                    f"the set {part.name!r} has several rows per patient, and {metric.name} takes one.",
                    code="COH-084",
                    where=role,
                    why="Rows of one patient are not independent, so intervals would be too narrow.",
                    action="Give one row per patient, or measure the visits as events.",
                )
    return found


def _argument(metric: Metric, part: DataSet) -> Any:
    """Return a set as a metric sees it; those of generated images take the patients, who are their clusters."""
    if metric.family != "generative" or part.kind != "table" or not part.patients:
        return part.data
    return part.data.assign(patient=list(part.patients))  # type: ignore[union-attr]


def _rows(task: SetTask, seed: int, sets: DataSets, used: Mapping[str, DataSet]) -> list[dict[str, Any]]:
    metric = task.metric
    parameters = _parameters(metric, task.parameters, sets, used, seed)
    arguments = {role: _argument(metric, part) for role, part in used.items()}
    any_level = "level" in metric.parameters()

    def evaluate(alpha: float, **more: Any) -> list[dict[str, Any]]:
        level = {"level": 1 - 2 * alpha} if any_level else {}
        return list(_flat(metric.function(**arguments, **{**parameters, **level, **more}), used))

    rows = evaluate(task.own)
    by_place = {_place(row): row for row in rows}
    wanted = {place for place in by_place if any(_meant(pick, place) for pick in task.picks)}
    parts = tuple(dict.fromkeys(by_place[place]["part"] for place in by_place if place in wanted))
    more = {"only": parts} if "only" in metric.parameters() else {}
    for alpha in (a for a in task.alphas if a != task.own) if wanted and any_level else ():
        for row in evaluate(alpha, **more):
            place = _place(row)
            if place in wanted:
                by_place[place]["estimates"] += row["estimates"]
    for row in rows:
        row["estimates"].sort(key=lambda estimate: estimate["level"])
    return rows


def _parameters(
    metric: Metric, given: Mapping[str, Any], sets: DataSets, used: Mapping[str, DataSet], seed: int
) -> dict[str, Any]:
    """Return the arguments of a metric: those of the protocol, the seed, and the types of the data dictionary."""
    declared = metric.parameters()
    chosen = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if "seed" in declared:
        chosen["seed"] = seed % 2**31
    if sets.dictionary is not None:
        frames = [part.data for part in used.values() if part.kind == "table"]
        for name, kind in (("categorical", "category"), ("ignore", "identifier")):
            if name in declared and name not in chosen and frames:
                chosen[name] = sets.dictionary.of_type(kind, frames[0])  # type: ignore[arg-type]
    return chosen


def _flat(result: Any, used: Mapping[str, DataSet]) -> Iterable[dict[str, Any]]:
    """Return what a metric gave as rows of plain JSON types: finding, component, subgroup, estimates."""
    if isinstance(result, Estimate):
        yield _row(result)
    elif isinstance(result, Mapping):
        for name, estimate in result.items():
            yield _row(estimate, component=str(name))
    else:
        for number, item in enumerate(result):
            if isinstance(item, Finding):
                facts = item.to_dict()
                rows = _named_rows(item, used)
                yield _row(item.estimate, finding=item.metric, component=item.component, subgroup=item.subgroup) | {
                    "part": item.part,
                    "direction": item.direction,
                    "found": facts | {"rows": rows, "rows_of": item.rows_of if rows else ""},
                    "reference": item.reference,
                }
            else:
                yield _row(item, component=str(number + 1))


def _row(estimate: Estimate, *, finding: str = "", component: str = "", subgroup: str = "") -> dict[str, Any]:
    return {
        "finding": finding,
        "component": component,
        "subgroup": subgroup,
        "part": "",
        "direction": "",
        "estimates": [estimate.to_dict()],
    }


def _named_rows(finding: Finding, used: Mapping[str, DataSet]) -> list[str]:
    """Return the worst records by pseudonym, or by number in a set that names nobody."""
    part = used.get(finding.rows_of)
    if part is None or not finding.rows:
        return []
    inside = [row for row in finding.rows if row < (len(part.patients) or len(part.data))]
    return [part.patients[row] if part.patients else f"record {row + 1}" for row in inside]


def _place(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["finding"], row["component"], row["subgroup"]


def _meant(pick: tuple[str, str, str], place: tuple[str, str, str]) -> bool:
    """Return whether an endpoint that picks so judges the number at this place (subgroup cells included)."""
    finding, component, subgroup = pick
    return place[0] == finding and component in (MANY, place[1]) and (subgroup in (MANY, place[2]) or not subgroup)
