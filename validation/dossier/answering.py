"""Who answers each requirement of the catalogue in the file of a pathway: the run, both, or a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from validation.dossier.answers import Place, places_of_requirement
from validation.dossier.catalogue import catalogue
from validation.dossier.stack import Need, cell_of
from validation.protocol.catalogue import Requirement, Source, regulatory_catalogue
from validation.protocol.schema import ClaimType, Pathway

Classification = Literal["generated", "partly", "manual", "not_applicable"]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A requirement, and how the file of a pathway answers it.

    Attributes
    ----------
    requirement, source
        What is asked, and the document that asks it.
    kind, need
        Who answers; and whether the artefact that it belongs to is required for this claim.
    places
        Where the record answers it; empty for a person alone.
    remains
        What a person has to add, or why it does not apply; empty if nothing.
    block
        The artefact in whose narrative block a person answers; empty if nobody has to.
    """

    requirement: Requirement
    source: Source
    kind: Classification
    need: Need = "none"
    places: tuple[Place, ...] = ()
    remains: str = ""
    block: str = ""


def answering(claim: ClaimType, pathway: Pathway, order: Sequence[str], *, linted: bool) -> list[Answered]:
    """Return every requirement of the catalogue, also those that do not apply; so none can vanish.

    Parameters
    ----------
    claim, pathway
        Which file.
    order
        The documents that it has.
    linted
        Whether the pathway has a profile to lint by.
    """
    regulations, documents = regulatory_catalogue(), catalogue()
    cell = cell_of(claim, pathway)
    found = []
    for requirement in regulations.requirements.values():
        source = regulations.sources[requirement.id]
        reason = regulations.why_not(requirement, claim, pathway)
        if reason:
            found.append(Answered(requirement=requirement, source=source, kind="not_applicable", remains=reason))
            continue
        places, remains = places_of_requirement(requirement, order, documents, linted=linted)
        kind: Classification = "manual" if not places else "partly" if remains else "generated"
        if not places:
            remains = f"no document of a run answers it; what answers it: {requirement.evidence}"
        named = set(requirement.artefacts)
        need: Need = "required" if named & set(cell.required) else "further"
        if need == "further" and named & set(cell.conditional):
            need = "conditional"
        block = "" if kind == "generated" else _block(requirement, cell.required, cell.conditional)
        found.append(
            Answered(
                requirement=requirement,
                source=source,
                kind=kind,
                need=need,
                places=tuple(places),
                remains=remains,
                block=block,
            )
        )
    return found


def _block(requirement: Requirement, required: Sequence[str], conditional: Sequence[str]) -> str:
    """Return the artefact in whose block a person answers: in the stack, and not one that a run makes whole."""
    kinds = regulatory_catalogue().artefacts
    for stack in (required, conditional, requirement.artefacts):
        within = [a for a in requirement.artefacts if a in stack]
        if within:
            by_person = [a for a in within if kinds[a].generation != "full"]
            return (by_person or within)[0]
    return requirement.artefacts[0]
