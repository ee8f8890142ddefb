"""Covariance of figures of merit of all readers and modalities, given the readers: the error of finite cases.

All functions return ``(T, Q, Q)`` with ``Q`` running over reader and modality, reader slowest.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from validation.reader_study.pairs import PairSums, leave_one_out_auc


def jackknife_covariance(deleted: Any) -> Any:
    """Return the jackknife covariance from the values after deleting each case.

    ``(n - 1) / n * sum_i (v_i - mean v)(v_i - mean v)'``, over all ``n`` cases of both classes.

    Parameters
    ----------
    deleted
        ``(T, Q, n)``: the figure of merit with one case left out.

    References
    ----------
    Efron & Stein 1981, doi:10.1214/aos/1176345462; Dorfman, Berbaum & Metz 1992, doi:10.1097/00004424-199209000-00015.
    """
    xp = array_namespace(deleted)
    n = deleted.shape[-1]
    centred = deleted - xp.mean(deleted, axis=-1, keepdims=True)
    return xp.matmul(centred, xp.matrix_transpose(centred)) * ((n - 1) / n)


def jackknife_auc_covariance(sums: PairSums) -> Any:
    """Return the jackknife covariance of empirical AUCs, in closed form from the pair sums."""
    xp = array_namespace(sums.total)
    return jackknife_covariance(xp.concat(leave_one_out_auc(sums), axis=-1))


def delong_covariance(sums: PairSums) -> Any:
    """Return the covariance of DeLong, DeLong & Clarke-Pearson (1988) of empirical AUCs.

    ``S10 / n1 + S01 / n0``, the sample covariances of the placement values of positive and negative cases. It needs
    every reader to have read the same cases under every modality. doi:10.2307/2531595
    """
    xp = array_namespace(sums.total)
    n0, n1 = sums.by_negative.shape[-1], sums.by_positive.shape[-1]
    total = xp.zeros_like(xp.matmul(sums.by_positive, xp.matrix_transpose(sums.by_positive)))
    for placements, own, other in ((sums.by_positive, n1, n0), (sums.by_negative, n0, n1)):
        share = placements / other
        centred = share - xp.mean(share, axis=-1, keepdims=True)
        total = total + xp.matmul(centred, xp.matrix_transpose(centred)) / ((own - 1) * own)
    return total


def covariance_of_moments(numerator: Any, denominator: Any) -> Any:
    """Return the unbiased covariance (Bamber 1975; Gallas 2006) from sums of products, for any overlap of cases.

    The four sums of products over pairs of pairs (same pair, same positive, same negative, any) are turned into
    averages over pairs of pairs that share exactly the stated cases; the covariance is the sum of those averages
    weighted by how often each occurs, less the product of the means, each part being unbiased. Two entries without a
    common case have covariance 0. doi:10.1016/j.acra.2005.11.030

    Parameters
    ----------
    numerator, denominator
        ``(T, Q, Q, 4)`` from :func:`product_moments`.
    """
    xp = array_namespace(numerator)
    exact_n, exact_d = _exactly(numerator), _exactly(denominator)
    safe = xp.where(exact_d > 0, exact_d, xp.ones_like(exact_d))
    moments = xp.where(exact_d > 0, exact_n / safe, xp.zeros_like(exact_n))
    every = denominator[..., 3:4]
    weights = exact_d / xp.where(every > 0, every, xp.ones_like(every))
    covariance = xp.sum(weights * moments, axis=-1) - moments[..., 3]
    disjoint = exact_d[..., 0] + exact_d[..., 1] + exact_d[..., 2] == 0
    return xp.where(disjoint, xp.zeros_like(covariance), covariance)


def product_moments(sums: PairSums) -> tuple[Any, Any]:
    """Return the sums of products of two kernels ``(T, Q, Q, 4)`` and the numbers of terms.

    The last axis: products over the same pair of cases, over pairs with the same positive case, over pairs with the
    same negative case, over any two pairs.

    Raises
    ------
    ValueError
        If :func:`validation.reader_study.pairs.pair_sums` was called without ``products``.
    """
    if sums.product is None:
        raise ValueError("pair_sums was called without products=True")
    xp = array_namespace(sums.total)
    n0, n1 = xp.sum(sums.read_negative, axis=-1), xp.sum(sums.read_positive, axis=-1)
    share0 = xp.matmul(sums.read_negative, xp.matrix_transpose(sums.read_negative))
    share1 = xp.matmul(sums.read_positive, xp.matrix_transpose(sums.read_positive))
    numerator = xp.stack(
        [
            sums.product,
            xp.matmul(sums.by_positive, xp.matrix_transpose(sums.by_positive)),
            xp.matmul(sums.by_negative, xp.matrix_transpose(sums.by_negative)),
            sums.total[:, :, None] * sums.total[:, None, :],
        ],
        axis=-1,
    )
    count0 = n0[:, :, None] * n0[:, None, :]
    count1 = n1[:, :, None] * n1[:, None, :]
    denominator = xp.stack([share0 * share1, count0 * share1, share0 * count1, count0 * count1], axis=-1)
    return numerator, denominator


def _exactly(moment: Any) -> Any:
    """Turn sums over "at least these cases in common" into "exactly these" (inclusion and exclusion)."""
    xp = array_namespace(moment)
    same, positive, negative, free = (moment[..., k] for k in range(4))
    return xp.stack([same, positive - same, negative - same, free - positive - negative + same], axis=-1)
