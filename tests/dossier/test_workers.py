"""Documents printed by one process and by two are the same files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.dossier.example_run import write_example_run
from validation.dossier import render
from validation.dossier.pool import Pool
from validation.dossier.viewmodel import ViewModel
from validation.dossier.worker import Task
from validation.errors import RunProblem


def test_one_and_two_processes_write_the_same_bytes(example_run: Path, tmp_path: Path) -> None:
    runs = []
    for workers in (1, 2):
        copy = tmp_path / str(workers) / "runs" / example_run.name
        shutil.copytree(example_run, copy)
        shutil.copy(example_run.parent.parent / "ledger.jsonl", copy.parent.parent / "ledger.jsonl")
        runs.append((copy, render(copy, ["pms_pmcf"], workers=workers)))
    (one, written), (two, again) = runs
    assert [p.relative_to(one) for p in written] == [p.relative_to(two) for p in again]
    order = ViewModel(one).file("pms_pmcf").order
    names = [f"{d}.{s}" for d in order for s in ("html", "pdf", "docx")]
    assert [p.name for p in written] == [*names, "requirements.csv", "results.csv", "findings.json"]
    for path in written:
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes(), path.name


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
