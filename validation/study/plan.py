"""What a protocol asks to be measured: every metric, on every arm, on every case, once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

import validation.metrics
from validation.digest import sha256_json
from validation.errors import ProtocolProblem
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.expressions import select
from validation.protocol.schema import Protocol
from validation.registry import Kind, Metric, get_metric
from validation.study.named import labeller_of, structure_of

_REQUIRED = inspect.Parameter.empty
ARMS = ("output", "input", "reference", "baseline")
ALPHAS = (0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001, 0.0001)
"""One-sided levels at which every metric of whole data sets is stored, so that it can be judged again at them."""
Reads = Literal["image", "scores", "marks", "text", "row"]
_READS: dict[frozenset[str], Reads] = {
    frozenset({"image"}): "image",
    frozenset({"output", "reference"}): "image",
    frozenset({"output", "input"}): "image",
    frozenset({"output", "readers"}): "image",
    frozenset({"scores"}): "scores",
    frozenset({"marks", "lesions"}): "marks",
    frozenset({"draft"}): "text",
    frozenset({"draft", "signed"}): "text",
    frozenset({"draft", "source"}): "text",
    frozenset({"row"}): "row",
    frozenset({"signed", "row"}): "row",
}
"""What the data roles of a metric are measured on."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One metric on one arm.

    Parameters
    ----------
    key
        ``MetricChoice.key()``, as written into measurements.
    metric, parameters
        The registered metric and its keyword arguments.
    masks
        Mask role of the metric -> name of the mask of the case. In a protocol the role ``mask`` is called ``region``,
        and a role such as ``signal_mask`` is called ``signal``.
    arm
        The image that is measured; full-reference metrics compare it with the reference.
    cases
        Expressions over the case table; a case is measured if it satisfies any of them. Empty: every case.
    reads
        What of the arm is measured: ``image``, ``scores``, ``marks``, ``text`` or the ``row`` of the case table.
    structure
        For segmentations, the structure of the model's label map that is measured.
    against
        The mask of the case that the structure is compared with.
    """

    key: str
    metric: Metric
    parameters: Mapping[str, Any]
    masks: Mapping[str, str]
    arm: str
    cases: frozenset[str] = frozenset()
    reads: Reads = "image"
    structure: str = ""
    against: str = ""

    @property
    def full_reference(self) -> bool:
        """Whether the metric compares the arm with the reference."""
        return "reference" in self.metric.roles and not self.structure

    @property
    def against_input(self) -> bool:
        """Whether the metric compares the arm with the input."""
        return "input" in self.metric.roles


@dataclass(frozen=True, kw_only=True)
class SetTask:
    """One metric of whole data sets.

    Parameters
    ----------
    key
        ``Endpoint.set_key()``.
    metric, parameters
        The registered metric and its keyword arguments.
    sets
        Role of the metric -> data set, where the endpoint names one.
    picks
        Which numbers of the metric endpoints are about.
    alphas
        One-sided levels at which intervals are stored, falling: those of the endpoints, and what multiplicity may need.
    own
        The alpha of the first endpoint that names the metric; every number is stored at it, others only where picked.
    """

    key: str
    metric: Metric
    parameters: Mapping[str, Any]
    sets: Mapping[str, str]
    picks: frozenset[tuple[str, str, str]]
    alphas: tuple[float, ...]
    own: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The tasks of a run and how the model is run, all from the protocol."""

    tasks: tuple[Task, ...]
    draws: int
    seed: int
    precision: Literal["fp32", "bf16", "fp16"]
    set_tasks: tuple[SetTask, ...] = ()

    @property
    def arms(self) -> frozenset[str]:
        """Every arm whose image is needed, the reference of full-reference metrics included."""
        needed = {task.arm for task in self.tasks}
        return frozenset(needed | ({"reference"} if any(task.full_reference for task in self.tasks) else set()))

    def digest(self) -> str:
        """Return the SHA-256 of the plan, which shards carry so that those of another plan are never mixed in."""
        content: dict[str, Any] = {
            "tasks": [[t.key, t.metric.name, t.arm, sorted(t.cases)] for t in self.tasks],
            "draws": self.draws,
            "seed": str(self.seed),
            "precision": self.precision,
        }
        if self.set_tasks:
            content["sets"] = [[t.key, sorted(t.picks), list(t.alphas)] for t in self.set_tasks]
        return sha256_json(content)

    def applies(self, cases: pd.DataFrame) -> pd.DataFrame:
        """Return a boolean frame: one row per case, one column per task (by position)."""
        chosen = {
            text: select(cases, text, where="endpoints.cases")
            for text in sorted({t for task in self.tasks for t in task.cases})
        }
        columns = {}
        for position, task in enumerate(self.tasks):
            mask = pd.Series(not task.cases, index=cases.index, dtype=bool)
            for text in task.cases:
                mask |= chosen[text]
            columns[position] = mask
        return pd.DataFrame(columns, index=cases.index)


def make_plan(protocol: Protocol) -> Plan:
    """Return the distinct (metric, arm) pairs that the endpoints of a protocol need.

    A metric of one image is measured on the output, and on the comparator where there is one. A full-reference metric
    compares the output, and the comparator, with the reference. Two endpoints that share a metric on different cases
    share its measurements.

    Raises
    ------
    UsageProblem
        If a metric is not registered (MET-001).
    ProtocolProblem
        If an endpoint cannot be measured case by case (RUN-001), or names parameters that its metric lacks (RUN-002).
    """
    validation.metrics.load()
    tasks: dict[tuple[str, str], Task] = {}
    for endpoint in protocol.endpoints:
        if measures_sets(endpoint):
            continue
        for task in _tasks(endpoint, protocol):
            known = tasks.get((task.key, task.arm))
            if known is None:
                tasks[task.key, task.arm] = task
            else:  # an endpoint on every case covers the restricted ones
                cases = known.cases | task.cases if known.cases and task.cases else frozenset[str]()
                tasks[task.key, task.arm] = replace(known, cases=cases)
    ordered = sorted(tasks.values(), key=lambda task: (task.key, ARMS.index(task.arm)))
    execution = protocol.execution
    return Plan(
        tasks=tuple(ordered),
        draws=execution.draws,
        seed=execution.seed,
        precision=execution.precision,
        set_tasks=_set_tasks(protocol),
    )


def measures_sets(endpoint: Endpoint) -> bool:
    """Return whether the metric of an endpoint is one of whole data sets (call ``validation.metrics.load()`` first)."""
    return get_metric(endpoint.metric.name).kind is Kind.ESTIMATE


def _set_tasks(protocol: Protocol) -> tuple[SetTask, ...]:
    """Return the distinct metrics of whole data sets; endpoints that share one share its measurement."""
    tasks: dict[str, SetTask] = {}
    confirmatory = sum(endpoint.confirmatory for endpoint in protocol.endpoints)
    for endpoint in protocol.endpoints:
        if not measures_sets(endpoint):
            continue
        metric = get_metric(endpoint.metric.name)
        parameters = endpoint.metric.parameters()
        _check_parameters(endpoint, metric, parameters, provided={"level", "seed"})
        roles = {*metric.roles, *metric.optional_roles}
        unknown = sorted(set(endpoint.sets) - roles)
        if unknown:
            raise ProtocolProblem(
                f"the metric {metric.name!r} has no role {', '.join(unknown)}.",
                code="RUN-002",
                where=f"endpoints.{endpoint.id}.sets",
                action=f"Its roles are {', '.join(sorted(roles))}.",
            )
        alpha = endpoint.hypothesis.alpha
        alphas = {*ALPHAS, *(alpha / k for k in range(1, confirmatory + 1)), alpha}
        pick = (endpoint.pick.finding, endpoint.pick.component, endpoint.pick.subgroup)
        known = tasks.get(endpoint.set_key())
        tasks[endpoint.set_key()] = SetTask(
            key=endpoint.set_key(),
            metric=metric,
            parameters=parameters,
            sets=endpoint.sets,
            picks=frozenset({pick}) | (known.picks if known else frozenset()),
            alphas=tuple(sorted(alphas | set(known.alphas if known else ()), reverse=True)),
            own=known.own if known else alpha,
        )
    return tuple(tasks[key] for key in sorted(tasks))


def _tasks(endpoint: Endpoint, protocol: Protocol) -> list[Task]:
    metric = get_metric(endpoint.metric.name)
    reads = _READS.get(frozenset(role for role in metric.roles if not _is_mask(role)))
    if metric.kind is Kind.ESTIMATE or reads is None:
        raise ProtocolProblem(
            f"the metric {metric.name!r} is not measured case by case.",
            code="RUN-001",
            where=f"endpoints.{endpoint.id}",
            action="`validation list metrics` shows which metrics are measured case by case.",
        )
    masks, parameters = _masks(endpoint, metric)
    structure, against = structure_of(endpoint, metric, parameters)
    if "labeller" in metric.parameters() and "labeller" in parameters:
        parameters["labeller"] = labeller_of(protocol, parameters["labeller"], where=f"endpoints.{endpoint.id}.metric")
    _check_parameters(endpoint, metric, parameters, masks=masks, structure=structure)
    arms = ["output"] + ([endpoint.comparator] if endpoint.comparator != "none" else [])
    other = endpoint.comparator
    if other in {"reference", "input"} & set(metric.roles):
        raise ProtocolProblem(
            f"the metric {metric.name!r} already compares with the {other}; its comparator cannot be the {other}.",
            code="RUN-002",
            where=f"endpoints.{endpoint.id}.comparator",
            action="Use another comparator, or `none`.",
        )
    if (reads != "image" or structure) and endpoint.comparator not in ("none", "baseline"):
        raise ProtocolProblem(
            f"the metric {metric.name!r} reads an answer that only models give; its comparator cannot be the "
            f"{endpoint.comparator}.",
            code="RUN-002",
            where=f"endpoints.{endpoint.id}.comparator",
            action="Use comparator `baseline` (a second model) or `none`.",
        )
    cases = frozenset({endpoint.cases}) if endpoint.cases else frozenset[str]()
    shared: dict[str, Any] = {"reads": reads, "structure": structure, "against": against, "cases": cases}
    return [
        Task(key=endpoint.metric.key(), metric=metric, parameters=parameters, masks=masks, arm=arm, **shared)
        for arm in arms
    ]


def _check_parameters(
    endpoint: Endpoint,
    metric: Metric,
    parameters: Mapping[str, Any],
    *,
    masks: Mapping[str, str] | None = None,
    structure: str = "",
    provided: frozenset[str] | set[str] = frozenset({"spacing_mm"}),
) -> None:
    """Refuse (RUN-002) parameters that the metric lacks, or that the engine provides, and missing ones."""
    known = metric.parameters()
    given = masks or {}
    unknown = sorted(set(parameters) - set(known) | (provided & set(parameters)))
    missing = sorted(n for n, default in known.items() if default is _REQUIRED and n not in {*parameters, *provided})
    missing += [in_protocol(role) for role in metric.roles if _is_mask(role) and role not in given]
    missing += ["structure"] if "readers" in metric.roles and not structure else []
    if unknown or missing:
        detail = [f"it has no parameter {', '.join(unknown)}"] if unknown else []
        detail += [f"it needs {', '.join(missing)}"] if missing else []
        every = [n for n in known if n not in provided] + [in_protocol(r) for r in mask_roles(metric)]
        every += ["structure", "against"] if metric.family == "segmentation" else []
        raise ProtocolProblem(
            f"the metric {metric.name!r} is not called rightly: {'; '.join(detail)}.",
            code="RUN-002",
            where=f"endpoints.{endpoint.id}.metric",
            action=f"It takes {', '.join(every) or 'no parameters'}.",
        )


def _masks(endpoint: Endpoint, metric: Metric) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the masks that an endpoint names, by role, and its remaining parameters."""
    parameters = endpoint.metric.parameters()
    if endpoint.metric.region:
        parameters["region"] = endpoint.metric.region
    masks: dict[str, str] = {}
    for role in mask_roles(metric):
        name = parameters.pop(in_protocol(role), None)
        if name is not None and not isinstance(name, str):
            raise ProtocolProblem(
                f"`{in_protocol(role)}` is the name of a mask of the case.",
                code="RUN-002",
                where=f"endpoints.{endpoint.id}.metric",
            )
        if name is not None:
            masks[role] = name
    return masks, parameters


def mask_roles(metric: Metric) -> list[str]:
    """Return the roles of a metric that are masks of the case."""
    return [role for role in (*metric.roles, *metric.optional_roles) if _is_mask(role)]


def _is_mask(role: str) -> bool:
    return role == "mask" or role.endswith("_mask")


def in_protocol(role: str) -> str:
    """Return what a mask role is called in a protocol."""
    return "region" if role == "mask" else role.removesuffix("_mask")
