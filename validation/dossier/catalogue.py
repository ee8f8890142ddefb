"""The catalogue of documents: which sections a document has, and which documents a pathway wants in which order."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from validation.data import shipped
from validation.errors import UsageProblem


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Section(_Part):
    """One section of a document; ``id`` is the name of its template, and its anchor."""

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    needs: list[str] = Field(
        default_factory=list, description="Parts of the results without which the section is left out."
    )


class DocumentKind(_Part):
    """One kind of document."""

    title: str
    signs: str = Field(description="Role of the person who signs it.")
    sections: list[Section] = Field(min_length=1)
    filing: str = Field(default="", description="The filing whose clauses the document fills in, if any.")
    layout_round: int = Field(default=0, description="Laid out after documents of lower rounds, whose pages it names.")
    requirements: list[str] = Field(default_factory=list, description="Ids of the requirements it answers.")
    narratives: list[str] = Field(default_factory=list, description="Further narrative blocks that it shows.")


class PathwayOrder(_Part):
    """What a pathway wants."""

    title: str
    paper: Literal["A4", "letter"]
    documents: list[str] = Field(min_length=1)


class FactOf(_Part):
    """A fact that fills a clause, with the words in front of it."""

    id: str
    label: str = ""


class Pointer(_Part):
    """A section of another document that fills a clause."""

    document: str
    section: str


class Clause(_Part):
    """One clause of a filing: what is asked, and what of it comes from the record or from a person."""

    clause: str
    asks: str
    facts: list[FactOf] = Field(default_factory=list)
    pointers: list[Pointer] = Field(default_factory=list)
    person: str = ""


class Filing(_Part):
    """The clauses that a document of a filing answers."""

    cite: str
    intro: str
    rows: list[Clause]


class Catalogue(_Part):
    """The whole catalogue; every name that it uses must be defined in it."""

    pathways: dict[str, PathwayOrder]
    documents: dict[str, DocumentKind]
    citations: dict[str, str] = Field(default_factory=dict)
    units: dict[str, str] = Field(default_factory=dict, description="How a unit is printed, where not as it is.")
    words: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Words that codes of the record stand for."
    )
    filings: dict[str, Filing] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names(self) -> Catalogue:
        for name, pathway in self.pathways.items():
            unknown = set(pathway.documents) - set(self.documents)
            if unknown:
                raise ValueError(f"pathway {name} lists unknown documents: {sorted(unknown)}")
        return self

    def pathway(self, name: str) -> PathwayOrder:
        """Return what a pathway wants.

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


@cache
def catalogue() -> Catalogue:
    """Return the shipped catalogue."""
    text = shipped("templates", "dossier", "catalogue.yaml").read_text(encoding="utf-8")
    data: Any = yaml.safe_load(text)
    return Catalogue.model_validate(data)
