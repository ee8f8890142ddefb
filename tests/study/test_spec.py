"""study.yaml: what it may hold and how it complains."""

from __future__ import annotations

from pathlib import Path

import pytest

from validation.errors import ProtocolProblem, UsageProblem
from validation.study.spec import load_study

TEXT = """\
schema: 1
id: low-dose
title: A study of a denoiser
notice: Simulated data.
protocol: protocol.yaml
model:
  name: denoiser
  version: 1.0.0
  kind: torchscript
  path: model.ts
cohort:
  table: cases.csv
"""


def write(folder: Path, text: str = TEXT) -> Path:
    for name in ("protocol.yaml", "model.ts", "cases.csv"):
        (folder / name).write_text("")
    (folder / "study.yaml").write_text(text)
    return folder


def test_paths_are_relative_to_the_study(tmp_path: Path) -> None:
    study = load_study(write(tmp_path))
    assert study == load_study(tmp_path / "study.yaml")
    assert study.protocol_path == tmp_path.resolve() / "protocol.yaml"
    assert study.spec.model.kind == "torchscript"
    assert study.signing_key_path is None
    assert study.runs_folder == tmp_path.resolve() / "runs"


def test_unknown_keys_have_a_place_and_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ProtocolProblem, match="did you mean 'notice'") as caught:
        load_study(write(tmp_path, TEXT.replace("notice:", "notise:")))
    assert caught.value.where == "study.yaml:4:1"
    with pytest.raises(ProtocolProblem, match="torchscript") as caught:
        load_study(write(tmp_path, TEXT.replace("torchscript", "torchscrip")))
    assert caught.value.where == "study.yaml:9:3"


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem) as caught:
        load_study(tmp_path)
    assert caught.value.code == "RUN-050"
    write(tmp_path)
    (tmp_path / "cases.csv").unlink()
    with pytest.raises(UsageProblem, match=r"cohort\.table") as caught:
        load_study(tmp_path)
    assert caught.value.code == "RUN-051"
