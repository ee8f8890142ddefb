"""Put documents of a pathway together and write them in every format."""

from __future__ import annotations

from pathlib import Path

from validation.digest import write_atomically
from validation.dossier.pdf import write_pdf
from validation.dossier.viewmodel import ViewModel


def bind(run_folder: Path, pathways: list[str]) -> list[Path]:
    """Write all documents of the pathways; see :func:`validation.dossier.render`."""
    view = ViewModel(run_folder)
    orders = [(name, view.catalogue.pathway(name)) for name in pathways]
    finished = str(view.record.raw("run.finished"))
    written: list[Path] = []
    for name, order in orders:
        folder = run_folder / "dossier" / name
        pages: dict[str, dict[str, int]] = {}
        for document in order.documents:
            html = view.html(document, name, pages)
            pdf, pages[document] = write_pdf(html, paper=order.paper, finished=finished)
            for suffix, data in (("html", html.encode()), ("pdf", pdf)):
                path = folder / f"{document}.{suffix}"
                write_atomically(path, data)
                written.append(path)
    return written
