"""Whether a run holds what a section or a document needs: a part of the results, the protocol, or a person's text."""

from __future__ import annotations

from pathlib import Path

from validation.dossier.record import Record
from validation.errors import RunProblem
from validation.study.narrative import read_narrative


class Holdings:
    """Answer what is there.

    Parameters
    ----------
    record
        The facts of a run, or only a protocol before there is one.
    narratives
        The folder whose ``narrative/`` counts.
    """

    def __init__(self, record: Record, narratives: Path) -> None:
        self._record = record
        self._folder = narratives

    def __call__(self, need: str) -> bool:
        """Tell whether something is there.

        Parameters
        ----------
        need
            A path in the results (``cohort``), a source (``protocol``), a path in one (``protocol:monitoring``),
            ``endpoints:KEY`` for a part that some endpoint has, or ``narrative:ARTEFACT`` for a text that was written
            and does not say "not applicable".
        """
        source, _, path = need.rpartition(":")
        if source == "narrative":
            found = read_narrative(self._folder, path)
            return found is not None and not found.open_because and not found.not_applicable
        if source == "endpoints":
            return any(e.get(path) for e in self._record.results["endpoints"].values())
        if not source and self._record.has(need):
            return True
        if source and not self._record.has(source):
            return False
        try:
            return bool(self._record.raw(need))
        except RunProblem:
            return False
