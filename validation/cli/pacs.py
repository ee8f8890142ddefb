"""`validation pacs`: pull a cohort, export and push what a model made, prove what an archive keeps."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
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
@click.option("--manufacturer", default="", help="Who makes the model, as the objects state it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@by_option
def export(
    run: Path,
    folder: Path,
    cases: tuple[str, ...],
    manufacturer: str,
    as_json: bool,
    actor: str,
) -> int:
    """Write what the model made of the cases of RUN as DICOM: a derived series, or masks, contours and volumes.

    The objects belong to the patient and study of their source, so they are for an archive, never for the evidence.
    """
    from validation.study.export import export_run

    done = export_run(
        run, folder, actor=actor, cases=cases, manufacturer=manufacturer,
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


@command.command("check")
@click.option("--server", type=_FILE, required=True, help="Settings file of the archive.")
@click.option("--via", type=click.Choice(["dicomweb", "dimse"]), default=None, help="Only this channel.")
@click.option("--to", "folder", type=_FOLDER, required=True, help="Folder for the acceptance record.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@by_option
def check(server: Path, via: str | None, folder: Path, as_json: bool, actor: str) -> int:
    """Prove that an archive keeps what is written: send a made-up study, fetch it back, compare.

    Writes the acceptance record (JSON, HTML, PDF, Word). The test study stays in the archive under the patient
    number that the record names.
    """
    import secrets

    from validation.dicom.pacs.check import check_archive
    from validation.dicom.pacs.settings import load_server
    from validation.digest import canonical_json, write_atomically
    from validation.dossier.integration import acceptance_blocks, write_documents
    from validation.errors import UsageProblem

    settings = load_server(server)
    if via and via not in settings.channels():
        raise UsageProblem(f"the settings do not describe {via!r}.", code="PACS-010", where="--via")
    say = (lambda _text: None) if as_json else (lambda text: click.echo(text, err=True))
    record = check_archive(
        settings, [via] if via else settings.channels(), nonce=secrets.token_hex(4), by=actor, progress=say
    )
    write_atomically(folder / "acceptance.json", canonical_json(record))
    write_documents(
        folder, "acceptance", "Interface acceptance record", settings.name, acceptance_blocks(record),
        moment=record["performed"],
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
    else:
        for channel, entries in record["channels"].items():
            for entry in entries:
                click.echo(f"{channel:9} {entry['id']}  {entry['outcome']:9} {entry['title']}")
                if entry["outcome"] != "met":
                    click.echo(f"{'':17}{entry['detail']}")
        met = f"{record['n_needed_met']} of {record['n_needed']} needed checks met"
        click.echo(f"{met}; proposal: {record['proposal']}")
        click.echo(f"record: {folder / 'acceptance.pdf'}")
    return 0 if record["proposal"] == "accept" else 1


@command.command("statement")
@click.option("--server", type=_FILE, default=None, help="Settings file of the archive, to be shown too.")
@click.option("--to", "folder", type=_FOLDER, required=True, help="Folder for the document.")
def statement(server: Path | None, folder: Path) -> None:
    """Write the integration documentation: DICOM conformance, output objects, IHE, network and security."""
    from validation import __version__
    from validation.dicom.pacs.settings import load_server
    from validation.dossier.integration import integration_blocks, write_documents

    facts = None if server is None else load_server(server).facts()
    paths = write_documents(
        folder, "integration", "Integration documentation", f"genmed-validation {__version__}",
        integration_blocks(facts),
        moment=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )  # fmt: skip
    for path in paths:
        click.echo(str(path))


def _progress(what: str, *, quiet: bool) -> Callable[[int, int], None]:
    """Return a counter line on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        return lambda _done, _all: None
    return lambda done, total: click.echo(f"\r{done} of {total} {what}", nl=done >= total, err=True)
