"""What a person writes is kept, typed and harmless, and an empty block never passes for a written one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validation.errors import UsageProblem
from validation.study.narrative import Request, narrative, read_narrative, to_html, write_requests

ASKED = Request(
    artefact="labeling",
    title="Labelling",
    signs="RA",
    points=("limits --> of use",),
    answers={"US-807-003": "Proposed labels", "US-892-006": "Labelling"},
)


def block(folder: Path, body: str, *, head: str = "artefact: labeling\nanswers: [US-807-003]") -> Path:
    path = folder / "narrative" / "labeling.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"---\n{head}\n---\n{body}", encoding="utf-8")
    return folder


def test_written_block_is_empty_until_a_person_writes(tmp_path: Path) -> None:
    (path,) = write_requests(tmp_path, [ASKED])
    found = read_narrative(tmp_path, "labeling")
    assert found is not None
    assert found.answers == ("US-807-003", "US-892-006")
    assert found.open_because == "nothing is written yet"
    assert narrative(tmp_path, "labeling") is None
    path.write_text(path.read_text() + "Read only by trained users.\n")
    text = path.read_bytes()
    assert narrative(tmp_path, "labeling") == "<p>Read only by trained users.</p>\n"
    more = Request(artefact="labeling", title="New", signs="RA", points=(), answers={"EU-GSPR-012": "asked later"})
    assert write_requests(tmp_path, [ASKED, more]) == []
    assert path.read_bytes() == text  # never touched once a person has begun


def test_open_block_takes_up_what_another_pathway_asks(tmp_path: Path) -> None:
    write_requests(tmp_path, [ASKED])
    more = Request(
        artefact="labeling", title="Labelling", signs="RA", points=(), answers={"EU-GSPR-012": "asked later"}
    )
    (path,) = write_requests(tmp_path, [more])
    found = read_narrative(tmp_path, "labeling")
    assert found is not None
    assert found.answers == ("US-807-003", "US-892-006", "EU-GSPR-012")
    assert "US-892-006: Labelling" in path.read_text()  # from the catalogue
    assert write_requests(tmp_path, [more]) == []  # nothing new: not written again


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("# Title\n", "nothing is written"),
        ("# Title\n## Part\n<!-- a note -->\n", "nothing is written"),
        ("# Title\n<!-- an open comment\nText", "nothing is written"),
        ("# Title\nTo come: TBD", "TBD"),
        ("# Title\nNot applicable", "no reason"),
        ("# Title\nNot applicable:\n", "no reason"),
    ],
)
def test_what_is_not_written(tmp_path: Path, body: str, why: str) -> None:
    found = read_narrative(block(tmp_path, body), "labeling")
    assert found is not None
    assert why in found.open_because
    assert narrative(tmp_path, "labeling") is None


def test_reason_for_nothing(tmp_path: Path) -> None:
    found = read_narrative(block(tmp_path, "# Title\nNot applicable: software only.\n"), "labeling")
    assert found is not None
    assert (found.open_because, found.not_applicable) == ("", "software only.")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("artefact: pccp", "names the artefact 'pccp'"),
        ("answers: []", "artefact"),
        ("artefact: labeling\nanswer: [X]", "answer"),
        ("artefact: &a labeling\nby: *a", "anchors"),
        ("artefact: [", "YAML"),
        ("artefact: !!python/object/apply:os.system ['true']", "YAML"),
    ],
)
def test_header_is_checked(tmp_path: Path, head: str, said: str) -> None:
    with pytest.raises(UsageProblem, match=said) as caught:
        read_narrative(block(tmp_path, "Text", head=head), "labeling")
    assert caught.value.code == "RUN-060"


def test_dates_in_the_header_stay_text(tmp_path: Path) -> None:
    head = "artefact: labeling\nanswers: [US-807-003]\ndate: 2026-11-22\nby: Example Signer"
    assert read_narrative(block(tmp_path, "Text", head=head), "labeling") is not None


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "narrative"
    folder.mkdir()
    with pytest.raises(UsageProblem, match="name of an artefact"):
        read_narrative(tmp_path, "../study")
    (folder / "labeling.md").symlink_to(tmp_path / "elsewhere.md")
    with pytest.raises(UsageProblem, match="link"):
        read_narrative(tmp_path, "labeling")
    (folder / "labeling.md").unlink()
    (folder / "labeling.md").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageProblem, match="UTF-8"):
        read_narrative(tmp_path, "labeling")
    (folder / "labeling.md").write_text("Text without a header")
    with pytest.raises(UsageProblem, match="header"):
        read_narrative(tmp_path, "labeling")
    (folder / "labeling.md").write_bytes(b"x" * 1_000_001)
    with pytest.raises(UsageProblem, match="more than"):
        read_narrative(tmp_path, "labeling")


def test_subset_of_markdown() -> None:
    html = to_html("# One\n## Two\n\n3. c\n4. d\n\n| a | b |\n|:-:|---|\n| 1 | `x` |\n\n**strong** *soft*\n")
    assert "<h3>One</h3>" in html
    assert "<h3>Two</h3>" in html
    assert '<ol start="3">' in html
    assert "<th>a</th>" in html
    assert "style" not in html
    assert "<strong>strong</strong> <em>soft</em>" in html


ALLOWED = {"h3", "h4", "h5", "h6", "p", "em", "strong", "ul", "ol", "li", "code", "pre", "blockquote", "hr", "br"}
ALLOWED |= {"table", "thead", "tbody", "tr", "th", "td"}
MARKS = "<script>|</script>|<img src=x onerror=1>|[a](javascript:1)|![a](http://x/y.png)|<http://x>|`|# |- |> |---|*"
LINES = ["|", "&lt;", "&#60;", "\n", "[a]: http://x\n", "<!--", "-->", "<svg/onload=1>", "~~~html\n"]
HOSTILE = st.sampled_from([*MARKS.split("|"), *LINES])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(HOSTILE, st.text(max_size=8)), max_size=25).map("".join))
def test_html_holds_nothing_but_the_subset(text: str) -> None:
    import lxml.html

    html = to_html(text).replace("\x00", "")
    tree = lxml.html.fragment_fromstring(html, create_parent="div")
    for node in tree.iterdescendants():
        assert node.tag in ALLOWED
        assert set(node.attrib) <= ({"start"} if node.tag == "ol" else set())
