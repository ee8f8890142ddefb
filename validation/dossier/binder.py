"""Put the documents of a pathway together and write them in every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from validation.digest import write_atomically
from validation.dossier.lint import LintFinding, lint
from validation.dossier.pdf import Press
from validation.dossier.viewmodel import ViewModel
from validation.dossier.word import write_docx
from validation.errors import RunProblem
from validation.protocol.claims import claim_facts


def bind(run_folder: Path, pathways: list[str]) -> list[Path]:
    """Write all documents of the pathways; see :func:`validation.dossier.render`."""
    view = ViewModel(run_folder)
    orders = [(name, view.catalogue.pathway(name)) for name in pathways]
    finished, draft = str(view.record.raw("run.finished")), bool(view.record.raw("run.draft"))
    forbidden = _forbidden(str(view.record.raw("claim.type")))
    presses: dict[str, Press] = {}
    written: list[Path] = []
    for name, order in orders:
        if order.paper not in presses:
            presses[order.paper] = Press(paper=order.paper, draft=draft, finished=finished)
        pages: dict[str, dict[str, int]] = {}
        files: dict[str, dict[str, bytes]] = {}
        findings: list[dict[str, Any]] = []
        for document in sorted(order.documents, key=lambda d: view.catalogue.documents[d].layout_round):
            html = view.html(document, name, pages)
            findings += [{"document": document, **f.to_dict()} for f in _look_over(html, document, forbidden)]
            pdf, pages[document] = presses[order.paper].print(html)
            word = write_docx(
                html,
                view.gallery,
                paper=order.paper,
                finished=finished,
                draft=draft,
                notice=str(view.record.raw("study.notice")),
            )
            files[document] = {"html": html.encode(), "pdf": pdf, "docx": word}
        for document in order.documents:
            for suffix, data in files[document].items():
                path = run_folder / "dossier" / name / f"{document}.{suffix}"
                write_atomically(path, data)
                written.append(path)
        listing = run_folder / "dossier" / name / "findings.json"
        write_atomically(listing, json.dumps(findings, indent=2, ensure_ascii=False).encode() + b"\n")
        written.append(listing)
    return written


def _forbidden(claim_type: str) -> list[str]:
    return [str(entry["words"]) for entry in claim_facts(claim_type).get("forbidden_wording", [])]


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
