"""Put the documents of a pathway together and write them in every format."""

from __future__ import annotations

from pathlib import Path

from validation.digest import write_atomically
from validation.dossier.pdf import Press
from validation.dossier.viewmodel import ViewModel


def bind(run_folder: Path, pathways: list[str]) -> list[Path]:
    """Write all documents of the pathways; see :func:`validation.dossier.render`."""
    view = ViewModel(run_folder)
    orders = [(name, view.catalogue.pathway(name)) for name in pathways]
    finished, draft = str(view.record.raw("run.finished")), bool(view.record.raw("run.draft"))
    presses: dict[str, Press] = {}
    written: list[Path] = []
    for name, order in orders:
        if order.paper not in presses:
            presses[order.paper] = Press(paper=order.paper, draft=draft, finished=finished)
        pages: dict[str, dict[str, int]] = {}
        files: dict[str, dict[str, bytes]] = {}
        for document in sorted(order.documents, key=lambda d: view.catalogue.documents[d].points_to_pages):
            html = view.html(document, name, pages)
            pdf, pages[document] = presses[order.paper].print(html)
            files[document] = {"html": html.encode(), "pdf": pdf}
        for document in order.documents:
            for suffix, data in files[document].items():
                path = run_folder / "dossier" / name / f"{document}.{suffix}"
                write_atomically(path, data)
                written.append(path)
    return written
