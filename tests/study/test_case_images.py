"""Pictures of cases: what grey value stands for what, and which slice is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from tests.study.synthetic import STANDARD, protocol
from validation.cohort.case import Case
from validation.errors import DataProblem
from validation.models import ModelSpec, load_model
from validation.study.case_images import png, save_case_images
from validation.study.plan import make_plan

CPU = torch.device("cpu")


class OneVolume:
    """A volume whose third slice differs most from its reference, a slice without reference, and one that is gone."""

    cases = pd.DataFrame({"patient_id": ["p", "p", "p"]}, index=["vol", "../flat", "gone"])

    def load(self, case_id: str) -> Case:
        if case_id == "gone":
            raise DataProblem("cannot be read.", code="X")
        rng = np.random.default_rng(1)
        if case_id == "vol":
            volume = rng.normal(0, 10, (5, 8, 6)).astype("float32")
            reference = volume * 0.5
            reference[2] += 40
            arrays = {"input": volume, "reference": reference}
        else:
            arrays = {"input": rng.normal(0, 10, (8, 6)).astype("float32")}
        return Case(case_id=case_id, arrays=arrays, masks={}, spacing_mm=(), unit="HU")


def test_the_worst_slice_is_shown_in_one_window(tmp_path: Path) -> None:
    spec = ModelSpec(name="m", version="1", kind="entry_point", entry_point="tests.models.networks:Shrink")
    model = load_model(spec, Path(), CPU)
    plan = make_plan(protocol(*STANDARD))
    cohort = OneVolume()
    images = save_case_images(tmp_path, cohort, model, ["vol", "gone", "../flat", "vol"], plan=plan, device=CPU)
    by_arm = {image.arm: image for image in images if image.case_id == "vol"}
    assert set(by_arm) == {"input", "output", "reference", "difference"}
    assert {image.slice_index for image in by_arm.values()} == {2}
    assert {(by_arm[arm].low, by_arm[arm].high) for arm in ("input", "output", "reference")} == {
        (by_arm["input"].low, by_arm["input"].high)
    }
    assert by_arm["difference"].low == -by_arm["difference"].high
    flat = [image for image in images if image.case_id == "../flat"]
    assert {image.arm for image in flat} == {"input", "output", "difference"}
    folder = tmp_path / "images"
    assert {p.name for p in folder.iterdir()} == {image.file for image in images} | {"index.json"}
    assert len(json.loads((folder / "index.json").read_bytes())) == len(images)
    shown = np.asarray(Image.open(folder / by_arm["reference"].file))
    reference, window = cohort.load("vol").arrays["reference"][2], by_arm["reference"]
    expected = np.round(np.clip((reference - window.low) / (window.high - window.low), 0, 1) * 255)
    np.testing.assert_array_equal(shown, expected)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    save_case_images(tmp_path, cohort, model, ["vol", "../flat"], plan=plan, device=CPU)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_grey_values() -> None:
    picture = Image.open(io.BytesIO(png(np.array([[-200, -100, 0, 100, 300]], np.float32), -100, 100)))
    assert picture.mode == "L"
    assert np.asarray(picture).tolist() == [[0, 0, 128, 255, 255]]
