"""The whole way of a comparison: matrix, differences, purposes, record, page, verification, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.comparison.conftest import write_comparison, write_set
from tests.study.small_study import edit
from validation.cli.main import cli
from validation.comparison.conduct import begin, carry_on
from validation.comparison.record import judge_comparison
from validation.errors import DataProblem, ProtocolProblem, UsageProblem
from validation.evidence.events import COHORT_OPENED
from validation.evidence.results import read_results
from validation.study.prepare import amend_study, read_ledger, state
from validation.study.spec import load_study


def test_purposes_say_fit_not_fit_or_not_shown_and_never_best(compared: Path) -> None:
    results = read_results(compared)
    first = {c: found["outcome"] for c, found in results["purposes"]["P1"]["candidates"].items()}
    assert first == {"smooth": "fit", "same": "not shown", "sampler": "fit"}
    assert results["purposes"]["P2"]["candidates"]["smooth"]["outcome"] == "not fit"
    page = (compared / "page" / "comparison_report.html").read_text()
    assert " best" not in page.replace("names no best model", "")
    assert "The sealed holdout stayed closed" in page


def test_the_matrix_holds_every_dimension(compared: Path) -> None:
    matrix = read_results(compared)["matrix"]
    assert {row["dimension"] for row in matrix.values()} == {
        "fidelity", "diversity", "privacy", "interpretability", "compute",
    }  # fmt: skip
    assert set(matrix["latent_used"]["cells"]) == {"smooth"}
    assert matrix["latent_used"]["cells"]["smooth"]["estimate"]["value"] == 1  # the second direction does nothing
    assert matrix["reach_pixels"]["cells"]["same"]["estimate"]["value"] == pytest.approx(2**0.5)
    assert matrix["sampler_E1"]["cells"]["sampler"]["estimate"]["value"] > 0
    assert matrix["sampler_E1"]["cells"]["same"]["estimate"]["value"] is None


def test_intervals_share_the_error_over_the_candidates(compared: Path) -> None:
    results = read_results(compared)
    level = results["matrix"]["E1"]["cells"]["smooth"]["estimate"]["level"]
    assert level == pytest.approx(1 - 2 * 0.025 / 3)
    assert results["matrix"]["E1"]["cells"]["smooth"]["verdict"]["alpha"] == pytest.approx(0.025 / 3)


def test_differences_are_paired_and_adjusted_together(compared: Path) -> None:
    differences = read_results(compared)["differences"]
    assert differences["n_tested"] == 6
    assert differences["simultaneous_level"] == pytest.approx(1 - 0.05 / 6)
    pair = differences["pairs"]["smooth-sampler"]["endpoints"]
    assert pair["E1"]["finding"] == "first"
    assert pair["E2"]["finding"] == "equivalent"  # under 1 HU, the margin stated beforehand
    assert pair["E1"]["p_adjusted"] >= pair["E1"]["p_value"]


def test_stability_shows_every_checkpoint(compared: Path) -> None:
    stability = read_results(compared)["stability"]["E1"]["cells"]
    assert len(stability["smooth"]["by_seed"]) == 3
    assert stability["smooth"]["spread"]["value"] > 0
    assert stability["same"]["spread"]["value"] is None


def test_the_development_set_leaves_the_holdout_closed(compared: Path) -> None:
    study = load_study(compared.parent.parent)
    assert state(study).openings == 0
    entry = read_ledger(study)[-1]
    assert entry.action == "development-set-compared"
    assert entry.details["comparison"] == read_results(compared)["comparison"]["digest"]


def test_verify_computes_every_number_again(compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(args=["verify", str(compared), "--json"], standalone_mode=False)
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert report["recomputed"]
    copy = tmp_path / compared.name
    shutil.copytree(compared, copy)
    readings = copy / "checks" / "compute.json"
    readings.write_bytes(readings.read_bytes().replace(b'"repeats":2', b'"repeats":3'))
    assert cli.main(args=["verify", str(copy), "--json"], standalone_mode=False) == 4


def test_the_holdout_is_opened_knowingly_and_an_interrupted_comparison_is_carried_on(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "toys")
    study = load_study(folder)
    run = begin(study, None, on="holdout", device="cpu", purpose="show it", actor="Test")
    opened = [event for event in read_ledger(study) if event.action == COHORT_OPENED]
    assert len(opened) == 1
    assert opened[0].details["set"] == "holdout"

    def die(_: Path) -> dict[str, object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_on(study, run, die, actor="Test", quiet=True)
    results = carry_on(study, run, judge_comparison, actor="Test", quiet=True)
    assert results["comparison"]["set"] == "holdout"
    assert results["cohort"]["n_cases"] == 24
    assert "sealed holdout: P1" in results["proposal"]["reason"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("{endpoint: E1}, {measure", "{endpoint: E9}, {measure", "CMP-003"),
        ("measure: parameters", "measure: beauty", "CMP-003"),
        ("models/same.ts", "models/none.ts", "CMP-002"),
        ("equivalence: {E2: 1.0}", "equivalence: {E7: 1.0}", "CMP-003"),
    ],
)
def test_what_a_comparison_cannot_mean_is_refused(tmp_path: Path, old: str, new: str, code: str) -> None:
    folder = write_comparison(tmp_path / "toys")
    edit(folder / "comparison.yaml", old, new)
    study = load_study(folder)
    with pytest.raises((UsageProblem, ProtocolProblem)) as caught:
        begin(study, None, on="development", device="cpu", purpose="", actor="Test")
    assert caught.value.code == code
    assert not (folder / "comparisons").exists()


def test_a_development_set_with_patients_of_the_holdout_is_refused(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "toys")
    shutil.rmtree(folder / "development")
    write_set(folder / "development", "patient-", patients=3, seed=1)
    study = load_study(folder)
    with pytest.raises(DataProblem, match="3 patients") as caught:
        begin(study, None, on="development", device="cpu", purpose="", actor="Test")
    assert caught.value.code == "CMP-006"


def test_without_a_development_set_the_holdout_is_not_opened_by_itself(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "toys")
    text = (folder / "comparison.yaml").read_text()
    before, _, rest = text.partition("development:")
    (folder / "comparison.yaml").write_text(before + rest[rest.index("members:") :])
    study = load_study(folder)
    with pytest.raises(UsageProblem, match="no development set"):
        begin(study, None, on="development", device="cpu", purpose="", actor="Test")
    assert state(study).openings == 0


def test_endpoints_on_whole_data_sets_are_refused(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "toys")
    study = load_study(folder)
    further = """
  - id: X1
    role: exploratory
    title: Copies in a table
    metric: {name: exact_copies}
    pick: {component: synthetic_equal_to_train}
    hypothesis: {type: descriptive}
multiplicity:"""
    edit(folder / "protocol.yaml", "\nmultiplicity:", further)
    edit(folder / "protocol.yaml", "version: 1.0.0", "version: 1.1.0")
    amend_study(study, signer="Test", reason="one endpoint more")
    with pytest.raises(ProtocolProblem, match="X1") as caught:
        begin(study, None, on="development", device="cpu", purpose="", actor="Test")
    assert caught.value.code == "CMP-008"


def test_a_package_of_a_comparison_can_be_verified(compared: Path, tmp_path: Path) -> None:
    archive = tmp_path / "comparison.zip"
    assert cli.main(args=["package", str(compared), "--out", str(archive)], standalone_mode=False) in (0, None)
    assert cli.main(args=["verify", str(archive)], standalone_mode=False) == 0
