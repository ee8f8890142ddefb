"""The run engine: cases in, shards of measurements out, the same bytes however often it was interrupted."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from validation.cohort.case import Case
from validation.errors import DataProblem, ModelProblem, RunProblem, UsageProblem
from validation.models import Model
from validation.study.answers import LESIONS, SOURCE_TEXT
from validation.study.batches import batch_size, group, memory_limit, voxels_that_fit
from validation.study.checkpoint import Settings, load_settings, save_settings
from validation.study.environment import deterministic
from validation.study.measure import Loaded, Measurer, check_case
from validation.study.plan import Plan
from validation.study.progress import Progress, Silent
from validation.study.reader import read_ahead
from validation.study.shards import Rejection, Row, own_shard, read_rejections, shard_path, write_shard

CASES_PER_SHARD = {"cpu": 16, "cuda": 64}
PROBES = 3


class Cases(Protocol):
    """What the engine needs of a cohort; :class:`validation.cohort.open.Cohort` has it."""

    cases: pd.DataFrame

    def load(self, case_id: str) -> Case:
        """Read one case."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a finished measurement came to."""

    case_ids: tuple[str, ...]
    rejections: tuple[Rejection, ...]
    settings: Settings | None


def resolve_device(choice: str) -> torch.device:
    """Return the torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    UsageProblem
        If the choice is none of these, or there is no such GPU (RUN-004).
    """
    if choice == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name, _, number = choice.partition(":")
    if name not in ("cpu", "cuda") or (number and not (name == "cuda" and number.isdigit())):
        raise UsageProblem(f"there is no kind of device {choice!r}.", code="RUN-004", action="Use auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageProblem(
            "there is no CUDA device here.",
            code="RUN-004",
            action="Use --device cpu, or check the driver with `nvidia-smi`.",
        )
    if number and int(number) >= torch.cuda.device_count():
        raise UsageProblem(f"there are {torch.cuda.device_count()} CUDA devices, counted from 0.", code="RUN-004")
    return torch.device(choice)


def run_measurements(
    plan: Plan,
    cohort: Cases,
    model: Model,
    run_folder: Path,
    *,
    device: torch.device,
    baseline: Model | None = None,
    case_ids: Sequence[str] | None = None,
    limit: int | None = None,
    cases_per_shard: int | None = None,
    batch_voxels: int | None = None,
    memory_limit_bytes: int | None = None,
    progress: Callable[[int, int], contextlib.AbstractContextManager[Progress]] | None = None,
) -> Measured:
    """Measure a cohort into ``measurements/part-*.parquet`` of a run folder, or go on where an earlier call stopped.

    Cases are taken in order of case id and cut into shards of fixed length. A shard is written whole or not at all, and
    batches never reach across shards. How many voxels make a batch is found at the start, recorded in
    ``measurements/settings.json`` and used again on resuming, so that a run that was killed gives the same bytes as one
    that was not. Cases that cannot be read or measured are recorded with their reason and leave rows without values.

    Parameters
    ----------
    plan
        From :func:`validation.study.plan.make_plan`.
    cohort, model, baseline
        What is measured. The baseline arm is a model, or an image of the case.
    run_folder
        Existing folder of the run.
    device
        Where metrics are computed; the model was loaded there.
    case_ids
        Eligible cases; all of the cohort if omitted.
    limit
        Only the first so many cases (makes the run a draft).
    cases_per_shard, batch_voxels, memory_limit_bytes
        Chosen automatically if omitted.
    progress
        Called with the total and the number already done; gives an object to report finished cases to.

    Raises
    ------
    RunProblem
        If there is nothing to measure (RUN-005), every case was rejected (RUN-006), or the run folder was begun with
        another plan, model, cohort or kind of device (RUN-007).
    IntegrityProblem
        If an existing shard is damaged or foreign (RUN-010, RUN-011).
    ValidationProblem
        If the model fails on each of the first cases: its problem, since it is then likely the model's.
    """
    measurer = Measurer(plan, model, baseline, device)
    chosen = sorted(cohort.cases.index if case_ids is None else case_ids)
    table = cohort.cases.loc[chosen]
    applies = plan.applies(table)
    tasks = {
        str(i): frozenset(p for p, yes in enumerate(row) if yes)
        for i, row in zip(chosen, applies.to_numpy(), strict=True)
    }
    wanted = [case_id for case_id in map(str, chosen) if tasks[case_id]][:limit]
    if not wanted:
        raise RunProblem(
            "there is no case to measure.",
            code="RUN-005",
            why="No endpoint applies to any eligible case.",
            action="Check `population.eligibility` and the `cases` of the endpoints.",
        )
    rows_of = _TableRows(table)
    _check_columns(table, measurer.roles(frozenset().union(*(tasks[case_id] for case_id in wanted))))

    def load(case_id: str) -> Loaded:
        loaded = Loaded(case=cohort.load(case_id), row=rows_of(case_id), tasks=tasks[case_id])
        check_case(loaded, measurer.roles(loaded.tasks))
        return loaded

    with deterministic(device):
        begun = Settings(
            plan=plan.digest(),
            models={arm: found.sha256 or "" for arm, found in measurer.models.items()},
            cases=tuple(wanted),
            device_type=device.type,
            cases_per_shard=cases_per_shard or CASES_PER_SHARD.get(device.type, 16),
            batch_voxels=(),
            threads=torch.get_num_threads(),
        )
        settings = load_settings(run_folder, begun)
        torch.set_num_threads((settings or begun).threads)  # `deterministic` puts the number back afterwards
        if settings is None:
            limit_bytes = memory_limit_bytes or memory_limit(device)
            voxels = batch_voxels or _probe(measurer, load, wanted, device, limit_bytes)
            settings = begun.with_batch_voxels(0, voxels)
            save_settings(run_folder, settings)
        shards = [wanted[i : i + settings.cases_per_shard] for i in range(0, len(wanted), settings.cases_per_shard)]
        missing = [
            n
            for n, ids in enumerate(shards)
            if not own_shard(shard_path(run_folder, n), plan_digest=settings.plan, case_ids=ids)
        ]
        done = len(wanted) - sum(len(shards[n]) for n in missing)
        with progress(len(wanted), done) if progress else contextlib.nullcontext(Silent()) as shown:
            for number in missing:
                settings = _measure_shard(measurer, load, shards[number], number, settings, run_folder, tasks)
                shown.advance(len(shards[number]))
    rejections = read_rejections(run_folder)
    if len(rejections) == len(wanted):
        raise RunProblem(
            f"all {len(wanted)} cases were rejected; the first because {rejections[0].reason}",
            code="RUN-006",
            why="Without measurements there is nothing to judge.",
        )
    return Measured(case_ids=tuple(wanted), rejections=tuple(rejections), settings=settings)


def _check_columns(table: pd.DataFrame, roles: frozenset[str]) -> None:
    """Refuse a case table that lacks a whole column of what the tasks need (DataProblem COH-008)."""
    columns = [str(column) for column in table.columns]
    stands_for = {LESIONS: [LESIONS, f"mask.{LESIONS}"], SOURCE_TEXT: [c for c in columns if c.startswith(SOURCE_TEXT)]}
    for role in sorted(roles):
        if not set(stands_for.get(role, [role])) & set(columns):
            raise DataProblem(
                f"the case table has no column `{role}`.",
                code="COH-008",
                where="cohort.table",
                why="What the endpoints and the model need of every case is not there.",
                action="Add the column, with paths relative to the cohort folder, or rename yours under `columns`.",
            )


class _TableRows:
    """Rows of the case table as mappings, made when they are asked for."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table

    def __call__(self, case_id: str) -> Mapping[str, Any]:
        return {str(key): value for key, value in self._table.loc[case_id].items()}


def _measure_shard(
    measurer: Measurer,
    load: Callable[[str], Loaded],
    case_ids: Sequence[str],
    number: int,
    settings: Settings,
    run_folder: Path,
    tasks: Mapping[str, frozenset[int]],
) -> Settings:
    """Measure and write one shard; when memory runs out, halve the batches from here on and say so on disk first."""
    while True:
        voxels = settings.voxels_at(number)
        try:
            rows, rejections = _rows(measurer, load, case_ids, tasks, voxels)
            break
        except torch.OutOfMemoryError:
            if measurer.device.type == "cuda":
                torch.cuda.empty_cache()
            settings = settings.with_batch_voxels(number, voxels // 2)
            save_settings(run_folder, settings)
    order = {case_id: i for i, case_id in enumerate(case_ids)}
    rows.sort(
        key=lambda row: (order[row.case_id], row.metric, row.arm, row.draw)
    )  # stable: components keep their order
    write_shard(
        shard_path(run_folder, number), rows, plan_digest=settings.plan, case_ids=case_ids, rejections=rejections
    )
    return settings


def _rows(
    measurer: Measurer,
    load: Callable[[str], Loaded],
    case_ids: Sequence[str],
    tasks: Mapping[str, frozenset[int]],
    voxels: int,
) -> tuple[list[Row], list[Rejection]]:
    rows: list[Row] = []
    rejections: list[Rejection] = []
    device_type = measurer.device.type

    def readable() -> Iterator[Loaded]:
        for case_id, outcome in read_ahead(load, case_ids):
            if isinstance(outcome, DataProblem):
                rejections.append(Rejection(case_id=case_id, reason=outcome.what, code=outcome.code))
                rows.extend(measurer.rejected_rows(case_id, tasks[case_id], outcome.what))
            else:
                yield outcome

    for batch in group(readable(), shape=_shape, size=lambda shape: batch_size(shape, voxels, device_type)):
        more_rows, more_rejections = measurer.measure(batch)
        rows += more_rows
        rejections += more_rejections
        batch.clear()  # its pixels are not needed while the next batch is gathered
    return rows, sorted(rejections, key=lambda rejection: rejection.case_id)


def _shape(loaded: Loaded) -> tuple[int, ...]:
    return loaded.case.shape


def _probe(
    measurer: Measurer, load: Callable[[str], Loaded], case_ids: Sequence[str], device: torch.device, limit: int
) -> int:
    """Return the voxels of a batch, from the memory that the first measurable case takes."""
    failures: list[ModelProblem] = []
    first = ""
    for case_id in case_ids:
        try:
            loaded = load(case_id)
        except DataProblem as problem:
            first = first or problem.what
            continue
        rejections = measurer.measure([loaded])[1]
        if not rejections:
            voxels = math.prod(loaded.case.shape)
            return voxels_that_fit(partial(measurer.measure, [loaded]), voxels, device, limit)
        failures.append(ModelProblem(rejections[0].reason, code=rejections[0].code, where=case_id))
        if len(failures) == PROBES:
            break
    if failures:
        raise failures[0]
    raise RunProblem(
        f"all {len(case_ids)} cases were rejected; the first because {first}",
        code="RUN-006",
        why="Without measurements there is nothing to judge.",
    )
