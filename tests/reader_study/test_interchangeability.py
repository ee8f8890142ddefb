"""Individual equivalence index: closed forms, coverage by simulation, patients as clusters, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Outcome
from validation.reader_study.interchangeability import interchangeability
from validation.reader_study.scores import ReaderScores


def readings(
    rng: np.random.Generator, readers: int, cases: int, *, noise: float = 0.4, habit: float = 0.0
) -> ReaderScores:
    """Return readings whose index is ``noise^2 - 0.4^2 + habit^2`` in expectation."""
    truth = rng.normal(size=cases)
    own = rng.normal(scale=0.3, size=(readers, 1, 1))
    changed = own + rng.normal(scale=habit, size=(readers, 1, 1))
    old = own + rng.normal(scale=0.4, size=(readers, 1, cases))
    new = changed + rng.normal(scale=noise, size=(readers, 1, cases))
    names = tuple(f"R{r}" for r in range(readers))
    score = truth + np.concatenate([old, new], axis=1)
    return ReaderScores(names, ("manual", "edited"), tuple(map(str, range(cases))), np.zeros(cases, dtype=bool), score)


def test_the_index_is_what_loops_over_pairs_of_readers_find() -> None:
    scores = readings(np.random.default_rng(4), 3, 12)
    a, b = scores.score[:, 1], scores.score[:, 0]
    between = np.mean([(a[j] - b[k]) ** 2 for j in range(3) for k in range(3) if j != k])
    within = np.mean([(b[j] - b[k]) ** 2 for j in range(3) for k in range(3) if j != k])
    found = interchangeability(scores, new="edited", reference="manual", margin=1.0, replicates=400)
    assert found.between.value == pytest.approx(between, rel=1e-12)
    assert found.within.value == pytest.approx(within, rel=1e-12)
    assert found.index.value == pytest.approx(between - within, rel=1e-9)


def test_categories_count_disagreements() -> None:
    scores = readings(np.random.default_rng(4), 3, 30)
    rounded = ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, np.round(scores.score))
    found = interchangeability(
        rounded, new="edited", reference="manual", margin=0.2, distance="category", replicates=400
    )
    a, b = rounded.score[:, 1], rounded.score[:, 0]
    expected = np.mean([a[j] != b[k] for j in range(3) for k in range(3) if j != k])
    assert found.between.value == pytest.approx(expected, rel=1e-12)
    assert found.index.unit == "1"


def test_intervals_of_fixed_readers_cover() -> None:
    """Readers who keep their habits are the same sample twice, so that only patients vary."""
    rng = np.random.default_rng(11)
    trials, truth, covered = 120, 0.5**2 - 0.4**2, 0
    for _ in range(trials):
        e = interchangeability(
            readings(rng, 4, 60, noise=0.5), new="edited", reference="manual", margin=0.2, readers="fixed",
            replicates=400,
        ).index  # fmt: skip
        assert e.lower is not None
        assert e.upper is not None
        covered += e.lower <= truth <= e.upper
    assert covered / trials > 0.95 - 3 * (0.95 * 0.05 / trials) ** 0.5


@pytest.mark.parametrize(
    ("readers", "noise", "habit"),
    [(4, 0.5, 0.0), (4, 0.5, 0.6), (4, 0.2, 0.4), (8, 0.5, 0.3), (8, 0.4, 1.0)],
)
def test_limits_of_random_readers_cover_when_habits_change(readers: int, noise: float, habit: float) -> None:
    """Too low an upper limit is a wrong pass: no more than 2.5 % and two standard errors, at every change of habits.

    A margin at the truth makes every pass wrong, so that passes must be as rare as upper limits that are too low.
    """
    rng = np.random.default_rng(11)
    trials, truth = 160, noise**2 - 0.4**2 + habit**2
    low = high = passes = 0
    for _ in range(trials):
        scores = readings(rng, readers, 60, noise=noise, habit=habit)
        found = interchangeability(scores, new="edited", reference="manual", margin=truth, replicates=20)
        e = found.index
        assert e.lower is not None
        assert e.upper is not None
        high += e.upper < truth
        low += e.lower > truth
        passes += found.verdict.outcome is Outcome.PASS
    allowed = 0.025 + 2 * (0.025 * 0.975 / trials) ** 0.5
    assert high / trials <= allowed
    assert low / trials <= allowed
    assert passes == high
    assert 1 - (low + high) / trials >= 0.95 - 2 * (0.95 * 0.05 / trials) ** 0.5


@pytest.mark.parametrize("distance", ["absolute", "category"])
def test_other_distances_miss_no_more_often(distance: str) -> None:
    """The truth is the mean over many large studies; scores are rounded so that categories exist."""
    rng = np.random.default_rng(12)

    def study(readers: int, cases: int) -> ReaderScores:
        s = readings(rng, readers, cases, habit=0.6)
        return ReaderScores(s.readers, s.modalities, s.cases, s.positive, np.round(2 * s.score))

    options = {"new": "edited", "reference": "manual", "margin": 0.2, "distance": distance, "replicates": 20}
    large = [interchangeability(study(30, 150), readers="fixed", **options).index.value for _ in range(20)]  # type: ignore[arg-type]
    truth = float(np.mean([v for v in large if v is not None]))
    trials, high = 150, 0
    for _ in range(trials):
        e = interchangeability(study(5, 60), **options).index  # type: ignore[arg-type]
        assert e.upper is not None
        high += e.upper < truth
    assert high / trials <= 0.025 + 2 * (0.025 * 0.975 / trials) ** 0.5


def test_the_upper_limit_follows_its_formula() -> None:
    scores = readings(np.random.default_rng(6), 4, 40, habit=0.5)
    e = interchangeability(scores, new="edited", reference="manual", margin=0.2, replicates=20).index
    assert e.value is not None
    assert e.lower is not None
    assert e.upper is not None
    b, a = scores.score[:, 0], scores.score[:, 1]

    def index(chosen: list[int]) -> np.ndarray:
        pairs = [(j, k) for j in chosen for k in chosen if j != k]
        return np.asarray(np.mean([(a[j] - b[k]) ** 2 - (b[j] - b[k]) ** 2 for j, k in pairs], axis=0))

    patients = index([0, 1, 2, 3]).var(ddof=1) / 40
    without = [index([k for k in range(4) if k != left]).mean() for left in range(4)]
    readers = 3 / 4 * ((np.array(without) - np.mean(without)) ** 2).sum()
    df = (patients + readers) ** 2 / (patients**2 / 39 + readers**2 / 3)
    half = stats.t.ppf(0.975, df) * (patients + readers) ** 0.5
    shift = ((a - b).mean(axis=1) ** 2).mean()
    wider = np.hypot(half, shift * (4 / stats.chi2.ppf(0.025, 4) - 1))
    assert e.lower == pytest.approx(e.value - half, rel=1e-9)
    assert e.upper == pytest.approx(e.value + wider, rel=1e-9)
    assert "conservative" in e.method


def test_new_readers_without_reference_readings_are_a_sample_too() -> None:
    scores = readings(np.random.default_rng(8), 6, 60, habit=0.5)
    apart = scores.score.copy()
    apart[:3, 1] = np.nan
    apart[3:, 0] = np.nan
    other = ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, apart)
    widths = {}
    for mode in ("random", "fixed"):
        e = interchangeability(other, new="edited", reference="manual", margin=0.2, readers=mode, replicates=400).index  # type: ignore[arg-type]
        assert e.lower is not None
        assert e.upper is not None
        widths[mode] = e.upper - e.lower
    assert widths["random"] > 2 * widths["fixed"]


def test_the_verdict_of_fixed_readers_speaks_of_them_only() -> None:
    scores = readings(np.random.default_rng(1), 5, 60)
    said = {
        mode: interchangeability(scores, new="edited", reference="manual", margin=0.2, readers=mode, replicates=100)  # type: ignore[arg-type]
        for mode in ("random", "fixed")
    }
    assert "only of the readers who took part" in said["fixed"].verdict.reason
    assert "only of the readers" not in said["random"].verdict.reason


def test_fixed_readers_understate_what_habits_add() -> None:
    scores = readings(np.random.default_rng(3), 5, 80, habit=0.5)
    widths = {}
    for mode in ("random", "fixed"):
        e = interchangeability(scores, new="edited", reference="manual", margin=0.2, readers=mode, replicates=400).index  # type: ignore[arg-type]
        assert e.lower is not None
        assert e.upper is not None
        widths[mode] = e.upper - e.lower
    assert widths["random"] > 2 * widths["fixed"]


def test_patients_are_drawn_whole() -> None:
    scores = readings(np.random.default_rng(9), 3, 20)
    tiled = ReaderScores(
        scores.readers,
        scores.modalities,
        tuple(map(str, range(80))),
        np.zeros(80, dtype=bool),
        np.tile(scores.score, 4),
    )
    patient = np.tile(np.arange(20), 4)
    options = {"new": "edited", "reference": "manual", "margin": 0.2, "replicates": 400, "readers": "fixed"}
    one = interchangeability(scores, **options).index  # type: ignore[arg-type]
    four = interchangeability(tiled, clusters=patient, **options).index  # type: ignore[arg-type]
    assert four.value == pytest.approx(one.value)
    assert (four.lower, four.upper) == pytest.approx((one.lower, one.upper), rel=1e-9)
    assert (four.n, four.n_clusters) == (80, 20)


def test_verdicts_follow_the_upper_limit() -> None:
    same = readings(np.random.default_rng(1), 5, 100)
    worse = readings(np.random.default_rng(1), 5, 100, noise=1.5)
    options = {"new": "edited", "reference": "manual", "margin": 0.2, "replicates": 400}
    assert interchangeability(same, **options).verdict.outcome is Outcome.PASS  # type: ignore[arg-type]
    assert interchangeability(worse, **options).verdict.outcome is Outcome.FAIL  # type: ignore[arg-type]


def test_a_system_that_reads_alone_is_compared_with_every_reader() -> None:
    scores = readings(np.random.default_rng(7), 4, 50)
    score = np.full((5, 2, 50), np.nan)
    score[:4, 0] = scores.score[:, 0]
    score[4, 1] = scores.score[:, 0].mean(axis=0)
    names = (*scores.readers, "system")
    alone = ReaderScores(names, scores.modalities, scores.cases, scores.positive, score)
    found = interchangeability(alone, new="edited", reference="manual", margin=0.2, replicates=400)
    assert found.index.value is not None
    assert found.index.value < 0  # the mean of readers is nearer to each of them than another reader
    assert found.verdict.outcome is Outcome.PASS


def test_what_cannot_be_estimated_is_said() -> None:
    two = readings(np.random.default_rng(2), 2, 40)
    found = interchangeability(two, new="edited", reference="manual", margin=0.2, replicates=400)
    assert found.index.value is not None
    assert found.index.upper is None
    assert "three or more" in found.index.reason
    assert found.verdict.outcome is Outcome.INCONCLUSIVE
    same = ReaderScores(two.readers, two.modalities, two.cases, two.positive, np.ones_like(two.score))
    flat = interchangeability(same, new="edited", reference="manual", margin=0.2, readers="fixed", replicates=400)
    assert flat.index.value == 0
    assert flat.verdict.outcome is Outcome.INCONCLUSIVE
    one = two.select(readers=["R0"])
    with pytest.raises(DataProblem, match="pairs of different readers"):
        interchangeability(one, new="edited", reference="manual", margin=0.2)
    with pytest.raises(UsageProblem, match="no modality"):
        interchangeability(two, new="other", reference="manual", margin=0.2)
    with pytest.raises(UsageProblem, match="margin"):
        interchangeability(two, new="edited", reference="manual", margin=0.0)
