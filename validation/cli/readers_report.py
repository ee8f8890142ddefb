"""Write the report of `validation readers analyse --report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from validation.reader_study.analysis import Analysis
from validation.reader_study.scores import ReaderScores


def write_report(
    path: Path,
    study: ReaderScores,
    result: Analysis,
    *,
    sources: list[Path],
    again: Callable[[list[str]], Analysis] | None,
) -> None:
    """Write a report as ``.pdf``, ``.html`` or ``.docx``.

    Parameters
    ----------
    again
        Analyses some of the readers, for the influence of each; ``None`` where that makes no sense.

    Raises
    ------
    UsageProblem
        If the ending is another one.
    """
    from datetime import UTC, datetime

    from validation import __version__
    from validation.digest import sha256_file, write_atomically
    from validation.dossier.plain_document import document_docx, document_html, document_pdf
    from validation.dossier.reader_study import endpoint_words, study_blocks
    from validation.errors import UsageProblem
    from validation.reader_study.curves import leave_one_reader_out, roc_curves
    from validation.reader_study.endpoints import LOCALISATION, NO_TRUTH

    suffix = path.suffix.lower()
    if suffix not in (".pdf", ".html", ".docx"):
        raise UsageProblem(
            f"a report cannot end in {suffix!r}.",
            code="RDR-008",
            where="--report",
            action="Use .pdf, .html or .docx.",
        )
    ratings = study.positive.any() and not study.positive.all() and result.plan.endpoint not in NO_TRUTH
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    files = "; ".join(f"{source.name}, SHA-256 {sha256_file(source)}" for source in sources)
    blocks = study_blocks(
        result.to_dict(),
        curves=roc_curves(study) if ratings else {},
        agreement=_agreement(study),
        inferred=result.plan.endpoint in LOCALISATION,
        influence=leave_one_reader_out(result, study.readers, again) if again is not None else [],
        source=f"Data: {files}. Computed by genmed-validation {__version__}. Exploratory unless the analysis was fixed "
        "in a locked protocol before the scores were known.",
    )
    title = "Report of a reader study"
    subtitle = f"{result.design.n_readers} readers, endpoint {endpoint_words(result.to_dict())}"
    html = document_html(title, subtitle, blocks)
    if suffix == ".html":
        data = html.encode()
    elif suffix == ".pdf":
        data = document_pdf(html, finished=moment)
    else:
        data = document_docx(title, subtitle, blocks, finished=moment)
    write_atomically(path, data)


def _agreement(study: ReaderScores) -> list[dict[str, Any]]:
    """Return two measures of agreement per modality: ordinal alpha, which allows empty cells, and absolute ICC."""
    from validation.reader_study.agreement import agreement_of

    if len(study.readers) < 2:
        return []
    measures = {"Krippendorff's alpha, ordinal": agreement_of(study, measure="alpha", replicates=500)}
    if study.read.all():
        measures["intraclass correlation, ICC(A,1)"] = agreement_of(study, measure="icc")
    return [
        {"modality": modality, "measure": name} | {k: getattr(e, k) for k in ("value", "lower", "upper", "n", "reason")}
        for modality in study.modalities
        for name, found in measures.items()
        for e in [found[modality]]
    ]
