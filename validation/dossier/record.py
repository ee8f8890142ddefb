"""Where a document takes its facts from: the results, and beside them the locked protocol, environment and ledger.

Every fact has an id. Facts of ``results.json`` have the ids of :mod:`validation.evidence.results`; those of the other
files of the run carry the name of the file in front (``protocol:population.minimum_clusters``). Templates never see
a bare number: they see :class:`Fact` objects, which know their id and how they are printed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup, escape

from validation.digest import canonical_json
from validation.dossier.rounding import print_number
from validation.errors import RunProblem
from validation.evidence.results import lookup

_SAFE = re.compile(r"[^A-Za-z0-9._-]+")
_ESTIMATED = {"value", "lower", "upper", "shift", "p_value", "p_adjusted"}
TAG_LENGTH = 64  # Word refuses a content control whose tag is longer


def anchor_of(identifier: str) -> str:
    """Return the named destination of a fact in the record of numbers; distinct ids keep distinct names.

    >>> anchor_of("E1.estimate.lower")
    'rec-E1.estimate.lower'
    """
    safe = _SAFE.sub("_", identifier)
    if safe != identifier:
        safe += "." + hashlib.sha256(identifier.encode()).hexdigest()[:6]
    return f"rec-{safe}"


def tag_of(identifier: str) -> str:
    """Return the tag of a fact's content control in Word: the id itself, shortened with a digest if it is too long.

    >>> tag_of("E1.estimate.lower")
    'E1.estimate.lower'
    """
    if len(identifier) <= TAG_LENGTH:
        return identifier
    return identifier[: TAG_LENGTH - 13] + "~" + hashlib.sha256(identifier.encode()).hexdigest()[:12]


def exact(record: Record, identifier: str) -> str:
    """Return a number with every digit that the record holds (its RFC 8785 form)."""
    value = record.raw(identifier)
    return "no value" if value is None else canonical_json(value).decode()


class Record:
    """All facts of one run, by id.

    Parameters
    ----------
    sources
        Name of the source to its content; the empty name is ``results.json``.
    """

    def __init__(self, sources: Mapping[str, Any]) -> None:
        self._sources = dict(sources)
        self._tags: dict[str, str] | None = None

    @property
    def results(self) -> dict[str, Any]:
        """The content of ``results.json``."""
        found: dict[str, Any] = self._sources[""]
        return found

    def has(self, source: str) -> bool:
        """Tell whether a source (``protocol``, ``ledger``, ...) is there."""
        return source in self._sources

    def raw(self, identifier: str) -> Any:
        """Return what lies at an id, as the file holds it.

        Raises
        ------
        RunProblem
            DOS-001 if nothing lies there.
        """
        source, _, path = identifier.rpartition(":") if self._prefixed(identifier) else ("", "", identifier)
        try:
            content = self._sources[source]
            return lookup(content if source == "" else {"endpoints": {}, **{source: content}}, _under(source, path))
        except KeyError:
            raise RunProblem(
                f"a document asks for {identifier!r}, which the record does not hold.",
                code="DOS-001",
                where=identifier,
                why="Every number and every fact of a document must come from the record.",
                action="Correct the id in the template or narrative.",
            ) from None

    def _prefixed(self, identifier: str) -> bool:
        return identifier.partition(":")[0] in self._sources and ":" in identifier

    def printed(self, identifier: str) -> str:
        """Return a fact as every document prints it, without its unit."""
        value = self.raw(identifier)
        if value is None:
            return "not estimable" if identifier.rpartition(".")[2] in _ESTIMATED else "not given"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, int | float):
            return print_number(self, identifier, value)
        if isinstance(value, str):
            return value
        raise RunProblem(
            f"a document prints {identifier!r}, which is a table and not one fact.", code="DOS-001", where=identifier
        )

    def parent(self, identifier: str, levels: int = 1) -> Any:
        """Return the record that holds a fact (its estimate, its endpoint), or None at the top."""
        path = identifier
        for _ in range(levels):
            path = path.rpartition(".")[0]
            while path:
                try:
                    self.raw(path)
                except RunProblem:  # the key itself holds a dot
                    path = path.rpartition(".")[0]
                    continue
                break
        return self.raw(path) if path else None

    def unit(self, identifier: str) -> str:
        """Return the unit of a number, as the record names it; empty where it has none."""
        holder = self.parent(identifier)
        key = identifier.rpartition(".")[2]
        if isinstance(holder, dict) and isinstance(holder.get("unit"), str) and key in {"value", "lower", "upper"}:
            return str(holder["unit"])
        if key in {"low", "high"} and isinstance(holder, dict):
            return str(holder.get("unit", ""))
        endpoint = self.endpoint_of(identifier)
        if endpoint is not None and key in {"margin", "lower", "upper", "assumed_effect", "shift", "between_sd"}:
            return str(endpoint.get("unit", ""))
        if endpoint is not None and ".worst_cases." in identifier:
            arms = endpoint.get("arms") or {}
            return str(next((a.get("unit", "") for a in arms.values()), endpoint.get("unit", "")))
        return ""

    def endpoint_of(self, identifier: str) -> dict[str, Any] | None:
        """Return the endpoint that a fact belongs to, or None."""
        endpoints: dict[str, dict[str, Any]] = self.results.get("endpoints", {})
        return next((e for key, e in endpoints.items() if identifier.startswith(f"{key}.")), None)

    def node(self, identifier: str = "", *, source: str = "") -> Node:
        """Return a part of the record for templates to walk through."""
        if source:
            return Node(self, f"{source}:", self._sources[source])
        return Node(self, identifier, self.raw(identifier) if identifier else self.results)


def _under(source: str, path: str) -> str:
    return path if source == "" else f"{source}.{path}"


class Fact(str):
    """One fact, printed with its id; a text to compare with, never a number to compute with."""

    identifier: str
    record: Record
    is_number: bool

    def __new__(cls, record: Record, identifier: str) -> Fact:
        """Read the fact from the record."""
        fact = super().__new__(cls, record.printed(identifier))
        fact.identifier = identifier
        fact.record = record
        raw = record.raw(identifier)
        fact.is_number = raw is None or (isinstance(raw, int | float) and not isinstance(raw, bool))
        return fact

    @property
    def missing(self) -> bool:
        """Whether the record holds null here."""
        return self.record.raw(self.identifier) is None

    @property
    def nonzero(self) -> bool:
        """Whether this is a number other than zero."""
        return self.is_number and bool(self.record.raw(self.identifier))

    @property
    def unit(self) -> str:
        """The unit, for a number that has one."""
        return self.record.unit(self.identifier)

    def __html__(self) -> str:
        """Return the fact as HTML: numbers link to the record of numbers, texts only carry their id."""
        identifier = escape(self.identifier)
        if not self.is_number:
            return Markup('<span class="fact" data-id="{}">{}</span>').format(identifier, str(self))
        return Markup('<a class="num" data-id="{}" href="#{}">{}</a>').format(
            identifier, anchor_of(self.identifier), str(self)
        )


class Node(Mapping[str, Any]):
    """A part of the record: keys give further parts, or facts."""

    def __init__(self, record: Record, identifier: str, content: Any) -> None:
        self._record = record
        self.identifier = identifier
        self._content: dict[str, Any] = (
            {str(i): item for i, item in enumerate(content)} if isinstance(content, list | tuple) else dict(content)
        )
        self.is_list = isinstance(content, list | tuple)

    def _child(self, key: str) -> str:
        if not self.identifier:
            return "" if key == "endpoints" else key
        return f"{self.identifier}{key}" if self.identifier.endswith(":") else f"{self.identifier}.{key}"

    def __getitem__(self, key: str) -> Any:
        value = self._content[key]
        identifier = self._child(key)
        if isinstance(value, dict | list | tuple):
            return Endpoints(self._record, value) if identifier == "" else Node(self._record, identifier, value)
        return Fact(self._record, identifier)

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"{self.identifier or 'the record'} has no {key!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def each(self) -> list[Any]:
        """Return the items of a list, or the values of a mapping, in order."""
        return [self[key] for key in self._content]


class Endpoints(Node):
    """The endpoints, whose ids start with their own name."""

    def __init__(self, record: Record, content: Any) -> None:
        super().__init__(record, "", content)

    def _child(self, key: str) -> str:
        return key
