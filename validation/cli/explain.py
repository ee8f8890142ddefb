"""`validation explain CODE`: what an error code means."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path

import click
import yaml

from validation.errors import UsageProblem


@click.command("explain")
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(code: str, as_json: bool) -> None:
    """Explain an error CODE, such as COH-003."""
    path = Path(__file__).resolve().parent.parent / "error_codes.yaml"
    codes: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = code.strip().upper()
    if wanted not in codes:
        near = get_close_matches(wanted, codes, n=3)
        hint = f"Did you mean {', '.join(near)}?" if near else "Codes look like COH-003."
        raise UsageProblem(f"there is no error code {code!r}.", code="CLI-001", action=hint)
    click.echo(json.dumps({"code": wanted, "text": codes[wanted]}) if as_json else f"{wanted}: {codes[wanted]}")
