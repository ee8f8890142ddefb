"""`validation init`: begin a study folder."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--claim", required=True, help="Type of the claim, e.g. low_dose_denoising.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(folder: Path, claim: str, as_json: bool) -> int:
    """Begin a study in FOLDER: a protocol and a study file to fill in, made for the type of claim."""
    from difflib import get_close_matches

    from validation.errors import UsageProblem
    from validation.protocol.claims import catalogue
    from validation.study.start import begin_study

    known = catalogue()["claims"]
    if claim not in known:
        near = get_close_matches(claim, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
        raise UsageProblem(f"there is no claim type {claim!r}.", code="CLI-003", where="--claim", action=hint)
    written = begin_study(folder, claim)
    if as_json:
        click.echo(json.dumps({"written": [str(path) for path in written]}))
    else:
        for path in written:
            click.echo(f"wrote {path}")
        click.echo(f"next: follow {folder / 'README.md'}")
    return 0
