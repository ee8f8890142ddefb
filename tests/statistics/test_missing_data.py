"""Worst case and tipping point."""

from __future__ import annotations

import numpy as np
import pytest

from validation.estimate import Outcome
from validation.registry import get_summary
from validation.statistics import summaries
from validation.statistics.hypotheses import judge
from validation.statistics.missing_data import tipping_point, worst_case
from validation.statistics.sample import Sample

NAN = np.nan


def paired(values: list[float], comparator: list[float]) -> Sample:
    return Sample(values=values, comparator=comparator, clusters=np.arange(len(values)))


def test_missing_differences_become_the_worst_seen() -> None:
    sample = paired([1.0, 5.0, NAN, NAN], [2.0, 3.0, 10.0, NAN])
    found = worst_case(sample, "paired_mean_difference", "lower")
    assert found is not None
    assert found.comparator is not None
    np.testing.assert_allclose(found.values - found.comparator, [-1.0, 2.0, 2.0, 2.0])
    better = worst_case(sample, "paired_mean_difference", "higher")
    assert better is not None
    assert better.values[2] == 9.0


def test_missing_ratios_values_events_and_scores() -> None:
    ratio = worst_case(paired([1.0, 3.0, NAN], [2.0, 2.0, 4.0]), "mean_ratio", "lower")
    assert ratio is not None
    assert ratio.values[2] == 6.0
    single = worst_case(Sample(values=[1.0, 4.0, NAN], clusters=[1, 2, 3]), "mean", "higher")
    assert single is not None
    assert single.values[2] == 1.0
    events = worst_case(Sample(values=[1.0, 1.0, NAN], clusters=[1, 2, 3]), "proportion", "higher")
    assert events is not None
    assert events.values[2] == 0.0  # not the worst seen, which was an event
    above = worst_case(
        Sample(values=[30.0, 40.0, NAN], clusters=[1, 2, 3]),
        "proportion",
        "higher",
        {"threshold": 20, "comparison": "<"},
    )
    assert above is not None
    assert above.values[2] == np.inf
    scores = worst_case(Sample(values=[0.1, NAN, NAN], labels=[0, 1, 0], clusters=[1, 2, 3]), "auc", "higher")
    assert scores is not None
    assert scores.values.tolist() == [0.1, -np.inf, np.inf]
    hits = worst_case(
        Sample(values=[0.1, NAN], labels=[0, 0], clusters=[1, 2]), "specificity", "higher", {"threshold": 0.5}
    )
    assert hits is not None
    assert hits.values[1] == np.inf


def test_worst_case_never_improves_the_estimate() -> None:
    rng = np.random.default_rng(2)
    for name, extra in (("paired_mean_difference", {}), ("auc_difference", {}), ("sensitivity", {"threshold": 0.4})):
        truth = np.tile([0, 1], 20)
        values, other = rng.normal(0, 1, 40) + truth, rng.normal(0, 1, 40)
        values[::7] = NAN
        sample = Sample(values=values, comparator=other, labels=truth, clusters=np.arange(40))
        filled = worst_case(sample, name, "higher", extra)
        assert filled is not None
        function = get_summary(name).function
        before, after = (function(s, level=0.95, unit="1", seed=1, **extra) for s in (sample, filled))
        assert after.value <= before.value
        assert after.n >= before.n


def test_nothing_to_fill() -> None:
    assert worst_case(paired([1.0, 2.0], [1.0, 1.0]), "paired_mean_difference", "lower") is None
    assert worst_case(paired([NAN, NAN], [1.0, 1.0]), "paired_mean_difference", "lower") is None
    assert worst_case(paired([NAN, 1.0], [1.0, 1.0]), "detectability_difference", "higher") is None


def passes(sample: Sample) -> bool:
    _, verdict = judge(
        lambda level: summaries.paired_mean_difference(sample, level=level, unit="HU", seed=1),
        hypothesis="superiority",
        better="lower",
    )
    return verdict.outcome is Outcome.PASS


def test_tipping_point_is_where_the_verdict_turns() -> None:
    rng = np.random.default_rng(4)
    comparator = rng.normal(20, 3, 40)
    values = comparator - 1.5 + rng.normal(0, 1, 40)
    values[:3] = NAN
    sample = paired(values.tolist(), comparator.tolist())
    found = tipping_point(passes, sample, "lower", paired=True, seed=1)
    assert found.shift is not None
    assert 3 < found.shift < 30
    assert found == tipping_point(passes, sample, "lower", paired=True, seed=1)
    assert "3 missing cases" in found.reason


def test_tipping_points_that_do_not_exist() -> None:
    complete = paired([1.0, 1.1, 0.9, 1.0], [3.0, 3.2, 3.3, 3.1])
    assert tipping_point(passes, complete, "lower", paired=True, seed=1).reason == "no value is missing"
    nothing = paired([NAN, NAN], [1.0, 1.0])
    assert tipping_point(passes, nothing, "lower", paired=True, seed=1).shift is None
    failing = paired([3.0, 3.1, 2.9, NAN], [3.0, 3.0, 3.0, 3.0])
    assert tipping_point(passes, failing, "lower", paired=True, seed=1).shift == 0.0
    unmoved = tipping_point(lambda s: True, paired([1.0, 2.0, NAN], [0.0, 0.0, 0.0]), "lower", paired=True, seed=1)
    assert unmoved.shift is None
    assert "however bad" in unmoved.reason


def test_scores_worsen_in_the_direction_of_their_truth() -> None:
    seen = []

    def criterion(sample: Sample) -> bool:
        seen.append(sample.values.copy())
        return len(seen) < 3

    sample = Sample(values=[0.0, 1.0, NAN, NAN], labels=[0, 1, 0, 1], clusters=[1, 2, 3, 4])
    tipping_point(criterion, sample, "higher", paired=False, seed=1, scores=True)
    moved = seen[1] - seen[0]
    assert moved[2] > 0 > moved[3]
    assert pytest.approx(0.0) == moved[0]
