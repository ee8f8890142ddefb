"""Short documents of headings, paragraphs, tables and figures, as HTML, PDF and Word from one list of blocks."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from validation.dossier.figures.canvas import Drawing


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; ``listing`` keeps lines as they are, in a fixed-width font."""

    text: str
    listing: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption; columns of numbers are set to the right."""

    caption: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure."""

    drawing: Drawing


_WORD_INCHES = 6.0  # width of the text on a page of a new Word document
_PAGE = "@page { @top-right { content: none !important; } }"  # these documents are not of a run

Block = Heading | Paragraph | Table | Picture


def document_html(title: str, subtitle: str, blocks: list[Block]) -> str:
    """Return a document as one HTML page that needs no other file."""
    from validation.data import shipped

    screen = (shipped("templates", "dossier") / "screen.css").read_text(encoding="utf-8")
    body = Markup("").join(block_html(block) for block in blocks)
    return str(
        Markup(
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="author" content="genmed-validation"><style media="screen">{screen}</style>'
            '<style media="print">{page}</style></head>\n<body>'
            '<header class="cover"><h1>{title}</h1><p class="study">{subtitle}</p></header>\n<main>{body}</main>'
            "</body></html>\n"
        ).format(title=title, subtitle=subtitle, screen=Markup(screen), page=_PAGE, body=body)  # noqa: S704 - our own file
    )


def document_pdf(html: str, *, finished: str, paper: str = "A4") -> bytes:
    """Return the PDF of a document; ``finished`` (ISO 8601) is its date."""
    from validation.dossier.pdf import Press

    return Press(paper=paper, draft=False, finished=finished).print(html)[0]


def document_docx(title: str, subtitle: str, blocks: list[Block], *, finished: str) -> bytes:
    """Return a document as a Word file with native headings and tables."""
    from datetime import datetime

    from docx import Document
    from docx.shared import Inches, Pt

    from validation.dossier.word_parts import same_bytes

    made: Any = Document()
    made.styles["Normal"].font.name, made.styles["Normal"].font.size = "Arial", Pt(10)
    made.add_heading(title, 0)
    made.add_paragraph(subtitle)
    for block in blocks:
        if isinstance(block, Heading):
            made.add_heading(block.text, 1)
        elif isinstance(block, Paragraph):
            run = made.add_paragraph().add_run(block.text)
            if block.listing:
                run.font.name, run.font.size = "Courier New", Pt(8)
        elif isinstance(block, Picture):
            shape = made.add_picture(io.BytesIO(block.drawing.png), width=Inches(min(6.0, block.drawing.width_inches)))
            shape._inline.docPr.set("descr", block.drawing.alternative)
            made.add_paragraph(block.drawing.caption, style="Caption")
        else:
            made.add_paragraph(block.caption, style="Caption")
            table = made.add_table(rows=0, cols=len(block.header), style="Light Grid Accent 1")
            table.autofit = False
            widths = [Inches(share * _WORD_INCHES) for share in _column_shares(block)]
            for row in [block.header, *block.rows]:
                for cell, text, width in zip(table.add_row().cells, row, widths, strict=True):
                    cell.text, cell.width = text, width
            for column, width in zip(table.columns, widths, strict=True):
                column.width = width
    moment = datetime.fromisoformat(finished.replace("Z", "+00:00")).replace(tzinfo=None)
    core = made.core_properties
    core.created = core.modified = moment
    core.author = core.last_modified_by = "genmed-validation"
    core.title, core.comments = title, ""
    stream = io.BytesIO()
    made.save(stream)
    return same_bytes(stream.getvalue())


def _column_shares(table: Table) -> list[float]:
    """Return the share of the page width of each column: by its longest word and its mean length, within bounds."""
    weights = []
    for k, name in enumerate(table.header):
        texts = [name, *(row[k] for row in table.rows)]
        longest = max((len(word) for text in texts for word in text.split()), default=1)
        mean = sum(map(len, texts)) / len(texts)
        weights.append(min(40.0, max(longest + 2.0, mean, 6.0)))
    return [weight / sum(weights) for weight in weights]


def block_html(block: Block) -> Markup:
    """Return one block as HTML; all text is escaped."""
    if isinstance(block, Heading):
        return Markup("<h2>{}</h2>\n").format(block.text)
    if isinstance(block, Paragraph):
        if block.listing:
            lines = Markup("<br>").join(escape(line).replace(" ", Markup("&nbsp;")) for line in block.text.splitlines())
            return Markup('<p><span class="code">{}</span></p>\n').format(lines)
        return Markup("<p>{}</p>\n").format(block.text)
    if isinstance(block, Picture):
        data = base64.b64encode(block.drawing.png).decode("ascii")
        return Markup(
            '<figure><img src="data:image/png;base64,{}" alt="{}" style="width:{}in;max-width:100%">'
            "<figcaption>{}</figcaption></figure>\n"
        ).format(data, block.drawing.alternative, block.drawing.width_inches, block.drawing.caption)
    head = Markup("").join(
        Markup('<th class="{}">{}</th>').format("right" if k in block.numbers else "", text)
        for k, text in enumerate(block.header)
    )
    rows = Markup("").join(
        Markup("<tr>{}</tr>\n").format(
            Markup("").join(
                Markup('<td class="{}">{}</td>').format("right" if k in block.numbers else "", text)
                for k, text in enumerate(row)
            )
        )
        for row in block.rows
    )
    return Markup("<table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table>\n").format(
        block.caption, head, rows
    )
