"""What a person wrote for a document, beside what the record says: shown as marked blocks, kept with the run."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from validation.digest import write_atomically
from validation.dossier.catalogue import Catalogue
from validation.protocol.catalogue import regulatory_catalogue
from validation.study.narrative import FOLDER, narrative, narrative_path

_MANIFEST = "manifest.json"


class Narratives:
    """The narrative blocks behind the documents of a run.

    The copy beside the documents is what counts: in the run folder, or in an edition. Blocks of the study are copied
    there while it is not closed, so that its manifest covers what the documents show.

    Parameters
    ----------
    home
        The run folder, or the folder of an edition.
    catalogue
        Names the blocks of a document.
    study
        The study folder, in which persons write; the one that a run lies in if omitted.
    """

    def __init__(self, home: Path, catalogue: Catalogue, study: Path | None = None) -> None:
        self._home = home
        self._study = study or home.parent.parent
        self._catalogue = catalogue

    def keep(self) -> list[Path]:
        """Copy every finished block of the study, unless what it would be copied into is closed."""
        if (self._home / _MANIFEST).exists() or not (self._study / FOLDER).is_dir():
            return []
        written = []
        for name in regulatory_catalogue().artefacts:
            if narrative(self._study, name) is not None:
                target = narrative_path(self._home, name)
                target.parent.mkdir(exist_ok=True)
                write_atomically(target, narrative_path(self._study, name).read_bytes())
                written.append(target)
        return written

    def html(self, document: str) -> Markup | None:
        """Return the blocks of a document as HTML without active content, or None where nothing is written."""
        kind = self._catalogue.documents[document]
        names = [self._catalogue.artefact_of(document), *kind.narratives]
        blocks = [text for name in names if (text := narrative(self._home, name))]
        return Markup("\n").join(Markup(text) for text in blocks) if blocks else None  # noqa: S704 - a safe subset
