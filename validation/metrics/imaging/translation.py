"""Modality translation: geometric fidelity, and information hidden in the output (cycle steganography)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from validation.errors import ModelProblem, UsageProblem
from validation.estimate import Estimate
from validation.metrics.imaging.batches import checked_image, checked_mask, checked_pair, mean_over_voxels
from validation.metrics.imaging.regions import checked_spacing
from validation.registry import Direction, metric
from validation.statistics.means import mean, paired_mean_difference


@metric(
    "geometric_shift",
    unit="mm",
    direction=Direction.LOWER,
    roles=("output", "reference"),
    reference="Foroosh 2002, doi:10.1109/83.988953 (subpixel phase correlation)",
    oracle="planted shifts of whole and half voxels; registered T1 and T2 images",
    family="imaging",
)
def geometric_shift(output: Tensor, reference: Tensor, *, spacing_mm: Tensor, limit: int = 10) -> Tensor:
    """Displacement between output and reference, in mm, from the edges in both.

    The gradient magnitudes of both images, which hardly depend on the contrast of the modality, are cross-correlated
    (Hann window, Fourier domain); the position of the maximum, refined by a parabola per axis, is the shift. A shift of
    two voxels leaves many intensity scores nearly unchanged and moves every contour.

    Undefined (NaN) when an image has no edges.

    Parameters
    ----------
    output, reference
        ``(B, H, W)`` or ``(B, D, H, W)``, of one or two modalities.
    spacing_mm
        ``(B, ndim)``, in array-axis order.
    limit
        Largest shift searched for, in voxels per axis.
    """
    if limit < 1:
        raise UsageProblem(f"limit is {limit}.", code="MET-014", where="limit", action="Give 1 or more voxels.")
    output, reference = checked_pair(output, reference)
    spacing = checked_spacing(spacing_mm, output)
    axes = tuple(range(1, output.ndim))
    shape = output.shape[1:]
    # case by case: sums over a batch may round otherwise, and a resumed run must give the same bytes
    first, second = (torch.cat([_edges(image[k : k + 1]) for k in range(len(image))]) for image in (output, reference))
    peaks = []
    for k in range(len(first)):
        spectrum = torch.fft.rfftn(first[k : k + 1], dim=axes) * torch.fft.rfftn(second[k : k + 1], dim=axes).conj()
        peaks.append(torch.fft.irfftn(spectrum, s=shape, dim=axes))
    peak = torch.cat(peaks)
    near = [min(limit, (n - 1) // 2) for n in shape]
    box = peak
    for axis, r in enumerate(near, start=1):
        index = torch.arange(-r, r + 1, device=output.device) % shape[axis - 1]
        box = box.index_select(axis, index)
    distances = []
    for k in range(len(box)):
        if not bool(first[k].any()) or not bool(second[k].any()):
            distances.append(torch.tensor(torch.nan, dtype=torch.float64, device=output.device))
            continue
        place = torch.unravel_index(box[k].argmax(), box[k].shape)
        moved = []
        for axis, at in enumerate(place):
            line = box[k][tuple(slice(None) if a == axis else p for a, p in enumerate(place))]
            here = int(at)
            offset = 0.0
            if 0 < here < len(line) - 1:
                left, top, right = (float(line[here + d]) for d in (-1, 0, 1))
                bend = left - 2 * top + right
                offset = 0.5 * (left - right) / bend if bend < 0 else 0.0
            moved.append((here - near[axis] + offset) * float(spacing[k, axis]))
        distances.append(torch.tensor(moved, dtype=torch.float64, device=output.device).norm())
    return torch.stack(distances)


def _edges(image: Tensor) -> Tensor:
    """Return the gradient magnitude without its mean, windowed; zero where there is none."""
    axes = tuple(range(1, image.ndim))
    wide = image.to(torch.float64)
    parts = [p for axis in axes if image.shape[axis] > 1 for p in torch.gradient(wide, dim=axis)]
    size = torch.stack(parts).square().sum(0).sqrt()
    size = size - size.mean(dim=axes, keepdim=True)
    for axis in axes:
        n = image.shape[axis]
        if n > 4:
            shape = [1] * image.ndim
            shape[axis] = n
            size = size * torch.hann_window(n + 2, False, dtype=torch.float64, device=image.device)[1:-1].reshape(shape)
    return size


@metric(
    "input_difference",
    unit="HU",
    direction=Direction.NONE,
    roles=("output", "input"),
    optional_roles=("mask",),
    reference="Chu 2017, arXiv:1712.02950 (CycleGAN, a master of steganography)",
    oracle="NumPy; a pair of translations that hides its input",
    family="imaging",
)
def input_difference(output: Tensor, input: Tensor, mask: Tensor | None = None) -> Tensor:
    """Root mean square difference of output and input, such as of a cycle of two translations and where it began.

    For the test of hidden information: the model of the study is the whole cycle, the baseline the same cycle with
    faint noise added between its two translations. An honest way back loses hardly anything by the noise; one that
    reads a hidden pattern loses what the pattern held. :func:`cycle_steganography` does the same on arrays.

    Undefined (NaN) when the mask is empty.

    Parameters
    ----------
    output, input
        ``(B, H, W)`` or ``(B, D, H, W)``, in one unit.
    mask
        Where voxels count, same shape; everywhere if absent.
    """
    output, began = checked_pair(output, input)
    return mean_over_voxels(output, checked_mask(mask, output), minus=began, power="square").sqrt()


def cycle_steganography(
    forward: Callable[[Tensor], Tensor],
    backward: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    amplitude: float,
    clusters: Sequence[object] | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Test whether a translation hides its input in its output, for the cycle back.

    A model trained for cycle consistency can write the input into the output as a pattern too faint to see, so that the
    cycle returns detail that the output does not show. White noise of a small ``amplitude`` (standard deviation, in the
    unit of the translated image; below its visible noise) destroys such a pattern and little else.

    - ``cycle error``: root mean square difference of images and their cycle;
    - ``after noise``: the same with noise added between the two translations;
    - ``increase``: paired difference of the two;
    - ``amplification``: ``sqrt(after noise² - cycle error²) / amplitude``, the noise that comes back per noise put in.
      About 1 or less for an honest pair of translations in like units; far above 1 where the way back amplifies a
      hidden pattern.

    Parameters
    ----------
    forward, backward
        The two translations, of batches ``(B, H, W)`` or ``(B, D, H, W)``.
    images
        Inputs of ``forward``.
    clusters
        Patient of each image.

    Raises
    ------
    ModelProblem
        ``MOD-007`` if a translation changes the shape.

    References
    ----------
    Chu 2017, arXiv:1712.02950 (CycleGAN, a master of steganography).
    """
    if not 0 < amplitude < float("inf"):
        raise UsageProblem(
            f"amplitude is {amplitude}.",
            code="MET-014",
            where="amplitude",
            action="Give a positive standard deviation, below the visible noise of the translated image.",
        )
    images = checked_image(images)
    generator = torch.Generator().manual_seed(seed)
    clean: list[float] = []
    noisy: list[float] = []
    with torch.inference_mode():
        for k in range(len(images)):
            image = images[k : k + 1]
            middle = forward(image)
            noise = amplitude * torch.randn(middle.shape, generator=generator, dtype=torch.float64)
            for errors, between in ((clean, middle), (noisy, middle + noise.to(middle))):
                back = backward(between)
                if back.shape != image.shape:
                    raise ModelProblem(
                        f"the cycle returns shape {tuple(back.shape)} for {tuple(image.shape)}.",
                        code="MOD-007",
                        where="forward, backward",
                        action="Give two translations on one grid.",
                    )
                errors.append(float((back - image).to(torch.float64).square().mean().sqrt()))
    patients = None if clusters is None else np.asarray(clusters, dtype=object)
    returned = [max(0.0, b * b - a * a) ** 0.5 / amplitude for a, b in zip(clean, noisy, strict=True)]
    return {
        "cycle error": mean(clean, clusters=patients, level=level, method="cycle error"),
        "after noise": mean(noisy, clusters=patients, level=level, method="cycle error after noise"),
        "increase": paired_mean_difference(noisy, clean, clusters=patients, level=level),
        "amplification": mean(returned, clusters=patients, level=level, method="noise amplification of the cycle"),
    }
