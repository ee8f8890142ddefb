"""Image metrics and their peers, side by side in one process, on one 512 x 512 image and one 256 x 256 x 256 volume.

Run: ``python benchmarks/imaging.py [--json FILE] [--device cpu|cuda] [--threads N] [--small]``. Every
pair computes the same quantity (the values are compared before timing). Times are the best of several calls; the ratio
is peer / ours: above 1 we are faster.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from validation.metrics.imaging.local import local_sd, worst_local_error
from validation.metrics.imaging.noise import noise_magnitude
from validation.metrics.imaging.pixel_error import mae, psnr, rmse
from validation.metrics.imaging.similarity import ms_ssim, ssim
from validation.metrics.imaging.spectrum import power_spectrum
from validation.metrics.segmentation.overlap import dice
from validation.metrics.segmentation.surface import hd95, surface_dice

RANGE = 3000.0


@dataclass(frozen=True)
class Pair:
    """One of our metrics and a peer that computes the same number."""

    metric: str
    peer: str
    ours: Callable[[], float]
    theirs: Callable[[], float]
    tolerance: float


def images(shape: tuple[int, ...], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(shape, generator=generator).cumsum(-1) * 20
    output = reference + 25 * torch.randn(shape, generator=generator)
    return output.unsqueeze(0).to(device), reference.unsqueeze(0).to(device)


def pairs(shape: tuple[int, ...], device: str) -> Iterator[Pair]:
    """Yield the pairs for a shape; peers get the data in the form they want, converted outside the timing."""
    import skimage.metrics as sk
    import torchmetrics.functional as tm
    import torchmetrics.functional.image as tmi
    from monai.metrics import MAEMetric, MultiScaleSSIMMetric, PSNRMetric, RMSEMetric, SSIMMetric
    from scipy import ndimage

    axes = len(shape)
    output, reference = images(shape, device)
    channel = output.unsqueeze(1), reference.unsqueeze(1)
    array = output[0].cpu().numpy(), reference[0].cpu().numpy()
    flat = output.flatten(), reference.flatten()

    def monai(metric: object) -> Callable[[], float]:
        return lambda: float(metric(*channel))  # type: ignore[operator]

    def ours(function: Callable[..., torch.Tensor], **settings: object) -> Callable[[], float]:
        return lambda: float(function(output, reference, **settings))

    yield Pair("rmse", "MONAI", ours(rmse), monai(RMSEMetric()), 1e-4)
    yield Pair("rmse", "scikit-image", ours(rmse), lambda: math.sqrt(sk.mean_squared_error(*array)), 1e-4)
    yield Pair("rmse", "torchmetrics", ours(rmse), lambda: float(tm.mean_squared_error(*flat, squared=False)), 1e-4)
    yield Pair("mae", "MONAI", ours(mae), monai(MAEMetric()), 1e-4)
    yield Pair("mae", "torchmetrics", ours(mae), lambda: float(tm.mean_absolute_error(*flat)), 1e-4)
    yield Pair("psnr", "MONAI", ours(psnr, data_range=RANGE), monai(PSNRMetric(RANGE)), 1e-3)
    yield Pair(
        "psnr",
        "scikit-image",
        ours(psnr, data_range=RANGE),
        lambda: float(sk.peak_signal_noise_ratio(array[1], array[0], data_range=RANGE)),
        1e-3,
    )
    yield Pair(
        "psnr",
        "torchmetrics",
        ours(psnr, data_range=RANGE),
        lambda: float(tmi.peak_signal_noise_ratio(*channel, data_range=RANGE)),
        1e-3,
    )
    yield Pair(
        "ssim",
        "scikit-image",
        ours(ssim, data_range=RANGE),
        lambda: float(
            sk.structural_similarity(
                array[1], array[0], data_range=RANGE, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
        ),
        1e-3,
    )
    yield Pair("ssim", "MONAI", ours(ssim, data_range=RANGE), monai(SSIMMetric(axes, RANGE, kernel_sigma=1.5)), 1e-3)
    yield Pair(
        "ssim",
        "torchmetrics (other border)",
        ours(ssim, data_range=RANGE),
        lambda: float(tmi.structural_similarity_index_measure(*channel, data_range=RANGE)),
        0.05,
    )
    peer = MultiScaleSSIMMetric(axes, RANGE, kernel_sigma=1.5)
    yield Pair("ms_ssim", "MONAI", ours(ms_ssim, data_range=RANGE), monai(peer), 1e-3)
    yield Pair(
        "noise_magnitude", "NumPy", lambda: float(noise_magnitude(output)), lambda: float(array[0].std(ddof=1)), 0.1
    )

    def local_peer() -> float:
        first = ndimage.uniform_filter(array[0], 7)
        second = ndimage.uniform_filter(array[0] ** 2, 7)
        n = 7**axes
        inner = (slice(3, -3),) * axes
        return float(np.mean(np.sqrt(np.clip(second - first**2, 0, None) * n / (n - 1))[inner]))

    yield Pair("local_sd", "SciPy", lambda: float(local_sd(output, statistic="mean")), local_peer, 1.0)

    def worst_peer() -> float:
        return float(ndimage.uniform_filter(np.abs(array[0] - array[1]), 5)[(slice(2, -2),) * axes].max())

    yield Pair("worst_local_error", "SciPy", ours(worst_local_error), worst_peer, 1e-2)

    spacing = torch.ones(1, axes)
    # an organ-sized ellipsoid and the same one, eroded here and shifted there
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    wave = 1 + 0.05 * np.sin(9 * grid[0]) * np.cos(7 * grid[-1])
    mask = torch.as_tensor((grid**2).sum(0) < 0.36).unsqueeze(0).to(device)
    other = torch.as_tensor(((grid - 0.02) ** 2).sum(0) * wave < 0.36).unsqueeze(0).to(device)
    one_hot = mask.unsqueeze(1).float(), other.unsqueeze(1).float()

    def hd_peer() -> float:
        from monai.metrics import compute_hausdorff_distance

        return float(compute_hausdorff_distance(*one_hot, include_background=True, percentile=95))

    def nsd_peer() -> float:
        from monai.metrics import compute_surface_dice

        return float(compute_surface_dice(*one_hot, class_thresholds=[2.0], include_background=True))

    yield Pair("hd95", "MONAI", lambda: float(hd95(mask, other, spacing_mm=spacing)), hd_peer, 1e-4)
    yield Pair(
        "surface_dice",
        "MONAI",
        lambda: float(surface_dice(mask, other, spacing_mm=spacing, tolerance_mm=2)),
        nsd_peer,
        1e-4,
    )

    def dice_peer() -> float:
        from monai.metrics import compute_dice

        return float(compute_dice(*one_hot))

    yield Pair("dice", "MONAI", lambda: float(dice(mask, other)), dice_peer, 1e-6)

    def nps_peer() -> float:
        total, count = 0.0, 0
        for plane in array[0].reshape(-1, *shape[-2:]):
            for row in range(0, shape[-2] - 63, 32):
                for column in range(0, shape[-1] - 63, 32):
                    region = plane[row : row + 64, column : column + 64].astype(np.float64)
                    total += float((np.abs(np.fft.fft2(region - region.mean())) ** 2)[3, 5]) / 64**2
                    count += 1
        return total / count

    def nps_ours() -> float:
        spectrum, _ = power_spectrum(output, None, spacing, roi_size=64, stride=32, detrend="mean")
        return float(spectrum[0, 3, 5])

    yield Pair("nps", "NumPy, region by region", nps_ours, nps_peer, 1e-2)


def best(function: Callable[[], float], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
        if times[-1] > 5:  # long enough to be steady
            break
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", help="Only this metric.")
    parser.add_argument(
        "--small", action="store_true", help="A 96-cube instead of the 256-cube (MS-SSIM then undefined)."
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    records, slower = [], 0
    for shape in ((512, 512), (96,) * 3 if options.small else (256,) * 3):
        for pair in pairs(shape, options.device):
            if options.only and pair.metric != options.only:
                continue
            try:
                ours, theirs = pair.ours(), pair.theirs()
            except (ValueError, RuntimeError) as refusal:
                print(f"{'x'.join(map(str, shape)):>12}  {pair.metric:<18} {pair.peer:<28} not compared: {refusal}")
                continue
            agree = abs(ours - theirs) <= pair.tolerance * max(1.0, abs(theirs))
            repeats = 7 if len(shape) == 2 else 3
            mine, peer = best(pair.ours, repeats), best(pair.theirs, repeats)
            ratio = peer / mine
            slower += ratio < 1
            records.append(
                {
                    "shape": shape, "metric": pair.metric, "peer": pair.peer, "ours_s": mine, "peer_s": peer,
                    "ratio": ratio, "ours": ours, "theirs": theirs, "agree": agree,
                }
            )  # fmt: skip
            print(
                f"{'x'.join(map(str, shape)):>12}  {pair.metric:<18} {pair.peer:<28} ours {mine * 1e3:9.2f} ms  "
                f"peer {peer * 1e3:9.2f} ms  ratio {ratio:6.2f}  {'' if agree else f'VALUES DIFFER {ours} {theirs}'}",
                flush=True,
            )
    where = f"{platform.machine()}, {options.threads} threads, {options.device}"
    print(f"{len(records)} comparisons, slower in {slower}; {where}")
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "results": records}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
