"""Facts about how a model works: how far around a pixel it looks, and what each direction of its latent space does.

**Reach**: a disc of 3 x 3 pixels in the middle of the input is raised a little, and the change of the output is
recorded by its distance from there. The radius that holds 90 % of the absolute change says how far one pixel's
influence goes. It is local: another image, or a larger step, may give another radius.

**Traversal**: the latent of a case is moved along one direction (one channel, everywhere) by whole standard deviations
(over cases and places), and decoded. Its effect is the mean absolute change of the image per standard deviation. A
direction without effect is not used; many of them in a sampler mean a latent that is partly ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from validation.cohort.open import Cohort
from validation.comparison.spec import Candidate, ComparisonSpec
from validation.errors import ModelProblem
from validation.models import Batch, Model
from validation.models.loaders import load_torchscript
from validation.study.environment import deterministic

REACH_CASES = 8
STEP = 0.05  # of the standard deviation of the image
SHARE = 0.9
DIRECTIONS = 64
PICTURE = 64  # pixels of the middle of the image that a figure shows


def measure_latent(
    spec: ComparisonSpec,
    models: Mapping[str, Model],
    cohort: Cohort,
    case_ids: Sequence[str],
    root: Path,
    device: torch.device,
) -> dict[str, Any]:
    """Return raw readings per candidate: ``reach_pixels`` per case, and the traversal where there is a latent space."""
    count = max([REACH_CASES, *(c.latent.cases for c in spec.candidates if c.latent)])
    images = _images(cohort, case_ids, count, device)
    found: dict[str, Any] = {}
    with deterministic(device):
        for candidate in spec.candidates:
            reach = [_reach(models[candidate.id], *item) for item in images[:REACH_CASES]]
            found[candidate.id] = {"reach_pixels": [r for r in reach if r is not None]}
            if candidate.latent is not None:
                found[candidate.id]["traversal"] = _traversal(candidate, images, root, device)
    return found


def _reach(model: Model, case_id: str, image: Tensor) -> float | None:
    """Return the radius in pixels that holds 90 % of the change, ``None`` if the output does not change."""
    if image.ndim != 2:
        image = image[image.shape[0] // 2]
    row, column = (n // 2 for n in image.shape)
    touched = image.clone()
    touched[row - 1 : row + 2, column - 1 : column + 2] += STEP * float(image.std())

    def answer(shown: Tensor) -> Tensor:
        batch = Batch(images=shown[None], case_ids=(case_id,), rows=({},), seeds=(1,))
        return model.predict(batch)[0].double()

    change = (answer(touched) - answer(image)).abs()
    total = float(change.sum())
    if not total > 0:
        return None
    rows = torch.arange(image.shape[0], dtype=torch.float64, device=image.device) - row
    columns = torch.arange(image.shape[1], dtype=torch.float64, device=image.device) - column
    distance = (rows[:, None].square() + columns.square()).sqrt().flatten()
    order = distance.argsort()
    held = change.flatten()[order].cumsum(0) / total
    return float(distance[order][int((held < SHARE).sum().clamp(max=len(held) - 1))])


def _traversal(
    candidate: Candidate, images: Sequence[tuple[str, Tensor]], root: Path, device: torch.device
) -> dict[str, Any]:
    if candidate.latent is None:
        return {}
    scaling = candidate.checkpoints[0].model.scaling
    encoder = load_torchscript(root / candidate.latent.encoder, device)
    decoder = load_torchscript(root / candidate.latent.decoder, device)
    shown = [((image if image.ndim == 2 else image[image.shape[0] // 2])[None, None] - scaling.offset) / scaling.scale
             for _, image in images[: candidate.latent.cases]]  # fmt: skip
    try:
        with torch.inference_mode():
            latents = [encoder(image) for image in shown]
            readings = _directions(latents, decoder, candidate.latent.steps, scaling.scale)
    except (RuntimeError, IndexError, AttributeError) as error:
        raise ModelProblem(
            f"the latent space of {candidate.id} cannot be traversed ({type(error).__name__}).",
            code="CMP-007",
            where=f"candidates[{candidate.id}].latent",
            action="The encoder takes (1, 1, rows, columns) and returns (1, d, ...); the decoder turns that back.",
        ) from None
    return readings | {"offset": scaling.offset, "scale": scaling.scale}


def _directions(latents: list[Tensor], decoder: Any, steps: int, scale: float) -> dict[str, Any]:
    stacked = torch.cat(latents)
    spread = stacked.transpose(0, 1).flatten(1).std(dim=1)
    middles = [decoder(latent) for latent in latents]
    effects: list[list[float]] = []
    for channel in range(min(DIRECTIONS, stacked.shape[1])):
        row = []
        for latent, middle in zip(latents, middles, strict=True):
            moved = latent.clone()
            moved[:, channel] += spread[channel]
            row.append(scale * float((decoder(moved) - middle).abs().mean()))
        effects.append(row)
    strongest = sorted(range(len(effects)), key=lambda c: -float(np.mean(effects[c])))[:4]
    pictures = []
    for channel in strongest:
        strip = []
        for k in range(-steps, steps + 1):
            moved = latents[0].clone()
            moved[:, channel] += k * spread[channel]
            strip.append(_middle(decoder(moved)[0, 0]))
        pictures.append({"direction": channel, "images": strip})
    return {
        "n_directions": int(stacked.shape[1]),
        "spread": [float(s) for s in spread],
        "effects": effects,
        "pictures": pictures,
        "steps": steps,
    }


def _middle(image: Tensor) -> list[list[float]]:
    """Return the middle of an image, whole numbers of the image's unit being enough for a figure."""
    rows, columns = (max(0, (n - PICTURE) // 2) for n in image.shape)
    part = image[rows : rows + PICTURE, columns : columns + PICTURE]
    return [[round(float(v), 4) for v in row] for row in part.cpu()]


def _images(cohort: Cohort, case_ids: Sequence[str], count: int, device: torch.device) -> list[tuple[str, Tensor]]:
    step = max(1, len(case_ids) // count)
    chosen = list(case_ids)[::step][:count]
    return [(c, torch.from_numpy(cohort.load(c).arrays["input"]).to(device, torch.float32)) for c in chosen]
