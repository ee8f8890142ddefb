"""The reader study of a protocol, read by model observers from the channel responses that a run measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from validation.errors import ProtocolProblem
from validation.protocol.plan_schemas import ReaderStudyPlan
from validation.protocol.schema import Protocol
from validation.reader_study.analysis import analyse
from validation.reader_study.channel_tables import channels_of_run
from validation.reader_study.judgement import Claim
from validation.reader_study.model_observers import ObserverSettings, simulate_readers
from validation.reader_study.plan import AnalysisPlan

NOTICE = (
    "Scores of model observers, not of people. They show what the images allow for one task and how large a study "
    "with people should be; they are no substitute for it."
)
_OBSERVER = ("observer", "internal_noise", "skill_spread", "criterion_spread", "folds", "seed")
_OTHER = ("metric", "label", "readers")


def read_run(run: Path, protocol: Protocol) -> dict[str, Any]:
    """Return the section ``reader_study`` of the results, empty if the protocol plans no simulated reading.

    Virtual readers look at the stored channel responses of every arm; their scores are analysed by the method,
    covariance, hypothesis and margin of the protocol's ``reader_study`` block, as those of people would be.

    Raises
    ------
    ProtocolProblem
        If ``reader_study.simulation`` holds a setting that nobody knows.
    DataProblem
        If the run holds no channel responses, or too few for the readers to learn from.
    """
    plan = protocol.reader_study
    if plan is None or not plan.simulation:
        return {}
    given = dict(plan.simulation)
    unknown = sorted(set(given) - {*_OBSERVER, *_OTHER})
    if unknown:
        raise ProtocolProblem(
            f"`simulation` has no setting {', '.join(unknown)}.",
            code="RUN-048",
            where="reader_study.simulation",
            action=f"It takes {', '.join([*_OBSERVER, *_OTHER])}.",
        )
    readers = int(given.get("readers", plan.readers))
    settings = ObserverSettings(readers=readers, **{k: given[k] for k in _OBSERVER if k in given})  # type: ignore[arg-type]
    metric = given.get("metric")
    table = channels_of_run(run, metric=None if metric is None else str(metric), label=str(given.get("label", "label")))
    wanted = {arm: table.responses[arm] for arm in plan.modalities if arm in table.responses}
    scores = simulate_readers(wanted or table.responses, table.positive, table.cases, table.clusters, settings)
    found = analyse(scores, _analysis_plan(plan, list(scores.modalities)))
    return found.to_dict() | {
        "simulated": True,
        "notice": NOTICE,
        "observer": settings.observer,
        "n_readers": readers,
        "n_cases": len(table.cases),
        "n_left_out": table.left_out,
        "metric": table.metric,
        "planned": plan.model_dump(mode="json"),
        "outcome": found.outcome.value,
    }


def _analysis_plan(plan: ReaderStudyPlan, modalities: list[str]) -> AnalysisPlan:
    """Return the settings of the analysis that the protocol fixes."""
    if plan.endpoint not in ("auc", "sensitivity", "specificity"):
        raise ProtocolProblem(
            f"virtual readers give ratings and decisions, no {plan.endpoint}.",
            code="RUN-048",
            where="reader_study.endpoint",
            action="Use auc, sensitivity or specificity.",
        )
    return AnalysisPlan(
        endpoint=plan.endpoint,
        method=plan.method,
        covariance=plan.covariance,
        claim=Claim(plan.hypothesis),
        margin=plan.margin,
        alpha=plan.alpha,
        control="input" if "input" in modalities and len(modalities) > 1 else None,
        seed=plan.randomisation_seed,
    )
