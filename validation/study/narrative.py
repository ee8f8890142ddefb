"""Narrative blocks: what a person must write, as files that stay with the study however often documents are rendered.

``narrative/<artefact>.md`` in the study folder begins with a header that names the artefact and the requirements that
the text answers, then a heading, then a comment that says what must be said. The rest is the person's text in a subset
of Markdown: headings, paragraphs, emphasis, lists, tables and code. Raw HTML is shown as text and never interpreted;
links and pictures are left out, so that nothing unrecorded enters a document. A text whose first line begins with ``Not
applicable:`` and a reason says that nothing is to be written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from validation.digest import write_atomically
from validation.errors import UsageProblem
from validation.protocol.catalogue import regulatory_catalogue

FOLDER = "narrative"
MOST_BYTES = 1_000_000
_ARTEFACT = re.compile(r"[a-z0-9][a-z0-9_]{0,79}")
_HEADER = re.compile(r"\A---\n(.*?)\n---(?:\n|\Z)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6}(?:\s.*)?$", re.MULTILINE)
_UNFINISHED = re.compile(r"\b(?:TODO|TBD|FIXME|XXX|REPLACE)\b")
_NOT_APPLICABLE = re.compile(r"\ANot applicable:\s*(\S.*)", re.IGNORECASE)


class Header(BaseModel):
    """The typed head of a narrative file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    artefact: str
    answers: list[str] = Field(default_factory=list, description="Ids of the requirements that the text answers.")
    by: str = Field(default="", description="Who wrote it.")
    date: str = Field(default="", description="When.")


@dataclass(frozen=True, kw_only=True)
class Narrative:
    """A narrative file as read.

    Attributes
    ----------
    artefact
        The artefact that it belongs to.
    answers
        Requirements that the header names.
    text
        What the person wrote, without header, title and comments.
    """

    artefact: str
    answers: tuple[str, ...]
    text: str

    @property
    def open_because(self) -> str:
        """Why the block still waits for a person; empty if it is written."""
        if not _HEADING.sub("", self.text).strip():
            return "nothing is written yet"
        mark = _UNFINISHED.search(self.text)
        if mark:
            return f"the text still holds {mark.group()}"
        if re.match(r"not applicable\b", self.text, re.IGNORECASE) and not self.not_applicable:
            return "it says that it is not applicable, and gives no reason"
        return ""

    @property
    def not_applicable(self) -> str:
        """The reason why nothing is to be written, if the person gave one; else empty."""
        found = _NOT_APPLICABLE.match(self.text)
        return found.group(1).strip() if found else ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a narrative block is asked to say.

    Attributes
    ----------
    artefact, title, signs
        The artefact, its title, and the role that signs it.
    points
        What must be said, one sentence or phrase each.
    answers
        Requirement id to what it asks.
    """

    artefact: str
    title: str
    signs: str
    points: tuple[str, ...]
    answers: dict[str, str]


def narrative_path(folder: Path, artefact: str) -> Path:
    """Return where the narrative of an artefact lies in a study or run folder.

    Raises
    ------
    UsageProblem
        RUN-060 if the name is not that of an artefact.
    """
    if not _ARTEFACT.fullmatch(artefact):
        raise UsageProblem("this is not the name of an artefact.", code="RUN-060", where=repr(artefact)[:80])
    return folder / FOLDER / f"{artefact}.md"


def read_narrative(folder: Path, artefact: str) -> Narrative | None:
    """Read the narrative of an artefact, or return None if there is no file.

    Raises
    ------
    UsageProblem
        RUN-060 if the file is a link, too large, not UTF-8, or its header does not follow the schema or names another
        artefact.
    """
    path = narrative_path(folder, artefact)
    if path.is_symlink():
        raise _refused(path, "it is a link")
    if not path.exists():
        return None
    if not path.is_file():
        raise _refused(path, "it is not a file")
    if path.stat().st_size > MOST_BYTES:
        raise _refused(path, f"it has more than {MOST_BYTES} bytes")
    try:
        content = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _refused(path, f"it is not UTF-8 text (byte {error.start})") from None
    found = _HEADER.match(content)
    if not found:
        raise _refused(path, "it has no header between two lines of three hyphens")
    header = _header(path, found.group(1))
    if header.artefact != artefact:
        raise _refused(path, f"its header names the artefact {header.artefact!r}")
    body = _COMMENT.sub("", content[found.end() :]).strip()
    title, _, rest = body.partition("\n")
    text = rest.strip() if title.startswith("# ") else body
    return Narrative(artefact=artefact, answers=tuple(header.answers), text=text)


def _header(path: Path, text: str) -> Header:
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
                raise _refused(path, "its header uses YAML anchors")
        data = yaml.load(text, Loader=_Texts)  # noqa: S506 - a safe loader that keeps dates as text
        return Header.model_validate(data)
    except yaml.YAMLError:
        raise _refused(path, "its header is not valid YAML") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _refused(path, f"its header is wrong at {place or 'the top'}: {first['msg']}") from None


class _Texts(yaml.SafeLoader):
    """Plain YAML in which dates stay text."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def narrative(folder: Path, artefact: str) -> str | None:
    """Return what a person wrote for an artefact, as safe HTML; None where nothing (or nothing finished) is written.

    Parameters
    ----------
    folder
        A folder that holds ``narrative/``: the study, or a run that carries its copy.
    artefact
        Name of the artefact in ``templates/catalogue/artefacts.yaml``.

    Returns
    -------
    str or None
        HTML of headings (from ``h3``), paragraphs, emphasis, lists, tables and code, without links or pictures;
        everything else of the text is escaped.
    """
    found = read_narrative(folder, artefact)
    return None if found is None or found.open_because else to_html(found.text)


def to_html(text: str) -> str:
    r"""Return a subset of Markdown as HTML that holds no element but those of the subset.

    >>> to_html("Read by *two* readers <script>alert(1)</script>")
    '<p>Read by <em>two</em> readers &lt;script&gt;alert(1)&lt;/script&gt;</p>\n'
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 40})
    parser.enable("table").disable(["link", "image", "autolink", "reference", "html_block", "html_inline"])
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):  # h1 and h2 are titles of the document
            token.tag = f"h{min(6, int(token.tag[1]) + 1 + (token.tag == 'h1'))}"
        token.attrs = {key: value for key, value in token.attrs.items() if key == "start"}  # of a numbered list
        token.info = ""
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html


def write_requests(folder: Path, requests: list[Request]) -> list[Path]:
    """Write an empty block for every request that has none, bring open ones up to date, and return what was written.

    A block in which a person has begun to write is never touched.
    """
    written = []
    for request in requests:
        path = narrative_path(folder, request.artefact)
        there = read_narrative(folder, request.artefact)
        if there is not None and there.text.strip():
            continue
        answers = dict(request.answers)
        if there is not None:  # asked on another pathway before
            known = regulatory_catalogue().requirements
            answers = {**{i: known[i].asks if i in known else "" for i in there.answers}, **answers}
        data = _page(request, answers).encode()
        if there is None or path.read_bytes() != data:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, data)
            written.append(path)
    return written


def _page(request: Request, answers: dict[str, str]) -> str:
    points = "\n".join(f"- {point}" for point in request.points)
    asked = "\n".join(f"- {i}: {text}" if text else f"- {i}" for i, text in answers.items())
    comment = (
        f"To be written by: {request.signs}.\n\nWhat must be said:\n{points}\n\n"
        f"Requirements that this answers:\n{asked or '- none by its id'}"
    ).replace("--", "\u2013")
    listed = "".join(f"\n  - {i}" for i in answers) or " []"
    return (
        f'---\nartefact: {request.artefact}\nanswers:{listed}\nby: ""\ndate: ""\n---\n'
        f"# {request.title}\n\n<!--\n{comment}\n\n"
        "Write below this comment. Where nothing is to be said, write: Not applicable: and the reason.\n-->\n\n"
    )


def _refused(path: Path, what: str) -> UsageProblem:
    return UsageProblem(
        f"a narrative block cannot be used: {what}.",
        code="RUN-060",
        where=f"{FOLDER}/{path.name}",
        why="What a person writes enters the evidence, so it must be plain text that names what it answers.",
        action="Correct the file, or move it away and write it anew with `validation gaps STUDY --write-narratives`.",
    )
