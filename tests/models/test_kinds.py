"""Every kind of model gives the answer of the same network run directly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.networks import Smooth, save_exported, save_onnx, save_script
from validation.errors import ModelProblem
from validation.models import Batch, Model, ModelSpec, load_model

CPU = torch.device("cpu")


def batch(images: torch.Tensor, **columns: list[object]) -> Batch:
    n = len(images)
    return Batch(
        images=images,
        case_ids=tuple(f"c{i}" for i in range(n)),
        rows=tuple({name: values[i] for name, values in columns.items()} for i in range(n)),
        seeds=tuple(range(n)),
    )


def load(root: Path, **fields: object) -> Model:
    return load_model(ModelSpec(name="m", version="1", **fields), root, CPU)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 20, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def expected(images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return Smooth()(images[:, None])[:, 0]


@pytest.mark.parametrize("kind", ["torchscript", "exported", "onnx", "weights", "entry_point"])
def test_each_kind_agrees_with_the_network(
    kind: str, tmp_path: Path, images: torch.Tensor, expected: torch.Tensor
) -> None:
    path = tmp_path / "model"
    fields: dict[str, object] = {"kind": kind, "path": "model"}
    if kind == "torchscript":
        save_script(Smooth(), path)
    elif kind == "exported":
        path = save_exported(Smooth(), tmp_path / "model.pt2")
        fields["path"] = "model.pt2"
    elif kind == "onnx":
        save_onnx(Smooth(), path)
    elif kind == "weights":
        torch.save(Smooth().state_dict(), path)
        fields["entry_point"] = "torch.nn:Conv2d"
        fields["arguments"] = {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1}
        torch.save({k.removeprefix("layer."): v for k, v in Smooth().state_dict().items()}, path)
    else:
        fields = {"kind": kind, "entry_point": "tests.models.networks:Smooth"}
    model = load(tmp_path, **fields)
    torch.testing.assert_close(model.predict(batch(images)), expected)
    assert model.sha256 is not None
    assert len(model.sha256) == 64
    assert model.parameters == (None if kind == "onnx" else 10)
    assert model.describe()["kind"] == kind


@pytest.mark.parametrize("form", ["script", "config"])
def test_monai_bundle(form: str, tmp_path: Path) -> None:
    from monai.networks.nets import BasicUNet

    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 1, "features": [4, 4, 8, 8, 8, 4]}
    torch.manual_seed(0)
    network = BasicUNet(**arguments).eval()
    (tmp_path / "models").mkdir()
    (tmp_path / "configs").mkdir()
    if form == "script":
        save_script(Smooth(), tmp_path / "models" / "model.ts")
        network = Smooth()
    else:
        torch.save({"state_dict": network.state_dict()}, tmp_path / "models" / "model.pt")
        definition = {
            "_target_": "monai.networks.nets.BasicUNet",
            **arguments,
            "features": "@features",
            "in_channels": "@io::0",
        }
        config = {"features": arguments["features"], "io": [1, 1], "network_def": definition, "x": "$import os"}
        (tmp_path / "configs" / "inference.json").write_text(json.dumps(config))
    images = torch.randn(2, 32, 32)
    model = load(tmp_path.parent, kind="monai_bundle", path=tmp_path.name)
    with torch.inference_mode():
        torch.testing.assert_close(model.predict(batch(images)), network(images[:, None])[:, 0])


@pytest.mark.parametrize(
    ("definition", "code"),
    [
        ({"_target_": "os.system", "command": "true"}, "MOD-003"),
        ({"_target_": "monai.networks.nets.BasicUNet", "spatial_dims": "$__import__('os').getpid()"}, "MOD-003"),
        ({"_target_": "monai.networks.nets.BasicUNet", "spatial_dims": "@nowhere"}, "MOD-004"),
        ({"_target_": "monai.networks.nets.BasicUNet", "spatial_dims": "@network_def::spatial_dims"}, "MOD-004"),
        ({"_target_": "monai.networks.nets.BasicUNet", "nonsense": 1}, "MOD-004"),
    ],
)
def test_bundle_that_would_run_code_is_refused(definition: dict[str, object], code: str, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "configs").mkdir()
    torch.save({}, tmp_path / "models" / "model.pt")
    (tmp_path / "configs" / "inference.json").write_text(json.dumps({"network_def": definition}))
    with pytest.raises(ModelProblem) as caught:
        load(tmp_path.parent, kind="monai_bundle", path=tmp_path.name)
    assert caught.value.code == code


def test_precomputed_outputs_by_case_and_draw(tmp_path: Path) -> None:
    outputs = np.random.default_rng(0).normal(size=(2, 2, 8, 9)).astype("float32")
    for case in range(2):
        for draw in range(2):
            (tmp_path / "out").mkdir(exist_ok=True)
            np.save(tmp_path / "out" / f"c{case}_{draw}.npy", outputs[case, draw])
    model = load(tmp_path, kind="precomputed", path="out", outputs="{name}_{draw}.npy", stochastic=True)
    asked = batch(torch.zeros(2, 8, 9), name=["c0", "c1"])
    for draw in range(2):
        drawn = Batch(images=asked.images, case_ids=asked.case_ids, rows=asked.rows, seeds=asked.seeds, draw=draw)
        np.testing.assert_array_equal(model.predict(drawn).numpy(), outputs[:, draw])


def test_precomputed_refusals(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "out" / "a.npy", np.zeros((4, 4), "float32"))
    np.save(tmp_path / "secret.npy", np.zeros((4, 4), "float32"))
    fields = {"kind": "precomputed", "path": "out"}
    with pytest.raises(ModelProblem, match="draws"):
        load(tmp_path, **fields, outputs="{case_id}.npy", stochastic=True)
    with pytest.raises(ModelProblem, match="nothing else"):
        load(tmp_path, **fields, outputs="{case_id.__class__}.npy")
    with pytest.raises(ModelProblem, match="has no value"):
        load(tmp_path, **fields, outputs="{file}").predict(batch(torch.zeros(1, 4, 4)))
    with pytest.raises(ModelProblem, match="has shape"):
        load(tmp_path, **fields, outputs="a.npy").predict(batch(torch.zeros(1, 5, 4)))
    from validation.errors import DataProblem

    with pytest.raises(DataProblem):
        load(tmp_path, **fields, outputs="{file}").predict(batch(torch.zeros(1, 4, 4), file=["../secret.npy"]))


def test_a_mirrored_nifti_output_is_brought_onto_the_grid_of_its_input(tmp_path: Path) -> None:
    import nibabel

    from validation.dicom.image import Image
    from validation.errors import DataProblem

    volume = np.random.default_rng(2).normal(size=(3, 4, 5)).astype("float32")  # slices, rows, columns
    along = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))  # to the head, the back, the left, as DICOM has it
    grid = Image(array=volume, spacing_mm=(3.0, 2.0, 1.0), unit="HU", directions=along, origin_mm=(0.0, 0.0, 0.0))
    (tmp_path / "out").mkdir()

    def save(name: str, affine: np.ndarray) -> None:
        image = nibabel.Nifti1Image(volume[:, ::-1, ::-1].transpose(), affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, tmp_path / "out" / name)

    # NIfTI counts to the right and to the front: first voxel is the last column and row of the DICOM grid.
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:2, 3] = [-4 * 1.0, -3 * 2.0]
    save("good.nii.gz", affine)
    shifted, coarse = affine.copy(), affine.copy()
    shifted[0, 3] += 2
    coarse[0, 0] = 1.1
    save("shifted.nii.gz", shifted)
    save("coarse.nii.gz", coarse)

    def predict(name: str) -> np.ndarray:
        model = load(tmp_path, kind="precomputed", path="out", outputs=name)
        asked = Batch(images=torch.zeros(1, 3, 4, 5), case_ids=("a",), rows=({},), seeds=(0,), grids=(grid,))
        return model.predict(asked)[0].numpy()

    np.testing.assert_array_equal(predict("good.nii.gz"), volume)
    for name in ("shifted.nii.gz", "coarse.nii.gz"):
        with pytest.raises((ModelProblem, DataProblem)) as caught:
            predict(name)
        assert caught.value.code in ("COH-012", "MOD-012")
