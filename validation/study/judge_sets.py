"""Judging endpoints on whole data sets from what :mod:`validation.study.set_metrics` stored: no data, no generator.

The interval of an estimate is known at the stored levels. At any other level the next wider stored interval stands in,
so that a verdict is never better than the data allow, and a p-value is the smallest stored alpha at which the interval
excludes the margin. The alpha of every endpoint, and its Bonferroni parts, are among the stored levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from validation import metrics
from validation.errors import ProtocolProblem
from validation.estimate import Estimate, Outcome, Verdict
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.schema import Protocol
from validation.registry import Direction, Metric, get_metric
from validation.statistics.hypotheses import judge as judge_hypothesis
from validation.study.set_metrics import MANY

Stored = Mapping[str, Mapping[str, Any]]
Row = Mapping[str, Any]
_ORDER = {Outcome.ERROR: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 2, Outcome.WAIVED: 3, Outcome.PASS: 4}


def check_set_endpoint(endpoint: Endpoint) -> Metric:
    """Return the metric of an endpoint on whole data sets after checking that it can be judged.

    Raises
    ------
    ProtocolProblem
        PROT-030, saying what to change.
    """
    metrics.load()
    metric = get_metric(endpoint.metric.name)
    hypothesis = endpoint.hypothesis

    def refuse(what: str, action: str) -> ProtocolProblem:
        return ProtocolProblem(
            what, code="PROT-030", where=f"endpoints[{endpoint.id}]", why="It cannot be judged.", action=action
        )

    if endpoint.summary or endpoint.summary_parameters:
        raise refuse(f"{metric.name} brings its own estimate; it has no summary over cases.", "Remove `summary`.")
    if endpoint.comparator != "none":
        raise refuse(f"{metric.name} compares data sets, not arms.", "Remove `comparator`; name the sets in `sets`.")
    if endpoint.cases is not None:
        raise refuse(f"{metric.name} is measured on whole data sets.", "Remove `cases`; use `pick: {subgroup: ...}`.")
    if metric.family == "family" and not endpoint.pick.finding:
        raise refuse(
            f"{metric.name} is a family of metrics, and the endpoint does not say which number it judges.",
            "Set `pick: {finding: ..., component: ...}`; `validation measure` shows them.",
        )
    if metric.family != "family" and endpoint.pick.finding:
        raise refuse(f"{metric.name} is one metric, not a family.", "Remove `pick.finding`; use `pick.component`.")
    if hypothesis.type in ("superiority", "non_inferiority", "performance_goal") and _better(endpoint, metric) is None:
        raise refuse(
            f"{metric.name} does not say which direction is better.", "Set `better: higher` or `better: lower`."
        )
    return metric


def judge_set_endpoint(
    endpoint: Endpoint, protocol: Protocol, stored: Stored
) -> tuple[dict[str, Any], Estimate, Verdict]:
    """Return the section of an endpoint on whole data sets, its estimate and its verdict.

    With ``*`` in ``pick`` every part must meet the criterion (intersection-union test: each at the full alpha); the
    part with the worst verdict, and among those the largest p-value, is shown, and all are listed under ``parts``.
    """
    metric = check_set_endpoint(endpoint)
    record = stored.get(endpoint.set_key())
    population = protocol.population
    chosen, why = _chosen(endpoint, record)
    judged = []
    for row in chosen:
        usual = population.minimum_per_subgroup if row["subgroup"] else population.minimum_clusters
        judged.append((row, *_judge_row(row, endpoint, metric, record, endpoint.minimum_clusters or usual)))
    if judged:
        shown = min(judged, key=lambda item: (_ORDER[item[2].outcome], -(item[2].p_value or 0.0)))
        row, estimate, verdict = shown
        if len(judged) > 1:
            verdict = _of_all(verdict, row, [item[2] for item in judged])
    else:
        estimate = Estimate.insufficient(
            why, n=0, unit=metric.unit, method=metric.name, level=1 - 2 * endpoint.hypothesis.alpha
        )
        row, verdict = {}, _error(endpoint, why)
    better = _better(endpoint, metric)
    section: dict[str, Any] = {
        "title": endpoint.title,
        "role": endpoint.role,
        "metric": metric.name,
        "metric_key": endpoint.set_key(),
        "summary": "whole data sets",
        "pick": {key: str(row.get(key, "")) or asked for key, asked in endpoint.pick.model_dump().items()},
        "comparator": "none",
        "unit": estimate.unit,
        "direction": f"{better} is better" if better else str(row.get("direction") or metric.direction.value),
        "hypothesis": endpoint.hypothesis.model_dump(mode="json"),
        "rationale": endpoint.rationale or "",
        "hazards": list(endpoint.hazards),
        "estimate": estimate.to_dict(),
        "verdict": verdict.to_dict(),
        "n_missing": 0,
        "arms": {},
        "subgroups": _subgroups(endpoint, protocol, metric, record) if endpoint.subgroups else {},
        "interaction": {},
        "sensitivity": {},
        "worst_cases": [],
        "sets": {role: facts["name"] for role, facts in (record or {}).get("sets", {}).items()},
    }
    if len(judged) > 1:
        section["parts"] = [
            {key: r[key] for key in ("component", "subgroup")} | {"estimate": e.to_dict(), "outcome": v.outcome.value}
            for r, e, v in judged
        ]
    return section, estimate, verdict


def set_sections(stored: Stored) -> dict[str, Any]:
    """Return the section ``data_sets`` (what was measured on what) and ``families`` (every finding) of the results."""
    if not stored:
        return {}
    described: dict[str, Any] = {}
    families: dict[str, Any] = {}
    for key, record in stored.items():
        for facts in record["sets"].values():
            described[facts["name"]] = {k: v for k, v in facts.items() if k != "name"}
        findings = [row for row in record["rows"] if "found" in row]
        if findings or record["error"]:
            families[key] = {
                "metric": record["metric"],
                "error": record["error"],
                "sets": {role: facts["name"] for role, facts in record["sets"].items()},
                "findings": [
                    {name: row[name] for name in ("finding", "component", "subgroup", "direction", "reference")}
                    | {"estimate": row["estimates"][_own(row)], **row["found"], "status": row["found"]["finding"]}
                    | {"finding": row["finding"]}
                    for row in findings
                ],
            }
    return {"data_sets": described, "families": families}


def _own(row: Row) -> int:
    """Return which stored estimate a report shows: the one nearest to 95 %."""
    levels = [estimate["level"] for estimate in row["estimates"]]
    return min(range(len(levels)), key=lambda k: abs(levels[k] - 0.95))


def _chosen(endpoint: Endpoint, record: Mapping[str, Any] | None) -> tuple[list[Row], str]:
    """Return the numbers that an endpoint judges, or why there are none."""
    if record is None:
        return [], "it was not measured in this run"
    if record["error"]:
        return [], record["error"]
    pick = endpoint.pick
    rows = [
        row
        for row in record["rows"]
        if row["finding"] == pick.finding
        and (pick.component == MANY or row["component"] == pick.component)
        and (row["subgroup"] != "" if pick.subgroup == MANY else row["subgroup"] == pick.subgroup)
    ]
    if rows:
        return rows, ""
    there = sorted({_name(row) for row in record["rows"]})
    return [], f"{record['metric']} has no such number; it has {', '.join(there[:12]) or 'none'}" + (
        f" and {len(there) - 12} more" if len(there) > 12 else ""
    )


def _name(row: Row) -> str:
    parts = [part for part in (row["finding"], row["component"]) if part]
    return " ".join(parts) + (f" in {row['subgroup']}" if row["subgroup"] else "") or "one number"


def estimator_of(row: Row) -> Callable[[float], Estimate]:
    """Return the stored estimate as a function of the level; the next wider stored interval stands in for others."""
    estimates = [Estimate.from_dict(dict(found)) for found in row["estimates"]]

    def estimator(level: float) -> Estimate:
        for found in estimates:  # by rising level
            if found.level >= level - 1e-9 * (1 - level):
                return found
        widest = estimates[-1]
        return replace(
            widest,
            lower=None,
            upper=None,
            level=level,
            reason=widest.reason or "the interval was not evaluated at a level as high as this",
        )

    return estimator


def _judge_row(
    row: Row, endpoint: Endpoint, metric: Metric, record: Mapping[str, Any] | None, minimum: int
) -> tuple[Estimate, Verdict]:
    hypothesis = endpoint.hypothesis
    estimate, verdict = judge_hypothesis(
        estimator_of(row),
        hypothesis=hypothesis.type,
        margin=hypothesis.margin,
        lower=hypothesis.lower,
        upper=hypothesis.upper,
        alpha=hypothesis.alpha,
        better=_better(endpoint, metric),
        null=1.0 if metric.direction is Direction.ONE else 0.0,
    )
    if hypothesis.type == "descriptive":
        return estimate, verdict
    if row.get("found", {}).get("finding") == "error":
        return estimate, _error(endpoint, row["found"]["reason"] or "the metric could not run")
    if hypothesis.unit is not None and hypothesis.unit != estimate.unit:
        return estimate, _error(
            endpoint, f"the margin is stated in {hypothesis.unit!r}, the estimate is in {estimate.unit!r}"
        )
    said = str(row.get("direction") or "").split(" ")[0]
    if hypothesis.better and said in ("higher", "lower") and said != hypothesis.better:
        return estimate, _error(endpoint, f"the protocol calls {hypothesis.better} better; of this number {said} is")
    real = [f["n_patients"] for role, f in (record or {"sets": {}})["sets"].items() if role != "synthetic"]
    clusters = min([*real, estimate.n_clusters if estimate.n_clusters is not None else estimate.n])
    if clusters < minimum:
        verdict = replace(
            verdict,
            outcome=Outcome.INCONCLUSIVE,
            reason=f"{clusters} independent patients in the smallest data set or group; the protocol asks for at least "
            f"{minimum}. Too few to support a claim, whatever the interval.",
            p_value=None,
        )
    return estimate, verdict


def _error(endpoint: Endpoint, why: str) -> Verdict:
    hypothesis = endpoint.hypothesis
    outcome = Outcome.INCONCLUSIVE if hypothesis.type == "descriptive" else Outcome.ERROR
    return Verdict(
        outcome=outcome,
        reason=f"The metric gave nothing that could be judged: {why}.",
        hypothesis=hypothesis.type,
        margin=hypothesis.margin,
        alpha=None if hypothesis.type == "descriptive" else hypothesis.alpha,
    )


def _of_all(shown: Verdict, row: Row, every: Sequence[Verdict]) -> Verdict:
    """Return the verdict over all parts: that of the worst, with the p-value of the least certain one."""
    if shown.hypothesis == "descriptive":
        return replace(shown, reason=f"{len(every)} parts; shown first is {_name(row)}. {shown.reason}")
    met = sum(verdict.outcome is Outcome.PASS for verdict in every)
    values = [verdict.p_value for verdict in every]
    known = [value for value in values if value is not None]
    return replace(
        shown,
        reason=f"{met} of {len(every)} parts meet the criterion; the worst is {_name(row)}. {shown.reason}",
        p_value=max(known) if len(known) == len(values) else None,
    )


def _subgroups(
    endpoint: Endpoint, protocol: Protocol, metric: Metric, record: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the same number in the protocol's subgroups, where the metric gives it; supportive, never confirmatory."""
    pick = endpoint.pick
    if record is None or MANY in (pick.component, pick.subgroup) or pick.subgroup:
        return {}
    cells: dict[str, Any] = {}
    for row in record["rows"]:
        column, found, level = row["subgroup"].partition("=")
        if not found or column not in protocol.population.subgroups:
            continue
        if (row["finding"], row["component"]) != (pick.finding, pick.component):
            continue
        estimate, verdict = _judge_row(row, endpoint, metric, None, protocol.population.minimum_per_subgroup)
        status = "descriptive" if verdict.hypothesis == "descriptive" else verdict.outcome.value
        cells.setdefault(column, {})[level] = {
            "estimate": estimate.to_dict(),
            "status": status,
            "reason": verdict.reason,
        }
    return cells


def _better(endpoint: Endpoint, metric: Metric) -> Literal["higher", "lower"] | None:
    if metric.direction is Direction.HIGHER:
        return "higher"
    return "lower" if metric.direction is Direction.LOWER else endpoint.hypothesis.better
