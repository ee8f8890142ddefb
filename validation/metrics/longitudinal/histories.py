"""Registered metrics of event histories: visit counts, times, code distribution, transitions."""

from __future__ import annotations

import pandas as pd

from validation.estimate import Estimate
from validation.metrics.longitudinal.content import counts_of
from validation.metrics.longitudinal.events import read_histories
from validation.metrics.longitudinal.profiles import code_counts, first_transitions, profile_distance, transitions
from validation.metrics.tabular.marginals import kolmogorov_smirnov
from validation.registry import Direction, Kind, metric


@metric(
    "visit_counts",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="longitudinal",
    reference="Smirnov 1948, doi:10.1214/aoms/1177730256",
    oracle="scipy.stats.ks_2samp (gold reference_longitudinal)",
)
def visit_counts(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    subject: str = "",
    time: str = "",
    code: str = "",
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure Kolmogorov-Smirnov distances of visits per patient, events per visit and times between visits.

    One value per patient, so patients are the units. A visit is a distinct time of a patient.
    """
    h = read_histories(train, synthetic, subject=subject, time=time, code=code)
    made, real = counts_of(h.synthetic), counts_of(h.train)
    return {name: kolmogorov_smirnov(made[name], real[name], level=level)[0] for name in made}


@metric(
    "event_distributions",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="longitudinal",
    reference="total variation; delta method over patients",
    oracle="gold reference_longitudinal",
)
def event_distributions(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    subject: str = "",
    time: str = "",
    code: str = "",
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure total variation distances of codes, of transitions between neighbouring visits, and of first codes.

    ``codes``: all events; ``first_code_transitions``: first code of a visit and of the next one (in file order);
    ``transitions``: all pairs of codes in neighbouring visits, codes beyond the forty commonest taken together;
    ``first_code``: of the first visit. ½ Σ |p - q| over cells, patients as units of the intervals; sparse cells make
    it larger
    than zero for two samples of one population, so compare with the distance of training and holdout.
    """
    h = read_histories(train, synthetic, subject=subject, time=time, code=code)
    pairs = [first_transitions(e, len(h.codes)) for e in (h.synthetic, h.train)]
    made = {
        "codes": [code_counts(e, h) for e in (h.synthetic, h.train)],
        "first_code_transitions": [p[0] for p in pairs],
        "first_code": [p[1] for p in pairs],
        "transitions": [transitions(e, h) for e in (h.synthetic, h.train)],
    }
    return {k: profile_distance(a, b, level=level, seed=seed, what=k)[0] for k, (a, b) in made.items()}
