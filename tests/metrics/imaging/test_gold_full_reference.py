"""The independent values of iq_fullref.json (scikit-image, MONAI, NumPy) on real images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from validation.metrics.imaging.pixel_error import mae, psnr, rmse
from validation.metrics.imaging.similarity import ms_ssim, ssim

pytestmark = pytest.mark.shared


def load_pair(shared: Path, case: str) -> tuple[np.ndarray, np.ndarray]:
    """Return output and reference of a case of the gold file, by the words of its name."""
    images = shared / "data" / "imaging"
    words = case.split()
    if words[0] == "ct_sr":
        with np.load(images / "ct_sr_sfrc" / "sr.npz", allow_pickle=False) as archive:
            slice_number = int(words[3].removeprefix("slice"))
            return archive[f"sh_{words[2]}"][slice_number], archive["sh_gt"][slice_number]
    if words[0] == "ct_L506":
        with np.load(images / "ct_lowdose_L506" / "l506.npz", allow_pickle=False) as archive:
            return archive[words[1]], archive[words[3]]
    with np.load(images / "mr_ms_t1t2" / "patient07.npz", allow_pickle=False) as archive:
        first = archive["T1"].astype(np.float64)
        if words[3] == "T2":
            return first, archive["T2"].astype(np.float64)
        return gaussian_filter(first, 1, mode="reflect"), first


@pytest.fixture(scope="module")
def gold(shared: Path) -> list[dict]:
    cases = json.loads((shared / "reference" / "imaging" / "iq_fullref.json").read_text())["cases"]
    assert len(cases) == 26
    return cases


def batch(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.as_tensor(array.astype(np.float64), dtype=dtype).unsqueeze(0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 2e-5)])
def test_errors_and_similarity_equal_numpy_and_scikit_image(shared, gold, dtype, tolerance):
    for case in gold:
        arrays = load_pair(shared, case["case"])
        if dtype == torch.float64 and arrays[0].ndim == 3 and "T2" in case["case"]:
            continue  # one volume in float64 is enough
        output, reference = (batch(a, dtype) for a in arrays)
        value = {k: v["value"] for k, v in case["results"].items()}
        data_range = case["data_range"]
        assert mae(output, reference).item() == pytest.approx(value["np_MAE"], rel=1e-6), case["case"]
        assert rmse(output, reference).item() == pytest.approx(value["np_RMSE"], rel=1e-6), case["case"]
        measured = psnr(output, reference, data_range=data_range).item()
        assert measured == pytest.approx(value["skimage_PSNR"], abs=1e-5), case["case"]
        measured = ssim(output, reference, data_range=data_range).item()
        assert measured == pytest.approx(value["skimage_SSIM_gauss1.5_popcov"], abs=tolerance), case["case"]


def test_multi_scale_similarity_equals_monai(shared, gold):
    compared = 0
    for case in gold:
        value = case["results"].get("monai_MSSSIM", {}).get("value")
        if value is None:
            continue
        output, reference = (batch(a, torch.float64) for a in load_pair(shared, case["case"]))
        if min(output.shape[1:]) < 176:
            assert torch.isnan(ms_ssim(output, reference, data_range=case["data_range"])).all()
            continue
        measured = ms_ssim(output, reference, data_range=case["data_range"]).item()
        assert measured == pytest.approx(value, abs=2e-5), case["case"]
        compared += 1
    assert compared >= 20
