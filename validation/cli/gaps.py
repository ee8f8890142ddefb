"""`validation gaps`: what a pathway asks for the claim, what a run answers, and what persons must write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

if TYPE_CHECKING:
    from validation.dossier.gaps import Gaps
    from validation.protocol.schema import Pathway, Protocol

_COLOURS = {"met": "green", "written": "green", "planned": "cyan", "waived": "cyan", "open": "yellow", "missing": "red"}
_ANSWERED = {"generated": "run", "partly": "run and person", "manual": "person", "not_applicable": "-"}


@click.command("gaps")
@click.argument("study", type=click.Path(path_type=Path, exists=True))
@click.option("--pathway", default=None, help="One pathway; all pathways of the claim if omitted.")
@click.option(
    "--run", type=click.Path(path_type=Path, exists=True, file_okay=False), help="A run to look answers up in."
)
@click.option(
    "--edition",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An edition of the documents of that run, looked at instead.",
)
@click.option("--profile", default=None, help="Look at the run's files by this profile, such as fda_ecopy.")
@click.option("--write-narratives", is_flag=True, help="Write an empty block for everything a person must write.")
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path, dir_okay=False), help="Write every row to a CSV file."
)
@click.option("--all", "every", is_flag=True, help="Show every requirement, not only the counts and what is missing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    study: Path,
    pathway: str | None,
    run: Path | None,
    edition: Path | None,
    profile: str | None,
    write_narratives: bool,
    csv_path: Path | None,
    every: bool,
    as_json: bool,
) -> int:
    """Show what STUDY (its folder) still lacks. No data are opened, and no model is needed.

    Exit code 0 if nothing required is missing, 1 if something is. Without --run, what a run will make counts as
    planned, not as missing: 0 then means that persons have written their part.
    """
    from validation.dossier.gaps import analyse, requests
    from validation.dossier.gaps_csv import write_csv
    from validation.dossier.profiles import profile as named_profile
    from validation.study.narrative import write_requests

    folder, protocol = _read(study)
    chosen = named_profile(profile) if profile else None
    if chosen is not None and run is None:
        raise click.UsageError("--profile looks at the files of a run: give --run.")
    if edition is not None and run is None:
        raise click.UsageError("--edition is of a run: give --run too.")
    reports = [
        analyse(folder, protocol.claim.type, name, run_folder=run, edition=edition, profile=chosen, protocol=protocol)
        for name in _pathways(protocol, pathway)
    ]
    written: list[Path] = []
    if write_narratives:
        for report in reports:
            written += [p for p in write_requests(folder, requests(report)) if p not in written]
    if csv_path is not None:
        write_csv(csv_path, reports)
    code = 0 if all(report.complete for report in reports) else 1
    if as_json:
        record = {
            "study": folder.name,
            "complete": code == 0,
            "pathways": [report.to_dict() for report in reports],
            "written": [str(p.relative_to(folder)) for p in written],
        }
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return code
    for report in reports:
        _show(report, every=every)
    if write_narratives:
        click.echo(f"{len(written)} narrative block(s) written to {folder / 'narrative'}")
    return code


def _read(study: Path) -> tuple[Path, Protocol]:
    """Return the study folder and its protocol; data and model need not be there yet."""
    from validation.errors import UsageProblem
    from validation.protocol.load import load_protocol, load_yaml_model
    from validation.study.spec import FILE, StudySpec

    file = study / FILE if study.is_dir() else study
    if not file.is_file():
        raise UsageProblem(
            "there is no study.yaml here.",
            code="RUN-050",
            where=str(study),
            why="The claim and its pathways stand in the protocol of the study.",
            action="Give the folder that holds study.yaml, or begin one with `validation init`.",
        )
    return file.parent, load_protocol(file.parent / load_yaml_model(file, StudySpec).protocol)


def _pathways(protocol: Protocol, wanted: str | None) -> list[Pathway]:
    from validation.protocol.schema import Pathway

    if wanted is None:
        return protocol.claim.pathways
    found: list[Pathway] = [name for name in get_args(Pathway) if name == wanted]
    if not found:
        raise click.UsageError(f"there is no pathway {wanted!r}; choose from {', '.join(get_args(Pathway))}.")
    return found


def _show(report: Gaps, *, every: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    basis = f"run {report.run}" if report.run else "no run yet"
    table = Table(title=f"{report.pathway} for {report.claim} ({report.applicability}); {basis}", title_justify="left")
    for column in ("artefact", "need", "answered by", "state", "where, or what is lacking"):
        table.add_column(column, overflow="fold")
    for row in report.artefacts:
        place = "; ".join(part for part in (*row.where, "" if row.state in ("met", "planned") else row.because) if part)
        state = f"[{_COLOURS.get(row.state, 'white')}]{row.state}[/]"
        table.add_row(row.id, row.need, _ANSWERED[row.classification], state, escape(place))
    console.print(table)
    if report.note:
        console.print(escape(f"note: {report.note}"))
    counts = report.counts()
    shown = {key.replace("_", " "): n for key, n in counts["classification"].items()}
    console.print(f"{len(report.requirements)} requirements: " + ", ".join(f"{n} {key}" for key, n in shown.items()))
    states = {key: n for key, n in counts["state"].items() if n and key != "none"}
    console.print("of those that apply: " + ", ".join(f"{n} {key}" for key, n in states.items()))
    for row in report.requirements:
        if every or (row.blocking and report.run and row.state == "missing"):
            console.print(escape(f"  {row.id}  {row.need}, {_ANSWERED[row.classification]}, {row.state}: {row.title}"))
            detail = "; ".join(part for part in (*row.where, row.because) if part)
            console.print(escape(f"      {detail}" if detail else ""), highlight=False)
    for finding in report.findings:
        console.print(escape(f"  {finding.severity} {finding.file}: {finding.text} [{finding.rule}; {finding.source}]"))
    if report.run and report.profile:
        console.print(f"files looked at by profile {report.profile}: {len(report.findings)} finding(s)")
    if report.draft:
        console.print("the run is a DRAFT, so the file is not complete")
    missing = sum(row.blocking for row in report.artefacts)
    verdict = "nothing required is missing" if report.complete else f"{missing} required artefact(s) not there yet"
    console.print(f"{verdict}; catalogue of {report.as_of}, to be checked against the current texts before a filing")
