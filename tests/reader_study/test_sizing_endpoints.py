"""Power for other figures than the AUC: RJafroc for marks, simulated studies for decisions, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.reader_study.known_answers import OWN, scores_of
from validation.cli.readers import command
from validation.errors import UsageProblem
from validation.reader_study.analysis import analyse
from validation.reader_study.marks import read_marks
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.pilots import pilot_from_marks, pilot_from_scores, rescaled
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores
from validation.reader_study.sizing import Target, power, power_interval


@pytest.mark.shared
def test_power_of_marks_equals_rjafroc_2_1_3(shared: Path) -> None:
    """The factor between effects on AUC and wAFROC comes from a search model fitted there; the rest is computed."""
    folder = shared / "reference/mrmc"
    study = read_marks(folder / "data/froc_rj04_federica_marks.csv", folder / "data/froc_rj04_federica_truth.csv")
    gold = json.loads((folder / "gold/rjafroc_sizing_froc.json").read_text())
    assert gold["meta"]["version"] == "2.1.3"
    theirs = gold["result"]
    factor = {"hr_auc": 1.0, "wafroc": theirs["scaleFactor"]}
    for endpoint, key in (("hr_auc", "powerRoc"), ("wafroc", "powerFroc")):
        pilot = pilot_from_marks(study, AnalysisPlan(endpoint=endpoint), ("1", "2"))  # type: ignore[arg-type]
        target = Target(effect=theirs["effectSizeROC"] * factor[endpoint])
        found = power(pilot, target, readers=5, cases=100).power
        # the package itself allows 5e-3, for the search; given the factor it is a matter of rounding
        assert found == pytest.approx(theirs[key], abs=1e-8)


def decisions(seed: int, readers: int, cases: int, effect: float) -> ReaderScores:
    """Return a study whose readers decide with a sensitivity of 0.7, and ``effect`` more under the first modality."""
    rng = np.random.default_rng(seed)
    positive = np.arange(2 * cases) >= cases
    latent = (
        rng.normal(size=(readers, 2, 2 * cases))
        + rng.normal(size=(1, 1, 2 * cases))
        + rng.normal(scale=0.15, size=(readers, 2, 1))
    )
    latent[:, 0] += effect * positive
    decision = (latent + 0.75 * positive > 0).astype(float)
    names = tuple(f"c{k}" for k in range(2 * cases))
    return ReaderScores(tuple(f"R{r}" for r in range(readers)), ("A", "B"), names, positive, latent, decision)


def test_power_of_sensitivity_is_that_of_simulated_studies() -> None:
    plan = AnalysisPlan(endpoint="sensitivity")
    pilot = pilot_from_scores(decisions(1, 100, 2500, 0.3), None, plan)  # a pilot so large that its variances are known
    effect = pilot.parameters.auc[0] - pilot.parameters.auc[1]
    formula = power(pilot, Target(effect=effect), readers=5, cases=160)
    trials = [analyse(decisions(100 + k, 5, 80, 0.3), plan).differences[0] for k in range(200)]
    rate = np.mean([d["verdict"] == "pass" for d in trials])
    assert rate == pytest.approx(formula.power, abs=0.105)  # 3 standard errors
    by_class = power(pilot, Target(effect=effect), readers=5, negatives=5000, positives=80)
    assert by_class.power == pytest.approx(formula.power, abs=0.01)  # other cases add nothing


def test_specificity_falls_with_the_cases_of_its_class_only() -> None:
    pilot = pilot_from_scores(decisions(2, 6, 60, 0.0), None, AnalysisPlan(endpoint="specificity"))
    np.testing.assert_allclose(rescaled(pilot, 120, 60), rescaled(pilot, 120, 600))
    np.testing.assert_allclose(np.array(rescaled(pilot, 60, 60)) / 2, rescaled(pilot, 120, 60))


def test_the_interval_of_other_endpoints_comes_from_the_few_readers() -> None:
    target = Target(effect=0.1)
    wide = []
    for readers in (4, 40):
        pilot = pilot_from_scores(decisions(3, readers, 60, 0.3), None, AnalysisPlan(endpoint="sensitivity"))
        found = power_interval(pilot, target, readers=6, cases=120)
        assert found.lower <= found.value <= found.upper  # type: ignore[operator]
        wide.append(found.upper - found.lower)  # type: ignore[operator]
    assert wide[0] > wide[1]
    marks = read_marks(OWN / "own_froc_marks.csv", OWN / "own_froc_truth.csv")
    assert (
        power_interval(pilot_from_marks(marks, AnalysisPlan(endpoint="wafroc")), target, readers=6, cases=120).lower
        is not None
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--pilot", "own_ordinal.csv", "--endpoint", "wafroc"],  # no marks
        ["--pilot", "own_froc_marks.csv", "--truth", "own_froc_truth.csv", "--endpoint", "auc"],  # no scores
        ["--pilot", "own_ordinal.csv", "--endpoint", "partial_auc", "--prevalence", "0.2"],  # unknown at that mix
        ["--conjecture", "0.8", "0.1", "--endpoint", "sensitivity"],
        ["--pilot", "own_froc_marks.csv", "--truth", "own_froc_truth.csv", "--modalities", "M1", "M9"],
    ],
)
def test_what_a_pilot_cannot_tell_is_refused(options: list[str]) -> None:
    paths = [str(OWN / o) if o.endswith(".csv") else o for o in options]
    found = CliRunner().invoke(command, ["size", *paths, "--effect", "0.05"])
    assert isinstance(found.exception, UsageProblem)


def test_the_command_sizes_marks_ratings_and_preferences() -> None:
    def record(*options: Any) -> dict[str, Any]:
        arguments = [str(OWN / o) if str(o).endswith(".csv") else str(o) for o in options]
        return json.loads(CliRunner().invoke(command, ["size", *arguments, "--json", "--replicates", "0"]).output)

    marks = record(
        "--pilot", "own_froc_marks.csv", "--truth", "own_froc_truth.csv", "--effect", 0.2, "--max-readers", 4
    )
    assert marks["endpoint"] == "wafroc"
    assert len(marks["trade_off"]) == 2
    likert = record("--pilot", "own_ordinal.csv", "--endpoint", "mean_score", "--effect", 1.5, "--max-readers", 4)
    assert likert["trade_off"][0]["power"] >= 0.8
    size = ("--reader-count", 5, "--cases", 70)
    liked = record("--pilot", "own_ordinal.csv", "--endpoint", "preference", "--effect", 0.1, *size)
    own = analyse(scores_of(OWN / "own_ordinal.csv"), AnalysisPlan(endpoint="preference", effects=Effects.RRRC))
    assert liked["study"]["se"] >= own.differences[0]["se"]  # the same size, but negative components count as 0
