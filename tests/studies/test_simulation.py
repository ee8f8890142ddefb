"""The virtual scanner of the demonstration against closed forms."""

from __future__ import annotations

import csv
import hashlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

STUDY = Path(__file__).resolve().parents[2] / "studies" / "low-dose-ct"
sys.path.insert(0, str(STUDY))

from make_data import main as make_main
from make_data import plan_patients
from simulation.patients import chest_slice, draw_patient
from simulation.phantoms import phantom
from simulation.scanner import (
    BINS,
    ELECTRONIC_SD,
    MU_WATER,
    PITCH_MM,
    VENDORS,
    VIEWS,
    Cut,
    Ellipse,
    add_noise,
    pixel_grid,
    project,
    reconstruct,
)

NONE = np.zeros((0, 4))


def _centres() -> torch.Tensor:
    return (torch.arange(BINS) - (BINS - 1) / 2) * PITCH_MM


def test_projection_of_a_disc_is_its_chord() -> None:
    radius, x0, y0 = 100.0, 30.0, -20.0
    found = project([Cut(Ellipse(x0, y0, radius, radius, 0.3, 1000.0))], NONE, NONE)
    for view in (0, 77, 180, 300):
        angle = math.pi * view / VIEWS
        s = _centres() - (x0 * math.cos(angle) + y0 * math.sin(angle))
        inside = s.abs() < 95
        chord = 2 * torch.sqrt(radius**2 - s[inside] ** 2) * MU_WATER
        torch.testing.assert_close(found[view][inside], chord, rtol=2e-3, atol=2e-3)


def test_mass_is_the_same_in_every_view() -> None:
    """The integral of a projection is the integral of the object, whatever the view."""
    ellipse = Cut(Ellipse(10, 5, 80, 40, 0.7, 500.0))
    blobs = np.array([[20.0, 10.0, 6.0, 100.0]])
    vessels = np.array([[-30.0, 15.0, 3.0, 800.0]])
    mass = project([ellipse], vessels, blobs).sum(1) * PITCH_MM
    expected = (math.pi * 80 * 40 * 500 + 2 * math.pi * 36 * 100 + math.pi * 9 * 800) * MU_WATER / 1000
    torch.testing.assert_close(mass, torch.full_like(mass, expected), rtol=2e-3, atol=0)


def test_holes_take_away_exactly_what_they_cover() -> None:
    outer, a, b = Ellipse(0, 0, 100, 80, 0, 300.0), Ellipse(20, 0, 40, 30, 0.2), Ellipse(-10, 10, 30, 40, 0)
    holes = project([Cut(outer, (a, b))], NONE, NONE)
    x, y = pixel_grid()
    kept = outer.contains(x, y) & ~a.contains(x, y) & ~b.contains(x, y)
    area = kept.sum() * 1.5625**2
    mass = float(holes.sum(1).mean()) * PITCH_MM / (300 * MU_WATER / 1000)
    assert mass == pytest.approx(area, rel=0.005)
    assert float(holes.min()) >= -1e-5


@pytest.mark.parametrize("kernel", [k for v in VENDORS for k in v.kernels], ids=lambda k: k.name)
def test_water_reconstructs_to_zero_and_air_to_minus_1000(kernel: object) -> None:
    line_integrals = project([Cut(Ellipse(0, 0, 120, 120, 0, 1000.0))], NONE, NONE)
    image = reconstruct(line_integrals[None], kernel)[0].numpy()  # type: ignore[arg-type]
    x, y = pixel_grid()
    radius = np.hypot(x, y)
    assert abs(image[radius < 100].mean()) < 0.5
    assert abs(image[(radius > 140) & (radius < 190)].mean() + 1000) < 1.0


def test_noise_of_line_integrals_follows_photon_statistics() -> None:
    generator = torch.Generator().manual_seed(1)
    photons, depth = 1e5, 3.0
    noisy = add_noise(torch.full((400, 500), depth), photons, generator)
    counts = photons * math.exp(-depth)
    expected = 1 / counts + (ELECTRONIC_SD / counts) ** 2
    assert float(noisy.var()) == pytest.approx(expected, rel=0.02)
    assert float(noisy.mean()) == pytest.approx(depth + 0.5 / counts, abs=3 * math.sqrt(expected / 200_000))


def test_a_quarter_of_the_dose_doubles_the_noise() -> None:
    generator = torch.Generator().manual_seed(2)
    line_integrals = project(phantom("uniform").cuts, NONE, NONE)
    mask = phantom("uniform").masks["uniform"]
    kernel = VENDORS[0].kernels[0]
    sd = []
    for fraction in (1.0, 0.25):
        images = reconstruct(
            torch.stack([add_noise(line_integrals, 4e5 * fraction, generator) for _ in range(4)]), kernel
        )
        sd.append(float(images[:, torch.as_tensor(mask)].std(1).mean()))
    assert 5 < sd[0] < 20
    assert sd[1] / sd[0] == pytest.approx(2.0, abs=0.15)


def test_a_slice_has_its_lesion_where_the_mask_says() -> None:
    rng = np.random.default_rng(5)
    for band, sex in ((0, "F"), (2, "M")):
        scene = chest_slice(rng, draw_patient(rng, "T", sex, band), 1.0)
        image = reconstruct(project(scene.cuts, scene.vessels, scene.blobs)[None], VENDORS[0].kernels[1])[0].numpy()
        contrast = image[scene.masks["lesion"]].mean() - image[scene.masks["background"]].mean()
        assert contrast == pytest.approx(scene.notes["lesion_contrast_hu"], rel=0.25)
        assert image[scene.masks["uniform"]].mean() == pytest.approx(40.0, abs=1.5)
        assert not (scene.masks["uniform"] & scene.masks["lesion"]).any()


def test_no_training_patient_or_site_is_in_the_holdout() -> None:
    with (STUDY / "training_manifest.csv").open(encoding="utf-8") as handle:
        training = list(csv.DictReader(handle))
    holdout = plan_patients(48, np.random.default_rng(20260101), prefix="SIM-P", sites="SIM-", year=2025)
    assert len(training) > 40
    assert not {p.patient.patient_id for p in holdout} & {row["patient_id"] for row in training}
    assert not {p.site for p in holdout} & {row["site"] for row in training}
    assert max(row["acquisition_date"] for row in training) < "2025-01-01"


def _make(out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(
        sys, "argv", ["make_data.py", "--patients", "2", "--phantoms", "0.03", "--out", str(out), "--seed", "7"]
    )
    make_main()
    return {
        str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file()
    }


def test_the_same_seed_makes_the_same_cohort_and_the_cohort_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from validation.cohort.open import open_cohort
    from validation.cohort.spec import CohortSpec

    first = _make(tmp_path / "a", monkeypatch)
    assert first == _make(tmp_path / "b", monkeypatch)
    cohort = open_cohort(CohortSpec(folder="a", table="a/cases.csv"), tmp_path)
    assert set(cohort.cases["manufacturer"]) == {"Simulated A", "Simulated B", "Simulated C"}
    ladder = {"ladder_water", "ladder_rod", "ladder_present", "ladder_absent"}
    assert set(cohort.cases["kind"]) == {"patient", "uniform", "disk", "signal_present", "signal_absent", *ladder}
    case = cohort.load("SIM-P001-S1")
    assert case.unit == "HU"
    assert case.spacing_mm[-1] == pytest.approx(1.5625)
    noise = [float(case.arrays[role][case.masks["uniform"]].std()) for role in ("input", "reference")]
    assert noise[0] > 1.5 * noise[1]
