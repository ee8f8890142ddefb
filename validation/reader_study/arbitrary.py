"""Analysis of studies of any design by U-statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from validation.reader_study.covariance import covariance_of_moments
from validation.reader_study.endpoints import NO_TRUTH
from validation.reader_study.measured import study_products
from validation.reader_study.obuchowski_rockette import Contrast, Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.rows import (
    Pairs,
    difference_rows,
    modality_rows,
    number,
    reader_difference_rows,
    reader_rows,
)
from validation.reader_study.scores import ReaderScores
from validation.reader_study.ustatistics import COMPONENTS, Array, Moments, difference, moments, single


def analyse_arbitrary(scores: ReaderScores, plan: AnalysisPlan, pairs: Pairs) -> dict[str, Any]:
    """Return the parts of a U-statistic analysis: modalities, differences, readers, components, anova, warnings."""
    products = study_products(scores, plan)
    if plan.effects is Effects.FRRC:
        return _fixed_readers(scores, plan, pairs, products)
    lone = lone_readers(scores)
    study = moments(*(study_products(with_twins(scores, lone), plan) if lone else products))
    means = single(study)
    if len(lone) == len(scores.modalities):
        means = _without_lone(means, [True] * len(lone))
    several = bool(pairs[0])
    contrasts = difference(study, *pairs) if several else None
    if contrasts is not None:
        contrasts = _without_lone(contrasts, [a in lone and b in lone for a, b in zip(*pairs, strict=True)])
    values, variance, reader_contrasts = _by_reader(*products[:3], pairs)
    return {
        "modalities": modality_rows(scores, means, plan),
        "differences": difference_rows(scores, contrasts, plan, pairs) if contrasts is not None else [],
        "readers": reader_rows(scores, values, variance, plan),
        "reader_differences": reader_difference_rows(scores, reader_contrasts, plan, pairs) if several else [],
        "components": component_tables(scores, study, pairs, forms=plan.endpoint not in NO_TRUTH),
        "anova": {},
        "warnings": _warnings(scores, study, lone, contrasts),
    }


def _fixed_readers(
    scores: ReaderScores, plan: AnalysisPlan, pairs: Pairs, products: tuple[Any, Any, Array, Array]
) -> dict[str, Any]:
    """Return the parts of an analysis of these very readers: means weighted by comparisons, varying over cases."""
    numerator, denominator, values, counts = products
    R, M = len(scores.readers), len(scores.modalities)
    weight = counts[0] / counts[0].sum(axis=0)
    cov = covariance_of_moments(numerator, denominator)[0].reshape(R, M, R, M)
    between = np.einsum("rm,sn,rmsn->mn", weight, weight, cov)
    mean = (np.nan_to_num(values[0]) * weight).sum(axis=0)
    first, second = pairs
    spread = between[first, first] + between[second, second] - 2 * between[first, second]
    own, several = np.diagonal(between), bool(first)
    means = Contrast(mean[None], own[None], np.full((1, M), np.inf))
    contrasts = Contrast((mean[first] - mean[second])[None], spread[None], np.full((1, len(first)), np.inf))
    each, variance, by_reader = _by_reader(*products[:3], pairs)
    return {
        "modalities": modality_rows(scores, means, plan),
        "differences": difference_rows(scores, contrasts, plan, pairs) if several else [],
        "readers": reader_rows(scores, each, variance, plan),
        "reader_differences": reader_difference_rows(scores, by_reader, plan, pairs) if several else [],
        "components": {f"variance_of_cases {name}": number(v) for name, v in zip(scores.modalities, own, strict=True)},
        "anova": {},
        "warnings": [] if several else ["one modality: there is no difference to test"],
    }


def lone_readers(scores: ReaderScores) -> dict[int, int]:
    """Return modality -> reader for modalities that one reader alone has read (such as a standalone model)."""
    who = scores.took_part
    return {m: int(np.flatnonzero(who[:, m])[0]) for m in range(who.shape[1]) if who[:, m].sum() == 1}


def with_twins(scores: ReaderScores, lone: dict[int, int]) -> ReaderScores:
    """Return the study with each lone reader of a modality replaced by two identical ones of its own.

    Twins show no reader variance, so the variance is that over cases: the conclusion is about this very reader, as is
    right for a standalone model. They are nobody's pair in other modalities.
    """
    if not lone:
        return scores
    score, decision, names = scores.score.copy(), scores.decision, list(scores.readers)
    decision = None if decision is None else decision.copy()
    for m, r in lone.items():
        for array in (score, decision):
            if array is not None:
                array[r, m] = np.nan
        names += [f"{scores.readers[r]}|{scores.modalities[m]}|{copy}" for copy in (1, 2)]
    twins = [np.full((2, *score.shape[1:]), np.nan) for _ in lone]
    extra = [np.full((2, *score.shape[1:]), np.nan) for _ in lone]
    for k, (m, r) in enumerate(lone.items()):
        twins[k][:, m] = scores.score[r, m]
        if scores.decision is not None:
            extra[k][:, m] = scores.decision[r, m]
    return replace(
        scores,
        readers=tuple(names),
        score=np.concatenate([score, *twins]),
        decision=None if decision is None else np.concatenate([decision, *extra]),
    )


def component_tables(scores: ReaderScores, study: Moments, pairs: Pairs, *, forms: bool = True) -> dict[str, Any]:
    """Return moments (BDG), components (BCK), and for complete tables of two classes OR, DBM and mean-square forms."""
    rows = []
    M = len(scores.modalities)
    for a, b in [(m, m) for m in range(M)] + list(zip(*pairs, strict=True)):
        for biased in (False, True):
            row: dict[str, Any] = {
                "a": scores.modalities[a],
                "b": scores.modalities[b] if a != b else None,
                "estimator": "V-statistic" if biased else "U-statistic",
                "covariance": number(study.covariance(biased=biased)[0, a, b]),
                "moments": [float(v) for v in (study.biased if biased else study.unbiased)[0, a, b]],
                "moment_weights": [float(v) for v in study.weights[0, a, b]],
                "components": dict(zip(COMPONENTS, study.components(biased=biased)[0, a, b].tolist(), strict=True)),
                "component_weights": dict(zip(COMPONENTS, study.component_weights()[0, a, b].tolist(), strict=True)),
            }
            if forms and scores.read.all() and len(scores.readers) > 1:
                row |= other_forms(
                    study, a, b, int((~scores.positive).sum()), int(scores.positive.sum()), biased=biased
                )
            if a != b:
                found = difference(study, [a], [b], biased=biased)
                row["variance_of_difference"] = number(found.variance[0, 0])
                row["df"] = number(found.df[0, 0])
            rows.append(row)
    return {"tables": rows}


def other_forms(study: Moments, a: int, b: int, n0: int, n1: int, *, biased: bool) -> dict[str, dict[str, float]]:
    """Return the same variance in the forms of Obuchowski-Rockette, of pseudovalue components and of mean squares.

    Only for complete tables. The error covariance of two readings is ``N / n0 + D / n1 + ND / (n0 n1)``, and for one
    reader the terms with R are added (Gallas, Bandos, Samuelson & Wagner 2009, doi:10.1080/03610920802610084).
    """
    parts = study.components(biased=biased)[0]
    sizes = np.array([n0, n1, n0 * n1])
    between = {key: float((parts[key][:3] / sizes).sum()) for key in ((a, a), (b, b), (a, b))}
    within = {key: between[key] + float((parts[key][4:] / sizes).sum()) for key in between}
    c = n0 + n1
    if a == b:
        r, error, cov2 = float(parts[a, a][3]), within[a, a], between[a, a]
        readers = _readers(study, a)
        return {
            "or": {"R": r, "cov2": cov2, "error": error},
            "dbm": {"R": r, "C": c * cov2, "RC": c * (error - cov2)},
            "ms": {"R": c * (r + error - cov2), "C": c * (error + (readers - 1) * cov2), "RC": c * (error - cov2)},
        }
    r = float(parts[a, b][3])
    tr = (float(parts[a, a][3]) + float(parts[b, b][3])) / 2 - r
    error, cov2 = (within[a, a] + within[b, b]) / 2, (between[a, a] + between[b, b]) / 2
    cov1, cov3 = within[a, b], between[a, b]
    readers = _readers(study, a)
    rest = error - cov1 - cov2 + cov3
    return {
        "or": {"R": r, "TR": tr, "cov1": cov1, "cov2": cov2, "cov3": cov3, "error": error},
        "dbm": {"R": r, "C": c * cov3, "RC": c * (cov1 - cov3), "TR": tr, "TC": c * (cov2 - cov3), "TRC": c * rest},
        "ms": {
            "R": c * (2 * r + tr + error + cov1 - cov2 - cov3),
            "C": c * (error + cov1 + (readers - 1) * (cov2 + cov3)),
            "RC": c * (error + cov1 - cov2 - cov3),
            "TR": c * (tr + rest),
            "TC": c * (rest + readers * (cov2 - cov3)),
            "TRC": c * rest,
        },
    }


def _readers(study: Moments, a: int) -> float:
    """Return the number of readers of a complete table, from the weight of the reader component."""
    return float(round(1 / study.component_weights()[0, a, a, 3]))


def _without_lone(contrast: Contrast, lone: list[bool]) -> Contrast:
    """Blank the variance where no modality of an entry has two readers: nothing can be said about other readers."""
    return Contrast(contrast.estimate, np.where(np.array(lone)[None], np.nan, contrast.variance), contrast.df)


def _by_reader(numerator: Any, denominator: Any, values: Array, pairs: Pairs) -> tuple[Array, Array, Contrast]:
    """Return each reader's figures with unbiased variance over cases, and differences between modalities."""
    _, R, M = values.shape
    cov = covariance_of_moments(numerator, denominator)[0].reshape(R, M, R, M)
    own = np.einsum("rmrn->rmn", cov)
    first, second = pairs
    spread = own[:, first, first] + own[:, second, second] - 2 * own[:, first, second]
    estimate = values[0][:, first] - values[0][:, second]
    contrast = Contrast(estimate[None], spread[None], np.full_like(estimate[None], np.inf))
    return values[0], np.einsum("rmm->rm", own), contrast


def _warnings(scores: ReaderScores, study: Moments, lone: dict[int, int], contrasts: Contrast | None) -> list[str]:
    """Return what a reader of the numbers should know."""
    found = [
        f"modality {scores.modalities[m]} was read by {scores.readers[r]} alone: it is taken as fixed, and the "
        f"conclusion is about this reader"
        for m, r in lone.items()
    ]
    if len(scores.modalities) == 1:
        found.append("one modality: there is no difference to test")
    if contrasts is not None and (contrasts.variance < 0).any():
        found.append(
            "an unbiased variance is negative: the study is too small for it; see the V-statistic in the components"
        )
    if (study.components()[0, :, :, 3] < 0).any():
        found.append("a reader component of variance is estimated as negative, and left so; read it as small")
    return found
