"""`validation package`: one archive with a run and the means to check it."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("package")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The .zip (or .json) to write."
)
@click.option("--draft", is_flag=True, help="Allow a DRAFT or unsigned run; the package says so.")
@click.option(
    "--suppress",
    type=click.IntRange(2),
    metavar="K",
    help="Write a JSON extract of the results instead, without cells of fewer than K patients; it is not the record.",
)
@click.option(
    "--edition",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Edition of the documents to pack; the newest one of the run if omitted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, out: Path, draft: bool, suppress: int | None, edition: Path | None, as_json: bool) -> None:
    """Pack RUN with verify.py, a viewer and a README for the auditor; the same run gives the same bytes.

    A package is the run as it was signed, small cells included. For a copy that leaves the site use --suppress. It is
    final only if nothing that its pathways require is open (`validation gaps` lists it). Otherwise it is refused, or,
    with --draft, says what is open.
    """
    if suppress is not None:
        _extract(run, out, suppress, draft=draft, as_json=as_json)
        return
    from validation.dossier.viewer import run_page
    from validation.evidence.edition import editions_of
    from validation.evidence.package import write_package
    from validation.evidence.results import read_results
    from validation.study.assemble import SCHEMA

    # the viewer shows runs of one model; a comparison of several has a page of its own in its dossier
    one_model = read_results(run).get("schema") == SCHEMA
    viewer = run_page(run, beside=f"{run.resolve().name}/") if one_model else None
    edition = edition or next(reversed(editions_of(run)), None)
    not_final = _not_final(run, edition) if one_model else []
    digest = write_package(run, out, draft=draft, viewer=viewer, edition=edition, not_final=not_final)
    size = out.stat().st_size
    if as_json:
        click.echo(json.dumps({"package": str(out), "sha256": digest, "size": size}, indent=2))
        return
    click.echo(f"{out}  {size / 1e6:.1f} MB\nSHA-256 {digest}\ncheck it with: validation verify {out} --trust FOLDER")


def _extract(run: Path, out: Path, minimum: int, *, draft: bool, as_json: bool) -> None:
    """Verify the run and write its results without small cells."""
    from validation.digest import sha256_file
    from validation.errors import IntegrityProblem
    from validation.evidence.extract import write_extract
    from validation.evidence.verify import verify_run

    report = verify_run(run, allow_unsigned=draft)
    if not report.intact:
        first = report.findings[0]
        raise IntegrityProblem(f"{first.file}: {first.what}.", code=first.code, where=str(run / first.file))
    write_extract(run, out, minimum=minimum)
    if as_json:
        click.echo(json.dumps({"extract": str(out), "sha256": sha256_file(out)}, indent=2))
        return
    click.echo(f"{out}  results without cells of fewer than {minimum} patients; not the record, which stays here")


def _not_final(run: Path, edition: Path | None) -> list[str]:
    """Return what keeps the documents from being final, for the pathways that they were rendered for."""
    from validation.dossier.final import reasons_not_final
    from validation.evidence.edition import read_edition

    pathways = read_edition(edition)["pathways"] if edition is not None else None
    return reasons_not_final(run.resolve(), edition=edition, pathways=pathways)
