"""Diversity of a generated set, and whether every condition is generated and looks like what was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.metrics.generative.neighbours import squared_blocks
from validation.metrics.generative.sets import (
    GROUPS,
    Features,
    FeatureSet,
    Floats,
    feature_set,
    group_jackknife,
    patient_groups,
    same_features,
    scaled_on,
)
from validation.registry import Direction, Kind, metric
from validation.statistics.proportions import proportion

SEED = 1


@metric(
    "vendi_score",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.ESTIMATE,
    roles=("synthetic",),
    optional_roles=("real",),
    reference="Friedman and Dieng 2023, arXiv:2210.02410",
    oracle="definition by the eigenvalues of the kernel matrix; sets of known numbers of modes",
    family="generative",
)
def vendi_score(synthetic: Features, real: Features | None = None, *, level: float = 0.95) -> dict[str, Estimate]:
    """Vendi score: the effective number of distinct images of a set.

    ``exp(entropy of the eigenvalues of K / n)`` with K the cosine similarity of standardised features (centred and
    scaled as the real set, where it is given, else as the set itself). 1 when all images are alike. It grows with the
    size of the set, so of two sets as many images of each are taken as the smaller has; ``ratio`` (synthetic over real)
    below 1 tells that diversity was lost.

    Parameters
    ----------
    synthetic, real
        Sets, see :mod:`validation.metrics.generative.sets`.
    """
    made = feature_set(synthetic, role="synthetic")
    truth = feature_set(real, role="real") if real is not None else None
    if truth is not None:
        same_features(synthetic=made, real=truth)
    scale_on = truth if truth is not None else made
    centre, spread = scale_on.values.mean(0), scale_on.values.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    size = made.n if truth is None else min(made.n, truth.n)
    scores = {"synthetic": _vendi(made, size, centre, spread)}
    if truth is not None:
        scores["real"] = _vendi(truth, size, centre, spread)
    found = {
        name: group_jackknife(value, without, n=size, n_clusters=patients, level=level, unit="1", method="Vendi score")
        for name, (value, without, patients) in scores.items()
    }
    if truth is not None:
        (a, wa, _), (b, wb, _) = scores["synthetic"], scores["real"]
        ratios = [x / b for x in wa]
        inverse = [a / x for x in wb]
        error = np.sqrt(sum((len(w) - 1) / len(w) * np.var(w) * len(w) for w in (ratios, inverse)))
        from scipy import stats

        half = (
            float(stats.t.isf((1 - level) / 2, min(len(wa), len(wb)) - 1) * error)
            if min(len(wa), len(wb)) > 4
            else None
        )
        found["ratio"] = Estimate(
            value=a / b, lower=None if half is None else max(0.0, a / b - half),
            upper=None if half is None else a / b + half, method="ratio of Vendi scores, jackknife of both sets",
            n=2 * size, unit="1", level=level, reason="" if half is not None else "too few patients for an interval",
        )  # fmt: skip
    return found


def _vendi(data: FeatureSet, size: int, centre: Floats, spread: Floats) -> tuple[float, list[float], int]:
    """Return the score of the first ``size`` images in random order, and the scores without each group of patients."""
    chosen = np.sort(np.random.Generator(np.random.Philox(SEED)).permutation(data.n)[:size])
    unit = (data.values[chosen] - centre) / spread
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    _, codes = np.unique(data.patients[chosen], return_inverse=True)
    groups = patient_groups(codes, GROUPS, seed=SEED)
    sums = np.stack([unit[groups == g].T @ unit[groups == g] for g in range(int(groups.max()) + 1)])
    return _effective(sums.sum(0)), [_effective(sums.sum(0) - s) for s in sums], int(codes.max()) + 1


def _effective(gram: Floats) -> float:
    values = np.clip(np.linalg.eigvalsh(gram), 0, None)
    share = values / values.sum()
    share = share[share > 1e-12]
    return float(np.exp(-(share * np.log(share)).sum()))


@metric(
    "condition_coverage",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.ESTIMATE,
    roles=("real", "synthetic"),
    reference="Srivastava 2017, arXiv:1705.07761 (modes covered); Ravuri and Vinyals 2019, arXiv:1905.10887",
    oracle="sets collapsed by construction",
    family="generative",
)
def condition_coverage(
    real: Features,
    synthetic: Features,
    *,
    k: int = 5,
    least_share: float = 0.2,
    standardise: bool = False,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Conditions that are generated at all, and images that look like the condition that was asked for.

    Every image is given the condition of most of its k nearest real images (of other patients). The real table needs
    the column ``condition``.

    - ``covered``: share of the conditions whose part among synthetic images is at least ``least_share`` of their part
      among real images, both as classified; a generator that collapsed to a third of the classes has 1/3;
    - ``fidelity``: share of synthetic images classified as the condition that was asked for (where the synthetic table
      has the column ``condition``);
    - ``ceiling``: the same share of real images, what the classifier can reach at best;
    - ``part, <condition>``: the part of a condition among synthetic images over its part among real ones, both as
      classified; 0 for a lost condition, 1 where the sets agree. Its interval holds the real part fixed.

    Parameters
    ----------
    real, synthetic
        Tables of features, see :mod:`validation.metrics.generative.sets`.
    k
        Neighbours that vote (ties go to the nearer).
    least_share
        Below this share of its real part a condition counts as lost.
    standardise
        Centre and scale every feature as in the real set, for features of different units (radiomic ones).
    """
    truth, made = feature_set(real, role="real"), feature_set(synthetic, role="synthetic")
    same_features(real=truth, synthetic=made)
    if standardise:
        truth, made = scaled_on(truth, made)
    if truth.conditions is None:
        raise DataProblem(
            "the real table has no column 'condition'.",
            code="MET-020",
            where="real",
            why="Coverage of conditions needs the condition of every real image.",
            action="Add the column, or use precision_recall_coverage.",
        )
    if not 1 <= k < truth.n_patients or not 0 < least_share <= 1:
        raise UsageProblem(
            f"k is {k}, least_share {least_share}.",
            code="MET-014",
            where="k, least_share",
            action="Give fewer neighbours than patients, and a share above 0 and up to 1.",
        )
    names, codes = np.unique(truth.conditions, return_inverse=True)
    asked = _votes(made.values, truth, codes, len(names), k, other_patients=False)
    own = _votes(truth.values, truth, codes, len(names), k, other_patients=True)
    parts = [np.bincount(v, minlength=len(names)) / len(v) for v in (asked, own)]
    expected = np.where(parts[1] > 0, parts[1], np.bincount(codes, minlength=len(names)) / truth.n)
    covered = parts[0] >= least_share * expected
    found = {"covered": proportion(covered.astype(float), level=level)}
    if made.conditions is not None:
        right = names[asked] == made.conditions
        found["fidelity"] = proportion(right.astype(float), clusters=made.patients, level=level)
    found["ceiling"] = proportion((own == codes).astype(float), clusters=truth.patients, level=level)
    for number, name in enumerate(names):
        part = proportion((asked == number).astype(float), clusters=made.patients, level=level)
        found[f"part, {name}"] = _over(part, float(expected[number]))
    return found


def _over(part: Estimate, expected: float) -> Estimate:
    """Return an estimate divided by a number that is held fixed."""

    def scaled(value: float | None) -> float | None:
        return None if value is None else value / expected

    return replace(
        part,
        value=scaled(part.value),
        lower=scaled(part.lower),
        upper=scaled(part.upper),
        method=f"{part.method}, over the part of real images",
    )


def _votes(
    values: Floats, truth: FeatureSet, codes: np.ndarray, classes: int, k: int, *, other_patients: bool
) -> np.ndarray:
    """Return the class (n,) of most of the k nearest real images."""
    labels, patients = torch.as_tensor(codes), torch.as_tensor(truth.patients)
    weights = 1 - 1e-3 * torch.arange(k, dtype=torch.float64)
    found = np.empty(len(values), dtype=np.intp)
    for start, block in squared_blocks(values, truth.values):
        if other_patients:
            block[patients[start : start + len(block), None] == patients] = torch.inf
        index = block.topk(k, dim=1, largest=False).indices
        votes = torch.zeros(len(block), classes, dtype=torch.float64)
        votes.scatter_add_(1, labels[index], weights.expand(len(block), k))
        found[start : start + len(block)] = votes.argmax(1)
    return found
