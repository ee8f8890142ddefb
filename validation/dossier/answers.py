"""Where the documents of a run answer a requirement, and what a person still has to add (``answers.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from validation.data import shipped
from validation.dossier.catalogue import Catalogue
from validation.protocol.catalogue import Meta, Requirement
from validation.protocol.load import load_yaml_model
from validation.protocol.schema import Pathway

LINT = "lint"
_JUDGEMENT = "the judgement, and the facts that the record does not hold"


class Answer(BaseModel):
    """Where a requirement is answered; complete if nothing remains."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    places: list[str] = Field(alias="in", min_length=1)
    remains: str = Field(default="", description="What a person still has to say.")


class AnswersFile(BaseModel):
    """``answers.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    meta: Meta
    artefacts: dict[str, list[str]] = Field(
        description="Artefacts made in another shape than a document of their name."
    )
    answers: dict[str, Answer]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in a dossier.

    Attributes
    ----------
    kind
        ``document``, ``file`` (of the run folder) or ``lint``.
    name
        The document or file.
    section
        Named destination in the document, or rule of the profile; empty for the whole of it.
    """

    kind: Literal["document", "file", "lint"]
    name: str
    section: str = ""

    def __str__(self) -> str:
        return f"{self.name}, {self.section}" if self.section else self.name


@cache
def answers() -> AnswersFile:
    """Return the shipped answers."""
    return load_yaml_model(shipped("templates", "catalogue", "answers.yaml"), AnswersFile)


def place(text: str) -> Place:
    """Read a place.

    >>> place("protocol_sap#lock")
    Place(kind='document', name='protocol_sap', section='lock')
    """
    if text.startswith("run/"):
        return Place(kind="file", name=text.removeprefix("run/"))
    name, _, section = text.partition("#")
    return Place(kind="lint" if name == LINT else "document", name=name, section=section)


def places_of_artefact(artefact: str, pathway: Pathway, documents: Catalogue) -> list[Place]:
    """Return where a run puts an artefact on a pathway; empty if it does not make it."""
    if artefact in _order(pathway, documents):
        return [Place(kind="document", name=artefact)]
    known = [place(text) for text in answers().artefacts.get(artefact, [])]
    return [p for p in known if _there(p, pathway, documents)]


def places_of_requirement(
    requirement: Requirement, pathway: Pathway, documents: Catalogue, *, linted: bool
) -> tuple[list[Place], str]:
    """Return where a run answers a requirement on a pathway, and what remains for a person.

    Places in documents that the pathway does not have are left out; an answer that loses one is no longer complete.
    ``linted`` says whether the pathway has a profile to lint by.
    """
    answer = answers().answers.get(requirement.id)
    if answer is None:
        named = [d for d in _order(pathway, documents) if requirement.id in documents.documents[d].requirements]
        found = [Place(kind="document", name=d) for d in named]
        return found, "" if found and requirement.generation == "full" else _JUDGEMENT
    every = [place(text) for text in answer.places]
    found = [p for p in every if _there(p, pathway, documents) and (linted or p.kind != "lint")]
    lost = [str(p) for p in every if p not in found]
    remains = answer.remains or (f"what this pathway has no document for ({'; '.join(lost)})" if lost else "")
    return found, remains


def _order(pathway: Pathway, documents: Catalogue) -> list[str]:
    return documents.pathways[pathway].documents if pathway in documents.pathways else []


def _there(where: Place, pathway: Pathway, documents: Catalogue) -> bool:
    if where.kind != "document":
        return True
    if where.name not in _order(pathway, documents):
        return False
    sections = {s.id for s in documents.documents[where.name].sections}
    return not where.section or where.section in sections
