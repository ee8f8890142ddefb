"""The dossier as files: complete, reproducible, and nothing in it without an id."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import docx
import pikepdf
from pdfminer.high_level import extract_text

from tests.dossier.example_run import write_example_run
from validation.dossier.pdf import Press
from validation.dossier.viewmodel import ViewModel
from validation.dossier.word import write_docx
from validation.evidence.results import read_results, write_results


def _print(run: Path, document: str) -> tuple[str, bytes, bytes]:
    view = ViewModel(run)
    html = view.html(document, "internal_validation")
    finished, draft = str(view.record.raw("run.finished")), bool(view.record.raw("run.draft"))
    pdf, _ = Press(paper="A4", draft=draft, finished=finished).print(html)
    word = write_docx(html, view.gallery, paper="A4", finished=finished, draft=draft, notice="")
    return html, pdf, word


def test_same_record_gives_same_bytes(example_run: Path) -> None:
    first = _print(example_run, "performance_validation_report")
    assert _print(example_run, "performance_validation_report") == first
    with pikepdf.open(io.BytesIO(first[1])) as pdf:
        assert str(pdf.docinfo["/CreationDate"]).startswith("D:20261122020930")
        assert pdf.Root.MarkInfo.Marked
        assert str(pdf.Root.Lang) == "en"


def test_documents_of_the_510k_pathway(rendered: Path) -> None:
    folder = rendered / "dossier" / "us_510k"
    names = set(ViewModel(rendered).file("us_510k").order)
    assert len(names) > 35
    for suffix in ("html", "pdf", "docx"):
        assert {p.stem for p in folder.glob(f"*.{suffix}")} == names
    assert json.loads((folder / "findings.json").read_text()) == []
    assert {p.name for p in folder.glob("*.*ml")} >= {"model_card.xml"}
    assert list((rendered / "dossier").rglob("*.part")) == []


def test_pdf_is_tagged_letter_with_bookmarks_and_embedded_fonts(rendered: Path) -> None:
    with pikepdf.open(rendered / "dossier" / "us_510k" / "performance_validation_report.pdf") as pdf:
        width, height = (float(v) for v in pdf.pages[0].MediaBox[2:])
        assert (round(width), round(height)) == (612, 792)
        with pdf.open_outline() as outline:
            assert outline.root
        with pdf.open_metadata() as metadata:
            assert metadata["pdfaid:part"] == "2"
            assert metadata["pdfaid:conformance"].upper() == "A"
        for page in pdf.pages:
            for font in page.Resources.get("/Font", {}).values():
                assert "/FontFile2" in font.DescendantFonts[0].FontDescriptor or (
                    "/FontFile3" in font.DescendantFonts[0].FontDescriptor
                )


def test_matrix_names_pages_of_the_report(rendered: Path) -> None:
    text = (rendered / "dossier" / "us_510k" / "traceability_matrix.html").read_text(encoding="utf-8")
    pages = [int(n) for n in re.findall(r"Performance validation report, E\d, page\u00a0(\d+)", text)]
    with pikepdf.open(rendered / "dossier" / "us_510k" / "performance_validation_report.pdf") as pdf:
        assert pages
        assert max(pages) <= len(pdf.pages)


def test_word_has_headings_header_rows_captions_and_alternatives(rendered: Path) -> None:
    document = docx.Document(str(rendered / "dossier" / "us_510k" / "performance_validation_report.docx"))
    styles = [p.style.name for p in document.paragraphs]
    assert {"Title", "Heading 1", "Heading 2", "Caption"} <= set(styles)
    body = document.element.body.xml
    assert body.count("<w:tblHeader/>") >= 5
    assert all(shape._inline.docPr.get("descr") for shape in document.inline_shapes)
    assert len(document.inline_shapes) > 5


def test_draft_and_inconclusive_are_said_on_the_first_page(tmp_path: Path) -> None:
    run = write_example_run(tmp_path, patients=6, draft=True, conclusive=False)
    _, pdf, _ = _print(run, "performance_validation_report")
    first = extract_text(io.BytesIO(pdf), page_numbers=[0])
    for words in ("DRAFT", "Inconclusive", "12 independent patients are fewer", "Simulated data"):
        assert words in first
    second = extract_text(io.BytesIO(pdf), page_numbers=[1])
    assert "Simulated data" in second
    assert run.name in second


def test_hostile_text_of_a_study_stays_text(tmp_path: Path) -> None:
    run = write_example_run(tmp_path, patients=4)
    results = read_results(run)
    results["study"]["title"] = '<script>alert(1)</script> "quoted" <img src=x>'
    results["endpoints"]["E1"]["title"] = "</td><b>bold</b> & co"
    write_results(run, results)
    html = ViewModel(run).html("index", "internal_validation")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
