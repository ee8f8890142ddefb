"""The run engine on small cohorts of real files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.study.synthetic import STANDARD, endpoint, open_written, protocol, write_cohort
from validation.cohort.open import Cohort
from validation.errors import DataProblem, IntegrityProblem, ModelProblem, RunProblem, UsageProblem
from validation.models import Batch, Model, ModelSpec, load_model
from validation.study.checkpoint import load_settings, settings_path
from validation.study.measure import case_seed
from validation.study.plan import make_plan
from validation.study.run import Measured, resolve_device, run_measurements
from validation.study.shards import read_measurements, read_rejections, shard_files, shard_path

CPU = torch.device("cpu")


def entry(name: str, **fields: Any) -> Model:
    spec = ModelSpec(name="m", version="1", kind="entry_point", entry_point=f"tests.models.networks:{name}", **fields)
    return load_model(spec, Path(), CPU)


def measure(cohort: Cohort, run: Path, model: Model, *endpoints: dict[str, Any], **options: Any) -> Measured:
    run.mkdir(exist_ok=True)
    execution = {key: options.pop(key) for key in ("draws", "seed", "precision") if key in options}
    plan = make_plan(protocol(*(endpoints or STANDARD), **execution))
    return run_measurements(plan, cohort, model, run, device=CPU, **options)


def frame(run: Path) -> pd.DataFrame:
    return read_measurements(run).to_pandas()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"), 11)


@pytest.fixture
def cohort(folder: Path) -> Cohort:
    return open_written(folder)


def test_values_are_those_of_numpy(cohort: Cohort, folder: Path, tmp_path: Path) -> None:
    measured = measure(cohort, tmp_path / "run", entry("Shrink"), cases_per_shard=4)
    table = frame(tmp_path / "run")
    assert measured.case_ids == tuple(f"c{i:03d}" for i in range(11))
    assert [p.name for p in shard_files(tmp_path / "run")] == [f"part-{n:05d}.parquet" for n in range(3)]
    assert list(table.columns) == ["case_id", "metric", "arm", "draw", "component", "value", "unit", "note"]
    got = table.set_index(["metric", "arm", "case_id"])["value"]
    for i in range(11):
        image, clean = np.load(folder / f"i{i}.npy"), np.load(folder / f"r{i}.npy")
        mask = np.load(folder / f"m{i}.npy")
        name = f"c{i:03d}"
        assert got["noise_magnitude", "input", name] == pytest.approx(image.std(ddof=1), rel=1e-5)
        assert got["noise_magnitude", "output", name] == pytest.approx(image.std(ddof=1) / 2, rel=1e-5)
        assert got["rmse", "input", name] == pytest.approx(np.sqrt(((image - clean) ** 2).mean()), rel=1e-5)
        assert got["rmse", "output", name] == pytest.approx(np.sqrt(((image / 2 - clean) ** 2).mean()), rel=1e-5)
        if i % 4 == 0:
            expected = image[mask].std(ddof=1) / 2
            assert got["noise_magnitude(region=middle)", "output", name] == pytest.approx(expected, rel=1e-5)
    assert len(table) == 11 * 4 + 3
    assert set(table["unit"]) == {"HU"}
    assert table["value"].notna().all()


def test_order_is_by_case_metric_arm_draw(cohort: Cohort, tmp_path: Path) -> None:
    measure(cohort, tmp_path / "run", entry("Sampler", stochastic=True), draws=2)
    table = frame(tmp_path / "run")
    order = ["case_id", "metric", "arm", "draw"]
    pd.testing.assert_frame_equal(table, table.sort_values(order, kind="stable").reset_index(drop=True))


def test_samples_do_not_depend_on_batches_or_shards(cohort: Cohort, tmp_path: Path) -> None:
    model = entry("Sampler", stochastic=True)
    measure(cohort, tmp_path / "a", model, draws=3)
    measure(cohort, tmp_path / "b", model, draws=3, cases_per_shard=2, batch_voxels=1)
    a, b = frame(tmp_path / "a"), frame(tmp_path / "b")
    pd.testing.assert_frame_equal(a, b, rtol=1e-6)
    outputs = a[(a["arm"] == "output") & (a["metric"] == "rmse")]
    assert (outputs.groupby("case_id")["value"].nunique() == 3).all()
    assert set(a[a["arm"] == "input"]["draw"]) == {0}
    measure(cohort, tmp_path / "c", model, draws=3, seed=9)
    assert not frame(tmp_path / "c")["value"].equals(a["value"])
    assert len({case_seed(1, "a", 0), case_seed(1, "a", 1), case_seed(1, "b", 0), case_seed(2, "a", 0)}) == 4


def test_draws_of_a_deterministic_model_are_one(cohort: Cohort, tmp_path: Path) -> None:
    measure(cohort, tmp_path / "run", entry("Shrink"), draws=4)
    assert set(frame(tmp_path / "run")["draw"]) == {0}


def test_a_shard_that_was_lost_is_measured_again_with_the_same_bytes(cohort: Cohort, tmp_path: Path) -> None:
    run, model = tmp_path / "run", entry("Sampler", stochastic=True)
    measure(cohort, run, model, draws=2, cases_per_shard=3)
    before = {p.name: p.read_bytes() for p in shard_files(run)}
    shard_path(run, 1).unlink()
    seen: list[tuple[int, int]] = []

    class Count:
        def advance(self, cases: int) -> None:
            seen.append((-1, cases))

    @contextmanager
    def progress(total: int, done: int) -> Iterator[Count]:
        seen.append((total, done))
        yield Count()

    measure(cohort, run, model, draws=2, cases_per_shard=100, progress=progress)
    assert {p.name: p.read_bytes() for p in shard_files(run)} == before
    assert seen == [(11, 8), (-1, 3)]


@pytest.mark.parametrize("damage", ["truncate", "flip", "foreign"])
def test_a_damaged_shard_is_named(damage: str, cohort: Cohort, tmp_path: Path) -> None:
    run, model = tmp_path / "run", entry("Shrink")
    measure(cohort, run, model, cases_per_shard=4)
    path = shard_path(run, 1)
    data = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        data[40] ^= 0xFF
        path.write_bytes(data)
    else:
        path.write_bytes(shard_path(run, 0).read_bytes())
    with pytest.raises(IntegrityProblem) as caught:
        measure(cohort, run, model, cases_per_shard=4)
    assert caught.value.code == ("RUN-011" if damage == "foreign" else "RUN-010")
    assert caught.value.where == "measurements/part-00001.parquet"


def test_a_run_does_not_go_on_with_something_else(cohort: Cohort, tmp_path: Path) -> None:
    run = tmp_path / "run"
    measure(cohort, run, entry("Shrink"), limit=5)
    for change in (
        {"model": entry("Shrink"), "limit": 6},
        {"model": entry("Shrink"), "limit": 5, "seed": 3},
    ):
        model = change.pop("model")
        with pytest.raises(RunProblem) as caught:
            measure(cohort, run, model, **change)
        assert caught.value.code == "RUN-007"
    settings_path(run).write_text("{}")
    with pytest.raises(IntegrityProblem):
        measure(cohort, run, entry("Shrink"), limit=5)


def test_another_model_is_another_run(cohort: Cohort, folder: Path, tmp_path: Path) -> None:
    from tests.models.networks import Smooth, save_script

    models = []
    for name in ("a.ts", "b.ts"):
        network = Smooth()
        if name == "b.ts":
            network.layer.bias.data += 1
        save_script(network, tmp_path / name)
        models.append(load_model(ModelSpec(name="m", version="1", kind="torchscript", path=name), tmp_path, CPU))
    measure(cohort, tmp_path / "run", models[0])
    with pytest.raises(RunProblem, match="model"):
        measure(cohort, tmp_path / "run", models[1])


def test_unreadable_and_failing_cases_are_recorded(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "cohort", 9)
    for i in range(9):  # NotANumberAboveZero fails where the first voxel is positive
        image = np.load(folder / f"i{i}.npy")
        image[0, 0] = 5 if i in (4, 7) else -5
        np.save(folder / f"i{i}.npy", image)
    cohort = open_written(folder)
    (folder / "i2.npy").write_bytes(b"\x93NUMPY")  # a file that breaks after the cohort was opened
    measured = measure(cohort, tmp_path / "run", entry("NotANumberAboveZero"))
    found = {r.case_id: r.code for r in measured.rejections}
    assert found["c004"] == found["c007"] == "MOD-011"
    assert set(found) == {"c002", "c004", "c007"}
    assert tuple(read_rejections(tmp_path / "run")) == measured.rejections
    table = frame(tmp_path / "run")
    rejected = table[table["case_id"].isin(list(found))]
    assert rejected["value"].isna().all()
    assert rejected["note"].str.startswith("case rejected: ").all()
    assert len(rejected[rejected["case_id"] == "c004"]) == 5  # every planned measurement has its row
    assert table[~table["case_id"].isin(list(found))]["value"].notna().all()
    measure(cohort, tmp_path / "single", entry("NotANumberAboveZero"), batch_voxels=1)
    pd.testing.assert_frame_equal(frame(tmp_path / "single"), table, rtol=1e-6)


def test_a_missing_reference_rejects_only_where_it_is_needed(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "cohort", 4)

    class Incomplete:
        def __init__(self) -> None:
            self.inner = open_written(folder)
            self.cases = self.inner.cases

        def load(self, case_id: str) -> Any:
            case = self.inner.load(case_id)
            if case_id == "c001":
                del case.arrays["reference"]
            return case

    measured = measure(Incomplete(), tmp_path / "a", entry("Shrink"), STANDARD[0])  # type: ignore[arg-type]
    assert measured.rejections == ()
    measured = measure(Incomplete(), tmp_path / "b", entry("Shrink"))  # type: ignore[arg-type]
    assert [(r.case_id, r.code) for r in measured.rejections] == [("c001", "RUN-020")]


def test_a_missing_region_leaves_a_note(tmp_path: Path) -> None:
    cohort = open_written(write_cohort(tmp_path / "cohort", 4))
    only = endpoint(metric={"name": "noise_magnitude", "region": "liver"})
    measure(cohort, tmp_path / "run", entry("Shrink"), only)
    assert set(frame(tmp_path / "run")["note"]) == {"the case has no region 'liver'"}


@pytest.mark.parametrize(("network", "code"), [("Crop", "MOD-007"), ("Broken", "MOD-005")])
def test_a_model_that_never_works_stops_the_run(network: str, code: str, cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(ModelProblem) as caught:
        measure(cohort, tmp_path / "run", entry(network))
    assert caught.value.code == code
    assert shard_files(tmp_path / "run") == [] if (tmp_path / "run").exists() else True


def test_nothing_to_measure(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(RunProblem) as caught:
        measure(cohort, tmp_path / "run", entry("Shrink"), endpoint(cases="kind == 'ghost'"))
    assert caught.value.code == "RUN-005"


class Greedy(Model):
    """Runs out of memory with more than ``fits`` cases at once."""

    def __init__(self, fits: int) -> None:
        super().__init__(entry("Shrink").spec, sha256="0" * 64, parameters=0)
        self.fits = fits
        self.sizes: list[int] = []

    def predict(self, batch: Batch, *, precision: str = "fp32") -> torch.Tensor:
        self.sizes.append(len(batch.images))
        if len(batch.images) > self.fits:
            raise torch.OutOfMemoryError
        return batch.images * 0.5


def test_when_memory_runs_out_batches_are_halved_and_that_is_recorded(cohort: Cohort, tmp_path: Path) -> None:
    measure(cohort, tmp_path / "calm", entry("Shrink"))
    greedy = Greedy(2)
    measured = measure(cohort, tmp_path / "run", greedy, batch_voxels=24 * 24 * 8)
    assert max(greedy.sizes) > 2
    assert measured.rejections == ()
    voxels = measured.settings.voxels_at(0)
    assert 24 * 24 <= voxels < 24 * 24 * 8
    assert load_settings(tmp_path / "run", measured.settings) == measured.settings
    pd.testing.assert_frame_equal(frame(tmp_path / "run"), frame(tmp_path / "calm"), rtol=1e-6)
    nothing_fits = Greedy(0)
    with pytest.raises(ModelProblem) as caught:
        measure(cohort, tmp_path / "never", nothing_fits)
    assert caught.value.code == "MOD-010"


def test_baseline_is_a_second_model_or_an_image(cohort: Cohort, folder: Path, tmp_path: Path) -> None:
    against = endpoint(comparator="baseline")
    measure(cohort, tmp_path / "run", entry("Shrink"), against, baseline=entry("Smooth"))
    assert set(frame(tmp_path / "run")["arm"]) == {"output", "baseline"}
    with pytest.raises(DataProblem, match="no column `baseline`"):
        measure(cohort, tmp_path / "none", entry("Shrink"), against)


def test_devices() -> None:
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda")
    for choice in ("gpu", "cpu:1", "cuda:x", ""):
        with pytest.raises(UsageProblem):
            resolve_device(choice)
    if not torch.cuda.is_available():
        with pytest.raises(UsageProblem, match="no CUDA"):
            resolve_device("cuda")


def test_determinism_switches_are_put_back(cohort: Cohort, tmp_path: Path) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    measure(cohort, tmp_path / "run", entry("Shrink"), limit=2)
    assert torch.are_deterministic_algorithms_enabled() == before


def test_components_of_vector_metrics_have_a_row_each(tmp_path: Path) -> None:
    from validation.registry import get_metric
    from validation.study.samples import build_sample

    folder = write_cohort(tmp_path / "cohort", 5, size=64)
    cohort = open_written(folder)
    (folder / "i3.npy").write_bytes(b"")
    spectrum = endpoint(metric={"name": "nps", "roi_size": 16, "region": "middle"}, comparator="input")
    chosen = protocol(spectrum)
    measured = measure(cohort, tmp_path / "run", entry("Shrink"), spectrum)
    assert [r.case_id for r in measured.rejections] == ["c003"]
    table = frame(tmp_path / "run")
    by_case = table[table["value"].notna()].groupby(["case_id", "arm"])["component"].nunique()
    assert by_case.nunique() == 1
    assert by_case.iloc[0] > 4
    power = table.pivot_table(index=["case_id", "component"], columns="arm", values="value")
    np.testing.assert_allclose(power["output"], power["input"] / 4, rtol=1e-4)
    cases = pd.DataFrame({"cluster": list("abcde")}, index=[f"c{i:03d}" for i in range(5)])
    sample = build_sample(chosen.endpoints[0], get_metric("nps"), cases, table)
    assert "" not in sample.component_names
    assert sample.components is not None
    assert np.isnan(sample.components[3]).all()
    measurable = np.isfinite(
        np.delete(sample.components, 3, axis=0)
    )  # bins beyond the corners of the spectrum are empty
    assert measurable.any(axis=1).all()
    assert (measurable == measurable[0]).all()


def test_two_masks(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "cohort", 3)

    class TwoMasks:
        def __init__(self) -> None:
            self.inner = open_written(folder)
            self.cases = self.inner.cases

        def load(self, case_id: str) -> Any:
            case = self.inner.load(case_id)
            case.masks["rest"] = ~case.masks["middle"]
            return case

    contrast = endpoint(metric={"name": "cnr", "signal": "middle", "background": "rest"})
    measure(TwoMasks(), tmp_path / "run", entry("Shrink"), contrast)  # type: ignore[arg-type]
    got = frame(tmp_path / "run").set_index("case_id")["value"]
    image, mask = np.load(folder / "i1.npy"), np.load(folder / "m1.npy")
    expected = abs(image[mask].mean() - image[~mask].mean()) / image[~mask].std(ddof=1)
    assert got["c001"] == pytest.approx(expected, rel=1e-4)


def test_torchscript_answers_the_same_at_the_first_and_at_later_calls(cohort: Cohort, tmp_path: Path) -> None:
    from monai.networks.nets import BasicUNet

    from tests.models.networks import save_script

    torch.manual_seed(1)
    save_script(BasicUNet(spatial_dims=2, out_channels=1, features=(4, 4, 8, 8, 8, 4)), tmp_path / "unet.ts")
    fields = {"name": "m", "version": "1", "kind": "torchscript", "path": "unet.ts"}
    only = endpoint(metric={"name": "rmse"})
    for run, shards in (("whole", 100), ("again", 100)):
        model = load_model(ModelSpec.model_validate(fields), tmp_path, CPU)
        if run == "again":  # a model that has been called often, as late in a long run
            batch = Batch(images=torch.randn(2, 32, 32), case_ids=("a", "b"), rows=({}, {}), seeds=(0, 1))
            for _ in range(6):
                model.predict(batch)
        measure(cohort, tmp_path / run, model, only, cases_per_shard=shards)
    assert shard_path(tmp_path / "whole", 0).read_bytes() == shard_path(tmp_path / "again", 0).read_bytes()


def test_resumed_run_uses_the_threads_that_it_was_begun_with(tmp_path: Path) -> None:
    cohort = open_written(write_cohort(tmp_path / "cohort", 6))
    before = torch.get_num_threads()
    folder = tmp_path / "run"
    torch.set_num_threads(1)
    try:
        measure(cohort, folder, entry("Smooth"))
        (folder / "measurements" / "part-00000.parquet").unlink()
        torch.set_num_threads(2)
        measure(cohort, folder, entry("Smooth"))
        assert json.loads((folder / "measurements" / "settings.json").read_bytes())["threads"] == 1
        assert torch.get_num_threads() == 2  # put back
    finally:
        torch.set_num_threads(before)
