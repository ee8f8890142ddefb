"""One endpoint made ready to be judged: its metric, its summary, its cases and the estimator over them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from validation import metrics
from validation.errors import ProtocolProblem
from validation.estimate import Estimate
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.schema import Protocol
from validation.registry import Direction, Kind, Metric, Summary, get_metric, get_summary
from validation.statistics.sample import Sample
from validation.statistics.sample_size import Plan
from validation.statistics.summaries import null_value
from validation.study.plan import in_protocol, mask_roles
from validation.study.samples import build_sample, endpoint_cases

Estimator = Callable[[Sample, float], Estimate]
Better = Literal["higher", "lower"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """An endpoint with everything that judging it needs.

    ``cases`` are those the endpoint is about, sorted by case id like the rows of ``sample``; ``estimator`` reduces a
    sample, or part of it, to an estimate at a two-sided level; ``better`` is ``higher``, ``lower`` or ``None``.
    """

    endpoint: Endpoint
    metric: Metric
    summary: Summary
    unit: str
    better: Better | None
    cases: pd.DataFrame
    sample: Sample
    estimator: Estimator

    def units(self, part: Sample) -> Sample:
        """Return the sample in the unit that is analysed: cases, or patients where the endpoint asks for them."""
        return units(self.endpoint, part)

    def predictive(self, name: str, sample: Sample, level: float, prevalence: float) -> Estimate:
        """Return ``ppv`` or ``npv`` of the endpoint at another prevalence."""
        parameters = _own_parameters(self.endpoint) | {"prevalence": prevalence}
        found: Estimate = get_summary(name).function(self.units(sample), level=level, unit="1", seed=0, **parameters)
        return found


def prepare_endpoint(
    endpoint: Endpoint, protocol: Protocol, cases: pd.DataFrame, measurements: pd.DataFrame
) -> Prepared:
    """Return an endpoint ready to be judged on the measurements of a run.

    Raises
    ------
    ProtocolProblem
        See :func:`check_endpoint`.
    """
    metric, summary = check_endpoint(endpoint)
    unit = _unit(metric, summary)
    chosen = endpoint_cases(endpoint, cases).sort_index()
    parameters = _own_parameters(endpoint)
    seed = protocol.execution.seed

    def estimator(part: Sample, level: float) -> Estimate:
        found: Estimate = summary.function(units(endpoint, part), level=level, unit=unit, seed=seed, **parameters)
        return found

    return Prepared(
        endpoint=endpoint,
        metric=metric,
        summary=summary,
        unit=unit,
        better=_better(metric, summary, endpoint),
        cases=chosen,
        sample=build_sample(endpoint, metric, chosen, measurements),
        estimator=estimator,
    )


def units(endpoint: Endpoint, sample: Sample) -> Sample:
    """Return a sample of cases in the unit that an endpoint analyses: cases, or patients (``per: patient``)."""
    return sample.by_cluster() if endpoint.summary_parameters.get("per") == "patient" else sample


def _own_parameters(endpoint: Endpoint) -> dict[str, Any]:
    """Return the parameters of the summary function itself: neither the truth column nor the unit of analysis."""
    return {k: v for k, v in endpoint.summary_parameters.items() if k not in ("label", "per")}


def check_endpoint(endpoint: Endpoint) -> tuple[Metric, Summary]:
    """Return the metric and summary of an endpoint after checking that they fit together.

    Raises
    ------
    ProtocolProblem
        If the combination cannot be judged; the message says what to change.
    """
    metrics.load()
    metric, summary = get_metric(endpoint.metric.name), get_summary(endpoint.summary)
    where = f"endpoints[{endpoint.id}]"

    def refuse(what: str, action: str) -> ProtocolProblem:
        return ProtocolProblem(what, code="PROT-030", where=where, why="It cannot be judged.", action=action)

    if metric.kind is Kind.ESTIMATE:
        raise refuse(f"{metric.name} works on whole tables, not case by case.", "Use it through its own study type.")
    pick = endpoint.pick
    if pick.finding or pick.subgroup or (pick.component and metric.kind is not Kind.VECTOR):
        what = "components" if metric.kind is Kind.VECTOR else "one value per case"
        raise refuse(f"metric {metric.name} gives {what}, so `pick` cannot choose that.", "Correct or remove `pick`.")
    several = metric.kind in (Kind.VECTOR, Kind.RAGGED) and not pick.component
    if ("components" in summary.needs) != several:
        kind = "several values" if several else "one value"
        hint = "Name one in `pick: {component: ...}`, or see " if metric.kind is Kind.VECTOR else "See "
        raise refuse(
            f"metric {metric.name} gives {kind} per case, which summary {summary.name} does not take.",
            f"{hint}`validation list summaries` for what each needs.",
        )
    needs_other = bool({"comparator", "comparator_components"} & summary.needs)
    if needs_other and endpoint.comparator == "none":
        raise refuse(f"summary {summary.name} compares two arms.", "Set `comparator`.")
    if not needs_other and endpoint.comparator != "none":
        raise refuse(
            f"summary {summary.name} looks at one arm; the comparator {endpoint.comparator!r} would be ignored.",
            "Remove `comparator`, or choose a summary of differences or ratios.",
        )
    if "labels" in summary.needs and "label" not in endpoint.summary_parameters:
        raise refuse(f"summary {summary.name} needs the truth of each case.", "Set `summary_parameters: {label: ...}`.")
    own = {"structure", "against"} if metric.family == "segmentation" else set()  # see study.named
    own |= {in_protocol(role) for role in mask_roles(metric)}
    unknown = set(endpoint.metric.parameters()) - set(metric.parameters()) - own
    if unknown:
        raise refuse(
            f"metric {metric.name} has no parameter {sorted(unknown)}.",
            f"It takes: {', '.join(metric.parameters()) or 'none'}.",
        )
    _check_summary_parameters(endpoint, metric, summary)
    unit = _unit(metric, summary)
    stated = endpoint.hypothesis.unit
    if stated is not None and stated != unit:
        raise refuse(f"the margin is stated in {stated!r}, the estimate is in {unit!r}.", f"State it in {unit!r}.")
    hypothesis = endpoint.hypothesis
    if hypothesis.type in ("superiority", "non_inferiority", "performance_goal"):
        better = _better(metric, summary, endpoint)
        if better is None:
            raise refuse(
                f"neither {metric.name} nor {summary.name} says which direction is better.",
                "Set `better: higher` or `better: lower` in the hypothesis.",
            )
        if hypothesis.type == "superiority" and summary.difference and hypothesis.margin:
            wrong = hypothesis.margin > 0 if better == "lower" else hypothesis.margin < 0
            if wrong:
                raise refuse(
                    f"a superiority margin of {hypothesis.margin:g} {unit} would call a worse model superior: "
                    f"{better} is better here.",
                    "Turn the sign of the margin around.",
                )
    return metric, summary


def _check_summary_parameters(endpoint: Endpoint, metric: Metric, summary: Summary) -> None:
    """Refuse parameters that the summary does not take, or lacks, before any data are opened."""
    known = inspect.signature(summary.function).parameters
    own = _own_parameters(endpoint)
    provided = {"sample", "level", "unit", "seed"}
    unknown = sorted(set(own) - (set(known) - provided))
    missing = sorted(n for n, p in known.items() if p.default is p.empty and n not in {*own, *provided})
    per = endpoint.summary_parameters.get("per", "case")
    problems = [f"it has no parameter {', '.join(unknown)}"] if unknown else []
    problems += [f"it needs {', '.join(missing)}"] if missing else []
    if per not in ("case", "patient") or (per == "patient" and metric.kind is not Kind.CASE):
        problems.append("`per` is case or patient, and several values of a case have no highest one")
    if problems:
        raise ProtocolProblem(
            f"the summary {summary.name} is not called rightly: {'; '.join(problems)}.",
            code="PROT-030",
            where=f"endpoints[{endpoint.id}].summary_parameters",
            why="It cannot be judged.",
            action=f"It takes {', '.join(sorted(set(known) - provided)) or 'no parameters'}.",
        )


def sample_size(endpoint: Endpoint) -> dict[str, Any]:
    """Return the sample-size plan of an endpoint with what its own assumptions require.

    ``required_clusters`` and ``planned_power`` are ``None``, with the reason, where they cannot be computed.
    """
    metric, summary = check_endpoint(endpoint)
    stated, hypothesis = endpoint.sample_size, endpoint.hypothesis
    if stated is None:
        return {}
    plan = Plan(
        summary=summary.name,
        hypothesis=hypothesis.type,
        alpha=hypothesis.alpha,
        effect=stated.assumed_effect,
        better=_better(metric, summary, endpoint),
        margin=hypothesis.margin,
        lower=hypothesis.lower,
        upper=hypothesis.upper,
        sd=stated.assumed_sd,
        null=null_value(summary.name),
    )
    record: dict[str, Any] = stated.model_dump(mode="json")
    record["required_clusters"] = plan.required(stated.power)
    record["planned_power"] = plan.power(stated.planned_clusters)
    record["reason"] = plan.reason
    return record


def _unit(metric: Metric, summary: Summary) -> str:
    return metric.unit if summary.unit == "metric" else summary.unit


def _better(metric: Metric, summary: Summary, endpoint: Endpoint) -> Better | None:
    direction = summary.direction or metric.direction
    fixed: Better | None = "higher" if direction is Direction.HIGHER else None
    fixed = "lower" if direction is Direction.LOWER else fixed
    return fixed or endpoint.hypothesis.better
