"""A case has the same value, to the last bit, whatever shares its batch: resumed runs must give the same bytes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

import validation.metrics
from validation.registry import Kind, Metric, all_metrics

validation.metrics.load()
PARAMETERS = {
    "data_range": 2000.0, "width_mm": 5.0, "diameter_mm": 8.0, "tolerance_mm": 1.0, "scales": 2, "roi_size": 29,
    "factor": 2, "dose": 1000.0, "dose_percent": 3.0, "distance_mm": 2.0, "cutoff_per_mm": 0.3,
}  # fmt: skip
CASES = 5
SHAPES = ((180, 200), (24, 70, 64))


def data(shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    full = (CASES, *shape)
    noise = 30 * torch.randn(full, generator=generator)
    axes = torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij")
    distance = torch.hypot(axes[-2] - shape[-2] / 2, axes[-1] - shape[-1] / 2)
    disk = 2000 * torch.sigmoid((12 - distance) / 0.8)
    mask = (distance <= 12).expand(full).clone()
    return {
        "reference": disk + noise,
        "output": disk + noise + 10 * torch.randn(full, generator=generator),
        "input": disk + noise,
        "image": disk + noise,
        "mask": mask,
        "target_mask": mask,
        "signal_mask": mask,
        "background_mask": ~mask,
    }


def values(entry: Metric, tensors: dict[str, torch.Tensor], cases: slice) -> torch.Tensor:
    if entry.family == "segmentation":
        mask = tensors["mask"][cases]
        readers = [{"A": own.roll(1, -1), "B": own.roll(2, -2)} for own in mask]
        contours = {"output": mask, "reference": mask.roll(1, -1), "readers": readers}
        arguments: dict[str, Any] = {role: contours[role] for role in entry.roles}
    else:
        arguments = {role: tensors[role][cases] for role in entry.roles}
    parameters = entry.parameters()
    if "spacing_mm" in parameters:
        image = next(iter(arguments.values()))
        arguments["spacing_mm"] = torch.full((image.shape[0], image.ndim - 1), 0.7)
    if "measure" in parameters:
        arguments["measure"] = "surface_dice"
    result = entry.function(**arguments, **{k: v for k, v in PARAMETERS.items() if k in parameters})
    if isinstance(result, list):  # ragged: the same components here in every case
        return torch.tensor([list(case.values()) for case in result], dtype=torch.float64)
    return torch.stack(list(result.values()), 1) if isinstance(result, dict) else result


@pytest.mark.parametrize(
    ("entry", "shape"),
    [
        pytest.param(entry, shape, id=f"{entry.name}-{len(shape)}-D")
        for entry, shape in product(all_metrics(), SHAPES)
        if entry.family in ("imaging", "segmentation") and entry.kind is not Kind.ESTIMATE
        if len(shape) == 3 or not entry.name.startswith("planned_")  # a dose needs a volume
    ],
)
def test_a_case_has_the_same_value_in_any_batch(entry, shape):
    tensors = data(shape)
    together = values(entry, tensors, slice(None))
    alone = torch.cat([values(entry, tensors, slice(k, k + 1)) for k in range(CASES)])
    pairs = torch.cat([values(entry, tensors, slice(k, k + 2)) for k in range(0, CASES, 2)])
    assert torch.isfinite(together).any(), "a test on undefined values shows nothing"
    assert torch.equal(together.nan_to_num(-1.5), alone.nan_to_num(-1.5))
    assert torch.equal(together.nan_to_num(-1.5), pairs.nan_to_num(-1.5))
