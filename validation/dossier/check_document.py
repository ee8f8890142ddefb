"""Find a number or verdict that was changed by hand in a document, in any of the three formats.

The document is built again from the record. Every fact of it carries its id in the file: an attribute in HTML, the tag
of a content control in Word, a link to the record of numbers in PDF. What the file shows under an id is compared with
what the record gives; ids that were lost are reported; and so are digits that stand outside every id and were not there
when the document was built.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from validation.dossier.record import anchor_of, tag_of
from validation.errors import DataProblem

if TYPE_CHECKING:
    from validation.dossier.viewmodel import ViewModel

_TOKEN = re.compile(r"[−-]?\d[\d.,]*\d|[−-]?\d")
_PAGE = re.compile(r"(?:page|p\.)\s*\d+")
_MOST_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something in a document that the record does not say.

    Parameters
    ----------
    kind
        ``changed`` (another value under an id), ``lost`` (an id that is gone), ``unknown`` (an id that the record
        lacks), ``untraced`` (a number that stands under no id), ``drawn`` (a figure or page that draws something else).
    id
        Id of the fact, empty for ``untraced``.
    expected, found
        What the record gives and what the document shows; empty where there is none.
    place
        Words around it, or the page.
    """

    kind: str
    id: str
    expected: str
    found: str
    place: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the fields, for ``--json``."""
        return asdict(self)

    def __str__(self) -> str:
        right, wrong = repr(_spaces(self.expected)), repr(_spaces(self.found))
        texts = {
            "changed": f"{self.id}: the record says {right}, the document says {wrong}",
            "lost": f"{self.id}: {right} was removed, or lost its id",
            "unknown": f"{self.id}: the document shows {wrong} under an id that the record does not hold",
            "untraced": f"{wrong} stands in the document without an id"
            if not self.expected
            else f"{right} became {wrong}",
            "drawn": f"{self.id or 'this page'} draws something else than the run does",
        }
        return texts[self.kind] + (f" ({self.place})" if self.place else "")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a file shows: facts by tag, in order, and its other text."""

    identity: str
    facts: list[tuple[str, str, str]]  # tag, text, place
    prose: list[str]


def check_document(path: Path, run_folder: Path, *, editions: Sequence[Path] = ()) -> list[Finding]:
    """Compare a document with the record of its run, and with the copy that the run or edition holds.

    Parameters
    ----------
    path
        A ``.html``, ``.docx`` or ``.pdf`` of the dossier, possibly edited, or one of its ``.csv``, ``.xml`` or
        ``.json`` files.
    run_folder
        The run that it belongs to.
    editions
        Editions of the documents of that run.

    Returns
    -------
    list of Finding
        Empty when everything that the document shows under an id is what the record says, no other number differs from
        the copy that the run holds, and figures are those of the run.

    Raises
    ------
    DataProblem
        DOS-011 if the file is not a document of this run or cannot be read.
    """
    from validation.dossier.check_copies import DATA, compare_drawings, compare_pdf, drawings_of
    from validation.dossier.reading import read_docx, read_html, read_pdf

    readers = {".html": read_html, ".docx": read_docx, ".pdf": read_pdf}
    suffix = path.suffix.lower()
    if suffix not in readers and suffix not in DATA:
        raise _refused(path, "only .html, .docx, .pdf, .csv, .xml and .json files of a dossier can be checked")
    data = _read(path)
    homes = [run_folder, *editions]
    if suffix in DATA:
        return _check_data(path, data, homes)
    try:
        shown = readers[suffix](data)
    except DataProblem:
        raise
    except Exception as problem:  # a damaged or hostile file may fail anywhere in its parser
        raise _refused(path, f"it cannot be parsed ({type(problem).__name__})") from None
    run, pathway, document, edition = (*shown.identity.split("/"), "", "", "", "")[:4]
    home = run_folder if not edition else next((e for e in editions if _edition_id(e) == edition), None)
    if home is None:
        raise _refused(path, f"it is of the edition {edition!r}, which is not here")
    view = _view(run_folder, home)
    found = _compare(shown, _expected(run, pathway, document, view, path), pdf=suffix == ".pdf")
    original = home / "dossier" / pathway / f"{document}{suffix}"
    if original.is_file():
        known = original.read_bytes()
        try:
            if suffix == ".pdf":
                found += compare_pdf(known, data) if not found else []
            else:
                found += compare_drawings(drawings_of(path, known), drawings_of(path, data))
        except Exception as problem:  # as above
            raise _refused(path, f"its pages or figures cannot be read ({type(problem).__name__})") from None
    return found


def _view(run_folder: Path, home: Path) -> ViewModel:
    from validation.dossier.viewmodel import ViewModel

    return ViewModel(run_folder, edition=None if home == run_folder else home)


def _edition_id(folder: Path) -> str:
    from validation.evidence.edition import read_edition

    return str(read_edition(folder)["id"])


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise _refused(path, f"it cannot be read ({problem.strerror})") from None
    if len(data) > _MOST_BYTES:
        raise _refused(path, "it is larger than any document of a dossier")
    return data


def _check_data(path: Path, data: bytes, homes: Sequence[Path]) -> list[Finding]:
    """Compare a file for machines with the one of the run that is nearest to it."""
    from validation.dossier.check_copies import compare_data

    suffix = path.suffix.lower()
    known = [file for home in homes for file in sorted((home / "dossier").glob(f"*/*{suffix}"))]
    found: list[tuple[int, int, list[Finding]]] = []
    for k, original in enumerate(known):
        content = original.read_bytes()
        if content == data:
            return []
        try:
            differences = compare_data(suffix, content, data)
        except Exception as problem:  # a damaged or hostile file may fail anywhere in its parser
            raise _refused(path, f"it cannot be parsed ({type(problem).__name__})") from None
        found.append((len(differences), k, differences))
    if not found:
        raise _refused(path, f"the run holds no {suffix} file")
    count, k, differences = min(found, key=lambda entry: entry[:2])
    if count > max(20, known[k].read_bytes().count(b"\n") // 2):
        raise _refused(path, f"it is not like any {suffix} file of the run")
    return differences


def _expected(run: str, pathway: str, document: str, view: ViewModel, path: Path) -> Shown:
    from validation.dossier.reading import read_html

    if run != str(view.record.raw("run.id")):
        raise _refused(path, f"it says that it belongs to run {run!r}, not to {view.record.raw('run.id')!r}")
    if pathway == document == "viewer":
        from validation.dossier.viewer import run_page

        return read_html(run_page(view.files.folder))
    if document not in view.catalogue.documents or pathway not in view.catalogue.pathways:
        raise _refused(path, f"it calls itself {document!r} of {pathway!r}, which the catalogue does not know")
    return read_html(view.html(document, pathway).encode())


def _compare(shown: Shown, built: Shown, *, pdf: bool) -> list[Finding]:
    key = anchor_of if pdf else tag_of
    expected: dict[str, tuple[str, str]] = {}
    wanted: Counter[str] = Counter()
    for identifier, text, place in built.facts:
        if place == "num" or not pdf:
            expected[key(identifier)] = (identifier, text)
            wanted[key(identifier)] += 1
    found = []
    pieces = iter(shown.facts)
    for raw, text, place in pieces:
        tag = raw if pdf else tag_of(raw)
        if tag not in expected:
            found.append(Finding(kind="unknown", id=tag, expected="", found=text, place=place if pdf else ""))
            continue
        identifier, right = expected[tag]
        wanted[tag] -= 1
        if pdf and _spaces(text) != _spaces(right) and _spaces(right).startswith(_spaces(text)):
            text = _spaces(f"{text} {next(pieces, ('', '', ''))[1]}")  # a link that was broken over two lines
        if _spaces(text) != _spaces(right):
            where = place if pdf else ""
            found.append(Finding(kind="changed", id=identifier, expected=right, found=text, place=where))
    found += [
        Finding(kind="lost", id=expected[tag][0], expected=expected[tag][1], found="")
        for tag, left in wanted.items()
        if left > 0
    ]
    return found if pdf else found + _untraced(shown.prose, built.prose)


def _untraced(prose: list[str], built: list[str]) -> list[Finding]:
    allowed = Counter(token for text in built for token in _tokens(text))
    found = []
    for text in prose:
        for token in _tokens(text):
            if allowed[token] > 0:
                allowed[token] -= 1
            else:
                place = " ".join(text.split())[:80]
                found.append(Finding(kind="untraced", id="", expected="", found=token, place=place))
    return found


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_PAGE.sub(" ", text))


def _spaces(text: str) -> str:
    return " ".join(text.replace("\u00a0", " ").split())


def _refused(path: Path, why: str) -> DataProblem:
    return DataProblem(
        f"the document cannot be checked: {why}.",
        code="DOS-011",
        where=path.name,
        why="A number can only be compared with the run it came from.",
        action="Name a document that `validation render` wrote, or an edited copy of one, and its run.",
    )
