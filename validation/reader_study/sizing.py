"""Power, and numbers of readers and cases, of a comparison of two modalities."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.reader_study.covariance import jackknife_auc_covariance
from validation.reader_study.judgement import Claim
from validation.reader_study.obuchowski_rockette import Effects, components
from validation.reader_study.pairs import empirical_auc, pair_sums
from validation.reader_study.pilots import Pilot, rescaled, simulated_model
from validation.reader_study.roe_metz import simulate_batches

Array = NDArray[np.float64]
MAX_CASES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the study is to show, and how it is to be tested.

    Parameters
    ----------
    effect
        True difference of the figure of merit, first less second; 0 is usual for non-inferiority and equivalence.
    bounded
        Whether the figure lies between 0 and 1, so that effect and margin lie within 1; mean ratings do not.
    claim, margin, alpha
        As in :class:`validation.reader_study.plan.AnalysisPlan`; ``alpha`` is two-sided.
    effects
        Which of readers and cases are random.
    df
        ``hillis`` (Hillis 2007), or ``rockette`` for the ``(r - 1)(t - 1)`` of Obuchowski & Rockette 1995, which
        published tables of Obuchowski use and which asks for larger studies.
    """

    effect: float
    claim: Claim = Claim.SUPERIORITY
    margin: float = 0.0
    alpha: float = 0.05
    effects: Effects = Effects.RRRC
    df: Literal["hillis", "rockette"] = "hillis"
    bounded: bool = True

    def __post_init__(self) -> None:
        largest = max(abs(self.effect), self.margin)
        if not (np.isfinite(largest) and self.margin >= 0 and 0 < self.alpha < 1):
            raise _wrong("effect and margin must be finite, the margin not negative, and alpha between 0 and 1.")
        if self.bounded and largest >= 1:
            raise _wrong("effect and margin of a figure between 0 and 1 lie within 1.")
        if self.claim is not Claim.SUPERIORITY and not self.margin > 0:
            raise _wrong(f"{self.claim.value} needs a positive margin.")
        if self.claim is Claim.NON_INFERIORITY and self.effect <= -self.margin:
            raise _wrong(
                "the conjectured effect is already inferior by the margin; no size of study can show otherwise."
            )
        if self.claim is Claim.EQUIVALENCE and abs(self.effect) >= self.margin:
            raise _wrong("the conjectured effect lies outside the margin; no size of study can show equivalence.")
        if self.claim is Claim.SUPERIORITY and abs(self.effect) <= self.margin:
            raise _wrong("the conjectured effect does not exceed the margin of superiority (0 by default).")


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Power of one design, with the quantities behind it.

    ``noncentrality`` is ``(effect / se)**2`` for two-sided superiority, else ``(effect + margin) / se``. ``df`` is
    ``None`` for the normal law.
    """

    readers: int
    negatives: int
    positives: int
    groups: int
    power: float
    se: float
    noncentrality: float
    df: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


def power(
    pilot: Pilot,
    target: Target,
    *,
    readers: int,
    cases: int | None = None,
    negatives: int | None = None,
    positives: int | None = None,
    groups: int = 1,
) -> Power:
    """Return the power of a planned study.

    Parameters
    ----------
    readers, groups
        Readers in all, and groups of a paired split-plot (each group reads its own part of the cases).
    cases
        All cases, in the pilot's mix: error variances scale as pilot cases to cases (Hillis et al. 2011).
    negatives, positives
        Cases of each class instead, for another prevalence; the parts of the variances scale each with their class.

    Notes
    -----
    With ``c = Cov2 - Cov3`` not below 0 and components not below 0, the denominator is
    ``D = Var(TR) + Var - Cov1 + (r / g - 1) c`` at the cases of one group, ``se**2 = 2 D / r``, and the degrees of
    freedom are ``(r - g) (D / (Var(TR) + Var - Cov1 - c))**2``. Two-sided superiority: non-central F; one-sided claims:
    non-central t; equivalence: the lower bound of the joint power of its two tests.

    References
    ----------
    Hillis, Obuchowski & Berbaum 2011, doi:10.1016/j.acra.2010.09.007; Obuchowski, Gallas & Hillis 2012,
    doi:10.1016/j.acra.2012.09.012 (split-plot).

    Raises
    ------
    UsageProblem
        If a group would have fewer than two readers or cases of a class, or sizes are contradictory.
    """
    p = pilot.parameters
    by_class = negatives is not None and positives is not None
    if by_class == (cases is not None):
        raise _wrong("give either all cases, or non-diseased and diseased cases.")
    if by_class:
        n0, n1 = int(negatives or 0), int(positives or 0)
    else:
        n1 = round(int(cases or 0) * p.positives / (p.negatives + p.positives))
        n0 = int(cases or 0) - n1
    if groups < 1 or readers < 2 * groups or min(n0, n1) < 2 * groups:
        raise _wrong(f"a group needs at least two readers and two cases of each class; the plan has {groups} groups.")
    if by_class:
        terms = rescaled(pilot, max(2, round(n0 / groups)), max(2, round(n1 / groups)))
        own = pilot.var_reader_modality_ustat
        reader = p.var_reader_modality if own is None else own
    else:
        scale = (p.negatives + p.positives) * groups / (n0 + n1)
        terms = (p.var_error * scale, p.cov1 * scale, p.cov2 * scale, p.cov3 * scale)
        reader = p.var_reader_modality
    found = _power(target, readers, groups, np.array(reader), *(np.array(t) for t in terms))
    value, se, noncentrality, df = (float(x) for x in found)
    return Power(
        readers=readers,
        negatives=n0,
        positives=n1,
        groups=groups,
        power=value,
        se=se,
        noncentrality=noncentrality,
        df=df if np.isfinite(df) else None,
    )


def cases_needed(
    pilot: Pilot,
    target: Target,
    *,
    readers: int,
    goal: float = 0.8,
    groups: int = 1,
    prevalence: float | None = None,
    limit: int = MAX_CASES,
) -> Power | None:
    """Return the smallest study of so many readers that reaches the power, or ``None`` if ``limit`` cases do not.

    Parameters
    ----------
    prevalence
        Share of diseased cases; the pilot's mix if omitted.
    """
    if not 0 < goal < 1:
        raise _wrong("power must lie between 0 and 1.")
    if prevalence is not None and not 0 < prevalence < 1:
        raise _wrong("prevalence must lie between 0 and 1.")
    share = prevalence if prevalence is not None else _pilot_share(pilot)
    low = int(np.ceil(2 * groups / min(share, 1 - share))) + 1

    def at(n: int) -> Power:
        if prevalence is None:
            return power(pilot, target, readers=readers, cases=n, groups=groups)
        n1 = round(n * prevalence)
        return power(pilot, target, readers=readers, negatives=n - n1, positives=n1, groups=groups)

    high = max(limit, low)
    if at(high).power < goal:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle).power >= goal else (middle + 1, high)
    return at(low)


def trade_off(
    pilot: Pilot,
    target: Target,
    *,
    readers: range | list[int],
    goal: float = 0.8,
    groups: int = 1,
    prevalence: float | None = None,
) -> list[dict[str, Any]]:
    """Return one row per number of readers: the cases needed, or the reason why no number of cases is enough."""
    rows = []
    for r in readers:
        if r < 2 * groups:
            continue
        found = cases_needed(pilot, target, readers=r, goal=goal, groups=groups, prevalence=prevalence)
        if found is None:
            reason = f"even {MAX_CASES} cases do not give the power: the readers' own variance is too large"
            rows.append({"readers": r, "negatives": None, "positives": None, "power": None, "reason": reason})
        else:
            row = found.to_dict()
            rows.append({k: row[k] for k in ("readers", "negatives", "positives", "power")} | {"reason": ""})
    return rows


def power_interval(
    pilot: Pilot,
    target: Target,
    *,
    readers: int,
    cases: int,
    groups: int = 1,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 1,
) -> Estimate:
    """Return the power with an interval for the uncertainty of the pilot's variances.

    Pilots of the same size are drawn from the Roe-Metz model calibrated to the pilot (parametric bootstrap), each is
    analysed, and the percentiles of the powers they would have promised are the limits. The effect is held fixed: it is
    a conjecture, not an estimate. For endpoints other than the AUC no model of scores is at hand: the mean square of
    reader by modality is drawn from its chi-square law, and error covariances are held, so that the interval is that
    of the few readers of the pilot alone.

    A pilot without known readers (published or conjectured parameters) gives no interval, with the reason.

    References
    ----------
    Hillis, Obuchowski & Berbaum 2011, doi:10.1016/j.acra.2010.09.007, on how variable such estimates are.
    """
    point = power(pilot, target, readers=readers, cases=cases, groups=groups)
    p = pilot.parameters
    method = "Hillis, Obuchowski & Berbaum; percentile parametric bootstrap of the pilot"
    n = p.negatives + p.positives
    why = ""
    if pilot.readers is None:
        why = "the parameters come without the number of readers behind them, so their uncertainty is not known"
    elif pilot.endpoint == "auc" and (not all(0.5 < a < 1 for a in p.auc) or not p.var_error > 0):
        why = "the pilot's AUC or error variance allows no calibrated model"
    if why or pilot.readers is None:
        return Estimate(
            value=point.power, lower=None, upper=None, level=level, method=method, n=n, unit="1", reason=why
        )
    scale = n * groups / cases
    if pilot.endpoint != "auc":
        known = p.var_error - p.cov1 - p.cov2 + p.cov3
        df = pilot.readers - 1
        drawn = (max(p.var_reader_modality, 0.0) + known) * np.random.default_rng(seed).chisquare(df, replicates) / df
        held = (np.full(replicates, c * scale) for c in (p.var_error, p.cov1, p.cov2, p.cov3))
        found = _power(target, readers, groups, drawn - known, *held)[0]
        method = "Hillis, Obuchowski & Berbaum; chi-square law of MS(TR), error covariances held"
        return _between(point, found, level=level, method=method, n=n)
    promised = []
    positive = np.arange(n) >= p.negatives
    for batch in simulate_batches(
        simulated_model(pilot),
        readers=pilot.readers,
        negatives=p.negatives,
        positives=p.positives,
        trials=replicates,
        seed=seed,
    ):
        sums = pair_sums(batch.numpy(), positive, products=False)
        study = components(empirical_auc(sums), jackknife_auc_covariance(sums))
        terms = (t * scale for t in (study.variance, study.cov1, study.cov2, study.cov3))
        promised.append(_power(target, readers, groups, study.var_tr, *terms)[0])
    return _between(point, np.concatenate(promised), level=level, method=method, n=n)


def _between(point: Power, promised: Array, *, level: float, method: str, n: int) -> Estimate:
    """Return the power with the percentiles of other powers as limits."""
    lower, upper = np.quantile(promised, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(
        value=point.power,
        lower=min(float(lower), point.power),
        upper=max(float(upper), point.power),
        level=level,
        method=method,
        n=n,
        unit="1",
    )


def _power(
    target: Target, readers: int, groups: int, reader: Array, variance: Array, cov1: Array, cov2: Array, cov3: Array
) -> tuple[Array, Array, Array, Array]:
    """Return power, standard error, noncentrality and degrees of freedom for arrays of variances."""
    from scipy import stats

    common = np.maximum(cov2 - cov3, 0.0)
    own = np.maximum(reader, 0.0) if target.effects is not Effects.FRRC else np.zeros_like(reader)
    mean_square = np.maximum(own + variance - cov1 - common, 1e-15)
    if target.effects is Effects.RRFC:
        denominator, df = mean_square, np.full_like(mean_square, float(readers - groups))
    else:
        denominator = np.maximum(own + variance - cov1 + (readers / groups - 1) * common, 1e-15)
        base = float(readers - groups)
        df = base * (denominator / mean_square) ** 2 if target.df == "hillis" else np.full_like(denominator, base)
        if target.effects is Effects.FRRC:
            df = np.full_like(denominator, np.inf)
    se = np.sqrt(2 * denominator / readers)
    safe = np.where(np.isfinite(df), df, 1e9)
    alpha = target.alpha
    if target.claim is Claim.SUPERIORITY and target.margin == 0:
        noncentrality = (target.effect / se) ** 2
        if target.effects is Effects.FRRC:
            return stats.ncx2.sf(stats.chi2.ppf(1 - alpha, 1), 1, noncentrality), se, noncentrality, df
        return stats.ncf.sf(stats.f.ppf(1 - alpha, 1, safe), 1, safe, noncentrality), se, noncentrality, df
    critical = stats.t.ppf(1 - alpha / 2, safe)
    shift = abs(target.effect) - target.margin if target.claim is Claim.SUPERIORITY else target.effect + target.margin
    noncentrality = shift / se
    value = _upper_tail(critical, safe, noncentrality)
    if target.claim is Claim.EQUIVALENCE:
        other = _upper_tail(critical, safe, (target.margin - target.effect) / se)
        value = np.maximum(value + other - 1, 0.0)
    return value, se, noncentrality, df


def _upper_tail(critical: Array, df: Array, noncentrality: Array) -> Array:
    """Return ``P(T > critical)`` of the non-central t law, by the normal law where it has as good as infinite df."""
    from scipy import stats

    near = np.minimum(df, 1e4)
    return np.asarray(
        np.where(
            df > 1e4,
            stats.norm.sf(critical - noncentrality),
            1 - np.nan_to_num(stats.nct.cdf(critical, near, noncentrality), nan=0.0),
        ),
        dtype=float,
    )


def _pilot_share(pilot: Pilot) -> float:
    """Return the share of diseased cases of the pilot."""
    p = pilot.parameters
    return p.positives / (p.negatives + p.positives)


def _wrong(what: str) -> UsageProblem:
    return UsageProblem(
        what, code="RDR-023", where="sizing", why="The plan contradicts itself.", action="Correct the plan's numbers."
    )
