"""Inputs coarser than outputs or in another unit, components of vector metrics as endpoints, and levels of dose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.study.synthetic import endpoint, protocol
from validation.cohort.case import assemble
from validation.cohort.open import open_cohort
from validation.cohort.spec import CohortSpec
from validation.dicom.image import Image
from validation.errors import DataProblem, ModelProblem, ProtocolProblem
from validation.models.model import Batch, NetworkModel
from validation.models.spec import ModelSpec
from validation.study.judge import judge
from validation.study.measure import Loaded, Measurer, check_case
from validation.study.plan import make_plan

SPEC = CohortSpec.model_validate({"table": "cases.csv", "upsampling": [2, 2]})
ENTRY = {"name": "m", "version": "1", "kind": "entry_point", "entry_point": "a.b:c"}
ROWS, COLUMNS = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)


def picture(shape: tuple[int, ...], step: float, first: float, value: float = 1.0) -> Image:
    """An image in the patient: rows run to the back, columns to the left."""
    return Image(
        array=np.full(shape, value, dtype=np.float32), spacing_mm=(step, step), unit="HU",
        directions=(ROWS, COLUMNS), origin_mm=(first, first, 0.0),
    )  # fmt: skip


def test_a_coarser_input_keeps_its_pixels_and_the_case_has_the_fine_grid():
    case = assemble("c", {"input": picture((4, 6), 2.0, 0.5), "reference": picture((8, 12), 1.0, 0.0)}, SPEC)
    assert case.shape == (8, 12)
    assert case.spacing_mm == (1.0, 1.0)
    assert case.arrays["input"].shape == (4, 6)
    assert case.on_grid("input").shape == (8, 12)
    alone = assemble("c", {"input": picture((4, 6), 2.0, 0.5)}, SPEC)
    assert alone.shape == (8, 12)
    assert alone.spacing_mm == (1.0, 1.0)


@pytest.mark.parametrize(
    ("images", "code"),
    [
        ({"input": picture((5, 6), 2.0, 0.5), "reference": picture((8, 12), 1.0, 0.0)}, "COH-011"),
        ({"input": picture((4, 6), 2.0, 0.5), "reference": picture((9, 12), 1.0, 0.0)}, "COH-011"),
        ({"input": picture((4, 6), 2.5, 0.5), "reference": picture((8, 12), 1.0, 0.0)}, "COH-012"),
        ({"input": picture((4, 6), 2.0, 2.5), "reference": picture((8, 12), 1.0, 0.0)}, "COH-012"),
    ],
)
def test_an_input_that_does_not_cover_whole_blocks_is_refused(images: dict[str, Image], code: str):
    with pytest.raises(DataProblem) as caught:
        assemble("c", images, SPEC)
    assert caught.value.code == code


def test_without_a_declaration_a_coarser_input_is_refused():
    with pytest.raises(DataProblem) as caught:
        assemble(
            "c", {"input": picture((4, 6), 2.0, 0.5), "reference": picture((8, 12), 1.0, 0.0)},
            CohortSpec.model_validate({"table": "cases.csv"}),
        )  # fmt: skip
    assert caught.value.code in ("COH-011", "COH-012")


def test_a_unit_of_its_own_lets_the_input_differ_and_scaling_leaves_it_alone():
    raw = Image(array=np.full((4, 4), 500.0, dtype=np.float32), spacing_mm=(1.0, 1.0), unit="")
    spec = {"table": "cases.csv", "arrays": {"unit": "HU", "intercept": -1000}, "input_unit": "a.u."}
    case = assemble("c", {"input": raw, "reference": raw}, CohortSpec.model_validate(spec))
    assert case.unit == "HU"
    assert case.arrays["input"].max() == 500
    assert case.arrays["reference"].max() == -500


def network(function: Any, **spec: Any) -> NetworkModel:
    return NetworkModel(
        ModelSpec.model_validate({**ENTRY, **spec}), function, device=torch.device("cpu"), sha256=None, parameters=None
    )


def batch(shape: tuple[int, ...], upsampling: tuple[int, ...]) -> Batch:
    return Batch(images=torch.ones(shape), case_ids=("c",), rows=({},), seeds=(1,), upsampling=upsampling)


def test_a_model_answers_on_the_finer_grid_and_nowhere_else():
    double = network(lambda x: x.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert double.predict(batch((1, 4, 6), (2, 2))).shape == (1, 8, 12)
    assert double.predict(batch((1, 3, 4, 6), (1, 2, 2))).shape == (1, 3, 8, 12)
    for wrong in ((), (4, 4)):
        with pytest.raises(ModelProblem):
            double.predict(batch((1, 4, 6), wrong))
    with pytest.raises(ModelProblem, match="slices"):
        double.predict(batch((1, 3, 4, 6), (2, 2, 2)))


def write(folder: Path, n: int = 12) -> Path:
    """Cases whose output is the input with each pixel repeated, plus 5 in every second column of a block."""
    rng = np.random.default_rng(0)
    lines = ["case_id,patient_id,dose,input,reference"]
    for i in range(n):
        fine = rng.normal(0, 10, (16, 16)).astype("float32")
        np.save(folder / f"r{i}.npy", fine)
        np.save(folder / f"i{i}.npy", fine.reshape(8, 2, 8, 2).mean((1, 3)))
        lines.append(f"c{i:02d},p{i:02d},{(10, 9, 100)[i % 3]},i{i}.npy,r{i}.npy")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_consistency_with_the_input_is_measured_against_the_input(tmp_path: Path):
    spec = {"table": "cases.csv", "upsampling": [2, 2], "arrays": {"unit": "HU", "spacing_mm": [1.0, 1.0]}}
    cohort = open_cohort(CohortSpec.model_validate(spec), write(tmp_path))
    plan = make_plan(
        protocol(
            endpoint(metric={"name": "data_consistency", "factor": 2}),
            endpoint(id="E2", metric={"name": "rmse"}, comparator="input", summary="paired_mean_difference"),
        )
    )
    shifted = network(lambda x: x.repeat_interleave(2, -1).repeat_interleave(2, -2) + 3)
    measurer = Measurer(plan, shifted, None, torch.device("cpu"))
    tasks = frozenset(range(len(plan.tasks)))
    assert measurer.roles(tasks) == {"input", "reference"}
    loaded = [Loaded(case=cohort.load(i), row={}, tasks=tasks) for i in list(cohort.cases.index)[:3]]
    for one in loaded:
        check_case(one, measurer.roles(tasks))
    rows, rejections = measurer.measure(loaded)
    assert not rejections
    found = {(r.case_id, r.metric, r.arm): r.value for r in rows}
    assert found["c00", "data_consistency(factor=2)", "output"] == pytest.approx(3, abs=1e-5)
    assert found["c00", "rmse", "input"] < found["c00", "rmse", "output"]


def test_comparing_with_the_input_of_such_a_metric_is_refused():
    with pytest.raises(ProtocolProblem, match="already compares"):
        make_plan(
            protocol(
                endpoint(metric={"name": "data_consistency", "factor": 2}, comparator="input", summary="mean_ratio")
            )
        )


def measured(metric: str, components: dict[str, float], n: int = 24) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(4)
    ids = [f"c{i:02d}" for i in range(n)]
    cases = pd.DataFrame(
        {"cluster": ids, "dose": [str((10, 9, 100)[i % 3]) for i in range(n)], "status": "analysed"},
        index=pd.Index(ids, name="case_id"),
    )
    rows = [
        {
            "case_id": case, "metric": metric, "arm": arm, "draw": 0, "component": name,
            "value": centre + (arm == "output") + rng.normal(0, 0.1), "unit": "HU", "note": "",
        }
        for case in ids for arm in ("output", "reference") for name, centre in components.items()
    ]  # fmt: skip
    return cases, pd.DataFrame(rows)


def test_one_component_is_judged_and_all_are_reported():
    cases, table = measured("tissue_hu_error", {"ME bone": 10.0, "ME air": -3.0})
    asked = endpoint(metric={"name": "tissue_hu_error"}, pick={"component": "ME bone"}, summary="mean")
    section = judge(protocol(asked), cases, table)["endpoints"]["E1"]
    assert section["component"] == "ME bone"
    assert section["estimate"]["value"] == pytest.approx(11, abs=0.1)
    assert section["arms"]["output"]["value"] == section["estimate"]["value"]
    assert section["components"]["ME air"]["output"]["value"] == pytest.approx(-2, abs=0.1)
    assert len(section["worst_cases"]) == 5
    with pytest.raises(DataProblem, match="ME air, ME bone"):
        judge(protocol({**asked, "pick": {"component": "ME brain"}}), cases, table)


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": {"name": "rmse"}, "pick": {"component": "x"}},
        {"metric": {"name": "tissue_hu_error"}},
        {"metric": {"name": "tissue_hu_error"}, "pick": {"component": "ME bone", "finding": "x"}},
    ],
)
def test_a_pick_that_does_not_fit_is_refused(changes: dict[str, Any]):
    cases, table = measured("rmse", {"": 1.0})
    with pytest.raises(ProtocolProblem) as caught:
        judge(protocol(endpoint(**changes)), cases, table)
    assert caught.value.code == "PROT-030"


def test_an_endpoint_reported_by_dose_has_cells_and_curves_in_the_order_of_the_numbers():
    cases, table = measured("mtf", {"0.1": 0.9, "0.2": 0.5})
    asked = endpoint(
        metric={"name": "mtf", "region": "rod"}, pick={"component": "0.2"}, summary="mean_ratio",
        comparator="reference", subgroups=["dose"],
    )  # fmt: skip
    table["metric"] = "mtf(region=rod)"
    section = judge(protocol(asked), cases, table)["endpoints"]["E1"]
    assert list(section["subgroups"]["dose"]) == ["9", "10", "100"]
    assert list(section["curves_by"]["dose"]) == ["9", "10", "100"]
    assert [p["x"] for p in section["curves_by"]["dose"]["9"]["output"]] == [0.1, 0.2]
    assert section["interaction"]["dose"]["p_value"] is not None
    assert section["curve_axes"]["x"].startswith("spatial frequency")


def test_the_curves_of_levels_are_drawn_with_one_panel_each():
    from validation.dossier.figures.cases import levels_plot

    cases, table = measured("mtf", {"0.1": 0.9, "0.2": 0.5})
    table["metric"] = "mtf(region=rod)"
    asked = endpoint(
        metric={"name": "mtf", "region": "rod"}, pick={"component": "0.2"}, summary="mean_ratio",
        comparator="reference", subgroups=["dose"],
    )  # fmt: skip
    section = judge(protocol(asked), cases, table)["endpoints"]["E1"]
    drawn = levels_plot("levels/E1", section, {"Dose": section["curves_by"]["dose"]}, caption="c", alternative="a")
    assert drawn is not None
    assert drawn.svg.count("Dose 9") or "Dose" in drawn.svg
    assert levels_plot("levels/E1", section, {}, caption="c", alternative="a") is None
