"""Joint tests of many variables: kernel mean discrepancy, energy distance, and a classifier between cohorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.shift import columns, kernels
from validation.shift.classifier import classifier_test
from validation.shift.decide import Tested
from validation.shift.groups import Codes, Floats, Groups, bundle, pool
from validation.shift.influence import Noise, lower_limit, norm_tail, norm_upper

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
_Z_POWER = 0.8416212335729143
_LARGEST = {"mmd": 2**0.5, "energy": np.inf}


def joint_tests(
    baseline: pd.DataFrame,
    new: pd.DataFrame,
    names: Sequence[str],
    tests: Sequence[str],
    *,
    ids: list[Any] | None,
    strata: Codes | None,
    alpha: float,
    permutations: int,
    seed: int,
    device: str = "cpu",
    minimum_clusters: int = 5,
    margins: Mapping[str, float] | None = None,
) -> list[Tested]:
    """Return joint tests of named columns: numbers standardised by the pooled cohorts, categories as 0/1 columns.

    Only cases with a value in every column take part; the others are counted as missing. A margin is for ``mmd`` or
    ``energy``, which are distances of distributions; that one classifier cannot tell the cohorts apart does not show
    that they are alike, so ``classifier`` has none.

    Raises
    ------
    UsageProblem
        SHF-006 for an unknown test, SHF-008 for a margin of a test that has none or is not made.
    """
    for name in margins or {}:
        if name not in _LARGEST or name not in tests:
            raise UsageProblem(
                f"there is a margin for {name!r}, which is "
                + ("not tested." if name in _LARGEST else "no distance of distributions."),
                code="SHF-008",
                where="joint margin",
                why="That one classifier cannot tell two cohorts apart does not show that they are alike.",
                action="State margins for mmd or energy, and make that test.",
            )
    x, keep = design(baseline, new, names)
    n0 = len(baseline)
    known = (int(keep[:n0].sum()), int(keep[n0:].sum()))
    clusters = None if ids is None else [i for i, k in zip(ids, keep, strict=True) if k]
    groups = pool(
        *known, None if clusters is None else clusters[: known[0]], None if clusters is None else clusters[known[0] :],
        None if strata is None else strata[keep],
    )  # fmt: skip
    patients = (groups.patients(new=False), groups.patients(new=True)) if min(known) else (0, 0)
    found = []
    for name in tests:
        base = Tested(
            name=name, statistic=name, margin=(margins or {}).get(name), known=known, patients=patients, alpha=alpha,
            missing=(n0 - known[0], len(new) - known[1]),
        )  # fmt: skip
        level = 1 - alpha if base.margin is None else 1 - 2 * alpha
        if min(patients) < max(2, minimum_clusters):
            why = (
                f"{min(patients)} patients with all values in one cohort, fewer than the minimum of {minimum_clusters}"
            )
            found.append(base.refused(why, level, "1"))
            continue
        if x.shape[1] == 0 or not np.ptp(x, axis=0).any():
            found.append(base.refused("all cases have the same values", level, "1"))
            continue
        family = alpha / len(tests)
        if name == "classifier":
            results = classifier_test(x[keep], groups, clusters, level, family, permutations, seed, device)
        elif name in ("mmd", "energy"):
            results = kernel_test(x[keep], groups, name, level, family, permutations, seed, device, margin=base.margin)
        else:
            raise UsageProblem(
                f"there is no joint test named {name!r}.", code="SHF-006", action="Use mmd, energy or classifier."
            )
        found.append(base.with_results(**results))
    return found


def design(baseline: pd.DataFrame, new: pd.DataFrame, names: Sequence[str]) -> tuple[Floats, Any]:
    """Return standardised columns (N, p) of both tables, and which cases have all values (N,)."""
    parts: list[Floats] = []
    keep = np.ones(len(baseline) + len(new), dtype=bool)
    for name in names:
        if name in baseline.columns and name in new.columns and not columns.numeric(baseline, new, name):
            codes, levels = columns.category(baseline, new, name)
            keep &= codes >= 0
            parts.append((codes[:, None] == np.arange(1, len(levels))).astype(np.float64))
        else:
            values = columns.number(baseline, new, name)
            keep &= ~np.isnan(values)
            parts.append(values[:, None])
    x = np.concatenate(parts, axis=1) if parts else np.zeros((len(keep), 0))
    if keep.any():
        centre, spread = x[keep].mean(axis=0), x[keep].std(axis=0)
        x = (x - centre) / np.where(spread > 0, spread, 1.0)
    return x, keep


def kernel_test(
    x: Floats,
    groups: Groups,
    kind: str,
    level: float,
    alpha: float,
    permutations: int,
    seed: int,
    device: str,
    squared_length: float | None = None,
    margin: float | None = None,
) -> dict[str, Any]:
    r"""Test equality of two multivariate distributions by a kernel.

    ``mmd``: the unbiased squared maximum mean discrepancy with Gaussian kernels :math:`\exp(-|x-y|^2/\ell^2)` at five
    bandwidths around the median distance. Each is standardised by its mean and spread over the observed and all
    reassigned data, and the largest counts, compared with the largest of every reassignment; so the choice of
    bandwidth is inside the test. The effect is the discrepancy at the median bandwidth, between 0 and root 2.
    ``energy``: the same with the kernel :math:`-|x-y|`; the effect is the energy distance of the standardised columns.

    Pairs of the same patient are left out of the statistic. With more than 2048 patients they move in bundles.

    References
    ----------
    Gretton et al. 2012 (JMLR 13, 723-773); Schrab et al. 2023, MMD aggregated (JMLR 24, 194); Szekely and Rizzo 2013,
    doi:10.1016/j.jspi.2013.03.018.
    """
    units = bundle(groups, kernels.MAXIMUM_UNITS, seed)
    if kind == "mmd":
        base = squared_length if squared_length is not None else kernels.squared_median(x)
        base = base if base > 0 else 1.0
        found = kernels.gaussian_sums(x, groups.units, units, [base * b**2 for b in BANDWIDTHS], device=device)
        middle = BANDWIDTHS.index(1.0)
    else:
        found = kernels.distance_sums(x, groups.units, units, device=device)
        middle = 0
    observed = kernels.discrepancies(found, found.groups.new[None, :], device=device)
    null = np.concatenate(
        [kernels.discrepancies(found, m, device=device) for m in found.groups.assignments(permutations, seed)], axis=1
    )
    everything = np.concatenate([observed, null], axis=1)
    spread = everything.std(axis=1, keepdims=True)
    scaled = ((everything - everything.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)).max(axis=0)
    p = (1 + int((scaled[1:] >= scaled[0] - 1e-9).sum())) / (1 + permutations)
    effect = float(np.sqrt(max(0.0, observed[middle, 0])))
    gram, df = kernels.influence_gram(found, middle)
    error = _largest_root(gram)
    plain = float(np.sqrt(max(0.0, _plain(found, middle))))
    rng = np.random.Generator(np.random.Philox(seed))
    draws = rng.standard_normal((999, len(gram)))
    norms = np.sort(np.sqrt(np.maximum(((draws @ gram) * draws).sum(axis=1), 0.0)))
    ordered = np.sort(np.sqrt(np.maximum(null[middle], 0.0)))[::-1]
    critical = float(ordered[min(max(0, int(alpha * (permutations + 1) + 1e-9) - 1), len(ordered) - 1)])
    moved = "" if units is groups else f", {units.count} bundles of patients"
    label = {
        "mmd": f"maximum mean discrepancy at the median distance; test over {len(BANDWIDTHS)} bandwidths{moved}",
        "energy": f"energy distance of standardised columns{moved}",
    }[kind]
    noise = Noise.of(gram, error**2, df)

    equivalence = None
    if margin is not None and error > 0:  # the tail at the margin is where the upper limit reaches it
        equivalence = 1.0 if effect >= margin else norm_tail(max(plain**2, noise.trace), margin, noise)
    detectable = critical + _Z_POWER * error
    return {
        "effect": Estimate(
            value=effect, lower=min(effect, lower_limit(plain, norms, df, level)),
            upper=max(effect, norm_upper(plain**2, noise, level)), method=label, n=len(x), unit="1", level=level,
            n_clusters=groups.count,
        ),
        "statistic_value": float(observed[middle, 0]),
        "p_value": p,
        "p_equivalence": equivalence,
        "minimum_detectable": detectable if 0 < detectable <= _LARGEST[kind] else None,
    }  # fmt: skip


def _plain(found: kernels.Entries, kernel: int) -> float:
    w = kernels.entry_weights(found, found.groups.new[None, :])[0]
    return float(w @ found.sums[kernel] @ w)


def _largest_root(gram: Floats) -> float:
    """Return the root of the largest eigenvalue of a positive semi-definite matrix."""
    if len(gram) < 50:
        return float(np.sqrt(max(0.0, np.linalg.eigvalsh(gram)[-1])))
    from scipy.sparse.linalg import eigsh

    found = eigsh(gram, k=1, which="LA", v0=np.ones(len(gram)) + np.arange(len(gram)) % 7, return_eigenvectors=False)
    return float(np.sqrt(max(0.0, float(found[0]))))
