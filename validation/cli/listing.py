"""`validation list`: what is registered, and what the catalogues hold."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click


@click.group("list")
def command() -> None:
    """Show what is there: metrics, summaries, claims, protocols, pathways."""


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


@command.command("claims")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def claims(as_json: bool) -> None:
    """Show every type of claim: strength, evidence it is expected to have, and the pathways it may take."""
    from validation.protocol.catalogue import regulatory_catalogue
    from validation.protocol.claims import claim_facts

    regulations = regulatory_catalogue()
    rows: list[dict[str, Any]] = []
    for claim, cells in regulations.wanted.matrix.items():
        facts = claim_facts(claim)
        rows.append(
            {
                "type": claim,
                "title": facts["title"],
                "strength_level": facts["strength_level"],
                "expects": [entry["evidence"] for entry in facts["expects"]],
                "reader_study": facts["reader_study"],
                "pathways": {pathway: cell.applicability for pathway, cell in cells.items()},
            }
        )
    if as_json:
        click.echo(json.dumps({"as_of": regulations.wanted.meta.as_of, "claims": rows}, indent=2))
        return
    for row in rows:
        click.echo(f"{row['type']}  (strength {row['strength_level']}): {row['title']}")
        click.echo(f"    evidence expected: {'; '.join(row['expects'])}")
        for kind in ("typical", "conditional", "supporting"):
            names = [name for name, applicability in row["pathways"].items() if applicability == kind]
            if names:
                click.echo(f"    {kind}: {', '.join(names)}")
    click.echo(f"{len(rows)} types of claim, as of {regulations.wanted.meta.as_of}")


@command.command("protocols")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def protocols(as_json: bool) -> None:
    """Show the shipped protocols, to begin from."""
    from validation.data import shipped
    from validation.protocol.load import load_protocol

    rows: list[dict[str, Any]] = []
    for file in sorted(shipped("protocols").glob("*.yaml")):
        protocol = load_protocol(file)
        rows.append(
            {
                "file": file.name,
                "id": protocol.id,
                "version": protocol.version,
                "title": protocol.title,
                "claim": protocol.claim.type,
                "pathways": list(protocol.claim.pathways),
                "endpoints": [f"{e.id} {e.metric.key()} ({e.role})" for e in protocol.endpoints],
            }
        )
    if as_json:
        click.echo(json.dumps({"protocols": rows}, indent=2))
        return
    for row in rows:
        click.echo(f"{row['file']}  {row['id']} {row['version']}: {row['title']}")
        click.echo(f"    claim {row['claim']}, for {', '.join(row['pathways'])}")
        click.echo(f"    endpoints: {'; '.join(row['endpoints'])}")
    click.echo(f"{len(rows)} protocol(s)")


@command.command("pathways")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pathways(as_json: bool) -> None:
    """Show every pathway: the sections of its file in order, and how many requirements it has."""
    from validation.protocol.catalogue import regulatory_catalogue

    regulations = regulatory_catalogue()
    rows: list[dict[str, Any]] = [
        {
            "pathway": name,
            "title": package.title,
            "requirements": len(package.requirement_ids()),
            "sections": [{"number": s.number, "title": s.title, "artefacts": s.artefacts} for s in package.sections],
        }
        for name, package in regulations.packages.items()
    ]
    if as_json:
        click.echo(json.dumps({"as_of": regulations.order.meta.as_of, "pathways": rows}, indent=2))
        return
    for row in rows:
        click.echo(f"{row['pathway']}  {row['title']}: {row['requirements']} requirements")
        for section in row["sections"]:
            number = f" [{section['number']}]" if section["number"] else ""
            click.echo(f"    {section['title']}{number}: {', '.join(section['artefacts'])}")
    click.echo(f"{len(rows)} pathways, as of {regulations.order.meta.as_of}")
