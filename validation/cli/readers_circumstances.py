"""What `validation readers analyse` is told about a study beyond its scores, for the checks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any


def with_checks(
    result: Any,
    study: Any,
    *,
    scores: Path,
    training_cases: Path | None,
    truthers: tuple[str, ...],
    fallback: str | None,
    sequential: bool,
) -> Any:
    """Return the analysis with its checks done again, now with the circumstances.

    Parameters
    ----------
    scores
        The long table; a column ``read_at`` gives the times of the readings.
    training_cases
        Table with a column ``case``.

    Raises
    ------
    DataProblem
        If the table of training cases has no column ``case``.
    """
    from validation.errors import DataProblem
    from validation.reader_study.checks import Circumstances, study_checks
    from validation.reader_study.tables import read_table

    trained = None
    if training_cases is not None:
        table = read_table(training_cases)
        if "case" not in table.columns:
            raise DataProblem(
                "the table of training cases has no column 'case'.",
                code="RDR-001",
                where=training_cases.name,
                action="Name the column case.",
            )
        trained = frozenset(table["case"].dropna().astype(str))
    readings = None if scores.suffix.lower() == ".imrmc" else read_table(scores)
    if readings is not None and not {"reader", "case"} <= set(readings.columns):
        readings = None  # a wide table has no row per reading
    circumstances = Circumstances(
        readings=readings,
        training_cases=trained,
        truthers=frozenset(truthers) if truthers else None,
        fallback=fallback,
        sequential=sequential,
    )
    plan = result.plan
    return replace(result, checks=study_checks(study, plan, circumstances))
