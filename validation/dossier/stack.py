"""Which documents the file of a pathway has for a claim, and in which order: that of the regulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from validation.dossier.catalogue import Catalogue, catalogue
from validation.protocol.catalogue import Cell, regulatory_catalogue
from validation.protocol.schema import ClaimType, Pathway

Need = Literal["required", "conditional", "further", "none"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A document of a file.

    Attributes
    ----------
    document, artefact
        Its name, and the artefact that it is.
    need
        ``required``, ``conditional``, or ``none`` for those that every file begins with.
    """

    document: str
    artefact: str
    need: Need


def cell_of(claim: ClaimType, pathway: Pathway) -> Cell:
    """Return what a pathway wants for a claim.

    Where the pathway is not for claims of this type, every artefact of its package is conditional: nothing is required,
    and nothing can be complete.
    """
    regulations = regulatory_catalogue()
    cell = regulations.cell(claim, pathway)
    if cell.applicability != "not_applicable":
        return cell
    every = dict.fromkeys(a for s in regulations.packages[pathway].sections for a in s.artefacts)
    note = f"the catalogue does not see this pathway for claims of the type {claim}"
    return cell.model_copy(update={"conditional": list(every), "note": cell.note or note})


def file_of(claim: ClaimType, pathway: Pathway, *, has: Callable[[str], bool]) -> list[Entry]:
    """Return the documents of a file, in order.

    Parameters
    ----------
    claim, pathway
        Which file.
    has
        Tells whether the record holds something (a section of the results, ``protocol:...``, ``narrative:ARTEFACT``):
        a conditional document is made when the record holds one of its triggers, or a person wrote for it; any other
        one that a requirement of the pathway belongs to, when a person wrote for it.
    """
    names, cell = catalogue(), cell_of(claim, pathway)
    shown_all = cell.applicability == "not_applicable"  # nothing is required there, so what can be filled is shown
    package = regulatory_catalogue().packages[pathway]
    ordered = dict.fromkeys(a for s in package.sections for a in s.artefacts)
    ordered |= dict.fromkeys([*cell.required, *cell.conditional])
    found = [Entry(d, names.artefact_of(d), "none") for d in names.pathway(pathway).first]
    for artefact in ordered:
        document = names.document_of(artefact)
        there = next((k for k, e in enumerate(found) if e.document == document), None)
        need: Need = "required" if artefact in cell.required else "conditional"
        if there is not None:
            found[there] = replace(found[there], need=need)
        elif artefact in cell.required or (
            artefact in cell.conditional
            and (_wanted(document, names, has) or (shown_all and names.documents[document].filled))
        ):
            found.append(Entry(document, artefact, need))
    for artefact in _further(claim, pathway, cell):
        if has(f"narrative:{artefact}"):
            found.append(Entry(names.document_of(artefact), artefact, "further"))
    return found


def _further(claim: ClaimType, pathway: Pathway, cell: Cell) -> list[str]:
    """Return artefacts that requirements of the pathway belong to and the claim's stack does not have."""
    regulations = regulatory_catalogue()
    asked = [r for r in regulations.requirements.values() if not regulations.why_not(r, claim, pathway)]
    every = dict.fromkeys(a for r in asked for a in r.artefacts)
    return [a for a in every if a not in cell.required and a not in cell.conditional]


def _wanted(document: str, names: Catalogue, has: Callable[[str], bool]) -> bool:
    return any(has(need) for need in (*names.documents[document].trigger, f"narrative:{names.artefact_of(document)}"))
