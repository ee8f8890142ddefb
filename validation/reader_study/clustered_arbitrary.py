"""Several lesions or regions per patient in studies of any design: not every reader read every patient.

U-statistics over patients. With ``theta_m`` the mean of modality ``m`` over all comparisons of its readers, the
covariance of two such means is estimated without bias by ``theta_a theta_b - F``, where ``F`` is the mean product of
two comparisons that share neither a reader nor a patient: its expectation is the product of the true means, given who
read what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

Array = NDArray[np.float64]
_PARTS = ("variance_of_patients", "variance_of_readers")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientProducts:
    """Comparisons of every reader under every modality, ``Q`` of them, reader slowest.

    Parameters
    ----------
    total, count
        ``(Q,)`` sum and number of comparisons (pairs of lesions of different patients, or single decisions).
    free_total, free_count
        ``(Q, Q)`` sums of products, and their numbers, of two comparisons that have no patient in common.
    patients
        Number of patients.
    """

    total: Array
    count: Array
    free_total: Array
    free_count: Array
    patients: int


def analyse_patients(
    scores: ReaderScores, products: PatientProducts, plan: AnalysisPlan, pairs: Pairs
) -> dict[str, Any]:
    """Return the parts of an analysis by the names of the fields of ``Analysis``; random patients.

    The variance of a contrast is split into what different readers share (patients) and the rest (readers, and readers
    by patients), with ``patients - 1`` and ``readers - 1`` degrees of freedom (Satterthwaite); the second uses the
    effective number of readers, ``1 / sum of squared weights``. With fixed readers it is the variance over patients of
    the weighted mean of these readers, with the normal law.
    """
    R, M = len(scores.readers), len(scores.modalities)
    shape = (R, M)
    values = _ratio(products.total, products.count).reshape(shape)
    covariance = _covariance(products).reshape(R, M, R, M)
    contrasts = {(m, m): np.eye(M)[m] for m in range(M)}
    contrasts |= {(a, b): np.eye(M)[a] - np.eye(M)[b] for a, b in zip(*pairs, strict=True)}
    found = {key: _contrast(products, covariance, shape, weights, plan.effects) for key, weights in contrasts.items()}
    single = _gather([found[m, m] for m in range(M)])
    differences = _gather([found[key] for key in zip(*pairs, strict=True)]) if pairs[0] else None
    own = np.einsum("rmrn->rmn", covariance)
    first, second = pairs
    spread = own[:, first, first] + own[:, second, second] - 2 * own[:, first, second]
    by_reader = values[:, first] - values[:, second]
    each = Contrast(by_reader[None], spread[None], np.full((1, *by_reader.shape), np.inf))
    return {
        "modalities": modality_rows(scores, single, plan),
        "differences": difference_rows(scores, differences, plan, pairs) if differences is not None else [],
        "readers": reader_rows(scores, values, np.einsum("rmm->rm", own), plan),
        "reader_differences": reader_difference_rows(scores, each, plan, pairs) if pairs[0] else [],
        "components": {
            f"{part} {scores.modalities[a]}" + ("" if a == b else f" less {scores.modalities[b]}"): number(parts[part])
            for (a, b), parts in found.items()
            for part in _PARTS
        },
        "anova": {},
        "warnings": _warnings(scores, pairs),
    }


def _contrast(
    products: PatientProducts, covariance: Array, shape: tuple[int, int], sign: Array, effects: Effects
) -> dict[str, float]:
    """Return estimate, variance, its two parts, and degrees of freedom of a contrast of modalities."""
    R, M = shape
    count = products.count.reshape(shape)
    weight = _ratio(count, count.sum(axis=0))  # of a reader within a modality
    mean = _ratio(products.total.reshape(shape).sum(axis=0), count.sum(axis=0))
    apart = ~np.eye(R, dtype=bool)
    free = [array.reshape(R, M, R, M) for array in (products.free_total, products.free_count)]
    top, bottom = (np.einsum("rmsn,rs->mn", array, apart) for array in free)
    used = np.outer(sign, sign) != 0
    blank = bool((used & (bottom <= 0)).any())  # no two readers without a common patient
    product = np.where(bottom > 0, _ratio(top, bottom), np.nan)
    variance = float((np.outer(sign, sign) * (np.outer(mean, mean) - product))[used].sum())
    known = np.where(np.isnan(covariance), 0.0, covariance)  # unknown between readers: counts as the readers' own
    if effects is Effects.FRRC:
        total = np.einsum("rmsn,m,n->", weight[:, :, None, None] * weight[None, None] * covariance, sign, sign)
        return {"estimate": float(mean @ sign), "variance": float(total), "df": np.inf} | dict.fromkeys(_PARTS, np.nan)
    among = weight[:, :, None, None] * weight[None, None] * known * apart[:, None, :, None]
    patients = float(np.einsum("rmsn,m,n->", among, sign, sign))
    effective = min(1 / float((weight[:, m] ** 2).sum()) for m in np.flatnonzero(sign))
    readers = max(variance - max(patients, 0.0), 0.0)
    spread = readers**2 / max(effective - 1, 1e-9) + max(patients, 0.0) ** 2 / (products.patients - 1)
    df = variance**2 / spread if spread > 0 and variance > 0 else np.nan
    return {
        "estimate": float(mean @ sign),
        "variance": np.nan if blank else variance,
        "variance_of_patients": patients,
        "variance_of_readers": readers,
        "df": max(df, min(effective - 1, products.patients - 1)) if df > 0 else (np.nan if blank else 1.0),
    }


def _covariance(products: PatientProducts) -> Array:
    """Return the unbiased covariance over patients of every two readings ``(Q, Q)``, given the readers."""
    value = _ratio(products.total, products.count)
    free = _ratio(products.free_total, products.free_count)
    return np.where(products.free_count > 0, np.outer(value, value) - free, np.nan)


def _gather(rows: list[dict[str, float]]) -> Contrast:
    return Contrast(*(np.array([[row[name] for row in rows]]) for name in ("estimate", "variance", "df")))


def _warnings(scores: ReaderScores, pairs: Pairs) -> list[str]:
    found = [
        f"modality {scores.modalities[m]} was read by one reader: nothing can be said about other readers"
        for m in np.flatnonzero(scores.took_part.sum(axis=0) == 1)
    ]
    return found if pairs[0] else [*found, "one modality: there is no difference to test"]


def _ratio(top: Array, bottom: Array) -> Array:
    """Return the ratio, NaN where there is nothing to average."""
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)
