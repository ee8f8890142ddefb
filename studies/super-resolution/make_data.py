"""Make the simulated cohort: coarse legacy images, fine reference images of the same slices, and phantoms with a rod.

    python studies/super-resolution/make_data.py

The physics is that of ``studies/low-dose-ct/simulation``. An archive image is a scan of its own, averaged over 2 x 2
pixels and written as an old archive might hold it: without vendor names, in implicit value representation or big
endian, or compressed. No person is behind any of these images.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import torch
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "low-dose-ct"))
from make_data import Plan, plan_patients
from simulation.dicom import Header, write_slice
from simulation.patients import Scene, chest_slice
from simulation.phantoms import phantom
from simulation.scanner import PIXEL_MM, VENDORS, add_noise, project, reconstruct

FACTOR = 2
LEVELS = (0.2, 0.9)
RODS_PER_KERNEL = 4
ARCHIVES: dict[str, UID] = {
    "explicit little endian": ExplicitVRLittleEndian,
    "implicit little endian": ImplicitVRLittleEndian,
    "explicit big endian": ExplicitVRBigEndian,
    "RLE": RLELossless,
    "JPEG-LS lossless": JPEGLSLossless,
    "JPEG 2000 lossless": JPEG2000Lossless,
}
LOST = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel", "SpacingBetweenSlices")


def legacy(path: Path, image: np.ndarray, archive: str) -> None:
    """Rewrite a full-size instance as an archive would hold it: coarse pixels, fewer attributes, its own encoding."""
    ds = pydicom.dcmread(path)
    step = FACTOR * PIXEL_MM
    corner = -(image.shape[0] - 1) / 2 * step
    ds.Rows, ds.Columns = image.shape
    ds.PixelSpacing = [f"{step}", f"{step}"]
    ds.ImagePositionPatient = [f"{corner:.6f}", f"{corner:.6f}", ds.ImagePositionPatient[2]]
    for keyword in LOST:
        if keyword in ds:
            delattr(ds, keyword)
    syntax = ARCHIVES[archive]
    stored = np.clip(np.rint(image) + 1024, 0, 4095)
    ds.BitsStored, ds.HighBit = 12, 11
    ds.PixelData = stored.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()
    if syntax.is_compressed:
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(path, enforce_file_format=True)
        return
    ds.file_meta.TransferSyntaxUID = syntax
    plain = pydicom.Dataset(ds)  # a data set that does not remember how it was read
    plain.file_meta = ds.file_meta
    pydicom.dcmwrite(
        path, plain, enforce_file_format=True,
        implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian,
    )  # fmt: skip


def coarse(image: np.ndarray) -> np.ndarray:
    """Return block means."""
    n = image.shape[0] // FACTOR
    return np.asarray(image.reshape(n, FACTOR, n, FACTOR).mean((1, 3)))


def pair(scene: Scene, plan: Plan, generator: torch.Generator, *, clean: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a coarse input and a fine reference, in HU: two scans, or a scan and the image without noise."""
    rays = project(scene.cuts, scene.vessels, scene.blobs)
    photons = plan.vendor.photons * plan.mas / 100
    first = add_noise(rays, photons, generator)
    second = rays if clean else add_noise(rays, photons, generator)
    images = reconstruct(torch.stack([first, second]), plan.kernel).numpy()
    return coarse(images[0]), images[1]


def write_pair(
    out: Path, case_id: str, images: tuple[np.ndarray, np.ndarray], header: dict[str, object], archive: str
) -> dict[str, str]:
    """Write both images of a case and return their locators."""
    paths = {}
    for role, image in zip(("input", "reference"), images, strict=True):
        paths[role] = f"dicom/{case_id}.{role}.dcm"
        series = "archive" if role == "input" else "fine matrix"
        full = np.kron(image, np.ones((FACTOR, FACTOR))) if role == "input" else image
        write_slice(out / paths[role], full, Header(**header, case_id=case_id, series=series))  # type: ignore[arg-type]
    legacy(out / paths["input"], images[0], archive)
    return paths


def main() -> None:
    """Write images, masks and the case table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--seed", type=int, default=20260202)
    arguments = parser.parse_args()
    begun, out = time.monotonic(), arguments.out
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    rows: list[dict[str, object]] = []
    masks: dict[str, np.ndarray] = {}
    names = list(ARCHIVES)
    for number, plan in enumerate(plan_patients(arguments.patients, rng, prefix="SR-P", sites="SR-", year=2012)):
        p = plan.patient
        for k, level in enumerate(LEVELS):
            scene = chest_slice(rng, p, level)
            case_id = f"{p.patient_id}-S{k + 1}"
            archive = names[(number + k) % len(names)]
            header = {
                "patient_id": p.patient_id, "sex": p.sex, "age": p.age, "date": plan.date, "instance": k + 1,
                "z_mm": -20.0 * k, "mas": plan.mas, "vendor": plan.vendor, "kernel": plan.kernel, "site": plan.site,
                "seed": arguments.seed,
            }  # fmt: skip
            paths = write_pair(out, case_id, pair(scene, plan, generator, clean=False), header, archive)
            row: dict[str, object] = {
                "case_id": case_id, "patient_id": p.patient_id, "site": plan.site, "sex": p.sex, "age": p.age,
                "age_band": p.age_band, "maker": plan.vendor.manufacturer, "kernel": plan.kernel.name,
                "kind": "patient", "archive": archive,
                "acquisition_date": f"{plan.date[:4]}-{plan.date[4:6]}-{plan.date[6:]}",
                **scene.notes, **paths,
            }  # fmt: skip
            for name in ("uniform", "lesion", "body"):
                masks[f"{case_id}_{name}"] = scene.masks[name]
                row[f"mask.{name}"] = f"masks.npz:{case_id}_{name}"
            rows.append(row)
    rod = phantom("disk")
    masks["rod"] = rod.masks["rod"]
    for vendor in VENDORS:
        for kernel in vendor.kernels:
            for i in range(RODS_PER_KERNEL):
                case_id = f"PH-{kernel.name}-{i + 1}"
                archive = names[i % len(names)]
                plan = Plan(None, vendor, kernel, "SR-PH", "20120701", 100.0)  # type: ignore[arg-type]
                header = {
                    "patient_id": case_id, "sex": "", "age": None, "date": plan.date, "instance": 1, "z_mm": 0.0,
                    "mas": 100.0, "vendor": vendor, "kernel": kernel, "site": plan.site, "seed": arguments.seed,
                }  # fmt: skip
                paths = write_pair(out, case_id, pair(rod, plan, generator, clean=True), header, archive)
                rows.append(
                    {
                        "case_id": case_id, "patient_id": case_id, "site": plan.site, "kind": "rod",
                        "maker": vendor.manufacturer, "kernel": kernel.name, "archive": archive,
                        "acquisition_date": "2012-07-01", "mask.rod": "masks.npz:rod", **paths,
                    }
                )  # fmt: skip
    np.savez_compressed(out / "masks.npz", **masks)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with (out / "cases.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda r: str(r["case_id"])))
    print(f"{len(rows)} simulated cases in {out} ({time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    main()
