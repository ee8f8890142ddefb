"""Applying a locked protocol to measurements: estimates, verdicts, multiplicity and the proposal.

Judging reads two tables (measurements and cases) and the protocol, nothing else, so that a run can be judged again,
under the same or another protocol, without the model and without the pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from validation import metrics
from validation.estimate import Estimate, Outcome, Verdict
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.schema import Protocol
from validation.protocol.units import plural
from validation.registry import Kind, Metric
from validation.statistics import multiplicity
from validation.statistics.hypotheses import judge as judge_hypothesis
from validation.statistics.means import mean as mean_estimate
from validation.statistics.sample import Sample
from validation.statistics.summaries import null_value
from validation.study import answer_detail, detail
from validation.study.endpoints import Estimator, prepare_endpoint, sample_size
from validation.study.judge_sets import judge_set_endpoint
from validation.study.plan import measures_sets
from validation.study.samples import build_sample


def judge(
    protocol: Protocol,
    cases: pd.DataFrame,
    measurements: pd.DataFrame,
    sets: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the sections ``endpoints``, ``multiplicity`` and ``proposal`` of the results.

    Parameters
    ----------
    protocol
        The locked protocol.
    cases
        Eligible cases indexed by case id, with ``cluster`` and the columns that the protocol names.
    measurements
        The measurement table (see ``docs/architecture.md``).
    sets
        Measurements of whole data sets by key (:func:`validation.study.set_metrics.read_set_measurements`).

    Raises
    ------
    ProtocolProblem
        If an endpoint names an unknown metric or summary, or a combination that cannot be judged.
    """
    judged: dict[str, tuple[Estimate, Verdict]] = {}
    sections: dict[str, Any] = {}
    metrics.load()
    for endpoint in protocol.endpoints:
        if measures_sets(endpoint):
            section, estimate, verdict = judge_set_endpoint(endpoint, protocol, sets or {})
        else:
            section, estimate, verdict = _judge_endpoint(endpoint, protocol, cases, measurements)
        sections[endpoint.id] = section
        judged[endpoint.id] = (estimate, verdict)
    decided, family = _control_multiplicity(protocol, {key: verdict for key, (_, verdict) in judged.items()})
    for key, verdict in decided.items():
        sections[key]["verdict"] = verdict.to_dict()
    return {"endpoints": sections, "multiplicity": family, "proposal": _propose(protocol, decided)}


def _judge_endpoint(
    endpoint: Endpoint, protocol: Protocol, cases: pd.DataFrame, measurements: pd.DataFrame
) -> tuple[dict[str, Any], Estimate, Verdict]:
    ready = prepare_endpoint(endpoint, protocol, cases, measurements)
    metric, hypothesis = ready.metric, endpoint.hypothesis

    unit = endpoint.independent_unit or protocol.population.independent_unit

    def decide(part: Sample, minimum: int, what: str) -> tuple[Estimate, Verdict]:
        return _decide(part, endpoint, ready.better, ready.estimator, minimum, what, unit)

    minimum = endpoint.minimum_clusters or protocol.population.minimum_clusters
    estimate, verdict = decide(ready.sample, minimum, "minimum_clusters")
    level = 1 - 2 * hypothesis.alpha
    section: dict[str, Any] = {
        "title": endpoint.title,
        "role": endpoint.role,
        "metric": metric.name,
        "metric_key": endpoint.metric.key(),
        "component": endpoint.pick.component,
        "summary": ready.summary.name,
        "comparator": endpoint.comparator,
        "unit": ready.unit,
        "direction": (ready.summary.direction or metric.direction).value,
        "hypothesis": hypothesis.model_dump(mode="json"),
        "rationale": endpoint.rationale or "",
        "hazards": list(endpoint.hazards),
        "independent_unit": unit,
        "estimate": estimate.to_dict(),
        "verdict": verdict.to_dict(),
        "n_missing": detail.count_missing(ready.sample),
        "arms": _arms(endpoint, metric, ready.cases, measurements, level=level),
        "subgroups": {},
        "interaction": {},
        "sensitivity": {},
        "worst_cases": _worst(endpoint, ready.sample, list(ready.cases.index), metric),
    }
    section |= answer_detail.answer_detail(endpoint, ready.units(ready.sample), level)
    predictive = answer_detail.predictive_values(endpoint, ready.predictive, ready.sample, level)
    if predictive:
        section["predictive_values"] = predictive
    if endpoint.subgroups and len(ready.cases):
        columns = endpoint.subgroups if isinstance(endpoint.subgroups, list) else protocol.population.subgroups
        section["subgroups"], section["interaction"] = detail.subgroups(
            protocol, columns, ready.cases, ready.sample, decide, lambda part: ready.estimator(part, level)
        )
    if endpoint.confirmatory:
        section["sensitivity"] = detail.missing_data(
            ready.sample, endpoint, ready.better, lambda part: decide(part, minimum, ""), protocol.execution.seed
        )
        if endpoint.sample_size is not None:
            section["sample_size"] = sample_size(endpoint)
    if metric.kind is Kind.VECTOR:
        section.update(detail.components(endpoint, metric, ready.cases, measurements))
    if protocol.execution.draws > 1 and ready.sample.components is None:
        section["sampler"] = detail.sampler(endpoint, metric, ready.cases, measurements)
    return section, estimate, verdict


def _worst(endpoint: Endpoint, sample: Sample, case_ids: list[str], metric: Metric) -> list[dict[str, Any]]:
    found = answer_detail.failures(endpoint, sample, case_ids)
    return detail.worst_cases(sample, case_ids, metric) if found is None else found


def _decide(
    sample: Sample, endpoint: Endpoint, better: str | None, estimator: Estimator, minimum: int, what: str, unit: str
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
            reason=f"{clusters} independent {unit if clusters == 1 else plural(unit)} with a value; the protocol "
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
    if metric.name in ("score", "highest_mark"):  # the mean of a score says nothing by itself
        return {}
    if metric.kind is not Kind.CASE and not endpoint.pick.component:
        return {}
    arms = ["output"] + ([endpoint.comparator] if endpoint.comparator != "none" else [])
    found = {}
    for arm in arms:
        part = build_sample(endpoint, metric, chosen, measurements, arm=arm)
        found[arm] = mean_estimate(part.values, clusters=part.clusters, level=level, unit=metric.unit).to_dict()
    return found


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
        "reason": f"{len(unmet)} of {len(outcomes)} pre-specified criteria "
        f"{'is' if len(unmet) == 1 else 'are'} not shown to be met: {listed}.",
    }
