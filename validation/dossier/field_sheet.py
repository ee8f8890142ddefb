"""The field sheet of the eSTAR form as a table: what the form asks, and what the record holds for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from validation.dossier.printing import Pages
from validation.dossier.trace_tables import table

if TYPE_CHECKING:
    from validation.dossier.viewmodel import ViewModel


def field_sheet(view: ViewModel, pathway: str, pages: Pages) -> bytes:
    """Return one row per fact or pointer of the field sheet, and one per field that a person fills in alone."""
    run = str(view.record.raw("run.id"))
    sheet = view.catalogue.filings["estar_fields"]
    order = view.file(pathway).order
    rows = []
    for row in sheet.rows:
        head = (run, pathway, sheet.source, row.clause, row.asks)
        filled = [(label, view.record.printed(i), i, "", row.person) for label, i in row.facts.items() if view.has(i)]
        for p in row.pointers:
            if p.document in order:
                page = str(pages.get(p.document, {}).get(p.section, ""))
                filled.append(("attachment", f"{p.document}.pdf#{p.section}", "", page, row.person))
        rows += [(*head, *cells) for cells in filled or [("", "", "", "", row.person)]]
    return table(("run", "pathway", "template", "field", "asks", "what", "value", "id", "page", "person"), rows)
