"""`validation shift`: the contract of its JSON, its inputs, and one clear message per mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from validation.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        main(["shift", *arguments])
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out + captured.err


@pytest.fixture
def tables(tmp_path: Path) -> tuple[str, str]:
    rng = np.random.default_rng(1)
    for name, moved in (("a.csv", 0.0), ("b.parquet", 1.0)):
        frame = pd.DataFrame(
            {
                "patient": [f"{name}-{k:03d}" for k in np.repeat(np.arange(40), 2)],
                "dose": rng.normal(moved, 1, 80),
                "kernel": rng.choice(["B30", "Br40"], 80),
                "truth": rng.integers(0, 2, 80),
                "score": rng.random(80).round(3),
            }
        )
        (frame.to_csv if name.endswith("csv") else frame.to_parquet)(tmp_path / name, index=False)  # type: ignore[operator]
    return str(tmp_path / "a.csv"), str(tmp_path / "b.parquet")


def test_contract(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(
        capsys, *tables, "--cluster", "patient", "--columns", "dose,kernel", "--margin", "0.2", "--alpha", "0.05",
        "--json"
    )  # fmt: skip
    report = json.loads(out)
    assert code == 0
    assert report["exploratory"] == "not evidence"
    dose = report["variables"]["dose"]
    assert dose["finding"] == "shifted"
    assert dose["effect"]["lower"] < dose["effect"]["value"] < dose["effect"]["upper"]
    assert {"p_value", "p_adjusted", "minimum_detectable", "p_equivalence", "clusters_new"} <= set(dose)
    assert report["variables"]["kernel"]["statistic"] == "chi2"
    assert report["multivariate"]["mmd"]["finding"] == "shifted"
    assert report["settings"]["seed"] == 1


def test_text_options_and_labels(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(
        capsys, *tables, "--cluster", "patient", "--columns", "dose", "--statistic", "dose=wasserstein", "--test",
        "none", "--label", "truth", "--score", "score", "--permutations", "199",
    )  # fmt: skip
    assert code == 0
    assert "exploratory, not evidence" in out
    assert "dose (wasserstein" in out
    assert "kind of shift" in out


def test_performance_without_labels_when_the_new_cohort_has_none(
    tables: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.read_parquet(tables[1]).drop(columns="truth").to_csv(tmp_path / "c.csv", index=False)
    code, out = run(
        capsys, tables[0], str(tmp_path / "c.csv"), "--columns", "dose", "--test", "none", "--label", "truth",
        "--score", "score", "--cluster", "patient", "--json",
    )  # fmt: skip
    assert code == 0
    assert "unchanged" in json.loads(out)["performance_without_labels"]["methods"]["calibration"]["assumption"]


def test_arrays_and_stacks_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    for name, scale in (("a.npz", 1.0), ("b.npz", 2.0)):
        np.savez(tmp_path / name, latent=rng.normal(0, scale, (40, 3)), image=rng.normal(0, scale, (40, 16, 16)))
    for key, column in (("latent", "latent_0"), ("image", "noise_sd")):
        code, out = run(capsys, f"{tmp_path}/a.npz:{key}", f"{tmp_path}/b.npz:{key}", "--json")
        report = json.loads(out)
        assert code == 0
        assert column in report["variables"]
        assert report["multivariate"]["mmd"]["finding"] == "shifted"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--columns", "dosis"], "SHF-001"),
        (["--statistic", "t_test"], "SHF-008"),
        (["--margin", "-1"], "SHF-008"),
        (["--margin", "dosis=1"], "SHF-008"),
        (["--columns", "dose", "--statistic", "ks", "--cluster", "pat"], "SHF-001"),
        (["--columns", "kernel", "--statistic", "ks"], "SHF-002"),
        (["--columns", "dose", "--test", "psi"], "SHF-006"),
        (["--columns", "dose,score", "--permutations", "99", "--alpha", "0.01"], "SHF-004"),
    ],
)
def test_mistakes_have_one_message(
    arguments: list[str], code: str, tables: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = run(capsys, *tables, *arguments)
    assert status in (2, 3)
    assert code in out
    assert "Traceback" not in out


def test_damaged_inputs(tmp_path: Path, tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 not an archive")
    np.savez(tmp_path / "y.npz", a=np.zeros(3), b=np.zeros(4))
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "p.npz", a=np.array([{"a": 1}], dtype=object))
    for name in ("x.npz", "y.npz", "p.npz", "o.npy", "missing.csv"):
        status, out = run(capsys, str(tmp_path / name), tables[1])
        assert status == 3, name
        assert "Traceback" not in out


def test_columns_of_one_table_only_are_named(
    tables: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "c.csv"
    pd.read_parquet(tables[1]).drop(columns="dose").assign(extra=1).to_csv(other, index=False)
    code, out = run(capsys, tables[0], str(other), "--cluster", "patient", "--test", "none", "--json")
    assert code == 0
    assert json.loads(out)["in_one_table_only"] == {"baseline": ["dose"], "new": ["extra"]}
    _, out = run(capsys, tables[0], str(other), "--cluster", "patient", "--test", "none")
    assert "only in the baseline table, not compared: dose" in out


def test_joint_margin(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--columns", "dose", "--test", "mmd", "--joint-margin"]
    code, out = run(capsys, tables[0], tables[0], *asked, "mmd=0.6", "--json")
    assert code == 0
    assert json.loads(out)["multivariate"]["mmd"]["margin"] == 0.6
    for wrong in ("0.6", "mmd=-1", "classifier=0.6"):
        assert run(capsys, *tables, *asked, wrong)[0] == 2
