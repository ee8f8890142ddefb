"""Every PDF of the dossier can be archived and read by a screen reader, as far as a program can tell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from validation.dossier.stack import file_of

DOCUMENTS = [e.document for e in file_of("low_dose_denoising", "us_510k", has=lambda _: False)]


def _fonts(pdf: Any) -> list[Any]:
    found = {}
    for page in pdf.pages:
        for font in page.get("/Resources", {}).get("/Font", {}).values():
            found[font.objgen] = font
    return list(found.values())


def _roles(node: Any, depth: int = 0) -> set[str]:
    found = {str(node["/S"])} if "/S" in node else set()
    kids = node.get("/K")
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and depth < 40:
            found |= _roles(kid, depth + 1)
    return found


def _figures(node: Any, depth: int = 0) -> list[Any]:
    found = [node] if str(node.get("/S", "")) == "/Figure" else []
    kids = node.get("/K")
    for kid in kids if isinstance(kids, pikepdf.Array) else [kids]:
        if isinstance(kid, pikepdf.Dictionary) and depth < 40:
            found += _figures(kid, depth + 1)
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_pdf(rendered: Path, document: str) -> None:
    path = rendered / "dossier" / "us_510k" / f"{document}.pdf"
    with pikepdf.open(path) as pdf:
        assert not pdf.is_encrypted
        root = pdf.Root
        assert bool(root.MarkInfo.Marked)
        assert str(root.Lang) == "en"
        assert {"/H1", "/H2", "/P", "/Link"} <= _roles(root.StructTreeRoot)
        assert bool(root.ViewerPreferences.DisplayDocTitle)
        assert "/OutputIntents" in root
        assert all(str(figure.get("/Alt", "")) for figure in _figures(root.StructTreeRoot))
        assert not [key for key in ("/OpenAction", "/AA", "/AcroForm") if key in root]
        assert "/JavaScript" not in root.get("/Names", {})
        assert "/EmbeddedFiles" not in root.get("/Names", {})
        with pdf.open_metadata() as metadata:
            assert (metadata["pdfaid:part"], metadata["pdfaid:conformance"].upper()) == ("2", "A")
            assert metadata["dc:title"] == str(pdf.docinfo["/Title"])
        titles = []
        with pdf.open_outline() as outline:
            titles = [child.title for item in outline.root for child in item.children]
        assert titles
        fonts = _fonts(pdf)
        assert fonts
        for font in fonts:
            described = font.get("/DescendantFonts", [font])[0].FontDescriptor
            assert "/FontFile2" in described or "/FontFile3" in described, str(font.get("/BaseFont"))
        for page in pdf.pages:
            assert page.get("/Tabs") in (None, "/S")
            for note in page.get("/Annots", []):
                assert str(note.Subtype) == "/Link"
                assert "/Dest" in note or str(note.A.S) in ("/GoTo", "/GoToR", "/URI")


@pytest.mark.skipif(shutil.which("qpdf") is None, reason="qpdf is not installed")
@pytest.mark.parametrize("document", ["performance_validation_report", "index"])
def test_qpdf_finds_nothing(rendered: Path, document: str) -> None:
    path = rendered / "dossier" / "us_510k" / f"{document}.pdf"
    done = subprocess.run(["qpdf", "--check", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No syntax or stream encoding errors found" in done.stdout
