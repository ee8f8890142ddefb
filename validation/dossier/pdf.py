"""PDF from HTML: tagged, PDF/A-2a claimed, with bookmarks, and the same bytes from the same record."""

from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from validation.data import shipped
from validation.digest import sha256_bytes
from validation.errors import RunProblem


class Press:
    """Lay documents out on one kind of paper; fonts and style sheet are read once.

    Parameters
    ----------
    paper
        ``A4`` or ``letter``.
    draft
        Whether every page carries the watermark DRAFT.
    finished
        End of the run (ISO 8601): the date of the documents, so that printing again gives the same bytes.
    """

    def __init__(self, *, paper: str, draft: bool, finished: str) -> None:
        with warnings.catch_warnings():  # a missing optional subsetter makes files larger, not wrong
            warnings.filterwarnings("ignore", message="HarfBuzz-Subset", category=DeprecationWarning)
            from weasyprint import CSS
            from weasyprint.text.fonts import FontConfiguration
        self._finished = finished
        self._fetcher = _fetcher()
        self._fonts = FontConfiguration()
        folder = shipped("templates", "dossier")
        text = (folder / "print.css").read_text(encoding="utf-8")
        text += f"\n@page {{ size: {paper}; }}\n"
        if draft:
            text += (folder / "draft.css").read_text(encoding="utf-8")
        self._css = CSS(string=text, base_url=folder.as_uri() + "/", font_config=self._fonts, url_fetcher=self._fetcher)

    def print(self, html: str) -> tuple[bytes, dict[str, int]]:
        """Return the PDF of a document, and the page (from 1) of every named destination."""
        from weasyprint import DEFAULT_OPTIONS, HTML

        options: dict[str, Any] = {
            **DEFAULT_OPTIONS,
            "stylesheets": [self._css],
            "pdf_variant": "pdf/a-2a",
            "pdf_tags": True,
            "pdf_identifier": sha256_bytes(html.encode())[:32].encode(),
            "dpi": 220,
        }
        with _clock(self._finished), _quiet(), _no_collection():
            document = HTML(string=html, url_fetcher=self._fetcher).render(font_config=self._fonts, **options)
            pages: dict[str, int] = {}
            for number, page in enumerate(document.pages, start=1):
                for name in page.anchors:
                    pages.setdefault(name, number)
            pages[""] = len(document.pages)
            data: bytes = document.write_pdf(**options)
        return data, pages


def _fetcher() -> Any:
    """Return a fetcher that opens shipped files and data URLs, and refuses everything else."""
    from weasyprint.urls import URLFetcher

    folder = shipped("templates", "dossier").resolve()

    class Shipped(URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: Any = None) -> Any:
            inside = url.startswith("file:") and Path(unquote(urlsplit(url).path)).resolve().is_relative_to(folder)
            if inside or url.startswith("data:"):
                return super().fetch(url, headers)
            raise RunProblem(
                "a document asks for a file from outside the record.",
                code="DOS-006",
                where=url[:120],
                why="Nothing leaves the machine, and nothing unrecorded enters a document.",
            )

    return Shipped(fail_on_errors=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what WeasyPrint says about SVG properties it skips, and about its own colour profile left open."""
    logger = logging.getLogger("weasyprint")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="unclosed file", category=ResourceWarning)
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Pause the search for reference cycles: a layout makes millions of objects that all live until its end."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def _clock(finished: str) -> Iterator[None]:
    """Stop the clock at the end of the run: font subsets carry a date."""
    moment = datetime.fromisoformat(finished.replace("Z", "+00:00"))
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = str(int(moment.astimezone(UTC).timestamp()))
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before
