"""The page of a run: whole, the same every time, readable without a network, and found out when it was altered."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from validation.cli.serve import command as serve_command
from validation.cli.verify import command as verify_command
from validation.dossier.viewer import run_page, shelf_page
from validation.errors import UsageProblem
from validation.evidence.package import write_package
from validation.evidence.results import read_results, write_results


def _data(page: bytes) -> dict:
    return json.loads(re.search(rb'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_the_page_is_whole_small_and_the_same_every_time(shown: Path) -> None:
    page = run_page(shown)
    assert page == run_page(shown)
    assert len(page) < 2_000_000
    text = page.decode()
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
    assert "{{" not in text
    assert "{%" not in text
    for endpoint, section in read_results(shown)["endpoints"].items():
        assert f'id="endpoint-{endpoint}"' in text
        assert f'data-id="{endpoint}.estimate.value"' in text or section["estimate"]["value"] is None


def test_every_number_has_a_row_with_its_exact_value(shown: Path) -> None:
    text = run_page(shown).decode()
    targets = set(re.findall(r'<a class="num" data-id="[^"]+" href="#([^"]+)"', text))
    rows = set(re.findall(r'<tr id="(rec-[^"]+)"', text))
    assert targets
    assert targets == rows


def test_cases_carry_their_values_and_the_files_behind_them(shown: Path) -> None:
    data = _data(run_page(shown))
    book = data["book"]
    assert len(book["ids"]) == 96
    column = next(v for v in book["values"] if v["metric"].startswith("noise_magnitude") and v["arm"] == "output")
    assert len(column["numbers"]) == 96
    assert book["shards"]["files"] == ["measurements/part-00000.parquet"]
    assert set(book["shards"]["of"]) == {0}
    assert all(p["data"].startswith("data:image/png;base64,") for p in data["pictures"])
    assert {cell for cell in book["groups"]["slice_thickness_mm"]} == {"1.0", "2.5"}


def test_what_is_in_the_record_cannot_end_the_script(shown: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / shown.name
    shutil.copytree(shown, run)
    (run / "manifest.json").unlink()
    results = read_results(run)
    results["endpoints"]["E1"]["title"] = "</script><script>alert(1)</script>"
    (run / "results.json").unlink()
    (run / "run.json").unlink(missing_ok=True)
    write_results(run, results)
    text = run_page(run).decode()
    assert "<script>alert" not in text


def test_a_page_of_a_changed_run_says_so_at_its_top(shown: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / shown.name
    shutil.copytree(shown, run)
    with (run / "events.jsonl").open("ab") as events:
        events.write(b"{}\n")
    with pytest.raises(Exception, match=r"events|chain|line"):
        run_page(run)
    shutil.copy(shown / "events.jsonl", run / "events.jsonl")
    (run / "environment.json").write_text("{}")
    text = run_page(run).decode()
    assert "NOT INTACT" in text
    assert "environment.json" in text


def test_a_package_holds_the_page_and_an_altered_one_is_named(shown: Path, tmp_path: Path) -> None:
    archive = tmp_path / "run.zip"
    write_package(shown, archive, draft=True, viewer=run_page(shown, beside=f"{shown.name}/"))
    with zipfile.ZipFile(archive) as package:
        members = {name: package.read(name) for name in package.namelist()}
    page = members["viewer.html"]
    shown_value = re.search(rb'data-id="E1.estimate.value" href="[^"]+">([^<]+)</a>', page)
    assert shown_value is not None
    for changed, named in (
        (page.replace(shown_value[0], shown_value[0].replace(shown_value[1], b"-99.9")), "E1.estimate.value"),
        (page.replace(b'"numbers":[', b'"numbers":[0.5,'), "viewer.html"),
    ):
        forged = tmp_path / "forged.zip"
        with zipfile.ZipFile(forged, "w") as package:
            for name, data in members.items():
                package.writestr(name, changed if name == "viewer.html" else data)
        report = CliRunner().invoke(verify_command, [str(forged), "--json"], standalone_mode=False)
        assert report.return_value == 4
        assert any(named in f"{f['file']} {f['what']}" for f in json.loads(report.output)["findings"])


def test_the_page_is_written_beside_a_run_and_never_into_it(shown: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    CliRunner().invoke(serve_command, [str(shown), "--write", str(target)], standalone_mode=False)
    assert target.read_bytes().startswith(b"<!DOCTYPE html>")
    refused = CliRunner().invoke(serve_command, [str(shown), "--write", str(shown / "x.html")], standalone_mode=False)
    assert isinstance(refused.exception, UsageProblem)
    assert refused.exception.code == "VIEW-003"


def test_a_shelf_lists_every_run_with_the_history_of_its_endpoints(shown: Path, tmp_path: Path) -> None:
    for number, version in enumerate(("0.3.1", "0.4.0")):
        run = tmp_path / "study-a" / "runs" / f"low-dose-ct_2026112{number}T020000Z_0a1b2c3d"
        shutil.copytree(shown, run)
        results = read_results(run)
        results["model"]["version"] = version
        results["run"] |= {"id": run.name, "started": f"2026-11-2{number}T02:00:00Z"}
        for name in ("results.json", "run.json"):
            (run / name).unlink(missing_ok=True)
        write_results(run, results)
    (tmp_path / "study-a" / "runs" / "begun").mkdir()
    (tmp_path / "study-a" / "runs" / "begun" / "inputs.json").write_text("{}")
    text = shelf_page(tmp_path, title="studies").decode()
    assert "demo-unet 0.3.1" in text
    assert "demo-unet 0.4.0" in text
    assert text.index("20261121T") < text.index("20261120T")
    assert "not finished" in text
    assert "E1 over 2 runs" in text
    assert 'href="#' not in text  # numbers lead into the page of their run
    assert f'href="study-a/runs/{run.name}/#rec-E1.estimate.value"' in text
