"""Carrying out a modification: run the candidate, and say clause by clause whether it stays inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from validation.change.assessment import assess
from validation.change.baseline import RunRecord, read_run, read_verified, require_same_criteria
from validation.change.decision import Proposal
from validation.change.modification import find_modification, judge_modification
from validation.change.revalidation import (
    Request,
    compare_versions,
    last_version,
    record_head,
    save_request,
    write_record,
)
from validation.change.triggers import Change, impact
from validation.change.workspace import open_workspace
from validation.cohort.open import open_cohort
from validation.evidence.results import RESULTS_FILE
from validation.study.execute import begin, carry_on
from validation.study.prepare import require_lock
from validation.study.spec import Study


def execute(study: Study, modification: str, request: Request) -> tuple[Path, dict[str, Any]]:
    """Run a candidate under a modification; return the run folder (not closed yet) and its change record.

    The candidate is run on the sealed holdout of the study (or on the new cohort of the request), under the locked
    endpoints, and compared case by case with the original and with the last version. ``within`` means that every bound
    and every criterion of the modification is shown to be met; anything else is ``outside``, and ``broken`` names the
    clauses.

    Parameters
    ----------
    study
        The study; its protocol must be locked and hold the change protocol.
    modification
        Id of the modification.
    request
        Baseline, candidate, actor; ``changes`` is ignored.

    Raises
    ------
    UsageProblem
        CHG-010 or CHG-011 if the change protocol or the modification is not there.
    IntegrityProblem
        CHG-003 if the baseline is not what was signed.
    """
    protocol, _ = require_lock(study)
    find_modification(protocol, modification)  # refuses before anything is written
    baseline = read_verified(request.baseline, trust=request.trust, allow_unsigned=request.allow_unsigned)
    require_same_criteria(baseline, protocol)
    last = last_version(study, request)
    reason = f"modification {modification} of the change protocol"
    made = open_workspace(
        study, baseline, name=f"modification-{modification}", actor=request.actor, reason=reason, cohort=request.cohort,
        model=request.model, training_manifest=request.training_manifest,
    )  # fmt: skip
    save_request(made.folder, request, baseline, last, modification=modification)
    run = begin(made, device=request.device, purpose=reason, actor=request.actor)
    return run, complete_modification(made, run, modification, request, baseline, last)


def complete_modification(
    made: Study, run: Path, modification: str, request: Request, baseline: RunRecord, last: RunRecord | None
) -> dict[str, Any]:
    """Bring a begun run of a candidate to its results, judge the clauses, and write and return the change record."""
    if not (run / RESULTS_FILE).exists():
        carry_on(made, run, actor=request.actor, quiet=request.quiet)
    new = read_run(run)
    planned = find_modification(new.protocol, modification)
    kind = "scanner" if planned.kind == "new_scanner" else "kernel" if planned.kind == "new_protocol" else "model"
    asked = impact(new.protocol, [Change(kind, f"{modification}, version {made.spec.model.version}")])
    cohort = open_cohort(made.spec.cohort, made.folder).cases
    comparisons = compare_versions(new, {"original": baseline, "last": last})
    judged = judge_modification(planned, new, cohort, facts=request.facts, comparisons=comparisons)
    record: dict[str, Any] = {
        **record_head("modification", new, baseline, last, actor=request.actor, asked=asked),
        "facts": dict(request.facts),
        "differences": comparisons["original"],
        "differences_last": comparisons.get("last", {}),
        "modification": judged,
        "result": "within" if judged["within"] else "outside",
    }
    record["assessments"] = assess(record)
    record["proposal"] = propose(judged).to_dict()
    shown = "inside" if judged["within"] else "outside"
    record["summary"] = f"Modification {modification}: {shown} the change protocol."
    write_record(run, record, request.actor, baseline)
    return record


def propose(judged: dict[str, Any]) -> Proposal:
    """Return the proposal from the clauses of a modification: one that is not met means hold."""
    proposal = Proposal(route="within_change_protocol")
    if judged["within"]:
        count = len(judged["clauses"])
        proposal.note("modification", f"All {count} clauses of modification {judged['id']} are met.")
        return proposal
    proposal.route = "new_submission"
    for text in judged["broken"]:
        proposal.hold("modification", text + ".", "Do not release the candidate under the change protocol.")
    return proposal
