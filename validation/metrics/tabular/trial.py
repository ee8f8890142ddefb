"""The family ``virtual_control``: is a trial planned on the virtual cohort the trial that real patients ask for."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding, Part, run_parts
from validation.metrics.longitudinal.survival import survival_columns, survival_findings
from validation.metrics.tabular.encoding import Floats, encode
from validation.metrics.tabular.exact import two_sided_exact
from validation.protocol.expressions import decide
from validation.registry import Direction, Kind, metric
from validation.statistics.proportion_differences import proportion_difference
from validation.statistics.proportions import wilson

_POWER = "Chow, Shao and Wang 2008, Sample Size Calculations in Clinical Research, section 4.2"
_MOVER = "Zou and Donner 2008, doi:10.1002/sim.3095"


def two_arm_power(rate: float, ratio: float, per_arm: float, alpha: float) -> float:
    """Return the power of a two-sided test of two proportions, control ``rate`` against ``ratio * rate``.

    Normal approximation with separate variances; rises with the rate for a fixed ratio.

    >>> round(two_arm_power(0.3, 0.5, 120, 0.05), 3)
    0.807
    """
    treated = min(1.0, ratio * rate)
    error = math.sqrt(max(1e-300, rate * (1 - rate) / per_arm + treated * (1 - treated) / per_arm))
    return float(stats.norm.cdf(abs(rate - treated) / error - stats.norm.isf(alpha / 2)))


def arm_size(rate: float, ratio: float, power: float, alpha: float) -> float:
    """Return the patients per arm that :func:`two_arm_power` needs for a power, as a real number."""
    treated = min(1.0, ratio * rate)
    z = float(stats.norm.isf(alpha / 2) + stats.norm.ppf(power))
    return z**2 * (rate * (1 - rate) + treated * (1 - treated)) / (rate - treated) ** 2


def mover(
    made: tuple[float, float, float], real: tuple[float, float, float], n: int, *, level: float, method: str, log: bool
) -> Estimate:
    """Return a difference (or, of logarithms, a ratio) of two independent quantities from the limits of each."""
    (a, la, ua), (b, lb, ub) = made, real
    value, low, high = a - b, a - b - math.hypot(a - la, ub - b), a - b + math.hypot(ua - a, b - lb)
    if log:
        value, low, high = math.exp(value), math.exp(low), math.exp(high)
    return Estimate(value=value, lower=low, upper=high, method=method, n=n, unit="1", level=level)


@metric(
    "virtual_control",
    unit="each metric its own",
    direction=Direction.NONE,
    roles=("holdout", "synthetic"),
    optional_roles=("treated",),
    kind=Kind.ESTIMATE,
    family="family",
    reference=f"{_MOVER}; {_POWER}",
    oracle="closed forms; statsmodels for survival",
)
def virtual_control(
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    treated: pd.DataFrame | None = None,
    *,
    event: str = "",
    event_level: str = "yes",
    time: str = "",
    eligibility: str = "",
    risk_ratio: float = 0.7,
    per_arm: int = 200,
    design_power: float = 0.8,
    design_alpha: float = 0.05,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    margin: float = 0.05,
    only: tuple[str, ...] = (),
    alpha: float = 0.05,
    seed: int = 0,
    level: float = 0.95,
) -> list[Finding]:
    """Compare a virtual control arm with the real one in what planning and analysing a trial takes from it.

    ``eligible_share``: share of eligible people, virtual less real; ``accrual_time``: time to enrol a given number at
    the same screening rate, virtual over real (the inverse ratio of the shares). Among the eligible: ``event_rate``
    (difference); ``power`` of the planned trial under the virtual less under the real event rate; ``sample_size``
    per arm, virtual over real; ``balance``: standardised difference of every covariate; with ``time``, survival curves
    and restricted means; with ``treated`` records of the active arm, ``treatment_effect`` (risk difference) against the
    real and the virtual control, and whether the conclusion is the same.

    Parameters
    ----------
    holdout, synthetic, treated
        Real controls that the generator was not trained on, virtual controls, and the real active arm.
    event, event_level
        Column of the event, and its value that means that it happened. With ``time`` the event is 0 or 1.
    eligibility
        Expression over the columns (as in protocols); empty: everyone.
    risk_ratio, per_arm, design_power, design_alpha
        The planned trial: assumed risk ratio, patients per arm, power and two-sided alpha.
    margin
        Difference that does not matter, for flags.
    only
        Names of the parts to run, such as ``power``; all of them by default.

    Raises
    ------
    UsageProblem
        TAB-003 if a column is missing or the eligibility expression cannot be read.
    """
    frames = {"real": holdout, "virtual": synthetic} | ({"treated": treated} if treated is not None else {})
    for name, frame in frames.items():
        if event not in frame.columns:
            raise UsageProblem(
                f"the {name} table has no column {event!r}.", code="TAB-003", where="event", action="Name the event."
            )
    fits = {
        name: np.ones(len(f), bool) if not eligibility else decide(f, eligibility, "eligibility").eq(True).fillna(False)
        for name, f in frames.items()
    }
    chosen = {name: f[fits[name]].reset_index(drop=True) for name, f in frames.items()}
    counted = {name: _events(f, event, event_level) for name, f in chosen.items()}

    def shares() -> list[Finding]:
        a, n = int(fits["virtual"].sum()), len(fits["virtual"])
        b, m = int(fits["real"].sum()), len(fits["real"])
        share = proportion_difference(a, n, b, m, level=level)
        p = float(two_sided_exact([a], n, [b], m)[0])
        found = [_finding("eligible_share", "", share, p, margin, "of 0 (hypergeometric, exact)")]
        if not a or not b:
            why = "nobody is eligible in a table"
            none = Estimate.insufficient(why, n=n + m, unit="1", method="ratio of accrual times", level=level)
            return [*found, _finding("accrual_time", "", none, None, margin, "of 1")]
        logs = [[math.log(q) for q in (x / y, *wilson(x / y, y, level))] for x, y in ((b, m), (a, n))]
        limits = [(v[0], v[1], v[2]) for v in logs]
        method = "ratio of accrual times, Wilson, MOVER"
        ratio = mover(limits[0], limits[1], n + m, level=level, method=method, log=True)
        return [*found, _finding("accrual_time", "", ratio, p, margin, "of 1")]

    def rates() -> list[Finding]:
        (a, n), (b, m) = counted["virtual"], counted["real"]
        e = proportion_difference(a, n, b, m, level=level)
        p = float(two_sided_exact([a], n, [b], m)[0]) if n and m else None
        return [_finding("event_rate", event, e, p, margin, "of 0 (hypergeometric, exact)")]

    def design() -> list[Finding]:
        (a, n), (b, m) = counted["virtual"], counted["real"]
        p = float(two_sided_exact([a], n, [b], m)[0]) if n and m else None
        if not a or not b or a == n or b == m:
            why = "a table has no event, or nothing but events, among the eligible"
            none = Estimate.insufficient(why, n=n + m, unit="1", method="planned trial", level=level)
            return [_finding(name, "", none, None, margin, "") for name in ("power", "sample_size")]
        rate = {k: (x / y, *wilson(x / y, y, level)) for k, (x, y) in (("virtual", (a, n)), ("real", (b, m)))}
        power = {
            k: [two_arm_power(min(max(q, 1e-9), 1 - 1e-9), risk_ratio, per_arm, design_alpha) for q in v]
            for k, v in rate.items()
        }
        size = {
            k: [math.log(arm_size(min(max(q, 1e-9), 1 - 1e-9), risk_ratio, design_power, design_alpha)) for q in v]
            for k, v in rate.items()
        }
        words = {k: (v[0], min(v), max(v)) for k, v in power.items()}  # value and limits: power rises with the rate
        sizes = {k: (v[0], min(v), max(v)) for k, v in size.items()}
        method = "difference of power, Wilson, MOVER"
        gap = mover(words["virtual"], words["real"], n + m, level=level, method=method, log=False)
        method = "ratio of patients per arm, Wilson, MOVER"
        fold = mover(sizes["virtual"], sizes["real"], n + m, level=level, method=method, log=True)
        said = [f"real {words['real'][0]:.3f}, virtual {words['virtual'][0]:.3f}"]
        said += [f"real {math.exp(sizes['real'][0]):.0f}, virtual {math.exp(sizes['virtual'][0]):.0f} per arm"]
        return [
            _finding("power", "", gap, p, margin, "of 0", note=said[0]),
            _finding("sample_size", "", fold, p, margin, "of 1", note=said[1]),
        ]

    def balance() -> list[Finding]:
        t = encode(chosen["real"], chosen["virtual"], categorical=categorical, ignore=(*ignore, *_own(event, time)))
        columns = [(c, t.train.numbers[:, k], t.synthetic.numbers[:, k]) for k, c in enumerate(t.numeric)]
        for k, c in enumerate(t.categorical):
            for code, label in enumerate(t.levels[k]):
                pair = [(part.codes[:, k] == code).astype(np.float64) for part in (t.train, t.synthetic)]
                columns.append((f"{c}={label}", pair[0], pair[1]))
        found = []
        for name, real, made in columns:
            e = standardised_difference(made, real, level=level)
            z = abs(e.value or 0.0) / _error(e) if e.value is not None and _error(e) > 0 else 0.0
            found.append(_finding("balance", name, e, 2 * float(stats.norm.sf(z)), 2 * margin, "of 0 (normal)"))
        return found

    def survival() -> list[Finding]:
        real, made = (survival_columns(chosen[k], time, event) for k in ("real", "virtual"))
        return survival_findings(real, made, None, level=level, margin=margin, seed=seed)

    def effects() -> list[Finding]:
        k, n = counted["treated"]
        found, sure = [], []
        for name in ("real", "virtual"):
            j, m = counted[name]
            e = proportion_difference(k, n, j, m, level=level)
            sure.append(0 if e.lower is None or e.upper is None else (e.lower > 0) - (e.upper < 0))
            found.append(_finding("treatment_effect", f"against the {name} control", e, None, math.inf, "of 0"))
        kept = float(sure[0] == sure[1])
        words = "the same conclusion" if kept else "another conclusion than against the real control"
        same = Estimate(
            value=kept, lower=None, upper=None, method="agreement", n=n, unit="1", level=level, reason=words
        )
        return [*found, _finding("treatment_effect", "conclusion kept", same, None, math.inf, "")]

    parts: list[Part] = [("eligible_share", shares), ("event_rate", rates), ("power", design), ("balance", balance)]
    parts += [("survival", survival)] if time else []
    parts += [("treatment_effect", effects)] if treated is not None else []
    return run_parts(parts, alpha=alpha, only=only)


def _own(event: str, time: str) -> tuple[str, ...]:
    return (event, time) if time else (event,)


def _events(frame: pd.DataFrame, event: str, happened: str) -> tuple[int, int]:
    """Return events and records that say whether there was one."""
    column = frame[event].dropna()
    if pd.api.types.is_numeric_dtype(column):
        return int((column == 1).sum()), len(column)
    return int((column.astype(str) == happened).sum()), len(column)


def standardised_difference(made: Floats, real: Floats, *, level: float) -> Estimate:
    """Estimate the difference of means over the pooled standard deviation (missing cells left out).

    The standard error is that of Hedges and Olkin 1985 (large samples).

    References
    ----------
    Austin 2009, doi:10.1002/sim.3697.

    >>> import numpy as np
    >>> round(standardised_difference(np.array([1.0, 2, 3]), np.array([2.0, 3, 4]), level=0.95).value, 3)
    -1.0
    """
    a, b = made[~np.isnan(made)], real[~np.isnan(real)]
    n, m = len(a), len(b)
    method = "standardised difference, Hedges and Olkin"
    if min(n, m) < 2 or not (a.var(ddof=1) + b.var(ddof=1)):
        return Estimate.insufficient("no spread, or too few values", n=n + m, unit="1", method=method, level=level)
    d = float((a.mean() - b.mean()) / math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    half = float(stats.norm.isf((1 - level) / 2)) * math.sqrt((n + m) / (n * m) + d**2 / (2 * (n + m)))
    return Estimate(value=d, lower=d - half, upper=d + half, method=method, n=n + m, unit="1", level=level)


def _error(e: Estimate) -> float:
    if e.lower is None or e.upper is None:
        return 0.0
    return (e.upper - e.lower) / 2 / float(stats.norm.isf((1 - e.level) / 2))


def _finding(
    name: str, component: str, e: Estimate, p: float | None, margin: float, null: str, *, note: str = ""
) -> Finding:
    centre = 1.0 if name in ("accrual_time", "sample_size") else 0.0
    described = math.isinf(margin)
    return Finding(
        metric=name,
        component=component,
        estimate=e,
        p_value=p,
        null=f"real and virtual controls are exchangeable: a difference {null}" if null else "none",
        rule="reported, not judged" if described else f"adjusted p at most alpha and more than {margin:g} away",
        direction=(Direction.ONE if centre else Direction.ZERO).value,
        exceeds=e.value is not None and abs(e.value - centre) > margin,
        too_little="the interval does not exclude twice the margin" if _wide(e, centre, margin) else "",
        note=note,
        reference=f"{_MOVER}; {_POWER}" if name in ("power", "sample_size") else _MOVER,
    )


def _wide(e: Estimate, centre: float, margin: float) -> bool:
    limits = [v for v in (e.lower, e.upper) if v is not None]
    return bool(limits) and max(abs(v - centre) for v in limits) > 2 * margin
