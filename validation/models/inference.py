"""Showing images to a network: intensity scaling, slices, neighbouring slices, sliding windows, precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from validation.errors import ModelProblem, ValidationProblem
from validation.models.spec import Inference, ModelSpec

Precision = Literal["fp32", "bf16", "fp16"]
_LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}


def run_network(network: Callable[[Tensor], Any], images: Tensor, spec: ModelSpec, precision: Precision) -> Tensor:
    """Return the network's answer to images, in the image unit, float32.

    Parameters
    ----------
    network
        Callable from ``(N, C, *spatial)`` to ``(N, 1, *spatial)``.
    images
        ``(B, H, W)`` or ``(B, D, H, W)``, float32.
    spec
        Its ``inference`` says how images are cut up, its ``scaling`` how intensities are mapped.
    precision
        ``bf16`` and ``fp16`` run under automatic mixed precision.

    Raises
    ------
    ModelProblem
        If the network raises, or answers with another shape or type (MOD-007).
    """
    scaling, plan = spec.scaling, spec.inference
    seen = images if scaling.clip is None else images.clamp(*scaling.clip)
    seen = (seen - scaling.offset) / scaling.scale

    def ask(block: Tensor) -> Tensor:
        return _checked(network, block)

    with (
        torch.inference_mode(),
        torch.autocast(images.device.type, dtype=_LOW.get(precision), enabled=precision in _LOW),
    ):
        answer = _volumes(ask, seen, plan) if plan.mode == "3d" else _slices(ask, seen, plan)
    return answer.float() * scaling.scale + scaling.offset


def _slices(ask: Callable[[Tensor], Tensor], images: Tensor, plan: Inference) -> Tensor:
    """Show slices, alone or with their neighbours as channels."""
    flat = images.ndim == 3
    volumes = images.unsqueeze(1) if flat else images
    height, width = volumes.shape[-2:]
    if plan.mode == "2.5d":
        n = plan.neighbours
        padded = functional.pad(volumes.unsqueeze(1), (0, 0, 0, 0, n, n), mode="replicate").squeeze(1)
        channels = padded.unfold(1, 2 * n + 1, 1).movedim(-1, 2)  # (B, D, C, H, W)
        blocks = channels.reshape(-1, 2 * n + 1, height, width)
    else:
        blocks = volumes.reshape(-1, 1, height, width)
    # 2-D cases were batched by the caller; the slices of volumes are shown a few at a time.
    step = len(blocks) if flat else plan.window_batch
    answers = [_windowed(ask, blocks[start : start + step], plan) for start in range(0, len(blocks), step)]
    return torch.cat(answers).reshape(images.shape)


def _volumes(ask: Callable[[Tensor], Tensor], images: Tensor, plan: Inference) -> Tensor:
    """Show volumes, whole or through a sliding window."""
    if images.ndim != 4:
        raise ModelProblem(
            "the model expects volumes (mode `3d`), but the cases are single slices.",
            code="MOD-007",
            action="Use mode `2d`, or give whole series as cases.",
        )
    return _windowed(ask, images.unsqueeze(1), plan).squeeze(1)


def _windowed(ask: Callable[[Tensor], Tensor], block: Tensor, plan: Inference) -> Tensor:
    if plan.roi_size is None:
        return ask(block)
    from monai.inferers.inferer import SlidingWindowInferer

    inferer = SlidingWindowInferer(
        roi_size=plan.roi_size, sw_batch_size=plan.window_batch, overlap=plan.overlap, mode=plan.blend
    )
    answer = inferer(block, ask)
    return answer if isinstance(answer, Tensor) else next(iter(answer))


def _checked(network: Callable[[Tensor], Any], block: Tensor) -> Tensor:
    """Call the network; turn its failures into problems that name the shapes."""
    shape = tuple(block.shape)
    try:
        answer = network(block)
    except (torch.OutOfMemoryError, ValidationProblem):
        raise
    except Exception as error:  # a network is foreign code: whatever it raises is its failure
        if "can't allocate memory" in str(error):  # the CPU allocator has no class of its own
            raise torch.OutOfMemoryError(str(error)) from None
        lines = str(error).strip().splitlines()
        raise ModelProblem(
            f"the model failed on a block of shape {shape}: {lines[-1][:200] if lines else type(error).__name__}",
            code="MOD-007",
            why="A case without output cannot be measured.",
            action="Check mode, roi_size and scaling under `model:` in study.yaml.",
        ) from None
    if isinstance(answer, list | tuple) and len(answer) == 1:
        answer = answer[0]
    expected = (shape[0], 1, *shape[2:])
    if not isinstance(answer, Tensor) or tuple(answer.shape) != expected:
        found = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise ModelProblem(
            f"the model answered {found} to a block of shape {shape}; {expected} is needed.",
            code="MOD-007",
            why="An output on another grid than its input cannot be compared with it voxel by voxel.",
            action="Check mode and roi_size under `model:` in study.yaml.",
        )
    return answer
