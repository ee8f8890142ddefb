"""`validation verify`: is this run what was signed, and do its numbers follow from its measurements."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from validation.errors import ValidationProblem

if TYPE_CHECKING:
    from validation.evidence.verify import Verification


@click.command("verify")
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--trust",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of public keys (*.pub.pem) of the people you trust, and roots of time authorities (*.tsa.pem).",
)
@click.option("--allow-unsigned", is_flag=True, help="Accept a run that was closed without a key.")
@click.option(
    "--document",
    "documents",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="An edited copy of a document or table (.docx, .html, .pdf, .csv, .xml, .json): find numbers that differ "
    "from the record of RUN.",
)
@click.option(
    "--edition",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Check an edition of the documents too; that of a package is always checked.",
)
@click.option(
    "--against",
    "earlier",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="For a change: runs or packages of earlier versions, if they do not lie beside RUN.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    run: Path,
    trust: Path | None,
    allow_unsigned: bool,
    documents: tuple[Path, ...],
    earlier: tuple[Path, ...],
    edition: Path | None,
    as_json: bool,
) -> int:
    """Verify RUN, a run folder or a package (.zip), offline. Exit code 0: intact; 4: not, and the files are named."""
    from validation.evidence.edition import editions_of
    from validation.evidence.keys import read_trust
    from validation.evidence.package import open_run
    from validation.evidence.timestamp import read_roots
    from validation.evidence.verify import UNSIGNED, verify_run

    with open_run(run) as opened:
        report = verify_run(
            opened.run_folder,
            trust=read_trust(trust) if trust else None,
            roots=read_roots(trust) if trust else None,
            allow_unsigned=allow_unsigned,
        )
        report.notes += opened.notes
        if all(finding.code == UNSIGNED for finding in report.findings):
            _recompute(opened.run_folder, report)
            _recompute_change(opened.run_folder, earlier, report)
        else:
            report.notes.append("estimates were not recomputed, because the files are not what was closed")
        if opened.viewer is not None:
            _compare_viewer(opened.viewer, opened.run_folder, report)
        editions = [opened.edition] if opened.edition else [edition] if edition else editions_of(opened.run_folder)
        for folder in editions if opened.edition or edition else ():
            _check_edition(folder, opened.run_folder, trust, report)
        for document in documents:
            _compare(document, opened.run_folder, editions, report)
    click.echo(json.dumps(_record(report), indent=2) if as_json else _page(report))
    return 0 if report.intact else 4


def _recompute(run_folder: Path, report: Verification) -> None:
    """Compute every estimate and verdict again from the stored measurements."""
    from validation.comparison.record import SCHEMA, judge_comparison
    from validation.evidence.results import RESULTS_FILE, read_results
    from validation.evidence.verify import Finding
    from validation.study.execute import judge_run
    from validation.study.reproduce import reproduce

    try:
        compared = read_results(run_folder).get("schema") == SCHEMA
        differences = reproduce(run_folder, judge_comparison if compared else judge_run)
    except ValidationProblem as problem:
        what = f"the results cannot be computed again: {problem.what}"
        report.findings.append(Finding(problem.where or RESULTS_FILE, what, problem.code))
        return
    report.findings += [Finding(RESULTS_FILE, what, "EVD-080") for what in differences]
    report.recomputed = True


def _recompute_change(run_folder: Path, earlier: tuple[Path, ...], report: Verification) -> None:
    """Compute the record of a change again, if the run is that of a change."""
    from validation.change.recheck import is_change_run, recheck
    from validation.change.revalidation import RECORD_FILE
    from validation.evidence.package import open_run
    from validation.evidence.verify import Finding

    if not is_change_run(run_folder):
        return
    with ExitStack() as stack:
        opened = [stack.enter_context(open_run(path)) for path in earlier]
        try:
            found, notes = recheck(run_folder, [o.run_folder for o in opened])
        except (KeyError, TypeError, ValueError):
            found, notes = ["the record is not that of a change, or of another version of this program"], []
        except ValidationProblem as problem:
            found, notes = [f"it cannot be computed again: {problem.what}"], []
    report.findings += [Finding(RECORD_FILE, what, "EVD-080") for what in found]
    report.notes += notes or ["the change record was computed again from its run and the earlier versions"]


def _check_edition(folder: Path, run_folder: Path, trust: Path | None, report: Verification) -> None:
    """Check an edition of the documents of the run."""
    from validation.evidence.edition import check_edition
    from validation.evidence.keys import read_trust
    from validation.evidence.verify import Finding

    checked = check_edition(folder, run_folder, trust=read_trust(trust) if trust else None)
    report.findings += [Finding(f"{folder.name}/{name}", what, code) for name, what, code in checked.wrong]
    signed = f"signed by {checked.key_id[:16]}…" if checked.key_id else "NOT SIGNED"
    report.notes.append(f"edition {folder.name}: {signed}, {len(checked.approvals)} approval(s)")
    report.notes += [f"edition approved by {a.name}, {a.role}: {a.meaning}" for a in checked.approvals]


def _compare(document: Path, run_folder: Path, editions: list[Path], report: Verification) -> None:
    """Compare what a document shows with the record."""
    from validation.dossier.check_document import check_document
    from validation.evidence.verify import Finding

    differences = check_document(document, run_folder, editions=editions)
    report.findings += [Finding(document.name, str(difference), "DOS-020") for difference in differences]
    if not differences:
        report.notes.append(f"{document.name}: every number that carries an id is what the record says")


def _compare_viewer(page: Path, run_folder: Path, report: Verification) -> None:
    """Make the viewer's page of a package again and compare it, byte for byte; name the numbers that differ."""
    from validation.dossier.viewer import made_by_this_version, run_page
    from validation.evidence.verify import Finding

    data = page.read_bytes()
    if not made_by_this_version(data):
        report.notes.append(f"{page.name} was made by another version of the program, so it was not compared")
        return
    if data == run_page(run_folder, beside=f"{run_folder.name}/"):
        return
    before = len(report.findings)
    _compare(page, run_folder, [], report)
    if len(report.findings) == before:
        what = "it is not the page that this record gives, although its numbers are: something was put in or taken out"
        report.findings.append(Finding(page.name, what, "DOS-020"))


def _record(report: Verification) -> dict[str, Any]:
    return {"intact": report.intact, **asdict(report)}


def _page(report: Verification) -> str:
    lines = [f"run        {report.run or 'unknown'}{'   DRAFT' if report.draft else ''}"]
    if report.proposal:
        outcome, reason = report.proposal.get("outcome"), report.proposal.get("reason")
        lines.append(f"proposed   {outcome}: {reason} (a named person decides)")
    if report.signed_by:
        holder = report.signer_name if report.identity_proven else "identity not proven"
        lines.append(f"signed     {report.signed_at}  key {report.signed_by[:16]}…  {holder}")
    else:
        lines.append("signed     NOT SIGNED")
    for approval in report.approvals:
        holder = approval.key_name or "identity not proven"
        lines.append(f"approval   {approval.time}  {approval.name}, {approval.role}  [{holder}]")
        lines.append(f"           {approval.meaning}{f' - {approval.decision}' if approval.decision else ''}")
    if report.time_stamp:
        proven = "" if report.time_stamp.authority_proven else "  authority not proven"
        lines.append(f"time stamp {report.time_stamp.time}{proven}")
    recomputed = "; every estimate and verdict recomputed" if report.recomputed else ""
    lines.append(f"checked    {report.n_files} files, {report.n_events} events{recomputed}")
    lines += [f"note       {note}" for note in report.notes]
    lines += [f"WRONG      {finding.file}: {finding.what} [{finding.code}]" for finding in report.findings]
    lines.append("INTACT" if report.intact else "NOT INTACT: do not rely on this record")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)  # the record is untrusted
