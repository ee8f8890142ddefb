"""Where the documents of a run answer a requirement, and what a person still has to add (``answers.yaml``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from validation.data import shipped
from validation.dossier.catalogue import Catalogue
from validation.protocol.catalogue import Meta, Requirement
from validation.protocol.load import load_yaml_model

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


def places_of_artefact(artefact: str, order: Sequence[str], documents: Catalogue) -> list[Place]:
    """Return where a run puts what it knows of an artefact, given the documents of the file; empty if nothing."""
    document = documents.document_of(artefact)
    if document in order and documents.documents[document].filled:
        return [Place(kind="document", name=document)]
    known = [place(text) for text in answers().artefacts.get(artefact, [])]
    return [p for p in known if _there(p, order, documents)]


def places_of_requirement(
    requirement: Requirement, order: Sequence[str], documents: Catalogue, *, linted: bool
) -> tuple[list[Place], str]:
    """Return where a file answers a requirement from the record, and what remains for a person.

    Places in documents that the file does not have are left out; an answer that loses one is no longer complete.
    ``linted`` says whether the pathway has a profile to lint by.
    """
    answer = answers().answers.get(requirement.id)
    if answer is None:
        return [], _JUDGEMENT
    every = [place(text) for text in answer.places]
    found = [p for p in every if _there(p, order, documents) and (linted or p.kind != "lint")]
    lost = [str(p) for p in every if p not in found]
    remains = answer.remains or (f"what this file has no document for ({'; '.join(lost)})" if lost else "")
    return found, remains


def _there(where: Place, order: Sequence[str], documents: Catalogue) -> bool:
    if where.kind != "document":
        return True
    if where.name not in order:
        return False
    sections = {s.id for s in documents.documents[where.name].sections}
    return not where.section or where.section in sections
