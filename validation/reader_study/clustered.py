"""Several lesions or regions per patient: AUC, sensitivity and specificity of all readers with patients as clusters.

A "case" of the scores is then a lesion or a region, and patients are what was sampled. Covariances of the figures over
patients go into the same Obuchowski-Rockette analysis as those over independent cases.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from validation.errors import DataProblem, UsageProblem
from validation.reader_study.analysis import Analysis, pairs_of_modalities, refuse_impossible
from validation.reader_study.checks import study_checks
from validation.reader_study.clustered_arbitrary import PatientProducts, analyse_patients
from validation.reader_study.conventions import conventions
from validation.reader_study.crossed import analyse_crossed
from validation.reader_study.design import inspect
from validation.reader_study.figures import case_values
from validation.reader_study.measured import SHARES, Measured
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores

Array = NDArray[np.float64]
Index = NDArray[np.int64]
_LABELS = {"sensitivity": "diseased", "specificity": "non-diseased"}


def patients_of(table: pd.DataFrame, column: str, scores: ReaderScores) -> Index:
    """Return the number of the patient of each case of the scores, from a column of the long table.

    Raises
    ------
    DataProblem
        If there is no such column, it has empty cells, or a case belongs to two patients.
    """
    if column not in table.columns:
        raise _refused(f"the table has no column {column!r}.", "Name the column that holds the patients.")
    cases = table["case"].astype("string").str.strip()
    patients = table[column].astype("string").str.strip()
    if patients.isna().any() or (patients == "").any():
        raise _refused(f"column {column!r} has empty cells.", "Give the patient of every row.")
    by_case = patients.groupby(cases)
    if (by_case.nunique() > 1).any():
        raise _refused("a case belongs to two patients.", "Give every lesion or region a name of its own.")
    first = by_case.first()
    return np.asarray(pd.factorize(np.asarray([first[c] for c in scores.cases], dtype=object))[0], dtype=np.int64)


def analyse_clustered(scores: ReaderScores, patients: Index, plan: AnalysisPlan) -> Analysis:
    """Analyse a study whose cases (lesions, regions) are grouped in patients.

    Fully crossed studies by Obuchowski-Rockette, others (or if planned) by U-statistics over patients.

    Parameters
    ----------
    patients
        ``(case,)``: the patient of each case.

    Raises
    ------
    DataProblem
        If cells are missing, or fewer than two patients have cases of a class.
    UsageProblem
        For endpoints and covariances other than those of :func:`measure_clustered`.
    """
    method = plan.method if plan.method != "auto" else "or" if scores.read.all() else "ustat"
    if method == "dbm" or plan.standalone is not None:
        raise UsageProblem(
            "several lesions per patient are analysed by Obuchowski-Rockette or U-statistics.",
            code="RDR-011",
            where="--clusters",
            action="Use --method or, or ustat, without --standalone.",
        )
    design = inspect(scores)
    refuse_impossible(scores, design, method, plan)
    pairs = pairs_of_modalities(scores, plan.control)
    if method == "or":
        parts = analyse_crossed(scores, plan, "or", pairs, measured=measure_clustered(scores, patients, plan))
    else:
        parts = analyse_patients(scores, patient_products(scores, patients, plan), plan, pairs)
    warnings = parts.pop("warnings")
    K = int(patients.max()) + 1
    if len(scores.cases) == K:
        warnings.append("every patient has one case: the analysis is that of independent cases")
    if K < 30:
        warnings.append(f"{K} patients: covariances over so few clusters are themselves uncertain")
    used = ["or", "clustered"] if method == "or" else ["patients"]
    used += (
        {Effects.FRRC: ["fixed_readers"], Effects.RRFC: ["fixed_cases"]}.get(plan.effects, []) if method == "or" else []
    )
    used += ["decisions"] if plan.endpoint in ("sensitivity", "specificity") else []
    return Analysis(
        plan,
        design,
        method,
        **parts,
        convention=conventions(*used, "test"),
        warnings=warnings,
        checks=study_checks(scores, plan),
    )


def patient_products(scores: ReaderScores, patients: Index, plan: AnalysisPlan) -> PatientProducts:
    """Return comparisons and products of comparisons without a common patient; any design.

    ``auc`` compares lesions of different patients only; shares are averages of single decisions or ratings.

    Raises
    ------
    DataProblem
        If fewer than two patients have cases of a class.
    UsageProblem
        For another endpoint.
    """
    K = int(patients.max()) + 1
    if plan.endpoint == "auc":
        apart = ~np.eye(K, dtype=bool)
        sums, counts = (table * apart for table in _pair_table(scores, patients, K))
        _enough(counts.sum(axis=(0, 2)) > 0, "diseased")
        _enough(counts.sum(axis=(0, 1)) > 0, "non-diseased")
        return PatientProducts(
            total=sums.sum(axis=(1, 2)),
            count=counts.sum(axis=(1, 2)),
            free_total=_free_products(sums),
            free_count=_free_products(counts),
            patients=K,
        )
    if plan.endpoint not in SHARES:
        raise UsageProblem(
            f"{plan.endpoint} of several lesions per patient needs a complete table.",
            code="RDR-011",
            where="--clusters",
            action="Use auc or a share (sensitivity, preference, ...), or complete the readings.",
        )
    correct = case_values(scores, plan.endpoint, plan.threshold)
    correct = correct.reshape(-1, correct.shape[-1])
    member = np.eye(K)[patients[_cases_of(scores, plan)]]
    hits, sizes = np.nan_to_num(correct) @ member, (~np.isnan(correct)).astype(float) @ member
    _enough(sizes.sum(axis=0) > 0, _LABELS.get(plan.endpoint, "rated"))
    total, count = hits.sum(axis=1), sizes.sum(axis=1)
    return PatientProducts(
        total=total,
        count=count,
        free_total=np.outer(total, total) - hits @ hits.T,
        free_count=np.outer(count, count) - sizes @ sizes.T,
        patients=K,
    )


def measure_clustered(scores: ReaderScores, patients: Index, plan: AnalysisPlan) -> Measured:
    """Return figures of merit and their covariance over patients.

    - ``auc`` with ``delong``: all pairs; Obuchowski's covariance, which is DeLong's for one case per patient;
    - ``auc`` with ``jackknife``: all pairs; patients are deleted one by one;
    - ``auc`` with ``unbiased``: pairs of two different patients only, and the unbiased U-statistic variance over
      patients (as NestMRMC): pairs within a patient are compared more easily or less, and are another estimand;
    - ``sensitivity``, ``specificity``, ``mean_score``, ``preference`` with ``delong``: ratio of sums over patients,
      linearised; with ``jackknife``: patients deleted one by one.

    References
    ----------
    Obuchowski 1997, doi:10.2307/2533958; Rao & Scott 1992, doi:10.2307/2532311; Gallas et al. 2009,
    doi:10.1080/03610920802610084 (U-statistics).

    Raises
    ------
    DataProblem
        If fewer than two patients have cases of a class.
    UsageProblem
        For another endpoint or covariance.
    """
    shape = (1, len(scores.readers), len(scores.modalities))
    Q, K = shape[1] * shape[2], int(patients.max()) + 1
    if plan.endpoint == "auc" and plan.covariance != "bootstrap":
        values, covariance = _auc(scores, patients, K, plan.covariance)
    elif plan.endpoint in SHARES and plan.covariance in ("delong", "jackknife"):
        correct = case_values(scores, plan.endpoint, plan.threshold).reshape(Q, -1)
        values, covariance = _share(correct, patients[_cases_of(scores, plan)], K, plan)
    else:
        raise UsageProblem(
            f"{plan.endpoint} with {plan.covariance} covariance is not defined for several lesions per patient.",
            code="RDR-011",
            where="--clusters",
            action="Use auc or a share (sensitivity, preference, ...) with delong or jackknife; auc also unbiased.",
        )
    return Measured(values.reshape(shape), covariance[None], cases=K)


def _auc(scores: ReaderScores, patients: Index, K: int, method: str) -> tuple[Array, Array]:
    """Return AUCs ``(Q,)`` and their covariance over patients."""
    sums, by_reading = _pair_table(scores, patients, K)
    counts = by_reading[0]  # the table is complete
    _enough(counts.sum(axis=1) > 0, "diseased")
    _enough(counts.sum(axis=0) > 0, "non-diseased")
    if method == "unbiased":
        apart = ~np.eye(K, dtype=bool)
        sums, counts = sums * apart, counts * apart
    total, pairs = sums.sum(axis=(1, 2)), counts.sum()
    area = total / pairs
    if method == "unbiased":
        free = _free_products(sums) / _free_products(counts[None])[0, 0]
        return area, np.outer(area, area) - free
    if method == "jackknife":
        left = total[:, None] - sums.sum(axis=2) - sums.sum(axis=1) + np.einsum("qkk->qk", sums)
        rest = pairs - counts.sum(axis=1) - counts.sum(axis=0) + np.diagonal(counts)
        return area, _jackknife(left / rest)
    n1, n0 = _sizes(scores, patients, K)
    v10 = sums.sum(axis=2) / n0.sum() - area[:, None] * n1
    v01 = sums.sum(axis=1) / n1.sum() - area[:, None] * n0
    i1, i0 = int((n1 > 0).sum()), int((n0 > 0).sum())
    cross = v10 @ v01.T / (n1.sum() * n0.sum())
    covariance = (
        i1 / (i1 - 1) * (v10 @ v10.T) / n1.sum() ** 2
        + i0 / (i0 - 1) * (v01 @ v01.T) / n0.sum() ** 2
        + K / (K - 1) * (cross + cross.T)
    )
    return area, covariance


def _cases_of(scores: ReaderScores, plan: AnalysisPlan) -> NDArray[np.bool_]:
    """Return the cases that a share is over."""
    everyone = np.ones(len(scores.cases), dtype=bool)
    return {"sensitivity": scores.positive, "specificity": ~scores.positive}.get(plan.endpoint, everyone)


def _pair_table(scores: ReaderScores, patients: Index, K: int) -> tuple[Array, Array]:
    """Return sums of comparisons ``(Q, K, K)`` by patients of the diseased and the other case, and their numbers.

    What was not read (NaN) is neither larger nor equal, and is not counted.
    """
    flat = scores.score.reshape(-1, len(scores.cases))
    at1, at0 = patients[scores.positive], patients[~scores.positive]
    member1, member0 = np.eye(K)[at1], np.eye(K)[at0]
    sums = np.empty((len(flat), K, K))
    for q, row in enumerate(flat):
        x, y = row[scores.positive][:, None], row[~scores.positive][None]
        kernel = ((x > y).astype(np.float64) + (x >= y)) / 2
        sums[q] = member1.T @ kernel @ member0
    read = (~np.isnan(flat)).astype(np.float64)
    n1, n0 = read[:, scores.positive] @ member1, read[:, ~scores.positive] @ member0
    return sums, n1[:, :, None] * n0[:, None, :]


def _sizes(scores: ReaderScores, patients: Index, K: int) -> tuple[Array, Array]:
    """Return numbers of diseased and of other cases per patient."""
    n1 = np.bincount(patients[scores.positive], minlength=K).astype(float)
    return n1, np.bincount(patients[~scores.positive], minlength=K).astype(float)


def _free_products(sums: Array) -> Array:
    """Return sums of products ``X_ij Y_kl`` over four different patients, for tables with an empty diagonal.

    Products over all, less those with ``i = k``, ``i = l``, ``j = k`` or ``j = l``, plus those where two of these hold.
    """
    rows, columns = sums.sum(axis=2), sums.sum(axis=1)
    total = rows.sum(axis=1)
    flat, turned = sums.reshape(len(sums), -1), np.swapaxes(sums, 1, 2).reshape(len(sums), -1)
    one = rows @ rows.T + rows @ columns.T + columns @ rows.T + columns @ columns.T
    return np.asarray(np.outer(total, total) - one + flat @ flat.T + flat @ turned.T)


def _share(correct: Array, patients: Index, K: int, plan: AnalysisPlan) -> tuple[Array, Array]:
    """Return shares ``(Q,)`` and their covariance over patients."""
    member = np.eye(K)[patients]
    sizes = member.sum(axis=0)
    here = sizes > 0
    _enough(here, _LABELS.get(plan.endpoint, "rated"))
    hits, sizes = (correct @ member)[:, here], sizes[here]
    n, G = sizes.sum(), len(sizes)
    value = hits.sum(axis=1) / n
    if plan.covariance == "jackknife":
        return value, _jackknife((hits.sum(axis=1, keepdims=True) - hits) / (n - sizes))
    residual = (hits - value[:, None] * sizes) / n
    return value, np.asarray(G / (G - 1) * residual @ residual.T)


def _jackknife(deleted: Array) -> Array:
    """Return the covariance from values ``(Q, patient)`` after deleting each patient."""
    G = deleted.shape[1]
    centred = deleted - deleted.mean(axis=1, keepdims=True)
    return np.asarray((G - 1) / G * centred @ centred.T)


def _enough(has: NDArray[np.bool_], label: str) -> None:
    """Refuse fewer than two patients of a class."""
    if int(has.sum()) < 2:
        raise _refused(f"{int(has.sum())} patients have {label} cases; two are needed.", "Add patients.")


def _refused(what: str, action: str) -> DataProblem:
    return DataProblem(
        what,
        code="RDR-018",
        where="--clusters",
        why="Lesions of one patient are alike, so that the patients are the sample.",
        action=action,
    )
