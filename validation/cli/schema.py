"""`validation schema`: JSON Schema of the files a person writes, so that editors complete and check them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("schema")
@click.argument("kind", type=click.Choice(["protocol", "study", "comparison"]), default="protocol")
@click.option("--out", type=click.Path(path_type=Path), help="Write to a file instead of the terminal.")
@click.option("--json", "as_json", is_flag=True, help="The output is JSON with or without this.")
def command(kind: str, out: Path | None, as_json: bool) -> None:
    """Print the JSON Schema of a protocol, study or comparison file."""
    schema: dict[str, Any]
    if kind == "protocol":
        from validation.protocol.schema import Protocol

        schema = Protocol.model_json_schema(by_alias=True)
    elif kind == "comparison":
        from validation.comparison.spec import ComparisonSpec

        schema = ComparisonSpec.model_json_schema(by_alias=True)
    else:
        from validation.study.spec import StudySpec

        schema = StudySpec.model_json_schema(by_alias=True)
    text = json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2)
    if out is None:
        click.echo(text)
    else:
        from validation.digest import write_atomically

        write_atomically(out, (text + "\n").encode())
        click.echo(f"wrote {out}", err=True)
