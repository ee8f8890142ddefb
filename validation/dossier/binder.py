"""Put the documents of pathways together and write them in every format."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from validation.digest import write_atomically
from validation.dossier.catalogue import Catalogue, catalogue
from validation.dossier.data_files import data_files
from validation.dossier.integration import keep_interface
from validation.dossier.narratives import Narratives
from validation.dossier.pool import Pool
from validation.dossier.viewmodel import ViewModel
from validation.dossier.worker import SUFFIXES, Printed, Task, staged

_MOST_WORKERS = 2  # more gain little: one long report takes most of the time, and each process needs memory


def bind(
    run_folder: Path, pathways: list[str], *, workers: int | None = None, edition: Path | None = None
) -> list[Path]:
    """Write all documents of the pathways; see :func:`validation.dossier.render`.

    Documents are printed in rounds: those of a later round name pages of earlier ones. Within a round they are
    independent, so that the number of processes changes nothing in the files.
    """
    home = edition or run_folder
    names = catalogue()
    written = Narratives(home, names, run_folder.resolve().parent.parent).keep()
    written += keep_interface(home, run_folder.resolve().parent.parent)
    view = ViewModel(run_folder, edition=edition)
    orders = {name: view.file(name).order for name in dict.fromkeys(pathways)}
    count = workers or min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
    done: dict[tuple[str, str], Printed] = {}
    with ExitStack() as stack:
        staging = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dossier-")))
        pool = stack.enter_context(Pool(run_folder, staging, workers=count, edition=edition))
        for tasks in _rounds(orders, names):
            given = [
                Task(pathway, document, {d: p.pages for (w, d), p in done.items() if w == pathway})
                for pathway, document in tasks
            ]
            done.update(zip(tasks, pool.run(given), strict=True))
        for pathway, order in orders.items():
            folder = home / "dossier" / pathway
            findings: list[dict[str, Any]] = []
            for document in order:
                findings += done[pathway, document].findings
                for suffix in SUFFIXES:
                    path = folder / f"{document}.{suffix}"
                    write_atomically(path, staged(staging, pathway, document, suffix).read_bytes())
                    written.append(path)
            pages = {d: p.pages for (w, d), p in done.items() if w == pathway}
            for file in data_files(order):
                write_atomically(folder / file.name, file.write(view, pathway, pages))
                written.append(folder / file.name)
            listing = folder / "findings.json"
            write_atomically(listing, json.dumps(findings, indent=2, ensure_ascii=False).encode() + b"\n")
            written.append(listing)
    return written


def _rounds(orders: dict[str, list[str]], names: Catalogue) -> list[list[tuple[str, str]]]:
    """Return pathway and document of every task by round; within a round in an order that keeps two processes busy.

    The long report of the first pathway comes first. While one process draws its figures and prints it, the other
    prints the short documents; the long reports of further pathways then find their figures drawn.
    """
    rounds: dict[int, list[tuple[str, str]]] = {}
    for pathway, order in orders.items():
        for document in order:
            rounds.setdefault(names.documents[document].layout_round, []).append((pathway, document))
    found = []
    for _, tasks in sorted(rounds.items()):
        longest = [t for t in tasks if len(names.documents[t[1]].sections) == _most_sections(tasks, names)]
        found.append(longest[:1] + [t for t in tasks if t not in longest] + longest[1:])
    return found


def _most_sections(tasks: list[tuple[str, str]], names: Catalogue) -> int:
    return max(len(names.documents[document].sections) for _, document in tasks)
