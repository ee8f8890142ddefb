"""A small cohort on disk and a protocol for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from validation.cohort.open import Cohort, open_cohort
from validation.cohort.spec import CohortSpec
from validation.protocol.schema import Protocol


def endpoint(**fields: Any) -> dict[str, Any]:
    """Return an endpoint with everything it must have."""
    standard = {
        "id": "E1",
        "role": "primary",
        "title": "An endpoint",
        "metric": {"name": "noise_magnitude"},
        "summary": "mean",
        "hypothesis": {"type": "descriptive"},
    }
    return {**standard, **fields}


def protocol(*endpoints: dict[str, Any], **execution: Any) -> Protocol:
    """Return a protocol with these endpoints."""
    return Protocol.model_validate(
        {
            "schema": 1,
            "id": "p",
            "version": "1.0.0",
            "title": "A protocol for tests",
            "claim": {
                "type": "low_dose_denoising",
                "statement": "The model lowers noise in simulated images.",
                "pathways": ["internal_validation"],
            },
            "population": {"description": "Simulated squares, nobody's images."},
            "reference_standard": {"method": "noise-free simulation"},
            "execution": execution,
            "endpoints": list(endpoints) or [endpoint()],
        }
    )


STANDARD = (
    endpoint(comparator="input"),
    endpoint(id="E2", role="secondary", metric={"name": "rmse"}, comparator="input"),
    endpoint(
        id="E3", role="secondary", metric={"name": "noise_magnitude", "region": "middle"}, cases="kind == 'phantom'"
    ),
)


def write_cohort(folder: Path, n: int, *, size: int = 24, seed: int = 5) -> Path:
    """Write ``n`` cases of two shapes: input, reference and a mask as NPY, and the case table."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["case_id,patient_id,kind,input,reference,mask.middle"]
    for i in range(n):
        side = size if i % 3 else size + 8
        clean = rng.normal(0, 30, (side, side)).astype("float32")
        mask = np.zeros((side, side), bool)
        mask[4:-4, 4:-4] = True
        np.save(folder / f"i{i}.npy", clean + rng.normal(0, 20, (side, side)).astype("float32"))
        np.save(folder / f"r{i}.npy", clean)
        np.save(folder / f"m{i}.npy", mask)
        kind = "phantom" if i % 4 == 0 else "patient"
        lines.append(f"c{i:03d},p{i // 2:03d},{kind},i{i}.npy,r{i}.npy,m{i}.npy")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder


def open_written(folder: Path) -> Cohort:
    """Open what :func:`write_cohort` wrote."""
    spec = CohortSpec.model_validate({"table": "cases.csv", "arrays": {"unit": "HU", "spacing_mm": [1.0, 1.0]}})
    return open_cohort(spec, folder)
