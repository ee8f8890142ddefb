"""Which links of a PDF lead nowhere: inside the document, or to another file that should lie beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from validation.dossier.pages import destinations


def dead_links(file: Path, pdf: Any, names: set[str]) -> Iterator[str]:
    """Yield a sentence for every link that leads nowhere; addresses on the network are not asked.

    Parameters
    ----------
    file
        Where the PDF lies; files that it links to are looked for beside it.
    pdf
        The open pikepdf document.
    names
        Its named destinations.
    """
    pages = {page.objgen for page in pdf.pages}
    others: dict[str, set[str] | None] = {}
    told: set[str] = set()
    for number, page in enumerate(pdf.pages, start=1):
        for note in page.get("/Annots", []):
            what = _dead(file, note, pages, names, others) if str(note.get("/Subtype", "")) == "/Link" else ""
            text = f"the link on page {number} leads nowhere: {what}"
            if what and text not in told:
                told.add(text)
                yield text


def _dead(file: Path, note: Any, pages: set[Any], names: set[str], others: dict[str, set[str] | None]) -> str:
    """Return where a link would lead if that place is not there, else an empty text."""
    import pikepdf

    action = note.get("/A")
    target = note.get("/Dest") if action is None or "/Dest" in note else action.get("/D")
    kind = "" if action is None else str(action.get("/S", ""))
    if kind in ("/URI", "/GoToR"):
        return _dead_file(file, str(action.get("/URI" if kind == "/URI" else "/F", "")), others)
    if isinstance(target, pikepdf.Array):
        there = len(target) > 0 and isinstance(target[0], pikepdf.Dictionary) and target[0].objgen in pages
        return "" if there else "a page that is not in the document"
    if target is None:
        return "" if kind not in ("", "/GoTo") else "it has no target"
    name = str(target).removeprefix("/") if isinstance(target, pikepdf.Name) else str(target)
    return "" if name in names else name


def _dead_file(file: Path, uri: str, others: dict[str, set[str] | None]) -> str:
    parts = urlsplit(uri)
    if parts.scheme or parts.netloc:
        return ""
    name, anchor = unquote(parts.path), unquote(parts.fragment)
    if not name or "/" in name or "\\" in name:
        return uri or "an empty address"
    if name not in others:
        others[name] = _anchors(file.with_name(name))
    known = others[name]
    if known is None:
        return f"{name}, which is not a readable file of the folder"
    return "" if not anchor or anchor in known else f"{anchor} in {name}"


def _anchors(path: Path) -> set[str] | None:
    import pikepdf

    if not path.is_file() or path.is_symlink():
        return None
    if path.suffix.lower() != ".pdf":
        return set()
    try:
        with pikepdf.open(path) as pdf:
            return set(destinations(pdf))
    except pikepdf.PdfError:
        return None
