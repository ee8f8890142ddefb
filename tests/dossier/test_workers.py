"""Documents printed by one process and by two are the same files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.dossier.example_run import write_example_run
from validation.dossier import render
from validation.dossier.catalogue import catalogue
from validation.dossier.pool import Pool
from validation.dossier.worker import Task
from validation.errors import RunProblem


def test_one_and_two_processes_write_the_same_bytes(rendered: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs" / rendered.name
    shutil.copytree(rendered, copy, ignore=shutil.ignore_patterns("dossier"))
    shutil.copy(rendered.parent.parent / "ledger.jsonl", tmp_path / "ledger.jsonl")
    written = render(copy, ["us_510k"], workers=1)  # those of ``rendered`` were printed by two
    order = catalogue().pathway("us_510k").documents
    names = [f"{d}.{s}" for d in order for s in ("html", "pdf", "docx")] + ["findings.json"]
    assert [p.name for p in written] == names
    for path in written:
        assert path.read_bytes() == (rendered / path.relative_to(copy)).read_bytes(), path.name


def test_a_problem_in_a_process_is_the_problem_of_the_caller(tmp_path: Path) -> None:
    run = write_example_run(tmp_path, patients=4)
    results = run / "results.json"
    results.write_bytes(results.read_bytes().replace(b'"openings"', b'"opened"'))
    run_file = run / "run.json"
    if run_file.is_file():
        run_file.write_bytes(run_file.read_bytes().replace(b'"openings"', b'"opened"'))
    staging = tmp_path / "staging"
    staging.mkdir()
    with pytest.raises(RunProblem, match="openings") as caught, Pool(run, staging, workers=2) as pool:
        pool.run([Task("us_510k", "index"), Task("us_510k", "test_use_ledger")])
    assert caught.value.code in {"DOS-001", "DOS-002"}


def test_a_process_that_dies_is_reported(example_run: Path, tmp_path: Path) -> None:
    with Pool(example_run, tmp_path, workers=2) as pool:
        for process in pool._running:
            process.kill()
            process.wait()
        with pytest.raises(RunProblem) as caught:
            pool.run([Task("us_510k", "index")])
    assert caught.value.code == "DOS-013"
