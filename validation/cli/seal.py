"""`validation seal`: fix the holdout by the hashes of all its files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from validation.cli.who import by_option


@click.command("seal")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--reason", default="", help="Why a sealed cohort is sealed again.")
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(study: Path, reason: str, actor: str, as_json: bool) -> int:
    """Seal the cohort of STUDY: write the SHA-256 of every file, and note it in the ledger."""
    from validation.study.prepare import seal_study
    from validation.study.spec import load_study

    manifest = seal_study(load_study(study), signer=actor, reason=reason)
    if as_json:
        facts = {"digest": manifest["digest"], "cases": manifest["n_cases"], "files": len(manifest["files"])}
        click.echo(json.dumps(facts))
    else:
        click.echo(f"sealed {manifest['n_cases']} cases in {len(manifest['files'])} files, digest {manifest['digest']}")
    return 0
