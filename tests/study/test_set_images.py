"""Sets of images as endpoints of a run: features made in the run, planted faults found, sound generators passed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from validation.errors import DataProblem
from validation.study.execute import begin, carry_on
from validation.study.prepare import lock_study, seal_study
from validation.study.reproduce import reproduce
from validation.study.set_metrics import read_set_measurements
from validation.study.spec import load_study

CONDITIONS = ("dark", "bright", "striped")

PROTOCOL = """\
schema: 1
id: pictures
version: 1.0.0
title: A small protocol of generated images for tests
claim:
  type: rare_condition_augmentation
  statement: Synthetic squares of three conditions may be used for training.
  pathways: [internal_validation]
population: {description: "Simulated squares, nobody's images.", minimum_clusters: 20}
reference_standard: {method: simulation}
endpoints:
  - id: P1
    role: primary
    title: Copies of training images
    metric: {name: memorisation, standardise: true}
    sets: {real: train, holdout: control, synthetic: synthetic}
    pick: {component: copies}
    hypothesis: {type: performance_goal, margin: 0.15, unit: "1"}
  - id: P2
    role: primary
    title: Every condition is generated
    metric: {name: condition_coverage, standardise: true}
    sets: {real: control, synthetic: synthetic}
    pick: {component: "part, striped"}
    hypothesis: {type: performance_goal, margin: 0.2, unit: "1"}
  - id: P3
    role: primary
    title: Images show what was asked for
    metric: {name: condition_coverage, standardise: true}
    sets: {real: control, synthetic: synthetic}
    pick: {component: fidelity}
    hypothesis: {type: performance_goal, margin: 0.7, unit: "1"}
"""

STUDY = """\
schema: 1
id: pictures
title: A small study of generated images
model: {name: generator, version: 1.0.0, kind: synthetic_data, family: none}
cohort: {kind: table, folder: data, table: data/cases.csv}
data:
  sets:
    train: {table: data/train.csv, images: "data/images.npz:train", extract: EXTRACT}
    control: {table: data/control.csv, images: "data/images.npz:control", extract: EXTRACT}
    synthetic: {table: data/synthetic.csv, images: "data/images.npz:synthetic", extract: EXTRACT}
"""
RADIOMIC = "{low: -60, high: 60, bins: 12}"


def draw(rng: np.random.Generator, condition: str) -> np.ndarray:
    """Return one square."""
    y = np.arange(12)[:, None]
    base = {"dark": -20.0, "bright": 20.0, "striped": 0.0}[condition] * rng.uniform(0.5, 1.5)
    stripes = 25 * np.sin(y * rng.uniform(1.2, 2.0) + rng.uniform(0, 6)) if condition == "striped" else 0.0
    return base + stripes + rng.normal(0, 8, (12, 12)) * rng.uniform(0.7, 1.3)


def write(folder: Path, fault: str = "", extract: str = RADIOMIC, seed: int = 1) -> Path:
    """Write a study of three sets; patients have two images each."""
    rng = np.random.default_rng(seed)
    (folder / "data").mkdir(parents=True)
    asked = [CONDITIONS[i // 2 % 3] for i in range(120)]
    images = {name: np.stack([draw(rng, c) for c in asked]) for name in ("train", "control", "synthetic")}
    if fault == "copies":
        images["synthetic"] = images["train"] + 0.01
    if fault == "collapse":
        images["synthetic"] = np.stack([draw(rng, "dark") for _ in asked])
    for name in images:
        rows = pd.DataFrame({"condition": asked})
        if name != "synthetic":
            rows.insert(0, "patient_id", [f"{name}-{i // 2}" for i in range(120)])
        rows.to_csv(folder / "data" / f"{name}.csv", index=False)
    pd.DataFrame(
        {"case_id": [f"c{i}" for i in range(30)], "patient_id": [f"h{i}" for i in range(30)], "sex": ["F", "M"] * 15}
    ).to_csv(folder / "data" / "cases.csv", index=False)
    np.savez(folder / "data" / "images.npz", **{n: i.astype(np.float32) for n, i in images.items()})
    (folder / "protocol.yaml").write_text(PROTOCOL)
    (folder / "study.yaml").write_text(STUDY.replace("EXTRACT", extract))
    return folder


def outcomes(folder: Path) -> tuple[Path, dict[str, str]]:
    study = load_study(folder)
    lock_study(study, signer="tester")
    seal_study(study, signer="tester")
    run = begin(study, device="cpu", purpose="test", actor="tester")
    results: dict[str, Any] = carry_on(study, run, actor="tester", quiet=True)
    return run, {name: section["verdict"]["outcome"] for name, section in results["endpoints"].items()}


def test_a_sound_generator_passes_and_every_number_is_recomputed_without_images(tmp_path: Path) -> None:
    run, found = outcomes(write(tmp_path / "s"))
    assert found == {"P1": "pass", "P2": "pass", "P3": "pass"}
    (tmp_path / "s" / "data" / "images.npz").unlink()
    assert reproduce(run) == []
    stored = next(m for m in read_set_measurements(run).values() if m["metric"] == "memorisation")
    assert stored["sets"]["real"]["features"] == "radiomic"
    assert stored["sets"]["real"]["n_patients"] == 60  # two images of a patient are one cluster


def test_a_generator_that_copies_its_training_set_is_found(tmp_path: Path) -> None:
    assert outcomes(write(tmp_path / "s", "copies"))[1]["P1"] == "fail"


def test_a_generator_that_collapsed_to_a_third_of_the_classes_is_found(tmp_path: Path) -> None:
    found = outcomes(write(tmp_path / "s", "collapse"))[1]
    assert found["P2"] == "fail"
    assert found["P3"] == "fail"
    assert found["P1"] == "pass"


class Features(torch.nn.Module):
    """Mean, spread and the difference of rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, 3)."""
        rows = x.mean(3)[:, 0]
        return torch.stack([rows.mean(1), x.flatten(1).std(1), (rows[:, 1:] - rows[:, :-1]).abs().mean(1)], 1)


def test_features_of_a_network_of_the_user_are_sealed_with_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", extract="{network: features.ts, scale: 20}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Features(), torch.zeros(2, 1, 12, 12)).save(str(folder / "features.ts"))
    run, found = outcomes(folder)
    assert found == {"P1": "pass", "P2": "pass", "P3": "pass"}
    stored = next(m for m in read_set_measurements(run).values() if m["metric"] == "memorisation")
    assert stored["sets"]["real"]["features"] == "features.ts"
    study = load_study(folder)
    (folder / "features.ts").write_bytes((folder / "features.ts").read_bytes() + b" ")
    run = begin(study, device="cpu", purpose="again", actor="tester")
    with pytest.raises(Exception, match=r"features of|changed|seal"):
        carry_on(study, run, actor="tester", quiet=True)


def test_images_without_a_row_each_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "s")
    rows = pd.read_csv(folder / "data" / "synthetic.csv")
    rows.iloc[:-1].to_csv(folder / "data" / "synthetic.csv", index=False)
    with pytest.raises(DataProblem, match="120 images and 119 rows"):
        outcomes(folder)


def test_a_constant_image_is_named_as_what_it_is(tmp_path: Path) -> None:
    from validation.cohort.datasets import DataSet, ExtractSpec
    from validation.study.set_features import with_features

    images = np.random.default_rng(1).normal(0, 5, (12, 8, 8)).astype(np.float32)
    images[3] = 7.0
    part = DataSet(
        name="x", kind="images", data=pd.DataFrame(index=range(12)), images=images,
        extract=ExtractSpec(low=-20, high=20),
    )  # fmt: skip
    with pytest.raises(DataProblem, match="undefined for 1 images"):
        with_features(part, tmp_path)
