"""Where the variances of a planned study come from: a pilot's scores, published parameters, or a conjecture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.errors import DataProblem, UsageProblem
from validation.reader_study.endpoints import NO_TRUTH, Endpoint
from validation.reader_study.localisation import measure_marks
from validation.reader_study.marks import MarkedStudy
from validation.reader_study.measured import SHARES, measure, study_products
from validation.reader_study.obuchowski_rockette import ObuchowskiRockette, components
from validation.reader_study.plan import AnalysisPlan, needs_marks, needs_no_marks
from validation.reader_study.roe_metz import RoeMetz
from validation.reader_study.roe_metz_theory import RocketteParameters, calibrated, rockette_parameters
from validation.reader_study.scores import ReaderScores
from validation.reader_study.ustatistics import moments

Array = NDArray[np.float64]

# expected range of a normal sample of n in standard deviations (Tippett 1925, Biometrika 17:364-387)
_MAX_RANGE_SAMPLE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """Variances of two modalities that a new study is planned from.

    Parameters
    ----------
    parameters
        Obuchowski-Rockette parameters at the pilot's numbers of cases.
    readers
        Number of readers of the pilot; ``None`` where the parameters did not come from scores.
    by_class
        ``(4, 3)``: Var, Cov1, Cov2, Cov3, each as the parts that fall with the number of non-diseased cases, of
        diseased cases, and of their product, from U-statistics; ``None`` without scores.
    var_reader_modality_ustat
        Reader by modality component of the same U-statistics.
    source
        Where the variances come from, in words.
    endpoint
        What the variances are of.
    """

    parameters: RocketteParameters
    readers: int | None
    by_class: Array | None
    var_reader_modality_ustat: float | None
    source: str
    endpoint: Endpoint = "auc"


def pilot_from_scores(
    scores: ReaderScores, modalities: tuple[str, str] | None = None, plan: AnalysisPlan | None = None
) -> Pilot:
    """Return the variances of a fully crossed pilot, with jackknife covariance; empirical AUC unless planned otherwise.

    Parameters
    ----------
    modalities
        The two to compare; may be omitted if the pilot has two.
    plan
        Names the endpoint and its settings (threshold, band, fixed specificity, ...).

    Raises
    ------
    DataProblem
        If the pilot is not fully crossed, has fewer than two readers or three cases of a class.
    UsageProblem
        If the modalities are not two of the pilot's.
    """
    plan = replace(plan or AnalysisPlan(), method="or", covariance="jackknife", standalone=None)
    needs_no_marks(plan.endpoint)
    study = scores.select(modalities=_two(modalities, scores.modalities))
    n1 = int(study.positive.sum())
    n0 = len(study.cases) - n1
    smallest = n0 + n1 if plan.endpoint in NO_TRUTH else min(n0, n1)
    if not study.read.all() or len(study.readers) < 2 or smallest < 3:
        raise _unusable("the pilot is not fully crossed, or has fewer than two readers or three cases of a class.")
    found = measure(study, plan)
    by_class = reader = None
    if plan.endpoint in ("auc", *SHARES):
        bck = moments(*study_products(study, plan)).components()[0]
        by_class = class_parts(bck)
        reader = float((bck[0, 0, 3] + bck[1, 1, 3]) / 2 - bck[0, 1, 3])
    R = len(study.readers)
    return Pilot(
        parameters=rockette_of(components(found.values, found.covariance), n0, n1),
        readers=R,
        by_class=by_class,
        var_reader_modality_ustat=reader,
        source=f"pilot of {R} readers, {n0} non-diseased and {n1} diseased cases",
        endpoint=plan.endpoint,
    )


def pilot_from_marks(study: MarkedStudy, plan: AnalysisPlan, modalities: tuple[str, str] | None = None) -> Pilot:
    """Return the variances of a localisation figure of merit from a pilot of marks, with jackknife covariance.

    Raises
    ------
    DataProblem
        If the pilot has fewer than two readers or three cases of a class.
    UsageProblem
        If the modalities are not two of the pilot's.
    """
    needs_marks(plan.endpoint)
    at = [study.modalities.index(name) for name in _two(modalities, study.modalities)]
    n1 = int(study.positive.sum())
    n0 = len(study.cases) - n1
    R, M = len(study.readers), len(study.modalities)
    if R < 2 or min(n0, n1) < 3:
        raise _unusable("the pilot has fewer than two readers or three cases of a class.")
    found = measure_marks(study, plan)
    rows = [r * M + m for r in range(R) for m in at]
    return Pilot(
        parameters=rockette_of(components(found.values[:, :, at], found.covariance[:, rows][:, :, rows]), n0, n1),
        readers=R,
        by_class=None,
        var_reader_modality_ustat=None,
        source=f"pilot of {R} readers who marked {n0} non-diseased and {n1} diseased cases",
        endpoint=plan.endpoint,
    )


def _two(modalities: tuple[str, str] | None, known: tuple[str, ...]) -> list[str]:
    """Return the two modalities to compare."""
    names = modalities or known
    if len(set(names)) != 2 or not set(names) <= set(known):
        raise UsageProblem(
            "sizing compares two modalities of the pilot.",
            code="RDR-022",
            where="--modalities",
            action=f"Name two of {', '.join(known)}.",
        )
    return list(names)


def _unusable(what: str) -> DataProblem:
    return DataProblem(
        what,
        code="RDR-022",
        where="pilot",
        why="Variance components for a plan come from complete tables; fewer readers say nothing about others.",
        action="Complete the pilot, or give published or conjectured parameters.",
    )


def rockette_of(study: ObuchowskiRockette, negatives: int, positives: int, trial: int = 0) -> RocketteParameters:
    """Return the parameters of one trial of an Obuchowski-Rockette analysis of two modalities."""
    auc = study.values[trial].mean(axis=0)
    return RocketteParameters(
        auc=(float(auc[0]), float(auc[1])),
        var_reader=float(study.var_r[trial]),
        var_reader_modality=float(study.var_tr[trial]),
        var_error=float(study.variance[trial]),
        cov1=float(study.cov1[trial]),
        cov2=float(study.cov2[trial]),
        cov3=float(study.cov3[trial]),
        negatives=negatives,
        positives=positives,
    )


def class_parts(components_bck: Array) -> Array:
    """Return ``(4, 3)``: Var, Cov1, Cov2, Cov3 in parts of N, D and ND, from components N, D, ND, R, NR, DR, RND."""
    between = components_bck[..., :3]
    within = between + components_bck[..., 4:]
    parts = [p for q in (within, between) for p in ((q[0, 0] + q[1, 1]) / 2, q[0, 1])]
    return np.stack(parts)


def read_parameters(path: Path) -> Pilot:
    """Read published parameters from a YAML file.

    Keys: ``auc`` (two numbers), ``var_reader``, ``var_reader_modality``, ``var_error``, ``negatives``, ``positives``,
    ``source``, and either ``cov1, cov2, cov3`` or ``correlation1, correlation2, correlation3``.

    Raises
    ------
    UsageProblem
        If the file cannot be read or a key is missing, unknown or not a number.
    """
    import yaml

    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise _bad(f"{path.name} cannot be read as YAML ({type(problem).__name__}).") from problem
    if not isinstance(record, dict):
        raise _bad(f"{path.name} does not hold keys and values.")
    source = str(record.pop("source", path.name))
    correlations = any(f"correlation{k}" in record for k in (1, 2, 3))
    covs = [f"correlation{k}" if correlations else f"cov{k}" for k in (1, 2, 3)]
    keys = ["auc", "var_reader", "var_reader_modality", "var_error", "negatives", "positives", *covs]
    if set(record) != set(keys):
        odd = sorted(set(map(str, record)) ^ set(keys))
        raise _bad(f"{path.name} must have exactly the keys {', '.join(keys)} (and source); look at {', '.join(odd)}.")
    try:
        auc = tuple(float(a) for a in record.pop("auc"))
        numbers = {key: float(value) for key, value in record.items()}
    except (TypeError, ValueError) as problem:
        raise _bad(f"{path.name} holds something else than numbers.") from problem
    if not all(np.isfinite([*auc, *numbers.values()])):
        raise _bad(f"{path.name} holds a number that is not finite.")
    scale = numbers["var_error"] if correlations else 1.0
    return published_pilot(
        RocketteParameters(
            auc=(auc[0], auc[-1]),
            var_reader=numbers["var_reader"],
            var_reader_modality=numbers["var_reader_modality"],
            var_error=numbers["var_error"],
            cov1=numbers[covs[0]] * scale,
            cov2=numbers[covs[1]] * scale,
            cov3=numbers[covs[2]] * scale,
            negatives=int(numbers["negatives"]),
            positives=int(numbers["positives"]),
        ),
        source,
    )


def published_pilot(parameters: RocketteParameters, source: str) -> Pilot:
    """Return a pilot from parameters alone, checked.

    Raises
    ------
    UsageProblem
        If an AUC is outside 0..1, the error variance or a number of cases is not positive, or a correlation is not
        between -1 and 1.
    """
    p = parameters
    covs = (p.cov1, p.cov2, p.cov3)
    sound = p.var_error > 0 and all(abs(c) <= p.var_error for c in covs) and min(p.negatives, p.positives) >= 2
    if not sound or not all(0 < a < 1 for a in p.auc):
        raise _bad(
            "the parameters are impossible: AUC in (0, 1), a positive error variance not below any covariance, and at "
            "least two cases of each class are needed."
        )
    return Pilot(parameters=p, readers=None, by_class=None, var_reader_modality_ustat=None, source=source)


def conjectured_pilot(
    *,
    auc: float,
    readers: int,
    range_between: float,
    range_within: float = 0.0,
    correlation1: float = 0.47,
    correlation2: float = 0.3,
    correlation3: float = 0.3,
    reader_correlation: float = 0.8,
    negatives_per_positive: float = 1.0,
) -> Pilot:
    """Return the variances conjectured from the expected range of the readers' AUCs.

    The range over ``readers`` readers, divided by the expected range of as many standard normal variates, is
    the standard deviation between readers; the range of one reader reading twice likewise gives the variance
    within. A share ``1 - reader_correlation`` of the variance between readers is reader by modality. The
    sampling variance of an AUC is ``0.0099 exp(-A**2 / 2) (5 A**2 + 8 + (A**2 + 8) / R) / n1`` with ``A =
    sqrt(2) z(auc)`` and ``R`` non-diseased per diseased case.

    References
    ----------
    Obuchowski 2000, doi:10.2214/ajr.175.3.1750603 (ranges, correlations); Obuchowski 1994, Investigative Radiology
    29:238-243, doi:10.1097/00004424-199402000-00020 (variance).

    Raises
    ------
    UsageProblem
        If a value is out of range.
    """
    from scipy.special import ndtri

    fine = 0.5 < auc < 1 and 2 <= readers <= _MAX_RANGE_SAMPLE and range_between > 0 and range_within >= 0
    if not fine or not (0 <= reader_correlation <= 1 and negatives_per_positive > 0):
        raise _bad("a conjecture needs an AUC in (0.5, 1), two readers or more, a range and a ratio above 0.")
    spread = (range_between / expected_range(readers)) ** 2
    within = (range_within / expected_range(2)) ** 2
    a2 = 2 * float(ndtri(auc)) ** 2
    n1 = 1000
    n0 = max(2, round(n1 * negatives_per_positive))
    error = 0.0099 * np.exp(-a2 / 2) * (5 * a2 + 8 + (a2 + 8) / negatives_per_positive) / n1
    return published_pilot(
        RocketteParameters(
            auc=(auc, auc),
            var_reader=spread * reader_correlation,
            var_reader_modality=spread * (1 - reader_correlation) + within,
            var_error=float(error),
            cov1=float(error) * correlation1,
            cov2=float(error) * correlation2,
            cov3=float(error) * correlation3,
            negatives=n0,
            positives=n1,
        ),
        f"conjecture: AUC {auc:g}, range {range_between:g} over {readers} readers",
    )


def expected_range(n: int) -> float:
    """Return the expected range of ``n`` independent standard normal variates.

    >>> round(expected_range(2), 6), round(expected_range(10), 3)
    (1.128379, 3.078)
    """
    from scipy.integrate import quad
    from scipy.special import ndtr

    value, _ = quad(lambda x: 1 - (1 - ndtr(x)) ** n - ndtr(x) ** n, -10, 10, limit=200)
    return float(value)


def simulated_model(pilot: Pilot, effect: float | None = None) -> RoeMetz:
    """Return the Roe-Metz model calibrated to a pilot, with a difference of AUCs of ``effect`` (or the pilot's own)."""
    p = pilot.parameters
    if effect is not None:
        middle = sum(p.auc) / 2
        p = replace(p, auc=(middle + effect / 2, middle - effect / 2))
    return calibrated(p)


def shifted(model: RoeMetz, effect: float) -> RoeMetz:
    """Return a model whose first modality has an AUC higher by ``effect`` than the second, which is left as it is.

    Raises
    ------
    UsageProblem
        If that AUC would leave 0..1.
    """
    from scipy.special import ndtr, ndtri

    spread = np.sqrt(model.shared.sum() + model.own.sum(axis=(1, 2)))
    goal = float(ndtr((model.means[1, 1] - model.means[1, 0]) / spread[1])) + effect
    if not 0 < goal < 1:
        raise _bad(f"an effect of {effect:g} would take the AUC out of 0..1.")
    means = model.means.copy()
    means[0] = [model.means[0, 0], model.means[0, 0] + float(ndtri(goal)) * spread[0]]
    return replace(model, means=means)


def rescaled(pilot: Pilot, negatives: int, positives: int) -> tuple[float, float, float, float]:
    """Return Var, Cov1, Cov2, Cov3 for other numbers of cases of each class.

    From the U-statistic parts of the pilot's scores where there are scores; else from the Roe-Metz model calibrated to
    the parameters, times the ratio of the given to the model's error variance.

    Raises
    ------
    UsageProblem
        For a figure that is no average over cases or pairs of cases: its variance is known at the pilot's mix only.
    """
    if pilot.by_class is None and pilot.endpoint != "auc":
        raise UsageProblem(
            f"the variance of {pilot.endpoint} at another mix of cases than the pilot's is not known.",
            code="RDR-022",
            where="--prevalence",
            action="Give --cases, in the pilot's mix.",
        )
    if pilot.by_class is not None:
        found = pilot.by_class @ np.array([1 / negatives, 1 / positives, 1 / (negatives * positives)])
        return float(found[0]), float(found[1]), float(found[2]), float(found[3])
    p = pilot.parameters
    model = calibrated(p)
    there, here = rockette_parameters(model, negatives, positives), rockette_parameters(model, p.negatives, p.positives)
    scale = p.var_error / here.var_error
    return there.var_error * scale, there.cov1 * scale, there.cov2 * scale, there.cov3 * scale


def _bad(what: str) -> UsageProblem:
    problem: dict[str, Any] = {
        "code": "RDR-022",
        "where": "pilot",
        "why": "A sample size is no better than the variances it rests on.",
        "action": "Correct the parameters.",
    }
    return UsageProblem(what, **problem)
