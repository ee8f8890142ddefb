"""Summaries of scores, marks, counts and readers: independent oracles, edge cases and simulated error."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from validation.errors import DataProblem, ProtocolProblem
from validation.statistics import answer_summaries as s
from validation.statistics.equivalence_index import individual_equivalence, inside_spread
from validation.statistics.free_response import free_response_of, rated_cases, wafroc
from validation.statistics.operating_curves import froc_curve, roc_curve
from validation.statistics.sample import Sample
from validation.statistics.shares import counted_share

GOLD = Path(__file__).resolve().parents[1] / "gold" / "reader_study"


def marks_of(rows: list[dict[str, float]], clusters: list[Any] | None = None) -> Sample:
    names = tuple(sorted({name for row in rows for name in row}))
    table = np.array([[row.get(name, np.nan) for name in names] for row in rows])
    who = list(range(len(rows))) if clusters is None else clusters
    return Sample(
        values=np.full(len(rows), np.nan), clusters=np.array(who), components=table, component_names=names, ragged=True
    )


def own_froc(modality: str, reader: str) -> Sample:
    """Return one reader's marks of the shipped free-response study as a sample of ``mark_ratings``."""
    truth = pd.read_csv(GOLD / "own_froc_truth.csv", dtype=str)
    marks = pd.read_csv(GOLD / "own_froc_marks.csv", dtype=str)
    marks = marks[(marks["modality"] == modality) & (marks["reader"] == reader)]
    rows, names = [], []
    for case, lesions in truth.groupby("case"):
        keys = lesions["lesion_id"].dropna().tolist()
        own = marks[marks["case"] == case]
        false = own.loc[own["mark_type"] == "NL", "score"].astype(float).tolist()
        row = {"lesions": float(len(keys)), "false marks": float(len(false))}
        for _, mark in own[own["mark_type"] == "LL"].iterrows():
            name = f"lesion {keys.index(mark['lesion_id']) + 1:03d}"
            row[name] = max(row.get(name, -math.inf), float(mark["score"]))
        row |= {f"false {k:03d}": value for k, value in enumerate(false, start=1)}
        rows.append(row)
        names.append(case)
    return marks_of(rows, names)


def test_wafroc_is_the_mean_over_pairs_by_definition() -> None:
    rng = np.random.default_rng(3)
    rows = []
    for k in range(40):
        lesions = int(rng.integers(1, 4)) if k % 2 else 0
        row = {"lesions": float(lesions)}
        row |= {f"lesion {i + 1:03d}": float(rng.integers(1, 6)) for i in range(lesions) if rng.random() < 0.7}
        row |= {f"false {i + 1:03d}": float(rng.integers(0, 5)) for i in range(int(rng.integers(0, 3)))}
        rows.append(row)
    total, pairs = 0.0, 0
    for healthy in (r for r in rows if r["lesions"] == 0):
        highest = max((v for name, v in healthy.items() if name.startswith("false ")), default=-math.inf)
        for sick in (r for r in rows if r["lesions"] > 0):
            pairs += 1
            for i in range(int(sick["lesions"])):
                rating = sick.get(f"lesion {i + 1:03d}", -math.inf)
                total += ((rating > highest) + 0.5 * (rating == highest)) / sick["lesions"]
    found = wafroc(rated_cases(marks_of(rows)))
    assert found.value == pytest.approx(total / pairs, abs=1e-12)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < found.value < found.upper
    assert found.n_events == 20


def test_variance_of_wafroc_is_close_to_the_jackknife_over_patients() -> None:
    rng = np.random.default_rng(8)
    rows = []
    for k in range(120):
        row = {"lesions": float(k % 3)}
        row |= {f"lesion {i + 1:03d}": float(rng.normal(1)) for i in range(k % 3) if rng.random() < 0.8}
        row |= {f"false {i + 1:03d}": float(rng.normal()) for i in range(int(rng.integers(0, 3)))}
        rows.append(row)
    patients = [k // 2 for k in range(120)]
    sample = marks_of(rows, patients)
    whole = wafroc(rated_cases(sample))
    without = []
    for patient in range(60):
        part = wafroc(rated_cases(sample.subset(sample.clusters != patient)))
        assert part.value is not None
        without.append(part.value)
    error = math.sqrt(59 / 60 * ((np.array(without) - np.mean(without)) ** 2).sum())
    assert whole.lower is not None
    assert whole.upper is not None
    assert whole.value is not None
    logit = [math.log(x / (1 - x)) for x in (whole.lower, whole.upper)]
    from scipy import stats

    width = (logit[1] - logit[0]) / 2 / stats.t.isf(0.025, 39) * whole.value * (1 - whole.value)
    assert width == pytest.approx(error, rel=0.06)


def test_wafroc_edges() -> None:
    perfect = [{"lesions": 1.0, "lesion 001": 9.0} for _ in range(10)] + [{"lesions": 0.0} for _ in range(10)]
    found = wafroc(rated_cases(marks_of(perfect)))
    assert (found.value, found.upper) == (1.0, 1.0)
    assert found.lower is not None
    assert found.lower < 0.9
    nothing = [{"lesions": 1.0} for _ in range(10)] + [{"lesions": 0.0} for _ in range(10)]
    assert wafroc(rated_cases(marks_of(nothing))).value == 0.5  # no mark anywhere: every comparison is a tie
    assert wafroc(rated_cases(marks_of([{"lesions": 1.0}, {"lesions": 0.0}]))).value is None


def test_froc_counts_missed_lesions_and_sizes() -> None:
    rows = [
        {"lesions": 2.0, "lesion 001": 0.9, "size 001": 2.0, "size 002": 0.1, "false 001": 0.95},
        {"lesions": 1.0, "lesion 001": 0.5, "size 001": 0.1},
        {"lesions": 0.0, "false 001": 0.6},
        {"lesions": 0.0},
    ]
    sample = marks_of(rows)

    def at(rate: float, **sizes: float) -> float | None:
        return s.froc_sensitivity(sample, level=0.95, unit="1", seed=1, rates=[rate], replicates=200, **sizes).value

    assert at(0.2) == 0
    assert at(0.25) == pytest.approx(1 / 3)  # one false mark on four images ranks above the best lesion
    assert at(0.5) == pytest.approx(2 / 3)  # the missed lesion stays in the denominator
    assert at(5.0) == pytest.approx(2 / 3)
    assert at(0.5, largest_ml=1.0) == pytest.approx(1 / 2)
    assert at(0.5, smallest_ml=1.0) == 1.0
    curve = froc_curve(free_response_of(rated_cases(sample)))
    assert [(p.x, round(p.value, 3)) for p in curve][-1] == (0.5, 0.667)
    assert s.froc_sensitivity(marks_of(rows[2:]), level=0.95, unit="1", seed=1).value is None


def test_wafroc_of_the_shipped_study_agrees_with_rjafroc() -> None:
    gold = json.loads((GOLD / "rjafroc_own_froc.json").read_text())
    foms = next(r for r in gold["results"] if r["FOM"] == "wAFROC")["result"]["FOMs"]["foms"]
    for modality, row in enumerate(foms, start=1):
        for reader, value in enumerate(row, start=1):
            found = wafroc(rated_cases(own_froc(str(modality), str(reader)))).value
            assert found == pytest.approx(value, abs=1e-12)


def test_shares_of_counts() -> None:
    found = counted_share([0, 0, 0], [2, 0, 1], clusters=["a", "b", "c"])
    assert (found.value, found.lower, found.n) == (0.0, 0.0, 3)
    assert found.upper is not None
    assert found.upper > 0.5  # three things of two patients say little
    assert counted_share([0, 0], [0, 0], clusters=["a", "b"]).value is None
    with pytest.raises(DataProblem):
        counted_share([2], [1], clusters=["a"])


def test_interval_of_shares_covers_with_clustered_patients() -> None:
    rng = np.random.default_rng(5)
    hits, runs = 0, 400
    for _ in range(runs):
        p = rng.beta(3, 7, 60)
        n = rng.integers(0, 6, 60)
        found = counted_share(rng.binomial(n, p), n, clusters=np.arange(60))
        assert found.lower is not None
        assert found.upper is not None
        hits += found.lower <= 0.3 <= found.upper
    assert 0.92 <= hits / runs <= 0.985


def readers(n: int, rng: np.random.Generator, *, shift: float = 0.0, missing: float = 0.0) -> Sample:
    """Simulate a proposal and four readers who mark an amount; disagreement is the absolute difference."""
    names = ["model", "A", "B", "C", "D"]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    value = rng.normal(size=(n, 5)) + np.array([shift, 0, 0, 0, 0])
    value[:, 1:][rng.random((n, 4)) < missing] = np.nan
    table = np.stack([np.abs(value[:, names.index(a)] - value[:, names.index(b)]) for a, b in pairs], axis=1)
    return Sample(
        values=np.full(n, np.nan), clusters=np.arange(n), components=table,
        component_names=tuple(f"{a}~{b}" for a, b in pairs), ragged=True,
    )  # fmt: skip


def test_a_fifth_reader_is_equivalent_and_a_shifted_proposal_is_not() -> None:
    rng = np.random.default_rng(2)
    for kind in ("nested", "fixed", "crossed"):
        same = individual_equivalence(readers(300, rng), readers=kind, level=0.95)
        other = individual_equivalence(readers(300, rng, shift=1.5), readers=kind, level=0.95)
        assert same.value is not None
        assert other.lower is not None
        assert abs(same.value) < 0.15
        assert other.lower > 0.2
    inside = inside_spread(readers(2000, rng), level=0.95)
    assert inside.lower is not None
    assert inside.upper is not None
    assert inside.lower < 0.86
    assert inside.upper > 0.74


@pytest.mark.parametrize("kind", ["nested", "crossed"])
def test_error_of_claiming_equivalence_at_the_margin(kind: Any) -> None:
    rng = np.random.default_rng(11)
    margin = 0.3383  # the true index of a shift of 1: E|N(1, 2)| - E|N(0, 2)| for differences of unit normals
    truth = math.sqrt(2) * (math.sqrt(2 / math.pi) * math.exp(-0.25)) + math.erf(0.5) - 2 / math.sqrt(math.pi)
    margin = truth
    wrong = 0
    for _ in range(400):
        found = individual_equivalence(readers(40, rng, shift=1.0, missing=0.1), readers=kind, level=0.95)
        assert found.upper is not None
        wrong += found.upper < margin
    assert wrong / 400 <= 0.045  # 0.025 within simulation error


def test_what_readers_cannot_tell() -> None:
    rng = np.random.default_rng(4)
    sample = readers(20, rng)
    two = [k for k, n in enumerate(sample.component_names) if set(n.split("~")) <= {"model", "A", "B"}]
    assert sample.components is not None
    few = Sample(
        values=sample.values, clusters=sample.clusters, components=sample.components[:, two],
        component_names=tuple(sample.component_names[k] for k in two), ragged=True,
    )  # fmt: skip
    assert individual_equivalence(few, readers="crossed", level=0.95).lower is None
    assert inside_spread(few, level=0.95).value is None
    with pytest.raises(DataProblem):
        individual_equivalence(marks_of([{"lesions": 1.0}]), readers="nested", level=0.95)


def test_predictive_values_follow_bayes_and_prevalence() -> None:
    values = np.r_[np.repeat(1.0, 90), np.repeat(0.0, 10), np.repeat(1.0, 20), np.repeat(0.0, 80)]
    sample = Sample(values=values, clusters=np.arange(200), labels=np.r_[np.ones(100), np.zeros(100)])
    ppv = s.ppv(sample, level=0.95, unit="1", seed=1, threshold=0.5, prevalence=0.1)
    npv = s.npv(sample, level=0.95, unit="1", seed=1, threshold=0.5, prevalence=0.1)
    assert ppv.value == pytest.approx(0.09 / (0.09 + 0.18))
    assert npv.value == pytest.approx(0.72 / (0.72 + 0.01))
    for bad in ({"prevalence": 0.0}, {"prevalence": 1.0}, {"prevalence": 0.1, "prevalences": [2]}):
        with pytest.raises(ProtocolProblem):
            s.ppv(sample, level=0.95, unit="1", seed=1, threshold=0.5, **bad)


def test_roc_curve_area_is_the_auc() -> None:
    from validation.statistics.roc import auc

    rng = np.random.default_rng(1)
    labels = (rng.random(150) < 0.4).astype(float)
    values = np.round(rng.normal(labels), 1)  # with ties
    curve = roc_curve(values, labels)
    area = sum((b.x - a.x) * (a.value + b.value) / 2 for a, b in itertools.pairwise(curve))
    assert area == pytest.approx(auc(values, labels).value or 0, abs=1e-12)


def test_a_patient_with_an_unknown_case_is_unknown() -> None:
    sample = Sample(values=[0.1, np.nan, 0.9], clusters=["a", "a", "b"], labels=[0, 1, 1]).by_cluster()
    assert np.isnan(sample.values[0])
    assert sample.values[1] == 0.9
