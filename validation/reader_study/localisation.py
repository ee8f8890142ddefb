"""Figures of merit of localisation studies, with their values after deleting each case, and their analysis.

Definitions follow Chakraborty: a rating of ``-inf`` means "not marked", and two of them are tied.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from validation.errors import DataProblem, UsageProblem
from validation.reader_study.analysis import Analysis, pairs_of_modalities
from validation.reader_study.checks import study_checks
from validation.reader_study.conventions import conventions
from validation.reader_study.covariance import jackknife_covariance
from validation.reader_study.crossed import analyse_crossed
from validation.reader_study.design import inspect
from validation.reader_study.endpoints import FEWER_ARE_BETTER
from validation.reader_study.figures import height_of, mean_height_of
from validation.reader_study.judgement import Claim
from validation.reader_study.marks import MarkedStudy
from validation.reader_study.measured import Measured
from validation.reader_study.plan import AnalysisPlan, needs_marks
from validation.reader_study.standalone import analyse_standalone, system_as_reader

Array = NDArray[np.float64]
Index = NDArray[np.int64]
_LROC = ("partial_alroc", "localisation_at_specificity")  # figures of a part of the LROC curve


def analyse_marks(study: MarkedStudy, plan: AnalysisPlan) -> Analysis:
    """Analyse a localisation study by Obuchowski-Rockette or DBM with jackknife covariance.

    Raises
    ------
    UsageProblem
        If the endpoint is not one of localisation, or another method or covariance than the jackknife is asked for, or
        a one-sided claim about false marks, of which fewer are better.
    DataProblem
        If there are fewer than two cases of a class.
    """
    method = "or" if plan.method == "auto" else plan.method
    needs_marks(plan.endpoint)
    if method == "ustat" or plan.covariance != "jackknife":
        raise UsageProblem(
            "marks are analysed by Obuchowski-Rockette or DBM with jackknife covariance.",
            code="RDR-011",
            where="--method",
            action="Use --method or, or dbm, with --covariance jackknife.",
        )
    one_sided = plan.claim is not Claim.SUPERIORITY or plan.margin > 0 or plan.control or plan.standalone
    if plan.endpoint in FEWER_ARE_BETTER and one_sided:
        raise UsageProblem(
            "of false marks per case fewer are better, so that one-sided claims would point the wrong way.",
            code="RDR-011",
            where="--hypothesis",
            action="Use two-sided superiority without --control and --standalone.",
        )
    n1 = int(study.positive.sum())
    if min(n1, len(study.cases) - n1) < 2:
        raise DataProblem(
            "a localisation study needs at least two cases of each class.",
            code="RDR-014",
            where="truth",
            action="Add cases.",
        )
    scores = study.highest()
    measured = measure_marks(study, plan)
    if plan.standalone is not None:
        scores = system_as_reader(scores, plan.standalone)
        parts = analyse_standalone(scores, plan, plan.standalone, measured=measured)
        used = ["standalone", "marks", "test"]
    else:
        parts = analyse_crossed(scores, plan, method, pairs_of_modalities(scores, plan.control), measured=measured)
        used = [method, "marks", "test"]
    return Analysis(
        plan,
        inspect(scores),
        method,
        warnings=[*parts.pop("warnings"), *study.notes],
        **parts,
        convention=conventions(*used),
        checks=study_checks(scores, plan),
    )


def measure_marks(study: MarkedStudy, plan: AnalysisPlan) -> Measured:
    """Return a figure of merit ``(1, reader, modality)`` and its jackknife covariance over cases.

    Notes
    -----
    - ``wafroc``: mean over non-diseased cases and diseased cases of ``sum_l w_l psi(LL_l, max NL)``: the area under the
      weighted AFROC curve; ``afroc`` weights all lesions of the study equally. ``wafroc1`` and ``afroc1`` take false
      marks from diseased cases too, and are for studies with few non-diseased cases.
    - ``hr_auc``, ``hr_sensitivity``, ``hr_specificity``: of the highest mark of each case; a marked case is positive.
    - ``lesion_fraction``: share of lesions that were marked; ``false_marks``: marks off lesions per non-diseased case;
      ``false_marks_all``: the same per case of either class.
    - ``alroc``: area under the LROC curve, a diseased case counting only if its highest mark lies on a lesion;
      ``partial_alroc``: mean height of that curve over ``band`` of specificity; ``localisation_at_specificity``: its
      height at the specificity ``at``. Points are joined by straight lines.

    References
    ----------
    Chakraborty & Berbaum 2004, doi:10.1118/1.1769352; Chakraborty & Zhai 2016, doi:10.1118/1.4947125 (wAFROC);
    Swensson 1996, doi:10.1118/1.597758 (LROC).
    """
    R, M = len(study.readers), len(study.modalities)
    values, deleted = [], []
    for r in range(R):
        for m in range(M):
            value, without = _figure(study, plan, r, m)
            values.append(value)
            deleted.append(without)
    without_each = np.array(deleted)[None]
    return Measured(np.array(values).reshape(1, R, M), jackknife_covariance(without_each), cases=without_each.shape[-1])


def _figure(study: MarkedStudy, plan: AnalysisPlan, r: int, m: int) -> tuple[float, Array]:
    """Return one reader's figure under one modality, and after deleting each case that it depends on."""
    endpoint, false, lesion = plan.endpoint, study.non_lesion[r, m], study.lesion[r, m]
    diseased = np.flatnonzero(study.positive)
    healthy = np.flatnonzero(~study.positive)
    if endpoint in ("wafroc", "afroc", "wafroc1", "afroc1"):
        weight = study.lesion_weight if endpoint.startswith("w") else np.ones_like(study.lesion_weight)
        rows = np.arange(len(false)) if endpoint.endswith("1") else healthy
        return _pairs(false[rows], lesion, weight, rows, study.lesion_case, len(false))
    if endpoint in ("hr_auc", "alroc", *_LROC):
        best = np.full(len(false), -np.inf)
        np.maximum.at(best, study.lesion_case, lesion)
        if endpoint == "hr_auc":
            rating = np.maximum(best, false)[diseased]
        else:  # where a false mark is rated as high or higher, the case is not localised
            found = np.isfinite(best[diseased]) & (best[diseased] > false[diseased])
            rating = np.where(found, best[diseased], np.nan)
        if endpoint in _LROC:
            return _lroc(false, rating, healthy, diseased, plan)
        return _pairs(false[healthy], rating, np.ones(len(diseased)), healthy, diseased, len(false))
    if endpoint == "lesion_fraction":
        hits = np.zeros(len(false))
        number = np.zeros(len(false))
        np.add.at(hits, study.lesion_case, np.isfinite(lesion).astype(float))
        np.add.at(number, study.lesion_case, 1.0)
        return _ratio(hits[diseased], number[diseased])
    if endpoint == "false_marks":
        return _ratio(study.non_lesion_count[r, m][healthy], np.ones(len(healthy)))
    if endpoint == "false_marks_all":
        return _ratio(study.non_lesion_count[r, m], np.ones(len(false)))
    marked = np.isfinite(false)
    marked[study.lesion_case[np.isfinite(lesion)]] = True
    if endpoint == "hr_sensitivity":
        return _ratio(marked[diseased].astype(float), np.ones(len(diseased)))
    return _ratio(1.0 - marked[healthy], np.ones(len(healthy)))


def _pairs(
    false: Array, lesion: Array, weight: Array, rows: Index, lesion_case: Index, cases: int
) -> tuple[float, Array]:
    """Return the weighted share of right comparisons, and after deleting each case of the study.

    ``rows`` are the cases that give false marks; NaN as a rating of a lesion loses every comparison.
    """
    psi = (lesion > false[:, None]).astype(float) + 0.5 * (lesion == false[:, None])
    by_case = np.zeros((len(rows), cases))
    np.add.at(by_case.T, lesion_case, (psi * weight).T)
    load = np.zeros(cases)
    np.add.at(load, lesion_case, weight)
    total, whole = by_case.sum(), load.sum()
    row_sum, column_sum = np.zeros(cases), by_case.sum(axis=0)
    row_sum[rows] = by_case.sum(axis=1)
    both, gives = np.zeros(cases), np.zeros(cases)
    both[rows] = by_case[np.arange(len(rows)), rows]
    gives[rows] = 1.0
    without = (total - row_sum - column_sum + both) / ((len(rows) - gives) * (whole - load))
    return float(total / (len(rows) * whole)), np.asarray(without, dtype=float)


def _ratio(numerator: Array, denominator: Array) -> tuple[float, Array]:
    """Return a ratio of sums, and after deleting each of its cases."""
    top, bottom = numerator.sum(), denominator.sum()
    return float(top / bottom), np.asarray((top - numerator) / (bottom - denominator), dtype=float)


def _lroc(false: Array, rating: Array, healthy: Index, diseased: Index, plan: AnalysisPlan) -> tuple[float, Array]:
    """Return a figure of a part of the LROC curve, and after deleting each case.

    ``rating`` is that of the diseased cases, NaN where not localised.
    """

    def height(negative: Array, positive: Array) -> float:
        levels = np.unique(np.concatenate([negative, positive[~np.isnan(positive)]]))[::-1]
        fp = np.concatenate([[0.0], (negative[None] >= levels[:, None]).mean(axis=1), [1.0]])
        found = np.concatenate([[0.0], (positive[None] >= levels[:, None]).mean(axis=1)])
        found = np.append(found, found[-1])
        if plan.endpoint == "partial_alroc":
            return mean_height_of(fp, found, 1 - plan.band[1], 1 - plan.band[0])
        return height_of(fp, found, 1 - plan.at)

    without = np.empty(len(false))
    for at, case in enumerate(healthy):
        without[case] = height(np.delete(false[healthy], at), rating)
    for at, case in enumerate(diseased):
        without[case] = height(false[healthy], np.delete(rating, at))
    return height(false[healthy], rating), without
