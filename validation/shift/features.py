"""Image features for shift detection: histogram, texture and noise spectrum of each image, as columns of a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.errors import DataProblem

BINS = 64


def image_features(images: npt.NDArray[np.floating] | npt.NDArray[np.integer]) -> pd.DataFrame:
    """Return one row of features per image of a stack (n, rows, columns).

    In the unit of the image: ``mean``, ``sd``, ``p05``, ``p50``, ``p95``, ``noise_sd`` (robust spread of a second
    difference that cancels planes, Immerkaer's filter). Pure numbers: ``skewness``, ``kurtosis``, ``entropy_bits`` of a
    64-bin histogram between the extremes, ``edge_share`` (mean gradient over the range p05 to p95), and
    ``high_frequency_share`` (share of spectral power, without the mean, above half the Nyquist frequency).
    A feature that an image does not define (a constant image has no skewness) is NaN.

    These describe an acquisition for comparison with another; they are no standardised radiomics (IBSI) values.

    Raises
    ------
    DataProblem
        SHF-007 if the stack is not (n, rows, columns) with at least 8 by 8 pixels, or holds values that are not finite.

    References
    ----------
    Immerkaer 1996, doi:10.1006/cviu.1996.0060 (noise filter).

    Examples
    --------
    >>> float(image_features(np.ones((1, 8, 8)))["sd"][0])
    0.0
    """
    stack = np.asarray(images, dtype=np.float64)
    if stack.ndim != 3 or min(stack.shape[1:], default=0) < 8:
        raise DataProblem(
            f"features need a stack of images (n, rows, columns) of at least 8 by 8 pixels, not {stack.shape}.",
            code="SHF-007",
        )
    if not np.isfinite(stack).all():
        raise DataProblem("an image holds values that are not finite.", code="SHF-007")
    return pd.DataFrame([_one(image) for image in stack])


def _one(image: npt.NDArray[np.float64]) -> dict[str, float]:
    mean, sd = float(image.mean()), float(image.std())
    p05, p50, p95 = (float(q) for q in np.quantile(image, (0.05, 0.5, 0.95)))
    z = (image - mean) / sd if sd > 0 else None
    counts, _ = np.histogram(image, bins=BINS)
    share = counts[counts > 0] / image.size
    gradient = np.hypot(*np.gradient(image))
    kernel = image[:-2, :-2] - 2 * image[:-2, 1:-1] + image[:-2, 2:]
    kernel = kernel - 2 * (image[1:-1, :-2] - 2 * image[1:-1, 1:-1] + image[1:-1, 2:])
    kernel = kernel + image[2:, :-2] - 2 * image[2:, 1:-1] + image[2:, 2:]
    power = np.abs(np.fft.fft2(image - mean)) ** 2
    radius = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])[None, :])
    total = float(power.sum())
    return {
        "mean": mean,
        "sd": sd,
        "p05": p05,
        "p50": p50,
        "p95": p95,
        "skewness": float((z**3).mean()) if z is not None else np.nan,
        "kurtosis": float((z**4).mean()) if z is not None else np.nan,
        "entropy_bits": float(-(share * np.log2(share)).sum()),
        "noise_sd": float(np.median(np.abs(kernel)) / 0.6744897501960817 / 6),
        "edge_share": float(gradient.mean() / (p95 - p05)) if p95 > p05 else np.nan,
        "high_frequency_share": float(power[radius > 0.25].sum() / total) if total > 0 else np.nan,
    }
