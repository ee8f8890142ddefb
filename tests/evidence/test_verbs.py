"""The verbs keygen, sign, verify, package and diff: output, exit codes, clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.evidence.conftest import make_run
from validation.cli.main import main
from validation.evidence.attestation import close
from validation.evidence.keys import load_signer

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def _agreeing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny run has no measurements of a real study; whole runs are reproduced in the tests of the study."""
    monkeypatch.setattr("validation.study.reproduce.reproduce", lambda *_: [])


@pytest.mark.usefixtures("_agreeing")
def test_verify_says_intact_on_one_page(call: Call, run: Path, trust: Path) -> None:
    code, out, _ = call("verify", run, "--trust", trust)
    assert code == 0
    assert out.endswith("INTACT\n")
    assert "A. Reviewer, reviewer  [reviewer]" in out
    assert len(out.splitlines()) < 40
    code, out, _ = call("verify", run)
    assert code == 0
    assert "identity not proven" in out
    code, out, _ = call("verify", run, "--json")
    record = json.loads(out)
    assert (code, record["intact"], record["identity_proven"], record["recomputed"]) == (0, True, False, True)


def test_verify_names_a_changed_file_and_ends_with_4(call: Call, run: Path) -> None:
    (run / "measurements" / "part-00000.parquet").write_bytes(b"PAR1")
    code, out, _ = call("verify", run)
    assert code == 4
    assert "WRONG      measurements/part-00000.parquet: changed" in out
    code, out, _ = call("verify", run, "--json")
    assert code == 4
    assert [f["file"] for f in json.loads(out)["findings"]] == ["measurements/part-00000.parquet"]


def test_numbers_that_do_not_follow_from_the_measurements_end_with_4(
    call: Call, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("validation.study.reproduce.reproduce", lambda *_: ["E1.estimate.upper: -2 is not -1"])
    code, out, _ = call("verify", run)
    assert code == 4
    assert "WRONG      results.json: E1.estimate.upper: -2 is not -1 [EVD-080]" in out


def test_a_run_that_cannot_be_recomputed_is_not_intact(call: Call, run: Path) -> None:
    code, out, _ = call("verify", run)  # the tiny run has no real protocol
    assert code == 4
    assert "the results cannot be computed again" in out


@pytest.mark.usefixtures("_agreeing")
def test_unsigned_needs_the_option(call: Call, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    close(run)
    code, out, _ = call("verify", run)
    assert code == 4
    assert "NOT SIGNED" in out
    assert "every estimate and verdict recomputed" in out  # unsigned, but its files can be judged
    code, out, _ = call("verify", run, "--allow-unsigned")
    assert code == 0
    assert "NOT SIGNED" in out


@pytest.fixture
def _no_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a page of nothing into packages: the runs here hold too little to be shown."""
    monkeypatch.setattr("validation.dossier.viewer.run_page", lambda run, *, beside="": b"<!DOCTYPE html>")
    monkeypatch.setattr("validation.cli.package._not_final", lambda *_: [])  # nor any document


@pytest.mark.usefixtures("_agreeing", "_no_viewer")
def test_keygen_sign_package_verify(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VALIDATION_KEY_PASSPHRASE", raising=False)
    code, out, _ = call("keygen", "qa-lead", "--out", tmp_path / "keys", "--json")
    assert code == 0
    key = json.loads(out)
    run = make_run(tmp_path / "run")
    close(run, load_signer(key["private"]))
    words = ("--name", "Q. Lead", "--role", "head of QA", "--meaning", "I approve the report")
    code, out, _ = call("sign", run, "--key", key["private"], *words, "--decision", "accept", "--json")
    assert code == 0
    assert json.loads(out)["key_id"] == key["key_id"]
    code, out, _ = call("package", run, "--out", tmp_path / "run.zip")
    assert code == 0
    code, out, _ = call("verify", tmp_path / "run.zip", "--trust", tmp_path / "keys")
    assert code == 0, out
    assert "Q. Lead, head of QA  [qa-lead]" in out


def test_sign_refuses_what_is_incomplete_or_too_much(call: Call, run: Path, keys: Path, tmp_path: Path) -> None:
    code, _, err = call("sign", run, "--key", keys / "reviewer.pem", "--name", "A", "--role", "r")
    assert code == 2
    assert "--meaning is missing" in err
    code, _, err = call("sign", run, "--attest", "--timestamp-request", tmp_path / "x.tsq")
    assert code == 2
    assert "one thing" in err
    code, _, err = call("sign", run, "--attest", "--key", keys / "runner.pem")
    assert code == 4
    assert "already signed" in err
    code, _, _ = call("sign", run, "--timestamp-request", tmp_path / "x.tsq")
    assert code == 0
    assert (tmp_path / "x.tsq").stat().st_size > 50


@pytest.mark.usefixtures("_no_viewer")
def test_a_draft_is_not_accepted_nor_packaged_as_final(call: Call, tmp_path: Path, keys: Path) -> None:
    run = make_run(tmp_path / "run", draft=True)
    close(run, load_signer(str(keys / "runner.pem")))
    words = ("--name", "A", "--role", "r", "--meaning", "m")
    code, _, err = call("sign", run, "--key", keys / "reviewer.pem", *words, "--decision", "accept")
    assert code == 2
    assert "only 3 cases were asked for" in err
    code, _, err = call("package", run, "--out", tmp_path / "x.zip")
    assert code == 2
    assert "DRAFT" in err


def test_diff_of_runs(call: Call, run: Path, tmp_path: Path) -> None:
    code, out, _ = call("diff", run, run)
    assert (code, out) == (0, "the two runs do not differ\n")
    other = make_run(tmp_path / "other")
    (other / "environment.json").write_text('{"python": "3.12"}')
    code, out, _ = call("diff", run, other)
    assert code == 0
    assert 'environment\n  python: "3.11" -> "3.12"' in out
    code, out, _ = call("diff", run, other, "--json")
    record: dict[str, Any] = json.loads(out)
    assert record["same"] is False
    assert record["environment"] == [{"path": "python", "before": "3.11", "after": "3.12"}]


@pytest.mark.parametrize("verb", ["verify", "diff", "sign", "package", "keygen"])
def test_help_is_there(call: Call, verb: str) -> None:
    code, out, _ = call(verb, "--help")
    assert code == 0
    assert out.startswith("Usage: validation")
