"""Tables for machines: from requirement to page, and from hazard over endpoint and result to page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from validation.dossier.answering import answering
from validation.dossier.answers import Place
from validation.dossier.printing import Pages
from validation.dossier.profiles import profile_of
from validation.dossier.record import exact
from validation.protocol.catalogue import level_words

if TYPE_CHECKING:
    from validation.dossier.viewmodel import ViewModel

REPORT = "performance_validation_report"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Return a table as CSV in UTF-8; a cell that a spreadsheet would read as a formula gets an apostrophe in front."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def requirements_table(view: ViewModel, pathway: str, pages: Pages) -> bytes:
    """Return every requirement of the catalogue, one row per place where it is answered."""
    header = [
        "run",
        "pathway",
        "requirement",
        "source",
        "clause",
        "verification",
        "answered_by",
        "need",
        "document",
        "section",
        "page",
        "destination",
        "narrative",
        "remains",
    ]
    file = view.file(pathway)
    run = str(view.record.raw("run.id"))
    linted = profile_of(file.pathway) is not None
    rows = []
    for a in answering(view.claim, file.pathway, file.order, linted=linted):
        asked = a.requirement
        head = (
            run, pathway, asked.id, f"{a.source.document} ({a.source.year}, {a.source.status})", asked.section,
            level_words(asked), a.kind, a.need,
        )  # fmt: skip
        places = [_place(p, pages) for p in a.places]
        if a.block:
            document = view.catalogue.document_of(a.block)
            places.append(_place(Place(kind="document", name=document, section="narrative"), pages))
        for place in places or [("", "", "", "")]:
            rows.append((*head, *place, a.block, a.remains))
    return table(header, rows)


def results_table(view: ViewModel, pathway: str, pages: Pages) -> bytes:
    """Return every endpoint with its exact result and where the report shows it."""
    header = [
        "run",
        "pathway",
        "endpoint",
        "title",
        "role",
        "hazards",
        "hypothesis",
        "margin",
        "lower_margin",
        "upper_margin",
        "value",
        "lower",
        "upper",
        "level",
        "unit",
        "cases",
        "independent_units",
        "verdict",
        "reason",
        "result_id",
        "document",
        "section",
        "page",
        "destination",
    ]
    rows = []
    run = str(view.record.raw("run.id"))

    def number(identifier: str) -> str:
        return "" if view.record.raw(identifier) is None else exact(view.record, identifier)

    for name, e in view.record.results["endpoints"].items():
        where = _place(Place(kind="document", name=REPORT, section=f"endpoint-{name}"), pages)
        hypothesis, estimate = f"{name}.hypothesis", f"{name}.estimate"
        margins = [number(f"{hypothesis}.{k}") if k in e["hypothesis"] else "" for k in ("margin", "lower", "upper")]
        values = [number(f"{estimate}.{k}") for k in ("value", "lower", "upper", "level")]
        counts = [number(f"{estimate}.{k}") for k in ("n", "n_clusters")]
        said = [e["title"], e["role"], " ".join(e["hazards"]), e["hypothesis"]["type"]]
        verdict = [e["verdict"]["outcome"], e["verdict"]["reason"], estimate]
        rows.append((run, pathway, name, *said, *margins, *values, e["estimate"]["unit"], *counts, *verdict, *where))
    return table(header, rows)


def _place(place: Place, pages: Pages) -> tuple[str, str, str, str]:
    """Return document, section, page and named destination of a place."""
    if place.kind != "document":
        return (place.name, place.section, "", "")
    known = pages.get(place.name, {})
    page = known.get(place.section or "", "") if place.section else ""
    destination = f"{place.name}.pdf#{place.section}" if place.section and page else ""
    return (place.name, place.section, str(page), destination)


def _plain(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "@", "\t", "\r") else cell
