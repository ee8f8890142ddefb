"""Slices, neighbours, windows, scaling, precision and seeds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models.networks import Smooth
from validation.errors import ModelProblem
from validation.models import Batch, Model, ModelSpec, load_model

CPU = torch.device("cpu")


def model(network: str, **fields: object) -> Model:
    spec = ModelSpec(
        name="m", version="1", kind="entry_point", entry_point=f"tests.models.networks:{network}", **fields
    )
    return load_model(spec, Path(), CPU)


def batch(images: torch.Tensor, seeds: tuple[int, ...] | None = None) -> Batch:
    n = len(images)
    return Batch(images=images, case_ids=tuple("abcdefgh"[:n]), rows=({},) * n, seeds=seeds or tuple(range(n)))


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def test_volumes_slice_by_slice() -> None:
    volumes = noise(2, 7, 12, 10)
    with torch.inference_mode():
        expected = torch.stack([Smooth()(volume[:, None])[:, 0] for volume in volumes])
    for size in (1, 3, 100):
        got = model("Smooth", inference={"window_batch": size}).predict(batch(volumes))
        torch.testing.assert_close(got, expected)


def test_neighbouring_slices_are_channels_and_the_ends_repeat() -> None:
    volumes = noise(1, 5, 4, 4)
    got = model("MeanOfChannels", inference={"mode": "2.5d", "neighbours": 1}).predict(batch(volumes))[0]
    v = volumes[0]
    torch.testing.assert_close(got[2], (v[1] + v[2] + v[3]) / 3)
    torch.testing.assert_close(got[0], (2 * v[0] + v[1]) / 3)
    torch.testing.assert_close(got[4], (v[3] + 2 * v[4]) / 3)
    single = noise(2, 4, 4)
    torch.testing.assert_close(model("MeanOfChannels", inference={"mode": "2.5d"}).predict(batch(single)), single)


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
def test_sliding_windows_cover_volumes_and_slices(blend: str) -> None:
    volumes = noise(2, 9, 17, 15)
    in_3d = model("Shrink", inference={"mode": "3d", "roi_size": [4, 8, 8], "overlap": 0.5, "blend": blend})
    torch.testing.assert_close(in_3d.predict(batch(volumes)), volumes / 2)
    whole = model("Shrink", inference={"mode": "3d"})
    torch.testing.assert_close(whole.predict(batch(volumes)), volumes / 2)
    in_2d = model("Shrink", inference={"roi_size": [8, 8], "blend": blend})
    torch.testing.assert_close(in_2d.predict(batch(volumes[:, 0])), volumes[:, 0] / 2)


def test_scaling_is_undone_and_clipping_is_seen() -> None:
    images = torch.tensor([[[-2000.0, 0.0], [100.0, 4000.0]]])
    scaled = model("Shrink", scaling={"offset": -1000, "scale": 500, "clip": [-1024, 3071]}).predict(batch(images))
    seen = (images.clamp(-1024, 3071) + 1000) / 500
    torch.testing.assert_close(scaled, seen / 2 * 500 - 1000)


def test_samples_depend_on_the_seed_and_not_on_the_batch() -> None:
    images = noise(4, 6, 6)
    sampler = model("Sampler", stochastic=True)
    together = sampler.predict(batch(images, (11, 12, 13, 14)))
    alone = torch.cat([sampler.predict(batch(images[i : i + 1], (11 + i,))) for i in (3, 0, 2, 1)])
    assert torch.equal(together[[3, 0, 2, 1]], alone)
    assert not torch.equal(together, sampler.predict(batch(images, (21, 22, 23, 24))))
    before = torch.random.get_rng_state()
    sampler.predict(batch(images))
    assert torch.equal(before, torch.random.get_rng_state())


def test_low_precision_is_close_but_not_equal() -> None:
    images = noise(2, 16, 16)
    smooth = model("Smooth")
    exact = smooth.predict(batch(images))
    for precision in ("bf16", "fp16"):
        rounded = smooth.predict(batch(images), precision=precision)
        assert rounded.dtype == torch.float32
        assert not torch.equal(rounded, exact)
        torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0.02)


def test_wrong_shapes_are_problems_that_name_them() -> None:
    with pytest.raises(ModelProblem, match=r"\(2, 1, 4, 4\).*\(2, 1, 6, 6\)"):
        model("Crop").predict(batch(noise(2, 6, 6)))
    with pytest.raises(ModelProblem, match="single slices"):
        model("Shrink", inference={"mode": "3d"}).predict(batch(noise(2, 6, 6)))
    with pytest.raises(ModelProblem, match="failed on a block"):
        model("Smooth", arguments={"channels": 3}).predict(batch(noise(2, 6, 6)))


def test_onnx_keeps_its_precision(tmp_path: Path) -> None:
    from tests.models.networks import save_onnx

    save_onnx(Smooth(), tmp_path / "m.onnx")
    onnx = load_model(ModelSpec(name="m", version="1", kind="onnx", path="m.onnx"), tmp_path, CPU)
    with pytest.raises(ModelProblem) as caught:
        onnx.predict(batch(noise(1, 8, 8)), precision="bf16")
    assert caught.value.code == "MOD-008"
