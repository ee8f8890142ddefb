"""The plan for monitoring after release: indicators, sample, charts, escalation, and what is for people."""

from __future__ import annotations

from typing import Any

from validation import metrics
from validation.change.follow_up import open_questions
from validation.change.indicators import ALPHA, TITLES, indicator_title
from validation.change.triggers import catalogue
from validation.errors import UsageProblem
from validation.protocol.change_schema import Monitoring
from validation.protocol.lock import Lock
from validation.protocol.schema import Protocol

SCHEMA = "validation.monitoring-plan/1"


def monitoring_plan(protocol: Protocol, *, digest: str, record: Lock | None, title: str, notice: str) -> dict[str, Any]:
    """Return the monitoring plan of a protocol as plain data; parameters as :func:`validation.change.plan.change_plan`.

    Raises
    ------
    UsageProblem
        CHG-015 if the protocol plans no monitoring, CHG-012 if an indicator names an endpoint that does not exist.
    """
    metrics.load()
    plan = protocol.monitoring
    if plan is None:
        raise UsageProblem("the protocol plans no monitoring.", code="CHG-015", where="monitoring")
    known = {endpoint.id for endpoint in protocol.endpoints}
    unknown = [i.id for i in plan.indicators if i.endpoint is not None and i.endpoint not in known]
    if unknown:
        raise UsageProblem(
            f"indicators follow endpoints that the protocol lacks: {', '.join(unknown)}.",
            code="CHG-012",
            where="monitoring.indicators",
            action=f"Name one of {', '.join(sorted(known))}.",
        )
    answers = _answers(protocol, plan)
    rows = []
    for row in catalogue()["surveillance"]:
        answer = answers.get(row["from"], "") if row["from"] else ""
        rows.append({"asks": row["asks"], "answer": answer or "For a person to write.", "source": row["source"]})
    return {
        "schema": SCHEMA,
        "study": {"title": title, "notice": notice},
        "protocol": {
            "id": protocol.id, "version": protocol.version, "digest": digest,
            "locked_at": record.locked_at if record else "", "locked_by": record.locked_by if record else "",
        },
        "claim": {"statement": protocol.claim.statement},
        "period": plan.period,
        "cases_per_period": plan.cases_per_period,
        "escalation": plan.escalation,
        "owner_role": plan.owner_role,
        "indicators": [_indicator(i, protocol) for i in plan.indicators],
        "rows": rows,
        "pmcf": [q["question"] for q in open_questions(protocol)],
        "gaps": [] if plan.owner_role else ["the role that owns the monitoring is not stated"],
    }  # fmt: skip


def _indicator(indicator: Any, protocol: Protocol) -> dict[str, str]:
    title, unit = indicator_title(indicator, protocol)
    shown = "" if unit == "1" else f" {unit}"
    error = {
        "cusum": f"one false alarm in {indicator.average_run_length} patients on average; tuned to a shift of one SD",
        "e_process": f"false alarm ever: at most {100 * ALPHA:g} %",
        "shewhart": "every value beyond the threshold is a signal",
    }[indicator.chart]
    follows = f"endpoint {indicator.endpoint}" if indicator.endpoint else f"column {indicator.column}"
    threshold = f"{indicator.direction} {indicator.threshold:g}{shown}".replace("-", "\u2212")
    return {
        "id": indicator.id, "title": title, "follows": follows, "threshold": threshold,
        "chart": TITLES[indicator.chart], "error": error,
    }  # fmt: skip


def _answers(protocol: Protocol, plan: Monitoring) -> dict[str, str]:
    inputs = [i.id for i in plan.indicators if i.column is not None]
    if protocol.shift:
        inputs += [v.column.replace("_", " ") for v in protocol.shift.variables]
    return {
        "sample": f"{plan.cases_per_period} cases {plan.period}, in order of time, measured as the endpoints are.",
        "indicators": f"{', '.join(i.id for i in plan.indicators)}; see the table.",
        "charts": "Sequential charts with a stated false-alarm rate, designed from the validated baseline run.",
        "escalation": plan.escalation,
        "inputs": f"Followed: {', '.join(dict.fromkeys(inputs))}." if inputs else "",
        "change_protocol": "The change control plan of the same protocol." if protocol.change_protocol else "",
        "pmcf": "The follow-up plan of the same protocol lists the open questions; a person decides.",
    }
