"""Make the simulated cohort: DICOM slices of virtual patients and phantoms, region masks and the case table.

    python studies/low-dose-ct/make_data.py --patients 48 --out studies/low-dose-ct/data --seed 20260101

With ``--scanner D`` every image comes from a fourth manufacturer with a sharper kernel; ``--software`` changes the
software version in the headers and nothing else; the revalidation study uses them.

The same seed makes the same bytes. No person is behind any of these images.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from ladder import Ladder
from simulation.dicom import Header, write_slice
from simulation.patients import Patient, Scene, chest_slice, draw_patient
from simulation.phantoms import phantom
from simulation.scanner import FOURTH_VENDOR, VENDORS, Kernel, Vendor, add_noise, project, reconstruct

DOSE_FRACTION = 0.25
LEVELS = (0.1, 0.7, 1.0)
SLICE_GAP_MM = 20.0
PHANTOM_REPEATS = {"uniform": 5, "disk": 5, "signal_present": 60, "signal_absent": 60}
# fmt: off
COLUMNS = (
    "case_id", "patient_id", "site", "sex", "age", "age_band", "size", "effective_diameter_mm", "kind", "signal",
    "acquisition_date", "dose_fraction", "ladder_dose", "contrast_hu", "lesion_contrast_hu", "lesion_radius_mm",
    "input", "reference", "mask.uniform", "mask.lesion", "mask.background", "mask.body", "mask.roi", "mask.rod",
    "mask.core", "mask.signal",
)
# fmt: on


@dataclass(frozen=True)
class Plan:
    """One virtual patient or phantom session with its scanner."""

    patient: Patient
    vendor: Vendor
    kernel: Kernel
    site: str
    date: str
    mas: float


def tube_load(effective_diameter_mm: float) -> float:
    """Return mAs at full dose: the exposure control partly follows the size of the patient."""
    return float(np.clip(100 * math.exp(0.012 * (effective_diameter_mm - 285)), 40, 220))


def plan_patients(
    count: int,
    rng: np.random.Generator,
    *,
    prefix: str,
    sites: str,
    year: int,
    vendors: tuple[Vendor, ...] = VENDORS,
) -> list[Plan]:
    """Return patients balanced over sex, age band and manufacturer, and kernels balanced within each of them."""
    plans = []
    for i in range(count):
        patient = draw_patient(rng, f"{prefix}{i + 1:03d}", "FM"[i % 2], (i // 2) % 3)
        vendor = vendors[(i // 6) % 3 % len(vendors)]
        turn = (i // 2) % 3 + (i // 6) % 3 + i // 18  # neither age nor maker decides the kernel
        kernel = vendor.kernels[turn % len(vendor.kernels)]
        site = f"{sites}{vendors.index(vendor) * 2 + int(rng.integers(2)) + 1:02d}"
        date = f"{year}{int(rng.integers(1, 13)):02d}{int(rng.integers(1, 29)):02d}"
        plans.append(Plan(patient, vendor, kernel, site, date, tube_load(patient.effective_diameter)))
    return plans


def scan(scene: Scene, kernel: Kernel, photons: float, fraction: float, generator: torch.Generator) -> torch.Tensor:
    """Return three reconstructions, (3, 256, 256) in HU: noise-free, full dose, reduced dose (independent noise)."""
    line_integrals = project(scene.cuts, scene.vessels, scene.blobs)
    full = add_noise(line_integrals, photons, generator)
    reduced = add_noise(line_integrals, photons * fraction, generator)
    return reconstruct(torch.stack([line_integrals, full, reduced]), kernel)


def _patient_rows(
    plans: list[Plan], out: Path, masks: Masks, seed: int, rng: np.random.Generator, software: str
) -> Iterator[dict[str, object]]:
    """Write the slices of each patient and yield their rows."""
    for number, plan in enumerate(plans):
        generator = torch.Generator().manual_seed(seed * 1000 + number)
        p = plan.patient
        for k, level in enumerate(LEVELS):
            scene = chest_slice(rng, p, level)
            images = scan(scene, plan.kernel, plan.vendor.photons * plan.mas / 100, DOSE_FRACTION, generator).numpy()
            case_id = f"{p.patient_id}-S{k + 1}"
            paths = {}
            for role, series, image, mas in (
                ("input", "reduced dose", images[2], plan.mas * DOSE_FRACTION),
                ("reference", "full dose", images[1], plan.mas),
            ):
                paths[role] = f"dicom/{p.patient_id}/{series.replace(' ', '_')}/{k + 1:03d}.dcm"
                header = Header(
                    patient_id=p.patient_id,
                    sex=p.sex,
                    age=p.age,
                    case_id=case_id,
                    series=series,
                    date=plan.date,
                    instance=k + 1,
                    z_mm=-k * SLICE_GAP_MM,
                    mas=mas,
                    vendor=plan.vendor,
                    kernel=plan.kernel,
                    site=plan.site,
                    seed=seed,
                    software=software,
                )
                write_slice(out / paths[role], image, header)
            row: dict[str, object] = {
                "case_id": case_id,
                "patient_id": p.patient_id,
                "site": plan.site,
                "sex": p.sex,
                "age": p.age,
                "age_band": p.age_band,
                "size": p.size,
                "effective_diameter_mm": round(p.effective_diameter, 1),
                "kind": "patient",
                "signal": "",
                "acquisition_date": _iso(plan.date),
                "dose_fraction": DOSE_FRACTION,
                **scene.notes,
                **paths,
            }
            for name in ("uniform", "lesion", "background", "body"):
                row[f"mask.{name}"] = masks.add(f"{case_id}_{name}", scene.masks[name])
            yield row


def _phantom_rows(
    out: Path, masks: Masks, seed: int, scale: float, vendors: tuple[Vendor, ...], software: str
) -> Iterator[dict[str, object]]:
    """Write the phantom scans of each manufacturer and yield their rows; the reference is the noise-free scan."""
    generator = torch.Generator().manual_seed(seed + 7)
    for v, vendor in enumerate(vendors):
        for kind, repeats in PHANTOM_REPEATS.items():
            detectability = kind.startswith("signal")
            scene = phantom(kind)
            line_integrals = project(scene.cuts, scene.vessels, scene.blobs)
            keys = {name: masks.add(f"{kind}_{name}", mask) for name, mask in scene.masks.items()}
            # detectability on the soft kernels only, so that one template fits one noise texture per manufacturer
            for kernel in vendor.kernels[:1] if detectability else vendor.kernels:
                count = max(2, round(repeats * scale))
                noisy = [add_noise(line_integrals, vendor.photons * DOSE_FRACTION, generator) for _ in range(count)]
                images = torch.cat(
                    [reconstruct(part, kernel) for part in torch.stack([line_integrals, *noisy]).split(16)]
                ).numpy()
                for i in range(count):
                    scan_id = f"PH-{kind}-{kernel.name}-{i + 1:02d}"
                    paths = {}
                    for role, series, image, mas in (
                        ("input", "reduced dose", images[i + 1], 25.0),
                        ("reference", "noise-free", images[0], 100.0),
                    ):
                        paths[role] = f"dicom/phantoms/{scan_id}.{role}.dcm"
                        header = Header(
                            patient_id=scan_id,
                            sex="",
                            age=None,
                            case_id=scan_id,
                            series=series,
                            date="20250701",
                            instance=1,
                            z_mm=0.0,
                            mas=mas,
                            vendor=vendor,
                            kernel=kernel,
                            site=f"SIM-{2 * v + 1:02d}",
                            seed=seed,
                            software=software,
                        )
                        write_slice(out / paths[role], image, header)
                    yield {
                        "case_id": scan_id,
                        "patient_id": scan_id,
                        "site": f"SIM-{2 * v + 1:02d}",
                        "kind": kind,
                        "signal": int(kind == "signal_present") if detectability else "",
                        "acquisition_date": "2025-07-01",
                        "dose_fraction": DOSE_FRACTION,
                        "ladder_dose": DOSE_FRACTION if detectability else "",
                        **paths,
                        **{f"mask.{name}": key for name, key in keys.items()},
                    }


def _iso(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}"


class Masks:
    """Region masks, collected into one compressed NPZ archive with fixed time stamps."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4)
        self._name = path.name
        self._seen: set[str] = set()

    def add(self, key: str, mask: np.ndarray) -> str:
        """Store a mask once and return its locator."""
        if key not in self._seen:
            self._seen.add(key)
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(mask, dtype=bool), allow_pickle=False)
            info = zipfile.ZipInfo(f"{key}.npy", (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            self._archive.writestr(info, buffer.getvalue())
        return f"{self._name}:{key}"

    def close(self) -> None:
        """Finish the archive."""
        self._archive.close()


def make_cohort(
    out: Path,
    patients: int,
    seed: int,
    phantom_scale: float = 1.0,
    *,
    vendors: tuple[Vendor, ...] = VENDORS,
    software: str = "simulation 1.0",
    prefix: str = "SIM-",
    ladder: bool = True,
) -> int:
    """Write the cohort and return its number of cases; patient and site ids begin with ``prefix``.

    ``ladder`` adds the scans at other doses and contrasts, which a manufacturer makes and a site does not.
    """
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    plans = plan_patients(patients, rng, prefix=f"{prefix}P", sites=prefix, year=2025, vendors=vendors)
    masks = Masks(out / "masks.npz")
    rows = [
        *_patient_rows(plans, out, masks, seed, rng, software),
        *_phantom_rows(out, masks, seed, phantom_scale, vendors, software),
    ]
    if ladder:
        rows += Ladder(out, masks, seed, phantom_scale, software).rows(vendors)
    masks.close()
    with (out / "cases.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda r: str(r["case_id"])))
    return len(rows)


def main() -> None:
    """Read the command line and make the cohort."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=48, help="number of virtual patients (three slices each)")
    parser.add_argument("--phantoms", type=float, default=1.0, help="factor on the number of phantom scans")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "data")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--scanner", choices=["label", "D"], default="label", help="those in the label, or a fourth")
    parser.add_argument("--software", default="simulation 1.0", help="software version in the headers")
    parser.add_argument("--no-ladder", action="store_true", help="leave out the scans at other doses and contrasts")
    parser.add_argument("--prefix", default="SIM-", help="beginning of patient and site ids")
    arguments = parser.parse_args()
    begun = time.monotonic()
    count = make_cohort(
        arguments.out,
        arguments.patients,
        arguments.seed,
        arguments.phantoms,
        vendors=(FOURTH_VENDOR,) if arguments.scanner == "D" else VENDORS,
        software=arguments.software,
        prefix=arguments.prefix,
        ladder=not arguments.no_ladder,
    )
    print(f"{count} simulated cases in {arguments.out} ({time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    main()
