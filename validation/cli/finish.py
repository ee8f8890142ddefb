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
        click.echo(f"record     {run}")
        click.echo(f"documents  {len([p for p in documents if p.suffix == '.pdf'])} as PDF, HTML and Word; begin with")
        for path in documents:
            if path.name == "performance_validation_report.pdf":
                click.echo(f"           {path}")
        if not named:
            click.echo("not signed: give --key, or `signing_key` in study.yaml", err=True)
    return exit_code(results)


def exit_code(results: dict[str, Any]) -> int:
    """Return 0 if every confirmatory criterion is met, else 1."""
    return 0 if results["proposal"]["outcome"] == "pass" else 1


def show(results: dict[str, Any]) -> None:
    """Print the verdict table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from validation.protocol.units import plural, unit_word

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # a log file has no width of its own
    facts = f"protocol {results['protocol']['id']} {results['protocol']['version']}"
    units = plural(unit_word(results))
    count = f"{results['cohort']['n_analysed']} cases, {results['cohort']['n_clusters']} independent {units}"
    console.print(f"[bold]{escape(results['study']['title'])}[/]\n{facts}; {count}")
    table = Table(expand=False)
    table.add_column("", no_wrap=True)
    table.add_column("endpoint", ratio=1)
    table.add_column("estimate (interval)", justify="right", no_wrap=True)
    table.add_column("criterion", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    role = None
    for name, section in results["endpoints"].items():
        estimate, verdict = section["estimate"], section["verdict"]
        if role not in (None, section["role"]):
            table.add_section()
        role = section["role"]
        outcome = "reported" if verdict["hypothesis"] == "descriptive" else verdict["outcome"]
        unit = "" if section["unit"] == "1" else f" {section['unit']}"
        table.add_row(
            name,
            escape(section["title"]),
            f"{_number(estimate['value'])} ({_number(estimate['lower'])} to {_number(estimate['upper'])}){unit}",
            _criterion(section),
            str(estimate["n_clusters"] or estimate["n"]),
            f"[{_COLOURS.get(outcome, 'white')}]{outcome}[/]",
        )
    console.print(table)
    console.print("n counts what is independent; cases of one unit are not counted apart", style="dim")
    proposal = results["proposal"]
    console.print(f"proposal: [{_COLOURS[proposal['outcome']]}]{proposal['outcome']}[/] - {escape(proposal['reason'])}")
    for reason in results["run"]["draft_reasons"]:
        console.print(f"[yellow]DRAFT[/]: {escape(reason)}")
    if results["study"]["notice"]:
        console.print(escape(results["study"]["notice"]), style="dim")
    console.print("The gate proposes; a named person decides with `validation sign`.")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}".replace("-", "\u2212")


def _criterion(section: dict[str, Any]) -> str:
    """Return the criterion in a few words, such as ``below −5`` or ``within ±5``."""
    hypothesis = section["hypothesis"]
    kind, margin = hypothesis["type"], hypothesis["margin"]
    if kind == "descriptive":
        return "-"
    if kind == "equivalence":
        if margin is not None:
            return f"within ±{_number(margin)}"
        return f"within {_number(hypothesis['lower'])} to {_number(hypothesis['upper'])}"
    if kind == "non_inferiority":
        return f"not worse by {_number(margin)}"
    better = hypothesis["better"] or section["direction"].split(" ")[0]
    return f"{'above' if better == 'higher' else 'below'} {_number(margin or 0.0)}"
