"""Files for machines beside the documents of a pathway: which there are, and what writes each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from validation.dossier.printing import Pages

if TYPE_CHECKING:
    from validation.dossier.viewmodel import ViewModel


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file for machines.

    Attributes
    ----------
    name
        Its name in the folder of the pathway.
    holds
        What it holds, for the index.
    beside
        The document without which it is not written; empty if always.
    write
        Makes its bytes from the view of the run, the pathway and the pages of all documents.
    """

    name: str
    holds: str
    beside: str
    write: Callable[[ViewModel, str, Pages], bytes]


def data_files(order: Sequence[str]) -> list[DataFile]:
    """Return the files for machines of a file with these documents."""
    from validation.dossier.bill_of_materials import bill_of_materials
    from validation.dossier.chai_card import chai_card
    from validation.dossier.field_sheet import field_sheet
    from validation.dossier.trace_tables import requirements_table, results_table

    every = [
        DataFile(
            "requirements.csv",
            "Every requirement of the catalogue, with document, section and page",
            "",
            requirements_table,
        ),
        DataFile(
            "results.csv",
            "Every endpoint: hazards, criterion, exact result, verdict, document and page",
            "",
            results_table,
        ),
        DataFile(
            "model_card.xml",
            "Model card in the form of the Coalition for Health AI, draft schema of version 0.2",
            "model_card",
            chai_card,
        ),
        DataFile("sbom.cdx.json", "Software bill of materials, CycloneDX", "sbom", bill_of_materials),
        DataFile("estar_fields.csv", "Field sheet for the eSTAR form", "estar_map", field_sheet),
    ]
    return [f for f in every if not f.beside or f.beside in order]
