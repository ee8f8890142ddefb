"""Every requirement has a row; nothing is met that is not there; an empty block is never a written one."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validation.cli.main import main
from validation.dossier.answers import answers, place
from validation.dossier.catalogue import catalogue as documents
from validation.dossier.gaps import Gaps, Row, analyse, open_narratives, requests
from validation.dossier.stack import file_of
from validation.errors import DataProblem, UsageProblem
from validation.protocol.catalogue import regulatory_catalogue
from validation.protocol.schema import ClaimType, Pathway
from validation.study.narrative import write_requests

CLAIM: ClaimType = "low_dose_denoising"
CELLS = [
    (claim, pathway)
    for claim, row in regulatory_catalogue().wanted.matrix.items()
    for pathway, cell in row.items()
    if cell.applicability != "not_applicable"
]


def row(report: Gaps, name: str) -> Row:
    (found,) = [r for r in (*report.requirements, *report.artefacts) if r.id == name]
    return found


def write_all(study: Path, report: Gaps, text: str = "Written for a test.") -> None:
    """Fill every block in as a person would."""
    write_requests(study, requests(report))
    for path in (study / "narrative").glob("*.md"):
        path.write_text(path.read_text() + text + "\n", encoding="utf-8")


@pytest.fixture
def finished(rendered: Path, tmp_path: Path) -> Path:
    """Return a copy of the rendered run with the files that closing it adds."""
    copy = tmp_path / "study" / "runs" / rendered.name
    shutil.copytree(rendered, copy)
    for name in ("manifest.json", "inputs.json", "attestation.dsse.json"):
        if not (copy / name).exists():
            (copy / name).write_text("{}")
    return copy


@pytest.mark.parametrize(("claim", "pathway"), CELLS)
def test_every_requirement_is_accounted_for(tmp_path: Path, claim: ClaimType, pathway: Pathway) -> None:
    report = analyse(tmp_path, claim, pathway)
    assert [r.id for r in report.requirements] == list(regulatory_catalogue().requirements)
    counts = report.counts()
    assert sum(counts["classification"].values()) == sum(counts["state"].values()) == 298
    blocks = {r.artefact: r for r in requests(report)}
    for r in report.requirements:
        if r.classification == "not_applicable":
            assert r.because
            assert (r.need, r.state, r.narrative) == ("none", "none", "")
        elif r.classification == "generated":
            assert r.where
            assert (r.state, r.narrative) == ("planned", "")
        else:  # a person has exactly one place to answer it
            assert r.id in blocks[r.narrative].answers
            assert r.narrative in r.artefacts
            assert r.state == "open"
            assert r.because
    cell = regulatory_catalogue().cell(claim, pathway)
    named = {r.id: r.need for r in report.artefacts}
    assert {a for a, need in named.items() if need == "required"} == set(cell.required)
    assert {a for a, need in named.items() if need == "conditional"} == set(cell.conditional)
    assert not report.complete


def test_answers_name_real_requirements_documents_and_sections() -> None:
    regulations, kinds = regulatory_catalogue(), documents().documents
    file = answers()
    assert set(file.answers) <= set(regulations.requirements)
    assert set(file.artefacts) <= set(regulations.artefacts)
    every = [p for a in file.answers.values() for p in a.places] + [p for a in file.artefacts.values() for p in a]
    for where in map(place, every):
        if where.kind == "document":
            assert not where.section or where.section in {s.id for s in kinds[where.name].sections}, where
    for name, answer in file.answers.items():
        asked = regulations.requirements[name]
        assert asked.generation != "manual", name
        if asked.generation == "partial":
            assert answer.remains, name


def test_counts_of_the_510k_on_day_one(tmp_path: Path) -> None:
    report = analyse(tmp_path, CLAIM, "us_510k")
    counts = report.counts()["classification"]
    applies = [
        r
        for r in regulatory_catalogue().requirements.values()
        if regulatory_catalogue().why_not(r, CLAIM, "us_510k") == ""
    ]
    assert 298 - counts["not_applicable"] == len(applies) == 135
    assert counts["generated"] >= 5
    assert counts["partly"] >= 30
    assert row(report, "US-892-005").classification == "not_applicable"  # detection claims only
    assert row(report, "US-AIDSF-025").classification == "generated"
    assert row(report, "US-CYB-002").classification == "manual"
    assert row(report, "US-ECOPY-001").need == "further"


def test_pathway_that_is_not_for_the_claim_is_no_empty_success(tmp_path: Path) -> None:
    report = analyse(tmp_path, CLAIM, "us_pma")
    assert report.applicability == "not_applicable"
    assert "does not see this pathway" in report.note
    assert {r.need for r in report.artefacts} <= {"conditional", "further"}
    write_all(tmp_path, report)
    assert not analyse(tmp_path, CLAIM, "us_pma").complete


def test_answer_that_loses_a_document_is_not_complete(tmp_path: Path) -> None:
    # De Novo has no 510(k) summary, so a requirement that it answers alone is left to a person there
    assert "summary_510k" not in {e.document for e in file_of(CLAIM, "us_de_novo", has=lambda _: False)}
    report = analyse(tmp_path, CLAIM, "us_de_novo")
    assert row(report, "US-AIDSF-028").classification == "partly"
    assert not any("summary_510k" in place for place in row(report, "US-AIDSF-028").where)
    # no profile looks at internal files, so nothing can be met by the lint
    assert all("lint" not in r.where for r in analyse(tmp_path, CLAIM, "internal_validation").requirements)


def test_blocks_that_are_written_close_the_gap_and_one_emptied_opens_it(tmp_path: Path) -> None:
    report = analyse(tmp_path, CLAIM, "us_510k")
    required = {r.id for r in report.artefacts if r.need == "required" and r.narrative}
    assert {r.id for r in open_narratives(tmp_path, CLAIM, "us_510k")} == required
    write_requests(tmp_path, requests(report))
    assert {r.id for r in open_narratives(tmp_path, CLAIM, "us_510k")} == required  # empty blocks change nothing
    write_all(tmp_path, report)
    assert open_narratives(tmp_path, CLAIM, "us_510k") == []
    after = analyse(tmp_path, CLAIM, "us_510k")
    assert after.complete
    assert row(after, "US-CYB-002").state == "written"
    assert row(after, "US-AIDSF-005").state == "planned"  # the run's part is not there yet
    assert after.counts()["state"]["met"] == 0
    block = tmp_path / "narrative" / "risk_management_file.md"
    block.write_text(block.read_text().replace("Written for a test.", ""))
    emptied = analyse(tmp_path, CLAIM, "us_510k")
    assert not emptied.complete
    assert [r.id for r in emptied.artefacts if r.blocking] == ["risk_management_file"]


def test_block_answers_only_what_it_names(tmp_path: Path) -> None:
    write_all(tmp_path, analyse(tmp_path, CLAIM, "us_510k"))
    block = tmp_path / "narrative" / "predicate_comparison.md"
    block.write_text(block.read_text().replace("  - US-807-004\n", "", 1))
    report = analyse(tmp_path, CLAIM, "us_510k")
    assert row(report, "US-807-004").state == "open"
    assert row(report, "US-807-016").state == "planned"  # written; the part that the run fills is not there yet
    assert row(report, "predicate_comparison").state == "open"
    assert "US-807-004" in row(report, "predicate_comparison").because
    assert not report.complete


def test_reason_for_nothing_is_shown_as_such(tmp_path: Path) -> None:
    write_all(tmp_path, analyse(tmp_path, CLAIM, "us_510k"))
    block = tmp_path / "narrative" / "architecture.md"
    block.write_text(block.read_text().replace("Written for a test.", "Not applicable: held in the design file."))
    report = analyse(tmp_path, CLAIM, "us_510k")
    assert row(report, "architecture").state == "waived"
    assert row(report, "architecture").because == "not applicable: held in the design file."
    assert report.complete


def test_pages_are_those_of_the_files(finished: Path) -> None:
    study = finished.parent.parent
    report = analyse(study, CLAIM, "us_510k", run_folder=finished)
    met = row(report, "US-AIDSF-025")
    assert met.state == "met"
    with pikepdf.open(finished / "dossier" / "us_510k" / "performance_validation_report.pdf") as pdf:
        target = dict(pikepdf.NameTree(pdf.Root.Names.Dests).items())["endpoints"]
        array = target.D if isinstance(target, pikepdf.Dictionary) else target
        page = next(n for n, p in enumerate(pdf.pages, start=1) if p.objgen == array[0].objgen)
    assert f"performance_validation_report, endpoints, page {page}" in met.where
    assert report.profile == "fda_estar"
    assert report.findings == []
    assert row(report, "US-PDF-001").state == "met"
    # a document that is gone, and a section that is not in the document
    (finished / "dossier" / "us_510k" / "deviation_log.pdf").unlink()
    report = analyse(study, CLAIM, "us_510k", run_folder=finished)
    assert row(report, "deviation_log").state == "missing"
    assert row(report, "US-AIDSF-018").state == "missing"
    assert any(f.rule == "live_links" for f in report.findings)  # the index points to it
    assert row(report, "US-PDF-001").state == "missing"


def test_text_written_after_the_run_does_not_count_as_shown(finished: Path) -> None:
    study = finished.parent.parent
    write_all(study, analyse(study, CLAIM, "us_510k"))
    report = analyse(study, CLAIM, "us_510k", run_folder=finished)
    assert row(report, "US-AIDSF-005").state == "missing"
    assert "render" in row(report, "US-AIDSF-005").because
    assert row(report, "US-CYB-002").state == "missing"  # its own document shows that the block is open
    assert not report.complete


def test_text_that_the_run_shows_is_met_with_its_page(finished: Path) -> None:
    study = finished.parent.parent
    write_all(study, analyse(study, CLAIM, "us_510k"))
    shutil.copytree(study / "narrative", finished / "narrative")
    report = finished / "dossier" / "us_510k" / "data_management_report.pdf"
    assert row(analyse(study, CLAIM, "us_510k", run_folder=finished), "US-AIDSF-005").state == "missing"
    with pikepdf.open(report, allow_overwriting_input=True) as pdf:  # as a document laid out with the block has it
        names = pikepdf.NameTree(pdf.Root.Names.Dests)
        names["narrative"] = pikepdf.Array([pdf.pages[1].obj, pikepdf.Name.Fit])
        del names["narrative-open"]
        pdf.save(report)
    met = row(analyse(study, CLAIM, "us_510k", run_folder=finished), "US-AIDSF-005")
    assert met.state == "met"
    assert "data_management_report, narrative, page 2" in met.where
    kept = finished / "narrative" / "data_management_report.md"
    kept.write_text(kept.read_text() + "Another sentence.\n")
    assert row(analyse(study, CLAIM, "us_510k", run_folder=finished), "US-AIDSF-005").state == "missing"


def test_draft_is_never_complete(tmp_path: Path) -> None:
    write_all(tmp_path, analyse(tmp_path, CLAIM, "us_510k"))
    report = analyse(tmp_path, CLAIM, "us_510k")
    assert report.complete
    assert not replace(report, draft=True).complete


def test_run_of_another_claim_or_pathway_is_refused(rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem) as caught:
        analyse(tmp_path, "super_resolution", "us_510k", run_folder=rendered)
    assert caught.value.code == "DOS-034"
    with pytest.raises(DataProblem) as empty:
        analyse(tmp_path, CLAIM, "eu_ce_mdr", run_folder=rendered)
    assert empty.value.code == "DOS-032"


@settings(max_examples=40, deadline=None)
@given(
    claim=st.sampled_from(get_args(ClaimType)),
    pathway=st.sampled_from(get_args(Pathway)),
    requirement=st.sampled_from(sorted(regulatory_catalogue().requirements)),
)
def test_why_not_is_the_plain_rule(claim: ClaimType, pathway: Pathway, requirement: str) -> None:
    regulations = regulatory_catalogue()
    asked = regulations.requirements[requirement]
    package = regulations.packages[pathway]
    on_pathway = pathway in asked.pathways or requirement in package.requirement_ids()
    assert (regulations.why_not(asked, claim, pathway) == "") == (on_pathway and claim in regulations.claims_of(asked))


# the verb


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "a-study"
    folder.mkdir()
    text = (Path("studies/low-dose-ct/study.yaml")).read_text(encoding="utf-8")
    (folder / "study.yaml").write_text(text.replace("../../protocols/low-dose-ct-denoising.yaml", "protocol.yaml"))
    shutil.copy("protocols/low-dose-ct-denoising.yaml", folder / "protocol.yaml")
    return folder


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["gaps", *arguments])
    return int(caught.value.code or 0)


def test_verb_on_day_one(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = study / "gaps.csv"
    assert run(str(study), "--pathway", "us_510k", "--write-narratives", "--csv", str(table)) == 1
    said = capsys.readouterr().out
    assert "298 requirements" in said
    assert "narrative block(s) written" in said
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(r["kind"] == "requirement" for r in rows) == 298
    assert not [r for r in rows for cell in r.values() if cell.startswith(("=", "+", "@"))]
    for block in (study / "narrative").glob("*.md"):
        block.write_text(block.read_text() + "=1+1 written\n")
    assert run(str(study), "--pathway", "us_510k", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["complete"] is True
    assert [p["pathway"] for p in record["pathways"]] == ["us_510k"]
    assert sum(record["pathways"][0]["counts"]["classification"].values()) == 298


def test_verb_takes_every_pathway_of_the_claim(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(study), "--json") == 1
    record = json.loads(capsys.readouterr().out)
    assert [p["pathway"] for p in record["pathways"]] == ["internal_validation", "us_510k", "eu_ce_mdr"]


@pytest.mark.parametrize(
    "arguments",
    [["--pathway", "us_501k"], ["--profile", "fda_ecopy"], ["--profile", "nobody"]],
)
def test_verb_refuses(study: Path, arguments: list[str]) -> None:
    assert run(str(study), *arguments) == 2


def test_verb_without_a_study(tmp_path: Path) -> None:
    assert run(str(tmp_path)) == 2
