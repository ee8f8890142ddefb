"""An index of studies and their runs, with the history of each endpoint over runs and model versions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from validation import __version__
from validation.data import shipped
from validation.dossier.catalogue import catalogue
from validation.dossier.printing import Printing
from validation.dossier.record import Record
from validation.dossier.templating import build, environment
from validation.dossier.viewer.plots import history_plot
from validation.errors import ValidationProblem
from validation.evidence.manifest import MANIFEST_FILE
from validation.evidence.results import RESULTS_FILE, read_results

_DEEPEST = 4


@dataclass(frozen=True, kw_only=True)
class Shelved:
    """A run on the shelf: its folder, its address below the shelf, and its results (empty with a ``problem``)."""

    folder: Path
    address: str
    results: dict[str, Any]
    problem: str = ""


def find_runs(folder: Path) -> list[Shelved]:
    """Return the runs below a folder (a study, or a folder of studies), the oldest first; links are not followed.

    A run that cannot be read is listed with the reason, never left out.
    """
    found = []
    for address, path in addresses(folder).items():
        if not (path / RESULTS_FILE).is_file():
            found.append(Shelved(folder=path, address=address, results={}, problem="not finished"))
            continue
        try:
            found.append(Shelved(folder=path, address=address, results=read_results(path)))
        except ValidationProblem as problem:
            found.append(Shelved(folder=path, address=address, results={}, problem=problem.what))
    return sorted(found, key=lambda run: (run.results.get("run", {}).get("started", ""), run.address))


def addresses(folder: Path) -> dict[str, Path]:
    """Return the run folders below a folder by their address; nothing in them is read."""
    return {path.relative_to(folder).as_posix(): path for path in _run_folders(folder, _DEEPEST)}


def shelf_page(folder: Path, *, title: str) -> bytes:
    """Return the index page of a folder of studies."""
    names = catalogue()
    studies: dict[str, dict[str, Any]] = {}
    broken = []
    for run in find_runs(folder):
        if not run.results:
            broken.append({"address": run.address, "problem": run.problem})
            continue
        study = run.results["study"]
        shelved = studies.setdefault(str(study["id"]), {"title": str(study["title"]), "runs": []})
        shelved["runs"].append(_row(run))
    for study in studies.values():
        study["history"] = _history(study["runs"])
        study["several"] = len(study["runs"]) > 1
        study["runs"].reverse()
    template = environment(shipped("templates", "viewer")).get_template("shelf.html.j2")
    css = Markup((shipped("templates", "viewer") / "viewer.css").read_text(encoding="utf-8"))  # noqa: S704 - shipped
    context = {
        "title": title,
        "studies": studies,
        "broken": broken,
        "css": css,
        "version": __version__,
        "pathway_title": Printing(Record({"": {}}), names, {}).functions()["pathway_title"],
    }
    return build(lambda: template.render(**context), "shelf.html.j2").encode()


def _run_folders(folder: Path, depth: int) -> list[Path]:
    found: list[Path] = []
    try:
        entries = sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
    except OSError:
        return []
    for entry in entries:
        if (entry / "inputs.json").is_file() or (entry / RESULTS_FILE).is_file():
            found.append(entry)
        elif depth > 0 and not entry.name.startswith("."):
            found += _run_folders(entry, depth - 1)
    return found


def _row(run: Shelved) -> dict[str, Any]:
    record = Record({"": run.results})
    printing = Printing(record, catalogue(), {})
    root = record.node()
    return {
        "address": run.address,
        "id": str(root["run"]["id"]),
        "started": str(root["run"]["started"]),
        "model": f"{root['model']['name']} {root['model']['version']}",
        "protocol": f"{root['protocol']['id']} {root['protocol']['version']}",
        "draft": bool(run.results["run"].get("draft")),
        "closed": (run.folder / MANIFEST_FILE).is_file(),
        "approvals": str(len(list((run.folder / "approvals").glob("*.dsse.json")))),
        "outcome": str(root["proposal"]["outcome"]),
        "word": printing.word("claim_outcome", root["proposal"]["outcome"]),
        "endpoints": run.results["endpoints"],
        "printed": {n: _into(run.address, printing.interval(e["estimate"])) for n, e in root["endpoints"].items()},
        "verdicts": {name: printing.verdict(e) for name, e in root["endpoints"].items()},
    }


def _into(address: str, text: Markup) -> Markup:
    """Let the numbers of a run lead to the page of that run."""
    return Markup(text.replace(Markup('href="#'), Markup('href="{}/#').format(address)))  # noqa: S704 - escaped


def _history(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every endpoint with its estimates over runs of the same metric, summary and unit."""
    kinds: dict[tuple[str, ...], list[tuple[str, dict[str, Any] | None]]] = {}
    titles: dict[tuple[str, ...], str] = {}
    for run in runs:
        for name, endpoint in run["endpoints"].items():
            key = (name, endpoint["metric_key"], endpoint["summary"], endpoint["unit"])
            kinds.setdefault(key, [])
            titles[key] = str(endpoint["title"])
    for kind, points in kinds.items():
        for run in runs:
            endpoint = run["endpoints"].get(kind[0])
            same = endpoint and kind[1:] == (endpoint["metric_key"], endpoint["summary"], endpoint["unit"])
            judged = bool(same) and endpoint["hypothesis"]["type"] != "descriptive"
            outcome = endpoint["verdict"]["outcome"] if judged else "descriptive"
            points.append((str(outcome), endpoint["estimate"] if same else None))
    return [
        {
            "id": kind[0],
            "title": titles[kind],
            "plot": history_plot(
                [estimate for _, estimate in points],
                [outcome for outcome, _ in points],
                label=f"{kind[0]} over {len(points)} runs, the oldest at the left",
            ),
            "cells": [
                {
                    "run": run["id"],
                    "model": run["model"],
                    "text": run["printed"][kind[0]],
                    "verdict": run["verdicts"][kind[0]],
                }
                for run, (_, estimate) in zip(runs, points, strict=True)
                if estimate is not None
            ],
        }
        for kind, points in kinds.items()
    ]
