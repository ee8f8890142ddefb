"""Monitoring after release: each period is appended to a hash-chained log, and its report is signed.

``STUDY/monitoring/log.jsonl`` begins with the charts, fixed from a verified baseline run, and has one event per period
with the values of that period (no identifiers) and the digest of the data they came from. Every chart is computed again
from the whole log, so what is shown is what was appended. Each period has a folder with its record and documents, a
manifest, and a signature over the manifest that names the head of the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from validation.change.baseline import RunRecord, read_run, read_verified, require_same_criteria
from validation.change.indicators import assess_period, design, values_of_run, values_of_table
from validation.change.workspace import open_workspace
from validation.digest import canonical_json, sha256_file, sha256_json, write_atomically
from validation.errors import DataProblem, IntegrityProblem, UsageProblem
from validation.evidence.events import Event, append_event, read_events, utc_now
from validation.evidence.keys import PublicKey
from validation.evidence.manifest import ATTESTATION_FILE, compare_files, read_manifest, write_manifest
from validation.evidence.statement import check_signature, make_statement, peek, seal, subject_digest
from validation.protocol.change_schema import Indicator
from validation.protocol.schema import Protocol
from validation.study.execute import begin, carry_on
from validation.study.prepare import require_lock
from validation.study.spec import Study

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

FOLDER = "monitoring"
LOG = "log.jsonl"
SCHEMA = "validation.monitoring/1"
BEGUN, INGESTED = "monitoring-begun", "period-ingested"
PREDICATE = "pkg:pypi/genmed-validation#monitoring-v1"
SIGNER_FILE = "signer.pub.pem"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, kw_only=True)
class Period:
    """One period's cases.

    Parameters
    ----------
    label
        Name of the period, such as ``2026-Q3``.
    data
        A table of measurements (CSV or Parquet, in order of time), or the folder of a cohort that is then run.
    actor, baseline, device
        Who; the run that fixes the charts (needed the first time only); where a cohort is run.
    trust, allow_unsigned
        For the verification of the baseline.
    """

    label: str
    data: Path
    actor: str
    baseline: Path | None = None
    device: str = "auto"
    trust: dict[str, PublicKey] | None = None
    allow_unsigned: bool = False


def log_path(study: Study) -> Path:
    """Return the log of a study's monitoring."""
    return study.folder / FOLDER / LOG


def ingest(study: Study, period: Period) -> tuple[Path, dict[str, Any]]:
    """Append a period to the log; return its folder (not signed yet) and its record.

    Raises
    ------
    UsageProblem
        CHG-015 if the protocol plans no monitoring, CHG-016 for a label that is taken or no plain name, CHG-017 if the
        first period comes without a baseline.
    DataProblem
        CHG-018 if the data cannot be read, CHG-020 or CHG-021 if an indicator has no usable values.
    IntegrityProblem
        If the log, or the signature of an earlier period, does not verify.
    """
    protocol, _ = require_lock(study)
    if protocol.monitoring is None:
        raise UsageProblem(
            "the protocol plans no monitoring.",
            code="CHG-015",
            where="monitoring",
            why="Indicators and thresholds that are chosen after the data prove nothing.",
            action="Add `monitoring` to the protocol and amend it.",
        )
    indicators = protocol.monitoring.indicators
    events = verify_log(study)
    _check_label(period.label, events)
    charts = _begin(study, protocol, period) if not events else events[0].details["charts"]
    if charts["protocol"] != sha256_json([i.model_dump(mode="json") for i in indicators]):
        raise IntegrityProblem(
            "the indicators of the protocol are not those that the log was begun with.",
            code="CHG-019",
            where=LOG,
            why="A chart whose threshold moves proves nothing.",
            action="Keep the log as it is, move the folder `monitoring` away, and begin a new one with a baseline.",
        )
    frames, source = _read(study, protocol, period)
    history = [e.details["values"] for e in events if e.action == INGESTED]
    found = {}
    for indicator in indicators:
        before = [values[indicator.id] for values in history]
        found[indicator.id] = assess_period(charts["indicators"][indicator.id], before, frames[indicator.id])
    record = _record(study, protocol, period, found, events, source, charts)
    append_event(
        log_path(study),
        actor=period.actor,
        action=INGESTED,
        object_digest=source,
        reason=record["summary"],
        details={
            "period": period.label,
            "values": {name: part["values"] for name, part in found.items()},
            "counts": {n: {"cases": p["n_cases"], "patients": p["n_patients"]} for n, p in found.items()},
            "estimates": {n: p["estimate"] for n, p in found.items()},
            "states": {n: p["state"] for n, p in found.items()},
            "signals": [n for n, p in found.items() if p["new_signal"]],
        },
    )
    record["log_head"] = read_events(log_path(study))[-1].sha256()
    folder = study.folder / FOLDER / period.label
    write_atomically(folder / "record.json", canonical_json(record))
    return folder, record


def sign_period(folder: Path, record: dict[str, Any], key: Signer | None) -> str:
    """Write the manifest of a period's folder and, with a key, the signature over it; return the manifest's digest."""
    from validation.evidence.keys import public_half

    public = public_half(key) if key is not None else None
    if public is not None:
        write_atomically(folder / SIGNER_FILE, public.pem.encode())
    digest = write_manifest(folder, run_id=str(record["period"]["label"]))
    if key is not None and public is not None:
        predicate = {"period": record["period"], "log_head": record["log_head"], "signed_at": utc_now()}
        statement = make_statement(PREDICATE, predicate, manifest_sha256=digest)
        write_atomically(folder / ATTESTATION_FILE, seal(statement, key))
    return digest


def verify_log(study: Study) -> list[Event]:
    """Check the chain of the log and the signature of every signed period; return the events.

    Raises
    ------
    IntegrityProblem
        EVD-010 for a broken link; CHG-022 if a period's folder was changed, or its signature names another log.
    """
    events = read_events(log_path(study))
    heads = {event.sha256() for event in events}
    for event in events:
        folder = log_path(study).parent / str(event.details.get("period", ""))
        path = folder / ATTESTATION_FILE
        if event.action != INGESTED or not path.is_file():
            continue
        wrong = compare_files(folder, read_manifest(folder))
        data = path.read_bytes()
        statement, _ = peek(data, where=ATTESTATION_FILE, predicate_type=PREDICATE)
        check_signature(
            data, PublicKey.from_pem((folder / SIGNER_FILE).read_bytes(), where=SIGNER_FILE), where=folder.name
        )
        agrees = subject_digest(statement) == sha256_file(folder / "manifest.json")
        if (
            wrong
            or not agrees
            or statement["predicate"].get("log_head") != event.sha256()
            or event.sha256() not in heads
        ):
            raise IntegrityProblem(
                f"the period {folder.name} is not what was signed{': ' + next(iter(wrong)) if wrong else ''}.",
                code="CHG-022",
                where=str(folder),
                why="Trends are only as good as the record of the periods before.",
                action="Restore the folder `monitoring` from your records.",
            )
    return events


def _begin(study: Study, protocol: Protocol, period: Period) -> dict[str, Any]:
    if period.baseline is None:
        raise UsageProblem(
            "the first period needs the run that fixes the charts.",
            code="CHG-017",
            where="--baseline",
            why="Target and spread of a chart come from the validated state, not from the first period.",
            action="Give --baseline RUN, the signed run of the released version.",
        )
    baseline = read_verified(period.baseline, trust=period.trust, allow_unsigned=period.allow_unsigned)
    require_same_criteria(baseline, protocol)
    indicators: list[Indicator] = protocol.monitoring.indicators if protocol.monitoring else []
    charts = {
        "protocol": sha256_json([i.model_dump(mode="json") for i in indicators]),
        "baseline": baseline.link(),
        "indicators": {i.id: design(i, protocol, baseline) for i in indicators},
    }
    append_event(
        log_path(study),
        actor=period.actor,
        action=BEGUN,
        object_digest=baseline.manifest_sha256,
        reason="charts fixed from the baseline",
        details={"charts": charts},
    )
    return charts


def _read(study: Study, protocol: Protocol, period: Period) -> tuple[dict[str, pd.DataFrame], str]:
    indicators = protocol.monitoring.indicators if protocol.monitoring else []
    if period.data.is_dir():
        run = _run(study, period)
        return {i.id: values_of_run(i, run) for i in indicators}, str(run.results["cohort"]["manifest_sha256"])
    cluster = protocol.population.cluster
    try:
        if period.data.suffix == ".parquet":
            table = pd.read_parquet(period.data)
        else:
            table = pd.read_csv(period.data, dtype={cluster: "string"})
    except (ValueError, OSError, UnicodeDecodeError):
        raise _unreadable(period.data, "it cannot be read as a table") from None
    if cluster not in table.columns or table.empty:
        raise _unreadable(period.data, f"it has no column {cluster!r}" if len(table) else "it has no rows")
    if "date" in table.columns:
        table = table.sort_values("date", kind="stable")
    return {i.id: values_of_table(i, table, cluster) for i in indicators}, sha256_file(period.data)


def _run(study: Study, period: Period) -> RunRecord:
    """Run the period's cohort with the study's model, under the locked protocol."""
    folder = period.baseline or _first_baseline(study)
    baseline = read_verified(folder, trust=period.trust, allow_unsigned=period.allow_unsigned)
    reason = f"monitoring, period {period.label}"
    made = open_workspace(
        study, baseline, name=f"monitoring-{period.label}", actor=period.actor, reason=reason, cohort=period.data
    )
    run = begin(made, device=period.device, purpose=reason, actor=period.actor)
    carry_on(made, run, actor=period.actor, quiet=True)
    return read_run(run)


def _first_baseline(study: Study) -> Path:
    name = str(read_events(log_path(study))[0].details["charts"]["baseline"]["run"])
    return study.runs_folder / name


def _record(
    study: Study,
    protocol: Protocol,
    period: Period,
    found: dict[str, Any],
    events: list[Event],
    source: str,
    charts: dict[str, Any],
) -> dict[str, Any]:
    plan = protocol.monitoring
    if plan is None:
        raise ValueError("monitoring without a plan")
    signals = [name for name, part in found.items() if part["new_signal"]]
    beyond = [name for name, part in found.items() if part["state"] == "beyond"]
    uncharted = {name: part["reason"] for name, part in found.items() if part["reason"]}
    n_cases = max(part["n_cases"] for part in found.values())
    few = n_cases < plan.cases_per_period
    status = "signal" if signals or beyond else "inconclusive" if few or uncharted else "no signal"
    reasons = [f"{n}: new signal on the {found[n]['chart_title']} chart." for n in signals]
    reasons += [f"{n}: the period's mean lies beyond its threshold." for n in beyond]
    reasons += [f"{n}: no chart, because {why.rstrip('.')}." for n, why in uncharted.items()]
    if few:
        reasons.append(f"{n_cases} cases; the plan asks for {plan.cases_per_period}. Too few to call the period quiet.")
    if not reasons:
        reasons.append(
            "No chart signals, no mean lies beyond its threshold, and the planned number of cases was reached."
        )
    before = [
        {
            "label": e.details["period"], "time": e.time, "actor": e.actor, "signals": e.details["signals"],
            "indicators": {
                n: {"estimate": est, "state": e.details["states"][n], "n_cases": e.details["counts"][n]["cases"]}
                for n, est in e.details["estimates"].items()
            },
        }
        for e in events
        if e.action == INGESTED
    ]  # fmt: skip
    now = {
        "label": period.label, "time": utc_now(), "actor": period.actor, "signals": signals,
        "indicators": {
            n: {"estimate": p["estimate"], "state": p["state"], "n_cases": p["n_cases"]} for n, p in found.items()
        },
    }  # fmt: skip
    return {
        "schema": SCHEMA,
        "kind": "monitoring",
        "created": now["time"],
        "study": {"id": study.spec.id, "title": study.spec.title, "notice": study.spec.notice},
        "protocol": {"id": protocol.id, "version": protocol.version},
        "claim": {"statement": protocol.claim.statement},
        "period": {"label": period.label, "data_sha256": source, "n_cases": n_cases, "planned": plan.cases_per_period},
        "baseline": charts["baseline"],
        "indicators": found,
        "periods": [*before, now],
        "status": status,
        "reasons": reasons,
        "escalation": plan.escalation,
        "owner_role": plan.owner_role,
        "summary": f"Period {period.label}: {status}.",
    }


def _check_label(label: str, events: list[Event]) -> None:
    taken = {e.details.get("period") for e in events if e.action == INGESTED}
    if not _LABEL.fullmatch(label) or label in {LOG, *taken}:
        raise UsageProblem(
            f"{label!r} cannot name this period" + (": it was ingested already." if label in taken else "."),
            code="CHG-016",
            where="--label",
            why="Every period has one place in the log.",
            action="Give a new plain name such as 2026-Q3.",
        )


def _unreadable(path: Path, what: str) -> DataProblem:
    return DataProblem(
        f"the period's data are refused: {what}.",
        code="CHG-018",
        where=path.name,
        why="A period that cannot be read is not a quiet period.",
        action="Give a CSV with one row per case: the patient column of the protocol, and one column per indicator.",
    )
