"""Look a document over before it leaves: holes, dead links, and words that only a regulator may use.

Defects (a hole, a dead link, an id inside an attribute) stop the build. Wording is reported: the words may come from
the claim or the protocol, and a person has to settle them. Wording inside elements of the class ``quoted`` is not the
document's own and is left alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

_HOLES = re.compile(r"\b(?:nan|NaN|inf|undefined|Undefined|TODO|FIXME|TBD|XXX)\b|\{\{|\}\}|\{%|<class '")
_STATUS = re.compile(
    r"\b(?:approved|cleared|certified|compliant|authori[sz]ed|clinically proven|validated by"
    r"|(?:is|are|been|was|were|clinically|fully) validated)\b",
    re.IGNORECASE,
)
_DEVELOPMENT = re.compile(
    r"\bvalidation (?:(?:data ?)?sets?|split|loss|fold|images|patients)\b|\btuned on (?:the )?validation\b",
    re.IGNORECASE,
)
_REPEALED = re.compile(r"\b820\.(?:30|70\(i\)|75|100|198)\b")


@dataclass(frozen=True, kw_only=True)
class LintFinding:
    """Something wrong with a document.

    Parameters
    ----------
    rule
        ``hole``, ``empty-section``, ``dead-link``, ``duplicate-id``, ``id-in-attribute``, ``no-alternative``,
        ``status-word``, ``development-word``, ``forbidden-wording`` or ``repealed-citation``.
    text
        What was found, with the words around it.
    stops
        Whether the document must not be written.
    """

    rule: str
    text: str
    stops: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, for a JSON file."""
        return asdict(self)


def lint(html: str, *, forbidden: Sequence[str] = ()) -> list[LintFinding]:
    """Look a document over.

    Parameters
    ----------
    html
        The document.
    forbidden
        Wording that the claim must not use.

    Examples
    --------
    >>> [f.rule for f in lint("<body><section id='a'><h2>A</h2><p>Mean nan HU</p></section></body>")]
    ['hole']
    """
    import lxml.html

    tree = lxml.html.document_fromstring(html)
    for node in list(tree.iter("svg", "style")):
        node.drop_tree()
    text = " ".join(" ".join(tree.find("body").itertext()).split())
    found = [LintFinding(rule="hole", text=_around(text, m), stops=True) for m in _HOLES.finditer(text)]
    alone = [str(t).strip(" :.,;()") for t in tree.find("body").itertext()]
    found += [LintFinding(rule="hole", text=t, stops=True) for t in alone if t in ("None", "null", "True", "False")]
    found += _structure(tree)
    for node in tree.find_class("quoted"):  # what a regulation asks, or words to avoid: not the document's own words
        node.drop_tree()
    text = " ".join(" ".join(tree.find("body").itertext()).split())
    found += [LintFinding(rule="status-word", text=_around(text, m), stops=False) for m in _STATUS.finditer(text)]
    found += [
        LintFinding(rule="development-word", text=_around(text, m), stops=False) for m in _DEVELOPMENT.finditer(text)
    ]
    found += [
        LintFinding(rule="repealed-citation", text=_around(text, m), stops=False) for m in _REPEALED.finditer(text)
    ]
    for words in forbidden:
        escaped = r"\s+".join(map(re.escape, words.split()))
        pattern = re.compile(escaped.replace("X%", r"[\d.,]+\s?%"), re.IGNORECASE)  # X% stands for any percentage
        found += [
            LintFinding(rule="forbidden-wording", text=_around(text, m), stops=False) for m in pattern.finditer(text)
        ]
    return found


def _structure(tree: Any) -> list[LintFinding]:
    found = []
    ids = Counter(node.get("id") for node in tree.iter() if isinstance(node.tag, str) and node.get("id"))
    found += [LintFinding(rule="duplicate-id", text=i, stops=True) for i, times in ids.items() if times > 1]
    for link in tree.iter("a"):
        target = link.get("href") or ""
        if target.startswith("#") and target[1:] not in ids:
            found.append(LintFinding(rule="dead-link", text=target, stops=True))
    for node in tree.iter():
        if isinstance(node.tag, str):
            for name, value in node.attrib.items():
                if "data-id=" in value or "<span" in value:
                    found.append(LintFinding(rule="id-in-attribute", text=f"{node.tag} {name}", stops=True))
    for section in tree.iter("section"):
        heading = section.find("h2")
        title = "" if heading is None else heading.text_content()
        if not section.text_content().replace(title, "", 1).strip() and section.find(".//figure") is None:
            found.append(LintFinding(rule="empty-section", text=title, stops=True))
    for image in tree.iter("img"):
        if not (image.get("alt") or "").strip():
            found.append(LintFinding(rule="no-alternative", text="a picture without words", stops=True))
    return found


def _around(text: str, match: re.Match[str]) -> str:
    return text[max(0, match.start() - 40) : match.end() + 40].strip()
