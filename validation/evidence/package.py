"""One archive to hand over: the run as it was signed, the auditor's script, and a page that says how to check it.

The archive is deterministic (sorted names, fixed dates), so that two packages of one run are the same bytes on one
machine. Archives are untrusted when they come back: names that leave the folder, links, duplicates, encrypted members
and bombs are refused before anything is written.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validation.digest import sha256_bytes, sha256_file
from validation.errors import IntegrityProblem, UsageProblem
from validation.evidence.edition import EDITION_FILE, check_edition
from validation.evidence.manifest import MANIFEST_FILE, check_name, list_files
from validation.evidence.results import read_results
from validation.evidence.verify import verify_run

SCRIPT_NAME = "verify.py"
README_NAME = "README.txt"
VIEWER_NAME = "viewer.html"
EDITION_NAME = "edition"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MOST_MEMBERS = 200_000
_HIGHEST_RATIO = 200
_ALWAYS_ALLOWED = 256 * 2**20
_PIECE = 1 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class Opened:
    """A package that was unpacked: the run in it, the viewer's page beside it, and what must be said about the rest."""

    run_folder: Path
    notes: list[str]
    viewer: Path | None = None
    edition: Path | None = None


def write_package(
    run_folder: Path,
    archive: Path,
    *,
    draft: bool = False,
    viewer: bytes | None = None,
    edition: Path | None = None,
    not_final: Sequence[str] = (),
) -> str:
    """Write a package of a closed run and return the SHA-256 of the archive.

    Parameters
    ----------
    run_folder
        A closed run; it is verified first.
    archive
        The ``.zip`` to write; an existing file is never overwritten.
    draft
        Allow a DRAFT or unsigned run; the package then says DRAFT.
    viewer
        The page that shows the run, made for a page beside the run folder; left out if omitted.
    edition
        An edition of the documents that travels with the run; it is checked first.
    not_final
        Why the documents are not final. With any reason, only a draft package is written, and it says them.

    Raises
    ------
    UsageProblem
        EVD-070 if a DRAFT or unsigned run is packaged as final, EVD-071 if the archive exists or lies inside the
        run, EVD-074 if its documents are not final.
    IntegrityProblem
        EVD-026 if the run does not verify.
    """
    run_folder = run_folder.resolve()
    if archive.exists() or run_folder in archive.resolve().parents:
        raise UsageProblem(
            "the package cannot be written there: the file exists, or lies inside the run.",
            code="EVD-071",
            where=str(archive),
            action="Choose another name with --out.",
        )
    report = verify_run(run_folder, allow_unsigned=draft)
    if report.draft and not draft:
        raise UsageProblem(
            "a DRAFT run cannot be packaged as final.",
            code="EVD-070",
            where=str(run_folder),
            why="; ".join(read_results(run_folder)["run"].get("draft_reasons") or []),
            action="Make a final run, or add --draft: the package then says DRAFT.",
        )
    if not report.intact:
        first = report.findings[0]
        raise IntegrityProblem(
            f"{first.file}: {first.what}.",
            code=first.code,
            where=str(run_folder / first.file),
            why="Only a run that verifies can be handed over.",
            action="Run `validation verify` for the whole list.",
        )
    if not_final and not draft:
        raise UsageProblem(
            f"the documents are not final: {len(not_final)} thing(s) are open. First: {'; '.join(not_final[:5])}.",
            code="EVD-074",
            where=str(edition or run_folder),
            why="A file with an empty block in it must not leave as if it were complete.",
            action="`validation gaps STUDY --run RUN` lists all. Write them, `validation render RUN`, or add --draft.",
        )
    unsigned = not report.signed_by
    if edition is not None:
        checked = check_edition(edition, run_folder)
        unsigned = unsigned or not checked.key_id
        if checked.wrong:
            name, what, code = checked.wrong[0]
            raise IntegrityProblem(
                f"{name}: {what}.",
                code=code,
                where=str(edition),
                why="Only an edition that verifies can be handed over.",
                action="Render another edition with `validation render`.",
            )
        if not checked.key_id and not draft:
            raise UsageProblem(
                "an unsigned edition cannot be packaged as final.",
                code="EVD-074",
                where=str(edition),
                action="Render it with --key, or add --draft: the package then says DRAFT.",
            )
    script = _script()
    draft = report.draft or unsigned or bool(not_final)
    readme = _readme(run_folder, read_results(run_folder), script, draft=draft, edition=edition, not_final=not_final)
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(f".{archive.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, strict_timestamps=True) as package:
            package.writestr(_member(README_NAME), readme.encode())
            package.writestr(_member(SCRIPT_NAME), script)
            if viewer is not None:
                package.writestr(_member(VIEWER_NAME), viewer)
            for name in list_files(run_folder):
                _add(package, run_folder / name, f"{run_folder.name}/{name}")
            if edition is not None:
                for name in list_files(edition):
                    _add(package, edition / name, f"{EDITION_NAME}/{name}")
        part.replace(archive)
    finally:
        part.unlink(missing_ok=True)
    return sha256_file(archive)


@contextmanager
def open_run(path: Path) -> Iterator[Opened]:
    """Yield the run at a path: the folder itself, or a package unpacked into a temporary folder that is then removed.

    Raises
    ------
    UsageProblem
        EVD-072 if the path is neither a folder nor a zip archive.
    IntegrityProblem
        EVD-073 if the archive is damaged or must not be unpacked, or holds no run.
    """
    if path.is_dir():
        yield Opened(path, [])
        return
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise UsageProblem(
            "this is neither the folder of a run nor a package of one.",
            code="EVD-072",
            where=str(path),
            action="Name the folder below runs/, or the .zip that `validation package` wrote.",
        )
    with tempfile.TemporaryDirectory(prefix="validation-") as folder:
        yield _unpack(path, Path(folder))


def _unpack(path: Path, folder: Path) -> Opened:
    try:
        with zipfile.ZipFile(path) as package:
            members = [member for member in package.infolist() if not member.is_dir()]
            _check_members(package.infolist(), path)
            for member in members:
                target = folder / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with package.open(member) as source, target.open("xb") as sink:
                    while piece := source.read(_PIECE):
                        sink.write(piece)
    except _DAMAGE as problem:
        raise _refused(path, f"it is damaged ({problem})") from None
    edition = folder / EDITION_NAME if (folder / EDITION_NAME / EDITION_FILE).is_file() else None
    runs = [e for e in sorted(folder.iterdir()) if e != edition and (e / MANIFEST_FILE).is_file()]
    others = [entry.name for entry in sorted(folder.iterdir()) if entry not in (*runs, edition)]
    strangers = set(others) - {SCRIPT_NAME, README_NAME, VIEWER_NAME}
    if len(runs) != 1 or strangers:
        what = f"{min(strangers)} is not part of a package" if strangers else f"it holds {len(runs)} runs"
        raise _refused(path, what)
    notes = []
    if SCRIPT_NAME in others and (folder / SCRIPT_NAME).read_bytes() != _script():
        notes.append(
            f"{SCRIPT_NAME} in the package is not the script of this version: do not run it before you have compared "
            "it with the version that made the package"
        )
    return Opened(runs[0], notes, folder / VIEWER_NAME if VIEWER_NAME in others else None, edition)


def _check_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    seen: set[str] = set()
    for member in members:
        name = member.filename.rstrip("/") if member.is_dir() else member.filename
        check_name(member.orig_filename.rstrip("/"))
        check_name(name)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise _refused(path, f"{name} is a link or a special file")
        if member.flag_bits & 0x1:
            raise _refused(path, f"{name} is encrypted")
        if name in seen:
            raise _refused(path, f"{name} is there twice")
        seen.add(name)
    size, packed = sum(m.file_size for m in members), path.stat().st_size
    if len(members) > _MOST_MEMBERS or size > max(_ALWAYS_ALLOWED, _HIGHEST_RATIO * packed):
        raise _refused(path, f"{len(members)} members of {size} bytes come out of {packed} bytes: it may be a bomb")


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.create_system = 3
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    return member


def _add(package: zipfile.ZipFile, path: Path, name: str) -> None:
    member = _member(name)
    member.file_size = path.stat().st_size  # decides on zip64 before the first byte
    with path.open("rb") as source, package.open(member, "w") as sink:
        while piece := source.read(_PIECE):
            sink.write(piece)


def _script() -> bytes:
    return Path(__file__).with_name("verify_offline.py").read_bytes()


def _readme(
    run_folder: Path,
    results: dict[str, Any],
    script: bytes,
    *,
    draft: bool,
    edition: Path | None,
    not_final: Sequence[str],
) -> str:
    run, protocol, proposal = results["run"], results["protocol"], results.get("proposal") or {}
    banner = "DRAFT - NOT EVIDENCE FOR A FINAL DECISION\n\n" if draft else ""
    notice = results.get("study", {}).get("notice") or ""
    if not_final:
        notice += f"\n\nNot final, because {len(not_final)} thing(s) are open:\n" + "\n".join(
            f"- {r}" for r in not_final
        )
    documents = f"{run_folder.name}/dossier/         the documents"
    if edition is not None:
        documents = (
            f"{EDITION_NAME}/dossier/         the documents to read and file, edition {edition.name}\n"
            f"{EDITION_NAME}/narrative/       what persons wrote in them\n"
            f"{run_folder.name}/dossier/         the documents as they were when the run ended"
        )
    return f"""{banner}Evidence package of run {run["id"]}
Protocol: {protocol.get("id")} {protocol.get("version")}, digest {protocol.get("digest")}
Proposed outcome: {proposal.get("outcome")} (a named person decides; see {run_folder.name}/approvals)
{notice}

How to check it, without a network
1. Python 3.11 or newer with the package `cryptography`:
       python {SCRIPT_NAME} --trust FOLDER
   FOLDER holds the public keys (*.pub.pem) that you received from the signers by another way than this package.
   SHA-256 of {SCRIPT_NAME}: {sha256_bytes(script)}
2. With the package `genmed-validation`, which also recomputes every estimate and verdict from the measurements:
       validation verify THIS_PACKAGE.zip --trust FOLDER
Both end with exit code 0 if every file is what was signed, and with 4 and the name of the file if not.

What is inside
{VIEWER_NAME}: verdicts, cases, ledger and requirements to read in a browser. It is
                                not signed; `validation verify` compares it
{run_folder.name}/results.json     every number of every document, with its id
{run_folder.name}/manifest.json    name, size and SHA-256 of every file; signed by attestation.dsse.json
{run_folder.name}/measurements/    one row per measured value; patients appear under pseudonyms
{documents}

The run is packaged byte for byte as it was signed. Small cells (few patients in a subgroup) are not suppressed in it:
handle this package under the same rules as the study data. For a copy without small cells:
    validation package RUN --suppress K --out results.json
"""


def _refused(path: Path, what: str) -> IntegrityProblem:
    return IntegrityProblem(
        f"the package is refused: {what}.",
        code="EVD-073",
        where=path.name,
        why="An archive from elsewhere is not unpacked unless it is safe and whole.",
        action="Ask for the package again, and compare its SHA-256 with the sender.",
    )
