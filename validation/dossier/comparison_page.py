"""The page of a comparison, as HTML, PDF and Word, from its results alone."""

from __future__ import annotations

import json
from pathlib import Path

from validation.dossier.change_documents import KINDS, render_record
from validation.evidence.results import read_results

KIND = "comparison"


def render_comparison(folder: Path) -> list[Path]:
    """Write the page of a comparison under ``page/`` of its folder and return the paths (PDF, HTML, Word)."""
    results = read_results(folder)
    pictures = json.loads((folder / "checks" / "latent.json").read_bytes())
    run = results["run"]
    (folder / "page").mkdir(exist_ok=True)
    return render_record(
        results | {"pictures": pictures},
        KIND,
        folder / "page",
        name=KINDS[KIND]["id"],
        run=run["id"],
        date=run["finished"],
        draft=run["draft"],
        draft_reasons=run["draft_reasons"],
    )
