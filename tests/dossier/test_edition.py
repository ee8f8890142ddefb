"""Run, write, render again, sign, hand over: the run stays what it was, and an open block stops the last step."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.dossier.example_run import write_example_run
from validation.cli.main import main
from validation.dossier.check_document import check_document
from validation.dossier.final import reasons_not_final
from validation.dossier.gaps import analyse, requests
from validation.errors import DataProblem, IntegrityProblem, UsageProblem
from validation.evidence.approvals import approve
from validation.evidence.attestation import close
from validation.evidence.edition import check_edition, editions_of, read_edition
from validation.evidence.keys import load_signer
from validation.evidence.manifest import read_manifest
from validation.evidence.package import open_run, write_package
from validation.study.narrative import write_requests

PATHWAY = "pms_pmcf"
CLAIM = "low_dose_denoising"


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    return int(caught.value.code or 0)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study with a closed and signed run, a first edition with open blocks, and a second one that is final.

    The second holds what is required, and one document that only a person fills: the run plans no change of the model.
    """
    folder = tmp_path_factory.mktemp("study")
    run = write_example_run(folder, patients=12)
    assert call("keygen", "tester", "--out", folder / "keys") == 0
    close(run, load_signer(str(folder / "keys" / "tester.pem")))
    key = folder / "keys" / "tester.pem"
    assert call("render", run, "--pathway", PATHWAY, "--key", key, "--by", "Example Writer") == 1
    first = editions_of(run)[0]
    report = analyse(folder, CLAIM, PATHWAY, run_folder=run, edition=first)
    asked = {row.id for row in report.artefacts if row.need == "required"} | {"pccp"}
    write_requests(folder, [request for request in requests(report) if request.artefact in asked])
    for block in (folder / "narrative").glob("*.md"):
        block.write_text(block.read_text() + "Written for a test: 12.5 per cent.\n")
    assert call("render", run, "--pathway", PATHWAY, "--key", key, "--by", "Example Writer") == 0
    return folder


@pytest.fixture
def run(study: Path) -> Path:
    return next((study / "runs").iterdir())


def test_editions_keep_the_run_as_it_was(study: Path, run: Path) -> None:
    first, second = editions_of(run)
    before, after = read_edition(first), read_edition(second)
    assert before["not_final"]
    assert before["draft"]
    assert after["not_final"] == []
    assert not after["draft"]
    assert before["run_manifest_sha256"] == after["run_manifest_sha256"]
    assert set(after["narratives"]) > {"pms_plan"}
    for edition in (first, second):
        checked = check_edition(edition, run)
        assert checked.wrong == []
        assert checked.key_id
    assert "narrative" not in {entry["name"].split("/")[0] for entry in read_manifest(run)["files"]}
    page = (second / "dossier" / PATHWAY / "pms_plan.html").read_text()
    assert "Written for a test: 12.5 per cent." in page
    assert after["id"] in page
    assert 'id="narrative-open"' not in page
    assert 'id="narrative-open"' in (first / "dossier" / PATHWAY / "pms_plan.html").read_text()


def test_gap_report_names_the_page_of_what_was_written(study: Path, run: Path) -> None:
    report = analyse(study, CLAIM, PATHWAY, run_folder=run, edition=editions_of(run)[1])
    row = next(r for r in report.artefacts if r.id == "pms_plan")
    assert row.state == "met"
    assert any(w.startswith("pms_plan, narrative, page ") for w in row.where)
    assert reasons_not_final(run, study, edition=editions_of(run)[1], pathways=[PATHWAY]) == []


def test_open_blocks_stop_a_final_package(study: Path, run: Path, tmp_path: Path) -> None:
    first, second = editions_of(run)
    shutil.move(second, tmp_path / "kept")
    try:
        assert call("package", run, "--out", tmp_path / "x.zip") == 2
        assert not (tmp_path / "x.zip").exists()
        assert call("package", run, "--out", tmp_path / "draft.zip", "--draft") == 0
    finally:
        shutil.move(tmp_path / "kept", second)
    with zipfile.ZipFile(tmp_path / "draft.zip") as package:
        readme = package.read("README.txt").decode()
    assert "DRAFT" in readme
    assert "Not final, because" in readme
    with pytest.raises(UsageProblem) as caught:
        write_package(run, tmp_path / "y.zip", edition=first, not_final=["us_510k: something is open"])
    assert caught.value.code == "EVD-074"


def test_final_package_holds_the_edition_and_verifies_offline(study: Path, run: Path, tmp_path: Path) -> None:
    second = editions_of(run)[1]
    approve(
        second, load_signer(str(study / "keys" / "tester.pem")), name="A Person", role="reviewer", meaning="approval"
    )
    out = tmp_path / "final.zip"
    assert call("package", run, "--out", out) == 0
    with open_run(out) as opened:
        assert opened.edition is not None
        assert check_edition(opened.edition, opened.run_folder).approvals[0].name == "A Person"
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(out) as package:
        package.extractall(unpacked)
    script = [sys.executable, str(unpacked / "verify.py")]
    assert subprocess.run(script, capture_output=True, check=False).returncode == 0
    page = unpacked / "edition" / "dossier" / PATHWAY / "pms_plan.html"
    page.write_text(page.read_text().replace("12.5 per cent", "21.5 per cent"))
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert f"edition/dossier/{PATHWAY}/pms_plan.html: changed" in done.stdout


def test_changed_edition_or_run_is_named(study: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "edition"
    shutil.copytree(editions_of(run)[0], copy)
    (copy / "dossier" / PATHWAY / "index.html").write_text("other")
    assert [w[0] for w in check_edition(copy, run).wrong] == [f"dossier/{PATHWAY}/index.html"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text("{}")
    assert ("edition.json", "EVD-091") in {(w[0], w[2]) for w in check_edition(editions_of(run)[0], other).wrong}
    with pytest.raises(IntegrityProblem):
        read_edition(run)


def test_a_changed_run_is_not_rendered_again(study: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "study" / "runs" / run.name
    shutil.copytree(run, copy)
    (copy / "environment.json").write_text("{}")
    assert call("render", copy, "--pathway", PATHWAY) == 4
    assert not list((tmp_path / "study").glob("editions/*/*"))


def test_killed_rendering_leaves_no_edition(
    study: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "study" / "runs" / run.name
    shutil.copytree(run, copy)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("validation.dossier.edition.bind", fail)
    assert call("render", copy, "--pathway", PATHWAY) == 130
    assert editions_of(copy) == []


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_opens_every_word_file(run: Path, tmp_path: Path) -> None:
    documents = sorted((editions_of(run)[1] / "dossier" / PATHWAY).glob("*.docx"))
    command = ["soffice", "--headless", f"-env:UserInstallation=file://{tmp_path}/profile", "--convert-to", "pdf"]
    done = subprocess.run(
        [*command, "--outdir", str(tmp_path / "out"), *map(str, documents)],
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0
    assert {p.stem for p in (tmp_path / "out").glob("*.pdf")} == {p.stem for p in documents}


# one number changed, in every format


def change(path: Path, folder: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    edited = folder / path.name
    edited.write_bytes(data.replace(old, new, 1))
    return edited


@pytest.fixture
def files(run: Path) -> Path:
    return editions_of(run)[1] / "dossier" / PATHWAY


def found(path: Path, run: Path) -> list[tuple[str, str, str]]:
    return [(f.kind, f.id, f.found) for f in check_document(path, run, editions=editions_of(run))]


def test_untouched_files_of_an_edition_are_clean(run: Path, files: Path) -> None:
    for path in sorted(files.iterdir()):
        if path.suffix in (".csv", ".html", ".docx") or path.stem == "pms_plan":
            assert found(path, run) == [], path.name


def test_number_in_a_table(run: Path, files: Path, tmp_path: Path) -> None:
    value = json.loads((run / "results.json").read_text())["endpoints"]["E1"]["estimate"]["lower"]
    edited = change(files / "results.csv", tmp_path, repr(value).encode(), b"-99.5")
    assert found(edited, run) == [("changed", "E1, lower", "-99.5")]
    lines = (files / "results.csv").read_text().splitlines(keepends=True)
    (tmp_path / "short.csv").write_text("".join(lines[:-1]))
    assert [kind for kind, _, _ in found(tmp_path / "short.csv", run)] == ["lost"]


def test_page_in_the_trace(run: Path, files: Path, tmp_path: Path) -> None:
    text = (files / "requirements.csv").read_text()
    line = next(k for k, row in enumerate(text.splitlines()) if "pms_plan.pdf#" in row)
    rows = text.splitlines(keepends=True)
    rows[line] = rows[line].replace("pms_plan.pdf#", "pms_plan.pdf#wrong-", 1)
    (tmp_path / "requirements.csv").write_text("".join(rows))
    ((kind, name, shown),) = found(tmp_path / "requirements.csv", run)
    assert (kind, name.endswith("destination"), "wrong" in shown) == ("changed", True, True)


def test_number_typed_into_pdf_outside_every_link(run: Path, files: Path, tmp_path: Path) -> None:
    import pikepdf

    edited = tmp_path / "edited.pdf"
    with pikepdf.open(files / "pms_plan.pdf") as pdf:
        page = pdf.pages[0]
        font = next(iter(page.Resources.Font.keys()))
        page.contents_add(pdf.make_stream(f"BT {font} 9 Tf 100 100 Td <0014> Tj ET".encode()))
        pdf.save(edited)
    kinds = {kind for kind, _, _ in found(edited, run)}
    assert kinds <= {"untraced", "drawn"}
    assert kinds
    with pikepdf.open(files / "pms_plan.pdf") as pdf:
        pdf.save(tmp_path / "saved.pdf")  # saved again by another program, nothing changed
    assert found(tmp_path / "saved.pdf", run) == []


def test_number_in_a_person_s_text(run: Path, files: Path, tmp_path: Path) -> None:
    edited = change(files / "pms_plan.html", tmp_path, b"12.5 per cent", b"21.5 per cent")
    assert ("untraced", "", "21.5") in found(edited, run)


@pytest.mark.parametrize("name", ["a.csv", "a.xml", "a.json"])
def test_foreign_and_damaged_files_are_refused(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\xff{<" * 50)
    with pytest.raises(DataProblem) as caught:
        check_document(tmp_path / name, run, editions=editions_of(run))
    assert caught.value.code == "DOS-011"
