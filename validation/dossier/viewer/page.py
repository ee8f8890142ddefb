"""One page that shows a run without a network: verdicts, cases, ledger, signatures, requirements and files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import unescape
from pathlib import Path
from typing import Any

from markupsafe import Markup

from validation import __version__
from validation.data import shipped
from validation.dossier.catalogue import catalogue
from validation.dossier.printing import Printing
from validation.dossier.record import anchor_of, exact
from validation.dossier.runfiles import RunFiles
from validation.dossier.templating import build, environment
from validation.dossier.viewer.casebook import casebook, pictures
from validation.dossier.viewer.plots import axis_of, interval_plot
from validation.errors import IntegrityProblem, ValidationProblem
from validation.evidence.manifest import MANIFEST_FILE, read_manifest
from validation.evidence.verify import UNSIGNED, verify_run

MOST_BYTES = 1_950_000  # small enough to be mailed and to open at once; further pictures are shown from the run folder
_SLOT = "the data of the page"
_NUMBER = re.compile(r'<a class="num" data-id="([^"]+)"')


def run_page(run_folder: Path, *, beside: str = "") -> bytes:
    """Return the page of a run; the same run gives the same bytes.

    Parameters
    ----------
    run_folder
        A run folder with results.
    beside
        Where the run folder lies as seen from the page, for links to documents and pictures: ``""`` when the page is
        served or written into the run's own folder, ``"<run>/"`` in a package.

    Raises
    ------
    ValidationProblem
        If the run cannot be read.
    """
    files = RunFiles(run_folder)
    names = catalogue()
    record = files.record
    folder = shipped("templates", "viewer")
    book = casebook(files)
    data = {
        "book": book,
        "pictures": pictures(files, 0),
        "endpoints": _endpoints(files, book),
        "beside": beside,
    }
    context: dict[str, Any] = {
        **Printing(record, names, {}).functions(),
        "R": record.node(),
        "ledger": _chain(files, "ledger"),
        "events": _chain(files, "events"),
        "plot": _plots(record.results["endpoints"]),
        "state": (state := _state(run_folder)),
        "approvals": str(len(state["approvals"])),
        "files": _files(run_folder),
        "requirements": _requirements(run_folder, record.raw("claim")),
        "documents": _documents(run_folder),
        "beside": beside,
        "version": __version__,
        "css": Markup((folder / "viewer.css").read_text(encoding="utf-8")),  # noqa: S704 - shipped
        "script": Markup((folder / "viewer.js").read_text(encoding="utf-8")),  # noqa: S704 - shipped
        "data": _SLOT,
    }
    template = environment(folder).get_template("run.html.j2")
    html = build(lambda: template.render(**context, numbers=[]), "run.html.j2")
    printed = dict.fromkeys(unescape(i) for i in _NUMBER.findall(html))
    numbers = [
        {"id": i, "anchor": anchor_of(i), "exact": exact(record, i), "unit": record.unit(i)} for i in sorted(printed)
    ]
    page = build(lambda: template.render(**context, numbers=numbers), "run.html.j2")
    room = MOST_BYTES - len(page.encode()) - len(_json(data).encode())
    return page.replace(_SLOT, _json({**data, "pictures": pictures(files, room)})).encode()


def made_by_this_version(page: bytes) -> bool:
    """Tell whether a page says that this version of the program made it, so that it can be compared byte for byte."""
    return f'<meta name="generator" content="genmed-validation {__version__}">'.encode() in page[:4096]


def _json(content: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _endpoints(files: RunFiles, book: dict[str, Any]) -> dict[str, Any]:
    """Return what links an endpoint to its cases: metric key, comparator, and the cases it is about if not all."""
    every = len(book["ids"])
    found = {}
    for name, endpoint in files.record.results["endpoints"].items():
        about = files.endpoint_cases(name) if every else []
        found[name] = {
            "title": endpoint["title"],
            "metric": endpoint["metric_key"],
            "comparator": endpoint["comparator"],
            "cases": None if len(about) == every else about,
        }
    return found


def _plots(endpoints: dict[str, Any]) -> Any:
    axes = {}
    for name, endpoint in endpoints.items():
        parts = [s["estimate"] for levels in endpoint.get("subgroups", {}).values() for s in levels.values()]
        axes[name] = axis_of(endpoint, [endpoint["estimate"], *parts])

    def plot(name: Any, column: Any = "", level: Any = "") -> Markup:
        endpoint = endpoints[str(name)]
        part = endpoint["subgroups"][str(column)][str(level)] if column else endpoint
        what = f"{name}, {level}" if column else f"{name}"
        label = f"Interval of {what} against the margin of the endpoint; the numbers stand beside it"
        return interval_plot(endpoint, part["estimate"], axes[str(name)], label=label)

    return plot


def _chain(files: RunFiles, source: str) -> list[Any]:
    return files.record.node(source=source).each() if files.record.has(source) else []


def _state(run_folder: Path) -> dict[str, Any]:
    """Return what an offline check of the run says; a page of a run that is not intact says so at its top."""
    report = verify_run(run_folder)
    closed = (run_folder / MANIFEST_FILE).is_file()
    findings = [f for f in report.findings if f.code != UNSIGNED and closed]
    return {
        "closed": closed,
        "intact": not findings,
        "findings": [f"{f.file}: {f.what}" for f in findings],
        "notes": list(report.notes),
        "signed_at": report.signed_at,
        "key": report.signed_by,
        "time_stamp": report.time_stamp.time if report.time_stamp else "",
        "approvals": [a.to_dict() for a in report.approvals],
        "files": str(report.n_files),
        "events": str(report.n_events),
    }


def _files(run_folder: Path) -> list[dict[str, str]]:
    try:
        listed: Iterable[dict[str, Any]] = read_manifest(run_folder)["files"]
    except IntegrityProblem:
        return []
    return [{"name": str(f["name"]), "size": str(f["size"]), "sha256": str(f["sha256"])} for f in listed]


def _documents(run_folder: Path) -> list[dict[str, str]]:
    found = sorted(run_folder.glob("dossier/*/*.pdf"))
    return [{"path": p.relative_to(run_folder).as_posix(), "pathway": p.parent.name, "name": p.stem} for p in found]


def _requirements(run_folder: Path, claim: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the requirements of every pathway of the claim, and where the run's documents answer them."""
    from validation.dossier.gaps import analyse

    rows = []
    for pathway in claim["pathways"]:
        if not (run_folder / "dossier" / pathway).is_dir():
            continue
        try:
            report = analyse(run_folder, claim["type"], pathway, run_folder=run_folder)
        except ValidationProblem as problem:
            empty = {"id": "–", "state": "missing", "where": [], "because": problem.what}
            rows.append({**empty, "pathway": pathway, "title": "The documents of this pathway cannot be read."})
            continue
        for row in report.requirements:
            if row.need == "none":
                continue
            where = [{"text": place, "file": _document_of(place, pathway, run_folder)} for place in row.where]
            shown = {"id": row.id, "title": row.title, "state": row.state, "because": row.because}
            rows.append({**shown, "pathway": pathway, "where": where})
    return rows


def _document_of(place: str, pathway: str, run_folder: Path) -> str:
    """Return the PDF that a place such as ``protocol_sap, endpoints, page 4`` names, with the page; empty if none."""
    name, page = place.partition(",")[0].strip(), re.search(r"page\s(\d+)", place)
    path = f"dossier/{pathway}/{name}.pdf"
    if not re.fullmatch(r"[a-z0-9_]+", name) or not (run_folder / path).is_file():
        return ""
    return f"{path}#page={page[1]}" if page else path
