"""`validation compare`: several models on one locked protocol and one set of cases, as one signed record and page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from validation.cli.who import by_option

if TYPE_CHECKING:
    from validation.study.spec import Study

_COLOURS = {"fit": "green", "not fit": "red", "not shown": "yellow"}


@click.command("compare")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--comparison", type=click.Path(path_type=Path), help="Comparison file; else comparison.yaml in STUDY.")
@click.option(
    "--on",
    type=click.Choice(["development", "holdout"]),
    default="development",
    show_default=True,
    help="Which cases; `holdout` opens the sealed cohort, and the ledger says so.",
)
@click.option("--purpose", default="comparison of candidate models", show_default=True, help="For the ledger.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--limit", type=click.IntRange(min=1), help="Measure only the first N cases (a draft).")
@click.option("--resume", type=click.Path(path_type=Path, file_okay=False), help="Carry on an interrupted comparison.")
@click.option("--key", help="Private key file or key URI that signs; overrides study.yaml.")
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    study: Path,
    comparison: Path | None,
    on: str,
    purpose: str,
    device: str,
    limit: int | None,
    resume: Path | None,
    key: str | None,
    actor: str,
    as_json: bool,
) -> int:
    """Compare the models that STUDY/comparison.yaml names, under the study's locked protocol.

    By default on the development set, which leaves the sealed holdout closed. Exit code 0: every purpose has a model
    that is shown to be fit for it; 1: some purpose has none.
    """
    from validation.comparison.conduct import begin, carry_on
    from validation.comparison.record import judge_comparison
    from validation.study.spec import load_study

    loaded = load_study(study)
    folder = resume or begin(
        loaded,
        comparison,
        on="holdout" if on == "holdout" else "development",
        device=device,
        purpose=purpose,
        actor=actor,
        limit=limit,
    )
    click.echo(f"comparison {folder}", err=True)
    results = carry_on(loaded, folder, judge_comparison, actor=actor, quiet=as_json)
    return _finish(loaded, folder, results, key=key, as_json=as_json)


def _finish(study: Study, folder: Path, results: dict[str, Any], *, key: str | None, as_json: bool) -> int:
    """Write the page, close and sign the record, print what came out; return the exit code."""
    from validation.dossier.comparison_page import render_comparison
    from validation.evidence.attestation import close
    from validation.evidence.keys import load_signer

    documents = render_comparison(folder)
    named = key or (str(study.signing_key_path) if study.signing_key_path else None)
    close(folder, load_signer(named) if named else None)
    if as_json:
        click.echo(json.dumps({"run": str(folder), "signed": bool(named), "results": results}, indent=2))
    else:
        show(results)
        click.echo(f"record     {folder}")
        for path in documents:
            click.echo(f"document   {path}")
        if not named:
            click.echo("not signed: give --key, or `signing_key` in study.yaml", err=True)
    return 0 if results["proposal"]["outcome"] == "pass" else 1


def show(results: dict[str, Any]) -> None:
    """Print which model is fit for which purpose, and what the differences came to."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # a log file has no width of its own
    cohort = results["cohort"]
    console.print(f"[bold]{escape(results['study']['title'])}[/]")
    console.print(
        f"{results['comparison']['set']} set: {cohort['n_cases']} cases, "
        f"{cohort['n_clusters']} independent patients or scans"
    )
    table = Table(expand=False)
    table.add_column("purpose")
    for candidate in results["candidates"].values():
        table.add_column(escape(candidate["label"]))
    for name, purpose in results["purposes"].items():
        cells = [f"[{_COLOURS[c['outcome']]}]{c['outcome']}[/]" for c in purpose["candidates"].values()]
        table.add_row(escape(f"{name} {purpose['title']}"), *cells)
    console.print(table)
    words = [row["finding"] for pair in results["differences"]["pairs"].values() for row in pair["endpoints"].values()]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    console.print(f"{len(words)} paired differences: {counts}", style="dim")
    for reason in results["run"]["draft_reasons"]:
        console.print(f"[yellow]DRAFT[/]: {escape(reason)}")
    if results["study"]["notice"]:
        console.print(escape(results["study"]["notice"]), style="dim")
    console.print(escape(results["proposal"]["reason"]))
