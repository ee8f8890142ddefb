"""`validation impact`: what a change asks for, before anything is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("impact")
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--change",
    "changes",
    multiple=True,
    required=True,
    metavar="KIND=VALUE",
    help="scanner, model, kernel, software, pacs, population or alarm, and what it is now; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(study: Path, changes: tuple[str, ...], as_json: bool) -> None:
    """Say what is due for STUDY after a change: endpoints, checks, documents. Nothing is opened or decided."""
    from validation.change.triggers import impact, parse_changes
    from validation.protocol.load import load_protocol
    from validation.study.spec import load_study

    loaded = load_study(study)
    found = impact(load_protocol(loaded.protocol_path), parse_changes(changes))
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else page(found))


def page(found: dict[str, Any]) -> str:
    """Return the impact of changes as a page of text."""
    lines = []
    for trigger in found["triggers"]:
        lines += [f"{trigger['value']}: {trigger['title']}", f"  note      {trigger['note']}"]
        lines.append(f"  source    {trigger['source']}")
    lines.append("to be met again")
    lines += [f"  {name:<8}  {e['title']} ({e['role']})" for name, e in found["endpoints"].items()] or ["  no endpoint"]
    for title, key in (("checks", "checks"), ("documents due", "documents"), ("may cover it", "modifications")):
        if found[key]:
            lines.append(title)
            lines += [f"  {name}: {text}" for name, text in found[key].items()]
    if found["people"]:
        lines.append("for people")
        lines += [f"  {text}" for text in found["people"]]
    return "\n".join([*lines, found["notice"]])
