"""A standalone system against the average of a sample of readers of the same cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from validation.errors import UsageProblem
from validation.reader_study.measured import Measured, measure
from validation.reader_study.obuchowski_rockette import Contrast, components, modality_means
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.rows import difference_rows, modality_rows, number, reader_difference_rows, reader_rows
from validation.reader_study.scores import ReaderScores


def system_as_reader(scores: ReaderScores, name: str) -> ReaderScores:
    """Return the study with one modality, the system being one of its readers.

    Parameters
    ----------
    name
        A reader of a study with one modality, or the modality that the system's readings are filed under, beside one
        other modality.

    Raises
    ------
    UsageProblem
        If there is no such reader or modality, or it is not clear whom to compare it with.
    """
    if name in scores.readers and len(scores.modalities) == 1:
        return scores
    if name in scores.modalities and len(scores.modalities) == 2:
        m = scores.modalities.index(name)
        readers = np.flatnonzero(scores.took_part[:, m])
        if len(readers) == 1:
            other = 1 - m
            people = np.flatnonzero(scores.took_part[:, other])
            rows = [scores.score[people, other], scores.score[readers, m]]
            decisions = scores.decision
            return replace(
                scores,
                readers=(*(scores.readers[r] for r in people), name),
                modalities=(scores.modalities[other],),
                score=np.concatenate(rows)[:, None],
                decision=None
                if decisions is None
                else np.concatenate([decisions[people, other], decisions[readers, m]])[:, None],
            )
    raise UsageProblem(
        f"{name!r} is neither a reader of a study with one modality nor a modality that one reader alone has read "
        f"beside one other.",
        code="RDR-012",
        where="--standalone",
        action="Keep the system's readings and one reading condition of the readers, and name the system.",
    )


def analyse_standalone(
    scores: ReaderScores, plan: AnalysisPlan, name: str, *, measured: Measured | None = None
) -> dict[str, Any]:
    """Return the parts of an analysis of "system less average reader".

    With ``d_j`` the difference of the system and reader ``j``, and their covariance over cases, the average has the
    variance ``(MS(d) + max(r Cov2(d), 0)) / r`` and Hillis degrees of freedom. Random readers; cases random or fixed.
    ``measured`` holds figures of merit that do not come from the scores, such as those of marks.
    """
    measured = measured or measure(scores, plan)
    R = len(scores.readers)
    system = scores.readers.index(name)
    people = [r for r in range(R) if r != system]
    signs = np.zeros((len(people), R))
    signs[range(len(people)), people] = -1.0
    signs[:, system] = 1.0
    values = np.einsum("jr,trm->tjm", signs, measured.values)
    study = components(values, signs @ measured.covariance @ signs.T)
    average = modality_means(study, plan.effects)
    everyone = components(measured.values[:, people], measured.covariance[:, people][:, :, people])
    readers = modality_means(everyone, plan.effects)
    own = measured.covariance[:, system, system][:, None]
    named = replace(scores, modalities=(name, f"average of {len(people)} readers"))
    both = Contrast(
        np.concatenate([measured.values[:, system], readers.estimate], axis=1),
        np.concatenate([own, readers.variance], axis=1),
        np.concatenate([np.full_like(own, np.inf), readers.df], axis=1),
    )
    variance = np.diagonal(measured.covariance[0]).reshape(R, 1)
    each = Contrast(values, np.einsum("tjmjm->tj", study.covariance)[..., None], np.full_like(values, np.inf))
    people_only = scores.select(readers=[scores.readers[r] for r in people])
    rows = reader_difference_rows(replace(people_only, modalities=scores.modalities), each, plan, ([0], [0]))
    for row in rows:
        row["a"], row["b"] = name, row["reader"]
    return {
        "modalities": modality_rows(named, both, plan),
        "differences": difference_rows(
            named, average, replace(plan, control=named.modalities[1], standalone=None), ([0], [1])
        ),
        "readers": reader_rows(scores, measured.values[0], variance, plan),
        "reader_differences": rows,
        "components": {
            "var_reader": number(study.var_r[0]),
            "var_error": number(study.variance[0]),
            "cov2": number(study.cov2[0]),
        },
        "anova": {"reader": {"df": len(people) - 1, "mean_square": number(study.ms_r[0])}},
        "warnings": ["one reader besides the system: nothing can be said about other readers"]
        if len(people) == 1
        else [],
    }
