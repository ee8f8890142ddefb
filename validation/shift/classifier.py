"""A classifier that tries to tell the cohorts apart: cross-fitted, and refitted for every reassignment of patients."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from validation.estimate import Estimate
from validation.shift.groups import Flags, Floats, Groups
from validation.shift.kernels import squared_median
from validation.statistics.roc import auc

FOLDS = 5
FEATURES = 256
_Z_POWER = 0.8416212335729143


def classifier_test(
    x: Floats,
    groups: Groups,
    clusters: list[Any] | None,
    level: float,
    alpha: float,
    permutations: int,
    seed: int,
    device: str,
) -> dict[str, Any]:
    """Test equality of two distributions by the AUC with which a classifier tells unseen cases apart.

    The classifier is a ridge linear discriminant on the standardised columns and 256 random Fourier features of them,
    so it also sees interactions and differences of spread. It is fitted on four fifths of the patients and scores the
    rest. Its covariance does not depend on the labels, so one factorisation serves the observed and all reassigned
    data: the classifier is refitted for each, and the p-value is exact. With strata, columns and labels are centred
    within strata and the AUC is that within strata.

    The interval is DeLong's (Obuchowski's with several cases per patient) for the cross-fitted scores; it takes the
    classifier as given.

    References
    ----------
    Lopez-Paz and Oquab 2017, arXiv:1610.06545; Kim, Ramdas, Singh and Wasserman 2021, doi:10.1214/20-AOS1962.
    """
    import torch

    features = torch.as_tensor(_features(x, seed), dtype=torch.float64, device=device)
    of_case = groups.strata[groups.units]
    rng = np.random.Generator(np.random.Philox(seed))
    folds = rng.permutation(np.arange(groups.count) % FOLDS)[groups.units]
    solvers = [_Fold(features, folds == k, of_case, device) for k in range(FOLDS)]

    def scores(members: Flags) -> Floats:
        labels = torch.as_tensor(members.T.astype(np.float64), device=device)
        out = torch.zeros(labels.shape, dtype=torch.float64, device=device)
        for solver in solvers:
            out[solver.test] = solver.score(labels)
        return np.asarray(out.cpu().numpy())

    own = scores(groups.new[None, :])
    observed = float(_areas(own, groups.new[None, :], of_case)[0])
    null = np.concatenate([_areas(scores(m), m, of_case) for m in groups.assignments(permutations, seed)])
    p = (1 + int((null >= observed - 1e-12).sum())) / (1 + permutations)
    if len(np.unique(of_case)) == 1:
        effect = auc(own[:, 0], groups.new.astype(np.float64), clusters=clusters, level=level)
    else:
        effect = Estimate(
            value=observed, lower=None, upper=None, method="AUC within strata", n=len(x), unit="1", level=level,
            n_clusters=groups.count, reason="no interval is available for an AUC within strata",
        )  # fmt: skip
    detectable = None
    if effect.lower is not None and effect.upper is not None:
        error = (effect.upper - effect.lower) / 2 / float(stats.norm.isf((1 - level) / 2))
        ordered = np.sort(null)[::-1]
        critical = float(ordered[min(max(0, int(alpha * (permutations + 1) + 1e-9) - 1), len(ordered) - 1)])
        detectable = min(1.0, critical + _Z_POWER * error)
    return {"effect": effect, "statistic_value": observed, "p_value": p, "minimum_detectable": detectable}


def _features(x: Floats, seed: int) -> Floats:
    """Return the columns and random Fourier features of a Gaussian kernel at the median distance."""
    rng = np.random.Generator(np.random.Philox(seed + 1))
    length = np.sqrt(max(squared_median(x), 1e-12) / 2)  # exp(-d^2 / l^2) has frequencies with variance 2 / l^2
    waves = rng.standard_normal((x.shape[1], FEATURES)) / length
    return np.concatenate([x, np.sqrt(2 / FEATURES) * np.cos(x @ waves + rng.uniform(0, 2 * np.pi, FEATURES))], axis=1)


class _Fold:
    """One fold: the factor of the ridge system of the training cases, and the centred features of both parts."""

    def __init__(self, features: Any, test: Any, strata: Any, device: str) -> None:
        import torch

        self.test = torch.as_tensor(np.flatnonzero(test), device=device)
        self.train = torch.as_tensor(np.flatnonzero(~test), device=device)
        codes = np.unique(strata, return_inverse=True)[1]
        self.train_strata = torch.as_tensor(codes[~test], device=device)
        self.test_strata = torch.as_tensor(codes[test], device=device)
        self.count = int(codes.max()) + 1
        self.sizes = torch.bincount(self.train_strata, minlength=self.count).clamp(min=1).double()
        means = self._means(features[self.train])
        self.inside = features[self.train] - means[self.train_strata]
        self.outside = features[self.test] - means[self.test_strata]
        gram = self.inside.T @ self.inside
        penalty = 1e-2 * torch.diagonal(gram).mean().clamp(min=1e-12) + 1e-9
        self.factor = torch.linalg.cholesky(gram + penalty * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))

    def _means(self, columns: Any) -> Any:
        import torch

        total = torch.zeros((self.count, columns.shape[1]), dtype=columns.dtype, device=columns.device)
        return total.index_add_(0, self.train_strata, columns) / self.sizes[:, None]

    def score(self, labels: Any) -> Any:
        """Return scores of the test cases (t, b) from labels (N, b) of the training cases."""
        import torch

        y = labels[self.train]
        y = y - self._means(y)[self.train_strata]
        return self.outside @ torch.cholesky_solve(self.inside.T @ y, self.factor)


def _areas(scores: Floats, members: Flags, strata: Any) -> Floats:
    """Return the AUC (b,) of scores (N, b) for memberships (b, N), within strata, weighted by pairs."""
    total, pairs = np.zeros(len(members)), np.zeros(len(members))
    for s in np.unique(strata):
        inside = strata == s
        ranks = stats.rankdata(scores[inside], axis=0)
        positive = members[:, inside].T
        n = positive.sum(axis=0).astype(np.float64)
        m = inside.sum() - n
        total += (ranks * positive).sum(axis=0) - n * (n + 1) / 2
        pairs += n * m
    return np.asarray(total / np.maximum(pairs, 1))
