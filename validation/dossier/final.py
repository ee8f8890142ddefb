"""Why the documents of a run are not final yet: what its pathways require and nobody has written or made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from validation.dossier.gaps import analyse
from validation.evidence.results import read_results
from validation.protocol.catalogue import regulatory_catalogue
from validation.protocol.schema import Pathway


def reasons_not_final(
    run_folder: Path,
    study_folder: Path | None = None,
    *,
    edition: Path | None = None,
    pathways: Sequence[Pathway] | None = None,
) -> list[str]:
    """Return one sentence per thing that keeps a run's documents from being final; empty if nothing does.

    Parameters
    ----------
    run_folder
        A run with rendered documents.
    study_folder
        Where ``narrative/`` lies; the study that the run lies in if omitted.
    edition
        An edition of the documents, which counts instead of those that the run was closed with.
    pathways
        Those to look at; those of the claim if omitted.

    Notes
    -----
    Every pathway of the claim is looked at by :func:`validation.dossier.gaps.analyse`: required artefacts that are
    open or missing, and findings of the receiver's profile that stop. A pathway that is not for claims of this type is
    itself a reason.
    """
    claim = read_results(run_folder)["claim"]
    study = study_folder or run_folder.resolve().parent.parent
    reasons = []
    for pathway in pathways or claim["pathways"]:
        if regulatory_catalogue().cell(claim["type"], pathway).applicability == "not_applicable":
            reasons.append(f"{pathway}: not for claims of the type {claim['type']}")
            continue
        report = analyse(study, claim["type"], pathway, run_folder=run_folder, edition=edition)
        if report.draft:
            reasons.append(f"{pathway}: the run is a DRAFT")
        reasons += [f"{pathway}: {r.title} is {r.state} ({r.because})" for r in report.artefacts if r.blocking]
        stopped = [f for f in report.findings if f.severity == "stop"]
        reasons += [f"{pathway}: {f.file}: {f.text} [{f.rule}]" for f in stopped]
    return reasons
