"""Showing images to a network: intensity scaling, slices, neighbouring slices, sliding windows, precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from validation.errors import ModelProblem, ValidationProblem
from validation.models.spec import Inference, ModelSpec

Precision = Literal["fp32", "bf16", "fp16"]
_LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}


def run_network(
    network: Callable[[Tensor], Any],
    images: Tensor,
    spec: ModelSpec,
    precision: Precision,
    upsampling: tuple[int, ...] = (),
) -> Tensor:
    """Return the network's answer on the grid of the images, float32: an image in its unit, or a label map.

    Parameters
    ----------
    network
        Callable from ``(N, C, *spatial)`` to ``(N, 1, *spatial)``; for label maps also to one channel per label. Where
        ``upsampling`` is given its answer is finer by these factors.
    images
        ``(B, H, W)`` or ``(B, D, H, W)``, float32.
    spec
        Its ``inference`` says how images are cut up, its ``scaling`` how intensities are mapped.
    precision
        ``bf16`` and ``fp16`` run under automatic mixed precision.
    upsampling
        Voxels of the answer per voxel of the image and axis.

    Raises
    ------
    ModelProblem
        If the network raises, or answers with another shape or type (MOD-007).
    """
    scaling, plan = spec.scaling, spec.inference
    factors = upsampling or (1,) * (images.ndim - 1)
    if plan.mode != "3d" and factors[:-2] not in ((), (1,)):
        raise ModelProblem(
            f"a model of mode {plan.mode!r} cannot make {factors[0]} slices of one.",
            code="MOD-007",
            action="Use mode `3d`, or correct `cohort.upsampling` in study.yaml.",
        )

    def ask(block: Tensor) -> Tensor:
        return _checked(network, block, factors[-(block.ndim - 2) :], channels=spec.answer == "labels")

    with _inference(images, precision):
        seen = shown(images, spec)
        answer = _volumes(ask, seen, plan) if plan.mode == "3d" else _slices(ask, seen, plan)
    if spec.answer == "labels":
        return _labels(answer.float(), spec)
    return answer.squeeze(1).float() * scaling.scale + scaling.offset


def ask_whole(network: Callable[[Tensor], Any], images: Tensor, spec: ModelSpec, precision: Precision) -> Any:
    """Return what a network answers to whole images ``(N, 1, *spatial)``, whatever it is: scores or marks."""
    with _inference(images, precision):
        return _called(network, shown(images, spec).unsqueeze(1))


def shown(images: Tensor, spec: ModelSpec) -> Tensor:
    """Return images with their intensities as the network sees them."""
    scaling = spec.scaling
    seen = images if scaling.clip is None else images.clamp(*scaling.clip)
    return (seen - scaling.offset) / scaling.scale


@contextmanager
def _inference(images: Tensor, precision: Precision) -> Iterator[None]:
    with (
        torch.inference_mode(),
        torch.autocast(images.device.type, dtype=_LOW.get(precision), enabled=precision in _LOW),
    ):
        yield


def _labels(answer: Tensor, spec: ModelSpec) -> Tensor:
    """Return the label map ``(B, *spatial)`` of an answer ``(B, C, *spatial)``."""
    if spec.threshold is not None:
        if answer.shape[1] != 1:
            raise _not_labels(f"it has {answer.shape[1]} channels, and `threshold` takes one probability")
        return (answer[:, 0] >= spec.threshold).float() * next(iter(spec.structures.values()))
    if answer.shape[1] > 1:
        if max(spec.structures.values()) >= answer.shape[1]:
            raise _not_labels(f"it has {answer.shape[1]} channels, fewer than the labels of `structures`")
        return answer.argmax(1).float()
    if spec.inference.roi_size is not None:
        raise _not_labels("labels of overlapping windows cannot be averaged; answer with one channel per label")
    return answer[:, 0]


def _not_labels(why: str) -> ModelProblem:
    return ModelProblem(
        f"the model's answer cannot be read as a label map: {why}.",
        code="MOD-013",
        action="Correct `structures`, `threshold` or `inference` under `model:` in study.yaml.",
    )


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
    joined = torch.cat(answers)  # (B [* D], C, H, W)
    if flat:
        return joined
    return joined.reshape(*images.shape[:2], *joined.shape[1:]).movedim(2, 1)


def _volumes(ask: Callable[[Tensor], Tensor], images: Tensor, plan: Inference) -> Tensor:
    """Show volumes, whole or through a sliding window."""
    if images.ndim != 4:
        raise ModelProblem(
            "the model expects volumes (mode `3d`), but the cases are single slices.",
            code="MOD-007",
            action="Use mode `2d`, or give whole series as cases.",
        )
    return _windowed(ask, images.unsqueeze(1), plan)


def _windowed(ask: Callable[[Tensor], Tensor], block: Tensor, plan: Inference) -> Tensor:
    if plan.roi_size is None:
        return ask(block)
    from monai.inferers.inferer import SlidingWindowInferer

    inferer = SlidingWindowInferer(
        roi_size=plan.roi_size, sw_batch_size=plan.window_batch, overlap=plan.overlap, mode=plan.blend
    )
    answer = inferer(block, ask)
    return answer if isinstance(answer, Tensor) else next(iter(answer))


def _called(network: Callable[[Tensor], Any], block: Tensor) -> Any:
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
    return answer[0] if isinstance(answer, list | tuple) and len(answer) == 1 else answer


def _checked(network: Callable[[Tensor], Any], block: Tensor, factors: tuple[int, ...], *, channels: bool) -> Tensor:
    """Call the network and check that it answers on the grid, with one channel or, for label maps, several."""
    answer = _called(network, block)
    shape = tuple(block.shape)
    found_channels = answer.shape[1] if channels and isinstance(answer, Tensor) and answer.ndim > 1 else 1
    expected = (shape[0], found_channels, *(n * factor for n, factor in zip(shape[2:], factors, strict=True)))
    if not isinstance(answer, Tensor) or tuple(answer.shape) != expected:
        found = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise ModelProblem(
            f"the model answered {found} to a block of shape {shape}; {expected} is needed.",
            code="MOD-007",
            why="An output on another grid than the case cannot be compared with its images voxel by voxel.",
            action="Check mode and roi_size under `model:`, and `cohort.upsampling`, in study.yaml.",
        )
    return answer
