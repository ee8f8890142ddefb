"""Each rule of a profile finds the defect that it is for, and a clean file passes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from pydantic import ValidationError

from validation.dossier.pages import pages_of
from validation.dossier.profile_lint import ProfileFinding, lint_folder
from validation.dossier.profiles import Profile, Rule, profile, profile_of, profiles
from validation.errors import DataProblem, UsageProblem

NAME = "deviation_log.pdf"


@pytest.fixture
def folder(rendered: Path, tmp_path: Path) -> Path:
    for kind in ("pdf", "html"):
        for file in (rendered / "dossier" / "us_510k").glob(f"*.{kind}"):
            shutil.copy(file, tmp_path / file.name)
    return tmp_path


def change(folder: Path, what: Callable[[Any], None], **save: Any) -> list[ProfileFinding]:
    """Change one document and return what the eSTAR profile finds."""
    with pikepdf.open(folder / NAME, allow_overwriting_input=True) as pdf:
        what(pdf)
        pdf.save(folder / NAME, **save)
    return lint_folder(folder, profile("fda_estar"))


def rules(found: list[ProfileFinding]) -> set[tuple[str, str]]:
    return {(f.file, f.rule) for f in found}


def test_profiles_are_dated_sourced_and_cover_the_filings() -> None:
    assert set(profiles()) == {"fda_estar", "fda_ecopy", "mdr_nb"}
    for entry in profiles().values():
        assert entry.as_of == "2026-11-22"
        assert all(rule.source.document and rule.source.year for rule in entry.rules)
    found = profile_of("us_510k"), profile_of("eu_ce_mdr"), profile_of("internal_validation")
    assert [p and p.id for p in found] == ["fda_estar", "mdr_nb", None]
    with pytest.raises(UsageProblem):
        profile("fda_estr")


def test_profile_refuses_what_it_cannot_mean() -> None:
    good = profile("fda_ecopy").model_dump()
    for rule, change_to in (
        ("file_size_mb", {"limit": "fifty"}),
        ("no_encryption", {"limit": 3}),
        ("name_length", {"verified": True}),  # level K
        ("file_name", {"limit": None}),
    ):
        bad = {**good, "rules": [r | change_to if r["rule"] == rule else r for r in good["rules"]]}
        with pytest.raises(ValidationError):
            Profile.model_validate(bad)
    with pytest.raises(ValidationError):
        Profile.model_validate({**good, "rules": [*good["rules"], good["rules"][0]]})


def test_rendered_documents_pass(folder: Path) -> None:
    assert lint_folder(folder, profile("fda_estar")) == []
    assert lint_folder(folder, profile("mdr_nb")) == []


def test_ecopy_wants_numbers_in_front(folder: Path) -> None:
    found = lint_folder(folder, profile("fda_ecopy"))
    assert {f.rule for f in found} == {"file_name"}
    assert len(found) == len(list(folder.glob("*.pdf")))
    assert "level A" in found[0].source


def _attach(pdf: Any) -> None:
    pdf.attachments["data.csv"] = pikepdf.AttachedFileSpec(pdf, b"a,b\n", filename="data.csv")


def _script(pdf: Any) -> None:
    pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pikepdf.String("app.alert(1)"))


def _launch(pdf: Any) -> None:
    pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.Launch, F=pikepdf.String("program"))


def _loose_font(pdf: Any) -> None:
    font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    pdf.pages[0].Resources.Font["/Loose"] = font  # a direct object, as hostile files have them


def _picture_page(pdf: Any) -> None:
    pdf.add_blank_page()


def _untagged(pdf: Any) -> None:
    del pdf.Root.MarkInfo


def _dead_link(pdf: Any) -> None:
    link = pikepdf.Dictionary(
        Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Link, Rect=[0, 0, 9, 9], Dest=pikepdf.String("no-such-place")
    )
    pdf.pages[0].Annots = pikepdf.Array([*pdf.pages[0].get("/Annots", []), pdf.make_indirect(link)])


def _link_to(uri: str) -> Callable[[Any], None]:
    def put(pdf: Any) -> None:
        action = pikepdf.Dictionary(S=pikepdf.Name.URI, URI=pikepdf.String(uri))
        link = pikepdf.Dictionary(Subtype=pikepdf.Name.Link, Rect=[0, 0, 9, 9], A=action)
        pdf.pages[0].Annots = pikepdf.Array([*pdf.pages[0].get("/Annots", []), link])

    return put


def _long_and_bare(pdf: Any) -> None:
    with pdf.open_outline() as outline:
        outline.root.clear()
    while len(pdf.pages) < 5:
        pdf.pages.append(pdf.pages[0])


@pytest.mark.parametrize(
    ("what", "rule"),
    [
        (_attach, "no_attachments"),
        (_script, "no_javascript"),
        (_launch, "no_javascript"),
        (_loose_font, "fonts_embedded"),
        (_picture_page, "text_on_pages"),
        (_untagged, "tagged"),
        (_dead_link, "live_links"),
        (_link_to("gone.pdf"), "live_links"),
        (_link_to("protocol_sap.pdf#no-such-section"), "live_links"),
        (_link_to("../../etc/passwd"), "live_links"),
        (_long_and_bare, "bookmarks"),
    ],
)
def test_defect_is_found(folder: Path, what: Callable[[Any], None], rule: str) -> None:
    assert (NAME, rule) in rules(change(folder, what))


def test_links_that_lead_somewhere(folder: Path) -> None:
    assert change(folder, _link_to("protocol_sap.pdf#endpoints_plan")) == []
    assert change(folder, _link_to("https://example.org/x.pdf#y")) == []  # the network is not asked


def test_security_settings(folder: Path) -> None:
    found = change(folder, lambda pdf: None, encryption=pikepdf.Encryption(owner="o", user=""))
    assert (NAME, "no_encryption") in rules(found)
    (folder / NAME).unlink()
    shutil.copy(folder / "model_card.pdf", folder / NAME)
    found = change(folder, lambda pdf: None, encryption=pikepdf.Encryption(owner="o", user="u"))
    assert (NAME, "no_encryption") in rules(found)


def test_old_version_names_and_sizes(folder: Path) -> None:
    assert (NAME, "pdf_version") in rules(change(folder, lambda pdf: None, force_version="2.0"))
    (folder / NAME).rename(folder / "Deviation log.pdf")
    found = lint_folder(folder, profile("fda_estar"))
    assert ("Deviation log.pdf", "file_name") in rules(found)
    small = Rule(
        rule="file_size_mb",
        limit=0.001,
        severity="stop",
        source=profile("fda_ecopy").rules[0].source,
        verification="K",
        verified=False,
    )
    one = Profile(id="one", title="One", as_of="2026-11-22", pathways=[], rules=[small])
    assert len(lint_folder(folder, one)) == len(list(folder.glob("*.pdf")))


def test_damaged_and_linked_files_are_findings(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (folder / NAME).write_bytes(b"%PDF-1.7\nnothing")
    (folder / "link.pdf").symlink_to(folder / "model_card.pdf")
    found = rules(lint_folder(folder, profile("mdr_nb")))
    assert {(NAME, "readable"), ("link.pdf", "readable")} <= found
    with pytest.raises(DataProblem):
        pages_of(folder / NAME)
    with pytest.raises(DataProblem, match="no PDF"):
        lint_folder(tmp_path_factory.mktemp("empty"), profile("mdr_nb"))


def test_wording_is_read_from_html_or_from_the_pdf_alone(folder: Path) -> None:
    page = folder / "deviation_log.html"
    page.write_text(page.read_text().replace("</main>", "<p>The product is FDA approved under 820.30.</p></main>"))
    found = lint_folder(folder, profile("fda_estar"), forbidden=["FDA approved"])
    here = {f.rule for f in found if f.file == NAME}
    assert here == {"status_words", "repealed_citations", "forbidden_wording"}
    page.unlink()  # then the words of the PDF itself are looked at, and these are clean
    found = lint_folder(folder, profile("fda_estar"), forbidden=["FDA approved", "Protocol deviation log"])
    assert {f.rule for f in found if f.file == NAME} == {"forbidden_wording"}  # its title
