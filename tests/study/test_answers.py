"""Answers other than images, through the whole engine: label maps, scores, marks and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.study.synthetic import endpoint, protocol
from validation.cohort.open import Cohort, open_cohort
from validation.cohort.spec import CohortSpec
from validation.errors import DataProblem, ModelProblem, ProtocolProblem, RunProblem, UsageProblem
from validation.models import ModelSpec, load_model
from validation.protocol.schema import Protocol
from validation.study.judge import judge
from validation.study.plan import make_plan
from validation.study.run import run_measurements
from validation.study.shards import read_measurements, read_rejections

CPU = torch.device("cpu")
LABELLERS = {"chest": {"findings": {"nodule": {"terms": ["nodule"], "severity": "critical"}}}}


def cohort_of(folder: Path, rows: list[dict[str, Any]]) -> Cohort:
    pd.DataFrame(rows).to_csv(folder / "cases.csv", index=False)
    spec = CohortSpec.model_validate({"table": "cases.csv", "arrays": {"unit": "1", "spacing_mm": [1.0, 2.0, 2.0]}})
    return open_cohort(spec, folder)


def planned(*endpoints: dict[str, Any], **fields: Any) -> Protocol:
    made = protocol(*endpoints).model_dump(by_alias=True)
    return Protocol.model_validate({**made, **fields})


def measure(folder: Path, cohort: Cohort, chosen: Protocol, **model: Any) -> pd.DataFrame:
    spec = ModelSpec.model_validate({"name": "m", "version": "1", **model})
    run = folder / "run"
    run.mkdir(exist_ok=True)
    run_measurements(make_plan(chosen), cohort, load_model(spec, folder, CPU), run, device=CPU)
    return read_measurements(run).to_pandas()


def box(*places: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((12, 12), np.uint8)
    for row, column in places:
        mask[row : row + 3, column : column + 3] = 1
    return mask


def scores_file(folder: Path, values: dict[str, float]) -> None:
    pd.DataFrame({"case_id": list(values), "risk": list(values.values())}).to_csv(folder / "scores.csv", index=False)


def score_endpoint(**fields: Any) -> dict[str, Any]:
    return endpoint(
        metric={"name": "score", "of": "risk"}, summary="auc", summary_parameters={"label": "truth"}, **fields
    )


TABLE = {"kind": "precomputed", "path": "scores.csv", "answer": "scores", "scores": ["risk"]}


def test_scores_come_from_a_table_and_give_an_auc(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, [{"case_id": f"c{i}", "patient_id": f"p{i}", "truth": i % 2} for i in range(12)])
    scores_file(tmp_path, {f"c{i}": (i % 2) * 0.5 + i / 40 for i in range(12)})
    chosen = planned(score_endpoint())
    table = measure(tmp_path, cohort, chosen, **TABLE)
    assert table["value"].tolist() == [(i % 2) * 0.5 + i / 40 for i in (0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)]
    cases = cohort.cases.assign(cluster=cohort.cases["patient_id"], status="analysed")
    section = judge(chosen, cases, table)["endpoints"]["E1"]
    assert section["estimate"]["value"] == 1.0
    assert section["estimate"]["n"] == 12


def test_a_case_without_a_row_of_scores_is_rejected_and_keeps_its_place(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, [{"case_id": f"c{i}", "patient_id": f"p{i}", "truth": i % 2} for i in range(6)])
    scores_file(tmp_path, {f"c{i}": float(i) for i in range(5)})
    table = measure(tmp_path, cohort, planned(score_endpoint()), **TABLE)
    assert [r.case_id for r in read_rejections(tmp_path / "run")] == ["c5"]
    assert table["value"].isna().tolist() == [False] * 5 + [True]
    assert "no row for the case" in table["note"].iloc[5]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("case_id,other\nc0,1\n", "no column 'risk'"),
        ("case_id,risk\nc0,1\nc0,2\n", "repeat a case"),
        ("case_id,risk\nc0,high\n", "other things than numbers"),
        ("case_id,risk\n,1\n", "no case_id"),
    ],
)
def test_bad_tables_of_scores_are_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(ModelProblem, match=says) as caught:
        load_model(ModelSpec.model_validate({"name": "m", "version": "1", **TABLE}), tmp_path, CPU)
    assert caught.value.code == "MOD-014"


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_scores_of_a_torchscript_classifier(tmp_path: Path) -> None:
    class Mean(torch.nn.Module):
        def forward(self, block: torch.Tensor) -> torch.Tensor:
            return block.mean(dim=(1, 2, 3))

    torch.jit.trace(Mean(), torch.zeros(1, 1, 4, 4)).save(str(tmp_path / "m.ts"))
    rows = []
    for i in range(4):
        np.save(tmp_path / f"i{i}.npy", np.full((4, 4), float(i), np.float32))
        rows.append({"case_id": f"c{i}", "patient_id": f"p{i}", "truth": i % 2, "input": f"i{i}.npy"})
    table = measure(
        tmp_path, cohort_of(tmp_path, rows), planned(score_endpoint()),
        kind="torchscript", path="m.ts", answer="scores", scores=["risk"],
    )  # fmt: skip
    assert table["value"].tolist() == [0.0, 1.0, 2.0, 3.0]


def segmented(folder: Path, output: np.ndarray, truth: np.ndarray, **more: np.ndarray) -> Cohort:
    np.save(folder / "t.npy", truth)
    (folder / "outputs").mkdir(exist_ok=True)
    np.save(folder / "outputs" / "c0.npy", output)
    row = {"case_id": "c0", "patient_id": "p0", "mask.nodule": "t.npy"}
    for name, mask in more.items():
        np.save(folder / f"{name}.npy", mask)
        row[f"mask.nodule@{name}"] = f"{name}.npy"
    return cohort_of(folder, [row])


LABELS = {
    "kind": "precomputed", "path": "outputs", "outputs": "{case_id}.npy", "answer": "labels",
    "structures": {"nodule": 2},
}  # fmt: skip


def overlap(name: str = "dice", **parameters: Any) -> dict[str, Any]:
    return endpoint(id=name, metric={"name": name, "structure": "nodule", **parameters})


@pytest.mark.parametrize(
    ("output", "truth", "expected"),
    [
        (box((2, 2)), box((2, 2)), {"dice": 1.0, "volume_bias": 0.0}),
        (box((8, 8)), box((2, 2)), {"dice": 0.0, "volume_bias": 0.0}),  # right in volume, wrong in place
        (box(), box((2, 2)), {"dice": 0.0, "hd95": pytest.approx(np.hypot(24, 24)), "surface_dice": 0.0}),  # missed
        (box((2, 2)), box(), {"dice": 0.0, "surface_dice": 0.0}),  # an empty reference, something marked
    ],
)
def test_label_maps_against_masks(tmp_path: Path, output: np.ndarray, truth: np.ndarray, expected: Any) -> None:
    cohort = segmented(tmp_path, output * 2, truth)
    endpoints = [overlap(), overlap("volume_bias"), overlap("hd95"), overlap("surface_dice", tolerance_mm=1.0)]
    endpoints[0]["role"] = "primary"
    table = measure(tmp_path, cohort, planned(*endpoints), **LABELS)
    found = dict(zip(table["metric"].str.split("(").str[0], table["value"], strict=True))
    for name, value in expected.items():
        assert found[name] == value, name
    assert table["value"].notna().all()


def test_nothing_in_both_is_undefined_and_counted_as_missing(tmp_path: Path) -> None:
    table = measure(tmp_path, segmented(tmp_path, box(), box()), planned(overlap()), **LABELS)
    assert table["value"].isna().all()
    assert "not defined" in table["note"][0]


def test_readers_are_compared_with_the_proposal_and_with_each_other(tmp_path: Path) -> None:
    cohort = segmented(tmp_path, box((2, 2)) * 2, box((2, 2)), A=box((2, 2)), B=box((2, 3)), C=box((2, 2)))
    table = measure(tmp_path, cohort, planned(overlap("reader_disagreement")), **LABELS)
    found = dict(zip(table["component"], table["value"], strict=True))
    assert found["model~A"] == found["A~C"] == 0
    assert found["model~B"] == found["A~B"] == pytest.approx(1 - 2 * 6 / 18)


def test_a_label_map_of_another_grid_or_with_half_labels_is_rejected(tmp_path: Path) -> None:
    for output, code in ((box((2, 2)) * 0.5, "MOD-013"), (np.zeros((5, 5)), "MOD-007")):
        cohort = segmented(tmp_path, output, box((2, 2)))
        with pytest.raises(ModelProblem) as caught:
            measure(tmp_path, cohort, planned(overlap()), **LABELS)
        assert caught.value.code == code


def test_marks_are_matched_by_place_and_missed_lesions_stay_in_the_count(tmp_path: Path) -> None:
    np.save(tmp_path / "l.npy", box((1, 1), (8, 8)))
    rows = [{"case_id": c, "patient_id": c, "mask.lesions": "l.npy"} for c in ("a", "b", "c")]
    (tmp_path / "marks.csv").write_text(
        "case_id,rating,row,column\na,0.9,2,2\na,0.4,2,1\na,0.3,6,6\nb,,,\n"  # c was never answered
    )
    marks = endpoint(metric={"name": "mark_ratings"}, summary="wafroc")
    table = measure(
        tmp_path, cohort_of(tmp_path, rows), planned(marks), kind="precomputed", path="marks.csv", answer="marks"
    )
    one = table[table["case_id"] == "a"].set_index("component")["value"].to_dict()
    assert one == {
        "lesions": 2.0, "false marks": 1.0, "lesion 001": 0.9,
        "size 001": pytest.approx(0.036), "size 002": pytest.approx(0.036), "false 001": 0.3,
    }  # fmt: skip
    two = table[table["case_id"] == "b"].set_index("component")["value"].to_dict()
    assert (two["lesions"], two["false marks"]) == (2.0, 0.0)
    assert table[table["case_id"] == "c"]["value"].isna().all()


def test_lesions_of_a_table_with_names(tmp_path: Path) -> None:
    (tmp_path / "lesions.csv").write_text("case_id,lesion\na,L1\na,L2\n")
    rows = [{"case_id": c, "patient_id": c, "lesions": "lesions.csv"} for c in ("a", "b")]
    (tmp_path / "marks.csv").write_text("case_id,rating,lesion\na,0.9,L2\nb,0.2,\n")
    marks = endpoint(metric={"name": "mark_ratings"}, summary="wafroc")
    table = measure(
        tmp_path, cohort_of(tmp_path, rows), planned(marks), kind="precomputed", path="marks.csv", answer="marks"
    )
    found = {(r.case_id, r.component): r.value for r in table.itertuples()}
    assert found == {
        ("a", "lesions"): 2.0, ("a", "false marks"): 0.0, ("a", "lesion 002"): 0.9,
        ("b", "lesions"): 0.0, ("b", "false marks"): 1.0, ("b", "false 001"): 0.2,
    }  # fmt: skip


def drafted(**fields: Any) -> Protocol:
    metric = {"name": "draft_findings", "labeller": "chest"}
    own = endpoint(
        metric=metric, summary="component_share", summary_parameters={"events": "omitted", "of": "of omitted"}
    )
    return planned({**own, **fields}, labellers=LABELLERS)


def reported(folder: Path) -> Cohort:
    (folder / "signed.txt").write_text("A 6 mm nodule in the left lung. SECRET NAME.")
    rows = [{"case_id": f"c{i}", "patient_id": f"p{i}", "text.reference": "signed.txt", "text.source": "left nodule"}
            for i in range(2)]  # fmt: skip
    return cohort_of(folder, rows)


def test_texts_are_measured_and_never_kept(tmp_path: Path) -> None:
    (tmp_path / "drafts.csv").write_text("case_id,text\nc0,A nodule in the right lung.\nc1,\n")
    table = measure(tmp_path, reported(tmp_path), drafted(), kind="precomputed", path="drafts.csv", answer="text")
    found = {(r.case_id, r.component): r.value for r in table.itertuples()}
    assert (found["c0", "omitted"], found["c1", "omitted"], found["c0", "wrong side"]) == (0, 1, 1)
    assert found["c1", "of omitted critical"] == 1
    kept = b"".join(p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file())
    assert b"SECRET" not in kept
    assert b"lung" not in kept


def test_a_drafting_entry_point_sees_sources_and_never_the_signed_report(tmp_path: Path) -> None:
    table = measure(
        tmp_path, reported(tmp_path), drafted(),
        kind="entry_point", entry_point="tests.models.networks:Repeat", answer="text",
    )  # fmt: skip
    found = {(r.case_id, r.component): r.value for r in table.itertuples()}
    assert found["c0", "agreement"] == 1
    assert found["c0", "of wrong size"] == 0  # the size stands in the signed report alone


def test_an_answer_of_another_kind_than_the_endpoint_measures_is_refused(tmp_path: Path) -> None:
    cohort = segmented(tmp_path, box((2, 2)), box((2, 2)))
    for own in (score_endpoint(), endpoint(metric={"name": "dice"}), overlap(structure="lung")):
        with pytest.raises((ModelProblem, ProtocolProblem)) as caught:
            measure(tmp_path, cohort, planned(own), **LABELS)
        assert caught.value.code == "MOD-015"


def test_what_endpoints_name_is_checked_before_any_data(tmp_path: Path) -> None:
    with pytest.raises(ProtocolProblem, match="no labeller named"):
        make_plan(drafted(metric={"name": "draft_findings", "labeller": "abdomen"}))
    with pytest.raises(ProtocolProblem, match="comparator"):
        make_plan(planned({**overlap(), "comparator": "input", "summary": "paired_mean_difference"}))
    with pytest.raises(ProtocolProblem, match="it needs structure"):
        make_plan(planned(endpoint(metric={"name": "reader_disagreement"})))


def test_columns_and_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "drafts.csv").write_text("case_id,text\nc0,x\n")
    table = {"kind": "precomputed", "path": "drafts.csv", "answer": "text"}
    cohort = cohort_of(tmp_path, [{"case_id": "c0", "patient_id": "p"}])
    with pytest.raises(DataProblem, match=r"no column `text.reference`"):
        measure(tmp_path, cohort, drafted(), **table)
    cohort = cohort_of(tmp_path, [{"case_id": "c0", "patient_id": "p", "text.reference": "gone.txt"}])
    with pytest.raises(RunProblem, match="no such text file"):
        measure(tmp_path, cohort, drafted(), **table)
    cohort = cohort_of(tmp_path, [{"case_id": "c0", "patient_id": "p", "text.reference": "../secret.txt"}])
    with pytest.raises((RunProblem, UsageProblem), match="relative path"):
        measure(tmp_path, cohort, drafted(), **table)
