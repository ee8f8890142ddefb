"""Sections that a record may hold, and text of a person, in HTML and Word."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import docx
import numpy as np
import pandas as pd
import pytest
from docx.oxml.ns import qn
from markupsafe import Markup

from tests.dossier.example_run import write_example_run
from validation.dossier.narratives import Narratives
from validation.dossier.viewmodel import ViewModel
from validation.dossier.word import write_docx
from validation.evidence.events import append_event
from validation.evidence.results import read_results, write_results
from validation.fairness.measures import measures
from validation.fairness.report import fairness_report
from validation.protocol.plan_schemas import FairnessPlan
from validation.reader_study.analysis import analyse
from validation.reader_study.scores import from_frame


def _text(run: Path, document: str = "performance_validation_report") -> tuple[str, str]:
    """Return the HTML of a document and the text of its Word file."""
    view = ViewModel(run)
    html = view.html(document, "internal_validation")
    word = write_docx(
        html, view.gallery, paper="A4", finished=str(view.record.raw("run.finished")), draft=False, notice=""
    )
    return html, "".join(t.text or "" for t in docx.Document(io.BytesIO(word)).element.body.iter(qn("w:t")))


def _with(run: Path, **sections: Any) -> None:
    results = read_results(run)
    write_results(run, {**results, **sections})


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures out: these tests are about words, and drawing takes most of the time."""
    monkeypatch.setattr("validation.dossier.figures.gallery.Gallery.html", lambda *_: Markup(""))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_example_run(tmp_path, patients=12)


def test_fairness(run: Path) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"sex": np.repeat(["F", "M"], 60), "cluster": np.arange(120), "truth": rng.integers(0, 2, 120)}
    )
    frame["called"] = np.where(rng.random(120) < 0.9, frame["truth"], 1 - frame["truth"])
    plan = FairnessPlan(attributes=["sex"], margin=0.05, minimum_clusters=10)
    columns = {name: frame[name].to_numpy(dtype=float) for name in ("truth", "called")}
    given = measures(
        ["sensitivity"], label=columns["truth"], decision=columns["called"], clusters=frame["cluster"].to_numpy()
    )
    report = fairness_report(frame, plan, given)
    _with(run, fairness=report)
    html, word = _text(run)
    assert 'id="fairness"' in html
    assert 'data-id="fairness.gaps.0.estimate.value"' in html
    assert report["worst_group"][next(iter(report["worst_group"]))]["reason"] in word


def test_reader_study(run: Path) -> None:
    rng = np.random.default_rng(5)
    rows = [
        (f"R{r}", f"c{c:02d}", modality, int(c >= 15), float(np.round(rng.normal(1.2 * (c >= 15) + 0.3 * k), 2)))
        for r in range(4)
        for c in range(30)
        for k, modality in enumerate(("input", "output"))
    ]
    table = pd.DataFrame(rows, columns=["reader", "case", "modality", "truth", "score"]).astype(str)
    found = analyse(from_frame(table)).to_dict()
    _with(run, reader_study={**found, "notice": "Scores of model observers, not of people."})
    html, word = _text(run)
    assert 'data-id="reader_study.differences.0.estimate"' in html
    assert "Scores of model observers, not of people." in html
    assert "input less output" in word


def test_shift(run: Path) -> None:
    from validation.estimate import Estimate
    from validation.shift.report import Comparison, Finding, ShiftReport

    effect = Estimate(value=0.4, lower=0.1, upper=0.7, unit="1", method="permutation", n=90, n_clusters=90)
    row = Comparison(
        name="noise_level",
        statistic="standardised_mean_difference",
        effect=effect,
        statistic_value=0.4,
        p_value=0.004,
        p_adjusted=0.008,
        margin=None,
        p_equivalence=None,
        p_equivalence_adjusted=None,
        minimum_detectable=0.42,
        n_baseline=60,
        n_new=30,
        clusters_baseline=60,
        clusters_new=30,
        missing_baseline=0,
        missing_new=0,
        finding=Finding.SHIFTED,
        reason="The interval excludes no difference.",
    )
    _with(run, shift=ShiftReport(variables=(row,), multivariate=()).to_dict())
    html, word = _text(run)
    assert 'data-id="shift.variables.noise_level.effect.value"' in html
    assert "Shifted" in word


def test_without_them_their_sections_are_left_out(run: Path) -> None:
    html, _ = _text(run)
    for section in ("fairness", "shift", "reader_study", "narrative"):
        assert f'id="{section}"' not in html


def test_deviations_of_the_ledger_show_severity_and_impact(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("validation.evidence.events.utc_now", lambda: "2026-11-22T02:08:00Z")
    ledger = run / "ledger.jsonl"
    details = {"what": "One scanner was replaced.", "severity": "major", "impact": "Fewer patients of vendor C."}
    append_event(ledger, actor="Example Signer", action="deviation", reason="It broke down.", details=details)
    html, word = _text(run, "deviation_log")
    for words in ("One scanner was replaced.", "Major", "Fewer patients of vendor C.", "It broke down.", "read twice"):
        assert words in html
        assert words in word


def test_poolability_and_sample_size(run: Path) -> None:
    results = read_results(run)
    first = results["endpoints"]["E1"]
    levels = first["subgroups"]["sex"]
    first["interaction"]["sex"] |= {"between_sd": 1.25, "left_out": {k: v["estimate"] for k, v in levels.items()}}
    first["sample_size"] = {
        "planned_clusters": 48,
        "power": 0.9,
        "required_clusters": 41,
        "planned_power": 0.99998,
        "reason": "",
    }
    write_results(run, results)
    html, word = _text(run)
    assert 'data-id="E1.interaction.sex.left_out.F.value"' in html
    assert 'data-id="E1.interaction.sex.between_sd"' in html
    assert ">\u00a00.999" in word


def test_limitations_have_one_line_for_small_subgroups_of_a_characteristic(run: Path) -> None:
    results = read_results(run)
    small = [
        (e, level)
        for e, endpoint in results["endpoints"].items()
        for level, s in endpoint["subgroups"].get("manufacturer", {}).items()
        if s["status"] == "inconclusive"
    ]
    assert len({e for e, _ in small}) > 1
    html, _ = _text(run, "model_card")
    section = html[html.index('id="limitations"') : html.index('id="record"')]
    assert section.count("Manufacturer: too few patients") == 1
    assert section.count("<li>") < 10
    for endpoint, level in small:
        assert level in section
        assert endpoint in section


def test_open_criteria_and_their_reasons_stand_in_the_box_on_the_first_page(tmp_path: Path) -> None:
    html, _ = _text(write_example_run(tmp_path, patients=12, conclusive=False))
    box = html[html.index('class="proposal"') : html.index('class="verdicts"')]
    assert "Inconclusive, because the data do not settle every criterion" in box
    assert "E2 " in box
    assert "12 independent patients are fewer than the 20" in box


NARRATIVE = """---
artefact: model_card
answers: []
by: "Example Signer"
date: "2026-11-20"
---
# Model card

Trained on *simulated* images. <script>alert(1)</script>

### Known limits

1. Children were not studied.
2. Metal:
   - hips
   - screws

> quoted

| Site | Scanner |
|---|---|
| A | B |

```
seed = 1
```
"""


def test_narrative_is_shown_marked_and_kept_with_the_run(run: Path) -> None:
    folder = run.parent.parent / "narrative"
    folder.mkdir()
    (folder / "model_card.md").write_text(NARRATIVE, encoding="utf-8")
    view = ViewModel(run)
    assert view.narratives.html("model_card") is None  # what is not kept with the run is not shown
    kept = Narratives(run, view.catalogue).keep()
    assert [p.name for p in kept] == ["model_card.md"]
    html, word = _text(run, "model_card")
    assert "<script" not in html
    assert "was written by a person" in html
    for words in ("simulated", "Children were not studied.", "hips", "quoted", "Scanner", "seed = 1"):
        assert words in word
    assert 'id="narrative-open"' in _text(run, "deviation_log")[0]  # nothing is written there


def test_a_closed_run_takes_no_new_text(run: Path) -> None:
    folder = run.parent.parent / "narrative"
    folder.mkdir()
    (folder / "model_card.md").write_text(NARRATIVE, encoding="utf-8")
    (run / "manifest.json").write_text("{}", encoding="utf-8")
    assert Narratives(run, ViewModel(run).catalogue).keep() == []
