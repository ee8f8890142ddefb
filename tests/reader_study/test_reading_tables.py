"""Tables in and out: every format gives the same study, and hostile or broken files a clear refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.reader_study.known_answers import OWN, scores_of
from validation.errors import DataProblem, UsageProblem
from validation.reader_study.design import inspect
from validation.reader_study.scores import ReaderScores, from_frame
from validation.reader_study.tables import read_scores, write_scores


def same(a: ReaderScores, b: ReaderScores) -> None:
    assert (a.readers, a.modalities, a.cases) == (b.readers, b.modalities, b.cases)
    np.testing.assert_array_equal(a.positive, b.positive)
    np.testing.assert_array_equal(a.score, b.score)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".imrmc"])
@pytest.mark.parametrize("name", ["own_continuous", "own_splitplot"])
def test_every_format_gives_the_study_back(name: str, suffix: str, tmp_path: Path) -> None:
    original = scores_of(OWN / f"{name}.csv")
    write_scores(original, tmp_path / f"copy{suffix}")
    same(read_scores(tmp_path / f"copy{suffix}"), original)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_capitals_are_read(separator: str, tmp_path: Path) -> None:
    original = scores_of(OWN / "own_tiny.csv")
    table = original.to_frame().rename(columns=str.upper)
    table.to_csv(tmp_path / "t.csv", sep=separator, index=False)
    same(read_scores(tmp_path / "t.csv"), original)


def test_wide_tables_are_read_both_ways(tmp_path: Path) -> None:
    original = scores_of(OWN / "own_splitplot.csv")
    long = original.to_frame()
    wide = long.pivot(index=["reader", "case", "truth"], columns="modality", values="score").reset_index()
    wide.to_csv(tmp_path / "w.csv", index=False)
    same(read_scores(tmp_path / "w.csv"), original)
    long["reading"] = long["reader"] + ":" + long["modality"]
    wider = long.pivot(index=["case", "truth"], columns="reading", values="score").reset_index()
    wider.to_csv(tmp_path / "wider.csv", index=False)
    same(read_scores(tmp_path / "wider.csv"), original)


def test_names_stay_text(tmp_path: Path) -> None:
    rows = ["reader,modality,case,truth,score"]
    rows += [f"01,NA,1.{k},{t},{k}" for k, t in (("1", 0), ("10", 0), ("2", 1), ("20", 1))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    found = read_scores(tmp_path / "t.csv")
    assert found.cases == ("1.1", "1.10", "1.2", "1.20")
    assert (found.readers, found.modalities) == (("01",), ("NA",))


def test_decisions_travel(tmp_path: Path) -> None:
    table = scores_of(OWN / "own_tiny.csv").to_frame()
    table["decision"] = (table["score"] > 2).astype(int)
    table.to_parquet(tmp_path / "t.parquet", index=False)
    found = read_scores(tmp_path / "t.parquet")
    assert found.decision is not None
    np.testing.assert_array_equal(found.decision, found.score > 2)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "RDR-002"),
        ("reader,modality,case,truth,score\n", "RDR-002"),
        ("reader,modality,case,score\nr,m,c,1\n", "RDR-001"),
        ("reader,modality,case,truth,score,score\nr,m,c,1,2,3\n", None),
        ('reader,modality,case,truth,score\n"r,m,c,1\n', "RDR-002"),
    ],
)
def test_broken_files_are_refused(text: str, code: str | None, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    if code is None:
        return
    with pytest.raises(DataProblem) as caught:
        read_scores(tmp_path / "t.csv")
    assert caught.value.code == code


def test_bytes_that_are_no_text_and_unknown_endings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00reader\x00,\x81")
    with pytest.raises(DataProblem):
        read_scores(tmp_path / "t.csv")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataProblem):
        read_scores(tmp_path / "t.parquet")
    (tmp_path / "t.pkl").write_bytes(b"x")
    with pytest.raises(UsageProblem):
        read_scores(tmp_path / "t.pkl")
    with pytest.raises(UsageProblem):
        read_scores(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NR: 1\n", "RDR-009"),
        ("BEGIN DATA:\n-1,c1,0,0\nr,c1,m\n", "RDR-009"),
        ("BEGIN DATA:\n-1,c1,0,0\n-1,c1,0,1\n", "RDR-005"),
        ("BEGIN DATA:\n-1,c1,0,0\nr,c2,m,3\n", "RDR-003"),
        ("BEGIN DATA:\n-1,c1,0," + "9" * 200_000 + "\n", "RDR-009"),
    ],
)
def test_broken_imrmc_files_are_refused(text: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "t.imrmc").write_text(text)
    with pytest.raises(DataProblem) as caught:
        read_scores(tmp_path / "t.imrmc")
    assert caught.value.code == code


def test_designs_are_recognised() -> None:
    crossed = scores_of(OWN / "own_ordinal.csv")
    assert inspect(crossed).type == "fully_crossed"
    assert inspect(crossed).allowed == ["or", "dbm", "ustat"]
    split = inspect(scores_of(OWN / "own_splitplot.csv"))
    assert (split.type, split.reader_groups, split.allowed) == ("split_plot", 3, ["ustat"])
    table = crossed.to_frame()
    by_reader = from_frame(table.assign(case=table["reader"] + table["case"]))
    assert inspect(by_reader).type == "cases_nested_in_readers"
    by_modality = from_frame(table.assign(case=table["modality"] + table["case"]))
    assert inspect(by_modality).type == "cases_nested_in_modalities"
    first = (table["modality"] == "M1") & table["reader"].isin(["R1", "R2"])
    second = (table["modality"] == "M2") & ~table["reader"].isin(["R1", "R2"])
    assert inspect(from_frame(table[first | second])).type == "readers_nested_in_modalities"


def test_scale_and_ties_are_described() -> None:
    ordinal, continuous = inspect(scores_of(OWN / "own_ordinal.csv")), inspect(scores_of(OWN / "own_continuous.csv"))
    assert (ordinal.scale, ordinal.levels, ordinal.score_range) == ("ordinal", 5, (1.0, 5.0))
    assert continuous.scale == "continuous"
    scores = scores_of(OWN / "own_tiny.csv")
    x, y = scores.score[:, :, scores.positive, None], scores.score[:, :, None, ~scores.positive]
    assert inspect(scores).tied_share == pytest.approx((x == y).mean())
    assert pd.Series(inspect(scores).notes).str.contains("explicit decisions").any()
