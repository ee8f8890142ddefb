"""Two-sample comparisons of diseased with non-diseased cases: the sums from which every AUC quantity follows.

Arrays have the axes ``(trial, reader, modality, case)`` and may live in numpy or in torch, on any device; NaN marks a
cell that was not read. One analysis is a batch of one trial; a simulation study is a batch of thousands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, device

_BUDGET = 1 << 19  # comparisons held at once: fits the cache; below 2**22, float32 sums of doubled kernels are exact


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums of the kernel ``psi(x, y) = 1 if x > y, 1/2 if x == y, else 0`` over positive ``x`` and negative ``y``.

    ``Q`` runs over reader and modality, reader slowest. A pair counts if both of its cases were read.

    Parameters
    ----------
    readers, modalities
        Sizes of the two axes that make up ``Q``.
    total
        ``(T, Q)`` sum over all pairs.
    by_negative, by_positive
        ``(T, Q, N0)`` and ``(T, Q, N1)``: sums over the other class.
    read_negative, read_positive
        ``(T or 1, Q, N0)`` and ``(T or 1, Q, N1)``: 1.0 where the cell was read.
    product
        ``(T, Q, Q)`` sum over pairs of the product of two kernels; ``None`` unless asked for.
    """

    readers: int
    modalities: int
    total: Any
    by_negative: Any
    by_positive: Any
    read_negative: Any
    read_positive: Any
    product: Any = None


def pair_sums(score: Any, positive: Any, *, products: bool) -> PairSums:
    """Compare every positive case with every negative one, for every trial, reader and modality.

    Parameters
    ----------
    score
        ``(trial, reader, modality, case)`` of floats; NaN where a cell was not read.
    positive
        ``(case,)`` bool, common to all trials.
    products
        Whether to form the sums of products too, which the unbiased covariance and U-statistics need.

    Notes
    -----
    Work is ``T * R * M * N0 * N1`` comparisons, done in blocks of half a million, so that memory stays bounded
    whatever the number of trials. Kernels are doubled to the integers 0, 1, 2 and summed within a block in float32,
    where such sums are exact, and over blocks in float64.
    """
    xp = array_namespace(score)
    T, R, M, _ = score.shape
    Q = R * M
    flat = xp.reshape(score, (T, Q, score.shape[-1]))
    negatives, positives = flat[:, :, ~positive], flat[:, :, positive]
    n0, n1 = negatives.shape[-1], positives.shape[-1]
    read0, read1 = (xp.astype(~xp.isnan(side), xp.float64) for side in (negatives, positives))
    where = device(score)
    by_negative = xp.zeros((T, Q, n0), dtype=xp.float64, device=where)
    by_positive = xp.zeros((T, Q, n1), dtype=xp.float64, device=where)
    product = xp.zeros((T, Q, Q), dtype=xp.float64, device=where) if products else None
    trials = max(1, _BUDGET // max(1, Q * n0 * n1))
    rows = max(1, min(n0, _BUDGET // max(1, Q * n1)))
    for t in range(0, T, trials):
        x = positives[t : t + trials, :, None, :]
        for i in range(0, n0, rows):
            y = negatives[t : t + trials, :, i : i + rows, None]
            kernel = xp.astype(x > y, xp.float32) + xp.astype(x >= y, xp.float32)  # 0, 1 or 2; NaN compares false
            by_negative[t : t + trials, :, i : i + rows] = xp.astype(xp.sum(kernel, axis=-1), xp.float64) / 2
            by_positive[t : t + trials] += xp.astype(xp.sum(kernel, axis=-2), xp.float64) / 2
            if product is not None:
                block = xp.reshape(kernel, (kernel.shape[0], Q, -1))
                product[t : t + trials] += xp.astype(xp.matmul(block, xp.matrix_transpose(block)), xp.float64) / 4
    return PairSums(R, M, xp.sum(by_positive, axis=-1), by_negative, by_positive, read0, read1, product)


def empirical_auc(sums: PairSums) -> Any:
    """Return the empirical AUC ``(T, R, M)``, the share of concordant pairs with ties counted half (Bamber 1975).

    NaN where a reader read no case of one class. doi:10.1016/0022-2496(75)90001-2
    """
    xp = array_namespace(sums.total)
    pairs = xp.sum(sums.read_negative, axis=-1) * xp.sum(sums.read_positive, axis=-1)
    auc = xp.where(pairs > 0, sums.total / xp.where(pairs > 0, pairs, xp.ones_like(pairs)), xp.nan)
    return xp.reshape(auc, (auc.shape[0], sums.readers, sums.modalities))


def leave_one_out_auc(sums: PairSums) -> tuple[Any, Any]:
    """Return the AUC after deleting each negative case ``(T, Q, N0)`` and each positive case ``(T, Q, N1)``.

    Closed form: the pairs of the deleted case are taken from the sums. A case that was not read changes nothing.
    """
    n0 = sums.read_negative.sum(-1)[..., None]
    n1 = sums.read_positive.sum(-1)[..., None]
    total = sums.total[..., None]
    without_negative = (total - sums.by_negative) / ((n0 - sums.read_negative) * n1)
    without_positive = (total - sums.by_positive) / (n0 * (n1 - sums.read_positive))
    return without_negative, without_positive
