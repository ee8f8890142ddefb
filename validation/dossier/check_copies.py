"""Compare a copy of a file with the one that the run or edition holds: what its numbers' ids cannot show.

Tables, XML and JSON are compared field by field; PDF page by page, where drawings count too; figures by their bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from validation.dossier.check_document import Finding

_TOKEN = re.compile(r"[−-]?\d[\d.,]*\d|[−-]?\d")
DATA = (".csv", ".xml", ".json")
_MOST_OBJECTS = 200_000


def compare_data(suffix: str, original: bytes, copy: bytes) -> list[Finding]:
    """Return every field that differs between a file for machines and a copy of it."""
    if suffix == ".csv":
        return list(_tables(_rows(original), _rows(copy)))
    flat = _xml if suffix == ".xml" else _json
    return list(_fields(flat(original), flat(copy)))


def _rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def _tables(right: list[list[str]], shown: list[list[str]]) -> Iterator[Finding]:
    header = right[0] if right else []
    keys = [tuple(r) for r in right], [tuple(r) for r in shown]
    for tag, a, b, c, d in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for k in range(max(b - a, d - c)):
            old = right[a + k] if a + k < b else None
            new = shown[c + k] if c + k < d else None
            line = f"line {(c + k if new is not None else a + k) + 1}"
            if old is None or new is None:
                kind = "unknown" if old is None else "lost"
                text = ", ".join(x for x in (new if old is None else old) or [] if x)[:120]
                shows = {"expected": "", "found": text} if old is None else {"expected": text, "found": ""}
                yield Finding(kind=kind, id=line, **shows)
                continue
            name = " ".join(x for x in old[2:3]) or line
            for column, x, y in zip(_names(header, old, new), _long(old, new), _long(new, old), strict=True):
                if x != y:
                    yield Finding(kind="changed", id=f"{name}, {column}", expected=x, found=y, place=line)


def _names(header: list[str], old: list[str], new: list[str]) -> list[str]:
    return [header[k] if k < len(header) else f"column {k + 1}" for k in range(max(len(old), len(new)))]


def _long(row: list[str], other: list[str]) -> list[str]:
    return row + [""] * (len(other) - len(row))


def _fields(right: dict[str, str], shown: dict[str, str]) -> Iterator[Finding]:
    for name in {**right, **shown}:
        if name not in shown:
            yield Finding(kind="lost", id=name, expected=right[name], found="")
        elif name not in right:
            yield Finding(kind="unknown", id=name, expected="", found=shown[name])
        elif right[name] != shown[name]:
            yield Finding(kind="changed", id=name, expected=right[name], found=shown[name])


def _xml(data: bytes) -> dict[str, str]:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, remove_comments=True)
    found: dict[str, str] = {}

    def walk(node: Any, path: str) -> None:
        text = " ".join((node.text or "").split())
        found[path] = text
        found.update({f"{path}/@{k}": v for k, v in node.attrib.items()})
        seen: Counter[str] = Counter()
        for child in node.iterchildren("*"):
            name = str(child.tag).rpartition("}")[2]
            seen[name] += 1
            walk(child, f"{path}/{name}[{seen[name]}]")

    root = etree.fromstring(data, parser)
    walk(root, str(root.tag).rpartition("}")[2])
    return found


def _json(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}

    def walk(part: Any, path: str) -> None:
        if isinstance(part, dict):
            for key, value in part.items():
                walk(value, f"{path}.{key}" if path else str(key))
        elif isinstance(part, list):
            for k, value in enumerate(part):
                walk(value, f"{path}[{k}]")
        else:
            found[path] = json.dumps(part)

    walk(json.loads(data), "")
    return found


def compare_pdf(original: bytes, copy: bytes) -> list[Finding]:
    """Return numbers that differ on a page, and pages on which something else is drawn than in the original."""
    import pikepdf

    if original == copy:
        return []
    with pikepdf.open(io.BytesIO(original)) as right, pikepdf.open(io.BytesIO(copy)) as shown:
        pages = [[_digest(page) for page in pdf.pages] for pdf in (right, shown)]
    found = []
    if len(pages[0]) != len(pages[1]):
        found.append(Finding(kind="changed", id="pages", expected=str(len(pages[0])), found=str(len(pages[1]))))
    for k, (a, b) in enumerate(zip(*pages, strict=False)):
        if a == b:
            continue
        old, new = Counter(_page_tokens(original, k)), Counter(_page_tokens(copy, k))
        gone, come = list((old - new).elements()), list((new - old).elements())
        place = f"page {k + 1}"
        for i in range(max(len(gone), len(come))):
            x, y = gone[i] if i < len(gone) else "", come[i] if i < len(come) else ""
            found.append(Finding(kind="untraced", id="", expected=x, found=y, place=place))
        if not gone and not come:
            found.append(Finding(kind="drawn", id="", expected="", found="", place=place))
    return found


def _page_tokens(data: bytes, page: int) -> list[str]:
    from pdfminer.high_level import extract_text

    return _TOKEN.findall(extract_text(io.BytesIO(data), page_numbers=[page]))


def _digest(page: Any) -> str:
    """Return a digest of what a page draws: its content and everything that its resources hold."""
    import pikepdf

    digest = hashlib.sha256()
    seen: set[Any] = set()

    def walk(part: Any) -> None:
        if isinstance(part, pikepdf.Object) and part.is_indirect:
            if part.objgen in seen or len(seen) > _MOST_OBJECTS:
                return
            seen.add(part.objgen)
        if isinstance(part, pikepdf.Dictionary | pikepdf.Stream):
            for key in sorted(part.keys()):
                if key not in ("/Parent", "/Length", "/Filter", "/DecodeParms", "/StructParent", "/StructParents"):
                    digest.update(key.encode())
                    walk(part[key])
            if isinstance(part, pikepdf.Stream):
                digest.update(part.read_bytes())
        elif isinstance(part, pikepdf.Array):
            for item in part:
                walk(item)
        else:
            digest.update(repr(part).encode())

    contents = page.obj.get("/Contents")
    for part in contents if isinstance(contents, pikepdf.Array) else [contents]:
        digest.update(b"" if part is None else part.read_bytes() + b"\n")
    walk(page.resources)
    return digest.hexdigest()


def compare_drawings(original: dict[str, str], copy: dict[str, str]) -> list[Finding]:
    """Return every figure or picture that is not the one of the original; both are name to digest."""
    return [
        Finding(kind="drawn", id=name, expected="", found="", place="" if name in copy else "it is gone")
        for name, digest in original.items()
        if copy.get(name) != digest
    ]


def drawings_of(path: Path, data: bytes) -> dict[str, str]:
    """Return the figures and pictures of an HTML or Word file, by name, each with the digest of what it draws."""
    return _in_html(data) if path.suffix.lower() == ".html" else _in_docx(data)


def _in_html(data: bytes) -> dict[str, str]:
    import lxml.html

    parser = lxml.html.HTMLParser(encoding="utf-8", no_network=True)
    tree = lxml.html.document_fromstring(data, parser=parser)
    found = {}
    for figure in tree.iter("figure"):
        drawn = [lxml.html.tostring(svg, with_tail=False) for svg in figure.iter("svg")]
        found[f"figure {figure.get('data-figure')}"] = hashlib.sha256(b"".join(drawn)).hexdigest()
    for k, image in enumerate(tree.iter("img")):
        found[f"picture {image.get('alt')} ({k + 1})"] = hashlib.sha256((image.get("src") or "").encode()).hexdigest()
    return found


def _in_docx(data: bytes) -> dict[str, str]:
    import docx

    document = docx.Document(io.BytesIO(data))
    found = {}
    for k, shape in enumerate(document.inline_shapes):
        blip = shape._inline.graphic.graphicData.pic.blipFill.blip
        blob = document.part.related_parts[blip.embed].blob
        found[f"picture {shape._inline.docPr.get('descr')} ({k + 1})"] = hashlib.sha256(blob).hexdigest()
    return found
