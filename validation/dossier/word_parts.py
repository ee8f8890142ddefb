"""Pieces of WordprocessingML that python-docx has no words for: content controls, fields, table rules."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from docx.oxml import OxmlElement
from docx.oxml.ns import qn

POINTER = "pointer"  # tag of text that points to a page: it is no result, and is not checked


def element(name: str, **attributes: str) -> Any:
    """Return an element such as ``w:tag`` with its ``w:`` attributes."""
    made = OxmlElement(name)
    for key, value in attributes.items():
        made.set(qn(f"w:{key}"), value)
    return made


def content_control(tag: str, title: str, number: int) -> tuple[Any, Any]:
    """Return an inline content control and the element that its runs go into."""
    control, properties, content = element("w:sdt"), element("w:sdtPr"), element("w:sdtContent")
    properties.append(element("w:alias", val=title[:64]))
    properties.append(element("w:tag", val=tag))
    properties.append(element("w:id", val=str(number)))
    control.append(properties)
    control.append(content)
    return control, content


def run(
    text: str, *, bold: bool = False, italic: bool = False, mono: bool = False, small: bool = False, colour: str = ""
) -> Any:
    """Return a run of text; a line feed in it is a line break."""
    made = element("w:r")
    properties = element("w:rPr")
    if mono:
        properties.append(element("w:rFonts", ascii="Consolas", hAnsi="Consolas", cs="Consolas"))
    if bold:
        properties.append(element("w:b"))
    if italic:
        properties.append(element("w:i"))
    if colour:
        properties.append(element("w:color", val=colour))
    if mono or small:
        properties.append(element("w:sz", val="15"))
    if len(properties):
        made.append(properties)
    for index, line in enumerate(text.split("\n")):
        if index:
            made.append(element("w:br"))
        if line:
            piece = element("w:t")
            piece.text = line
            piece.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
            made.append(piece)
    return made


def field(instruction: str, shown: str) -> Any:
    """Return a simple field, such as a page number, with the text shown until Word updates it."""
    made = element("w:fldSimple", instr=instruction)
    made.append(run(shown))
    return made


def rule_table(table: Any, widths: list[float], total_twips: int) -> None:
    """Give a table fixed columns, hairlines between its rows and a stronger line above and below."""
    properties = table._tbl.tblPr
    borders = element("w:tblBorders")
    for side, size, colour in (("top", "8", "1B1F24"), ("bottom", "8", "1B1F24"), ("insideH", "4", "C9CED6")):
        borders.append(element(f"w:{side}", val="single", sz=size, space="0", color=colour))
    properties.append(borders)
    layout = element("w:tblLayout", type="fixed")
    properties.append(layout)
    share = [w / sum(widths) for w in widths]
    for column, part in zip(table._tbl.tblGrid.findall(qn("w:gridCol")), share, strict=True):
        column.set(qn("w:w"), str(int(total_twips * part)))
    for row in table._tbl.tr_lst:
        position = 0
        for cell in row.tc_lst:
            span = int(cell.grid_span)
            cell.get_or_add_tcPr().get_or_add_tcW().set(
                qn("w:w"), str(int(total_twips * sum(share[position : position + span])))
            )
            position += span


def side_line(paragraph: Any, colour: str, *, indent: bool = True) -> None:
    """Set a paragraph apart by a line at its left; neighbours with the same line share it."""
    properties = paragraph._p.get_or_add_pPr()
    borders = element("w:pBdr")
    borders.append(element("w:left", val="single", sz="18", space="8", color=colour))
    properties.append(borders)
    if indent:
        paragraph.paragraph_format.left_indent = 114300  # the line stands outside the text: 9 points


def header_row(row: Any) -> None:
    """Repeat a row at the top of every page, for readers and screen readers alike."""
    properties = row._tr.get_or_add_trPr()
    properties.append(element("w:cantSplit"))
    properties.append(element("w:tblHeader"))


def keep_whole(row: Any) -> None:
    """Never break a row across pages."""
    row._tr.get_or_add_trPr().append(element("w:cantSplit"))


def same_bytes(data: bytes) -> bytes:
    """Return a Word file with its parts in order and without the time of writing, so that it can be reproduced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        names = sorted(source.namelist(), key=lambda name: (name != "[Content_Types].xml", name))
        for name in names:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3
            target.writestr(info, source.read(name))
    return out.getvalue()
