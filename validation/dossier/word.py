"""Word from the same HTML: native headings, tables and captions, and a content control around every fact.

The HTML of a document is its source in all formats. The writer knows the few elements that templates use; an element
it does not know is a defect of a template and stops the build.
"""

from __future__ import annotations

import base64
import io
from datetime import datetime
from typing import Any

import lxml.html
from docx import Document
from docx.enum.section import WD_ORIENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml.ns import qn
from docx.shared import Emu, Inches, Mm, Pt, RGBColor

from validation.dossier import word_parts as parts
from validation.dossier.figures.gallery import Gallery
from validation.dossier.record import tag_of
from validation.errors import RunProblem

_PAPER = {"A4": (Mm(210), Mm(297)), "letter": (Inches(8.5), Inches(11))}
_COLOURS = {
    "outcome-pass": "00694C",
    "outcome-fail": "A83C00",
    "outcome-error": "A83C00",
    "outcome-inconclusive": "5F5300",
}
_INLINE = {"a", "span", "strong", "em", "br", "cite", "sup", "sub"}
_SOFT = "56606C"


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
        self._page(paper)
        self._styles()
        self._margins(draft=draft, notice=notice)

    def bytes(self) -> bytes:
        body = self._tree.find("body")
        for child in body:
            self._block(child)
        self._properties()
        stream = io.BytesIO()
        self._docx.save(stream)
        return parts.same_bytes(stream.getvalue())

    # the page and its furniture

    def _page(self, paper: str) -> None:
        section = self._docx.sections[0]
        section.orientation = WD_ORIENT.PORTRAIT
        section.page_width, section.page_height = _PAPER[paper]
        section.left_margin, section.right_margin = Mm(22), Mm(20)
        section.top_margin, section.bottom_margin = Mm(25), Mm(22)
        self._width = section.page_width - section.left_margin - section.right_margin

    def _styles(self) -> None:
        styles = self._docx.styles
        sizes = {
            "Normal": 9.5,
            "Title": 20,
            "Heading 1": 14,
            "Heading 2": 11,
            "Heading 3": 9.5,
            "Caption": 8.5,
            "List Bullet": 9.5,
            "List Number": 9.5,
        }
        for name, size in sizes.items():
            style = styles[name]
            style.font.name, style.font.size = "Arial", Pt(size)
            style.font.color.rgb = RGBColor.from_string(_SOFT if name == "Caption" else "1B1F24")
            fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
            for key in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
                fonts.attrib.pop(qn(f"w:{key}"), None)
            style.paragraph_format.space_after = Pt(4)
            style.font.bold = name.startswith("Heading")
        styles["Caption"].paragraph_format.keep_with_next = True
        border = styles["Title"].element.pPr.find(qn("w:pBdr"))
        if border is not None:
            styles["Title"].element.pPr.remove(border)
        language = parts.element("w:lang", val="en-GB")
        styles["Normal"].element.get_or_add_rPr().append(language)

    def _margins(self, *, draft: bool, notice: str) -> None:
        section = self._docx.sections[0]
        head = section.header.paragraphs[0]
        title = self._tree.findtext(".//h1") or ""
        run_id = "".join(self._tree.find_class("runid")[0].itertext())
        version = "".join(self._tree.find_class("version")[0].itertext())
        head._p.append(parts.run(("DRAFT   " if draft else ""), bold=True, colour="A83C00"))
        head._p.append(
            parts.run(f"{title}   ·   Run {run_id}   ·   Protocol version {version}", small=True, colour=_SOFT)
        )
        foot = section.footer.paragraphs[0]
        if notice:
            foot._p.append(parts.run(f"{notice}   ", bold=True, small=True))
        foot._p.append(parts.run("Page ", small=True))
        foot._p.append(parts.field("PAGE", "1"))
        foot._p.append(parts.run(" of ", small=True))
        foot._p.append(parts.field("NUMPAGES", "1"))

    def _properties(self) -> None:
        core = self._docx.core_properties
        moment = datetime.fromisoformat(self._finished.replace("Z", "+00:00")).replace(tzinfo=None)
        core.created = core.modified = moment
        core.author = core.last_modified_by = "genmed-validation"
        core.title = self._tree.findtext(".//title") or ""
        core.language = "en-GB"
        core.comments = ""
        names = ("run", "pathway", "document")
        core.identifier = "/".join(
            self._tree.xpath(f"string(//meta[@name='validation.{name}']/@content)") for name in names
        )
        core.revision = 1

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
                for child in node:
                    self._block(child)
        elif kind in ("h1", "h2", "h3", "h4"):
            style = {"h1": "Title", "h2": "Heading 1", "h3": "Heading 2", "h4": "Heading 3"}[kind]
            self._fill(self._docx.add_paragraph(style=style)._p, node)
        elif kind == "p":
            paragraph = self._docx.add_paragraph()
            self._fill(paragraph._p, node, bold="proposal-title" in classes, small="minor" in classes)
        elif kind in ("ul", "ol"):
            for item in node.findall("li"):
                self._fill(self._docx.add_paragraph(style="List Bullet" if kind == "ul" else "List Number")._p, item)
        elif kind == "table":
            self._table(node)
        elif kind == "figure":
            self._figure(node)
        else:
            raise RunProblem(f"a document holds <{kind}>, which has no form in Word.", code="DOS-010", where=kind)

    def _contents(self) -> None:
        paragraph = self._docx.add_paragraph()
        paragraph._p.append(parts.run("Contents", bold=True))
        for section in self._tree.iter("section"):
            line = self._docx.add_paragraph()
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
            width = min(self._width / max(3, len(pictures)) - Mm(2), Mm(52))
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
        widths = [4.0] * columns
        facts = "facts" in (node.get("class") or "")
        for target, (row, head) in zip(table.rows, rows, strict=True):
            (parts.header_row if head else parts.keep_whole)(target)
            cells, position = target.cells, 0
            for cell in row.iterchildren("td", "th"):
                span = int(cell.get("colspan", "1"))
                place = cells[position]
                if span > 1:
                    place = place.merge(cells[position + span - 1])
                else:
                    widths[position] = max(widths[position], min(34.0, _longest(cell)))
                position += span
                paragraph = place.paragraphs[0]
                paragraph.paragraph_format.space_after = Pt(1)
                if "right" in (cell.get("class") or "").split():
                    paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
                exact = cell.get("data-exact")
                if exact is not None:
                    self._control(paragraph._p, f"exact:{exact}", "".join(cell.itertext()), small=True)
                else:
                    self._fill(paragraph._p, cell, bold=cell.tag == "th", small=True)
        if facts:
            widths = [1.0, 3.2]
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
        if node.tag == "strong" or "outcome" in classes or "proposal-title" in classes:
            look["bold"] = True
        for name, colour in _COLOURS.items():
            if name in classes:
                look["colour"] = colour
        if node.get("data-id") is not None:
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
    return max(max(len(w) for w in words), min(len(text), 60) * 0.45)
