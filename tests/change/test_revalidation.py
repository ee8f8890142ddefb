"""Revalidation of a small study: what is proposed, why, and on which baseline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.change.changing_study import write_cohort
from tests.change.conftest import Signed
from validation.change import revalidation
from validation.change.recheck import recheck
from validation.change.resumption import is_change, resume_change
from validation.change.revalidation import Request, register, revalidate
from validation.change.triggers import parse_changes
from validation.change.workspace import last_accepted, register_path
from validation.digest import canonical_json, sha256_file
from validation.errors import IntegrityProblem, ProtocolProblem, RunProblem, UsageProblem
from validation.evidence.approvals import approve
from validation.evidence.attestation import close
from validation.evidence.events import EVENTS_FILE, read_events
from validation.evidence.keys import load_signer
from validation.evidence.manifest import MANIFEST_FILE
from validation.study.execute import study_of
from validation.study.prepare import state
from validation.study.reproduce import reproduce
from validation.study.spec import load_study


def request(signed: Signed, change: str, **fields: object) -> Request:
    return Request(changes=parse_changes([change]), baseline=signed.baseline, actor="T", device="cpu", **fields)


def parts(record: dict) -> dict[str, str]:
    return {reason["part"]: reason["effect"] for reason in record["proposal"]["reasons"]}


def test_harmless_software_update_passes(signed: Signed, tmp_path: Path) -> None:
    new = write_cohort(tmp_path / "new", seed=9, software="1.1", prefix="b")
    run, record = revalidate(signed.study, request(signed, "software=1.1", cohort=new))
    assert record["proposal"]["use"] == "continue", record["proposal"]["reasons"]
    assert record["proposal"]["route"] == "labelled"
    assert record["header_drift"]["columns"]["software_version"]["declared"]
    assert all(record["differences"][e]["verdict"]["outcome"] == "pass" for e in ("E1", "E2"))
    # the link: the baseline by the digest of its manifest, in the record and in the event chain
    digest = sha256_file(signed.baseline / MANIFEST_FILE)
    assert record["baseline"]["manifest_sha256"] == digest
    assert read_events(run / EVENTS_FILE)[-1].object_digest == digest
    assert json.loads((run / "change/record.json").read_bytes()) == record
    assert reproduce(run) == []  # the new run is evidence like any other
    assert state(signed.study).openings == 1  # the holdout of the study was not opened


def test_sharper_kernel_of_a_new_maker_is_held_with_reasons(signed: Signed, tmp_path: Path) -> None:
    new = write_cohort(tmp_path / "new", seed=10, noise=40, kernel="Sharp", manufacturer="Maker D", prefix="c")
    _, record = revalidate(signed.study, request(signed, "scanner=Maker D", cohort=new))
    assert record["proposal"]["use"] == "hold"
    assert record["proposal"]["route"] == "new_submission"
    found = parts(record)
    assert {"operating_limits", "impact", "differences", "constancy"} <= {
        p for p, effect in found.items() if effect == "hold"
    }
    assert record["differences"]["E1"]["verdict"]["outcome"] == "fail"
    assert record["constancy"]["C1"]["verdict"]["outcome"] == "fail"
    assert record["endpoints"]["E1"]["verdict"]["outcome"] == "pass"  # and yet it is held: it moved too far
    assert record["shift"]["variables"]["E1, before processing"]["finding"] == "shifted"
    assert any(".bounds.manufacturer" in c["id"] for c in record["clauses_broken"]["M2"])


def test_a_modification_that_covers_the_change_opens_its_route(signed: Signed, tmp_path: Path) -> None:
    new = write_cohort(tmp_path / "new", seed=12, manufacturer="Maker B", prefix="e")
    _, record = revalidate(signed.study, request(signed, "scanner=Maker B", cohort=new))
    assert record["modification"]["id"] == "M2"
    assert record["proposal"]["route"] == "within_change_protocol"
    assert record["proposal"]["use"] == "hold"  # until the label covers it: the operating limits still say no


def test_an_undeclared_change_is_held(signed: Signed, tmp_path: Path) -> None:
    new = write_cohort(tmp_path / "new", seed=13, software="1.1", kernel="Sharp", prefix="f")
    _, record = revalidate(signed.study, request(signed, "software=1.1", cohort=new))
    assert record["proposal"]["use"] == "hold"
    assert not record["header_drift"]["columns"]["kernel"]["declared"]


def test_one_patient_is_inconclusive_and_held(signed: Signed, tmp_path: Path) -> None:
    new = write_cohort(tmp_path / "new", seed=11, patients=1, prefix="d")
    _, record = revalidate(signed.study, request(signed, "scanner=Maker A", cohort=new))
    assert record["proposal"]["use"] == "hold"
    assert record["endpoints"]["E1"]["verdict"]["outcome"] == "inconclusive"
    assert (
        record["differences"]["E1"]["estimate"]["value"] is not None
        or record["differences"]["E1"]["estimate"]["reason"]
    )
    assert record["differences"]["E1"]["verdict"]["outcome"] == "inconclusive"


@pytest.mark.parametrize("name", ["results.json", "cases.parquet", "protocol.lock.yaml"])
def test_a_tampered_baseline_is_refused(signed: Signed, tmp_path: Path, name: str) -> None:
    new = write_cohort(tmp_path / "new", patients=2)
    path = signed.baseline / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityProblem) as caught:
        revalidate(signed.study, request(signed, "software=1.1", cohort=new))
    assert caught.value.code == "CHG-003"
    assert caught.value.exit_code == 4
    assert not (signed.folder / "changes").exists()  # nothing was begun


def test_an_unsigned_or_absent_baseline_is_refused(signed: Signed, tmp_path: Path) -> None:
    new = write_cohort(tmp_path / "new", patients=2)
    with pytest.raises(RunProblem, match="not the folder"):
        revalidate(signed.study, Request(changes=parse_changes(["pacs=v9"]), baseline=new, actor="T", cohort=new))
    for name in ("attestation.dsse.json", "signer.pub.pem"):
        (signed.baseline / name).unlink()
    with pytest.raises(IntegrityProblem) as caught:
        revalidate(signed.study, request(signed, "software=1.1", cohort=new))
    assert caught.value.code == "CHG-003"


def test_other_criteria_are_refused(signed: Signed, tmp_path: Path) -> None:
    from validation.study.prepare import amend_study

    new = write_cohort(tmp_path / "new", patients=2)
    path = signed.folder / "protocol.yaml"
    path.write_text(
        path.read_text().replace("version: 1.0.0\ntitle", "version: 1.1.0\ntitle").replace("margin: 4.0", "margin: 3.0")
    )
    amend_study(signed.study, signer="T", reason="a narrower margin")
    with pytest.raises(ProtocolProblem, match="E2"):
        revalidate(signed.study, request(signed, "software=1.1", cohort=new))


def test_an_amended_change_protocol_alone_keeps_the_baseline(signed: Signed, tmp_path: Path) -> None:
    from validation.study.prepare import amend_study

    new = write_cohort(tmp_path / "new", seed=9, prefix="b")
    path = signed.folder / "protocol.yaml"
    path.write_text(
        path.read_text()
        .replace("version: 1.0.0\ntitle", "version: 1.1.0\ntitle")
        .replace("scope: global", "scope: local")
    )
    amend_study(signed.study, signer="T", reason="sites get their own model")
    _, record = revalidate(signed.study, request(signed, "pacs=v9", cohort=new))
    assert record["proposal"]["use"] == "continue"


def test_a_cohort_without_a_table_and_an_unknown_change(signed: Signed, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageProblem) as caught:
        revalidate(signed.study, request(signed, "software=1.1", cohort=tmp_path / "empty"))
    assert caught.value.code == "CHG-005"
    for text in ("scanner", "weather=rain", "scanner="):
        with pytest.raises(UsageProblem):
            parse_changes([text])


def test_the_last_version_is_the_last_that_a_person_accepted(signed: Signed, tmp_path: Path) -> None:
    new = write_cohort(tmp_path / "new", seed=9, software="1.1", prefix="b")
    run, record = revalidate(signed.study, request(signed, "software=1.1", cohort=new))
    closure = close(run, load_signer(signed.key))
    register(signed.study, run, record, manifest_sha256=closure.manifest_sha256, actor="T")
    assert read_events(register_path(signed.study))[-1].object_digest == closure.manifest_sha256
    assert last_accepted(signed.study) is None  # nobody has decided
    draft = record["run"]["draft"]
    if draft:  # a checkout with uncommitted files makes drafts, which cannot be accepted
        return
    approve(run, load_signer(signed.key), name="A Tester", role="QA", meaning="I approve", decision="accept")
    assert last_accepted(signed.study) == run


def test_an_interrupted_revalidation_is_resumed(
    signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped before a case is measured, then before the comparison: the record is that of an undisturbed one."""
    new = write_cohort(tmp_path / "new", seed=9, software="1.1", prefix="b")
    asked = request(signed, "software=1.1", cohort=new)
    _, undisturbed = revalidate(signed.study, asked)
    for stop in ("carry_on", "_compare"):
        with monkeypatch.context() as patch:
            patch.setattr(revalidation, stop, _interrupt)
            with pytest.raises(KeyboardInterrupt):
                revalidate(signed.study, asked)
        run = max(signed.folder.glob("changes/*/runs/*"), key=lambda path: path.stat().st_mtime_ns)
        assert not (run / "change/record.json").exists()
        made = load_study(study_of(run))
        assert is_change(made)
        record = resume_change(made, run, actor="T", quiet=True)
        assert record == json.loads((run / "change/record.json").read_bytes())
        for part in ("differences", "constancy", "shift", "header_drift", "proposal", "summary", "assessments"):
            assert record[part] == undisturbed[part]
        assert resume_change(made, run, actor="T", quiet=True) == record  # what is written is kept


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_another_baseline_is_refused_on_resuming(
    signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = write_cohort(tmp_path / "new", seed=9, prefix="b")
    with monkeypatch.context() as patch:
        patch.setattr(revalidation, "_compare", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            revalidate(signed.study, request(signed, "software=1.1", cohort=new))
    run = next(signed.folder.glob("changes/*/runs/*"))
    path = run.parents[1] / "request.json"
    path.write_text(path.read_text().replace(sha256_file(signed.baseline / MANIFEST_FILE), "0" * 64))
    with pytest.raises(IntegrityProblem, match="began with"):
        resume_change(load_study(run.parents[1]), run, actor="T", quiet=True)


def test_a_change_record_is_computed_again(signed: Signed, tmp_path: Path) -> None:
    new = write_cohort(tmp_path / "new", seed=9, software="1.1", prefix="b")
    run, record = revalidate(signed.study, request(signed, "software=1.1", cohort=new))
    assert recheck(run) == ([], [])
    path = run / "change/record.json"
    for part, edit in {
        "differences.E1.estimate.value": lambda r: r["differences"]["E1"]["estimate"].update(value=0.0),
        "proposal.reasons": lambda r: r["proposal"]["reasons"].clear(),
        "constancy.C1": lambda r: r["constancy"]["C1"]["verdict"].update(outcome="fail"),
        "E2.estimate.lower": lambda r: r["endpoints"]["E2"]["estimate"].update(lower=-1.0),
    }.items():
        changed = json.loads(json.dumps(record))
        edit(changed)
        path.write_bytes(canonical_json(changed))
        found, _ = recheck(run)
        assert any(part.split(".", 1)[0] in line for line in found), part
    path.write_bytes(canonical_json(record))
    moved = tmp_path / "elsewhere"
    signed.baseline.rename(moved)
    found, notes = recheck(run)
    assert found == []
    assert "not here" in notes[0]
    assert recheck(run, [moved]) == ([], [])
