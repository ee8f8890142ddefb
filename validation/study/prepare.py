"""Before the data are opened: checking, locking, amending and sealing a study, each entered in its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validation.cohort.open import open_cohort
from validation.cohort.quality import check_expectation_names
from validation.cohort.seal import seal
from validation.errors import DataProblem, IntegrityProblem, ProtocolProblem
from validation.evidence.events import COHORT_OPENED, Event, append_event, read_events
from validation.protocol import lock as locks
from validation.protocol.claims import Finding, warnings
from validation.protocol.load import load_protocol
from validation.protocol.schema import Protocol
from validation.protocol.units import plural
from validation.registry import get_metric
from validation.study.endpoints import check_endpoint, sample_size
from validation.study.judge_sets import check_set_endpoint
from validation.study.plan import make_plan, measures_sets
from validation.study.spec import Study
from validation.study.start import refuse_placeholders

SEAL_FILE = "cohort.manifest.json"


@dataclass(frozen=True)
class State:
    """Where a study stands."""

    locked: bool
    sealed: bool
    openings: int
    ledger_head: str


def check_protocol(path: Path) -> tuple[Protocol, list[Finding]]:
    """Read a protocol, check that every endpoint can be measured and judged, and return what its claim lacks.

    No data are touched.
    """
    protocol = load_protocol(path)
    check_endpoints(protocol)
    return protocol, [*warnings(protocol), *_underpowered(protocol)]


def _underpowered(protocol: Protocol) -> list[Finding]:
    """Return endpoints whose own assumptions ask for more patients than are planned."""
    found = []
    for endpoint in protocol.endpoints:
        plan = sample_size(endpoint) if endpoint.confirmatory and not measures_sets(endpoint) else {}
        place = f"endpoints[{endpoint.id}].sample_size"
        units = plural(endpoint.independent_unit or protocol.population.independent_unit)
        if plan and plan["reason"]:
            text = f"the sample size of {endpoint.id} cannot be checked: {plan['reason']}."
            found.append(Finding("SAMPLE-SIZE", place, text, "Correct the assumptions."))
        elif plan and plan["required_clusters"] > plan["planned_clusters"]:
            text = (
                f"{endpoint.id} plans {plan['planned_clusters']} {units}; its own assumptions need "
                f"{plan['required_clusters']} for a power of {plan['power']:g} (planned: {plan['planned_power']:.2f})."
            )
            found.append(Finding("POWER", place, text, f"Plan more {units}, or correct the assumptions."))
    return found


def check_comparators(study: Study, protocol: Protocol) -> None:
    """Refuse an endpoint that compares outputs with inputs of another unit."""
    if study.spec.cohort.input_unit is None:
        return
    for endpoint in protocol.endpoints:
        if endpoint.comparator == "input" or "input" in get_metric(endpoint.metric.name).roles:
            raise ProtocolProblem(
                "the input is in another unit than the output and cannot be compared with it.",
                code="PROT-030",
                where=f"endpoints[{endpoint.id}]",
                why=f"study.yaml says that inputs are in {study.spec.cohort.input_unit!r}.",
                action="Compare with the reference or a baseline.",
            )


def check_endpoints(protocol: Protocol) -> None:
    """Refuse a protocol with an endpoint that cannot be measured or judged, or a data-quality rule nobody knows."""
    make_plan(protocol)
    check_expectation_names(protocol.data_quality)
    for endpoint in protocol.endpoints:
        if measures_sets(endpoint):
            check_set_endpoint(endpoint)
        else:
            check_endpoint(endpoint)


def seal_path(study: Study) -> Path:
    """Return where the manifest of the sealed cohort lies."""
    return study.folder / SEAL_FILE


def state(study: Study) -> State:
    """Return whether a study is locked and sealed, and how often its cohort was opened."""
    ledger = read_ledger(study)
    return State(
        locked=locks.lock_path(study.folder).exists(),
        sealed=seal_path(study).exists(),
        openings=sum(event.action == COHORT_OPENED for event in ledger),
        ledger_head=ledger[-1].sha256() if ledger else "",
    )


def read_ledger(study: Study) -> list[Event]:
    """Return the ledger's events, oldest first; an empty list before the first."""
    return read_events(study.ledger_path) if study.ledger_path.exists() else []


def lock_study(study: Study, *, signer: str) -> tuple[locks.Lock, list[Finding]]:
    """Lock the protocol of a study and enter it in the ledger.

    The lock is refused when an endpoint cannot be measured or judged; what the claim lacks is returned.
    """
    protocol, lacking = check_protocol(study.protocol_path)
    refuse_placeholders(locks.content(protocol), where=study.protocol_path.name)
    refuse_placeholders(study.spec.model_dump(mode="json"), where=study.path.name)
    record = locks.lock(protocol, locks.lock_path(study.folder), signer=signer)
    append_event(
        study.ledger_path,
        actor=signer,
        action="protocol-locked",
        object_digest=record.digest,
        details={"protocol": protocol.id, "version": protocol.version, "warnings": [f.id for f in lacking]},
    )
    return record, lacking


def amend_study(study: Study, *, signer: str, reason: str) -> locks.Lock:
    """Record a new version of the locked protocol, with the reason and how often the data had been opened by then."""
    protocol, _ = check_protocol(study.protocol_path)
    openings = state(study).openings
    record = locks.amend(protocol, locks.lock_path(study.folder), signer=signer, reason=reason, openings=openings)
    append_event(
        study.ledger_path,
        actor=signer,
        action="protocol-amended",
        object_digest=record.digest,
        reason=reason,
        details={"protocol": protocol.id, "version": protocol.version, "openings_before": openings},
    )
    return record


def record_deviation(study: Study, *, actor: str, what: str, reason: str, severity: str, impact: str) -> Event:
    """Enter a departure from the protocol in the ledger, for the deviation log.

    Parameters
    ----------
    what, reason, impact
        What departed from which part of the protocol, why, and what it means for the conclusions.
    severity
        ``minor`` or ``major``.
    """
    return append_event(
        study.ledger_path,
        actor=actor,
        action="deviation",
        reason=reason,
        details={"what": what, "severity": severity, "impact": impact, "openings_before": state(study).openings},
    )


def seal_study(study: Study, *, signer: str, reason: str = "") -> dict[str, Any]:
    """Write the manifest of the cohort (SHA-256 of every file) and enter it in the ledger.

    Raises
    ------
    DataProblem
        If the cohort is sealed already and no reason is given for sealing it again.
    """
    path = seal_path(study)
    if path.exists() and not reason:
        raise DataProblem(
            "the cohort of this study is sealed already.",
            code="RUN-040",
            where=str(path),
            why="A holdout that is sealed again may be another holdout.",
            action="Keep the seal, or give --reason; the ledger and the dossier will show it.",
        )
    data = study.spec.data.files(study.folder) if study.spec.data else {}
    manifest = seal(open_cohort(study.spec.cohort, study.folder), path, data)
    append_event(
        study.ledger_path,
        actor=signer,
        action="cohort-sealed",
        object_digest=manifest["digest"],
        reason=reason,
        details={"cases": manifest["n_cases"], "files": len(manifest["files"])},
    )
    return manifest


def require_lock(study: Study) -> tuple[Protocol, locks.Lock]:
    """Return the locked protocol of a study after checking file, lock and ledger against each other.

    Raises
    ------
    ProtocolProblem
        If there is no lock, or the protocol file was edited since (naming the fields).
    IntegrityProblem
        If the lock is not the one that the ledger recorded last.
    """
    path = locks.lock_path(study.folder)
    record = locks.read_lock(path)
    protocol = load_protocol(study.protocol_path)
    locks.require_unchanged(protocol, record, where=study.protocol_path.name)
    recorded = [e for e in read_ledger(study) if e.action in ("protocol-locked", "protocol-amended")]
    if not recorded or recorded[-1].object_digest != record.digest:
        raise IntegrityProblem(
            "the lock of the protocol is not the one that the ledger recorded last.",
            code="RUN-041",
            where=path.name,
            why="Lock and ledger prove together that the criteria were fixed first.",
            action="Restore protocol.lock.yaml and ledger.jsonl from your records.",
        )
    return protocol, record
