"""The catalogue of documents: the sections of each, and the clauses that tables of clauses answer.

``templates/dossier/catalogue.yaml`` holds what all documents share; every file under ``templates/dossier/documents``
adds documents and tables of clauses. An artefact of the regulatory catalogue that has no entry gets a document of its
own all the same: what is asked of it, and what a person wrote for it, so that no text of a person is left without a
place.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from validation.data import shipped
from validation.errors import UsageProblem
from validation.protocol.catalogue import Level, regulatory_catalogue


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Section(_Part):
    """One section of a document."""

    id: str = Field(pattern=r"^[a-z0-9_]+$", description="Its anchor, and its template unless another is named.")
    title: str
    template: str = ""
    filing: str = Field(default="", description="The table of clauses that it shows.")
    needs: list[str] = Field(
        default_factory=list, description="Parts of the record without which the section is left out."
    )
    claims: list[str] = Field(default_factory=list, description="Only for claims of these types; all if empty.")


_TAIL = (
    Section(id="asked", title="Requirements that this document answers", needs=["asked"]),
    Section(id="narrative", title="Written by a person", needs=["narrative"]),
    Section(id="record", title="Record of numbers", needs=["used"]),
)


class DocumentKind(_Part):
    """One kind of document; what it answers, what a person wrote, and the record of numbers end each."""

    title: str
    signs: str = Field(description="Role of the person who signs it.")
    artefact: str = Field(default="", description="The artefact that it is, if its name is another.")
    sections: list[Section] = Field(default_factory=list)
    trigger: list[str] = Field(
        default_factory=list, description="Parts of the record with which it is made where it is conditional."
    )
    layout_round: int = Field(default=0, description="Laid out after documents of lower rounds, whose pages it names.")
    narratives: list[str] = Field(default_factory=list, description="Further narrative blocks that it shows.")

    @property
    def filled(self) -> bool:
        """Whether the record fills something of it, beside what is asked and what a person wrote."""
        return len(self.sections) > len(_TAIL)


class PathwayOrder(_Part):
    """How the file of a pathway is printed."""

    title: str
    paper: Literal["A4", "letter"]
    first: list[str] = Field(min_length=1, description="Documents before those that the regulatory catalogue orders.")


class Pointer(_Part):
    """A section of another document, written ``document#section``."""

    document: str
    section: str

    @model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        if isinstance(value, str):
            document, _, section = value.partition("#")
            return {"document": document, "section": section}
        return value


class Clause(_Part):
    """One clause of a filing: what is asked, and what of it comes from the record or from a person."""

    clause: str
    asks: str
    facts: dict[str, str] = Field(default_factory=dict, description="Words in front of a fact, to the id of the fact.")
    pointers: list[Pointer] = Field(default_factory=list)
    person: str = Field(default="", description="Who writes what the record does not hold.")


class Filing(_Part):
    """The clauses of one text, and where a file answers them."""

    cite: str
    intro: str = "The table follows the text in its order."
    source: str = Field(description="Edition, and how far its wording was checked.")
    verification: Level
    as_of: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    rows: list[Clause] = Field(min_length=1)


class Catalogue(_Part):
    """The whole catalogue; every name that it uses must be defined in it."""

    pathways: dict[str, PathwayOrder]
    documents: dict[str, DocumentKind]
    citations: dict[str, str] = Field(default_factory=dict)
    units: dict[str, str] = Field(default_factory=dict, description="How a unit is printed, where not as it is.")
    words: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Words that codes of the record stand for."
    )
    groups: dict[str, list[str]] = Field(default_factory=dict, description="Named lists of metrics or columns.")
    filings: dict[str, Filing] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names(self) -> Catalogue:
        for name, pathway in self.pathways.items():
            if unknown := set(pathway.first) - set(self.documents):
                raise ValueError(f"pathway {name} lists unknown documents: {sorted(unknown)}")
        for name, kind in self.documents.items():
            ids = [s.id for s in kind.sections]
            if len(set(ids)) != len(ids):
                raise ValueError(f"document {name} has two sections of one id")
            if unknown := {s.filing for s in kind.sections if s.filing} - set(self.filings):
                raise ValueError(f"document {name} shows unknown tables of clauses: {sorted(unknown)}")
        for name, filing in self.filings.items():
            for row in filing.rows:
                for pointer in row.pointers:
                    sections = {s.id for s in self.documents[pointer.document].sections}
                    if pointer.section not in sections:
                        raise ValueError(f"{name}, {row.clause}: no section {pointer.section} in {pointer.document}")
        return self

    def pathway(self, name: str) -> PathwayOrder:
        """Return how the file of a pathway is printed.

        Raises
        ------
        UsageProblem
            DOS-005 if the catalogue has no such pathway.
        """
        if name not in self.pathways:
            raise UsageProblem(
                f"there is no dossier for the pathway {name!r}.",
                code="DOS-005",
                where="claim.pathways",
                action=f"Choose from {', '.join(sorted(self.pathways))}.",
            )
        return self.pathways[name]

    def artefact_of(self, document: str) -> str:
        """Return the artefact that a document is; its own name where it is none of the catalogue."""
        return self.documents[document].artefact or document

    def document_of(self, artefact: str) -> str:
        """Return the document that an artefact is."""
        return next((name for name, kind in self.documents.items() if kind.artefact == artefact), artefact)


@cache
def catalogue() -> Catalogue:
    """Return the shipped catalogue."""
    return Catalogue.model_validate(_merged())


def _merged() -> dict[str, Any]:
    """Read all files; a document or table of clauses that two files define is a defect of the catalogue."""
    data: dict[str, Any] = _read("catalogue.yaml")
    parts: dict[str, dict[str, Any]] = {"documents": {}, "filings": {}}
    for file in sorted(shipped("templates", "dossier", "documents").glob("*.yaml")):
        content = _read("documents", file.name)
        for kind, entries in content.items():
            twice = set(parts[kind]) & set(entries)
            if twice:
                raise ValueError(f"{file.name} defines again: {sorted(twice)}")
            parts[kind].update(entries)
    documents = parts["documents"]
    named = {entry.get("artefact") for entry in documents.values()}
    for artefact, entry in regulatory_catalogue().artefacts.items():
        if artefact not in named:
            documents[artefact] = {"title": entry.title, "signs": entry.signs, **documents.get(artefact, {})}
    for entry in documents.values():
        entry["sections"] = [*entry.get("sections", []), *(s.model_dump() for s in _TAIL)]
    return data | parts


def _read(*names: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(shipped("templates", "dossier", *names).read_text(encoding="utf-8"))
    return content
