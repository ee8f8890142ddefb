"""Documents from a run: HTML, PDF and Word from one view of the record.

:func:`render` writes the dossier of a run. Nothing in it is typed by hand that the record holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["render"]


def render(
    run_folder: Path, pathways: Sequence[str], *, workers: int | None = None, edition: Path | None = None
) -> list[Path]:
    """Write the documents of a run, by pathway, under ``dossier/`` of the run folder.

    Parameters
    ----------
    run_folder
        A run folder with ``results.json`` (see ``docs/architecture.md``).
    pathways
        Names of pathways in the catalogue, such as those of the claim.
    workers
        Number of processes that print; by default two, where the machine has two processors. The files have the same
        bytes whatever the number.
    edition
        Folder of an edition to write into instead of the run folder, with the narrative blocks of today.

    Returns
    -------
    list of Path
        Every file that was written: narrative blocks kept with the run, then documents by pathway.

    Raises
    ------
    UsageProblem
        DOS-005 if a pathway is unknown.
    RunProblem
        If a template asks for a fact that the record does not hold, or prints a number that has no id.
    """
    from validation.dossier.binder import bind

    return bind(Path(run_folder), list(pathways), workers=workers, edition=edition)
