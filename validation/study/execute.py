"""One execution of a study: open the sealed cohort, examine it, measure, judge, write the record.

A run folder is begun by :func:`begin` and brought to its end by :func:`carry_on`, which may be called again after any
interruption: what is done is kept, what is half done is done again, and the record has the same bytes.
"""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from validation.cohort.open import Cohort, open_cohort
from validation.cohort.seal import check_seal, read_manifest
from validation.cohort.trace import case_files
from validation.digest import canonical_json, write_atomically
from validation.errors import ProtocolProblem, RunProblem, UsageProblem
from validation.evidence.events import (
    COHORT_OPENED,
    EVENTS_FILE,
    LEDGER_FILE,
    append_event,
    read_events,
    repair_events,
    utc_now,
)
from validation.evidence.results import RESULTS_FILE, write_results
from validation.models import Model, load_model
from validation.models.sampler import load_sampler
from validation.models.sampler_spec import SamplerSpec
from validation.protocol import lock as locks
from validation.protocol.load import load_protocol
from validation.protocol.schema import Protocol
from validation.study import examine
from validation.study.assemble import assemble
from validation.study.case_images import save_case_images
from validation.study.environment import describe_environment, git_state
from validation.study.fairness import fairness
from validation.study.generate import open_sets
from validation.study.judge import judge
from validation.study.judge_sets import set_sections
from validation.study.plan import make_plan
from validation.study.prepare import check_comparators, check_endpoints, require_lock, seal_path, state
from validation.study.progress import show_progress
from validation.study.reader_readings import analyse_readings, copy_readings, has_readings
from validation.study.run import Measured, resolve_device, run_measurements
from validation.study.samples import read_cases, read_measurement_table
from validation.study.set_metrics import read_set_measurements, run_set_metrics
from validation.study.spec import Study
from validation.study.virtual_readers import read_run

LOCK_FILE = "protocol.lock.yaml"
INPUTS_FILE = "inputs.json"
ENVIRONMENT_FILE = "environment.json"


def begin(
    study: Study, *, device: str = "auto", limit: int | None = None, draft: bool = False, purpose: str, actor: str
) -> Path:
    """Create the folder of a new run and enter the opening of the cohort in the ledger.

    Everything that can be refused without opening the data is refused first.

    Parameters
    ----------
    study
        The study.
    device
        ``auto``, ``cpu`` or ``cuda``.
    limit
        Measure only the first so many cases; makes the run a draft.
    draft
        Accept an unlocked protocol or an unsealed cohort; makes the run a draft.
    purpose, actor
        Why the cohort is opened and by whom.

    Raises
    ------
    ProtocolProblem
        If the protocol is unlocked (without ``draft``), edited since, or cannot be judged.
    UsageProblem
        If the cohort is not sealed (without ``draft``).
    """
    reasons: list[str] = []
    lock_file = locks.lock_path(study.folder)
    if draft and not lock_file.exists():
        protocol = load_protocol(study.protocol_path)
        record = locks.Lock(
            digest=locks.digest(protocol), locked_at="", locked_by="not locked", protocol=locks.content(protocol)
        )
        reasons.append("The protocol is not locked.")
    else:
        protocol, record = require_lock(study)
    if not seal_path(study).exists():
        if not draft:
            raise UsageProblem(
                "the cohort is not sealed.",
                code="RUN-042",
                where=str(study.folder),
                why="Nothing would show that the holdout stayed the same.",
                action="Run `validation seal` first; --draft runs without.",
            )
        reasons.append("The cohort is not sealed.")
    if limit is not None:
        reasons.append(f"Only the first {limit} cases were measured.")
    reasons += _uncommitted(study)
    check_endpoints(protocol)
    check_comparators(study, protocol)
    where = resolve_device(device)
    started = datetime.now(UTC)
    run = study.runs_folder / f"{study.spec.id}_{started:%Y%m%dT%H%M%SZ}_{secrets.token_hex(4)}"
    run.mkdir(parents=True)
    write_atomically(run / LOCK_FILE, locks.text(record).encode())
    write_atomically(run / "study.yaml", study.path.read_bytes())
    append_event(
        study.ledger_path,
        actor=actor,
        action=COHORT_OPENED,
        object_digest=record.digest,
        reason=purpose,
        details={"run": run.name, "draft": bool(reasons)},
    )
    inputs = {
        "run": run.name,
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "study": study.spec.id,
        "protocol_digest": record.digest,
        "cohort_manifest": read_manifest(seal_path(study))["digest"] if seal_path(study).exists() else None,
        "device": where.type,
        "limit": limit,
        "purpose": purpose,
        "openings": state(study).openings,
        "draft_reasons": reasons,
    }
    environment = describe_environment(
        where, seed=protocol.execution.seed, precision=protocol.execution.precision, folder=study.folder
    )
    write_atomically(run / ENVIRONMENT_FILE, canonical_json(environment))
    append_event(run / EVENTS_FILE, actor=actor, action="run-started", object_digest=record.digest, reason=purpose)
    write_atomically(run / INPUTS_FILE, canonical_json(inputs))  # last: a folder without it was never begun
    return run


def carry_on(study: Study, run: Path, *, actor: str, quiet: bool = False) -> dict[str, Any]:
    """Bring a begun run to its results and return them.

    Raises
    ------
    RunProblem
        If the folder was never begun, or holds results already.
    ValidationProblem
        Whatever refuses the data, the model or the measurements; the run stays as it is and can be resumed.
    """
    inputs = read_inputs(run)
    if (run / RESULTS_FILE).exists():
        raise RunProblem("this run is finished.", code="RUN-043", where=run.name, action="Start a new run.")
    repair_events(run / EVENTS_FILE)
    if len(read_events(run / EVENTS_FILE)) > 1:
        append_event(run / EVENTS_FILE, actor=actor, action="run-resumed")
    protocol = locks.read_lock(run / LOCK_FILE).parsed()
    copy_readings(study, run)
    if has_readings(run):
        _reader_study(run, protocol)  # what is wrong with the readings is said before anything is measured
    device = resolve_device(inputs["device"])
    cohort = open_for_run(study, inputs)
    if inputs["cohort_manifest"] is not None:
        digests = case_files(cohort, read_manifest(seal_path(study)))
        write_atomically(run / "checks" / "case_files.json", canonical_json(digests))
    facts = examine.examine(study, protocol, cohort, run, actor=actor)
    plan = make_plan(protocol)
    spec = study.spec.model
    generator = load_sampler(spec, study.folder) if isinstance(spec, SamplerSpec) else None
    model = None if isinstance(spec, SamplerSpec) else load_model(spec, study.folder, device)
    baseline = load_model(study.spec.baseline, study.folder, device) if study.spec.baseline else None
    evaluated = generator or model
    write_atomically(run / "checks" / "model.json", canonical_json(evaluated.describe() if evaluated else {}))
    if plan.tasks or not plan.set_tasks:
        measured = run_measurements(
            plan,
            cohort,
            require_model(model, study),
            run,
            device=device,
            baseline=baseline,
            case_ids=facts.eligible,
            limit=inputs["limit"],
            progress=None if quiet else show_progress,
        )
    else:
        measured = Measured(case_ids=facts.eligible[: inputs["limit"]], rejections=(), settings=None)
    if plan.set_tasks:
        run_set_metrics(plan, open_sets(study, cohort, measured.case_ids, generator, plan, run), run)
    examine.write_cases(study, protocol, cohort, measured, run)
    append_event(
        run / EVENTS_FILE,
        actor=actor,
        action="measured",
        details={"cases": len(measured.case_ids), "rejected": len(measured.rejections)},
    )
    results = judge_run(run)
    if model is not None and plan.tasks:
        save_case_images(run, cohort, model, examine.cases_to_show(results), plan=plan, device=device)
    append_event(run / EVENTS_FILE, actor=actor, action="judged", reason=results["proposal"]["reason"])
    write_atomically(run / LEDGER_FILE, study.ledger_path.read_bytes())  # as it stands now: what was opened, and why
    write_results(run, results)
    return results


def judge_run(run: Path, protocol: Protocol | None = None, *, finished: str | None = None) -> dict[str, Any]:
    """Return the results of a measured run, under its own protocol or another one. Nothing is written."""
    record = locks.read_lock(run / LOCK_FILE)
    chosen = protocol or record.parsed()
    stored = read_set_measurements(run)
    cases, measurements = read_cases(run), read_measurement_table(run, required=not stored)
    sections = judge(chosen, cases, measurements, stored)
    further = {"fairness": fairness(chosen, cases, measurements), "reader_study": _reader_study(run, chosen)}
    further |= set_sections(stored)
    sections |= {name: section for name, section in further.items() if section}
    return assemble(run, record, chosen, read_inputs(run), sections, finished=finished or utc_now())


def _reader_study(run: Path, protocol: Protocol) -> dict[str, Any]:
    """Return the section of the reader study: what people read, where they did, else what model observers read."""
    if has_readings(run):
        if protocol.reader_study is None:
            raise ProtocolProblem(
                "there are readings, and the protocol plans no reader study.",
                code="RUN-057",
                where="reader_study",
                why="An analysis that was not fixed before is no evidence.",
                action="Take the readings out of study.yaml; `validation readers analyse` explores them.",
            )
        return analyse_readings(run, protocol.reader_study)
    return read_run(run, protocol)


def require_model(model: Model | None, study: Study) -> Model:
    """Return the model of a study whose endpoints are measured case by case.

    Raises
    ------
    UsageProblem
        RUN-053 if the study has a generator of records instead.
    """
    if model is None:
        raise UsageProblem(
            "a generator of records is not run case by case.",
            code="RUN-053",
            where=f"model.kind: {study.spec.model.kind}",
            action="Use endpoints on whole data sets, or name a model of images.",
        )
    return model


def read_inputs(run: Path) -> dict[str, Any]:
    """Return what a run was begun with.

    Raises
    ------
    RunProblem
        If the folder is not a run, or the run was killed before it began.
    """
    path = run / INPUTS_FILE
    if not path.is_file():
        raise RunProblem(
            "this is not the folder of a run.",
            code="RUN-044",
            where=str(run),
            action="Give a folder under runs/; one without inputs.json was never begun and can be deleted.",
        )
    inputs: dict[str, Any] = json.loads(path.read_bytes())
    return inputs


def latest_run(study: Study) -> Path:
    """Return the youngest run of a study.

    Raises
    ------
    RunProblem
        If there is none.
    """
    found = [p for p in study.runs_folder.glob("*") if re.search(r"_\d{8}T\d{6}Z_[0-9a-f]{8}$", p.name)]
    if not found:
        raise RunProblem("the study has no run yet.", code="RUN-045", where=str(study.folder))
    return max(found, key=lambda p: p.name.rsplit("_", 2)[1:])


def study_of(run: Path) -> Path:
    """Return the study folder that a run lies in (``study/runs/<run>``)."""
    return run.resolve().parent.parent


def open_for_run(study: Study, inputs: dict[str, Any]) -> Cohort:
    """Open the cohort and check it against its seal."""
    cohort = open_cohort(study.spec.cohort, study.folder)
    if inputs["cohort_manifest"] is not None:
        manifest = read_manifest(seal_path(study))
        if manifest["digest"] != inputs["cohort_manifest"]:
            raise RunProblem(
                "the cohort was sealed again since this run began.",
                code="RUN-046",
                where=seal_path(study).name,
                why="One run must see one cohort.",
                action="Start a new run.",
            )
        check_seal(cohort, manifest, study.spec.data.files(study.folder) if study.spec.data else {})
    return cohort


def _uncommitted(study: Study) -> list[str]:
    """Return why uncommitted files make the run a draft."""
    import validation

    found = []
    if git_state(study.folder)["dirty"]:
        found.append("Files of the study differ from their last commit.")
    if git_state(Path(validation.__file__).parent)["dirty"]:
        found.append("The program's own files differ from their last commit.")
    return found
