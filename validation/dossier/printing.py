"""The functions through which templates print. Each takes facts or ids and gives text that carries its ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from validation.dossier.catalogue import Catalogue
from validation.dossier.record import Fact, Node, Record, anchor_of
from validation.dossier.rounding import MINUS, no_difference
from validation.errors import RunProblem
from validation.protocol.units import plural, unit_word

Pages = Mapping[str, Mapping[str, int]]  # document -> anchor -> page; the empty anchor is the number of pages


class Printing:
    """Printing functions for one document.

    Parameters
    ----------
    record, names
        The facts, and the words and units they are printed with.
    pages
        Pages of other documents, for pointers such as "page 12"; without them a pointer names the section only.
    order
        The documents of the file; a pointer to another document is no link. All documents if omitted.
    """

    def __init__(self, record: Record, names: Catalogue, pages: Pages, *, order: Sequence[str] | None = None) -> None:
        self._record = record
        self._names = names
        self._pages = pages
        self._order = order

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Return the functions by the names templates know them under."""
        return {
            "num": self.num,
            "quantity": self.quantity,
            "interval": self.interval,
            "limit": self.limit,
            "limits": self.limits,
            "listed": self.listed,
            "sample_size": self.sample_size,
            "counts": self.counts,
            "p_value": self.p_value,
            "unit": self.unit,
            "word": self.word,
            "label": self.label,
            "cite": self.cite,
            "verdict": self.verdict,
            "criterion": self.criterion,
            "planned": self.planned,
            "where": self.where,
            "same_as": self.same_as,
            "units": self.units,
            "units_of": self.units_of,
            "capital": lambda text: text[:1].upper() + text[1:],
            "filled": self.filled,
            "plain_fact": lambda part: isinstance(part, Fact) or (isinstance(part, Node) and self._flat(part)),
            "stated": lambda node, key: self.listed(node[key]) if self.filled(node.get(key)) else "not stated",
            "any_subgroup": lambda columns: any(
                set(columns) & set(e.get("subgroups") or {}) for e in self._record.results["endpoints"].values()
            ),
            "group": lambda name: list(self._names.groups[name]),
            "pathway_title": lambda name: self._names.pathway(str(name)).title,
            "any_endpoint": lambda key: any(e.get(key) for e in self._record.results["endpoints"].values()),
            "plain": str,
            "plain_list": lambda node: [str(item) for item in node.each()],
            "anchor": anchor_of,
        }

    def num(self, identifier: str) -> Fact:
        """Return the number (or text) at an id."""
        return Fact(self._record, str(identifier))

    def unit(self, name: str) -> str:
        """Return how a unit is printed."""
        return self._names.units.get(str(name), str(name))

    def label(self, name: str) -> str:
        """Return a column name in words.

        >>> Printing(None, None, {}).label("slice_thickness_mm")
        'Slice thickness (mm)'
        """
        text = str(name)
        if text.upper() in {"BMI", "ICU"}:
            return text.upper()
        for suffix, unit in (("_mm", " (mm)"), ("_id", "")):
            if text.endswith(suffix):
                text = text.removesuffix(suffix) + unit
        text = text.replace("_", " ")
        return text[:1].upper() + text[1:]

    def quantity(self, fact: Fact) -> Markup:
        """Return a number with its unit."""
        unit = self.unit(fact.unit)
        return Markup("{}{}").format(fact, f"\u00a0{unit}" if unit and not fact.missing else "")

    def interval(self, estimate: Node) -> Markup:
        """Return an estimate in one phrase: value, unit, level, limits; or why there is none."""
        if estimate["value"].missing:
            return Markup("{}: {}").format(estimate["value"], estimate["reason"])
        phrase = Markup('<span class="nowrap">{}</span> <span class="nowrap">({} CI {} to {})</span>')
        limits = (self.limit(estimate["lower"]), self.limit(estimate["upper"]))
        return phrase.format(self.quantity(estimate["value"]), estimate["level"], *limits)

    def limit(self, fact: Fact) -> Fact | str:
        """Return a confidence limit, or a dash where the interval has no such end."""
        return "–" if fact.missing else fact

    def limits(self, estimate: Node) -> Markup:
        """Return both ends of an interval, or nothing where there is none."""
        if estimate["lower"].missing and estimate["upper"].missing:
            return Markup("")
        return Markup("{} to {}").format(self.limit(estimate["lower"]), self.limit(estimate["upper"]))

    def listed(self, part: Fact | Node) -> Markup:
        """Return a fact, or the items of a list of facts with commas."""
        return Markup(", ").join(part.each()) if isinstance(part, Node) else escape(part)

    def sample_size(self, plan: Node) -> Markup:
        """Return how many patients were planned, and how many the stated assumptions need."""
        text = Markup("{} planned").format(plan["planned_clusters"])
        if "required_clusters" in plan and not plan["required_clusters"].missing:
            text += Markup("; the stated assumptions need {} for power {}").format(
                plan["required_clusters"], plan["power"]
            )
        if "planned_power" in plan and not plan["planned_power"].missing:
            text += Markup("; power with the planned number {}").format(plan["planned_power"])
        if "reason" in plan and str(plan["reason"]):
            text += Markup(". Not computed: {}").format(plan["reason"])
        return text

    def p_value(self, fact: Fact) -> Markup:
        """Return a p-value with its sign: "p = 0.03", "p < 0.001"."""
        return Markup("p\u00a0{}").format(fact) if fact[:1] in "<>" else Markup("p\u00a0=\u00a0{}").format(fact)

    def counts(self, estimate: Node) -> Markup:
        """Return how many cases and independent units an estimate comes from."""
        n, clusters = estimate["n"], estimate["n_clusters"]
        cases = Markup("{} {}").format(n, "case" if n == "1" else "cases")
        if clusters.missing:
            return cases
        return Markup("{} of {} {}").format(cases, clusters, self.units(estimate, one=clusters == "1"))

    def units(self, of: Node | None = None, *, one: bool = False) -> str:
        """Return the word for the independent units, of an endpoint where a part of one is given."""
        endpoint = None if of is None else self._record.endpoint_of(f"{of.identifier}.")
        word = unit_word(self._record.results, endpoint)
        return word if one else plural(word)

    def units_of(self, planned: Node) -> str:
        """Return the same for an endpoint of the locked protocol."""
        return plural(unit_word(self._record.results, self._record.raw(planned.identifier)))

    def filled(self, part: Any) -> bool:
        """Tell whether something is there and is not null, nor an empty text or list."""
        if isinstance(part, Fact):
            return not part.missing and str(part) != ""
        return isinstance(part, Node) and len(part) > 0

    def _flat(self, node: Node) -> bool:
        return node.is_list and all(isinstance(item, Fact) for item in node.each())

    def word(self, group: str, fact: str) -> Markup:
        """Return the word for a code of the record, carrying the id of the code."""
        text = self._names.words[group].get(str(fact), self.label(str(fact)))
        if isinstance(fact, Fact):
            return Markup('<span class="word {} {}-{}" data-id="{}" data-words="{}">{}</span>').format(
                group, group, str(fact), fact.identifier, group, text
            )
        return escape(text)

    def verdict(self, endpoint: Node) -> Markup:
        """Return the verdict of an endpoint; one that was only reported has none, whatever came out."""
        outcome = endpoint["verdict"]["outcome"]
        if str(endpoint["hypothesis"]["type"]) != "descriptive":
            return self.word("outcome", outcome)
        text = self._names.words["outcome"]["descriptive"]
        return Markup('<span class="word outcome" data-id="{}">{}</span>').format(outcome.identifier, text)

    def cite(self, key: str) -> Markup:
        """Return a citation from the catalogue."""
        if key not in self._names.citations:
            raise RunProblem(f"there is no citation {key!r} in the catalogue.", code="DOS-008", where=str(key))
        return Markup("<cite>{}</cite>").format(self._names.citations[key])

    def same_as(self, endpoint: str, part: str) -> str:
        """Return the first endpoint before this one that has the same part, such as ``curves``; empty if none has."""
        endpoints = self._record.results["endpoints"]
        wanted = endpoints[endpoint]
        for name, other in endpoints.items():
            if name == endpoint:
                break
            if other["metric_key"] == wanted["metric_key"] and other.get(part) == wanted[part]:
                return str(name)
        return ""

    def criterion(self, endpoint: str) -> Markup:
        """Return what an endpoint had to show, in words, with its margin."""
        record = self._record.raw(endpoint)
        return self._criterion(f"{endpoint}.hypothesis", record)

    def planned(self, endpoint: Node) -> Markup:
        """Return the same for an endpoint of the locked protocol."""
        at = f"{endpoint.identifier}.hypothesis"
        results = self._record.results["endpoints"].get(str(endpoint["id"]))
        return self._criterion(at, results or {**self._record.raw(endpoint.identifier), "unit": ""})

    def _criterion(self, at: str, endpoint: dict[str, Any]) -> Markup:
        hypothesis = self._record.raw(at)
        kind = hypothesis["type"]
        name = self._names.words["hypothesis"][kind]
        unit, ratio = self.unit(str(endpoint["unit"])), no_difference(endpoint) == 1
        tail = f"\u00a0{unit}" if unit else ""
        if kind == "descriptive":
            return Markup("Descriptive: nothing had to be shown")
        if kind == "equivalence":
            if hypothesis.get("margin") is None:
                text = Markup("{}: whole interval from {} to {}{}")
                return text.format(name, self.num(f"{at}.lower"), self.num(f"{at}.upper"), tail)
            middle = "one " if ratio else ""
            return Markup("{}: whole interval within {}±{}{}").format(name, middle, self.num(f"{at}.margin"), tail)
        lower = str(endpoint.get("direction", "")).startswith("lower")
        better = hypothesis.get("better") or ("lower" if lower else "higher")
        side = "below" if better == "lower" else "above"
        if hypothesis.get("margin") is None:
            return Markup("{}: whole interval {} {}").format(name, side, "one" if ratio else "zero")
        sign = ""
        if kind == "non_inferiority":
            sign = MINUS if side == "above" else "+" if ratio else ""
            sign = f"one\u00a0{sign}\u00a0" if ratio else sign
        return Markup("{}: whole interval {} {}{}{}").format(name, side, sign, self.num(f"{at}.margin"), tail)

    def where(self, document: str, section: str, *, current: str = "") -> Markup:
        """Return a pointer to a section of a document, with its page where that is known."""
        kind = self._names.documents[str(document)]
        title = next((s.title for s in kind.sections if s.id == section), str(section).rpartition("-")[2])
        if document == current:
            return Markup('<a class="here" href="#{}">{}</a>').format(section, title) if section else Markup("here")
        if self._order is not None and document not in self._order:
            return Markup('<span class="pointer">{}, {} (not in this file)</span>').format(kind.title, title)
        page = self._pages.get(str(document), {}).get(str(section))
        number = f", page\u00a0{page}" if page is not None and section else ""
        anchor, name = (f"#{section}", f", {title}") if section else ("", "")
        text = Markup('<a class="pointer" href="{}.pdf{}">{}{}{}</a>')
        return text.format(document, anchor, kind.title, name, number)

    def there(self, document: str, section: str) -> bool:
        """Tell whether a section is in a document; one that was not laid out yet is taken to have it."""
        return document not in self._pages or section in self._pages[document]

    def document(self, name: str) -> Markup:
        """Return a pointer to a whole document, with its number of pages where that is known."""
        count = self._pages.get(name, {}).get("")
        pages = "" if count is None else f", {count}\u00a0{'page' if count == 1 else 'pages'}"
        return Markup('<a class="pointer" href="{}.pdf">{}{}</a>').format(
            name, self._names.documents[name].title, pages
        )
