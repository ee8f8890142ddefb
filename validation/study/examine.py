"""What is found out about a cohort before and after it is measured: checks, case flow, the case table of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from validation.cohort.flow import Flow, case_flow, missing_covariates
from validation.cohort.independence import independence
from validation.cohort.open import Cohort
from validation.cohort.pseudonyms import pseudonyms, study_key
from validation.cohort.quality import check_quality, stop_on_failure
from validation.cohort.representativeness import representativeness
from validation.digest import canonical_json, sha256_file, write_atomically
from validation.errors import DataProblem
from validation.evidence.events import EVENTS_FILE, append_event
from validation.protocol.expressions import column_names
from validation.protocol.schema import Protocol
from validation.shift.compare import shift_report
from validation.study.spec import Study
from validation.tables import read_table

if TYPE_CHECKING:
    from validation.study.run import Measured

CASES_FILE = "cases.parquet"
WORST_SHOWN = 3


def examine(study: Study, protocol: Protocol, cohort: Cohort, run: Path, *, actor: str) -> Flow:
    """Check the cohort against the protocol and write ``checks/*.json``; return the flow of cases.

    Raises
    ------
    DataProblem
        If a rule of severity ``stop`` is not met, or a column that the protocol needs is missing. What was found is
        written before.
    """
    _require_columns(protocol, cohort)
    quality = check_quality(cohort.cases, protocol.data_quality)
    _save(run, "data_quality", quality)
    try:
        stop_on_failure(quality)
    except DataProblem as problem:
        append_event(run / EVENTS_FILE, actor=actor, action="data-refused", reason=problem.what)
        raise
    flow = case_flow(cohort, protocol.population.eligibility)
    _save(run, "flow", flow.to_dict())
    eligible = cohort.cases.loc[list(flow.eligible)]
    plan = protocol.independence
    _save(run, "independence", independence(cohort.cases, plan, study.folder) if plan else {})
    population = protocol.population
    _save(run, "shift", _shift(protocol, _people(eligible), study.folder))
    _save(
        run,
        "representativeness",
        representativeness(_people(eligible), population.target, cluster=population.cluster)
        if population.target
        else {},
    )
    columns = [*population.subgroups, *population.target]
    _save(run, "missing_covariates", missing_covariates(eligible, columns))
    _save(
        run,
        "header_conflicts",
        {"findings": [{"case_id": f.case_id, "column": f.column, "text": f.text} for f in cohort.findings]},
    )
    return flow


def write_cases(study: Study, protocol: Protocol, cohort: Cohort, measured: Measured, run: Path) -> None:
    """Write ``cases.parquet``: every eligible case that an endpoint is about, rejected ones included.

    Only the pseudonym of the patient and the columns that judging needs leave the case table.
    """
    flow = read_check(run, "flow")
    rejected = {r["case_id"]: r["reason"] for r in flow["rejections"]}
    rejected |= {r.case_id: r.reason for r in measured.rejections}
    chosen = sorted({*measured.case_ids, *(r["case_id"] for r in flow["rejections"])})
    table = cohort.listed.reindex(chosen)
    columns = [c for c in needed_columns(protocol) if c in table.columns]
    frame = pd.DataFrame({"case_id": chosen})
    frame["cluster"] = pseudonyms(table[protocol.population.cluster], study_key(study.folder))
    frame["status"] = ["rejected" if case in rejected else "analysed" for case in chosen]
    frame["reason"] = [rejected.get(case, "") for case in chosen]
    for column in columns:
        values = table[column].reset_index(drop=True)
        frame[column] = values if pd.api.types.is_numeric_dtype(values) else values.astype("string")
    path = run / CASES_FILE
    part = path.with_name(f".{path.name}.part")
    frame.to_parquet(part, index=False, compression="zstd")
    part.replace(path)


def needed_columns(protocol: Protocol) -> list[str]:
    """Return the case-table columns that judging needs: subgroups, expressions, truth labels, fairness and shift."""
    names = list(protocol.population.subgroups)
    for endpoint in protocol.endpoints:
        if endpoint.cases:
            names += column_names(endpoint.cases, f"endpoints[{endpoint.id}].cases")
        label = endpoint.summary_parameters.get("label")
        names += [label] if isinstance(label, str) else []
        names += endpoint.subgroups if isinstance(endpoint.subgroups, list) else []
    if protocol.fairness:
        names += protocol.fairness.attributes
    if protocol.shift:
        names += [variable.column for variable in protocol.shift.variables]
    return list(dict.fromkeys(n for n in names if n not in ("case_id", "cluster", "status", "reason")))


def cases_to_show(results: dict[str, Any]) -> list[str]:
    """Return the worst cases of every primary endpoint, for pictures in the dossier."""
    wanted: dict[str, None] = {}
    for section in results["endpoints"].values():
        if section["role"] == "primary":
            wanted |= dict.fromkeys(row["case_id"] for row in section["worst_cases"][:WORST_SHOWN])
    return list(wanted)


def read_check(run: Path, name: str) -> dict[str, Any]:
    """Return what an examination wrote, empty if it was not made."""
    path = run / "checks" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return found


def _save(run: Path, name: str, content: dict[str, Any]) -> None:
    write_atomically(run / "checks" / f"{name}.json", canonical_json(content))


def _shift(protocol: Protocol, cases: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Return the comparison of the cohort with the cases the model was developed on, if the protocol names them."""
    plan = protocol.shift
    if plan is None or plan.baseline is None:
        return {}
    path, cluster = folder / plan.baseline, protocol.population.cluster
    before = read_table(path, text_columns=[cluster])
    report = shift_report(before, cases, plan, cluster=cluster)
    report["settings"] |= {"baseline": path.name, "baseline_sha256": sha256_file(path)}
    return report


def _people(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the cases that are patients: a column ``kind``, where there is one, marks phantom scans."""
    return cases[cases["kind"] == "patient"] if "kind" in cases.columns else cases


def _require_columns(protocol: Protocol, cohort: Cohort) -> None:
    """Refuse a cohort that lacks the cluster column or a column that an endpoint needs."""
    wanted = {protocol.population.cluster: "population.cluster"}
    for endpoint in protocol.endpoints:
        label = endpoint.summary_parameters.get("label")
        if isinstance(label, str):
            wanted[label] = f"endpoints[{endpoint.id}].summary_parameters.label"
    for column, where in wanted.items():
        if column not in cohort.cases.columns:
            raise DataProblem(
                f"the case table has no column {column!r}.",
                code="RUN-047",
                where=where,
                why="Cases of one patient could not be told from cases of several."
                if column == protocol.population.cluster
                else "The truth of the cases is not known.",
                action="Add the column to the case table, or rename it in study.yaml (`cohort.columns`).",
            )
