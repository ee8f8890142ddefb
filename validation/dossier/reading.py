"""Read back what a document shows: the facts under their ids, and the text around them."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from urllib.parse import unquote

from validation.dossier.check_document import Shown
from validation.dossier.word_parts import POINTER
from validation.errors import DataProblem

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MOST_XML = 64 << 20
_SILENT = {"style", "script", "svg", "head", "title"}


def read_html(data: bytes) -> Shown:
    """Read a document in HTML."""
    import lxml.html

    parser = lxml.html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True)
    tree = lxml.html.document_fromstring(data, parser=parser)
    facts: list[tuple[str, str, str]] = []
    prose: list[str] = []
    _walk_html(tree.find("body"), facts, prose)
    names = ("run", "pathway", "document", "edition")
    parts = [str(tree.xpath(f"string(//meta[@name='validation.{name}']/@content)")) for name in names]
    identity = "/".join(part for part in parts if part)
    return Shown(identity=identity, facts=facts, prose=["".join(prose)])


def _walk_html(node: Any, facts: list[tuple[str, str, str]], prose: list[str]) -> None:
    if not isinstance(node.tag, str) or node.tag.rpartition("}")[2] in _SILENT:
        return
    classes = (node.get("class") or "").split()
    identifier = node.get("data-id")
    if identifier is None and node.get("data-exact") is not None:
        identifier = "exact:" + node.get("data-exact")
    if identifier is not None:
        facts.append((identifier, _text(node), "num" if "num" in classes else "fact"))
        return
    if POINTER in classes:
        return
    prose.append(node.text or "")
    for child in node:
        _walk_html(child, facts, prose)
        prose.append(child.tail or "")
    if node.tag in ("p", "td", "th", "li", "h1", "h2", "h3", "h4", "caption", "figcaption", "br"):
        prose.append("\n")


def _text(node: Any) -> str:
    return "".join(node.itertext()).strip("\n\t ")


def read_docx(data: bytes) -> Shown:
    """Read a document in Word; text that was deleted under tracked changes counts as gone, inserted text as there."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        body = etree.fromstring(_member(package, "word/document.xml"), parser)
        core = etree.fromstring(_member(package, "docProps/core.xml"), parser)
    identity = next((e.text or "" for e in core.iter() if str(e.tag).endswith("}identifier")), "")
    facts: list[tuple[str, str, str]] = []
    prose: list[str] = []
    _walk_docx(body, facts, prose)
    return Shown(identity=identity, facts=facts, prose=["".join(prose)])


def _member(package: zipfile.ZipFile, name: str) -> bytes:
    info = package.getinfo(name)
    if info.file_size > _MOST_XML:
        raise DataProblem("the Word file unpacks to more than a document can hold.", code="DOS-011", where=name)
    return package.read(info)


def _walk_docx(node: Any, facts: list[tuple[str, str, str]], prose: list[str]) -> None:
    if not isinstance(node.tag, str):
        return
    name = node.tag.removeprefix(_WORD)
    if name in ("fldSimple", "del", "moveFrom", "drawing", "pict", "instrText", "delText"):
        return
    if name == "sdt":
        tag = node.find(f"{_WORD}sdtPr/{_WORD}tag")
        value = "" if tag is None else tag.get(f"{_WORD}val", "")
        if value == POINTER:
            return
        if value:
            facts.append((value, _docx_text(node), "fact"))
            return
    if name == "t":
        prose.append(node.text or "")
    elif name in ("br", "cr", "tab"):
        prose.append("\n")
    for child in node:
        _walk_docx(child, facts, prose)
    if name == "p":
        prose.append("\n")


def _docx_text(node: Any) -> str:
    gone = {f"{_WORD}del", f"{_WORD}moveFrom"}
    return "".join(
        piece.text or ""
        for piece in node.iter(f"{_WORD}t")
        if not any(parent.tag in gone for parent in piece.iterancestors())
    )


def read_pdf(data: bytes) -> Shown:
    """Read a document in PDF: the text under each link to the record of numbers; the tag is the link's destination."""
    import pikepdf

    facts: list[tuple[str, str, str]] = []
    with pikepdf.open(io.BytesIO(data)) as pdf:
        identity = str(pdf.docinfo.get("/Keywords", ""))
        links = [_links(page) for page in pdf.pages]
    for number, (boxes, characters) in enumerate(zip(links, _characters(data), strict=True), start=1):
        for target, box in boxes:
            inside = [c for x, y, c in characters if box[0] <= x <= box[2] and box[1] <= y <= box[3]]
            facts.append((target, "".join(inside).strip(), f"page {number}"))
    return Shown(identity=identity, facts=facts, prose=[])


def _links(page: Any) -> list[tuple[str, tuple[float, float, float, float]]]:
    found = []
    for annotation in page.get("/Annots", []):
        target = annotation.get("/Dest")
        if target is None and "/A" in annotation:
            target = annotation["/A"].get("/D")
        if target is None or not str(target).startswith("rec-"):
            continue
        x0, y0, x1, y1 = (float(v) for v in annotation["/Rect"])
        found.append((unquote(str(target)), (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))))
    return found


def _characters(data: bytes) -> list[list[tuple[float, float, str]]]:
    """Return every character of every page with the middle of its box, in the order of the page's content."""
    from pdfminer.high_level import extract_pages
    from pdfminer.layout import LTChar, LTContainer

    def walk(item: Any) -> Any:
        if isinstance(item, LTChar):
            yield ((item.x0 + item.x1) / 2, (item.y0 + item.y1) / 2, item.get_text())
        elif isinstance(item, LTContainer):
            for child in item:
                yield from walk(child)

    return [list(walk(page)) for page in extract_pages(io.BytesIO(data), laparams=None)]
