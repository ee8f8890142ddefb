"""From the measurement table to the sample that statistics read: one row per case, draws averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from validation.errors import DataProblem
from validation.protocol.endpoint_schema import Endpoint
from validation.protocol.expressions import select
from validation.registry import Kind, Metric
from validation.statistics.sample import Sample
from validation.study.shards import read_measurements, shard_files


def read_measurement_table(run_folder: Path, *, required: bool = True) -> pd.DataFrame:
    """Return every measurement of a run as one table, in the order of its shards; empty where none is required.

    Raises
    ------
    DataProblem
        If there is none.
    IntegrityProblem
        If a shard is damaged.
    """
    if not shard_files(run_folder) and not required:
        return pd.DataFrame(columns=["case_id", "metric", "arm", "draw", "component", "value", "unit", "note"])
    if not shard_files(run_folder):
        raise DataProblem(
            "the run holds no measurements.",
            code="RUN-110",
            where=str(run_folder),
            why="Nothing can be judged.",
            action="Run `validation resume` on it, or check that this is a run folder.",
        )
    table: pd.DataFrame = read_measurements(run_folder).to_pandas()
    return table


def read_cases(run_folder: Path) -> pd.DataFrame:
    """Return the eligible cases of a run, indexed by case id: cluster, status and the columns that judging needs."""
    path = run_folder / "cases.parquet"
    if not path.exists():
        raise DataProblem("the run holds no case table.", code="RUN-110", where=str(path))
    return pd.read_parquet(path).set_index("case_id").sort_index()


def endpoint_cases(endpoint: Endpoint, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the cases that an endpoint is about (all eligible ones, or those its expression selects)."""
    if endpoint.cases is None:
        return cases
    return cases[select(cases, endpoint.cases, where=f"endpoints[{endpoint.id}].cases")]


def arm_values(measurements: pd.DataFrame, key: str, arm: str) -> pd.DataFrame:
    """Return one arm of one metric as a table: case id by component, averaged over draws (NaN where a draw is missing).

    A missing draw makes the case missing: averaging only what worked would favour a model that fails on hard cases.
    """
    rows = measurements[(measurements["metric"] == key) & (measurements["arm"] == arm)]
    draws = rows.groupby(["case_id", "component"], sort=True)["value"]
    return draws.mean().where(draws.count() == draws.size()).unstack("component")


def build_sample(
    endpoint: Endpoint, metric: Metric, cases: pd.DataFrame, measurements: pd.DataFrame, *, arm: str = "output"
) -> Sample:
    """Return the sample of an endpoint for one arm.

    Parameters
    ----------
    endpoint, metric
        The endpoint and the register's entry of its metric.
    cases
        Cases the endpoint is about, indexed by case id; rejected ones stay in and have missing values.
    measurements
        The measurement table of the run.
    arm
        Arm whose values are judged; the endpoint's comparator, if any, is the second arm.
    """
    cases = cases.sort_index()
    key = endpoint.metric.key()
    label = endpoint.summary_parameters.get("label")
    labels = None
    if label is not None:
        if label not in cases.columns:
            raise DataProblem(
                f"the case table has no column {label!r}, which endpoint {endpoint.id} uses as the truth.",
                code="RUN-111",
                action="Add the column, with 0 for absent and 1 for present.",
            )
        labels = pd.to_numeric(cases[label], errors="coerce").to_numpy(float)
    output = arm_values(measurements, key, arm).reindex(cases.index)
    other = None
    if endpoint.comparator != "none" and arm != endpoint.comparator:
        other = arm_values(measurements, key, endpoint.comparator).reindex(cases.index)
    shared: dict[str, Any] = {"clusters": cases["cluster"].to_numpy(), "labels": labels}
    if metric.kind is Kind.VECTOR and endpoint.pick.component:
        values = _component(output, endpoint)
        return Sample(values=values, comparator=None if other is None else _component(other, endpoint), **shared)
    if metric.kind in (Kind.VECTOR, Kind.RAGGED):
        # A rejected case has one row without a component: it is missing in every component, it is not one more of them.
        found = output.columns if other is None else output.columns.union(other.columns)
        names = tuple(name for name in _component_order(found) if name)
        return Sample(
            values=np.full(len(cases), np.nan),
            components=output.reindex(columns=names).to_numpy(float),
            comparator_components=None if other is None else other.reindex(columns=names).to_numpy(float),
            component_names=names,
            ragged=metric.kind is Kind.RAGGED,
            **shared,
        )
    return Sample(values=_scalar(output), comparator=None if other is None else _scalar(other), **shared)


def within_case_sd(
    measurements: pd.DataFrame, key: str, component: str = ""
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], list[str]]:
    """Return the standard deviation over draws of each case of the output arm, and the case ids."""
    rows = measurements[
        (measurements["metric"] == key) & (measurements["arm"] == "output") & (measurements["component"] == component)
    ]
    spread = rows.groupby("case_id", sort=True)["value"].std(ddof=1).dropna()
    return np.asarray(spread, dtype=np.float64), [str(case) for case in spread.index]


def _scalar(table: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    return table[""].to_numpy(float) if "" in table.columns else np.full(len(table), np.nan)


def _component(table: pd.DataFrame, endpoint: Endpoint) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the component that an endpoint judges; rejected cases, which have none, are missing."""
    name = endpoint.pick.component
    known = [column for column in table.columns if column]
    if name in known or not known:
        return table[name].to_numpy(float) if name in known else np.full(len(table), np.nan)
    raise DataProblem(
        f"the metric of endpoint {endpoint.id} has no component {name!r}.",
        code="RUN-112",
        where=f"endpoints[{endpoint.id}].pick",
        action=f"It has: {', '.join(_component_order(known))}.",
    )


def _component_order(names: Any) -> list[str]:
    """Sort components as numbers where they are numbers (frequencies), else as text."""

    def key(name: str) -> tuple[int, float, str]:
        try:
            return (0, float(name), name)
        except ValueError:
            return (1, 0.0, name)

    return sorted((str(n) for n in names), key=key)
