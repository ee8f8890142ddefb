"""Print documents of one run, one after the other: in this process, or in processes of their own.

A process of its own is started with ``python -m validation.dossier.worker RUN STAGING [EDITION]`` and answers JSON
lines. It is no fork of the caller, so threads cannot be caught in it, and no spawn, so the script of the caller is not
run again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from validation.dossier.lint import LintFinding, lint
from validation.dossier.pdf import Press
from validation.dossier.viewmodel import ViewModel
from validation.dossier.word import write_docx
from validation.errors import RunProblem, ValidationProblem
from validation.protocol.claims import claim_facts

SUFFIXES = ("html", "pdf", "docx")


@dataclass(frozen=True, slots=True)
class Task:
    """One document of one pathway, with the pages of documents of that pathway that were laid out before."""

    pathway: str
    document: str
    pages: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Printed:
    """What came of a task; the files lie in the staging folder under :func:`staged`."""

    pages: dict[str, int]
    findings: list[dict[str, Any]]


def staged(staging: Path, pathway: str, document: str, suffix: str) -> Path:
    """Return where a worker leaves a file."""
    return staging / f"{pathway}.{document}.{suffix}"


class Printer:
    """Print documents of one run into a staging folder.

    Parameters
    ----------
    run_folder
        The run.
    staging
        Folder for finished files, and for figures that other workers may reuse.
    edition
        Folder of an edition whose narrative blocks count instead of those of the run.
    """

    def __init__(self, run_folder: Path, staging: Path, edition: Path | None = None) -> None:
        self._view = ViewModel(run_folder, figures=staging, edition=edition)
        self._staging = staging
        record = self._view.record
        self._finished, self._draft = str(record.raw("run.finished")), bool(record.raw("run.draft"))
        self._notice = str(record.raw("study.notice"))
        claim = claim_facts(str(record.raw("claim.type")))
        self._forbidden = [str(entry["words"]) for entry in claim.get("forbidden_wording", [])]
        self._presses: dict[str, Press] = {}

    def run(self, task: Task) -> Printed:
        """Write one document in every format."""
        view, paper = self._view, self._view.catalogue.pathway(task.pathway).paper
        if paper not in self._presses:
            self._presses[paper] = Press(paper=paper, draft=self._draft, finished=self._finished)
        html = view.html(task.document, task.pathway, task.pages)
        findings = _look_over(html, task.document, self._forbidden)
        pdf, pages = self._presses[paper].print(html)
        word = write_docx(
            html, view.gallery, paper=paper, finished=self._finished, draft=self._draft, notice=self._notice
        )
        for suffix, data in zip(SUFFIXES, (html.encode(), pdf, word), strict=True):
            staged(self._staging, task.pathway, task.document, suffix).write_bytes(data)
        return Printed(pages, [{"document": task.document, **f.to_dict()} for f in findings])


def _look_over(html: str, document: str, forbidden: list[str]) -> list[LintFinding]:
    """Return what a person has to settle; refuse a document with a hole or a dead link in it."""
    findings = lint(html, forbidden=forbidden)
    stopped = [f"{f.rule}: {f.text}" for f in findings if f.stops]
    if stopped:
        raise RunProblem(
            f"the document {document!r} has defects: {'; '.join(stopped[:5])}.",
            code="DOS-012",
            where=document,
            why="A document with a hole or a dead link in it must not leave the building.",
            action="Correct the template, or the field of the record that it shows.",
        )
    return findings


def serve(run_folder: Path, staging: Path, edition: Path | None = None) -> None:
    """Answer tasks on standard input, one JSON line each, until it ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints must not look like an answer
    printer: Printer | None = None
    for line in sys.stdin:
        try:
            printer = printer or Printer(run_folder, staging, edition)
            done = printer.run(Task(**json.loads(line)))
            answer: dict[str, Any] = {"pages": done.pages, "findings": done.findings}
        except ValidationProblem as problem:
            answer = {"problem": problem.to_dict(), "kind": type(problem).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(*map(Path, sys.argv[1:]))
