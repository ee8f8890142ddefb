"""Figures of merit of fitted ROC curves with jackknife covariance, and parametric beside non-parametric results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.errors import DataProblem, UsageProblem
from validation.reader_study.analysis import pairs_of_modalities
from validation.reader_study.covariance import jackknife_covariance
from validation.reader_study.curve_laws import Curve, curve_auc, curve_points
from validation.reader_study.figures import empirical_roc, expected_utility_of, height_of, mean_height_of
from validation.reader_study.measured import Measured, measure
from validation.reader_study.obuchowski_rockette import components, modality_differences, modality_means
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.rating_counts import fitted_categories, goodness_of_fit, rating_counts
from validation.reader_study.rating_curves import FittedCurves, fit_curves
from validation.reader_study.rows import Pairs, difference_rows, modality_rows, number
from validation.reader_study.scores import ReaderScores

Array = NDArray[np.float64]
_REPLICATES = 199


def measure_fitted(scores: ReaderScores, plan: AnalysisPlan) -> Measured:
    """Return a figure of fitted curves ``(1, reader, modality)`` with its jackknife covariance over cases.

    Every curve is fitted again after deleting a case; cases of one class and category give the same curve, so that few
    fits are needed. A reader whose likelihood is greatest for the perfect curve counts with AUC 1 and no case variance.

    Raises
    ------
    UsageProblem
        If another covariance than the jackknife is asked for.
    DataProblem
        If a curve cannot be fitted to all cases, or with one of them left out, with the reason.
    """
    if plan.covariance != "jackknife":
        raise UsageProblem(
            f"a fitted curve has no {plan.covariance} covariance here.",
            code="RDR-011",
            where="--covariance",
            action="Use --covariance jackknife.",
        )
    curve = curve_of(plan)
    values, deleted = [], []
    for r, reader in enumerate(scores.readers):
        for m, modality in enumerate(scores.modalities):
            counts, place = rating_counts(scores.score[r, m], scores.positive)
            patterns = [(k, c) for k in (0, 1) for c in range(counts.shape[1]) if counts[k, c] > 0]
            without = [counts - _one(counts.shape, k, c) for k, c in patterns]
            whole = fit_curves([counts], curve)
            fits = fit_curves(without, curve, near=whole.shape[0])
            bad = next((why for why in (*whole.reason, *fits.reason) if why), "")
            if bad:
                left = "" if whole.reason[0] else " once a case is left out"
                raise DataProblem(
                    f"the {curve} curve of reader {reader} under {modality} cannot be fitted{left}: {bad}.",
                    code="RDR-017",
                    where="--endpoint",
                    why="A parametric curve needs ratings that several thresholds tell apart.",
                    action="Use the empirical figure (--endpoint auc or --curve empirical), or the analysis that the "
                    "protocol fixed for this event.",
                )
            values += _figures(whole, plan)
            lookup = dict(zip(patterns, _figures(fits, plan), strict=True))
            deleted.append([lookup[int(p), int(c)] for p, c in zip(scores.positive, place, strict=True)])
    shape = (1, len(scores.readers), len(scores.modalities))
    return Measured(np.array(values).reshape(shape), jackknife_covariance(np.array(deleted)[None]))


def curve_of(plan: AnalysisPlan) -> Curve:
    """Return the curve that an endpoint rests on."""
    named: dict[str, Curve] = {"binormal_auc": "binormal", "proper_auc": "proper"}
    if plan.endpoint in named:
        return named[plan.endpoint]
    return "proper" if plan.curve == "proper" else "binormal"


def curve_fits(scores: ReaderScores) -> list[dict[str, Any]]:
    """Return, per reader and modality, the empirical AUC beside both fitted curves with a test of their fit.

    Keys: ``reader``, ``modality``, ``empirical_auc``, and ``binormal`` and ``proper`` with ``auc``, ``parameters``,
    ``goodness_of_fit`` (Pearson's chi-square; where counts are too small for it, a parametric bootstrap of the
    binormal deviance), ``perfect``, ``reason``. A reader who lacks one
    class of cases has a reason and no numbers.
    """
    from scipy import stats

    rows: list[dict[str, Any]] = []
    cells = [(int(r), int(m)) for r, m in np.argwhere(scores.took_part)]
    tables = []
    for r, m in cells:
        read = scores.read[r, m]
        tables.append(rating_counts(scores.score[r, m, read], scores.positive[read])[0])
    fits = {curve: fit_curves(tables, curve) for curve in ("binormal", "proper")}
    for i, (r, m) in enumerate(cells):
        row: dict[str, Any] = {"reader": scores.readers[r], "modality": scores.modalities[m]}
        row["empirical_auc"] = _empirical_auc(tables[i])
        for curve, fit in fits.items():
            row[curve] = _fit_row(fit, tables[i], i, stats.chi2)
        rows.append(row)
    return rows


def side_by_side(scores: ReaderScores, plan: AnalysisPlan, pairs: Pairs) -> list[dict[str, Any]]:
    """Return the same analysis with the empirical, the binormal and the proper AUC: modalities and differences.

    The planned endpoint stays the one that is judged; these rows are what FDA 2022 section IV.A asks to see beside each
    other. Where a curve cannot be fitted the row says why.
    """
    rows = []
    for endpoint in ("auc", "binormal_auc", "proper_auc"):
        one = replace(plan, endpoint=endpoint, covariance="jackknife", curve="empirical", method="or")
        row: dict[str, Any] = {"endpoint": endpoint, "modalities": [], "differences": [], "reason": ""}
        try:
            measured = measure(scores, one)
        except DataProblem as problem:
            row["reason"] = problem.what
        else:
            study = components(measured.values, measured.covariance)
            row["modalities"] = modality_rows(scores, modality_means(study, one.effects), one)
            if pairs[0]:
                row["differences"] = difference_rows(
                    scores, modality_differences(study, one.effects, *pairs), one, pairs
                )
        rows.append(row)
    return rows


def fit_statement(rows: list[dict[str, Any]]) -> str:
    """Return one sentence on how the fitted curves of :func:`curve_fits` stand to the ratings."""
    parts = []
    for curve in ("binormal", "proper"):
        tests = [row[curve]["goodness_of_fit"]["p_value"] for row in rows]
        tested = [p for p in tests if p is not None]
        poor = sum(p < 0.05 / max(1, len(tested)) for p in tested)
        missing = sum(bool(row[curve]["reason"]) for row in rows)
        parts.append(
            f"{curve} curves: {len(rows) - missing} of {len(rows)} fitted, fit could be tested for {len(tested)}, "
            f"rejected for {poor} (5 % over all of them after Bonferroni)"
        )
    return "; ".join(parts) + "."


def fitted_record(scores: ReaderScores, plan: AnalysisPlan) -> dict[str, Any]:
    """Return ``curves``, ``fit_statement`` and, for complete studies, ``side_by_side``, as added to an analysis.

    Raises
    ------
    UsageProblem
        If there is no reference standard, so that there is no ROC curve.
    """
    if scores.positive.all() or not scores.positive.any():
        raise UsageProblem("cases of one class have no ROC curve.", code="RDR-011", where="--curves")
    rows = curve_fits(scores)
    record: dict[str, Any] = {"curves": rows, "fit_statement": fit_statement(rows), "side_by_side": []}
    if scores.read.all() and plan.standalone is None:
        record["side_by_side"] = side_by_side(scores, plan, pairs_of_modalities(scores, plan.control))
    return record


def fitted_text(record: dict[str, Any]) -> str:
    """Return the same as text."""
    lines = ["", "AUC, empirical beside fitted:"]
    for row in record["side_by_side"]:
        if row["reason"]:
            lines.append(f"  {row['endpoint']}: not fitted; {row['reason']}")
        for d in row["differences"]:
            if d["lower"] is None:
                lines.append(f"  {row['endpoint']}: {d['a']} − {d['b']}: no interval; {d['reason']}")
                continue
            lines.append(
                f"  {row['endpoint']}: {d['a']} − {d['b']} {d['estimate']:.4f} [{d['lower']:.4f}, {d['upper']:.4f}]"
            )
    return "\n".join([*lines, f"Fit: {record['fit_statement']}"])


def _one(shape: tuple[int, ...], k: int, c: int) -> Array:
    single = np.zeros(shape)
    single[k, c] = 1.0
    return single


def _figures(fits: FittedCurves, plan: AnalysisPlan) -> list[float]:
    """Return the planned figure of every curve of a batch."""
    if plan.endpoint in ("auc", "binormal_auc", "proper_auc"):
        return [1.0 if p else float(a) for p, a in zip(fits.perfect, curve_auc(fits.curve, fits.shape), strict=True)]
    out = []
    for perfect, shape in zip(fits.perfect, fits.shape, strict=True):
        fp, tp = (np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0])) if perfect else curve_points(fits.curve, shape)
        if plan.endpoint == "expected_utility":
            out.append(expected_utility_of(fp, tp, plan.slope))
            continue
        mirrored = plan.endpoint == "specificity_at_sensitivity" or (
            plan.endpoint == "partial_auc" and plan.band_of == "sensitivity"
        )
        x, y = (1 - tp[::-1], 1 - fp[::-1]) if mirrored else (fp, tp)
        if plan.endpoint == "partial_auc":
            out.append(mean_height_of(x, y, 1 - plan.band[1], 1 - plan.band[0]))
        else:
            out.append(height_of(x, y, 1 - plan.at))
    return out


def _fit_row(fit: FittedCurves, counts: Array, i: int, chi2: Any) -> dict[str, Any]:
    names = ("a", "b") if fit.curve == "binormal" else ("d_a", "c")
    expected = fit.expected[i]
    test: dict[str, Any] = {"method": None, "statistic": None, "df": None, "p_value": None, "reason": fit.reason[i]}
    if fit.perfect[i]:
        test["reason"] = "the curve is perfect: every count is fitted exactly in the limit"
    elif expected is not None:
        statistic, df, why = goodness_of_fit(fitted_categories(counts), expected)
        if statistic is not None:
            p = float(chi2.sf(statistic, df))
            test = {"method": "Pearson chi-square", "statistic": statistic, "df": df, "p_value": p, "reason": ""}
        elif fit.curve == "binormal":
            test = _bootstrap_of_fit(fitted_categories(counts), expected)
        else:
            test["reason"] = why
    return {
        "auc": 1.0 if fit.perfect[i] else number(curve_auc(fit.curve, fit.shape[i])),
        "parameters": {name: number(v) for name, v in zip(names, fit.shape[i], strict=True)},
        "perfect": bool(fit.perfect[i]),
        "goodness_of_fit": test,
        "reason": fit.reason[i],
    }


def _bootstrap_of_fit(observed: Array, expected: Array) -> dict[str, Any]:
    """Test the binormal fit of small counts: deviance against that of tables drawn from the fit and fitted again.

    ``p = (1 + number as large) / (1 + number fitted)``; tables that fix no curve are left out and counted.
    """
    rng = np.random.default_rng(1)
    shares = expected / expected.sum(axis=1, keepdims=True)
    drawn = [rng.multinomial(int(observed[k].sum()), shares[k], size=_REPLICATES) for k in (0, 1)]
    tables = [np.stack([x, y]).astype(float) for x, y in zip(*drawn, strict=True)]
    fits = fit_curves(tables, "binormal")
    deviances = [
        0.0 if fits.perfect[i] else _deviance(fitted_categories(tables[i]), e)
        for i, e in enumerate(fits.expected)
        if e is not None or fits.perfect[i]
    ]
    own = _deviance(observed, expected)
    record: dict[str, Any] = {"method": "parametric bootstrap of the deviance", "statistic": own, "df": None}
    if len(deviances) < _REPLICATES // 2:
        lost = _REPLICATES - len(deviances)
        why = f"{lost} of {_REPLICATES} tables drawn from the fit fix no curve themselves"
        return {**record, "p_value": None, "reason": why}
    larger = sum(d >= own - 1e-9 for d in deviances)
    return {**record, "p_value": (1 + larger) / (1 + len(deviances)), "reason": ""}


def _deviance(observed: Array, expected: Array | None) -> float:
    """Return twice the log-likelihood ratio of the saturated table and the fit."""
    if expected is None:
        return 0.0
    seen = observed > 0
    return float(2 * (observed[seen] * np.log(observed[seen] / expected[seen])).sum())


def _empirical_auc(counts: Array) -> float | None:
    """Return the trapezoidal area of rating counts; joined runs of one class leave it as it was."""
    n = counts.sum(axis=1)
    if (n == 0).any():
        return None
    place = np.arange(counts.shape[1], dtype=float)
    score = np.concatenate([np.repeat(place, counts[k].astype(int)) for k in (0, 1)])
    positive = np.arange(len(score)) >= int(n[0])
    fp, tp = empirical_roc(score, positive)
    return float(np.trapezoid(tp, fp))
