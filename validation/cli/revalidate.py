"""`validation revalidate`: a new cohort under the locked criteria, compared with a signed baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from validation.cli.who import by_option

if TYPE_CHECKING:
    from validation.study.spec import Study

_COLOURS = {"continue": "green", "restrict": "yellow", "hold": "red", "within": "green", "outside": "red"}


@click.command("revalidate")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--baseline", required=True, type=click.Path(path_type=Path), help="Signed run to compare with.")
@click.option(
    "--cohort", required=True, type=click.Path(path_type=Path, exists=True), help="Folder with the new cases.csv."
)
@click.option(
    "--change",
    "changes",
    multiple=True,
    required=True,
    metavar="KIND=VALUE",
    help="What was changed, such as scanner='Vendor X1'; may be repeated. See `validation impact`.",
)
@click.option("--last", type=click.Path(path_type=Path), help="Run of the last version; else the last accepted change.")
@click.option("--candidate", type=click.Path(path_type=Path), help="Changed model, as for `validation execute`.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--key", help="Private key file or key URI that signs; overrides study.yaml.")
@click.option("--trust", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Trusted public keys.")
@click.option("--allow-unsigned", is_flag=True, help="Accept a baseline that is not signed (a trial).")
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    study: Path,
    baseline: Path,
    cohort: Path,
    changes: tuple[str, ...],
    last: Path | None,
    candidate: Path | None,
    device: str,
    key: str | None,
    trust: Path | None,
    allow_unsigned: bool,
    actor: str,
    as_json: bool,
) -> int:
    """Revalidate STUDY on a new cohort after a change. Exit code 0: continue is proposed; 1: restrict or hold; 4: the
    baseline is not what was signed.

    The baseline is verified first. The proposal is not a decision: a named person signs.
    """  # noqa: D205 - click joins the lines
    from validation.change.candidate import read_candidate
    from validation.change.revalidation import Request, revalidate
    from validation.change.triggers import parse_changes
    from validation.evidence.keys import read_trust
    from validation.study.spec import load_study

    loaded = load_study(study)
    changed = read_candidate(candidate, loaded) if candidate else None
    request = Request(
        changes=parse_changes(changes),
        baseline=baseline,
        actor=actor,
        last=last,
        cohort=cohort,
        model=changed.model if changed else None,
        facts=changed.facts if changed else {},
        training_manifest=changed.training_manifest if changed else None,
        device=device,
        trust=read_trust(trust) if trust else None,
        allow_unsigned=allow_unsigned,
        quiet=as_json,
    )
    run, record = revalidate(loaded, request)
    return finish_change(loaded, run, record, key=key, actor=actor, as_json=as_json)


def finish_change(
    study: Study, run: Path, record: dict[str, Any], *, key: str | None, actor: str, as_json: bool
) -> int:
    """Write the documents of a change, close and sign the run, register it, print it; return the exit code."""
    from validation.change.revalidation import register
    from validation.digest import sha256_file
    from validation.dossier.change_documents import render_change
    from validation.evidence.attestation import close
    from validation.evidence.keys import load_signer
    from validation.evidence.manifest import MANIFEST_FILE

    named = key or (str(study.signing_key_path) if study.signing_key_path else None)
    if (run / MANIFEST_FILE).exists():  # interrupted after closing
        documents, digest = [], sha256_file(run / MANIFEST_FILE)
    else:
        documents = render_change(run)
        digest = close(run, load_signer(named) if named else None).manifest_sha256
    register(study, run, record, manifest_sha256=digest, actor=actor)
    if as_json:
        click.echo(json.dumps({"run": str(run), "signed": bool(named), "record": record}, indent=2, ensure_ascii=False))
    else:
        _show(record)
        click.echo(f"record    {run}")
        for path in documents:
            click.echo(f"document  {path}")
        if not named:
            click.echo("not signed: give --key, or `signing_key` in study.yaml", err=True)
    met = record["proposal"]["use"] == "continue"
    return 0 if met else 1


def _show(record: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    proposal = record["proposal"]
    for name, part in record["differences"].items():
        verdict = record["endpoints"][name]["verdict"]
        release = part["verdict"]
        moved = "reported" if release["hypothesis"] == "descriptive" else release["outcome"]
        met = "reported" if verdict["hypothesis"] == "descriptive" else verdict["outcome"]
        console.print(f"{name:<6} criterion {met:<13} release limit {moved:<13} {part['title']}", markup=False)
    if record.get("result"):
        console.print(f"change protocol: [{_COLOURS[record['result']]}]{record['result']}[/]")
    console.print(f"proposed use: [{_COLOURS[proposal['use']]}]{proposal['use']}[/]; route: {proposal['route_title']}")
    for reason in proposal["reasons"]:
        console.print(f"  {reason['text']}", markup=False)
    for action in proposal["actions"]:
        console.print(f"  -> {action}", markup=False)
    console.print(proposal["notice"])
