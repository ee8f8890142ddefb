"""What a person wrote for a document, beside what the record says: shown as marked blocks, kept with the run."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from validation.digest import write_atomically
from validation.dossier.catalogue import Catalogue
from validation.study.narrative import FOLDER, narrative, narrative_path

_MANIFEST = "manifest.json"


class Narratives:
    """The narrative blocks of one run.

    The copy in the run folder is what counts. While the run is not closed, blocks of the study are copied into it, so
    that the manifest covers what the documents show; a closed run without a copy shows none.

    Parameters
    ----------
    run_folder
        The run.
    catalogue
        Names the blocks of a document.
    """

    def __init__(self, run_folder: Path, catalogue: Catalogue) -> None:
        self._run = run_folder
        self._study = run_folder.parent.parent
        self._catalogue = catalogue

    def keep(self, documents: list[str]) -> list[Path]:
        """Copy the finished blocks of these documents from the study into a run that is not closed yet."""
        if (self._run / _MANIFEST).exists() or not (self._study / FOLDER).is_dir():
            return []
        written = []
        for document in documents:
            for name in self._names(document):
                if narrative(self._study, name) is not None:
                    target = narrative_path(self._run, name)
                    target.parent.mkdir(exist_ok=True)
                    write_atomically(target, narrative_path(self._study, name).read_bytes())
                    written.append(target)
        return written

    def html(self, document: str) -> Markup | None:
        """Return the blocks of a document as HTML without active content, or None where nothing is written."""
        blocks = [text for name in self._names(document) if (text := narrative(self._run, name))]
        return Markup("\n").join(Markup(text) for text in blocks) if blocks else None  # noqa: S704 - a safe subset

    def _names(self, document: str) -> list[str]:
        return [document, *self._catalogue.documents[document].narratives]
