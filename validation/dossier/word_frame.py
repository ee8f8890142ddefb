"""Page, styles, margins and properties of a Word file: everything but its text."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from docx.enum.section import WD_ORIENT
from docx.oxml.ns import qn
from docx.shared import Inches, Mm, Pt, RGBColor

from validation.dossier import word_parts as parts

SOFT = "56606C"
_PAPER = {"A4": (Mm(210), Mm(297)), "letter": (Inches(8.5), Inches(11))}
_SIZES = {
    "Normal": 9.5,
    "Title": 20,
    "Heading 1": 14,
    "Heading 2": 11,
    "Heading 3": 9.5,
    "Caption": 8.5,
    "List Bullet": 9.5,
    "List Number": 9.5,
}


def set_page(document: Any, paper: str) -> int:
    """Set paper and margins; return the width of the text."""
    section = document.sections[0]
    section.orientation = WD_ORIENT.PORTRAIT
    section.page_width, section.page_height = _PAPER[paper]
    section.left_margin, section.right_margin = Mm(22), Mm(20)
    section.top_margin, section.bottom_margin = Mm(25), Mm(22)
    return int(section.page_width - section.left_margin - section.right_margin)


def set_styles(document: Any) -> None:
    """Set fonts, sizes, colours and the language of the styles that documents use."""
    styles = document.styles
    for name, size in _SIZES.items():
        style = styles[name]
        style.font.name, style.font.size = "Arial", Pt(size)
        style.font.color.rgb = RGBColor.from_string(SOFT if name == "Caption" else "1B1F24")
        fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
        for key in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
            fonts.attrib.pop(qn(f"w:{key}"), None)
        style.paragraph_format.space_after = Pt(4)
        style.font.bold = name.startswith("Heading")
    styles["Caption"].paragraph_format.keep_with_next = True
    border = styles["Title"].element.pPr.find(qn("w:pBdr"))
    if border is not None:
        styles["Title"].element.pPr.remove(border)
    styles["Normal"].element.get_or_add_rPr().append(parts.element("w:lang", val="en-GB"))


def set_margins(document: Any, tree: Any, *, draft: bool, notice: str) -> None:
    """Write the head and the foot of every page."""
    section = document.sections[0]
    head = section.header.paragraphs[0]
    title = tree.findtext(".//h1") or ""
    run_id = "".join(tree.find_class("runid")[0].itertext())
    version = "".join(tree.find_class("version")[0].itertext())
    head._p.append(parts.run(("DRAFT   " if draft else ""), bold=True, colour="A83C00"))
    head._p.append(parts.run(f"{title}   ·   Run {run_id}   ·   Protocol version {version}", small=True, colour=SOFT))
    foot = section.footer.paragraphs[0]
    if notice:
        foot._p.append(parts.run(f"{notice}   ", bold=True, small=True))
    foot._p.append(parts.run("Page ", small=True))
    foot._p.append(parts.field("PAGE", "1"))
    foot._p.append(parts.run(" of ", small=True))
    foot._p.append(parts.field("NUMPAGES", "1"))


def set_properties(document: Any, tree: Any, finished: str) -> None:
    """Set title, author, date and the identity that names run, pathway and document."""
    core = document.core_properties
    core.created = core.modified = datetime.fromisoformat(finished.replace("Z", "+00:00")).replace(tzinfo=None)
    core.author = core.last_modified_by = "genmed-validation"
    core.title = tree.findtext(".//title") or ""
    core.language = "en-GB"
    core.comments = ""
    names = ("run", "pathway", "document", "edition")
    found = [str(tree.xpath(f"string(//meta[@name='validation.{n}']/@content)")) for n in names]
    core.identifier = "/".join(part for part in found if part)
    core.revision = 1
