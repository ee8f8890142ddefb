"""How findings about patients are judged: one value per patient, pooled profiles, and means of many features."""

from __future__ import annotations

from typing import Any

from validation.metrics.findings import Finding
from validation.metrics.longitudinal.events import Floats, Histories
from validation.metrics.longitudinal.profiles import mean_distance, profile_distance
from validation.metrics.tabular.marginals import kolmogorov_smirnov, too_little
from validation.registry import Direction

NULL = "synthetic and real patients are exchangeable"
PERMUTED = NULL + " (permutation of patients, gamma tail)"


def per_patient(
    name: str,
    component: str,
    made: Floats,
    real: Floats,
    ceiling: tuple[Floats, Floats] | None,
    *,
    level: float,
    margin: float,
    subgroup: str = "",
) -> Finding:
    """Judge a quantity with one value per patient by the Kolmogorov-Smirnov distance."""
    estimate, p = kolmogorov_smirnov(made, real, level=level)
    return Finding(
        metric=name,
        component=component,
        subgroup=subgroup,
        estimate=estimate,
        p_value=p,
        null=NULL,
        direction=Direction.LOWER.value,
        rule=f"adjusted p at most alpha and distance above {margin:g}",
        exceeds=(estimate.value or 0.0) > margin,
        ceiling=None if ceiling is None else kolmogorov_smirnov(*ceiling, level=level)[0],
        too_little=too_little(len(made), len(real)),
        reference="Smirnov 1948, doi:10.1214/aoms/1177730256",
    )


def profile(
    name: str, component: str, make: Any, h: Histories, *, level: float, margin: float, seed: int, reference: str = ""
) -> Finding:
    """Judge the total variation of pooled profiles, with its ceiling between training and holdout."""
    made, real = make(h.synthetic), make(h.real)
    estimate, p = profile_distance(made, real, level=level, seed=seed, what=component)
    ceiling = None
    if h.holdout is not None:
        ceiling, _ = profile_distance(make(h.train), make(h.holdout), level=level, seed=seed, what=component)
    return Finding(
        metric=name,
        component=component,
        estimate=estimate,
        p_value=p,
        null=PERMUTED,
        direction=Direction.LOWER.value,
        rule=f"adjusted p at most alpha and distance above {margin:g}",
        exceeds=(estimate.value or 0.0) > margin,
        ceiling=ceiling,
        reference=reference or "doi:10.1016/j.neuroimage.2016.05.068 (tail of the permutation null)",
        note=""
        if ceiling is None or ceiling.value is None or estimate.value is None or estimate.value <= 3 * ceiling.value
        else "more than three times the distance between training and holdout",
    )


def largest_mean(name: str, what: str, make: Any, names: Any, h: Histories, *, level: float, seed: int) -> Finding:
    """Judge the feature whose mean differs most in standard errors."""
    estimate, p, at = mean_distance(make(h.synthetic), make(h.real), level=level, seed=seed, what=what)
    return Finding(
        metric=name,
        component=names(at) if at >= 0 else what,
        estimate=estimate,
        p_value=p,
        null=PERMUTED.replace("gamma", "largest |t|, gamma"),
        rule="adjusted p at most alpha (largest |t| over all features)",
        direction=Direction.ZERO.value,
        reference="Westfall and Young 1993 (largest statistic); doi:10.1016/j.neuroimage.2016.05.068",
    )
