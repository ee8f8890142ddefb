"""The regulatory catalogue: requirements, artefacts, packages, and what a pathway wants for a claim.

Four files under ``templates/catalogue``. Every requirement says which document asks it, of which year and status, how
far the statement was checked (``A``, ``B``, ``K``) and when. The files refer to each other by id; reading them checks
that every id is unique and every reference resolves, so that no requirement can drop out of a gap report unseen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from validation.data import shipped
from validation.errors import ProtocolProblem
from validation.protocol.load import load_yaml_model
from validation.protocol.schema import ClaimType, Pathway

Generation = Literal["full", "partial", "manual"]
Level = Literal["A", "B", "K"]
Applicability = Literal["typical", "conditional", "supporting", "not_applicable"]
_DATE = r"^\d{4}-\d{2}-\d{2}$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Requirement(_Part):
    """One thing that a document asks, in this project's own words."""

    id: str = Field(pattern=r"^[A-Z0-9]+(-[A-Z0-9]+)+$")
    section: str = Field(description="Clause of the source.")
    asks: str = Field(min_length=5)
    evidence: str = Field(min_length=2, description="What answers it.")
    artefacts: list[str] = Field(min_length=1, description="Where the answer belongs; the first is its main place.")
    generation: Generation
    claims: list[str] = Field(min_length=1, description="Claim types, or one named group of them.")
    pathways: list[Pathway] = Field(min_length=1)
    verification: Level
    verified: bool
    note: str = ""

    @model_validator(mode="after")
    def _unchecked_is_unverified(self) -> Requirement:
        if self.verification == "K" and self.verified:
            raise ValueError(f"{self.id} is from knowledge (level K), so it cannot be verified")
        return self


class Source(_Part):
    """A document that asks something, with its edition and standing on a day."""

    document: str
    year: int = Field(ge=1990, le=2100)
    status: str = Field(min_length=5)
    jurisdiction: Literal["US", "EU", "INT"]
    as_of: str = Field(pattern=_DATE, description="Day on which status and content were last looked at.")
    requirements: list[Requirement] = Field(min_length=1)

    @property
    def draft(self) -> bool:
        """Whether the document is a draft, and so binds nobody."""
        return self.status.startswith("draft")


class RequirementsMeta(_Part):
    """What the fields of a requirement mean."""

    title: str
    as_of: str = Field(pattern=_DATE)
    status: str
    verification: dict[Level, str]
    verified: str
    generation: dict[Generation, str]


class RequirementsFile(_Part):
    """``requirements.yaml``."""

    meta: RequirementsMeta
    claim_groups: dict[str, list[ClaimType]]
    sources: list[Source]


class Artefact(_Part):
    """One document of an evidence file."""

    title: str
    generation: Generation
    signs: str = Field(description="Role of the person who signs it.")


class Meta(_Part):
    """Title and date of a catalogue file."""

    title: str
    as_of: str = Field(pattern=_DATE)
    status: str = ""
    numbering: dict[str, str] = Field(default_factory=dict)


class ArtefactsFile(_Part):
    """``artefacts.yaml``."""

    meta: Meta
    artefacts: dict[str, Artefact]


class PackageSection(_Part):
    """One section of an evidence file, in the order of the pathway."""

    id: str
    title: str
    number: str = Field(default="", description="Its number in the regulator's own order.")
    checklist: list[str] = Field(min_length=1)
    artefacts: list[str] = Field(min_length=1)
    requirements: list[str]
    also_apply: list[str] = Field(default_factory=list, description="Further requirements whose artefact sits here.")
    data: list[str] = Field(default_factory=list, description="Parts of the record that feed it.")
    person_must: str = Field(default="", description="What only a person can do.")


class Package(_Part):
    """What a pathway wants, in order."""

    title: str
    sections: list[PackageSection] = Field(min_length=1)
    cross_cutting: list[str] = Field(default_factory=list, description="Requirements on the file as a whole.")

    def requirement_ids(self) -> set[str]:
        """Return every requirement that the package names."""
        named = {i for s in self.sections for i in (*s.requirements, *s.also_apply)}
        return named | set(self.cross_cutting)


class PackagesFile(_Part):
    """``packages.yaml``."""

    meta: Meta
    data_keys: dict[str, str]
    packages: dict[Pathway, Package]


class Cell(_Part):
    """What one pathway wants for one claim."""

    applicability: Applicability
    required: list[str] = Field(default_factory=list)
    conditional: list[str] = Field(default_factory=list)
    note: str = ""


class LadderStep(_Part):
    """What a strength of claim brings with it."""

    level: int = Field(ge=0, le=4)
    name: str
    stack: str
    submission: str
    prospective_study: str
    change_protocol: str
    surveillance: str
    integration: str


class MatrixFile(_Part):
    """``matrix.yaml``."""

    meta: Meta
    ladder: list[LadderStep]
    matrix: dict[ClaimType, dict[Pathway, Cell]]


@dataclass(frozen=True)
class RegulatoryCatalogue:
    """The four files, checked against each other.

    Attributes
    ----------
    asked, kinds, order, wanted
        ``requirements.yaml``, ``artefacts.yaml``, ``packages.yaml`` and ``matrix.yaml``.
    """

    asked: RequirementsFile
    kinds: ArtefactsFile
    order: PackagesFile
    wanted: MatrixFile

    @cached_property
    def requirements(self) -> dict[str, Requirement]:
        """Every requirement by id, in the order of the file."""
        return {r.id: r for s in self.asked.sources for r in s.requirements}

    @cached_property
    def sources(self) -> dict[str, Source]:
        """The document behind every requirement, by the id of the requirement."""
        return {r.id: s for s in self.asked.sources for r in s.requirements}

    @property
    def artefacts(self) -> dict[str, Artefact]:
        """Every artefact by id."""
        return self.kinds.artefacts

    @property
    def packages(self) -> dict[Pathway, Package]:
        """Every package by pathway."""
        return self.order.packages

    def cell(self, claim: ClaimType, pathway: Pathway) -> Cell:
        """Return what a pathway wants for a claim."""
        return self.wanted.matrix[claim][pathway]

    def claims_of(self, requirement: Requirement) -> set[str]:
        """Return the claim types that a requirement concerns, with groups written out."""
        groups = self.asked.claim_groups
        return {claim for name in requirement.claims for claim in groups.get(name, [name])}

    def why_not(self, requirement: Requirement, claim: ClaimType, pathway: Pathway) -> str:
        """Return why a requirement does not apply to a claim on a pathway; empty if it does.

        A requirement applies to a pathway if it says so, or if the package of the pathway names it.
        """
        named = pathway in requirement.pathways or requirement.id in self._named[pathway]
        if not named:
            return f"not asked on this pathway; asked on {', '.join(requirement.pathways)}"
        if claim not in self.claims_of(requirement):
            return "does not concern claims of this type"
        return ""

    @cached_property
    def _named(self) -> dict[Pathway, set[str]]:
        return {pathway: package.requirement_ids() for pathway, package in self.packages.items()}

    def sections_of(self, artefact: str, pathway: Pathway) -> list[PackageSection]:
        """Return the sections of a pathway's package that hold an artefact."""
        return [s for s in self.packages[pathway].sections if artefact in s.artefacts]


def level_words(requirement: Requirement) -> str:
    """Return how far a statement was checked, in words: ``level B``, ``level K, unverified``."""
    return f"level {requirement.verification}" + ("" if requirement.verified else ", unverified")


def load_catalogue(folder: Path) -> RegulatoryCatalogue:
    """Read the four files from a folder.

    Raises
    ------
    ProtocolProblem
        With file and line if a file does not follow its schema; PROT-050 if an id is used twice or a reference does
        not resolve.
    """
    return agree(
        RegulatoryCatalogue(
            asked=load_yaml_model(folder / "requirements.yaml", RequirementsFile),
            kinds=load_yaml_model(folder / "artefacts.yaml", ArtefactsFile),
            order=load_yaml_model(folder / "packages.yaml", PackagesFile),
            wanted=load_yaml_model(folder / "matrix.yaml", MatrixFile),
        )
    )


def agree(catalogue: RegulatoryCatalogue) -> RegulatoryCatalogue:
    """Return the catalogue if its files agree with each other, else raise PROT-050."""
    complaints = list(_complaints(catalogue))
    if complaints:
        raise ProtocolProblem(
            f"the regulatory catalogue does not agree with itself: {'; '.join(complaints[:8])}.",
            code="PROT-050",
            where="templates/catalogue",
            why="A requirement with a broken reference would be missing from a gap report without anybody noticing.",
            action="Correct the id in the file that is named.",
        )
    return catalogue


@cache
def regulatory_catalogue() -> RegulatoryCatalogue:
    """Return the shipped catalogue."""
    return load_catalogue(shipped("templates", "catalogue"))


def _complaints(catalogue: RegulatoryCatalogue) -> Iterator[str]:
    ids = Counter(r.id for s in catalogue.asked.sources for r in s.requirements)
    yield from (f"requirement {i} is there {n} times" for i, n in ids.items() if n > 1)
    sections = Counter(s.id for p in catalogue.packages.values() for s in p.sections)
    yield from (f"section {i} is there {n} times" for i, n in sections.items() if n > 1)
    artefacts, keys = catalogue.artefacts.keys(), catalogue.order.data_keys.keys()
    claims = set(catalogue.wanted.matrix)
    for requirement in catalogue.requirements.values():
        yield from _unknown(requirement.artefacts, artefacts, f"{requirement.id} names artefact")
        yield from _unknown(catalogue.claims_of(requirement), claims, f"{requirement.id} names claim")
    for package in catalogue.packages.values():
        for section in package.sections:
            yield from _unknown(section.artefacts, artefacts, f"{section.id} names artefact")
            yield from _unknown(section.data, keys, f"{section.id} names data")
            named = (*section.requirements, *section.also_apply)
            yield from _unknown(named, ids.keys(), f"{section.id} names requirement")
        yield from _unknown(package.cross_cutting, ids.keys(), f"{package.title} names requirement")
    for claim, row in catalogue.wanted.matrix.items():
        missing = set(catalogue.packages) - set(row)
        yield from (f"{claim} has no entry for the pathway {name}" for name in sorted(missing))
        for pathway, cell in row.items():
            both = set(cell.required) & set(cell.conditional)
            yield from (f"{claim}, {pathway}: {name} is required and conditional" for name in sorted(both))
            yield from _unknown((*cell.required, *cell.conditional), artefacts, f"{claim}, {pathway} names artefact")


def _unknown(names: Iterable[str], known: Iterable[str], what: str) -> Iterator[str]:
    yield from (f"{what} {name!r}, which is not defined" for name in sorted(set(names) - set(known)))
