"""Mean frequency of a spectrum: the ratio of two means, and its linearised difference."""

from __future__ import annotations

import numpy as np
import pytest

from validation.statistics.ratios import mean_ratio
from validation.statistics.spectra import component_means, frequencies, spectrum_mean, spectrum_mean_difference

RNG = np.random.default_rng(6)
F = np.arange(1, 11) / 20
S = F * np.exp(-6 * F) * RNG.lognormal(0, 0.3, (24, 10))
IDS = np.repeat(np.arange(8), 3)


def test_mean_frequency_is_the_ratio_of_the_mean_moments() -> None:
    average = S.mean(axis=0)
    found = spectrum_mean(S, F, clusters=IDS)
    assert found.value == pytest.approx((F * average).sum() / average.sum())
    ratio = mean_ratio(S @ F, S.sum(axis=1), clusters=IDS)
    assert (found.lower, found.upper) == pytest.approx((ratio.lower, ratio.upper))
    assert (found.unit, found.n, found.n_clusters) == ("1/mm", 24, 8)
    assert spectrum_mean(1e-6 * S, F, clusters=IDS).lower == pytest.approx(found.lower)


def test_difference_agrees_with_a_patient_bootstrap() -> None:
    other = S * np.exp(-F) * RNG.lognormal(0, 0.1, S.shape)
    found = spectrum_mean_difference(other, S, F)

    def contrast(rows: np.ndarray) -> float:
        return float(np.diff([(s[rows] @ F).sum() / s[rows].sum() for s in (S, other)])[0])

    draws = [contrast(RNG.integers(0, 24, 24)) for _ in range(2000)]
    assert found.value == pytest.approx(contrast(np.arange(24)))
    assert found.lower is not None
    assert found.upper is not None
    assert (found.upper - found.lower) / (2 * 2.069) == pytest.approx(np.std(draws), rel=0.1)


def test_noise_that_changes_in_strength_only_does_not_shift() -> None:
    found = spectrum_mean_difference(3 * S, S, F)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.lower is None


def test_cases_with_a_missing_bin_are_left_out() -> None:
    holed = S.copy()
    holed[4, 2] = np.nan
    assert spectrum_mean(holed, F).n == 23
    assert spectrum_mean_difference(holed, S, F).n == 23


@pytest.mark.parametrize("spectra", [np.empty((0, 10)), S[:1], np.zeros((5, 10)), np.full((5, 10), np.nan)])
def test_too_little_data_is_said(spectra: np.ndarray) -> None:
    assert spectrum_mean(spectra, F).value is None
    assert spectrum_mean(spectra, F).reason
    assert spectrum_mean_difference(spectra, spectra, F).value is None


def test_wrong_components_are_refused() -> None:
    with pytest.raises(ValueError, match="increasing"):
        spectrum_mean(S, F[::-1])
    with pytest.raises(ValueError, match="c00"):
        frequencies(("c00",))


def test_a_curve_has_one_mean_per_component() -> None:
    found = component_means(S, clusters=IDS, unit="HU2.mm2")
    assert [e.value for e in found] == pytest.approx(S.mean(axis=0).tolist())
    assert all(e.lower is not None and e.unit == "HU2.mm2" for e in found)
