"""`validation pacs`: pull a cohort, export and push what a model made, prove what an archive keeps."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from validation.cli.who import by_option

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group("pacs")
def command() -> None:
    """Work with a picture archive over DICOMweb or DIMSE; a settings file describes it (docs/pacs.md)."""


def _archive(call: Callable[..., Any]) -> Callable[..., Any]:
    call = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(call)
    call = click.option(
        "--via", type=click.Choice(["dicomweb", "dimse"]), default=None, help="Channel, if not the first."
    )(call)
    return click.option("--server", type=_FILE, required=True, help="Settings file of the archive.")(call)


@command.command("pull")
@_archive
@click.option("--to", "folder", type=_FOLDER, required=True, help="Cohort folder; an interrupted pull goes on in it.")
@click.option("--patient", default="", help="Patient ID; * for any characters.")
@click.option("--accession", default="", help="Accession number.")
@click.option("--study", default="", help="Study Instance UID.")
@click.option("--series", default="", help="Series Instance UID.")
@click.option("--modality", default="", help="CT, MR ...")
@click.option("--since", default="", help="First study date, YYYYMMDD.")
@click.option("--until", default="", help="Last study date, YYYYMMDD.")
@click.option("--study-description", default="", help="Description of the study; * for any characters.")
@click.option("--series-description", default="", help="Description of the series; * for any characters.")
@click.option(
    "--profile", default="cohort", show_default=True, help="De-identification: cohort, strict, or a YAML file."
)
@click.option("--key-in", type=_FOLDER, default=None, help="Folder of the pseudonym key; default: that above --to.")
def pull(
    server: Path, via: str | None, as_json: bool, folder: Path, profile: str, key_in: Path | None, **query: str
) -> None:
    """Pull the series that match into a cohort folder, de-identified, with a case table.

    The pseudonym key (pseudonym.key, above --to) stays where it is; the same key gives the same pseudonyms.
    An interrupted pull goes on with the same command.
    """
    from validation.cohort.pseudonyms import study_key
    from validation.dicom.confidentiality import profile as named
    from validation.dicom.pacs.open import open_channel
    from validation.dicom.pacs.pull import pull as pulling
    from validation.dicom.pacs.query import Query
    from validation.dicom.pacs.settings import load_server

    settings, asked, options = load_server(server), Query(**query), named(profile)
    home = key_in or folder.resolve().parent
    home.mkdir(parents=True, exist_ok=True)
    with open_channel(settings, via or "") as channel:
        done = pulling(
            channel, asked, folder, key=study_key(home), options=options, where=settings.name,
            progress=_progress("objects", quiet=as_json),
        )  # fmt: skip
    refused = dict(sorted(done.refused.items()))
    if as_json:
        facts = {"series": done.series, "listed": done.listed, "written": done.written, "there_before": done.there}
        click.echo(json.dumps({**facts, "refused": refused, "folder": str(folder)}, indent=2))
        return
    click.echo(
        f"{done.series} series with {done.listed} objects match; {done.written} written, {done.there} were there"
    )
    for reason, count in refused.items():
        click.echo(f"  {count} left out: {reason}")
    click.echo(f"case table: {folder / 'cases.csv'}; what was done: {folder / 'pull.json'}")


@command.command("export")
@click.argument("run", type=_FOLDER)
@click.option("--to", "folder", type=_FOLDER, required=True, help="New folder, outside the run.")
@click.option("--case", "cases", multiple=True, help="Only this case; may be given again.")
@click.option("--label", "labels", multiple=True, help="VALUE=NAME of a structure, for models that answer with labels.")
@click.option("--manufacturer", default="", help="Who makes the model, as the objects state it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@by_option
def export(
    run: Path,
    folder: Path,
    cases: tuple[str, ...],
    labels: tuple[str, ...],
    manufacturer: str,
    as_json: bool,
    actor: str,
) -> int:
    """Write what the model made of the cases of RUN as DICOM: a derived series, or masks, contours and volumes.

    The objects belong to the patient and study of their source, so they are for an archive, never for the evidence.
    """
    from validation.study.export import export_run

    named = dict(_label(text) for text in labels)
    done = export_run(
        run, folder, actor=actor, cases=cases, labels=named, manufacturer=manufacturer,
        progress=_progress("cases", quiet=as_json),
    )  # fmt: skip
    files = sum(map(len, done.written.values()))
    if as_json:
        facts = {"cases": len(done.written), "files": files, "left_out": done.left_out, "folder": str(folder)}
        click.echo(json.dumps(facts, indent=2))
    else:
        click.echo(f"{len(done.written)} cases written as {files} objects to {folder}")
        for case_id, reason in done.left_out.items():
            click.echo(f"  left out: {case_id}: {reason}")
    return 1 if done.left_out else 0


def _label(text: str) -> tuple[int, str]:
    value, _, name = text.partition("=")
    if not value.strip().isdigit() or int(value) < 1 or not name.strip():
        raise click.UsageError(f"--label takes VALUE=NAME with a whole number from 1, not {text!r}.")
    return int(value), name.strip()


@command.command("push")
@_archive
@click.argument("folder", type=_FOLDER)
def push(server: Path, via: str | None, as_json: bool, folder: Path) -> int:
    """Send the derived objects below FOLDER, and check that the archive lists them. Originals are refused."""
    from validation.dicom.pacs.open import open_channel
    from validation.dicom.pacs.push import push as pushing
    from validation.dicom.pacs.settings import load_server

    settings = load_server(server)
    with open_channel(settings, via or "") as channel:
        done = pushing(channel, folder, archive=settings.name, progress=_progress("objects", quiet=as_json))
    if as_json:
        facts = {"files": done.files, "sent": done.sent, "sent_before": done.before}
        click.echo(json.dumps({**facts, "refused": done.refused, "not_listed": done.missing}, indent=2))
    else:
        click.echo(f"{done.files} objects: {done.sent} sent, {done.before} sent before")
        for name, reason in sorted(done.refused.items()):
            click.echo(f"  refused: {name}: {reason}")
        for name in done.missing:
            click.echo(f"  accepted, but not listed by the archive: {name}")
    return 1 if done.refused or done.missing else 0


def _progress(what: str, *, quiet: bool) -> Callable[[int, int], None]:
    """Return a counter line on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        return lambda _done, _all: None
    return lambda done, total: click.echo(f"\r{done} of {total} {what}", nl=done >= total, err=True)
