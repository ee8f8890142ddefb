"""Triggers, plans and documents: complete, bound to endpoints, and the same in every format."""

from __future__ import annotations

import json
from pathlib import Path

import lxml.html
import pytest
import yaml
from pypdf import PdfReader

from tests.change.changing_study import PROTOCOL, write_cohort
from tests.change.conftest import Signed
from validation.change.limits import operating_limits
from validation.change.monitoring_plan import monitoring_plan
from validation.change.plan import change_plan
from validation.change.triggers import catalogue, impact, parse_changes
from validation.cli.main import main
from validation.errors import UsageProblem
from validation.protocol.change_schema import Bound, ChangeProtocol
from validation.protocol.lock import content
from validation.protocol.schema import Protocol


def protocol() -> Protocol:
    return Protocol.model_validate(yaml.safe_load(PROTOCOL))


HEAD = {"digest": "0" * 64, "record": None, "title": "T", "notice": ""}


def test_every_trigger_is_complete_and_every_name_is_defined() -> None:
    entries = catalogue()
    for name, trigger in entries["triggers"].items():
        assert trigger["source"], name
        assert set(trigger["checks"]) <= set(entries["checks"]), name
        assert set(trigger["documents"]) <= set(entries["documents"]), name
        assert trigger["route"] in entries["routes"], name
    assert {t["change"] for t in entries["triggers"].values()} == {
        "scanner", "model", "kernel", "software", "pacs", "population", "alarm",
    }  # fmt: skip


def test_impact_depends_on_the_label() -> None:
    inside = impact(protocol(), parse_changes(["scanner=Maker A, second scanner"]))
    outside = impact(protocol(), parse_changes(["scanner=Maker D"]))
    assert inside["triggers"][0]["id"] == "scanner_same"
    assert outside["triggers"][0]["id"] == "scanner_new"
    assert list(outside["endpoints"]) == ["E1", "E2", "E3"]
    assert list(outside["modifications"]) == ["M2"]
    assert impact(protocol(), parse_changes(["pacs=v9"]))["endpoints"] == {}
    both = impact(protocol(), parse_changes(["pacs=v9", "software=2"]))
    assert len(both["triggers"]) == 2
    assert both["endpoints"]


def test_limits_count_what_is_outside_and_what_is_not_known() -> None:
    import pandas as pd

    frame = pd.DataFrame({"kvp": [100.0, 120.0, 150.0, None], "kernel": ["a", "b", None, "a"]})
    rows = operating_limits(
        frame, [Bound(quantity="kvp", maximum=140), Bound(quantity="kernel", allowed=["a"]), Bound(quantity="dose")]
    )
    assert [row["n_outside"] for row in rows] == [2, 2, 4]
    assert rows[0]["outside"] == ["150.0"]
    assert "do not state" in rows[0]["reason"]


def test_the_plan_binds_every_criterion_and_lists_what_is_missing() -> None:
    plan = change_plan(protocol(), **HEAD)
    first = plan["modifications"][0]
    assert [c["id"] for c in first["criteria"]] == ["E1", "E2"]
    assert first["criteria"][1]["criterion"] == "equivalence, margin 4 HU, one-sided alpha 0.025"
    assert [row["id"] for row in plan["traceability"]] == ["M1", "M2"]
    assert not [gap for gap in plan["gaps"] if gap.startswith("M1")]
    assert "M2: risks is not stated" in plan["gaps"]
    bad = yaml.safe_load(PROTOCOL)
    bad["change_protocol"]["modifications"][0]["endpoints"] = ["E9"]
    with pytest.raises(UsageProblem) as caught:
        change_plan(Protocol.model_validate(bad), **HEAD)
    assert caught.value.code == "CHG-012"
    assert len(monitoring_plan(protocol(), **HEAD)["indicators"]) == 3


def test_fields_that_are_not_used_do_not_change_a_digest() -> None:
    old = yaml.safe_load(PROTOCOL)
    for key in ("history", "revalidation"):
        old["change_protocol"].pop(key)
    for key in ("implementation", "scope", "frequency"):
        old["change_protocol"]["modifications"][0].pop(key)
    plain = content(Protocol.model_validate(old))["change_protocol"]
    assert set(plain) == {"modifications", "cumulative_impact", "labelling"}
    assert not {"implementation", "scope", "frequency"} & set(plain["modifications"][0])
    with pytest.raises(ValueError, match="unique"):
        ChangeProtocol.model_validate({"modifications": [old["change_protocol"]["modifications"][0]] * 2})


def run_cli(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return int(caught.value.code or 0)


def test_the_verbs_from_end_to_end(signed: Signed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = write_cohort(tmp_path / "new", seed=10, noise=40, kernel="Sharp", manufacturer="Maker D", prefix="c")
    study, baseline = str(signed.folder), str(signed.baseline)
    assert run_cli("impact", study, "--change", "scanner=Maker D", "--json") == 0
    assert json.loads(capsys.readouterr().out)["triggers"][0]["id"] == "scanner_new"
    code = run_cli("revalidate", study, "--baseline", baseline, "--cohort", str(new), "--change", "scanner=Maker D",
                   "--key", signed.key)  # fmt: skip
    out = capsys.readouterr().out
    assert code == 1, out
    assert "hold" in out
    (run,) = signed.folder.glob("changes/*/runs/*")
    assert run_cli("verify", str(run)) == 0
    reader = PdfReader(run / "change/site_report.pdf")
    assert len(reader.pages) == 2
    text = " ".join(page.extract_text() for page in reader.pages)
    assert "hold" in text
    record = json.loads((run / "change/record.json").read_bytes())
    tree = lxml.html.parse(run / "change/site_report.html")
    shown = {node.get("data-id"): node.text_content() for node in tree.iter() if node.get("data-id")}
    value = record["differences"]["E1"]["estimate"]["value"]
    assert abs(float(shown["differences.E1.estimate.value"].replace("\u2212", "-")) - value) < 0.06
    assert not tree.xpath("//a[starts-with(@href, '#rec-')]")
    assert (run / "change/site_report.docx").stat().st_size > 10_000
    # the signed record cannot be changed unseen
    path = run / "change/record.json"
    path.write_bytes(path.read_bytes().replace(b'"use":"hold"', b'"use":"go  "'))
    assert run_cli("verify", str(run)) == 4


def test_plans_are_written_in_three_formats(signed: Signed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("plan", str(signed.folder), "--out", str(tmp_path)) == 0
    capsys.readouterr()
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    expected = {
        f"{name}.{s}" for name in ("change_plan", "monitoring_plan", "follow_up_plan") for s in ("pdf", "docx", "html")
    }
    assert names == expected
    text = " ".join(page.extract_text() for page in PdfReader(tmp_path / "change_plan.pdf").pages)
    for word in ("Traceability", "Impact assessment", "Version history", "Data management", "M2.", "E2"):
        assert word.rstrip(".") in text


def test_a_longer_name_is_another_maker() -> None:
    assert impact(protocol(), parse_changes(["scanner=Maker AB"]))["triggers"][0]["id"] == "scanner_new"
    assert impact(protocol(), parse_changes(["scanner=Maker A"]))["triggers"][0]["id"] == "scanner_same"
