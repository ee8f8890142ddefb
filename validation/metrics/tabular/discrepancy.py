"""Maximum mean discrepancy with a Gaussian kernel: exact in tiles, or by random features with a stated error."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from validation.estimate import Estimate
from validation.metrics.findings import Finding
from validation.metrics.tabular.encoding import Floats, Part, Tables, encode
from validation.metrics.tabular.exact import weighted_chi2_sf
from validation.metrics.tabular.marginals import NULL, too_little
from validation.registry import Direction, Kind, metric

FEATURES = 256  # pairs of cosine and sine
TILE = 2048


def embedded(tables: Tables, part: Part) -> Floats:
    """Return records as points: numbers over the training mean and standard deviation, levels as 0 or 1 (one-hot).

    A missing number is the mean, with an indicator column where any table has a missing cell.
    """
    columns = []
    for k in range(len(tables.numeric)):
        x = tables.train.numbers[:, k]
        known = x[~np.isnan(x)]
        mean, sd = (float(known.mean()), float(known.std())) if len(known) else (0.0, 1.0)
        y = part.numbers[:, k]
        columns.append(np.where(np.isnan(y), 0.0, (y - mean) / (sd or 1.0)))
        if any(p.missing[:, k].any() for p in (tables.train, tables.synthetic, tables.holdout) if p is not None):
            columns.append(np.isnan(y).astype(np.float64))
    for k, names in enumerate(tables.levels):
        columns.extend((part.codes[:, k] == code).astype(np.float64) for code in range(len(names)))
    return np.column_stack(columns)


def median_gamma(x: Floats, *, most: int = 1000) -> float:
    """Return 1 / median squared distance between records (every k-th of at most ``most``)."""
    from scipy.spatial.distance import pdist

    sample = x[:: max(1, len(x) // most)]
    between = pdist(sample, "sqeuclidean")
    median = float(np.median(between[between > 0])) if (between > 0).any() else 1.0
    return 1 / median


def mmd2_exact(x: Floats, y: Floats, gamma: float) -> tuple[float, float]:
    """Return the biased (V-statistic) and unbiased (U-statistic) squared MMD of kernel exp(-gamma |a - b|²), in tiles.

    Reference: Gretton et al. 2012, JMLR 13:723-773.
    """
    n, m = len(x), len(y)
    xx, yy, xy = _kernel_sum(x, x, gamma), _kernel_sum(y, y, gamma), _kernel_sum(x, y, gamma)
    biased = xx / n**2 + yy / m**2 - 2 * xy / (n * m)
    unbiased = (xx - n) / (n * (n - 1)) + (yy - m) / (m * (m - 1)) - 2 * xy / (n * m)
    return biased, unbiased


def _kernel_sum(x: Floats, y: Floats, gamma: float) -> float:
    squares = (y * y).sum(1)
    total = 0.0
    for start in range(0, len(x), TILE):
        block = x[start : start + TILE]
        d = (block * block).sum(1)[:, None] + squares - 2 * block @ y.T
        total += float(np.exp(-gamma * np.maximum(d, 0)).sum())
    return total


def features(x: Floats, gamma: float, *, seed: int) -> Floats:
    """Return random Fourier features (n, 2 D) with inner products that estimate the kernel to within about D^-½.

    Reference: Rahimi and Recht 2007, Advances in Neural Information Processing Systems 20.
    """
    rng = np.random.default_rng(seed)
    w = rng.normal(scale=math.sqrt(2 * gamma), size=(x.shape[1], FEATURES)).astype(np.float32)
    angle = x.astype(np.float32) @ w
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / math.sqrt(FEATURES)


def mmd2_features(x: Floats, y: Floats, gamma: float, *, seed: int, level: float) -> tuple[Estimate, float]:
    """Return the squared MMD by random features, unbiased, with interval, and the p-value of equal distributions.

    Under the null the biased statistic is a weighted sum of chi-square variables, with the eigenvalues of the pooled
    feature covariance as weights (three moments matched). The interval is the delta method's plus the error of the
    features: their kernel differs from the Gaussian one by a standard deviation of at most (2 D)^-½ per pair, and the
    spread of the D terms of the statistic itself estimates what that does to it.
    """
    fx, fy = features(x, gamma, seed=seed), features(y, gamma, seed=seed)
    n, m = len(x), len(y)
    gap = fx.mean(0, dtype=np.float64) - fy.mean(0, dtype=np.float64)
    cx, cy = _covariance(fx), _covariance(fy)
    biased = float(gap @ gap)
    value = biased - float(np.trace(cx)) / n - float(np.trace(cy)) / m
    within = (n * cx + m * cy) / (n + m)
    pooled = within + n * m / (n + m) ** 2 * np.outer(gap, gap)
    weights = np.linalg.eigvalsh(pooled) * (1 / n + 1 / m)
    p = weighted_chi2_sf(biased, np.maximum(weights, 0))
    sampling = 4 * float(gap @ (cx / n + cy / m) @ gap) + 2 * float((weights**2).sum())
    terms = FEATURES * (gap[:FEATURES] ** 2 + gap[FEATURES:] ** 2)
    approximation = float(terms.var(ddof=1)) / FEATURES
    half = float(stats.norm.isf((1 - level) / 2)) * math.sqrt(sampling + approximation)
    estimate = Estimate(
        value=value,
        lower=value - half,
        upper=value + half,
        n=n + m,
        unit="1",
        level=level,
        method=f"squared MMD, {FEATURES} random Fourier features (standard error of features {math.sqrt(approximation):.1e})",  # noqa: E501
    )
    return estimate, p


def _covariance(f: Floats) -> Floats:
    """Return the covariance of features, summed in blocks."""
    mean = f.mean(0, dtype=np.float64)
    total = np.zeros((f.shape[1], f.shape[1]))
    for start in range(0, len(f), 1 << 14):
        block = f[start : start + (1 << 14)].astype(np.float32)
        total += block.T @ block
    return np.asarray((total - len(f) * np.outer(mean, mean)) / max(1, len(f) - 1))


def discrepancy_findings(tables: Tables, *, level: float, seed: int) -> list[Finding]:
    """Judge the squared MMD between synthetic and real records; the ceiling is training against holdout."""
    made, real = embedded(tables, tables.synthetic), embedded(tables, tables.real)
    if min(len(made), len(real)) < 20:
        why = f"{min(len(made), len(real))} records in a table; MMD needs 20"
        estimate, p = (
            Estimate.insufficient(why, n=len(made) + len(real), unit="1", method="squared MMD", level=level),
            None,
        )
        return [Finding(metric="mmd", estimate=estimate, p_value=p, null=NULL, rule="needs 20 records", direction="")]
    gamma = median_gamma(real)
    estimate, p = mmd2_features(made, real, gamma, seed=seed, level=level)
    ceiling = None
    if tables.holdout is not None and tables.holdout.n > 1:
        ceiling, _ = mmd2_features(real[: tables.train.n], real[tables.train.n :], gamma, seed=seed, level=level)
    return [
        Finding(
            metric="mmd",
            estimate=estimate,
            p_value=p,
            ceiling=ceiling,
            direction=Direction.LOWER.value,
            null=NULL + " (weighted chi-square)",
            rule="adjusted p at most alpha",
            reference=_REFERENCE,
            too_little=too_little(len(made), len(real)),
            note=f"gamma {gamma:.4g} (median distance)",
        )
    ]


_REFERENCE = "Gretton et al. 2012, JMLR 13:723-773; Rahimi and Recht 2007 (NIPS 20)"


@metric(
    "mmd",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference=_REFERENCE,
    oracle="full kernel matrices (scikit-learn rbf_kernel)",
)
def mmd(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    gamma: float | None = None,
    exact: bool = False,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the squared maximum mean discrepancy with kernel exp(-gamma |a - b|²) on standardised, one-hot records.

    0 for equal distributions. By default 256 random Fourier features, unbiased, with an interval that holds the error
    of the features. ``exact`` computes the kernel sums in tiles (quadratic time, linear memory), biased and unbiased,
    without interval. ``gamma`` is 1 / median squared distance of training records unless given.
    """
    tables = encode(train, synthetic, categorical=categorical, ignore=ignore)
    y, x = embedded(tables, tables.train), embedded(tables, tables.synthetic)
    width = gamma or median_gamma(y)
    if not exact:
        return {"unbiased": mmd2_features(x, y, width, seed=seed, level=level)[0]}
    names = zip(("biased", "unbiased"), mmd2_exact(x, y, width), strict=True)
    return {
        name: Estimate(
            value=v,
            lower=None,
            upper=None,
            method=f"squared MMD, exact, gamma {width:.6g}",
            n=len(x) + len(y),
            unit="1",
            level=level,
            reason="exact sums have no interval here; the default has one",
        )
        for name, v in names
    }
