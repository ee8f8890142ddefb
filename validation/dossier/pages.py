"""On which page of a rendered document a section stands, from the named destinations of the PDF itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from validation.errors import DataProblem


def destinations(pdf: Any) -> dict[str, int]:
    """Return the page (from 1) of every named destination of an open pikepdf document."""
    numbers = {page.objgen: number for number, page in enumerate(pdf.pages, start=1)}
    found: dict[str, int] = {}
    for name, target in _named(pdf):
        page = _page_of(target)
        if page is not None and page.objgen in numbers:
            found.setdefault(name, numbers[page.objgen])
    return found


def pages_of(path: Path) -> dict[str, int]:
    """Return the page of every named destination of a PDF file; the empty name is the number of pages.

    Raises
    ------
    DataProblem
        DOS-030 if the file cannot be read as a PDF.
    """
    import pikepdf

    try:
        with pikepdf.open(path) as pdf:
            return {"": len(pdf.pages), **destinations(pdf)}
    except (pikepdf.PdfError, OSError, ValueError, TypeError, KeyError) as problem:
        raise DataProblem(
            f"the document cannot be read as a PDF ({type(problem).__name__}).",
            code="DOS-030",
            where=path.name,
            why="Pages and limits are read from the file that would be filed.",
            action="Check the run with `validation verify`; render it again if it was not signed.",
        ) from None


def _named(pdf: Any) -> Iterator[tuple[str, Any]]:
    import pikepdf

    names = pdf.Root.get("/Names")
    if names is not None and "/Dests" in names:
        for key, value in pikepdf.NameTree(names.Dests).items():
            yield str(key), value
    old = pdf.Root.get("/Dests")
    if old is not None:
        for key, value in old.items():
            yield str(key).removeprefix("/"), value


def _page_of(target: Any) -> Any:
    """Return the page object of a destination, written as an array or as a dictionary with an array in it."""
    import pikepdf

    if isinstance(target, pikepdf.Dictionary):
        target = target.get("/D")
    if not isinstance(target, pikepdf.Array) or len(target) == 0:
        return None
    first = target[0]
    return first if isinstance(first, pikepdf.Dictionary) else None
