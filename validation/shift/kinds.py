"""What kind of shift: of the inputs (covariate), of the prevalence (label), or of what the score means (concept)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from validation.errors import DataProblem
from validation.estimate import Estimate
from validation.shift import columns
from validation.shift.distances import KolmogorovSmirnov
from validation.shift.groups import Codes, Floats, make, pool
from validation.statistics.clusters import group

_SMALLEST = 1e-6


def kinds_of_shift(
    baseline: pd.DataFrame,
    new: pd.DataFrame,
    *,
    label: str,
    score: str,
    cluster: str | None = None,
    alpha: float = 0.05,
    permutations: int = 999,
    seed: int = 1,
) -> dict[str, Any]:
    """Tell covariate, label and concept shift of a score apart, where the truth is known in both cohorts.

    - ``covariate``: does the distribution of the score differ? (KS, permutation of patients)
    - ``label``: does the prevalence differ? (difference of proportions, new minus baseline, cluster-robust t)
    - ``concept``: given the score, does the probability of the label differ? Logistic regression of the label on the
      logit of the score, its square, the cohort and the cohort times the logit, with cluster-robust Wald test on both
      cohort terms; the effect is the difference of log odds at the pooled mean logit.
    - ``score_given_label``: given the label, does the score differ? (KS within labels, patients exchanged within
      labels.) A pure label shift moves the other three but not this; a pure covariate shift moves all but concept.

    The p-values are adjusted together by Holm. ``reading`` says in words which pattern the data show; what is not found
    is not thereby absent.

    Raises
    ------
    DataProblem
        SHF-001, SHF-002 for columns; SHF-009 if labels are not 0 and 1 or scores not between 0 and 1.

    References
    ----------
    Moreno-Torres et al. 2012, doi:10.1016/j.patcog.2011.06.019 (kinds of shift); Cox 1958 (calibration line).
    """
    y, s, new_case, ids = labelled(baseline, new, label, score, cluster)
    n0 = int((~new_case).sum())
    clusters = None if ids is None else ids.tolist()
    groups = pool(
        n0, len(y) - n0, None if clusters is None else clusters[:n0], None if clusters is None else clusters[n0:]
    )
    level = 1 - alpha
    p_covariate, covariate = _permuted_ks(s, groups, level, permutations, seed)
    within = make(groups.new, *_split_by_label(groups.units, y))
    p_given, given = _permuted_ks(s, within, level, permutations, seed)
    prevalence, p_label = _slope(
        np.column_stack([np.ones(len(y)), new_case]), y, groups.units, 1, level, "difference of prevalence"
    )
    concept, p_concept = _concept(s, y, new_case, groups.units, level)
    from validation.statistics.multiplicity import adjust

    ps = {"covariate": p_covariate, "label": p_label, "concept": p_concept, "score_given_label": p_given}
    corrected = adjust(ps, "holm", alpha=alpha).p_adjusted
    effects = {"covariate": covariate, "label": prevalence, "concept": concept, "score_given_label": given}
    found = {name: p is not None and p <= alpha for name, p in corrected.items()}
    return {
        "kinds": {
            name: {
                "effect": effects[name].to_dict(),
                "p_value": ps[name],
                "p_adjusted": corrected[name],
                "shifted": found[name],
            }
            for name in ps
        },
        "reading": _reading(found),
        "alpha": alpha,
        "permutations": permutations,
        "seed": seed,
    }


def labelled(
    baseline: pd.DataFrame, new: pd.DataFrame, label: str, score: str, cluster: str | None
) -> tuple[Floats, Floats, Any, Any]:
    """Return label, score, cohort and patient of the cases of both tables that have label and score."""
    y, s = columns.number(baseline, new, label), columns.number(baseline, new, score)
    keep = ~(np.isnan(y) | np.isnan(s))
    check_labels(y[keep], label)
    check_scores(s[keep], score)
    in_new = np.arange(len(y)) >= len(baseline)
    if not (keep & in_new).any() or not (keep & ~in_new).any():
        raise DataProblem(
            "one cohort has no case with label and score.", code="SHF-009", where=f"columns {label}, {score}"
        )
    ids = None
    if cluster is not None:
        for where, frame in (("baseline", baseline), ("new", new)):
            columns.as_texts(frame, cluster, where)
        ids = np.array([*baseline[cluster].astype(str), *new[cluster].astype(str)], dtype=object)[keep]
    return y[keep], s[keep], in_new[keep], ids


def check_labels(y: Floats, where: str) -> None:
    """Refuse labels other than 0 and 1."""
    if not np.isin(y, (0.0, 1.0)).all():
        raise DataProblem("the labels are not all 0 or 1.", code="SHF-009", where=f"column {where}")


def check_scores(s: Floats, where: str) -> None:
    """Refuse scores outside 0 to 1."""
    if ((s < 0) | (s > 1)).any():
        raise DataProblem(
            "the scores are not probabilities between 0 and 1.", code="SHF-009", where=f"column {where}",
            action="Give predicted probabilities.",
        )  # fmt: skip


def logit(s: Floats) -> Floats:
    """Return log odds, probabilities kept one millionth away from 0 and 1."""
    p = np.clip(s, _SMALLEST, 1 - _SMALLEST)
    return np.asarray(np.log(p / (1 - p)))


def _split_by_label(units: Codes, y: Floats) -> tuple[Codes, Codes]:
    """Return units split by label (a patient with both labels becomes two) and the label as stratum of each."""
    kept, split = np.unique(units * 2 + y.astype(np.intp), return_inverse=True)
    return split, kept % 2


def _permuted_ks(s: Floats, groups: Any, level: float, permutations: int, seed: int) -> tuple[float | None, Estimate]:
    if min(groups.patients(new=False), groups.patients(new=True)) < 2:
        return None, Estimate.insufficient(
            "fewer than two patients in a cohort", n=len(s), unit="1", method="KS", level=level
        )
    distance = KolmogorovSmirnov(s, groups, seed=seed)
    null = np.concatenate([distance.evaluate(m)[0] for m in groups.assignments(permutations, seed)])
    p = (1 + int((null >= distance.observed - 1e-12).sum())) / (1 + permutations)
    return p, distance.estimate(level)


def _slope(
    design: Floats, y: Floats, units: Codes, which: int, level: float, what: str
) -> tuple[Estimate, float | None]:
    """Return a least-squares coefficient with a cluster-robust t interval and two-sided p-value."""
    import statsmodels.api as sm

    g = group(units, len(y)).count
    if min(float(design[:, which].sum()), float((1 - design[:, which]).sum())) < 2 or np.ptp(y) == 0:
        why = "a cohort has fewer than two cases, or all labels are equal"
        return Estimate.insufficient(why, n=len(y), unit="1", method=what, level=level), None
    fit = sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": units}, use_t=True)
    low, high = fit.conf_int(1 - level)[which]
    estimate = Estimate(
        value=float(fit.params[which]), lower=float(low), upper=float(high), method=f"{what}, cluster-robust t",
        n=len(y), unit="1", level=level, n_clusters=g,
    )  # fmt: skip
    return estimate, float(fit.pvalues[which])


def _concept(s: Floats, y: Floats, new: Any, units: Codes, level: float) -> tuple[Estimate, float | None]:
    import warnings

    import statsmodels.api as sm

    label = "difference of log odds at the mean logit of the score, cluster-robust logistic regression"
    x = logit(s) - logit(s).mean()
    spread = x.std()
    x = x / spread if spread > 0 else x
    design = np.column_stack([np.ones(len(y)), x, x**2, new, new * x])
    both = all(0 < y[new == c].sum() < (new == c).sum() for c in (True, False))
    if not both or spread == 0:
        why = "a cohort has only one label, or all scores are equal"
        return Estimate.insufficient(why, n=len(y), unit="1", method=label, level=level), None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # separation is looked at below, by its huge standard error
        fit = sm.GLM(y, design, family=sm.families.Binomial()).fit(cov_type="cluster", cov_kwds={"groups": units})
        wald = fit.wald_test(np.eye(5)[3:], use_f=False, scalar=True)
    error = float(fit.bse[3])
    if not np.isfinite(error) or error > 50 or not np.isfinite(float(wald.pvalue)):
        why = "the score separates the labels, so the regression has no finite solution"
        return Estimate.insufficient(why, n=len(y), unit="1", method=label, level=level), None
    g = group(units, len(y)).count
    f = float(wald.statistic) / 2 * (g - 2) / (g - 1)  # Hotelling scaling: patients, not cases, carry the information
    half = float(stats.t.isf((1 - level) / 2, max(1, g - 2))) * error
    value = float(fit.params[3])
    estimate = Estimate(
        value=value, lower=value - half, upper=value + half, method=label, n=len(y), unit="1", level=level, n_clusters=g
    )
    return estimate, float(stats.f.sf(f, 2, max(1, g - 2)))


def _reading(found: dict[str, bool]) -> str:
    if not any(found.values()):
        return "No kind of shift is shown; that none is present is not thereby shown."
    parts = []
    if found["label"] and not found["score_given_label"]:
        parts.append(
            "the prevalence differs while scores given the label do not visibly: the pattern of a label shift, "
            "with which the calibration of the score changes too"
        )
    elif found["concept"]:
        parts.append("given the score the probability of the label differs: the pattern of a concept shift")
    elif found["covariate"]:
        parts.append(
            "scores differ while what a score means does not visibly: the pattern of a covariate shift"
            + (", with which the prevalence changes too" if found["label"] else "")
        )
    else:
        parts.append("the prevalence, or scores given the label, differ; the pattern is not settled")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."
