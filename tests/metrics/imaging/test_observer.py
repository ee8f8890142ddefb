"""Channel responses and the NPWE template against the FDA LCD_CT results (gold file), and their geometry."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.special import eval_laguerre

from validation.errors import DataProblem, UsageProblem
from validation.metrics.imaging import observer
from validation.metrics.imaging.observer import cho_channels, npwe_response

INSERTS = {14.0: 4, 7.0: 7, 5.0: 10, 3.0: 14}  # HU: diameter in pixels


KEYS = ("recon", "dose", "insert_HU", "observer")


def separation(present: np.ndarray, absent: np.ndarray) -> float:
    return float((present.mean() - absent.mean()) / np.sqrt((present.var(ddof=1) + absent.var(ddof=1)) / 2))


def hotelling_snr(present: np.ndarray, absent: np.ndarray) -> float:
    """Train on the first five cases of each class, test on the rest."""
    covariance = (np.cov(present[:5].T) + np.cov(absent[:5].T)) / 2
    template = (present[:5].mean(0) - absent[:5].mean(0)) @ np.linalg.pinv(covariance)
    return separation(present[5:] @ template, absent[5:] @ template)


@pytest.fixture(scope="module")
def phantom(shared):
    with np.load(shared / "data" / "imaging" / "ct_lcd_dose" / "lcd_small.npz", allow_pickle=False) as archive:
        return {name: archive[name].astype(np.float64) for name in archive.files}


@pytest.fixture(scope="module")
def places(phantom):
    truth = phantom["fbp_ground_truth"] - 1000
    masks = {}
    for contrast in INSERTS:
        labels, _ = ndimage.label(truth == contrast)
        masks[contrast] = torch.as_tensor(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    return masks


@pytest.mark.shared
def test_the_gold_signal_to_noise_ratios(shared, phantom, places):
    results = json.loads((shared / "reference" / "imaging" / "lcd_cho_python.json").read_text())["fixed_split"][
        "results"
    ]
    sets = {
        "LG_CHO": {"channels": "laguerre_gauss"},
        "DOG_CHO": {"channels": "difference_of_gaussians"},
        "Gabor_CHO": {"channels": "gabor"},
    }
    octave = {
        tuple(e[k] for k in KEYS): e["snr"]
        for e in json.loads((shared / "reference" / "imaging" / "lcd_cho_octave.json").read_text())["results"]
    }
    spacing = torch.ones(10, 2)
    compared = 0
    for entry in results:
        if entry["observer"] not in sets:
            continue
        mask = places[entry["insert_HU"]].expand(10, -1, -1)
        responses = []
        for state in ("sp", "sa"):
            images = torch.as_tensor(phantom[f"{entry['recon']}_dose{entry['dose']:03d}_{state}"])
            values = cho_channels(
                images,
                mask,
                spacing_mm=spacing,
                width_mm=INSERTS[entry["insert_HU"]] * 2 / 3,
                **sets[entry["observer"]],
            )
            responses.append(torch.stack(list(values.values()), 1).numpy())
        found = hotelling_snr(*responses)
        assert found == pytest.approx(entry["snr"], abs=1e-4), entry
        assert found == pytest.approx(octave[tuple(entry[k] for k in KEYS)], abs=1e-4), entry
        compared += 1
    assert compared == 72


@pytest.mark.shared
def test_the_gold_ratios_of_the_template_observer(shared, phantom, places):
    results = json.loads((shared / "reference" / "imaging" / "lcd_cho_python.json").read_text())["fixed_split"][
        "results"
    ]
    # the tool divides its frequency axis by n - 1 where a discrete Fourier transform has n: the same as a smaller pixel
    eye = observer.eye_filter(29, 54 / 128 * 28 / 29, 500.0)
    compared = 0
    for entry in results:
        if not entry["observer"].startswith("NPWE"):
            continue
        centre = ndimage.center_of_mass(places[entry["insert_HU"]].numpy())
        row, column = (round(c) for c in centre)
        present, absent = (
            torch.as_tensor(
                phantom[f"{entry['recon']}_dose{entry['dose']:03d}_{state}"][
                    :, row - 14 : row + 15, column - 14 : column + 15
                ]
            )
            for state in ("sp", "sa")
        )
        present, absent = (r - r.mean((1, 2), keepdim=True) for r in (present, absent))
        template = present[:5].mean(0) - absent[:5].mean(0)
        filtered = eye if entry["observer"] == "NPWE_eye" else None
        scores = [observer.template_response(r[5:], template, filtered).numpy() for r in (present, absent)]
        assert separation(*scores) == pytest.approx(entry["snr"], abs=1e-4 if filtered is None else 5e-3), entry
        compared += 1
    assert compared == 48


def test_laguerre_gauss_channels_are_the_textbook_functions_and_orthonormal():
    width = torch.tensor([12.0], dtype=torch.float64)
    bank = observer.laguerre_gauss(65, width, 6)[0]
    offset = np.arange(65) - 32
    square = offset[:, None] ** 2 + offset[None, :] ** 2
    for j in range(6):
        expected = math.sqrt(2) / 12 * np.exp(-math.pi * square / 144) * eval_laguerre(j, 2 * math.pi * square / 144)
        np.testing.assert_allclose(bank[j].numpy(), expected, atol=1e-12)
    gram = bank.flatten(1) @ bank.flatten(1).T
    np.testing.assert_allclose(gram.numpy(), np.eye(6), atol=1e-6)


def test_the_response_follows_the_disk_and_not_the_background():
    image = torch.zeros(3, 64, 64, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disk = (y - 30).square() + (x - 20).square() <= 16
    image[1] = 5.0 * disk
    image[2] = 5.0 * disk + 1000
    mask = disk.expand(3, -1, -1)
    spacing = torch.ones(3, 2)
    values = npwe_response(image, mask, spacing_mm=spacing, diameter_mm=8.0)
    assert values[0].item() == pytest.approx(0, abs=1e-9)
    assert values[1] > 0
    assert values[2].item() == pytest.approx(values[1].item(), rel=1e-9)
    first = cho_channels(image, mask, spacing_mm=spacing, width_mm=8.0)["channel_01"]
    assert first[1] > 0
    assert first[2].item() == pytest.approx(first[1].item(), rel=1e-9)


def test_a_volume_is_measured_in_the_slice_of_the_location():
    volume = torch.randn(1, 5, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    mask = torch.zeros(1, 5, 64, 64, dtype=torch.bool)
    mask[:, 3, 30:33, 40:43] = True
    kwargs = {"width_mm": 5.0}
    in_volume = cho_channels(volume, mask, spacing_mm=torch.ones(1, 3), **kwargs)
    in_slice = cho_channels(volume[:, 3], mask[:, 3], spacing_mm=torch.ones(1, 2), **kwargs)
    assert {k: v.item() for k, v in in_volume.items()} == {k: v.item() for k, v in in_slice.items()}


def test_a_location_at_the_border_or_absent_is_undefined():
    mask = torch.zeros(2, 64, 64, dtype=torch.bool)
    mask[0, 2, 2] = True
    values = cho_channels(torch.ones(2, 64, 64), mask, spacing_mm=torch.ones(2, 2), channels="gabor")
    assert len(values) == 16
    assert all(torch.isnan(v).all() for v in values.values())


def test_wrong_parameters_are_refused():
    image, mask = torch.ones(1, 64, 64), torch.ones(1, 64, 64, dtype=torch.bool)
    for settings, named in (
        ({"channels": "wavelets"}, "wavelets"),
        ({}, "width_mm"),
        ({"channels": "gabor", "roi_size": 30}, "roi_size"),
    ):
        with pytest.raises(UsageProblem, match=named):
            cho_channels(image, mask, spacing_mm=torch.ones(1, 2), **settings)
    with pytest.raises(DataProblem, match="spacing_mm"):
        npwe_response(image, mask, spacing_mm=torch.zeros(1, 2), diameter_mm=5.0)
