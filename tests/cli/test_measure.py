"""`validation measure` and `validation list`: values, intervals, file kinds, and one clear message per bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import validation.metrics
from validation import registry
from validation.cli.main import main
from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics import select, undefined_reason
from validation.registry import Direction, Kind, all_metrics, metric


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 100, (6, 40, 50))
    np.savez(tmp_path / "pair.npz", out=reference + rng.normal(2, 10, reference.shape), ref=reference)
    np.save(tmp_path / "one.npy", reference[0].astype(np.float32))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out + captured.err


def rows(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict]:
    code, text = run(capsys, "measure", *arguments, "--json")
    assert code == 0, text
    record = json.loads(text)
    assert record["exploratory"] == "not evidence"
    return record["metrics"]


def test_several_cases_give_the_mean_with_a_t_interval(capsys, folder):
    found = rows(
        capsys, "rmse", "mae", "--input", f"output={folder}/pair.npz:out",
        "--input", f"reference={folder}/pair.npz:ref", "--cases-axis", 0,
    )  # fmt: skip
    with np.load(folder / "pair.npz") as archive:
        error = archive["out"] - archive["ref"]
    values = np.sqrt((error**2).mean((1, 2)))
    assert [row["name"] for row in found] == ["rmse", "mae"]
    estimate = found[0]["estimate"]
    assert estimate["value"] == pytest.approx(values.mean())
    low, high = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert (estimate["lower"], estimate["upper"]) == pytest.approx((low, high))
    assert (estimate["n"], estimate["level"]) == (6, 0.95)
    assert set(found[0]) == {"name", "estimate", "unit", "direction", "reference"}


def test_one_image_has_a_value_and_says_why_no_interval(capsys, folder):
    found = rows(capsys, "noise_magnitude", "--input", f"image={folder}/one.npy")
    estimate = found[0]["estimate"]
    assert estimate["value"] == pytest.approx(np.load(folder / "one.npy").astype(float).std(ddof=1))
    assert estimate["lower"] is None
    assert estimate["upper"] is None
    assert "interval" in estimate["reason"]


def test_a_role_given_several_times_is_several_cases(capsys, folder):
    found = rows(capsys, "noise_magnitude", "--input", f"image={folder}/one.npy", "--input", f"image={folder}/one.npy")
    assert found[0]["estimate"]["n"] == 2


def test_identical_images_have_no_psnr_with_the_reason(capsys, folder):
    found = rows(
        capsys, "psnr", "--input", f"output={folder}/one.npy", "--input", f"reference={folder}/one.npy",
        "--param", "data_range=1000",
    )  # fmt: skip
    assert found[0]["estimate"]["value"] is None
    assert "identical" in found[0]["estimate"]["reason"]


def test_undefined_cases_are_counted_in_the_reason(capsys, folder):
    with np.load(folder / "pair.npz") as archive:
        output, reference = archive["out"].copy(), archive["ref"]
    output[2] = reference[2]
    np.savez(folder / "part.npz", out=output, ref=reference)
    found = rows(
        capsys, "psnr", "--input", f"output={folder}/part.npz:out", "--input", f"reference={folder}/part.npz:ref",
        "--cases-axis", 0, "--param", "data_range=1000",
    )  # fmt: skip
    assert found[0]["estimate"]["n"] == 5
    assert "1 of 6 cases left out" in found[0]["estimate"]["reason"]


def test_vector_metrics_name_their_components_and_groups_their_metrics(capsys, folder):
    settings = ["--input", f"image={folder}/one.npy", "--param", "spacing_mm=0.5,0.5", "--param", "roi_size=16"]
    found = rows(capsys, "nps", *settings)
    assert [row["component"] for row in found][:2] == ["0.025", "0.075"]
    assert {row["unit"] for row in found} == {"HU2.mm2"}
    group = rows(capsys, "noise_texture", *settings)
    assert [row["name"] for row in group] == ["noise_magnitude", "nps_mean_frequency", "nps_peak_frequency"]


def test_nifti_brings_spacing_and_a_mask_restricts(capsys, folder):
    import nibabel

    volume = np.zeros((20, 24, 12), np.float32)
    volume[5:9] = 10
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    nibabel.Nifti1Image(volume, affine).to_filename(folder / "volume.nii.gz")
    nibabel.Nifti1Image((volume > 5).astype(np.uint8), affine).to_filename(folder / "mask.nii.gz")
    found = rows(
        capsys, "mae", "--input", f"output={folder}/volume.nii.gz", "--input", f"reference={folder}/volume.nii.gz",
        "--input", f"mask={folder}/mask.nii.gz",
    )  # fmt: skip
    assert found[0]["estimate"]["value"] == 0
    found = rows(capsys, "nps_mean_frequency", "--input", f"image={folder}/volume.nii.gz", "--param", "roi_size=8")
    assert found[0]["name"] == "nps_mean_frequency"


@pytest.mark.shared
def test_real_arrays_and_a_real_dicom_slice(capsys, folder, shared):
    archive = shared / "data" / "imaging" / "ct_lowdose_L506" / "l506.npz"
    found = rows(
        capsys, "ssim", "--input", f"output={archive}:noise_QD", "--input", f"reference={archive}:noise_FD",
        "--param", "data_range=4095",
    )  # fmt: skip
    assert found[0]["estimate"]["value"] == pytest.approx(0.7862, abs=1e-3)
    import zipfile

    with zipfile.ZipFile(shared / "data" / "imaging" / "ct_catphan504_cbct" / "high_quality_head.zip") as packed:
        name = next(n for n in sorted(packed.namelist()) if not n.endswith("/") and "CT" in n)
        (folder / "slice.dcm").write_bytes(packed.read(name))
    found = rows(capsys, "noise_magnitude", "nps_peak_frequency", "--input", f"image={folder}/slice.dcm")
    assert found[0]["unit"] == "HU"
    assert found[1]["estimate"]["value"] is not None


@pytest.fixture
def table_metric():
    """A metric of whole tables and of arrays, as other rooms register them."""

    @metric(
        "test_mean_gap", unit="1", direction=Direction.ZERO, roles=("real", "synthetic"), kind=Kind.ESTIMATE,
        reference="test", oracle="test", family="test",
    )  # fmt: skip
    def mean_gap(real, synthetic, *, column: str, level: float = 0.95) -> dict[str, Estimate]:
        """Difference of means."""
        gap = float(real[column].mean() - synthetic[column].mean())
        missing = int(real["text"].isna().sum())
        return {
            "gap": Estimate(value=gap, lower=None, upper=None, method="m", n=len(real), unit="y", level=level),
            "missing": Estimate(value=missing, lower=None, upper=None, method="m", n=len(real), unit="1", level=level),
        }

    yield
    del registry._METRICS["test_mean_gap"]


def test_tables_reach_metrics_of_tables_and_na_is_a_value(capsys, folder, table_metric):
    pd.DataFrame({"age": [30.0, 50.0], "text": ["NA", "None"]}).to_csv(folder / "real.csv", index=False)
    pd.DataFrame({"age": [35.0, 55.0], "text": ["a", "b"]}).to_parquet(folder / "synthetic.parquet")
    found = rows(
        capsys, "test_mean_gap", "--input", f"real={folder}/real.csv",
        "--input", f"synthetic={folder}/synthetic.parquet", "--param", "column=age", "--level", "0.9",
    )  # fmt: skip
    assert [(r["component"], r["estimate"]["value"], r["unit"]) for r in found] == [
        ("gap", -5.0, "y"),
        ("missing", 0.0, "1"),
    ]
    assert found[0]["estimate"]["level"] == 0.9


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["rmsee", "--input", "output=a.npy"], 2, "Did you mean rmse"),
        (["rmse", "--input", "outptu={f}/one.npy"], 2, "Did you mean 'output'"),
        (["rmse", "--input", "output={f}/one.npy"], 2, "needs reference"),
        (["rmse", "--input", "{f}/one.npy"], 2, "name=value"),
        (["psnr", "--input", "output={f}/one.npy", "--input", "reference={f}/one.npy"], 2, "needs data_range"),
        (["noise_magnitude", "--input", "image={f}/one.npy", "--param", "detrned=plane"], 2, "Did you mean 'detrend'"),
        (["local_sd", "--input", "image={f}/one.npy", "--param", "window=wide"], 2, "not int"),
        (["noise_magnitude", "--input", "image={f}/gone.npy"], 3, "gone.npy"),
        (["noise_magnitude", "--input", "image={f}/gone.dcm"], 3, "no such file"),
        (["noise_magnitude", "--input", "image={f}/pair.npz"], 2, "key"),
        (["noise_magnitude", "--input", "image={f}/pair.npz:other"], 3, "other"),
        (["noise_magnitude", "--input", "image={f}/text.dcm"], 3, "DICOM"),
        (["noise_magnitude", "--input", "image={f}/objects.npy"], 3, "objects.npy"),
        (["noise_magnitude", "--input", "image={f}/short.npy"], 3, "short.npy"),
        (["noise_magnitude", "--input", "image={f}/nan.npy"], 3, "finite"),
        (["noise_magnitude", "--input", "image={f}/table.csv"], 2, "table"),
        (["noise_magnitude", "--input", "image={f}/four.npy"], 2, "--cases-axis"),
        (["noise_magnitude", "--input", "image={f}/one.npy", "--cases-axis", "0"], 2, "axis"),
        (["nps", "--input", "image={f}/one.npy"], 2, "spacing"),
        (["rmse", "--input", "output={f}/one.npy", "--input", "reference={f}/four.npy"], 2, "four.npy"),
        (["rmse", "--input", "output={f}/one.npy", "--input", "reference={f}/other.npy"], 3, "shape"),
        (
            ["mae", "--input", "output={f}/pair.npz:out", "--input", "reference={f}/pair.npz:ref",
             "--input", "reference={f}/one.npy"],
            2,
            "numbers of cases differ",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_message(capsys, folder, arguments, code, said):
    (folder / "text.dcm").write_text("this is not DICOM")
    np.save(folder / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (folder / "short.npy").write_bytes((folder / "one.npy").read_bytes()[:300])
    np.save(folder / "nan.npy", np.full((20, 20), np.nan))
    np.save(folder / "four.npy", np.zeros((2, 3, 20, 20)))
    np.save(folder / "other.npy", np.zeros((7, 7)))
    (folder / "table.csv").write_text("a,b\n1,2\n")
    found, text = run(capsys, "measure", *[a.format(f=folder) for a in arguments])
    assert found == code, text
    assert said in text
    assert "Traceback" not in text


def test_a_bad_table_is_one_clear_message(capsys, folder, table_metric):
    (folder / "bad.parquet").write_bytes(b"PAR1 but not really")
    (folder / "empty.csv").write_text("age,text\n")
    for name, said in (("bad.parquet", "cannot be read"), ("empty.csv", "no rows"), ("gone.csv", "no such file")):
        code, text = run(
            capsys, "measure", "test_mean_gap", "--input", f"real={folder}/{name}",
            "--input", f"synthetic={folder}/{name}", "--param", "column=age",
        )  # fmt: skip
        assert (code, said in text) == (3, True), text
    code, text = run(
        capsys,
        "measure",
        "test_mean_gap",
        "--input",
        "real=scan.dcm",
        "--input",
        "synthetic=x.csv",
        "--param",
        "column=age",
    )
    assert (code, "not images" in text) == (2, True)
    code, text = run(capsys, "measure", "test_mean_gap", "rmse", "--input", "real=x.csv")
    assert (code, "one after the other" in text) == (2, True)


def test_the_text_says_it_is_exploratory(capsys, folder):
    code, text = run(capsys, "measure", "noise_magnitude", "--input", f"image={folder}/one.npy")
    assert code == 0
    assert text.startswith("exploratory, not evidence")
    assert "noise_magnitude: " in text


def test_list_shows_every_metric_with_unit_direction_reference_and_oracle(capsys):
    code, text = run(capsys, "list", "metrics", "--json")
    assert code == 0
    listed = {row["name"]: row for row in json.loads(text)["metrics"]}
    assert set(listed) == {m.name for m in all_metrics()}
    assert all(
        row[k] for row in listed.values() for k in ("unit", "direction", "reference", "oracle", "summary", "roles")
    )
    assert listed["psnr"]["parameters"] == {"data_range": "required"}
    code, text = run(capsys, "list", "metrics", "--family", "imaging")
    assert "worst_local_error" in text
    code, text = run(capsys, "list", "summaries")
    assert code == 0
    assert "paired_mean_difference" in text


def test_every_image_metric_says_when_it_is_undefined_and_groups_hold_metrics():
    validation.metrics.load()
    for entry in all_metrics():
        if entry.family in ("imaging", "segmentation"):
            always = "Defined for every case" in (entry.function.__doc__ or "")
            assert undefined_reason(entry).startswith("undefined when") is not always, entry.name
    for group, names in validation.metrics.GROUPS.items():
        assert [m.name for m in select((group,))] == list(dict.fromkeys(names))
    with pytest.raises(UsageProblem, match="there is no metric"):
        select(("full_refrence",))
