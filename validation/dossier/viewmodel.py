"""The one view of a run that every document, in every format, is built from."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from markupsafe import Markup

from validation.data import shipped
from validation.dossier.catalogue import Catalogue, Section, catalogue
from validation.dossier.data_files import data_files
from validation.dossier.figures.gallery import Gallery
from validation.dossier.filemap import FileMap
from validation.dossier.holdings import Holdings
from validation.dossier.integration import ihe_note, site_table
from validation.dossier.narratives import Narratives
from validation.dossier.printing import Pages, Printing
from validation.dossier.record import Node, Record, anchor_of, exact
from validation.dossier.runfiles import RunFiles
from validation.dossier.subgroup_words import SubgroupWords
from validation.dossier.templating import build, environment
from validation.errors import RunProblem
from validation.evidence.edition import read_edition
from validation.protocol.claims import claim_facts

if TYPE_CHECKING:
    from validation.protocol.schema import ClaimType, Pathway

_NUMBER = re.compile(r'<a class="num" data-id="([^"]+)"')
_NAMES = {"protocol": "P", "lock": "lock", "environment": "environment", "derived": "derived", "interface": "interface"}


class ViewModel:
    """A run, ready to be written up.

    Parameters
    ----------
    run_folder
        The run folder.
    figures
        Folder in which processes that print the same run share their figures.
    edition
        Folder of an edition whose narrative blocks count instead of those of the run.
    """

    def __init__(self, run_folder: Path, figures: Path | None = None, *, edition: Path | None = None) -> None:
        self.files = RunFiles(run_folder, edition)
        self.record: Record = self.files.record
        self.catalogue: Catalogue = catalogue()
        self.gallery = Gallery(self.files, figures)
        home = edition or run_folder
        self.narratives = Narratives(home, self.catalogue)
        self.has = Holdings(self.record, home)
        self._edition = read_edition(edition) if edition else None
        self.claim: ClaimType = self.record.raw("claim.type")
        folder = shipped("templates", "dossier")
        self._files: dict[str, FileMap] = {}
        self._jinja = environment(folder)
        self._screen = Markup((folder / "screen.css").read_text(encoding="utf-8"))  # noqa: S704 - shipped

    def html(self, document: str, pathway: str, pages: Pages | None = None) -> str:
        """Return one document as HTML: the source of all three formats.

        Parameters
        ----------
        document, pathway
            Names in the catalogue.
        pages
            Pages of other documents of the pathway that were laid out before.
        """
        kind = self.catalogue.documents[document]
        pages = pages or {}
        file = self.file(pathway)
        printing = Printing(self.record, self.catalogue, pages, order=file.order)
        asked = file.asked(document)
        narrative = self.narratives.html(document)
        bodies: list[tuple[Section, Markup]] = []
        context: dict[str, Any] = {
            **self._facts(),
            **printing.functions(),
            "figure": self.gallery.html,
            "images": self._images,
            "pictured": self._pictured,
            "subgroup_words": SubgroupWords(self.record),
            "narrative": narrative,
            "to_write": file.points(document) if narrative is None and file.by_person(document) else None,
            "deviations": self._deviations,
            "ledger_entries": lambda: self._entries("ledger", only=()),
            "event_entries": lambda: self._entries("events", only=()),
            "asked": lambda: file.rows(asked, printing, document, [s.id for s, _ in bodies]),
            "every_requirement": lambda: file.rows(file.answered, printing, document),
            "file_sections": lambda: file.sections(printing),
            "file_names": lambda: [f"{k:03d}_{name}.pdf" for k, name in enumerate(file.order, start=1)],
            "data_files": lambda: data_files(file.order),
            "standards": file.standards,
            "file_note": file.note,
            "site_table": site_table,
            "ihe_note": ihe_note,
            "catalogue_facts": lambda: claim_facts(self.claim),
            "document": {
                "id": document,
                "title": kind.title,
                "signs": kind.signs,
                "sections": [s.id for s in kind.sections],
            },
            "pathway": {"id": pathway, "title": self.catalogue.pathway(pathway).title},
            "edition": self._edition,
            "screen_css": self._screen,
        }
        there = {"asked": bool(asked), "narrative": bool(narrative or context["to_write"])}
        for section in kind.sections:
            if section.claims and self.claim not in section.claims:
                continue
            if section.id == "record":
                context["used"] = self._used(bodies)
                there["used"] = bool(context["used"])
            if all(there[n] if n in there else self.has(n) for n in section.needs):
                context["filing"] = file.filing(section.filing, printing, document) if section.filing else None
                bodies.append((section, self._section(section, context)))
        frame = self._jinja.get_template("document.html.j2")
        sections = [{"id": section.id, "title": section.title, "body": body} for section, body in bodies]
        return build(lambda: frame.render(**context, sections=sections), "document.html.j2")

    def file(self, pathway: str) -> FileMap:
        """Return the map of the file of a pathway.

        Raises
        ------
        UsageProblem
            DOS-005 if there is no such pathway.
        """
        self.catalogue.pathway(pathway)
        if pathway not in self._files:
            self._files[pathway] = FileMap(self.claim, cast("Pathway", pathway), self.catalogue, self.has)
        return self._files[pathway]

    def _facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"R": self.record.node(), "has": self.has}
        for source, name in _NAMES.items():
            if self.record.has(source):
                found[name] = self.record.node(source=source)
        return found

    def _images(self, case_id: str) -> list[dict[str, Any]]:
        """Return the pictures of a case, each with the entry that names its window where there is one."""
        pictures: list[dict[str, Any]] = list(self.gallery.images(case_id))
        windows = self.record.node(source="images") if self.record.has("images") else {}
        for picture in pictures:
            entry = windows.get(f"{case_id}/{picture['arm']}")
            if entry is not None:
                picture["entry"] = entry
        return pictures

    def _entries(self, source: str, *, only: tuple[str, ...]) -> list[Node]:
        """Return entries of a chain up to the end of the run, so that rendering later gives the same document."""
        if not self.record.has(source):
            return []
        finished = str(self.record.raw("run.finished"))
        entries: list[Node] = self.record.node(source=source).each()
        return [e for e in entries if str(e["time"]) <= finished and (not only or str(e["action"]) in only)]

    def _deviations(self) -> list[Node]:
        """Return deviations of the study and of the run up to its end, in order of time."""
        found = [e for source in ("ledger", "events") for e in self._entries(source, only=("deviation",))]
        return sorted(found, key=lambda entry: str(entry["time"]))

    def _pictured(self) -> list[dict[str, Any]]:
        """Return each worst case that has pictures once, with the endpoints it is a worst case of."""
        found: dict[str, dict[str, Any]] = {}
        for endpoint, e in self.record.node()["endpoints"].items():
            for case in e["worst_cases"].each():
                pictures = self._images(str(case["case_id"]))
                if pictures:
                    row = {"case_id": case["case_id"], "endpoints": [], "pictures": pictures}
                    found.setdefault(str(case["case_id"]), row)["endpoints"].append(endpoint)
        return list(found.values())

    def _used(self, bodies: list[tuple[Section, Markup]]) -> list[dict[str, Any]]:
        """Return what the record of numbers lists: every number that the sections so far have printed, each once.

        Numbers of one estimate (or other part of the record) stand together under the id of that part.
        """
        printed = dict.fromkeys(unescape(i) for _, body in bodies for i in _NUMBER.findall(body))
        groups: dict[str, list[dict[str, Any]]] = {}
        for identifier in printed:
            part, _, key = identifier.rpartition(".")
            if not part:
                part, _, key = identifier.rpartition(":")
            groups.setdefault(part or "run", []).append(
                {
                    "id": identifier,
                    "key": key,
                    "anchor": anchor_of(identifier),
                    "exact": exact(self.record, identifier),
                    "unit": self.record.unit(identifier),
                }
            )
        return [{"part": part, "numbers": numbers} for part, numbers in groups.items()]

    def _section(self, section: Section, context: dict[str, Any]) -> Markup:
        name = f"sections/{section.template or section.id}.html.j2"
        template = self._jinja.get_template(name)
        body = build(lambda: template.render(**context), name)
        if not body.strip():
            raise RunProblem(
                f"the section {section.title!r} came out empty.",
                code="DOS-007",
                where=name,
                why="An empty section reads as if there were nothing to say.",
                action="Say in the template why there is nothing.",
            )
        return Markup(body)  # noqa: S704 - every value in it was escaped by the template
