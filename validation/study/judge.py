"""Applying a locked protocol to measurements: estimates, verdicts, multiplicity and the proposal.

Judging reads two tables (measurements and cases) and the protocol, nothing else, so that a run can be judged again,
under the same or another protocol, without the model and without the pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from validation import metrics
from validation.errors import ProtocolProblem
from validation.estimate import Estimate, Outcome, Verdict
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.schema import Protocol
from validation.registry import Direction, Kind, Metric, Summary, get_metric, get_summary
from validation.statistics import multiplicity
from validation.statistics.hypotheses import judge as judge_hypothesis
from validation.statistics.means import mean as mean_estimate
from validation.statistics.sample import Sample
from validation.statistics.sample_size import Plan
from validation.statistics.summaries import null_value
from validation.study import detail
from validation.study.samples import build_sample, endpoint_cases

Estimator = Callable[[Sample, float], Estimate]


def judge(protocol: Protocol, cases: pd.DataFrame, measurements: pd.DataFrame) -> dict[str, Any]:
    """Return the sections ``endpoints``, ``multiplicity`` and ``proposal`` of the results.

    Parameters
    ----------
    protocol
        The locked protocol.
    cases
        Eligible cases indexed by case id, with ``cluster`` and the columns that the protocol names.
    measurements
        The measurement table (see ``docs/architecture.md``).

    Raises
    ------
    ProtocolProblem
        If an endpoint names an unknown metric or summary, or a combination that cannot be judged.
    """
    metrics.load()
    judged: dict[str, tuple[Estimate, Verdict]] = {}
    sections: dict[str, Any] = {}
    for endpoint in protocol.endpoints:
        section, estimate, verdict = _judge_endpoint(endpoint, protocol, cases, measurements)
        sections[endpoint.id] = section
        judged[endpoint.id] = (estimate, verdict)
    decided, family = _control_multiplicity(protocol, {key: verdict for key, (_, verdict) in judged.items()})
    for key, verdict in decided.items():
        sections[key]["verdict"] = verdict.to_dict()
    return {"endpoints": sections, "multiplicity": family, "proposal": _propose(protocol, decided)}


def check_endpoint(endpoint: Endpoint) -> tuple[Metric, Summary]:
    """Return the metric and summary of an endpoint after checking that they fit together.

    Raises
    ------
    ProtocolProblem
        If the combination cannot be judged; the message says what to change.
    """
    metric, summary = get_metric(endpoint.metric.name), get_summary(endpoint.summary)
    where = f"endpoints[{endpoint.id}]"

    def refuse(what: str, action: str) -> ProtocolProblem:
        return ProtocolProblem(what, code="PROT-030", where=where, why="It cannot be judged.", action=action)

    if metric.kind is Kind.ESTIMATE:
        raise refuse(f"{metric.name} works on whole tables, not case by case.", "Use it through its own study type.")
    if ("components" in summary.needs) != (metric.kind is Kind.VECTOR):
        kind = "a vector" if metric.kind is Kind.VECTOR else "one value"
        raise refuse(
            f"metric {metric.name} gives {kind} per case, which summary {summary.name} does not take.",
            "`validation list summaries` says what each needs.",
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
    unknown = set(endpoint.metric.parameters()) - set(metric.parameters())
    if unknown:
        raise refuse(
            f"metric {metric.name} has no parameter {sorted(unknown)}.",
            f"It takes: {', '.join(metric.parameters()) or 'none'}.",
        )
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


def _judge_endpoint(
    endpoint: Endpoint, protocol: Protocol, cases: pd.DataFrame, measurements: pd.DataFrame
) -> tuple[dict[str, Any], Estimate, Verdict]:
    metric, summary = check_endpoint(endpoint)
    unit = _unit(metric, summary)
    chosen = endpoint_cases(endpoint, cases)
    sample = build_sample(endpoint, metric, chosen, measurements)
    hypothesis = endpoint.hypothesis
    parameters = {k: v for k, v in endpoint.summary_parameters.items() if k != "label"}
    seed = protocol.execution.seed

    def estimator(part: Sample, level: float) -> Estimate:
        found: Estimate = summary.function(part, level=level, unit=unit, seed=seed, **parameters)
        return found

    def decide(part: Sample, minimum: int, what: str) -> tuple[Estimate, Verdict]:
        return _decide(part, endpoint, _better(metric, summary, endpoint), estimator, minimum, what)

    minimum = endpoint.minimum_clusters or protocol.population.minimum_clusters
    estimate, verdict = decide(sample, minimum, "minimum_clusters")
    section: dict[str, Any] = {
        "title": endpoint.title,
        "role": endpoint.role,
        "metric": metric.name,
        "metric_key": endpoint.metric.key(),
        "summary": summary.name,
        "comparator": endpoint.comparator,
        "unit": unit,
        "direction": (summary.direction or metric.direction).value,
        "hypothesis": hypothesis.model_dump(mode="json"),
        "rationale": endpoint.rationale or "",
        "hazards": list(endpoint.hazards),
        "estimate": estimate.to_dict(),
        "verdict": verdict.to_dict(),
        "n_missing": detail.count_missing(sample),
        "arms": _arms(endpoint, metric, chosen, measurements, level=1 - 2 * hypothesis.alpha),
        "subgroups": {},
        "interaction": {},
        "sensitivity": {},
        "worst_cases": detail.worst_cases(sample, list(chosen.sort_index().index), metric),
    }
    if endpoint.subgroups and len(chosen):
        section["subgroups"], section["interaction"] = detail.subgroups(
            protocol, chosen.sort_index(), sample, decide, lambda part: estimator(part, 1 - 2 * hypothesis.alpha)
        )
    if endpoint.confirmatory:
        section["sensitivity"] = detail.missing_data(
            sample, endpoint, _better(metric, summary, endpoint), lambda part: decide(part, minimum, ""), seed
        )
        if endpoint.sample_size is not None:
            section["sample_size"] = sample_size(endpoint)
    if metric.kind is Kind.VECTOR:
        section.update(detail.curves(endpoint, metric, chosen, measurements))
    elif protocol.execution.draws > 1:
        section["sampler"] = detail.sampler(endpoint, metric, chosen, measurements)
    return section, estimate, verdict


def _decide(
    sample: Sample, endpoint: Endpoint, better: str | None, estimator: Estimator, minimum: int, what: str
) -> tuple[Estimate, Verdict]:
    """Judge a sample; with fewer clusters than the protocol asks for, the verdict is inconclusive."""
    hypothesis = endpoint.hypothesis
    estimate, verdict = judge_hypothesis(
        lambda level: estimator(sample, level),
        hypothesis=hypothesis.type,
        margin=hypothesis.margin,
        lower=hypothesis.lower,
        upper=hypothesis.upper,
        alpha=hypothesis.alpha,
        better=better,
        null=null_value(endpoint.summary),
    )
    clusters = estimate.n_clusters if estimate.n_clusters is not None else sample.n_clusters
    if verdict.hypothesis != "descriptive" and clusters < minimum:
        verdict = Verdict(
            outcome=Outcome.INCONCLUSIVE,
            reason=f"{clusters} independent {'patient' if clusters == 1 else 'patients'} with a value; the protocol "
            f"asks for at least {minimum} ({what}). Too few to support a claim, whatever the interval.",
            hypothesis=verdict.hypothesis,
            margin=verdict.margin,
            alpha=verdict.alpha,
        )
    return estimate, verdict


def _arms(
    endpoint: Endpoint, metric: Metric, chosen: pd.DataFrame, measurements: pd.DataFrame, *, level: float
) -> dict[str, Any]:
    """Return the mean of each arm of a scalar metric, for the reader who wants the levels behind a difference."""
    if metric.kind is not Kind.CASE:
        return {}
    arms = ["output"] + ([endpoint.comparator] if endpoint.comparator != "none" else [])
    found = {}
    for arm in arms:
        part = build_sample(endpoint, metric, chosen, measurements, arm=arm)
        found[arm] = mean_estimate(part.values, clusters=part.clusters, level=level, unit=metric.unit).to_dict()
    return found


def _unit(metric: Metric, summary: Summary) -> str:
    return metric.unit if summary.unit == "metric" else summary.unit


def _better(metric: Metric, summary: Summary, endpoint: Endpoint) -> str | None:
    direction = summary.direction or metric.direction
    fixed = {Direction.HIGHER: "higher", Direction.LOWER: "lower"}.get(direction)
    return fixed or endpoint.hypothesis.better


def _control_multiplicity(
    protocol: Protocol, verdicts: dict[str, Verdict]
) -> tuple[dict[str, Verdict], dict[str, Any]]:
    """Apply the protocol's control of the family-wise error to the verdicts of its confirmatory endpoints."""
    plan = protocol.multiplicity
    family = [e for e in protocol.endpoints if e.confirmatory]
    if not family:
        return verdicts, {"method": plan.method, "order": [], "gates": [], "alpha": None, "steps": []}
    alpha = family[0].hypothesis.alpha  # the schema asks for one alpha per family
    adjusted = multiplicity.adjust(
        {e.id: verdicts[e.id].p_value for e in family},
        method=plan.method,
        order=plan.order,
        gates=plan.gates,
        alpha=alpha,
    )
    decided = dict(verdicts) | {e.id: adjusted.verdict(e.id, verdicts[e.id]) for e in family}
    return decided, {
        "method": plan.method,
        "order": list(plan.order),
        "gates": [list(gate) for gate in plan.gates],
        "alpha": alpha,
        "steps": list(adjusted.steps),
    }


def _propose(protocol: Protocol, verdicts: dict[str, Verdict]) -> dict[str, str]:
    """Return the proposal: pass only if every confirmatory and safety criterion is met. A person decides, not this."""
    counted = [
        e for e in protocol.endpoints if e.confirmatory or (e.role == "safety" and e.hypothesis.type != "descriptive")
    ]
    outcomes = {e.id: verdicts[e.id].outcome for e in counted}
    unmet = {key: value for key, value in outcomes.items() if value is not Outcome.PASS}
    if not unmet:
        count = len(outcomes)
        return {
            "outcome": Outcome.PASS.value,
            "reason": f"{'The' if count == 1 else f'All {count}'} pre-specified "
            f"{'criterion was' if count == 1 else 'criteria were'} met.",
        }
    failed = [key for key, value in outcomes.items() if value is Outcome.FAIL]
    worst = Outcome.FAIL if failed else Outcome.INCONCLUSIVE
    listed = ", ".join(f"{key} {value.value}" for key, value in unmet.items())
    return {
        "outcome": worst.value,
        "reason": f"{len(unmet)} of {len(outcomes)} pre-specified criteria were not met: {listed}.",
    }
