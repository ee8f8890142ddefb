"""One comparison: open the set, measure every model on it with one plan, and keep what judging needs.

A comparison is made on the **development** set, to choose a candidate before the sealed holdout is opened, or on the
**holdout** itself. Every opening of the holdout goes into the ledger of the study like that of a run, with the digest
of ``comparison.yaml``; a comparison on the development set leaves an entry of its own and opens nothing. The folder
``comparisons/<id>_<UTC>_<8 hex>/`` is laid out like that of a run, with the measurements of each model in
``models/<candidate>/<seed>/``; it can be carried on after an interruption.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from validation.cohort.flow import case_flow
from validation.cohort.open import Cohort, open_cohort
from validation.cohort.quality import check_quality, stop_on_failure
from validation.cohort.seal import check_seal, read_manifest, seal
from validation.cohort.spec import CohortSpec
from validation.comparison.compute import measure_compute
from validation.comparison.latent import measure_latent
from validation.comparison.plan import member_plan, set_plan
from validation.comparison.spec import ComparisonSpec, load_comparison, plain
from validation.digest import canonical_json, sha256_json, write_atomically
from validation.errors import DataProblem, ProtocolProblem, RunProblem, UsageProblem
from validation.evidence.events import COHORT_OPENED, EVENTS_FILE, LEDGER_FILE, append_event, read_events, repair_events
from validation.evidence.results import RESULTS_FILE, write_results
from validation.models import Model, load_model
from validation.protocol import lock as locks
from validation.protocol.load import load_yaml_model
from validation.protocol.schema import Protocol
from validation.study.environment import describe_environment, git_state
from validation.study.examine import write_cases
from validation.study.execute import ENVIRONMENT_FILE, INPUTS_FILE, LOCK_FILE
from validation.study.plan import Plan, make_plan, measures_sets
from validation.study.prepare import check_endpoints, require_lock, seal_path, state
from validation.study.progress import show_progress
from validation.study.run import Measured, resolve_device, run_measurements
from validation.study.spec import Study

FOLDER = "comparisons"
COPY = "comparison.yaml"
Set = Literal["development", "holdout"]
Judge = Callable[[Path], dict[str, Any]]


def begin(
    study: Study, path: Path | None, *, on: Set, device: str, purpose: str, actor: str, limit: int | None = None
) -> Path:
    """Create the folder of a comparison and enter it in the ledger; what can be refused is refused before.

    Parameters
    ----------
    study, path
        The study, and its comparison file (``comparison.yaml`` in its folder if ``None``).
    on
        Which cases.
    device, limit
        As for ``validation run``.
    purpose, actor
        For the ledger.

    Raises
    ------
    ProtocolProblem
        If the protocol is unlocked or was edited, or the comparison names what it does not have.
    UsageProblem
        CMP-004 if there is no development set, RUN-042 if the holdout is not sealed.
    """
    protocol, record = require_lock(study)
    comparison = load_comparison(study, path, protocol)
    spec = comparison.spec
    check_endpoints(protocol)
    whole = [e.id for e in protocol.endpoints if measures_sets(e)]
    if whole:
        raise ProtocolProblem(
            f"endpoints on whole data sets cannot be compared here: {', '.join(whole)}.",
            code="CMP-008",
            where=study.protocol_path.name,
            why="Models are compared on images that each of them makes of the same cases.",
            action="Run one study per generator, and put their runs side by side with `validation diff`.",
        )
    if on == "development" and spec.development is None:
        raise UsageProblem(
            "this comparison names no development set.",
            code="CMP-004",
            where=comparison.path.name,
            why="Choosing a candidate on the holdout spends the holdout.",
            action="Name one (`development:`), or open the sealed holdout knowingly with `--on holdout`.",
        )
    if on == "holdout" and not seal_path(study).exists():
        raise UsageProblem("the cohort is not sealed.", code="RUN-042", where=str(study.folder),
                           action="Run `validation seal` first.")  # fmt: skip
    if on == "development":
        _apart(study, spec, protocol)
    where = resolve_device(device)
    started = datetime.now(UTC)
    folder = study.folder / FOLDER / f"{spec.id}_{started:%Y%m%dT%H%M%SZ}_{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    write_atomically(folder / LOCK_FILE, locks.text(record).encode())
    write_atomically(folder / "study.yaml", study.path.read_bytes())
    write_atomically(folder / COPY, comparison.path.read_bytes())
    digest = sha256_json(plain(spec))
    details = {"run": folder.name, "comparison": digest, "set": on, "candidates": [c.id for c in spec.candidates]}
    append_event(
        study.ledger_path,
        actor=actor,
        action=COHORT_OPENED if on == "holdout" else "development-set-compared",
        object_digest=record.digest,
        reason=purpose,
        details=details | {"draft": limit is not None},
    )
    reasons = [] if limit is None else [f"Only the first {limit} cases were measured."]
    if git_state(study.folder)["dirty"]:
        reasons.append("Files of the study differ from their last commit.")
    inputs = {
        "run": folder.name,
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "study": study.spec.id,
        "protocol_digest": record.digest,
        "comparison_digest": digest,
        "set": on,
        "device": where.type,
        "limit": limit,
        "purpose": purpose,
        "openings": state(study).openings,
        "draft_reasons": reasons,
    }
    write_atomically(
        folder / ENVIRONMENT_FILE,
        canonical_json(
            describe_environment(
                where, seed=protocol.execution.seed, precision=protocol.execution.precision, folder=study.folder
            )
        ),
    )
    append_event(folder / EVENTS_FILE, actor=actor, action="comparison-started", object_digest=digest, reason=purpose)
    write_atomically(folder / INPUTS_FILE, canonical_json(inputs))  # last: a folder without it was never begun
    return folder


def carry_on(study: Study, folder: Path, judge: Judge, *, actor: str, quiet: bool = False) -> dict[str, Any]:
    """Bring a begun comparison to its results and return them.

    Parameters
    ----------
    judge
        Makes the results from the folder (:func:`validation.comparison.record.judge_comparison`).

    Raises
    ------
    ValidationProblem
        Whatever refuses data, models or measurements; the folder stays as it is and can be carried on.
    """
    inputs = read_inputs(folder)
    if (folder / RESULTS_FILE).exists():
        raise RunProblem("this comparison is finished.", code="RUN-043", where=folder.name)
    repair_events(folder / EVENTS_FILE)
    if len(read_events(folder / EVENTS_FILE)) > 1:
        append_event(folder / EVENTS_FILE, actor=actor, action="comparison-resumed")
    protocol = locks.read_lock(folder / LOCK_FILE).parsed()
    spec = load_yaml_model(folder / COPY, ComparisonSpec)
    device = resolve_device(inputs["device"])
    cohort = _open(study, spec, inputs, folder)
    eligible = _examine(protocol, cohort, folder)
    plans = {True: set_plan(make_plan(protocol), spec), False: make_plan(protocol)}
    measured: Measured | None = None
    models: dict[str, Model] = {}
    for candidate in spec.candidates:
        for k, checkpoint in enumerate(candidate.checkpoints):
            model = load_model(checkpoint.model, study.folder, device)
            place = model_folder(folder, candidate.id, checkpoint.seed)
            place.mkdir(parents=True, exist_ok=True)
            write_atomically(place / "model.json", canonical_json(model.describe()))
            baseline = load_model(study.spec.baseline, study.folder, device) if study.spec.baseline else None
            done = run_measurements(
                plans[k == 0], cohort, model, place, device=device, baseline=baseline, case_ids=eligible,
                limit=inputs["limit"], progress=None if quiet else show_progress,
            )  # fmt: skip
            _keep_cases(study, protocol, cohort, done, place, (folder / "checks" / "flow.json").read_bytes())
            if k == 0:
                measured, models[candidate.id] = measured or done, model
        _event(folder, actor, "measured", candidate.id)
    if spec.members is not None:
        _measure_members(study, protocol, spec, models, folder, device, quiet=quiet)
        _event(folder, actor, "members-measured", "all")
    if measured is None:
        raise RunProblem("nothing was measured.", code="RUN-005", where=folder.name)
    chosen = [case for case in measured.case_ids if "input" in cohort.roles]
    _once(
        folder,
        "compute",
        actor,
        lambda: measure_compute(models, cohort, chosen, spec.compute, device, protocol.execution.precision),
    )
    _once(folder, "latent", actor, lambda: measure_latent(spec, models, cohort, chosen, study.folder, device))
    results = judge(folder)
    append_event(folder / EVENTS_FILE, actor=actor, action="judged", reason=results["proposal"]["reason"])
    write_atomically(folder / LEDGER_FILE, study.ledger_path.read_bytes())
    write_results(folder, results)
    return results


def read_inputs(folder: Path) -> dict[str, Any]:
    """Return what a comparison was begun with.

    Raises
    ------
    RunProblem
        CMP-005 if the folder is no comparison.
    """
    path = folder / INPUTS_FILE
    if not (path.is_file() and (folder / COPY).is_file()):
        raise RunProblem("this is not the folder of a comparison.", code="CMP-005", where=str(folder),
                         action="Give a folder under comparisons/.")  # fmt: skip
    inputs: dict[str, Any] = json.loads(path.read_bytes())
    return inputs


def model_folder(folder: Path, candidate: str, seed: int) -> Path:
    """Return where the measurements of one checkpoint lie."""
    return folder / "models" / candidate / f"seed{seed}"


def _keep_cases(study: Study, protocol: Protocol, cohort: Cohort, done: Measured, place: Path, flow: bytes) -> None:
    """Write the flow and the table of the cases of one checkpoint beside its measurements."""
    (place / "checks").mkdir(exist_ok=True)
    write_atomically(place / "checks" / "flow.json", flow)
    write_cases(study, protocol, cohort, done, place)


def _measure_members(
    study: Study, protocol: Protocol, spec: ComparisonSpec, models: dict[str, Model], folder: Path,
    device: torch.device, *, quiet: bool,
) -> None:  # fmt: skip
    """Measure the error of every model on cases that it was trained on, and the features of their references."""
    if spec.members is None:
        return
    cohort = open_cohort(spec.members, study.folder)
    plan: Plan = member_plan(make_plan(protocol), spec)
    for candidate in spec.candidates:
        place = folder / "members" / candidate.id
        place.mkdir(parents=True, exist_ok=True)
        done = run_measurements(
            plan, cohort, models[candidate.id], place, device=device, progress=None if quiet else show_progress
        )
        _keep_cases(study, protocol, cohort, done, place, canonical_json(case_flow(cohort, None).to_dict()))


def _examine(protocol: Protocol, cohort: Cohort, folder: Path) -> list[str]:
    """Check the data quality, write the flow of cases, and return the eligible ones."""
    wanted = protocol.population.cluster
    if wanted not in cohort.cases.columns:
        raise DataProblem(f"the case table has no column {wanted!r}.", code="RUN-047", where="population.cluster")
    quality = check_quality(cohort.cases, protocol.data_quality)
    write_atomically(folder / "checks" / "data_quality.json", canonical_json(quality))
    stop_on_failure(quality)
    flow = case_flow(cohort, protocol.population.eligibility)
    write_atomically(folder / "checks" / "flow.json", canonical_json(flow.to_dict()))
    return list(flow.eligible)


def _open(study: Study, spec: ComparisonSpec, inputs: dict[str, Any], folder: Path) -> Cohort:
    """Open the set, checked against its seal; the development set is sealed into the folder on first use."""
    if inputs["set"] == "holdout":
        cohort = open_cohort(study.spec.cohort, study.folder)
        manifest = read_manifest(seal_path(study))
        check_seal(cohort, manifest)
        write_atomically(folder / "checks" / "cohort.json", canonical_json({"manifest_sha256": manifest["digest"]}))
        return cohort
    if spec.development is None:
        raise RunProblem("the comparison names no development set.", code="CMP-004", where=folder.name)
    cohort = open_cohort(spec.development, study.folder)
    path = folder / "development.manifest.json"
    if path.exists():
        check_seal(cohort, read_manifest(path))
    else:
        seal(cohort, path)
    write_atomically(
        folder / "checks" / "cohort.json", canonical_json({"manifest_sha256": read_manifest(path)["digest"]})
    )
    return cohort


def _apart(study: Study, spec: ComparisonSpec, protocol: Protocol) -> None:
    """Refuse a development set that shares a patient with the holdout. Only the tables are read, no image.

    Raises
    ------
    DataProblem
        CMP-006.
    """
    if spec.development is None:
        return
    patients = [_patients(study, cohort, protocol) for cohort in (study.spec.cohort, spec.development)]
    shared = len(patients[0] & patients[1])
    if shared:
        raise DataProblem(
            f"{shared} patients of the development set are also in the sealed holdout.",
            code="CMP-006",
            where=spec.development.table,
            why="A model chosen on patients of the holdout would be judged on them again.",
            action="Take these patients out of the development set.",
        )


def _patients(study: Study, spec: CohortSpec, protocol: Protocol) -> set[str]:
    from validation.cohort.table import case_table

    table = case_table(spec, study.folder / spec.table)
    if protocol.population.cluster not in table.columns:
        raise ProtocolProblem(
            f"the case table has no column {protocol.population.cluster!r}.", code="RUN-047", where=spec.table
        )
    return set(table[protocol.population.cluster].astype(str))


def _once(folder: Path, name: str, actor: str, work: Callable[[], dict[str, Any]]) -> None:
    """Take readings into ``checks/`` unless they were taken before an interruption."""
    path = folder / "checks" / f"{name}.json"
    if not path.exists():
        write_atomically(path, canonical_json(work()))
        _event(folder, actor, f"{name}-measured", "all")


def _event(folder: Path, actor: str, action: str, what: str) -> None:
    append_event(folder / EVENTS_FILE, actor=actor, action=action, details={"candidate": what})
