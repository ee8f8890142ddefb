"""PDF from HTML: tagged, PDF/A-2a claimed, with bookmarks, and the same bytes from the same record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from validation.data import shipped
from validation.digest import sha256_bytes
from validation.errors import RunProblem


@cache
def _assets(paper: str) -> tuple[Any, Any]:
    """Return fonts and style sheet, read once per process and paper."""
    from weasyprint import CSS
    from weasyprint.text.fonts import FontConfiguration

    fonts = FontConfiguration()
    folder = shipped("templates", "dossier")
    text = (folder / "print.css").read_text(encoding="utf-8").replace("size: A4", f"size: {paper}")
    return fonts, CSS(string=text, base_url=folder.as_uri() + "/", font_config=fonts, url_fetcher=_fetcher())


def _fetcher() -> Any:
    """Return a fetcher that opens shipped files and data URLs, and refuses everything else."""
    from weasyprint.urls import URLFetcher

    folder = shipped("templates", "dossier").resolve()

    class Shipped(URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: Any = None) -> Any:
            if url.startswith("data:"):
                return super().fetch(url, headers)
            if url.startswith("file:"):
                from urllib.parse import unquote, urlsplit

                if Path(unquote(urlsplit(url).path)).resolve().is_relative_to(folder):
                    return super().fetch(url, headers)
            raise RunProblem(
                "a document asks for a file from outside the record.",
                code="DOS-006",
                where=url[:120],
                why="Nothing leaves the machine, and nothing unrecorded enters a document.",
            )

    return Shipped()


def write_pdf(html: str, *, paper: str, finished: str) -> tuple[bytes, dict[str, int]]:
    """Lay out a document.

    Parameters
    ----------
    html
        The document.
    paper
        ``A4`` or ``letter``.
    finished
        End of the run (ISO 8601): the date of the document, so that rendering again gives the same bytes.

    Returns
    -------
    tuple
        The bytes, and the page (from 1) of every named destination.
    """
    from weasyprint import DEFAULT_OPTIONS, HTML

    fonts, css = _assets(paper)
    options: dict[str, Any] = {
        **DEFAULT_OPTIONS,
        "stylesheets": [css],
        "pdf_variant": "pdf/a-2a",
        "pdf_tags": True,
        "pdf_identifier": sha256_bytes(html.encode())[:32].encode(),
        "dpi": 220,
    }
    with _clock(finished):
        document = HTML(string=html, url_fetcher=_fetcher()).render(font_config=fonts, **options)
        pages: dict[str, int] = {}
        for number, page in enumerate(document.pages, start=1):
            for name in page.anchors:
                pages.setdefault(name, number)
        data: bytes = document.write_pdf(**options)
    return data, pages


@contextmanager
def _clock(finished: str) -> Iterator[None]:
    """Stop the clock at the end of the run: font subsets carry a date."""
    moment = datetime.fromisoformat(finished.replace("Z", "+00:00"))
    seconds = str(int(moment.astimezone(UTC).timestamp()))
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = seconds
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before
