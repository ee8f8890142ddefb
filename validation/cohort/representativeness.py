"""How far the holdout's patients resemble the target population that the protocol states."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from validation.errors import DataProblem
from validation.estimate import Estimate
from validation.statistics.proportions import wilson

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

MINIMUM_PATIENTS = 10
"""Fewer patients than this allow no statement on resemblance (a share is then a matter of one or two people)."""
REPLICATES = 9999
SEED = 20260101


def representativeness(
    cases: pd.DataFrame,
    target: dict[str, dict[str, float]],
    *,
    cluster: str,
    level: float = 0.95,
) -> dict[str, dict[str, Any]]:
    r"""Compare observed shares of patients with the target population.

    Every patient counts once: a patient with cases at several levels counts with the share of their cases at each.
    For each level with target share t and observed share p:

    .. math:: d = \frac{p - t}{\sqrt{(p(1-p) + t(1-t)) / 2}}

    the standardised difference. It increases with p, so its interval is the Wilson interval of p, transformed. The
    target is taken as known. Goodness of fit is Pearson's statistic with a Monte-Carlo multinomial p-value,
    :math:`(1+k)/(1+B)` with B = 9999 and a fixed seed, whatever the number of patients.

    Parameters
    ----------
    cases
        Eligible cases.
    target
        ``{column: {level: share}}``.
    cluster
        Column of the patient.
    level
        Confidence level of the intervals.

    Returns
    -------
    dict
        ``{column: {"n_patients", "n_missing", "levels": {level: {"n", "observed", "target",
        "standardised_difference"}}, "goodness_of_fit": {"statistic", "df", "p_value", "method", "reason"}}}``. ``n`` is
        the (possibly fractional) number of patients. Levels that occur but that the target does not name have target
        0. Below ten patients, differences and goodness of fit are given as insufficient, with the reason.

    Raises
    ------
    DataProblem
        If the table lacks a column of the target (COH-060).

    References
    ----------
    Austin 2009, doi:10.1002/sim.3697 (standardised difference); Wilson 1927, doi:10.1080/01621459.1927.10502953;
    Phipson and Smyth 2010, doi:10.2202/1544-6115.1585 (p-values from resampling are never zero).
    """
    found: dict[str, dict[str, Any]] = {}
    for column, shares in target.items():
        if column not in cases.columns:
            raise DataProblem(
                f"the case table has no column {column!r}, which the target population describes.",
                code="COH-060",
                where="population.target",
                why="Resemblance to the target population cannot be shown.",
                action="Add the column to the case table.",
            )
        counts, n, missing = _patients(cases, column, cluster)
        wanted = {str(k): float(v) for k, v in shares.items()}
        names = [*wanted, *sorted(set(counts) - set(wanted))]
        found[column] = {
            "n_patients": n,
            "n_missing": missing,
            "levels": {
                name: {
                    "n": counts.get(name, 0.0),
                    "observed": _share(counts.get(name, 0.0), n, level).to_dict(),
                    "target": wanted.get(name, 0.0),
                    "standardised_difference": standardised_difference(
                        counts.get(name, 0.0), n, wanted.get(name, 0.0), level=level
                    ).to_dict(),
                }
                for name in names
            },
            "goodness_of_fit": goodness_of_fit(
                [counts.get(name, 0.0) for name in names], [wanted.get(name, 0.0) for name in names]
            ),
        }
    return found


def standardised_difference(count: float, n: int, target: float, *, level: float = 0.95) -> Estimate:
    """Return the standardised difference of an observed share (``count`` of ``n`` patients) from a known share.

    Insufficient below ten patients, and where it is not defined (target and observed share both 0 or both 1).

    >>> e = standardised_difference(30, 100, 0.5)
    >>> round(e.value, 3), round(e.lower, 3), round(e.upper, 3)
    (-0.417, -0.613, -0.211)
    """
    method = "standardised difference from a known share, transformed Wilson"
    if n < MINIMUM_PATIENTS:
        return Estimate.insufficient(
            f"{n} patients; at least {MINIMUM_PATIENTS} are needed", n=n, unit="1", method=method, level=level
        )

    def transform(p: float) -> float | None:
        variance = (p * (1 - p) + target * (1 - target)) / 2
        return (p - target) / math.sqrt(variance) if variance > 0 else None

    value = transform(count / n)
    if value is None:
        return Estimate.insufficient(
            "neither observed nor target shares vary", n=n, unit="1", method=method, level=level, n_clusters=n
        )
    low, high = wilson(count / n, n, level)
    return Estimate(
        value=value,
        lower=transform(max(low, 0.0)),
        upper=transform(min(high, 1.0)),
        method=method,
        n=n,
        unit="1",
        level=level,
        n_clusters=n,
    )


def goodness_of_fit(counts: list[float], target: list[float]) -> dict[str, Any]:
    """Test observed counts of patients against known shares: Pearson statistic, Monte-Carlo multinomial p-value.

    A patient observed at a level whose target share is 0 contradicts the target outright: p-value at its smallest.

    >>> fit = goodness_of_fit([48, 52], [0.5, 0.5])
    >>> fit["statistic"], fit["df"], 0.6 < fit["p_value"] < 0.8
    (0.16, 1, True)
    """
    import numpy as np

    n = round(sum(counts))
    possible = [t > 0 for t in target]
    method = f"Pearson statistic, Monte-Carlo multinomial, {REPLICATES} replicates, seed {SEED}"
    record: dict[str, Any] = {
        "statistic": None,
        "df": sum(possible) - 1,
        "p_value": None,
        "method": method,
        "reason": "",
    }
    if n < MINIMUM_PATIENTS:
        return {**record, "reason": f"{n} patients; at least {MINIMUM_PATIENTS} are needed"}
    if sum(possible) < 2:
        return {**record, "reason": "the target names one level only"}
    if any(c > 0 for c, p in zip(counts, possible, strict=True) if not p):
        return {**record, "p_value": 1 / (1 + REPLICATES), "reason": "patients at a level that the target excludes"}
    expected = n * np.array([t for t in target if t > 0])
    observed = np.array([c for c, p in zip(counts, possible, strict=True) if p])
    statistic = _pearson(observed[None, :], expected)[0]
    drawn = np.random.default_rng(SEED).multinomial(n, expected / expected.sum(), size=REPLICATES)
    as_extreme = int((_pearson(drawn, expected) >= statistic * (1 - 1e-9)).sum())
    return {**record, "statistic": float(round(statistic, 12)), "p_value": (1 + as_extreme) / (1 + REPLICATES)}


def _pearson(counts: npt.NDArray[Any], expected: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    result: npt.NDArray[np.float64] = ((counts - expected) ** 2 / expected).sum(axis=1)
    return result


def _share(count: float, n: int, level: float) -> Estimate:
    if n == 0:
        return Estimate.insufficient(
            "no patient has a value", n=0, unit="1", method="Wilson over patients", level=level
        )
    low, high = wilson(count / n, n, level)
    return Estimate(
        value=count / n,
        lower=min(low, count / n),
        upper=max(high, count / n),
        method="Wilson over patients",
        n=n,
        unit="1",
        level=level,
        n_clusters=n,
    )


def _patients(cases: pd.DataFrame, column: str, cluster: str) -> tuple[dict[str, float], int, int]:
    """Return patients per level (fractional where a patient has several), patients with and without a value."""
    import pandas as pd

    frame = pd.DataFrame({"patient": cases[cluster].astype(str), "level": cases[column].map(_level_name)})
    known = frame.dropna(subset=["level"])
    if known.empty:
        return {}, 0, int(frame["patient"].nunique())
    table = pd.crosstab(known["patient"], known["level"], normalize="index")
    counts = {str(name): float(table[name].sum()) for name in table.columns}
    return counts, len(table), int(frame["patient"].nunique()) - len(table)


def _level_name(value: Any) -> str | None:
    import pandas as pd

    if pd.isna(value):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
