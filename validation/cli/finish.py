"""What `run` and `resume` share: dossier, signature, and the verdict table on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from validation.study.spec import Study

_COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow", "error": "red", "waived": "cyan"}


def finish(study: Study, run: Path, results: dict[str, Any], *, key: str | None, as_json: bool) -> int:
    """Render the documents, close and sign the run, print what came out; return the exit code."""
    from validation.dossier import render
    from validation.evidence.attestation import close
    from validation.evidence.keys import load_signer

    documents = render(run, results["claim"]["pathways"])
    named = key or (str(study.signing_key_path) if study.signing_key_path else None)
    close(run, load_signer(named) if named else None)
    if as_json:
        click.echo(json.dumps({"run": str(run), "signed": bool(named), "results": results}, indent=2))
    else:
        show(results)
        click.echo(f"record    {run}")
        for path in documents:
            if path.suffix == ".pdf":
                click.echo(f"document  {path}")
        if not named:
            click.echo("not signed: give --key, or `signing_key` in study.yaml", err=True)
    return exit_code(results)


def exit_code(results: dict[str, Any]) -> int:
    """Return 0 if every confirmatory criterion is met, else 1."""
    return 0 if results["proposal"]["outcome"] == "pass" else 1


def show(results: dict[str, Any]) -> None:
    """Print the verdict table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    title = f"{results['study']['title']} - {results['protocol']['id']} {results['protocol']['version']}"
    table = Table(title=title, title_justify="left", show_lines=False)
    for column, justify in (("", "left"), ("endpoint", "left"), ("role", "left"), ("estimate", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_column("interval", justify="right")
    table.add_column("criterion", justify="left")
    table.add_column("n", justify="right")
    table.add_column("verdict", justify="left")
    for name, section in results["endpoints"].items():
        estimate, verdict = section["estimate"], section["verdict"]
        outcome = "reported" if verdict["hypothesis"] == "descriptive" else verdict["outcome"]
        table.add_row(
            name,
            section["title"],
            section["role"],
            f"{_number(estimate['value'])} {section['unit'] if section['unit'] != '1' else ''}".strip(),
            f"{_number(estimate['lower'])} to {_number(estimate['upper'])}",
            _criterion(section["hypothesis"]),
            str(estimate["n_clusters"] or estimate["n"]),
            f"[{_COLOURS.get(outcome, 'white')}]{outcome}[/]",
        )
    console.print(table)
    proposal = results["proposal"]
    console.print(f"proposal: [{_COLOURS[proposal['outcome']]}]{proposal['outcome']}[/] - {proposal['reason']}")
    for reason in results["run"]["draft_reasons"]:
        console.print(f"[yellow]DRAFT[/]: {reason}")
    if results["study"]["notice"]:
        console.print(f"[dim]{results['study']['notice']}[/]")
    console.print("The gate proposes; a named person decides with `validation sign`.")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}".replace("-", "\u2212")


def _criterion(hypothesis: dict[str, Any]) -> str:
    kind = hypothesis["type"].replace("_", "-")
    if hypothesis["type"] == "descriptive":
        return "-"
    if hypothesis["lower"] is not None:
        return f"{kind} {_number(hypothesis['lower'])} to {_number(hypothesis['upper'])}"
    return f"{kind} {_number(hypothesis['margin'] or 0.0)}"
