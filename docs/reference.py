"""Write docs/reference/*.md from the program itself: verbs, protocol fields, metrics, summaries, error codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

import validation.statistics.summaries  # registers the summaries
from validation import metrics
from validation.cli.main import VERBS, cli
from validation.protocol.schema import Protocol
from validation.registry import all_metrics, all_summaries
from validation.study.spec import StudySpec

OUT = Path(__file__).resolve().parent / "reference"
NOTE = "<!-- written by `make docs`; do not edit -->\n\n"


def cell(text: Any) -> str:
    """Return text that fits into a table cell."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows]) + "\n"


def verbs() -> str:
    """Return the help of every verb."""
    parts = ["# Verbs\n"]
    context = click.Context(cli, info_name="validation")
    for title, group in VERBS.items():
        if group:
            parts.append(f"## {title}\n")
        for verb in group:
            command = cli.get_command(context, verb)
            if command is not None:
                with click.Context(command, info_name=verb, parent=context, max_content_width=100) as own:
                    parts.append(f"### {verb}\n\n```\n{command.get_help(own)}\n```\n")
    return "\n".join(parts)


def fields(title: str, schema: dict[str, Any]) -> str:
    """Return the fields of a file, part by part."""
    parts = [f"# {title}\n", "`validation schema` prints the same as JSON Schema, for editors.\n"]
    for name, part in [(title, schema), *schema.get("$defs", {}).items()]:
        if "properties" not in part:
            continue
        rows = [
            [f"`{key}`", kind(value), "required" if key in part.get("required", []) else value.get("default", ""),
             value.get("description", "")]
            for key, value in part["properties"].items()
        ]  # fmt: skip
        parts += [f"## {name}\n", part.get("description", ""), "", table(["field", "type", "default", "meaning"], rows)]
    return "\n".join(parts)


def kind(value: dict[str, Any]) -> str:
    """Return the type of a field in words."""
    if "$ref" in value:
        return str(value["$ref"]).rsplit("/", 1)[-1]
    if "enum" in value:
        return ", ".join(map(str, value["enum"]))
    if "anyOf" in value:
        return " or ".join(kind(v) for v in value["anyOf"])
    if value.get("type") == "array":
        return f"list of {kind(value.get('items', {}))}"
    return str(value.get("const", value.get("type", "any")))


def main() -> None:
    """Write every page."""
    metrics.load()
    metric_rows = [
        [f"`{m.name}`", m.family, m.kind.value, m.unit, m.direction.value, m.summary_line, m.reference, m.oracle]
        for m in all_metrics()
    ]
    summary_rows = [
        [f"`{s.name}`", ", ".join(sorted(s.needs)), s.unit, s.summary_line, s.reference] for s in all_summaries()
    ]
    codes = yaml.safe_load((Path(validation.__file__).parent / "error_codes.yaml").read_text(encoding="utf-8"))
    head = ["metric", "family", "per", "unit", "direction", "what", "reference", "tested against"]
    pages = {
        "verbs": verbs(),
        "protocol": fields("Protocol file", Protocol.model_json_schema(by_alias=True)),
        "study": fields("Study file", StudySpec.model_json_schema(by_alias=True)),
        "metrics": "# Metrics\n\n" + table(head, metric_rows),
        "summaries": "# Summaries\n\n" + table(["summary", "needs", "unit", "what", "reference"], summary_rows),
        "errors": "# Error codes\n\n" + table(["code", "meaning"], [[k, v] for k, v in sorted(codes.items())]),
    }
    OUT.mkdir(exist_ok=True)
    for name, text in pages.items():
        (OUT / f"{name}.md").write_text(NOTE + text.rstrip() + "\n", encoding="utf-8")
    print(f"{len(pages)} pages in {OUT}")


if __name__ == "__main__":
    main()
