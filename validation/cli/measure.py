"""`validation measure`: any registered metric on plain files, for a look at the desk. Never evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from validation.errors import UsageProblem

if TYPE_CHECKING:
    import numpy as np

    from validation.cli.measure_inputs import Data
    from validation.estimate import Estimate
    from validation.metrics.findings import Finding
    from validation.registry import Metric

STAMP = "not evidence"


@click.command("measure")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--input", "inputs", multiple=True, metavar="ROLE=FILE", help="Data for a role; repeat a role for more cases."
)
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Parameter of the metrics.")
@click.option("--cases-axis", type=int, default=None, help="Axis of the arrays that counts cases (0: the first).")
@click.option("--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    names: tuple[str, ...],
    inputs: tuple[str, ...],
    params: tuple[str, ...],
    cases_axis: int | None,
    level: float,
    as_json: bool,
) -> None:
    """Measure files with one or more metrics (or groups): exploratory, not evidence.

    Files: NPY, NPZ with the key after a colon, NIfTI, DICOM (file or folder); CSV and Parquet for metrics of tables.
    Roles and parameters of a metric are shown by `validation list metrics`.

    One image gives a value without an interval; several cases (a role given several times, or --cases-axis) give the
    mean over cases with a t interval.

    Example: validation measure psnr ssim --input output=a.npz:denoised --input reference=b.dcm --param data_range=2000
    """
    rows = measure(names, inputs, params, cases_axis=cases_axis, level=level)
    if as_json:
        click.echo(json.dumps({"exploratory": STAMP, "metrics": rows}, indent=2, allow_nan=False))
        return
    click.echo(f"exploratory, {STAMP}")
    for row in rows:
        click.echo("  " + _line(row))


def _line(row: dict[str, Any]) -> str:
    estimate = row["estimate"]
    name = row["name"] + (f" [{row['component']}]" if row.get("component") else "")
    if "finding" in row:
        name = f"{row['finding'].upper()}  {name}" + (f" in {row['subgroup']}" if row["subgroup"] else "")
    if estimate["value"] is None:
        return f"{name}: none ({estimate['reason']})"
    unit = "" if row["unit"] == "1" else f" {row['unit']}"
    text = f"{name}: {estimate['value']:.6g}{unit}"
    if estimate["lower"] is not None and estimate["upper"] is not None:
        text += f", {estimate['level']:.0%} interval {estimate['lower']:.6g} to {estimate['upper']:.6g}"
    text += f", n = {estimate['n']} ({row['direction']})"
    return text + (f"; {estimate['reason']}" if estimate["reason"] else "")


def measure(
    names: tuple[str, ...],
    inputs: tuple[str, ...],
    params: tuple[str, ...],
    *,
    cases_axis: int | None = None,
    level: float = 0.95,
) -> list[dict[str, Any]]:
    """Return one row per estimate: name, component (of vector metrics), estimate, unit, direction, reference.

    Raises
    ------
    UsageProblem, DataProblem
        If names, roles, parameters or files are wrong; nothing is measured then.
    """
    from validation.cli.measure_inputs import cases_of, check_roles, measures_images, parameters_for, read, split_pair
    from validation.metrics import select

    metrics = select(names)
    if len({measures_images(m) for m in metrics}) > 1:
        raise UsageProblem(
            "some of these metrics measure images, others whole data sets.",
            code="CLI-010",
            where=" ".join(names),
            action="Ask for them one after the other.",
        )
    images = measures_images(metrics[0])
    files: dict[str, list[str]] = {}
    for role, name in (split_pair(text, option="--input", code="CLI-010") for text in inputs):
        files.setdefault(role, []).append(name)
    check_roles(files, metrics)
    given = dict(split_pair(text, option="--param", code="CLI-011") for text in params)
    parameters = parameters_for(metrics, given)
    data = {role: [read(name, images=images) for name in named] for role, named in files.items()}
    if not images:
        return [row for m in metrics for row in _on_tables(m, data, parameters[m.name], level)]
    cases = {role: cases_of(items, role=role, axis=cases_axis) for role, items in data.items()}
    return [row for m in metrics for row in _on_images(m, cases, parameters[m.name], level)]


def _row(metric: Metric, estimate: Estimate, *, unit: str, component: str = "") -> dict[str, Any]:
    row: dict[str, Any] = {"name": metric.name}
    if component:
        row["component"] = component
    return row | {
        "estimate": estimate.to_dict(),
        "unit": unit,
        "direction": metric.direction.value,
        "reference": metric.reference,
    }


def _finding_row(family: Metric, finding: Finding) -> dict[str, Any]:
    """Return the row of one metric of a family: the metric's name, the family, and what the finding says."""
    row: dict[str, Any] = {"name": finding.metric, "family": family.name}
    if finding.component:
        row["component"] = finding.component
    return row | {
        "estimate": finding.estimate.to_dict(),
        "unit": finding.estimate.unit,
        "direction": finding.direction,
        "reference": finding.reference or family.reference,
        **finding.to_dict(),
    }


def _on_tables(
    metric: Metric, data: dict[str, list[Data]], parameters: dict[str, Any], level: float
) -> list[dict[str, Any]]:
    """Run a metric of whole data sets; its Estimates carry their own intervals and units."""
    from collections.abc import Mapping

    from validation.estimate import Estimate
    from validation.metrics.findings import Finding

    arguments: dict[str, Any] = {}
    for role in (*metric.roles, *metric.optional_roles):
        items = data.get(role, [])
        if len(items) > 1:
            raise UsageProblem(
                f"the role {role!r} is given {len(items)} times; {metric.name!r} takes one data set.",
                code="CLI-010",
                where=f"--input {role}=",
            )
        if items:
            arguments[role] = items[0].table if items[0].table is not None else items[0].array
    if "level" in metric.parameters() and "level" not in parameters:
        parameters = {**parameters, "level": level}
    result = metric.function(**arguments, **parameters)
    if isinstance(result, Estimate):
        return [_row(metric, result, unit=result.unit)]
    if isinstance(result, list) and result and isinstance(result[0], Finding):
        return [_finding_row(metric, finding) for finding in result]
    named = result.items() if isinstance(result, Mapping) else ((str(k + 1), e) for k, e in enumerate(result))
    return [_row(metric, estimate, unit=estimate.unit, component=str(name)) for name, estimate in named]


def _on_images(
    metric: Metric, cases: dict[str, list[Data]], parameters: dict[str, Any], level: float
) -> list[dict[str, Any]]:
    """Run a metric of single cases on each, and reduce to the mean."""
    import torch

    roles = [role for role in (*metric.roles, *metric.optional_roles) if role in cases]
    counts = {role: len(cases[role]) for role in roles}
    n = max(counts.values())
    if any(count not in (1, n) if role.endswith("mask") else count != n for role, count in counts.items()):
        text = ", ".join(f"{role} {count}" for role, count in counts.items())
        raise UsageProblem(
            f"the numbers of cases differ: {text}.",
            code="CLI-013",
            where="--input",
            action="Give every role the same cases in the same order (one mask may serve all).",
        )
    values: dict[str, list[float]] = {}
    units: set[str] = set()
    for k in range(n):
        case = {role: cases[role][k if counts[role] > 1 else 0] for role in roles}
        units |= {item.unit for role, item in case.items() if item.unit and not role.endswith("mask")}
        result = metric.function(**_tensors(metric, case, parameters))
        for name, tensor in ({"": result} if isinstance(result, torch.Tensor) else result).items():
            values.setdefault(name, []).append(float(tensor[0]))
    if len(units) > 1:
        raise UsageProblem(
            f"the images are in different units: {', '.join(sorted(units))}.",
            code="CLI-013",
            where="--input",
            why="A difference between them means nothing.",
        )
    # a metric says HU where it means the unit of the image
    unit = metric.unit.replace("HU", units.pop()) if units else metric.unit
    return [
        _row(metric, _estimate(metric, column, unit, level), unit=unit, component=name)
        for name, column in values.items()
    ]


def _tensors(metric: Metric, case: dict[str, Data], parameters: dict[str, Any]) -> dict[str, Any]:
    import torch

    arguments: dict[str, Any] = {k: v for k, v in parameters.items() if k != "spacing_mm"}
    for role, item in case.items():
        array: np.ndarray[Any, Any] | None = item.array
        if array is None or array.ndim not in (2, 3):
            shape = None if array is None else array.shape
            raise UsageProblem(
                f"the {role} has shape {shape}; one image has two axes, one volume three.",
                code="CLI-013",
                where=item.where,
                action="Name the axis that counts cases: --cases-axis 0.",
            )
        tensor = torch.as_tensor(array.astype("float64", copy=False)).unsqueeze(0)
        arguments[role] = tensor != 0 if role.endswith("mask") else tensor
    if "spacing_mm" in metric.parameters():
        spacing = parameters.get("spacing_mm") or next((i.spacing_mm for i in case.values() if i.spacing_mm), None)
        if spacing is None:
            raise UsageProblem(
                f"the metric {metric.name!r} needs the spacing, which these files do not carry.",
                code="CLI-011",
                where="--param spacing_mm",
                action="Give it in mm in the order of the axes: --param spacing_mm=0.7,0.7.",
            )
        arguments["spacing_mm"] = torch.tensor([spacing], dtype=torch.float64)
    return arguments


def _estimate(metric: Metric, values: list[float], unit: str, level: float) -> Estimate:
    """Return the value of one image without an interval, or the mean over cases with a t interval."""
    import math

    from validation.estimate import Estimate
    from validation.metrics import undefined_reason

    defined = [value for value in values if math.isfinite(value)]
    n = len(values)
    if not defined:
        why = undefined_reason(metric)
        return Estimate.insufficient(
            why if n == 1 else f"in all {n} cases {why}", n=0, unit=unit, method="one image", level=level
        )
    if n == 1:
        return Estimate(
            value=defined[0],
            lower=None,
            upper=None,
            method="one image",
            n=1,
            unit=unit,
            level=level,
            reason="one image has no interval; give several cases",
        )
    from validation.statistics.means import mean

    estimate = mean(defined, level=level, unit=unit)
    if len(defined) == n:
        return estimate
    note = f"{n - len(defined)} of {n} cases left out: {undefined_reason(metric)}"
    return replace(estimate, reason="; ".join(part for part in (estimate.reason, note) if part))
