"""Word from the same HTML: native headings, tables and captions, and a content control around every fact.

The HTML of a document is its source in all formats. The writer knows the few elements that templates use; an element
it does not know is a defect of a template and stops the build.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import lxml.html
from docx import Document
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml.ns import qn
from docx.shared import Emu, Inches, Mm, Pt

from validation.dossier import word_parts as parts
from validation.dossier.figures.gallery import Gallery
from validation.dossier.record import tag_of
from validation.dossier.word_frame import SOFT as _SOFT
from validation.dossier.word_frame import set_margins, set_page, set_properties, set_styles
from validation.errors import RunProblem

_COLOURS = {
    "outcome-pass": "00694C",
    "outcome-fail": "A83C00",
    "outcome-error": "A83C00",
    "outcome-inconclusive": "5F5300",
}
_COLOURS |= {f"claim_{name}": colour for name, colour in _COLOURS.items()}
_INLINE = {"a", "span", "strong", "em", "br", "cite", "sup", "sub", "code"}
_HEADINGS = {"h1": "Title", "h2": "Heading 1", "h3": "Heading 2"} | dict.fromkeys(("h4", "h5", "h6"), "Heading 3")
_BOXES = {"notice": "1B1F24", "draftnote": "A83C00", "proposal": "1B1F24", "narrative": "C9CED6", "openblock": "A83C00"}


def write_docx(html: str, gallery: Gallery, *, paper: str, finished: str, draft: bool, notice: str) -> bytes:
    """Return a document as a Word file.

    Parameters
    ----------
    html
        The document, as :meth:`ViewModel.html` builds it.
    gallery
        The figures it shows.
    paper
        ``A4`` or ``letter``.
    finished
        Date of the document (end of the run, ISO 8601).
    draft, notice
        What the head and foot of every page say.
    """
    return _Writer(html, gallery, paper=paper, finished=finished, draft=draft, notice=notice).bytes()


class _Writer:
    def __init__(self, html: str, gallery: Gallery, *, paper: str, finished: str, draft: bool, notice: str) -> None:
        self._tree = lxml.html.document_fromstring(html)
        self._gallery = gallery
        self._docx: Any = Document()
        self._controls = 0
        self._captions = {"Table": 0, "Figure": 0}
        self._finished = finished
        self._box = ""
        self._width = set_page(self._docx, paper)
        set_styles(self._docx)
        set_margins(self._docx, self._tree, draft=draft, notice=notice)

    def bytes(self) -> bytes:
        body = self._tree.find("body")
        for child in body:
            self._block(child)
        set_properties(self._docx, self._tree, self._finished)
        stream = io.BytesIO()
        self._docx.save(stream)
        return parts.same_bytes(stream.getvalue())

    # blocks

    def _block(self, node: Any) -> None:
        kind = node.tag
        classes = (node.get("class") or "").split()
        if not isinstance(kind, str):
            return
        if kind in ("header", "main", "section", "article"):
            for child in node:
                self._block(child)
        elif kind == "nav":
            self._contents()
        elif kind == "div":
            if "strip" in classes:
                self._strip(node)
            else:
                before, self._box = self._box, next((_BOXES[c] for c in classes if c in _BOXES), self._box)
                for child in node:
                    self._block(child)
                self._box = before
        elif kind in _HEADINGS:
            self._fill(self._docx.add_paragraph(style=_HEADINGS[kind])._p, node)
        elif kind == "p":
            self._paragraph(node, classes)
        elif kind in ("ul", "ol"):
            self._list(node)
        elif kind == "blockquote":
            for child in node:
                self._block(child)
        elif kind == "pre":
            paragraph = self._docx.add_paragraph()
            paragraph._p.append(parts.run("".join(node.itertext()).rstrip("\n"), mono=True))
        elif kind == "hr":
            self._docx.add_paragraph()
        elif kind == "table":
            self._table(node)
        elif kind == "figure":
            self._figure(node)
        else:
            raise RunProblem(f"a document holds <{kind}>, which has no form in Word.", code="DOS-010", where=kind)

    def _paragraph(self, node: Any, classes: list[str]) -> None:
        paragraph = self._docx.add_paragraph()
        box = next((_BOXES[c] for c in classes if c in _BOXES), self._box)
        if box:
            parts.side_line(paragraph, box)
        paragraph.paragraph_format.keep_with_next = "case-title" in classes
        self._fill(paragraph._p, node, small="minor" in classes or "note" in classes)

    def _list(self, node: Any) -> None:
        for item in node.findall("li"):
            style = "List Bullet" if node.tag == "ul" else "List Number"
            paragraph = self._docx.add_paragraph(style=style)
            if self._box:
                parts.side_line(paragraph, self._box, indent=False)
            blocks = [child for child in item if child.tag in ("p", "ul", "ol", "pre", "blockquote", "table")]
            if not blocks:
                self._fill(paragraph._p, item)
                continue
            self._text(paragraph._p, item.text)
            for child in item:  # a loose or nested list of a narrative
                if child is item[0] and child.tag == "p":
                    self._fill(paragraph._p, child)
                elif child.tag in _INLINE:
                    self._inline(paragraph._p, child)
                else:
                    self._block(child)
                if (child.tail or "").strip():
                    self._text(paragraph._p, child.tail)

    def _contents(self) -> None:
        paragraph = self._docx.add_paragraph()
        paragraph._p.append(parts.run("Contents", bold=True))
        paragraph.paragraph_format.keep_with_next = True
        sections = list(self._tree.iter("section"))
        for section in sections:
            line = self._docx.add_paragraph()
            line.paragraph_format.keep_with_next = section is not sections[-1]
            line.paragraph_format.left_indent = Mm(5)
            line.paragraph_format.space_after = Pt(0)
            line._p.append(parts.run("".join(section.find("h2").itertext())))
        self._docx.add_paragraph()

    def _figure(self, node: Any) -> None:
        drawing = self._gallery.drawing(node.get("data-figure"))
        paragraph = self._docx.add_paragraph()
        paragraph.paragraph_format.keep_with_next = True
        width = min(Inches(drawing.width_inches), self._width)
        shape = paragraph.add_run().add_picture(io.BytesIO(drawing.png), width=Emu(width))
        shape._inline.docPr.set("descr", drawing.alternative)
        caption = node.find("figcaption")
        self._caption("Figure", caption)

    def _strip(self, node: Any) -> None:
        paragraph = self._docx.add_paragraph()
        paragraph.paragraph_format.keep_with_next = True
        pictures = node.findall("div")
        for picture in pictures:
            image = picture.find("img")
            data = base64.b64decode(image.get("src").partition(",")[2])
            width = min(self._width / max(3, len(pictures)) - Mm(6.5), Mm(52))
            shape = paragraph.add_run().add_picture(io.BytesIO(data), width=Emu(int(width)))
            shape._inline.docPr.set("descr", image.get("alt"))
            paragraph.add_run(" ")
        line = self._docx.add_paragraph()
        line._p.append(parts.run("From left to right: ", small=True, colour=_SOFT))
        for picture in pictures:
            self._fill(line._p, picture.find("p"), small=True, colour=_SOFT)
            line._p.append(parts.run(". " if picture is pictures[-1] else "; ", small=True, colour=_SOFT))

    def _caption(self, kind: str, node: Any) -> None:
        self._captions[kind] += 1
        paragraph = self._docx.add_paragraph(style="Caption")
        paragraph._p.append(parts.run(f"{kind} "))
        paragraph._p.append(parts.field(f"SEQ {kind} \\* ARABIC", str(self._captions[kind])))
        paragraph._p.append(parts.run(". "))
        self._fill(paragraph._p, node)

    def _table(self, node: Any) -> None:
        caption = node.find("caption")
        if caption is not None:
            self._caption("Table", caption)
        rows = [(row, row.getparent().tag == "thead") for row in node.iter("tr")]
        columns = max(sum(int(c.get("colspan", "1")) for c in row.iterchildren("td", "th")) for row, _ in rows)
        table = self._docx.add_table(rows=len(rows), cols=columns)
        widths = [6.0] * columns
        classes = (node.get("class") or "").split()
        for target, (row, head) in zip(table.rows, rows, strict=True):
            (parts.header_row if head else parts.keep_whole)(target)
            cells, position = target.cells, 0
            for cell in row.iterchildren("td", "th"):
                span = int(cell.get("colspan", "1"))
                place = cells[position]
                if span > 1:
                    place = place.merge(cells[position + span - 1])
                else:
                    widths[position] = max(widths[position], min(34.0, _longest(cell) + 2.0))
                position += span
                paragraph = place.paragraphs[0]
                paragraph.paragraph_format.space_after = Pt(1)
                if "right" in (cell.get("class") or "").split():
                    paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
                self._fill(paragraph._p, cell, bold=cell.tag == "th", small=True)
        if "facts" in classes or "record" in classes:
            widths = [1.0, 3.2 if "facts" in classes else 2.2]
        parts.rule_table(table, widths, int(self._width / 635))
        self._docx.add_paragraph().paragraph_format.space_after = Pt(2)

    # text in lines

    def _fill(self, target: Any, node: Any, **look: Any) -> None:
        self._text(target, node.text, **look)
        for child in node:
            self._inline(target, child, **look)
            self._text(target, child.tail, **look)

    def _text(self, target: Any, text: str | None, **look: Any) -> None:
        if text and (collapsed := _collapse(text)):
            if collapsed == " " and not len(target.findall(qn("w:r"))) and not len(target.findall(qn("w:sdt"))):
                return
            target.append(parts.run(collapsed, **look))

    def _inline(self, target: Any, node: Any, **look: Any) -> None:
        if node.tag not in _INLINE:
            raise RunProblem(f"a line of a document holds <{node.tag}>, which has no form in Word.", code="DOS-010")
        if node.tag == "br":
            target.append(parts.run("\n"))
            return
        classes = (node.get("class") or "").split()
        if "minor" in classes or "person" in classes:
            look = {**look, "bold": False, "colour": _SOFT}
        if "code" in classes or "digest" in classes:
            look["mono"] = True
        if node.tag == "strong" or {"outcome", "claim_outcome", "proposal-title"} & set(classes):
            look["bold"] = True
        if node.tag == "em":
            look["italic"] = True
        if node.tag == "code":
            look["mono"] = True
        for name, colour in _COLOURS.items():
            if name in classes:
                look["colour"] = colour
        if node.get("data-exact") is not None:
            self._control(target, f"exact:{node.get('data-exact')}", "".join(node.itertext()), **look)
        elif node.get("data-id") is not None:
            self._control(target, node.get("data-id"), "".join(node.itertext()), **look)
        elif "pointer" in classes:
            self._control(target, parts.POINTER, _collapse("".join(node.itertext())), **look)
        else:
            self._fill(target, node, **look)
            if "part" in classes:
                target.append(parts.run("\n"))

    def _control(self, target: Any, identifier: str, text: str, **look: Any) -> None:
        self._controls += 1
        control, content = parts.content_control(tag_of(identifier), identifier, self._controls)
        content.append(parts.run(text, **look))
        target.append(control)


def _collapse(text: str) -> str:
    """Collapse white space as HTML does, keeping no-break spaces."""
    words = [w for w in text.replace("\t", " ").replace("\n", " ").split(" ") if w]
    inner = " ".join(words)
    if not inner:
        return " " if text else ""
    before = " " if text[0] in " \t\n" else ""
    after = " " if text[-1] in " \t\n" else ""
    return before + inner + after


def _longest(cell: Any) -> float:
    """Return a width for a cell: its longest word or a share of its text, whichever is larger."""
    text = " ".join("".join(cell.itertext()).split(" "))
    words = text.split() or [""]
    if "nowrap" in (cell.get("class") or "").split():
        return len(text) + 2.0
    return max(max(len(w) for w in words), min(len(text), 60) * 0.45)
