"""The one view of a run that every document, in every format, is built from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from validation.data import shipped
from validation.dossier.catalogue import Catalogue, Section, catalogue
from validation.dossier.figures.gallery import Gallery
from validation.dossier.record import Fact, Node, Record, anchor_of, exact
from validation.dossier.runfiles import RunFiles
from validation.dossier.templating import build, environment
from validation.errors import RunProblem

_NUMBER = re.compile(r'<a class="num" data-id="([^"]+)"')
Pages = Mapping[str, Mapping[str, int]]  # document -> anchor -> page


class ViewModel:
    """A run, ready to be written up.

    Parameters
    ----------
    run_folder
        The run folder.
    """

    def __init__(self, run_folder: Path) -> None:
        self.files = RunFiles(run_folder)
        self.record: Record = self.files.record
        self.catalogue: Catalogue = catalogue()
        self.gallery = Gallery(self.files)
        self._jinja = environment(shipped("templates", "dossier"))

    def html(self, document: str, pathway: str, pages: Pages | None = None) -> str:
        """Return one document as HTML: the source of all three formats.

        Parameters
        ----------
        document, pathway
            Names in the catalogue.
        pages
            Pages of other documents, for pointers such as "page 12"; without them a pointer names the section only.
        """
        kind = self.catalogue.documents[document]
        printed = Printed(self.record, self.catalogue)
        context = {
            **self._facts(),
            **printed.functions(),
            "figure": self.gallery.html,
            "images": self.gallery.images,
            "page": lambda name, anchor: _page(pages or {}, name, anchor),
            "document": {"id": document, "title": kind.title, "signs": kind.signs},
            "pathway": {"id": pathway, "title": self.catalogue.pathway(pathway).title},
            "screen_css": "",
        }
        bodies: list[tuple[Section, Markup]] = []
        for section in kind.sections:
            if all(self._has(need) for need in section.needs):
                context["used"] = self._used(bodies)
                bodies.append((section, self._section(section, context)))
        frame = self._jinja.get_template("document.html.j2")
        return build(
            lambda: frame.render(
                **context, sections=[{"id": s.id, "title": s.title, "body": body} for s, body in bodies]
            ),
            "document.html.j2",
        )

    def _facts(self) -> dict[str, Any]:
        names = {"protocol": "P", "lock": "lock", "environment": "environment", "events": "events", "ledger": "ledger"}
        found: dict[str, Any] = {"R": self.record.node(), "has": self._has}
        for source, name in names.items():
            if self.record.has(source):
                found[name] = self.record.node(source=source)
        return found

    def _has(self, need: str) -> bool:
        """Tell whether the record holds something under a source or a top-level key of the results."""
        return self.record.has(need) or bool(self.record.results.get(need))

    def _used(self, bodies: list[tuple[Section, Markup]]) -> list[dict[str, Any]]:
        """Return what the record of numbers lists: every number that the sections so far have printed, each once."""
        printed = dict.fromkeys(unescape(i) for _, body in bodies for i in _NUMBER.findall(body))
        return [
            {
                "id": identifier,
                "anchor": anchor_of(identifier),
                "printed": str(Fact(self.record, identifier)),
                "exact": exact(self.record, identifier),
                "unit": self.record.unit(identifier),
            }
            for identifier in printed
        ]

    def _section(self, section: Section, context: dict[str, Any]) -> Markup:
        name = f"sections/{section.id}.html.j2"
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


class Printed:
    """The functions through which templates print."""

    def __init__(self, record: Record, names: Catalogue) -> None:
        self._record = record
        self._names = names

    def functions(self) -> dict[str, Any]:
        """Return the functions by the names templates know them under."""
        return {
            "num": self.num,
            "quantity": self.quantity,
            "interval": self.interval,
            "unit": self.unit,
            "word": self.word,
            "cite": self.cite,
            "plain": lambda fact: str(fact),
            "anchor": anchor_of,
            "criterion": self.criterion,
        }

    def num(self, identifier: str) -> Fact:
        """Return the number (or text) at an id."""
        return Fact(self._record, str(identifier))

    def unit(self, name: str) -> str:
        """Return how a unit is printed."""
        return self._names.units.get(str(name), str(name))

    def quantity(self, fact: Fact) -> Markup:
        """Return a number with its unit."""
        unit = self.unit(fact.unit)
        return Markup("{}{}").format(fact, f"\u00a0{unit}" if unit and not fact.missing else "")

    def interval(self, estimate: Node) -> Markup:
        """Return an estimate in one phrase: value, unit, level, limits; or why there is none."""
        if estimate["value"].missing:
            return Markup("not estimable ({})").format(estimate["reason"])
        limits = [Markup("no limit") if estimate[k].missing else estimate[k] for k in ("lower", "upper")]
        return Markup('<span class="nowrap">{}</span> (<span class="nowrap">{} CI {} to {}</span>)').format(
            self.quantity(estimate["value"]), estimate["level"], *limits
        )

    def criterion(self, endpoint: str) -> Markup:
        """Return what an endpoint had to show, in words, with its margin."""
        at = f"{endpoint}.hypothesis"
        hypothesis = self._record.raw(at)
        kind = self._names.words["hypothesis"][hypothesis["type"]]
        unit = self.unit(str(self._record.raw(f"{endpoint}.unit")))
        tail = f"\u00a0{unit}" if unit else ""
        if hypothesis["type"] == "descriptive":
            return Markup("Descriptive; nothing had to be shown")
        if hypothesis["type"] == "equivalence" and hypothesis["margin"] is None:
            return Markup("{}: interval within {} to {}{}").format(
                kind, self.num(f"{at}.lower"), self.num(f"{at}.upper"), tail
            )
        if hypothesis["type"] == "equivalence":
            return Markup("{}: interval within ±{}{}").format(kind, self.num(f"{at}.margin"), tail)
        lower = hypothesis["better"] == "lower"
        if hypothesis["type"] == "non_inferiority":
            side = "above" if lower else "below"
            return Markup("{}: worse by less than {}{} (interval not {} it)").format(
                kind, self.num(f"{at}.margin"), tail, side
            )
        goal = (
            Markup("{}{}").format(self.num(f"{at}.margin"), tail)
            if hypothesis["margin"] is not None
            else Markup("zero")
        )
        return Markup("{}: whole interval {} {}").format(kind, "below" if lower else "above", goal)

    def word(self, group: str, fact: str) -> Markup:
        """Return the word for a code of the record, carrying the id of the code."""
        text = self._names.words[group].get(str(fact), str(fact))
        if isinstance(fact, Fact):
            return Markup('<span class="fact {} {}-{}" data-id="{}" data-words="{}">{}</span>').format(
                group, group, str(fact), fact.identifier, group, text
            )
        return escape(text)

    def cite(self, key: str) -> Markup:
        """Return a citation from the catalogue."""
        if key not in self._names.citations:
            raise RunProblem(f"there is no citation {key!r} in the catalogue.", code="DOS-008", where=key)
        return Markup('<cite data-cite="{}">{}</cite>').format(key, self._names.citations[key])


def _page(pages: Pages, document: str, anchor: str) -> str:
    number = pages.get(document, {}).get(anchor)
    return "" if number is None else f"p.\u00a0{number}"
