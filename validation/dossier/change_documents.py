"""Documents from one plain record: site report, change record, change control plan, monitoring, models side by side.

The record is all that is read here; nothing is computed. Numbers carry their id in the record (``data-id``), so that a
changed copy can be told from it; they have no list of their own to point to, because a site report has two pages.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from validation.data import shipped
from validation.digest import write_atomically
from validation.dossier.catalogue import catalogue
from validation.dossier.figures.canvas import Drawing
from validation.dossier.figures.change import chart_plot, moved_plot
from validation.dossier.figures.comparison import criteria_plot, latent_plot
from validation.dossier.pdf import Press
from validation.dossier.printing import Printing
from validation.dossier.record import Record
from validation.dossier.templating import build, environment
from validation.dossier.word import write_docx
from validation.errors import RunProblem

RECORD_FILE = "change/record.json"
KINDS: dict[str, dict[str, str]] = {
    "revalidation": {
        "id": "site_report", "title": "Site revalidation report", "signs": "quality assurance at the site",
        "line": "Run", "css": "compact.css",
    },
    "modification": {
        "id": "change_record", "title": "Change record", "signs": "quality manager", "line": "Run", "css": "plan.css",
    },
    "plan": {
        "id": "change_plan", "title": "Change control plan", "signs": "regulatory affairs", "line": "Digest",
        "css": "plan.css",
    },
    "comparison": {
        "id": "comparison_report", "title": "Models side by side", "signs": "regulatory affairs", "line": "Comparison",
        "css": "comparison.css",
    },
    "monitoring": {
        "id": "monitoring_report", "title": "Monitoring report", "signs": "quality manager", "line": "Period",
        "css": "compact.css",
    },
    "monitoring_plan": {
        "id": "monitoring_plan", "title": "Post-market surveillance plan, monitoring of performance",
        "signs": "quality manager", "line": "Digest", "css": "plan.css",
    },
    "follow_up_plan": {
        "id": "follow_up_plan", "title": "Post-market clinical follow-up plan",
        "signs": "clinical affairs", "line": "Digest", "css": "plan.css",
    },
}  # fmt: skip
_DEAD = re.compile(r' href="#rec-[^"]*"')


def render_change(run: Path) -> list[Path]:
    """Write the documents of the change record of a run under ``change/`` and return their paths."""
    record: dict[str, Any] = json.loads((run / RECORD_FILE).read_bytes())
    kind = KINDS[record["kind"]]
    facts = {
        "run": record["run"]["run"], "date": record["run"]["finished"], "draft": record["run"]["draft"],
        "draft_reasons": record["run"]["draft_reasons"],
    }  # fmt: skip
    return render_record(record, record["kind"], run / "change", name=kind["id"], **facts)


def render_record(
    record: dict[str, Any], kind: str, folder: Path, *, name: str, run: str, date: str, draft: bool,
    draft_reasons: list[str],
) -> list[Path]:  # fmt: skip
    """Write one document in three formats (HTML, PDF, Word).

    Parameters
    ----------
    record
        Plain JSON data, with ``study`` and ``protocol``.
    kind
        A key of ``KINDS``.
    folder, name
        Where, and the file name without suffix.
    run, date, draft, draft_reasons
        What the head of every page says: run (or digest, or period), date of the document (ISO 8601), draft.
    """
    what = KINDS[kind]
    album = Album(record, kind)
    html = _html(record, what, album, {"run": run, "date": date, "draft": draft, "draft_reasons": draft_reasons})
    press = Press(paper="A4", draft=draft, finished=date)
    pdf, _ = press.print(html)
    notice = str(record["study"].get("notice", ""))
    word = write_docx(html, album, paper="A4", finished=date, draft=draft, notice=notice)  # type: ignore[arg-type]
    written = []
    for suffix, data in (("pdf", pdf), ("html", html.encode()), ("docx", word)):
        path = folder / f"{name}.{suffix}"
        write_atomically(path, data)
        written.append(path)
    return written


class Album:
    """The figures of one record, each drawn once; the Word writer asks for them by name."""

    def __init__(self, record: dict[str, Any], kind: str) -> None:
        self._record = record
        self._kind = kind
        self._drawn: dict[str, Drawing | None] = {}

    def drawing(self, name: str) -> Drawing:
        """Return a figure by its name.

        Raises
        ------
        RunProblem
            DOS-009 if the record has nothing to draw for it.
        """
        if name not in self._drawn:
            figure, _, subject = name.partition("/")
            if figure == "moved":
                self._drawn[name] = moved_plot(self._record)
            elif figure == "chart":
                self._drawn[name] = chart_plot(self._record["indicators"][subject], subject)
            elif figure == "criteria":
                self._drawn[name] = criteria_plot(self._record)
            elif figure == "latent":
                self._drawn[name] = latent_plot(self._record, subject)
            else:
                raise RunProblem(f"there is no figure of kind {figure!r}.", code="DOS-009", where=name)
        drawing = self._drawn[name]
        if drawing is None:
            raise RunProblem("the record has nothing to draw for this figure.", code="DOS-009", where=name)
        return drawing

    def html(self, kind: str, subject: str = "") -> Markup:
        """Return a figure as HTML, or nothing where there is nothing to draw."""
        name = f"{kind}/{subject}" if subject else kind
        try:
            drawing = self.drawing(name)
        except RunProblem:
            if self._drawn.get(name, ...) is None:
                return Markup("")
            raise
        frame = Markup(
            '<figure data-figure="{}"><div role="img" aria-label="{}">{}</div><figcaption>{}</figcaption></figure>'
        )
        picture = Markup(drawing.titled)  # noqa: S704 - drawn here
        return frame.format(name, drawing.alternative, picture, drawing.caption)


def _html(record: dict[str, Any], what: dict[str, str], album: Album, facts: dict[str, Any]) -> str:
    source = Record({"": record if "endpoints" in record else record | {"endpoints": {}}})
    folder = shipped("templates", "change")
    jinja = environment(folder)
    screen = shipped("templates", "dossier", "screen.css").read_text(encoding="utf-8")
    words = f'"{what["line"]} " string(runid) "  ·  Protocol version " string(version)'
    head = f"@page {{ @top-right {{ content: {words}; }} }}"
    print_css = (folder / what["css"]).read_text(encoding="utf-8") + head
    context: dict[str, Any] = {
        **Printing(source, catalogue(), {}).functions(),
        "R": source.node(),
        "figure": album.html,
        "columns": str(1 + len(record.get("candidates", {}))),
        "document": what | facts,
        "screen_css": Markup(screen),  # noqa: S704 - shipped
        "print_css": Markup(print_css),  # noqa: S704 - shipped
    }

    def part(name: str) -> Markup:
        template = jinja.get_template(f"{name}.html.j2")
        return Markup(build(lambda: template.render(**context), name))  # noqa: S704 - escaped by the template

    context["part"] = part
    body = part(what["id"])
    frame = jinja.get_template("frame.html.j2")
    html = build(lambda: frame.render(**context, body=body), "frame.html.j2")
    return _DEAD.sub("", html)
