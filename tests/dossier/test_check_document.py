"""Numbers and verdicts that were changed by hand are found and named, in every format."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from pathlib import Path

import pikepdf
import pytest

from validation.dossier.check_document import check_document
from validation.errors import DataProblem

DOCUMENT = "summary_510k"


@pytest.fixture
def folder(rendered: Path) -> Path:
    return rendered / "dossier" / "us_510k"


def _rewrite(source: Path, target: Path, old: str, new: str, times: int = 1) -> Path:
    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w") as write:
        for name in read.namelist():
            data = read.read(name)
            if name == "word/document.xml":
                text = data.decode()
                assert old in text
                data = text.replace(old, new, times).encode()
            write.writestr(name, data)
    return target


@pytest.mark.parametrize("suffix", ["html", "docx", "pdf"])
def test_untouched_documents_are_clean(rendered: Path, folder: Path, suffix: str) -> None:
    documents = [p for p in sorted(folder.glob(f"*.{suffix}")) if suffix != "pdf" or p.stem == DOCUMENT]
    assert documents
    for path in documents:
        assert check_document(path, rendered) == [], path.name


def test_number_changed_in_word(rendered: Path, folder: Path, tmp_path: Path) -> None:
    text = zipfile.ZipFile(folder / f"{DOCUMENT}.docx").read("word/document.xml").decode()
    control = re.search(r'<w:tag w:val="E1\.estimate\.upper"/>.*?<w:t[^>]*>([^<]+)</w:t>', text)
    assert control is not None
    changed = control.group().replace(f">{control.group(1)}<", ">−99.9<")
    edited = _rewrite(folder / f"{DOCUMENT}.docx", tmp_path / "edited.docx", control.group(), changed)
    (finding,) = check_document(edited, rendered)
    assert (finding.kind, finding.id, finding.found) == ("changed", "E1.estimate.upper", "−99.9")
    assert finding.expected == control.group(1)
    assert "E1.estimate.upper" in str(finding)


def test_verdict_changed_in_word(rendered: Path, folder: Path, tmp_path: Path) -> None:
    text = zipfile.ZipFile(folder / f"{DOCUMENT}.docx").read("word/document.xml").decode()
    control = re.search(r'<w:tag w:val="E1\.verdict\.outcome"/>.*?<w:t[^>]*>([^<]+)</w:t>', text)
    assert control is not None
    edited = _rewrite(
        folder / f"{DOCUMENT}.docx",
        tmp_path / "edited.docx",
        control.group(),
        control.group().replace(">Met<", ">Exceeded<"),
    )
    (finding,) = check_document(edited, rendered)
    assert (finding.kind, finding.id) == ("changed", "E1.verdict.outcome")


def test_control_stripped_and_number_typed_in_word(rendered: Path, folder: Path, tmp_path: Path) -> None:
    source = folder / f"{DOCUMENT}.docx"
    text = zipfile.ZipFile(source).read("word/document.xml").decode()
    control = re.search(r'<w:sdt><w:sdtPr><w:alias w:val="cohort\.n_analysed"/>.*?</w:sdt>', text)
    assert control is not None
    edited = _rewrite(source, tmp_path / "edited.docx", control.group(), "<w:r><w:t>4711</w:t></w:r>")
    kinds = {(f.kind, f.id or f.found) for f in check_document(edited, rendered)}
    assert kinds == {("lost", "cohort.n_analysed"), ("untraced", "4711")}


def test_prose_may_be_edited_in_word(rendered: Path, folder: Path, tmp_path: Path) -> None:
    edited = _rewrite(
        folder / f"{DOCUMENT}.docx",
        tmp_path / "edited.docx",
        "taken from the record.",
        "as our reading of the record has it.",
    )
    assert check_document(edited, rendered) == []


def test_tracked_deletion_counts_as_gone(rendered: Path, folder: Path, tmp_path: Path) -> None:
    source = folder / f"{DOCUMENT}.docx"
    text = zipfile.ZipFile(source).read("word/document.xml").decode()
    control = re.search(r'(<w:tag w:val="E2\.estimate\.value"/>.*?<w:sdtContent>)(<w:r>.*?</w:r>)', text)
    assert control is not None
    gone = f'{control.group(1)}<w:del w:id="1" w:author="x">{control.group(2)}</w:del>'
    marked = gone + '<w:ins w:id="2" w:author="x"><w:r><w:t>0.5</w:t></w:r></w:ins>'
    edited = _rewrite(source, tmp_path / "edited.docx", control.group(), marked)
    (finding,) = check_document(edited, rendered)
    assert (finding.kind, finding.id, finding.found) == ("changed", "E2.estimate.value", "0.5")


def test_number_changed_in_html(rendered: Path, folder: Path, tmp_path: Path) -> None:
    text = (folder / f"{DOCUMENT}.html").read_text(encoding="utf-8")
    edited = tmp_path / "edited.html"
    edited.write_text(
        re.sub(r'(data-id="E3\.estimate\.lower"[^>]*>)[^<]+', r"\g<1>−0.9", text, count=1), encoding="utf-8"
    )
    (finding,) = check_document(edited, rendered)
    assert (finding.kind, finding.id, finding.found) == ("changed", "E3.estimate.lower", "−0.9")


def test_exact_value_changed_in_the_record_of_numbers(rendered: Path, folder: Path, tmp_path: Path) -> None:
    text = (folder / f"{DOCUMENT}.html").read_text(encoding="utf-8")
    edited = tmp_path / "edited.html"
    edited.write_text(re.sub(r'(data-exact="E1\.estimate\.value">)[^<]+', r"\g<1>-1", text, count=1), encoding="utf-8")
    (finding,) = check_document(edited, rendered)
    assert (finding.kind, finding.id, finding.found) == ("changed", "exact:E1.estimate.value", "-1")


def test_number_changed_in_pdf(rendered: Path, folder: Path, tmp_path: Path) -> None:
    edited = tmp_path / "edited.pdf"
    with pikepdf.open(folder / f"{DOCUMENT}.pdf") as pdf:
        notes = [note for page in pdf.pages for note in page.get("/Annots", [])]
        first, second = (
            next(a for a in notes if f"rec-{name}.estimate.value" in str(a.get("/Dest", a.get("/A", {}).get("/D", ""))))
            for name in ("E1", "E2")
        )
        first.Rect, second.Rect = second.Rect, first.Rect  # rows of one table: each id now lies over the other's number
        pdf.save(edited)
    found = {(f.kind, f.id) for f in check_document(edited, rendered)}
    assert found == {("changed", "E1.estimate.value"), ("changed", "E2.estimate.value")}


def test_document_of_another_run_is_refused(rendered: Path, folder: Path, tmp_path: Path) -> None:
    text = (folder / f"{DOCUMENT}.html").read_text(encoding="utf-8").replace(rendered.name, "another-run")
    other = tmp_path / "other.html"
    other.write_text(text, encoding="utf-8")
    with pytest.raises(DataProblem, match="another-run"):
        check_document(other, rendered)


@pytest.mark.parametrize("name", ["x.docx", "x.pdf", "x.txt"])
def test_damaged_file_gives_one_message(rendered: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a document")
    with pytest.raises(DataProblem) as caught:
        check_document(tmp_path / name, rendered)
    assert caught.value.code == "DOS-011"


def test_zip_bomb_is_refused(rendered: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/document.xml", b"\0" * (70 << 20))
    (tmp_path / "bomb.docx").write_bytes(stream.getvalue())
    with pytest.raises(DataProblem, match="unpacks"):
        check_document(tmp_path / "bomb.docx", rendered)


def test_changed_record_shows_in_every_document(rendered: Path, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs" / rendered.name
    shutil.copytree(rendered, copy)
    results = copy / "results.json"
    results.write_bytes(results.read_bytes().replace(b'"n_analysed":96', b'"n_analysed":97'))
    found = check_document(folder / f"{DOCUMENT}.docx", copy)
    assert "cohort.n_analysed" in {f.id for f in found}
