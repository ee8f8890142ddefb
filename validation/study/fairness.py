"""The fairness plan of a protocol, applied to its endpoints: groups, gaps and the worst group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from validation import metrics
from validation.estimate import Estimate
from validation.fairness.measures import Measure
from validation.fairness.report import fairness_report
from validation.protocol.schema import Protocol
from validation.study.endpoints import Prepared, prepare_endpoint
from validation.study.plan import measures_sets


def fairness(protocol: Protocol, cases: pd.DataFrame, measurements: pd.DataFrame) -> dict[str, Any]:
    """Return the section ``fairness`` of the results, one report per endpoint; empty without a plan.

    The quantity compared between groups is the estimate of the endpoint itself, on the cases of the group. Endpoints
    on which no case has any of the attributes (phantom scans) are left out.
    """
    plan = protocol.fairness
    if plan is None:
        return {}
    metrics.load()
    wanted = plan.endpoints or [e.id for e in protocol.endpoints if e.role == "primary"]
    wanted = [name for name in wanted if not measures_sets(protocol.endpoint(name))]  # these bring their own subgroups
    found: dict[str, Any] = {}
    for name in wanted:
        ready = prepare_endpoint(protocol.endpoint(name), protocol, cases, measurements)
        attributes = [a for a in plan.attributes if a in ready.cases.columns and ready.cases[a].notna().any()]
        if not attributes:
            continue
        own = plan.model_copy(update={"attributes": attributes})
        levels = {a: list(protocol.population.target[a]) for a in attributes if a in protocol.population.target}
        measure = Measure(name=name, estimator=_on_groups(ready), better=ready.better)
        found[name] = fairness_report(ready.cases, own, {name: measure}, levels=levels)
    return found


def _on_groups(ready: Prepared) -> Callable[[NDArray[np.bool_], float], Estimate]:
    return lambda mask, level: ready.estimator(ready.sample.subset(mask), level)
