"""Free-response detection by a standalone system: lesions found against false marks per image."""

from __future__ import annotations

import numpy as np
import pandas as pd

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.metrics.detection.tables import column, numbers
from validation.registry import Direction, Kind, metric
from validation.statistics.clusters import group
from validation.statistics.free_response import FreeResponse, at_rates
from validation.statistics.resampling import Statistic, bootstrap, bootstrap_estimate


@metric(
    "froc",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.ESTIMATE,
    roles=("cases", "marks"),
    reference="Chakraborty 1989, doi:10.1118/1.596358; Bandos 2009, doi:10.1111/j.1541-0420.2008.01049.x; "
    "Samuelson and Petrick 2006, IEEE ISBI, 1312-1315 (bootstrap)",
    oracle="counts by construction; a direct count of the marks of reference/own",
    family="detection",
)
def froc(
    cases: pd.DataFrame,
    marks: pd.DataFrame,
    *,
    rates: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    replicates: int = 2000,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Share of lesions found at given numbers of false marks per image, and their mean.

    A lesion that no mark hits is missed at every threshold; a second mark on a lesion counts neither as a find nor as
    false. The threshold of a rate is the lowest at which false marks per image do not exceed it. Intervals resample
    patients with all their images, lesions and marks.

    Components ``sensitivity at 0.5 per image``, ..., and ``mean sensitivity`` over the rates.

    Parameters
    ----------
    cases
        One row per lesion, or per image without one (``lesion`` empty): ``case``, ``lesion``, optional ``patient``.
    marks
        One row per mark: columns ``case``, ``score`` and ``lesion`` (the lesion hit, empty for a false mark).
    rates
        False marks per image.
    replicates
        Bootstrap samples.
    """
    if not rates or min(rates) <= 0 or replicates < 100:
        raise UsageProblem(
            f"rates are {rates}, replicates {replicates}.",
            code="MET-014",
            where="rates, replicates",
            action="Give positive rates and at least 100 replicates.",
        )
    data = free_response(cases, marks)
    n = len(data.lesion_score)
    groups = len(data.images)

    def estimate(statistic: Statistic, what: str) -> Estimate:
        if n == 0 or groups < 2:
            return Estimate.insufficient(
                "no lesion, or one patient only", n=n, unit="1", method=what, level=level, n_clusters=groups
            )
        fit = bootstrap(statistic, groups, replicates=replicates, seed=1)
        return bootstrap_estimate(fit, n=n, n_clusters=groups, level=level, unit="1", what=what)

    found = {
        f"sensitivity at {rate:g} per image": estimate(at_rates(data, (rate,)), f"lesion sensitivity at {rate:g}")
        for rate in rates
    }
    found["mean sensitivity"] = estimate(at_rates(data, tuple(rates)), "mean lesion sensitivity over the rates")
    return found


def free_response(cases: pd.DataFrame, marks: pd.DataFrame) -> FreeResponse:
    """Return lesions, false marks and images by patient, refusing marks that fit no case or lesion (``MET-032``)."""
    images = column(cases, "case", role="cases").astype(str)
    owners = cases["patient"].astype(str) if "patient" in cases else images
    patient_of = dict(zip(images, owners, strict=True))
    lesions = cases.assign(_case=images)[column(cases, "lesion", role="cases").notna()]
    keys = list(zip(lesions["_case"], lesions["lesion"].astype(str), strict=True))
    scores = numbers(marks, "score", role="marks")
    where = column(marks, "case", role="marks").astype(str).tolist()
    hit = column(marks, "lesion", role="marks")
    best = dict.fromkeys(keys, -np.inf)
    false: list[tuple[float, str]] = []
    unknown = 0
    for case, lesion, score in zip(where, hit, scores, strict=True):
        if case not in patient_of:
            unknown += 1
        elif pd.isna(lesion):
            false.append((float(score), patient_of[case]))
        elif (case, str(lesion)) in best:
            best[case, str(lesion)] = max(best[case, str(lesion)], float(score))
        else:
            unknown += 1
    if unknown or len(best) < len(keys):
        raise DataProblem(
            f"{unknown} marks name a case or lesion that is not in the table of cases"
            if unknown
            else "a lesion stands twice in the table of cases.",
            code="MET-032",
            where="marks" if unknown else "cases",
            why="A mark that belongs nowhere can be counted neither as a find nor as false.",
            action="Make the case and lesion names of both tables agree.",
        )
    unique = images.drop_duplicates()
    groups = group([patient_of[c] for c in unique], len(unique))
    code = {patient_of[c]: int(k) for c, k in zip(unique, groups.codes, strict=True)}
    return FreeResponse(
        np.array([best[k] for k in keys], dtype=np.float64),
        np.array([code[patient_of[k[0]]] for k in keys], dtype=np.intp),
        np.array([s for s, _ in false], dtype=np.float64),
        np.array([code[p] for _, p in false], dtype=np.intp),
        groups.sizes,
    )
