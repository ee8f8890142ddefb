"""Look at a folder of documents as a receiver will: can each PDF be opened, searched and followed.

Only PDF files are looked at; HTML and Word files beside them are working copies. The files may come back from a person,
so they are untrusted: nothing in them is run, and one that cannot be read is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from validation.dossier.links import dead_links
from validation.dossier.lint import lint
from validation.dossier.pages import destinations
from validation.dossier.profiles import Profile, Rule
from validation.errors import DataProblem

_DEPTH = 40
_WORDS = {
    "status_words": "status-word",
    "repealed_citations": "repealed-citation",
    "development_words": "development-word",
    "forbidden_wording": "forbidden-wording",
}


@dataclass(frozen=True, kw_only=True)
class ProfileFinding:
    """A document that breaks a rule of a profile.

    Attributes
    ----------
    file
        Name of the PDF.
    rule
        Name of the rule, or ``readable`` for a file that is no PDF.
    severity
        ``stop`` or ``warn``.
    text
        What was found.
    source
        Who asks for it, with the level of verification.
    """

    file: str
    rule: str
    severity: str
    text: str
    source: str

    def to_dict(self) -> dict[str, str]:
        """Return the fields, for ``--json``."""
        return asdict(self)


def lint_folder(folder: Path, profile: Profile, *, forbidden: Sequence[str] = ()) -> list[ProfileFinding]:
    """Look at every PDF of a folder by the rules of a profile.

    Parameters
    ----------
    folder
        Where the documents lie; folders in it are not entered.
    profile
        The rules.
    forbidden
        Wording that the claim must not use, for the rule ``forbidden_wording``.

    Returns
    -------
    list of ProfileFinding
        By file, in the order of the rules; empty if every file keeps every rule.

    Raises
    ------
    DataProblem
        DOS-032 if the folder holds no PDF: nothing to look at is not "nothing found".
    """
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() == ".pdf") if folder.is_dir() else []
    if not files:
        raise DataProblem(
            "there is no PDF to look at.",
            code="DOS-032",
            where=str(folder.name),
            why="Nothing to look at is not the same as nothing found.",
            action="Name a run whose documents were rendered for this pathway.",
        )
    return [finding for file in files for finding in _file(file, profile, forbidden)]


def _file(file: Path, profile: Profile, forbidden: Sequence[str]) -> Iterator[ProfileFinding]:
    import pikepdf

    if file.is_symlink() or not file.is_file():
        yield _finding(file, None, "readable", "it is not a plain file")
        return
    try:
        with pikepdf.open(file) as pdf:
            seen = _Seen(file, pdf, forbidden)
            for rule in profile.rules:
                check = _CHECKS[rule.rule]
                yield from (_finding(file, rule, rule.rule, text) for text in check(seen, rule))
    except pikepdf.PasswordError:
        yield _finding(file, profile.rule("no_encryption"), "no_encryption", "it needs a password to open")
    except (pikepdf.PdfError, OSError, ValueError, TypeError, KeyError, RecursionError) as problem:
        yield _finding(file, None, "readable", f"it cannot be read as a PDF ({type(problem).__name__})")


def _finding(file: Path, rule: Rule | None, name: str, text: str) -> ProfileFinding:
    if rule is None:
        return ProfileFinding(file=file.name, rule=name, severity="stop", text=text, source="ISO 32000")
    level = f"level {rule.verification}" + ("" if rule.verified else ", unverified")
    source = f"{rule.source.document}, {rule.source.section}, {rule.source.year} ({level})"
    return ProfileFinding(file=file.name, rule=name, severity=rule.severity, text=text, source=source)


class _Seen:
    """One open PDF, with what several rules need of it."""

    def __init__(self, file: Path, pdf: Any, forbidden: Sequence[str]) -> None:
        self.file = file
        self.pdf = pdf
        self.forbidden = forbidden
        self.names = destinations(pdf)
        self.parts = list(_parts(pdf))

    def words(self, rule: str) -> list[str]:
        """Return what the wording lint finds, in the HTML of the same name if there is one, else in the PDF's text.

        A run makes both from one source, and `validation verify` proves that neither was changed; HTML is read in a
        thousandth of the time.
        """
        page = self.file.with_suffix(".html")
        html = page.read_text(encoding="utf-8") if page.is_file() else f"<body><p>{escape(self._text())}</p></body>"
        return [f.text for f in lint(html, forbidden=self.forbidden) if f.rule == _WORDS[rule]]

    def _text(self) -> str:
        from pdfminer.high_level import extract_text

        return "".join(c for c in extract_text(self.file) if c.isprintable() or c.isspace())


def _parts(pdf: Any) -> Iterator[Any]:
    """Yield every dictionary and stream of a PDF once, direct ones inside others included."""
    import pikepdf

    def walk(part: Any, depth: int) -> Iterator[Any]:
        if depth > _DEPTH:
            raise ValueError("nested too deeply")
        if isinstance(part, pikepdf.Dictionary | pikepdf.Stream):
            yield part
            inside = [part[key] for key in part.keys()]  # noqa: SIM118 - a pikepdf object is not a mapping
        elif isinstance(part, pikepdf.Array):
            inside = list(part)
        else:
            return
        for item in inside:
            if isinstance(item, pikepdf.Object) and not item.is_indirect:
                yield from walk(item, depth + 1)

    for part in pdf.objects:
        yield from walk(part, 0)


def _name(seen: _Seen, rule: Rule) -> Iterator[str]:
    if not re.fullmatch(str(rule.limit), seen.file.name):
        yield f"the name does not follow the pattern {rule.limit}"


def _length(seen: _Seen, rule: Rule) -> Iterator[str]:
    if len(seen.file.name) > _number(rule):
        yield f"the name has {len(seen.file.name)} characters; at most {rule.limit} are taken"


def _size(seen: _Seen, rule: Rule) -> Iterator[str]:
    size = seen.file.stat().st_size / 1e6
    if size > _number(rule):
        yield f"the file has {size:.1f} MB; at most {rule.limit} MB are taken"


def _encryption(seen: _Seen, _: Rule) -> Iterator[str]:
    if seen.pdf.is_encrypted:
        yield "it is encrypted or has security settings"


def _attachments(seen: _Seen, _: Rule) -> Iterator[str]:
    held = sum("/EF" in part for part in seen.parts)
    if held:
        yield f"it holds {held} attached file(s)"


def _javascript(seen: _Seen, _: Rule) -> Iterator[str]:
    kinds = sorted({str(p["/S"]) for p in seen.parts if str(p.get("/S", "")) in ("/JavaScript", "/Launch")})
    if kinds or any("/JS" in part for part in seen.parts):
        yield f"it holds actions that run something ({', '.join(kinds) or '/JS'})"


def _version(seen: _Seen, rule: Rule) -> Iterator[str]:
    if isinstance(rule.limit, list) and seen.pdf.pdf_version not in rule.limit:
        yield f"it is PDF {seen.pdf.pdf_version}; taken are {', '.join(rule.limit)}"


def _fonts(seen: _Seen, _: Rule) -> Iterator[str]:
    loose = set()
    for part in seen.parts:
        if str(part.get("/Type", "")) != "/Font" or str(part.get("/Subtype", "")) in ("/Type0", "/Type3"):
            continue  # the descendants of a Type0 font come by themselves, and a Type3 font holds its glyphs
        descriptor = part.get("/FontDescriptor")
        if descriptor is None or not any(key in descriptor for key in ("/FontFile", "/FontFile2", "/FontFile3")):
            loose.add(str(part.get("/BaseFont", "unnamed")).removeprefix("/"))
    yield from (f"the font {name} is not embedded" for name in sorted(loose))


def _text_pages(seen: _Seen, _: Rule) -> Iterator[str]:
    bare = [str(n) for n, page in enumerate(seen.pdf.pages, start=1) if not _shows_text(page)]
    if bare:
        yield f"no text can be found on page {', '.join(bare[:10])}" + (", ..." if len(bare) > 10 else "")


def _shows_text(page: Any) -> bool:
    """Tell whether a page shows text itself, or through a form that it draws."""
    import pikepdf

    def shown(holder: Any, depth: int) -> bool:
        if depth > _DEPTH:
            raise ValueError("nested too deeply")
        forms = {}
        resources = holder.get("/Resources") if depth else page.resources
        if resources is not None and "/XObject" in resources:
            forms = {key: resources.XObject[key] for key in resources.XObject.keys()}  # noqa: SIM118
        for step in pikepdf.parse_content_stream(holder if depth else page):
            operands, operator = step.operands, step.operator
            if str(operator) in ("Tj", "TJ", "'", '"'):
                return True
            form = forms.get(str(operands[0])) if str(operator) == "Do" and operands else None
            if form is not None and str(form.get("/Subtype", "")) == "/Form" and shown(form, depth + 1):
                return True
        return False

    return shown(page, 0)


def _bookmarks(seen: _Seen, rule: Rule) -> Iterator[str]:
    with seen.pdf.open_outline() as outline:
        if len(seen.pdf.pages) >= _number(rule) and not outline.root:
            yield f"it has {len(seen.pdf.pages)} pages and no bookmarks"


def _tagged(seen: _Seen, _: Rule) -> Iterator[str]:
    marks = seen.pdf.Root.get("/MarkInfo")
    if marks is None or not bool(marks.get("/Marked", False)) or "/StructTreeRoot" not in seen.pdf.Root:
        yield "it is not tagged, so that a screen reader cannot follow it"


def _wording(seen: _Seen, rule: Rule) -> Iterator[str]:
    yield from (f"to be settled by a person: \N{HORIZONTAL ELLIPSIS}{text}" for text in seen.words(rule.rule))


def _number(rule: Rule) -> float:
    if not isinstance(rule.limit, int | float):
        raise TypeError(f"{rule.rule} has no number as its limit")  # refused when the profile was read
    return float(rule.limit)


_CHECKS: dict[str, Callable[[_Seen, Rule], Iterator[str]]] = {
    "file_name": _name,
    "name_length": _length,
    "file_size_mb": _size,
    "no_encryption": _encryption,
    "no_attachments": _attachments,
    "no_javascript": _javascript,
    "pdf_version": _version,
    "fonts_embedded": _fonts,
    "text_on_pages": _text_pages,
    "bookmarks": _bookmarks,
    "tagged": _tagged,
    "live_links": lambda seen, _: dead_links(seen.file, seen.pdf, set(seen.names)),
    "status_words": _wording,
    "repealed_citations": _wording,
    "development_words": _wording,
    "forbidden_wording": _wording,
}
