"""What a run holds of the places where requirements are answered, with the pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from validation.dossier.answers import Place
from validation.dossier.catalogue import catalogue
from validation.dossier.pages import pages_of
from validation.dossier.profile_lint import ProfileFinding, lint_folder
from validation.dossier.profiles import Profile
from validation.errors import DataProblem, UsageProblem
from validation.evidence.results import read_results
from validation.protocol.claims import claim_facts
from validation.protocol.schema import ClaimType, Pathway
from validation.study.narrative import narrative_path


@dataclass(frozen=True, kw_only=True)
class Found:
    """Whether a place is there.

    Attributes
    ----------
    page
        ", page 3", or empty where there is none to name.
    missing
        Why it is not there; empty if it is.
    absent
        Whether the document is there without this section, because the record holds nothing for it.
    """

    page: str = ""
    missing: str = ""
    absent: bool = False


class Made(Protocol):
    """What has been made so far."""

    @property
    def name(self) -> str:
        """Id of the run; empty if there is none yet."""

    @property
    def draft(self) -> bool:
        """Whether the run is a draft."""

    @property
    def findings(self) -> list[ProfileFinding]:
        """What the profile of the pathway finds."""

    def find(self, place: Place) -> Found:
        """Look a place up."""

    def block(self, study: Path, artefact: str) -> Found | None:
        """Look up where the narrative block of an artefact is shown; None if no document shows it."""


@dataclass(frozen=True)
class NothingYet:
    """Day one: no run."""

    name: str = ""
    draft: bool = False
    findings: list[ProfileFinding] = field(default_factory=list)

    def find(self, place: Place) -> Found:
        """Return that nothing is missing: a run will make it."""
        return Found()

    def block(self, study: Path, artefact: str) -> Found | None:
        """Return None: no document yet."""
        return None


class ReadRun:
    """A run with its documents.

    Parameters
    ----------
    folder
        The run folder.
    claim, pathway
        What is analysed; a run of another claim is refused.
    profile
        Rules for the files of the pathway, if it has any.
    edition
        An edition of the documents, looked up instead of those that the run was closed with.

    Raises
    ------
    UsageProblem
        DOS-034 if the run is of another claim.
    DataProblem
        DOS-032 if it has no documents of the pathway.
    """

    def __init__(
        self,
        folder: Path,
        claim: ClaimType,
        pathway: Pathway,
        profile: Profile | None,
        *,
        edition: Path | None = None,
    ) -> None:
        results = read_results(folder)
        if results["claim"]["type"] != claim:
            raise UsageProblem(
                f"the run is of a claim of the type {results['claim']['type']}, and the study claims {claim}.",
                code="DOS-034",
                where=folder.name,
                action="Name a run of this study.",
            )
        self.name = str(results["run"]["id"])
        self.draft = bool(results["run"]["draft"])
        self._folder = folder
        self._home = edition or folder
        self._documents = self._home / "dossier" / pathway
        if not any(self._documents.glob("*.pdf")):
            raise DataProblem(
                f"the run has no documents of the pathway {pathway}.",
                code="DOS-032",
                where=folder.name,
                why="Requirements are traced to pages of documents.",
                action=f"Make them: `validation render {folder.name} --pathway {pathway}`, then name the edition.",
            )
        self._pages: dict[str, dict[str, int]] = {}
        forbidden = [str(entry["words"]) for entry in claim_facts(claim).get("forbidden_wording", [])]
        self.findings = lint_folder(self._documents, profile, forbidden=forbidden) if profile else []

    def find(self, place: Place) -> Found:
        """Look a place up in the files of the run."""
        if place.kind == "file":
            there = (self._folder / place.name).is_file()
            return Found(missing="" if there else "the run holds no such file")
        if place.kind == "lint":
            held = [f for f in self.findings if (f.rule == place.section if place.section else f.severity == "stop")]
            return Found(missing=f"{len(held)} finding(s) of the profile, such as {held[0].text}" if held else "")
        pages = self._pages_of(place.name)
        if not pages:
            return Found(missing="the run holds no such document")
        if place.section and place.section not in pages:
            titles = {s.id: s.title for s in catalogue().documents[place.name].sections}
            text = f"the document has no section {titles.get(place.section, place.section)!r}"
            return Found(missing=text, absent=True)
        return Found(page=f", page {pages[place.section]}" if place.section else f", {pages['']} pages")

    def block(self, study: Path, artefact: str) -> Found | None:
        """Return the page on which the text stands; missing if the run was made before it was written like this."""
        document = catalogue().document_of(artefact)
        if not (self._documents / f"{document}.pdf").is_file():
            return Found(missing=f"no document shows narrative/{artefact}.md; render again with it")
        kept, here = narrative_path(self._home, artefact), narrative_path(study, artefact)
        if not kept.is_file() or kept.read_bytes() != here.read_bytes():
            return Found(
                missing=f"the documents do not show narrative/{artefact}.md as it is now; render again with it"
            )
        page = self._pages_of(document).get("narrative")
        if page is None or "narrative-open" in self._pages_of(document):
            return Found(missing=f"{document} does not show narrative/{artefact}.md; render again with it")
        return Found(page=f"{document}, narrative, page {page}")

    def _pages_of(self, document: str) -> dict[str, int]:
        path = self._documents / f"{document}.pdf"
        if document not in self._pages:
            self._pages[document] = pages_of(path) if path.is_file() else {}
        return self._pages[document]
