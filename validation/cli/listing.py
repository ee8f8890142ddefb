"""`validation list`: what is registered."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click


@click.group("list")
def command() -> None:
    """Show what is registered: metrics, summaries."""


@command.command("metrics")
@click.option("--family", default=None, help="Only metrics of this family, such as imaging.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def metrics(family: str | None, as_json: bool) -> None:
    """Show every metric: unit, direction, roles, parameters, reference, and the oracle it is tested against."""
    from validation.metrics import GROUPS, load
    from validation.registry import all_metrics

    load()
    rows: list[dict[str, Any]] = [
        {
            "name": m.name,
            "summary": m.summary_line,
            "family": m.family,
            "kind": m.kind.value,
            "unit": m.unit,
            "direction": m.direction.value,
            "roles": list(m.roles),
            "optional_roles": list(m.optional_roles),
            "parameters": {name: _shown(default) for name, default in m.parameters().items()},
            "reference": m.reference,
            "oracle": m.oracle,
        }
        for m in all_metrics()
        if family in (None, m.family)
    ]
    if as_json:
        click.echo(json.dumps({"metrics": rows, "groups": {k: list(v) for k, v in GROUPS.items()}}, indent=2))
        return
    for row in rows:
        roles = ", ".join([*row["roles"], *(f"[{role}]" for role in row["optional_roles"])])
        params = ", ".join(
            name if value == "required" else f"{name}={value}" for name, value in row["parameters"].items()
        )
        click.echo(f"{row['name']}  ({row['family']}, {row['kind']}; unit {row['unit']}; {row['direction']})")
        click.echo(f"    {row['summary']}")
        click.echo(f"    data: {roles}" + (f"; parameters: {params}" if params else ""))
        click.echo(f"    reference: {row['reference']}; tested against: {row['oracle']}")
    for group, names in GROUPS.items():
        click.echo(f"group {group}: {', '.join(names)}")
    click.echo(f"{len(rows)} metrics")


def _shown(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return "required"
    return default if isinstance(default, (bool, int, float, str)) or default is None else str(default)


@command.command("summaries")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def summaries(as_json: bool) -> None:
    """Show every summary: how measurements over cases become one estimate."""
    import validation.statistics.summaries  # noqa: F401 - registers them
    from validation.registry import all_summaries

    rows: list[dict[str, Any]] = [
        {
            "name": s.name,
            "summary": s.summary_line,
            "needs": sorted(s.needs),
            "unit": s.unit,
            "difference": s.difference,
            "direction": s.direction.value if s.direction else None,
            "reference": s.reference,
        }
        for s in all_summaries()
    ]
    if as_json:
        click.echo(json.dumps({"summaries": rows}, indent=2))
        return
    for row in rows:
        needs = f"; needs {', '.join(row['needs'])}" if row["needs"] else ""
        unit = "unit of the metric" if row["unit"] == "metric" else f"unit {row['unit']}"
        click.echo(f"{row['name']}  ({unit}{needs})")
        click.echo(f"    {row['summary']}")
        click.echo(f"    reference: {row['reference']}")
