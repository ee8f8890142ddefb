"""Agreement of analyses: coefficients and hazard ratios of synthetic and real records, and their intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.errors import DataProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.longitudinal.survival import cox, survival_columns
from validation.metrics.reuse import reused
from validation.metrics.tabular.encoding import Floats, Part, Tables, encode
from validation.registry import Direction, Kind, metric


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients of one analysis with standard errors."""

    beta: Floats
    error: Floats
    n: int


def covariates(
    tables: Tables, part: Part, leave_out: tuple[str, ...]
) -> tuple[Floats, list[str], npt.NDArray[np.bool_]]:
    """Return scaled numbers and levels against the first training one, names, and complete rows."""
    columns, names, complete = [], [], np.ones(part.n, bool)
    for k, name in enumerate(tables.numeric):
        if name in leave_out:
            continue
        known = tables.train.numbers[:, k]
        known = known[~np.isnan(known)]
        if not len(known) or known.std() == 0:
            continue
        complete &= ~np.isnan(part.numbers[:, k])
        columns.append((part.numbers[:, k] - known.mean()) / known.std())
        names.append(name)
    for k, name in enumerate(tables.categorical):
        if name in leave_out:
            continue
        seen = np.flatnonzero(np.bincount(tables.train.codes[:, k], minlength=len(tables.levels[k])))
        for code in seen[1:]:
            columns.append((part.codes[:, k] == code).astype(np.float64))
            names.append(f"{name}={tables.levels[k][code]}")
    x = np.column_stack(columns) if columns else np.empty((part.n, 0))
    return x, names, complete


def logistic(x: Floats, y: Floats) -> Fit:
    """Return a logistic regression with intercept first (statsmodels, Newton's method).

    Raises
    ------
    DataProblem
        TAB-004 if it is not identified: separation, a constant column, fewer than five events per coefficient.
    """
    import warnings

    import statsmodels.api as sm

    events = min(y.sum(), len(y) - y.sum())
    if events < x.shape[1] or (x.std(axis=0) == 0).any():
        raise DataProblem(
            "too few events, or a level that never occurs, for a logistic model.", code="TAB-004", where="logistic"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = sm.Logit(y, np.column_stack([np.ones(len(y)), x])).fit(disp=0, maxiter=100)
        except (np.linalg.LinAlgError, ValueError, sm.tools.sm_exceptions.PerfectSeparationError):
            raise DataProblem(
                "the logistic model cannot be fitted (separation).", code="TAB-004", where="logistic"
            ) from None
    beta, error = np.asarray(fit.params), np.asarray(fit.bse)
    if not (np.isfinite(beta).all() and np.isfinite(error).all()) or (error > 50).any():
        raise DataProblem("the logistic model is not identified.", code="TAB-004", where="logistic")
    return Fit(beta, error, len(y))


def overlap(real: Fit, made: Fit, *, level: float) -> Floats:
    """Return the overlap of intervals: the mean share that both cover, negative where they are apart.

    Reference: Karr et al. 2006, doi:10.1198/000313006X124640.
    """
    z = float(stats.norm.isf((1 - level) / 2))
    low, high = (
        np.maximum(real.beta - z * real.error, made.beta - z * made.error),
        np.minimum(real.beta + z * real.error, made.beta + z * made.error),
    )
    return np.asarray(0.5 * (high - low) * (1 / (2 * z * real.error) + 1 / (2 * z * made.error)))


def agreement_findings(
    metric_name: str, real: Fit, made: Fit, names: list[str], *, level: float, ceiling: Fit | None = None
) -> list[Finding]:
    """Judge every coefficient: difference with interval, overlap of intervals, sign and significance kept or not."""
    gap, error = made.beta - real.beta, np.sqrt(made.error**2 + real.error**2)
    z, shared = float(stats.norm.isf((1 - level) / 2)), overlap(real, made, level=level)
    found = []
    for k, name in enumerate(names):
        same = np.sign(real.beta[k]) == np.sign(made.beta[k])
        real_sure, made_sure = (bool(abs(f.beta[k]) > z * f.error[k]) for f in (real, made))
        kept = "conclusion kept" if (real_sure == made_sure and (same or not real_sure)) else "conclusion not kept"
        found.append(
            Finding(
                metric=metric_name,
                component=name,
                direction=Direction.ZERO.value,
                estimate=Estimate(
                    value=float(gap[k]),
                    lower=float(gap[k] - z * error[k]),
                    upper=float(gap[k] + z * error[k]),
                    method="difference of coefficients, Wald",
                    n=real.n + made.n,
                    unit="1",
                    level=level,
                ),
                p_value=2 * float(stats.norm.sf(abs(gap[k]) / error[k])),
                null="equal coefficients (independent samples)",
                rule="adjusted p at most alpha",
                reference="Karr et al. 2006, doi:10.1198/000313006X124640",
                note=f"real {real.beta[k]:.4g}, synthetic {made.beta[k]:.4g}; interval overlap {shared[k]:.3f}; {kept}",
                ceiling=None
                if ceiling is None
                else Estimate(
                    value=float(ceiling.beta[k] - real.beta[k]),
                    lower=None,
                    upper=None,
                    method="holdout minus training",
                    n=ceiling.n,
                    unit="1",
                ),
            )
        )
    return found


@reused
def logistic_fits(tables: Tables, outcome: str) -> tuple[Fit, Fit, list[str]]:
    """Return the logistic models of a binary outcome on all other columns, fitted to training and synthetic records."""
    k = tables.categorical.index(outcome)
    seen = np.flatnonzero(np.bincount(tables.train.codes[:, k], minlength=len(tables.levels[k])))
    fits: list[Fit] = []
    names: list[str] = []
    for part in (tables.train, tables.synthetic):
        x, names, complete = covariates(tables, part, (outcome,))
        fits.append(logistic(x[complete], (part.codes[complete, k] == seen[-1]).astype(np.float64)))
    return fits[0], fits[1], names


def hazard_fits(
    train: pd.DataFrame, synthetic: pd.DataFrame, tables: Tables, time: str, event: str
) -> tuple[Fit, Fit, list[str]]:
    """Return Cox models on all other columns, fitted to training and synthetic records (levels against the first)."""
    fits: list[Fit] = []
    names: list[str] = []
    for frame, part in ((train, tables.train), (synthetic, tables.synthetic)):
        x, names, complete = covariates(tables, part, (time, event))
        t = pd.to_numeric(frame[time], errors="coerce").to_numpy(np.float64, na_value=np.nan)
        keep = complete & ~np.isnan(t) & frame[event].notna().to_numpy()
        beta, error = cox(*survival_columns(frame.loc[keep], time, event), x[keep])
        fits.append(Fit(beta, error, int(keep.sum())))
    return fits[0], fits[1], names


@metric(
    "coefficient_agreement",
    unit="1",
    direction=Direction.ONE,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference="Karr et al. 2006, doi:10.1198/000313006X124640",
    oracle="statsmodels Logit (gold ci_overlap_logit)",
)
def coefficient_agreement(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    outcome: str,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the overlap of confidence intervals of logistic coefficients, per coefficient and on average.

    1 is the same interval, 0 touching, negative apart (not cut off at zero). Numbers are scaled by the training table.
    An analysis that is not identified in a table (a lost level, separation) is refused with TAB-004.
    """
    tables = encode(train, synthetic, categorical=(*categorical, outcome), ignore=ignore)
    real, made, names = logistic_fits(tables, outcome)
    shared = overlap(real, made, level=level)[1:]
    method = "interval overlap"
    found = {
        name: Estimate(
            value=float(v),
            lower=None,
            upper=None,
            method=method,
            n=real.n + made.n,
            unit="1",
            level=level,
            reason="the overlap is itself of intervals",
        )
        for name, v in zip(names, shared, strict=True)
    }
    mean, spread = float(shared.mean()), float(shared.std(ddof=1)) if len(shared) > 1 else 0.0
    half = float(stats.t.isf((1 - level) / 2, max(1, len(shared) - 1))) * spread / max(1, len(shared)) ** 0.5
    return {
        "mean": Estimate(
            value=mean,
            lower=mean - half,
            upper=mean + half,
            method=method + ", t over coefficients",
            n=len(shared),
            unit="1",
            level=level,
        ),
        **found,
    }


@metric(
    "hazard_ratio_agreement",
    unit="1",
    direction=Direction.ZERO,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference="Cox 1972, doi:10.1111/j.2517-6161.1972.tb00899.x",
    oracle="lifelines and statsmodels PHReg (gold survival_rott)",
)
def hazard_ratio_agreement(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    time: str,
    event: str,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure, per covariate, the synthetic log hazard ratio minus the training one, with a Wald interval.

    Numbers per training standard deviation, levels against the first; Efron's ties. TAB-004 if a model is not
    identified.
    """
    tables = encode(train, synthetic, categorical=categorical, ignore=ignore)
    real, made, names = hazard_fits(train, synthetic, tables, time, event)
    return {
        f.component: f.estimate for f in agreement_findings("hazard_ratio_agreement", real, made, names, level=level)
    }
