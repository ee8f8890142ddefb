"""What is measured besides the protocol's endpoints: features of every image, and errors on training cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from validation import metrics
from validation.comparison.spec import ComparisonSpec
from validation.protocol.endpoint_schema import MetricChoice
from validation.registry import get_metric
from validation.study.plan import Plan, Task

ERROR = MetricChoice(name="rmse")


def feature_choice(spec: ComparisonSpec) -> MetricChoice | None:
    """Return the features of the comparison as a metric with its parameters, ``None`` if it has none."""
    if spec.sets is None:
        return None
    asked: dict[str, Any] = {"low": spec.sets.low, "high": spec.sets.high, "bins": spec.sets.bins}
    return MetricChoice(name="radiomic_features", region=spec.sets.region, **asked)


def set_plan(plan: Plan, spec: ComparisonSpec) -> Plan:
    """Return the plan of the protocol with the features of outputs and references, and the error of the output."""
    further = [*_features(spec, "output"), *_features(spec, "reference")]
    further += [_error()] if spec.members else []
    return _with(plan, further)


def member_plan(plan: Plan, spec: ComparisonSpec) -> Plan:
    """Return the plan for training cases: the error of the output, and the features of the references."""
    features = [replace(task, cases=frozenset()) for task in _features(spec, "reference")]  # every training case
    return replace(plan, tasks=tuple([_error(), *features]))


def _with(plan: Plan, further: list[Task]) -> Plan:
    known = {(task.key, task.arm) for task in plan.tasks if not task.cases}
    kept = [
        task for task in plan.tasks if (task.key, task.arm) not in {(t.key, t.arm) for t in further} or not task.cases
    ]
    added = [task for task in further if (task.key, task.arm) not in known]
    return replace(plan, tasks=tuple(sorted([*kept, *added], key=lambda task: (task.key, task.arm))))


def _features(spec: ComparisonSpec, arm: str) -> list[Task]:
    choice = feature_choice(spec)
    if choice is None or spec.sets is None:
        return []
    metrics.load()
    masks = {"mask": choice.region} if choice.region else {}
    cases = frozenset({spec.sets.cases}) if spec.sets.cases else frozenset[str]()
    return [
        Task(
            key=choice.key(), metric=get_metric(choice.name), parameters=choice.parameters(), masks=masks, arm=arm,
            cases=cases,
        )
    ]  # fmt: skip


def _error() -> Task:
    metrics.load()
    return Task(key=ERROR.key(), metric=get_metric(ERROR.name), parameters={}, masks={}, arm="output")
