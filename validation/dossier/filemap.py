"""The file of a pathway as its documents see it: what lies where, what is asked of each, and who still has to write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from markupsafe import Markup

from validation.dossier.answering import Answered, answering
from validation.dossier.answers import Place
from validation.dossier.catalogue import Catalogue, Filing
from validation.dossier.printing import Printing
from validation.dossier.profiles import profile_of
from validation.dossier.stack import Entry, cell_of, file_of
from validation.protocol.catalogue import level_words, regulatory_catalogue
from validation.protocol.schema import ClaimType, Pathway

WRITTEN = ("asked", "narrative", "used")  # needs that a document answers itself, not the record


class FileMap:
    """Answers for templates about the file as a whole.

    Parameters
    ----------
    claim, pathway
        Which file.
    names
        The catalogue of documents.
    has
        Tells whether the record holds something.
    """

    def __init__(self, claim: ClaimType, pathway: Pathway, names: Catalogue, has: Callable[[str], bool]) -> None:
        self._claim: ClaimType = claim
        self.pathway: Pathway = pathway
        self._names = names
        self._has = has

    @cached_property
    def entries(self) -> list[Entry]:
        """The documents of the file, in order."""
        return file_of(self._claim, self.pathway, has=self._has)

    @cached_property
    def order(self) -> list[str]:
        """Their names."""
        return [e.document for e in self.entries]

    @cached_property
    def answered(self) -> list[Answered]:
        """Every requirement that applies."""
        linted = profile_of(self.pathway) is not None
        every = answering(self._claim, self.pathway, self.order, linted=linted)
        return [a for a in every if a.kind != "not_applicable"]

    def asked(self, document: str) -> list[Answered]:
        """Return the requirements that a document answers, in what the record fills or in what a person writes."""
        artefact = self._names.artefact_of(document)
        return [a for a in self.answered if a.block == artefact or any(p.name == document for p in a.places)]

    def by_person(self, document: str) -> bool:
        """Tell whether a person has to write in a document."""
        artefact = self._names.artefact_of(document)
        if artefact not in regulatory_catalogue().artefacts:
            return False
        return not self._names.documents[document].filled or any(a.block == artefact for a in self.answered)

    def points(self, document: str) -> dict[str, Any]:
        """Return what a person is asked to write in a document, and who."""
        artefact, regulations = self._names.artefact_of(document), regulatory_catalogue()
        sections = regulations.sections_of(artefact, self.pathway)
        points = [f"{s.title}: {'; '.join(s.checklist)}" for s in sections]
        points += [f"only a person can: {s.person_must}" for s in sections if s.person_must]
        remaining = [f"{a.requirement.id}: {a.remains}" for a in self.answered if a.block == artefact and a.places]
        return {
            "artefact": artefact,
            "signs": regulations.artefacts[artefact].signs,
            "points": list(dict.fromkeys(points + remaining)) or ["what the title says"],
        }

    def rows(
        self, chosen: Sequence[Answered], printing: Printing, document: str, present: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return requirements as table rows, with pointers to where each is answered.

        ``present`` are the sections that the document itself has; a place in another one of it is not shown.
        """
        return [
            {
                "id": a.requirement.id,
                "clause": a.requirement.section,
                "asks": a.requirement.asks,
                "source": f"{a.source.document}, {a.source.year}, {a.source.status}; {level_words(a.requirement)}",
                "kind": a.kind,
                "places": [
                    self._place(p, printing, document)
                    for p in a.places
                    if p.kind != "document"
                    or (p.section in present if p.name == document else self._there(p.name, p.section, printing))
                ],
                "remains": a.remains,
                "block": self._block(a, printing, document),
            }
            for a in chosen
        ]

    def sections(self, printing: Printing) -> list[dict[str, Any]]:
        """Return the sections of the regulator's order, each with its documents, or why one is not there."""
        found, told = [], set()
        for section in regulatory_catalogue().packages[self.pathway].sections:
            files = []
            for artefact in section.artefacts:
                document = self._names.document_of(artefact)
                if document in self.order:
                    files.append(printing.document(document))
                    told.add(document)
                else:
                    files.append(self._absent(artefact))
            found.append(
                {"number": section.number, "title": section.title, "files": files, "person": section.person_must}
            )
        others = [d for d in self.order if d not in told]
        if others:
            files = [printing.document(d) for d in others]
            found.append({"number": "", "title": "Documents on the file as a whole", "files": files, "person": ""})
        return found

    @property
    def note(self) -> str:
        """What must be said of the pathway for this claim; empty if nothing."""
        cell = cell_of(self._claim, self.pathway)
        return cell.note if cell.applicability in ("not_applicable", "supporting") else ""

    def standards(self) -> list[dict[str, Any]]:
        """Return the documents behind the requirements that apply, each with their ids."""
        found: dict[str, dict[str, Any]] = {}
        for a in self.answered:
            row = {
                "document": a.source.document,
                "year": str(a.source.year),
                "status": a.source.status,
                "requirements": [],
            }
            found.setdefault(a.source.document, row)["requirements"].append(a.requirement.id)
        return list(found.values())

    def filing(self, name: str, printing: Printing, document: str) -> dict[str, Any]:
        """Return a table of clauses for a document, with facts that the record holds and pointers into this file."""
        table: Filing = self._names.filings[name]
        rows = []
        for row in table.rows:
            facts = [
                Markup("{}: {}").format(label, printing.quantity(printing.num(identifier)))
                for label, identifier in row.facts.items()
                if self._has(identifier)
            ]
            pointers = [
                printing.where(p.document, p.section, current=document)
                for p in row.pointers
                if p.document in self.order and self._there(p.document, p.section, printing)
            ]
            rows.append({"clause": row.clause, "asks": row.asks, "parts": facts + pointers, "person": row.person})
        words = {"A": "its text was read", "B": "a publication about it was read", "K": "from knowledge, unverified"}
        basis = f"{table.source}; {words[table.verification]}, {table.as_of}"
        return {"cite": printing.cite(table.cite), "intro": table.intro, "basis": basis, "rows": rows}

    def _there(self, document: str, section: str, printing: Printing) -> bool:
        """Tell whether a section is in a document: from its pages, or from what the record holds before it has any."""
        found = next((s for s in self._names.documents[document].sections if s.id == section), None)
        if found is not None and found.claims and self._claim not in found.claims:
            return False
        if found is not None and not all(self._has(n) for n in found.needs if n not in WRITTEN):
            return False
        return printing.there(document, section)

    def _place(self, place: Place, printing: Printing, document: str) -> Markup:
        if place.kind == "lint":
            rule = place.section.replace("_", " ") or "every rule that stops"
            return Markup("Files looked over by the profile of the receiver: {}").format(rule)
        if place.kind == "file":
            return Markup('File of the run: <span class="code">{}</span>').format(place.name)
        return printing.where(place.name, place.section, current=document)

    def _block(self, answered: Answered, printing: Printing, document: str) -> Markup | None:
        if not answered.block:
            return None
        where = self._names.document_of(answered.block)
        if where not in self.order:
            return Markup('in <span class="code">narrative/{}.md</span>, where it applies').format(answered.block)
        return printing.where(where, "narrative", current=document)

    def _absent(self, artefact: str) -> Markup:
        conditional = artefact in cell_of(self._claim, self.pathway).conditional
        why = "made when it applies" if conditional else "not asked for this claim"
        return Markup('<span class="minor">{}: {}</span>').format(regulatory_catalogue().artefacts[artefact].title, why)
