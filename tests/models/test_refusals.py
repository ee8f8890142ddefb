"""Files that are not what they say are refused before anything is loaded from them."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from tests.models.networks import Smooth, save_exported, save_script
from validation.digest import sha256_file
from validation.errors import ModelProblem
from validation.models import ModelSpec, load_model
from validation.models.archive import file_sha256

CPU = torch.device("cpu")


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open, (str(self.mark), "w")  # type: ignore[return-value]


def spec(kind: str, path: Path, **fields: object) -> ModelSpec:
    if kind == "weights":
        fields["entry_point"] = "tests.models.networks:Smooth"
    return ModelSpec(name="m", version="1", kind=kind, path=path.name, **fields)


@pytest.mark.parametrize("kind", ["torchscript", "exported", "weights", "onnx"])
@pytest.mark.parametrize("form", ["bare", "torch_zip", "torch_legacy"])
def test_pickle_disguised_as_a_model_is_never_run(kind: str, form: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "was_run", tmp_path / "model.pt"
    if form == "bare":
        path.write_bytes(pickle.dumps({"layer.weight": Payload(mark)}))
    else:
        torch.save({"layer.weight": Payload(mark)}, path, _use_new_zipfile_serialization=form == "torch_zip")
    with pytest.raises(ModelProblem) as caught:
        load_model(spec(kind, path), tmp_path, CPU)
    assert not mark.exists()
    assert caught.value.code in ("MOD-003", "MOD-004")
    assert "\n" not in caught.value.what


def test_the_payload_of_these_tests_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "was_run"))).close()  # noqa: S301 - our own payload
    assert (tmp_path / "was_run").exists()


def rewrite(path: Path, target: Path, change: dict[str, bytes]) -> None:
    """Copy a zip archive, replacing or adding members by the end of their name."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        top = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            ending = next((e for e in change if name.endswith(e)), None)
            new.writestr(name, old.read(name) if ending is None else change[ending])
        for ending, data in change.items():
            if not any(name.endswith(ending) for name in old.namelist()):
                new.writestr(f"{top}/{ending}", data)


@pytest.mark.parametrize("where", ["weights", "constants", "opaque", "native", "legacy"])
def test_exported_program_with_a_pickle_inside_is_refused(where: str, tmp_path: Path) -> None:
    mark = tmp_path / "was_run"
    good = save_exported(Smooth(), tmp_path / "good.pt2")
    with zipfile.ZipFile(good) as archive:
        name = next(n for n in archive.namelist() if n.endswith("model_weights_config.json"))
        weights = json.loads(archive.read(name))
    entry = dict(next(iter(weights["config"].values())))
    pickled = pickle.dumps(Payload(mark))
    if where == "weights":
        weights["config"] = {k: {**v, "use_pickle": True} for k, v in weights["config"].items()}
        change = {"model_weights_config.json": json.dumps(weights).encode(), "data/weights/weight_0": pickled}
    elif where in ("constants", "opaque"):
        path_name = "tensor_0" if where == "constants" else "opaque_obj_0"
        constants = {"config": {"c": {**entry, "path_name": path_name, "use_pickle": True}}}
        change = {"model_constants_config.json": json.dumps(constants).encode(), f"data/constants/{path_name}": pickled}
    elif where == "native":
        change = {"data/aotinductor/model/model.so": b"\x7fELF"}
    else:
        change = {"model_weights_config.json": b"", "data/weights/model.pt": pickled}
    bad = tmp_path / "bad.pt2"
    rewrite(good, bad, change)
    if where == "legacy":  # the old format has a pickle in place of the settings
        with zipfile.ZipFile(bad) as old, zipfile.ZipFile(tmp_path / "older.pt2", "w") as new:
            for name in old.namelist():
                if not name.endswith("model_weights_config.json"):
                    new.writestr(name, old.read(name))
        bad = tmp_path / "older.pt2"
    load_model(spec("exported", good), tmp_path, CPU)
    with pytest.raises(ModelProblem) as caught:
        load_model(spec("exported", bad), tmp_path, CPU)
    assert caught.value.code == "MOD-003"
    assert not mark.exists()


def test_other_sha256_is_refused(tmp_path: Path) -> None:
    path = save_script(Smooth(), tmp_path / "m.ts")
    load_model(spec("torchscript", path, sha256=sha256_file(path)), tmp_path, CPU)
    with pytest.raises(ModelProblem, match="SHA-256") as caught:
        load_model(spec("torchscript", path, sha256="0" * 64), tmp_path, CPU)
    assert caught.value.code == "MOD-002"


def test_folder_sha256_changes_with_any_file_and_follows_no_link_out(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "a").write_text("1")
    first = file_sha256(folder)
    (folder / "models" / "a").write_text("2")
    assert file_sha256(folder) != first
    (folder / "models" / "a").rename(folder / "models" / "b")
    (folder / "models" / "b").write_text("1")
    assert file_sha256(folder) != first
    (tmp_path / "outside").write_text("x")
    (folder / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ModelProblem, match="link"):
        file_sha256(folder)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save(Smooth(channels=3).state_dict(), path)
    with pytest.raises(ModelProblem) as caught:
        load_model(spec("weights", path), tmp_path, CPU)
    assert caught.value.code == "MOD-006"
    torch.save([1, 2], path)
    with pytest.raises(ModelProblem, match="no mapping"):
        load_model(spec("weights", path), tmp_path, CPU)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"kind": "entry_point", "entry_point": "no_such_package:f"}, "MOD-005"),
        ({"kind": "entry_point", "entry_point": "tests.models.networks:nothing"}, "MOD-005"),
        ({"kind": "entry_point", "entry_point": "tests.models.networks:number"}, "MOD-005"),
        ({"kind": "entry_point", "entry_point": "tests.models.networks:Smooth", "arguments": {"n": 1}}, "MOD-005"),
        ({"kind": "torchscript", "path": "missing.ts"}, "MOD-001"),
        ({"kind": "monai_bundle", "path": "."}, "MOD-004"),
        ({"kind": "precomputed", "path": "text", "outputs": "x.npy"}, "MOD-001"),
        ({"kind": "torchscript", "path": "text"}, "MOD-003"),
        ({"kind": "exported", "path": "zip"}, "MOD-003"),
        ({"kind": "torchscript", "path": "zip"}, "MOD-003"),
        ({"kind": "onnx", "path": "text"}, "MOD-004"),
    ],
)
def test_unusable_models(fields: dict[str, object], code: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a model")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/b", "c")
    (tmp_path / "zip").write_bytes(buffer.getvalue())
    with pytest.raises(ModelProblem) as caught:
        load_model(ModelSpec(name="m", version="1", **fields), tmp_path, CPU)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "torchscript"},
        {"kind": "entry_point"},
        {"kind": "entry_point", "entry_point": "a:b", "path": "x"},
        {"kind": "weights", "path": "x"},
        {"kind": "precomputed", "path": "x"},
        {"kind": "torchscript", "path": "x", "arguments": {"a": 1}},
        {"kind": "torchscript", "path": "x", "sha256": "abc"},
        {"kind": "entry_point", "entry_point": "os.system"},
        {"kind": "torchscript", "path": "x", "scaling": {"clip": [1, 0]}},
        {"kind": "torchscript", "path": "x", "scaling": {"scale": 0}},
        {"kind": "torchscript", "path": "x", "inference": {"mode": "3d", "roi_size": [8, 8]}},
        {"kind": "torchscript", "path": "x", "device": "cuda"},
    ],
)
def test_incomplete_specs(fields: dict[str, object]) -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError):
        ModelSpec(name="m", version="1", **fields)
