"""What a model made of the cases of a run, as DICOM objects derived from their source images.

The objects carry the identifiers of their source, so they are written to a folder of their own, never into the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from validation.cohort.open import Cohort
from validation.dicom.locators import locator_files
from validation.dicom.measurement_report import Finding, Measure, write_measurements
from validation.dicom.segmentation import write_segmentation
from validation.dicom.sources import Derivation
from validation.dicom.structure_set import write_structure_set
from validation.dicom.write import write_series
from validation.errors import DataProblem, UsageProblem
from validation.evidence.events import COHORT_OPENED, append_event
from validation.evidence.results import read_results
from validation.models import load_model
from validation.models.sampler_spec import SamplerSpec
from validation.protocol import lock as locks
from validation.study.environment import deterministic
from validation.study.execute import open_for_run, read_inputs, study_of
from validation.study.measure import Loaded, Measurer, check_case
from validation.study.plan import make_plan
from validation.study.run import resolve_device
from validation.study.spec import load_study

LOCK_FILE = "protocol.lock.yaml"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass
class Exported:
    """What an export wrote: case to files, and why cases were left out."""

    written: dict[str, list[Path]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def export_run(
    run: Path,
    folder: Path,
    *,
    actor: str,
    cases: Sequence[str] = (),
    manufacturer: str = "",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Exported:
    """Write the outputs of a run (draw 0, made anew with its seeds) as DICOM objects, one folder per case.

    A model that answers with images gives a derived series, marked as synthetic; one that answers with label maps a
    segmentation, a structure set and a report of volumes.

    Parameters
    ----------
    run
        A finished run. The cohort is checked against its seal, and the opening is entered in the ledger.
    folder
        New or empty folder outside the run.
    cases
        Cases to export; all that were analysed if empty.
    manufacturer
        Who makes the model, as the objects state it.

    Raises
    ------
    UsageProblem
        PACS-040 if the folder lies in the run or is not empty, or a case is not of the run.
    DataProblem
        PACS-041 if no case could be exported.
    """
    run, folder = run.resolve(), folder.resolve()
    if folder.is_relative_to(run) or (folder.exists() and any(folder.iterdir())):
        raise UsageProblem(
            "objects are exported into a new folder outside the run.",
            code="PACS-040",
            where=str(folder),
            why="They identify patients as their source does, which the record must not.",
            action="Name another folder with --to.",
        )
    inputs, results = read_inputs(run), read_results(run)
    study = load_study(study_of(run))
    protocol = locks.read_lock(run / LOCK_FILE).parsed()
    device = resolve_device(inputs["device"])
    append_event(
        study.ledger_path,
        actor=actor,
        action=COHORT_OPENED,
        object_digest=inputs["protocol_digest"],
        reason="export of outputs as DICOM",
        details={"run": run.name, "draft": bool(inputs["draft_reasons"])},
    )
    cohort = open_for_run(study, inputs)
    spec = study.spec.model
    if isinstance(spec, SamplerSpec) or not spec.on_grid:
        raise UsageProblem(
            "the model answers with neither images nor label maps.",
            code="PACS-040",
            where="model.answer of study.yaml",
            action="Only these are written as DICOM objects.",
        )
    structures = dict(spec.structures)
    model = load_model(spec, study.folder, device)
    if model.sha256 != results["model"]["sha256"]:
        raise UsageProblem(
            "the model of the study is not the one of the run.",
            code="PACS-040",
            where=run.name,
            why="The objects would show what another model made.",
            action="Restore the model file, or export another run.",
        )
    chosen = list(cases) or [str(case) for case in cohort.cases.index]
    unknown = sorted(set(chosen) - {str(case) for case in cohort.cases.index})
    if unknown:
        raise UsageProblem(f"the run has no case {unknown[0]!r}.", code="PACS-040", where="--case")
    facts = results["model"]
    how = Derivation(
        description=f"{facts['name']} {facts['version']}: {results['claim']['title']}",
        digest=str(facts["sha256"] or results["protocol"]["digest"]),
        manufacturer=manufacturer or "not stated",
        model_name=str(facts["name"])[:64],
        software_version=str(facts["version"])[:64],
        synthetic=spec.answer == "image",
        series_description=f"AI {facts['name']}"[:64],
        made=datetime.fromisoformat(str(results["run"]["finished"])),
    )
    measurer = Measurer(make_plan(protocol), model, None, device)
    done = Exported()
    with deterministic(device):
        for number, case_id in enumerate(chosen, 1):
            name = case_id if _SAFE.fullmatch(case_id) else f"case-{number:05d}"
            try:
                done.written[case_id] = _export_case(measurer, cohort, case_id, folder / name, how, structures)
            except DataProblem as problem:
                done.left_out[case_id] = problem.what
            progress(number, len(chosen))
    if not done.written:
        raise DataProblem(
            f"no case could be exported; the first because {next(iter(done.left_out.values()))}",
            code="PACS-041",
            where=run.name,
            action="Only cases whose input is a DICOM series of single-frame images can be exported.",
        )
    return done


def _export_case(
    measurer: Measurer, cohort: Cohort, case_id: str, folder: Path, how: Derivation, structures: Mapping[str, int]
) -> list[Path]:
    locator = cohort.locator(case_id, "input") or ""
    if locator.lower().endswith((".npy", ".nii", ".nii.gz")) or ".npz:" in locator.lower():
        raise DataProblem("its input is no DICOM series.", code="PACS-041", where=case_id)
    source = locator_files(locator, cohort.folder, cohort.index)
    row: dict[str, Any] = {str(key): value for key, value in cohort.cases.loc[case_id].items()}
    loaded = Loaded(case=cohort.load(case_id), row=row, tasks=frozenset())
    check_case(loaded, frozenset({"input"}))
    output = measurer.output_of(loaded)
    if not structures:
        return write_series(output, source, folder / "series", how)
    masks = {name: output == label for name, label in structures.items()}
    segmentation = write_segmentation(masks, source, folder / "segmentation.dcm", how)
    contours = write_structure_set(masks, source, folder / "structures.dcm", how)
    spacing = loaded.case.spacing_mm
    volumes = (
        [
            Finding(label=label, segment=k, measures=(Measure.volume(float(mask.sum() * np.prod(spacing))),))
            for k, (label, mask) in enumerate(masks.items(), 1)
        ]
        if len(spacing) == 3 and loaded.case.regular
        else []
    )
    if not volumes:
        return [segmentation, contours]
    return [segmentation, contours, write_measurements(volumes, source, folder / "volumes.dcm", how, segmentation)]
