"""Preference between two modalities from the order of two ratings: by hand, by the sign test, and its error."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reader_study.known_answers import OWN, scores_of
from validation.errors import UsageProblem
from validation.reader_study.analysis import analyse
from validation.reader_study.clustered import analyse_clustered
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores

PLAN = AnalysisPlan(endpoint="preference")


def likert(seed: int, readers: int = 5, cases: int = 40, shift: float = 0.0) -> ReaderScores:
    """Return ratings 1 to 5 of image quality; no case is diseased."""
    rng = np.random.default_rng(seed)
    latent = (
        rng.normal(size=(readers, 2, cases)) + rng.normal(size=(1, 2, cases)) * 0.5 + rng.normal(size=(1, 1, cases))
    )
    latent += rng.normal(scale=0.2, size=(readers, 2, 1))
    latent[:, 1] += shift
    ratings = np.digitize(latent, [-1.5, -0.5, 0.5, 1.5]) + 1.0
    names = tuple(f"c{k}" for k in range(cases))
    return ReaderScores(tuple(f"R{r}" for r in range(readers)), ("A", "B"), names, np.zeros(cases, dtype=bool), ratings)


def test_the_difference_is_the_share_of_better_less_that_of_worse_cases() -> None:
    scores = likert(1, readers=1, shift=0.5)
    d = analyse(scores, AnalysisPlan(endpoint="preference", effects=Effects.FRRC)).differences[0]
    sign = np.sign(scores.score[0, 0] - scores.score[0, 1])
    assert d["estimate"] == pytest.approx(sign.mean())
    assert d["se"] ** 2 == pytest.approx(sign.var(ddof=1) / len(sign))


def test_any_rising_scale_gives_the_same_and_other_numbers_of_modalities_are_refused() -> None:
    scores = likert(2, shift=0.4)
    bent = ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, np.exp(scores.score) - 7)
    for method in ("or", "ustat", "dbm"):
        plan = AnalysisPlan(endpoint="preference", method=method)  # type: ignore[arg-type]
        assert analyse(bent, plan).differences == analyse(scores, plan).differences
    three = ReaderScores(scores.readers, ("A", "B", "C"), scores.cases, scores.positive, scores.score[:, [0, 1, 1]])
    with pytest.raises(UsageProblem, match="two modalities"):
        analyse(three, PLAN)


def test_cases_without_both_ratings_play_no_part_and_patients_are_clusters() -> None:
    scores = likert(3, shift=0.4)
    score = scores.score.copy()
    score[:, 1, :8] = np.nan
    cut = ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, score)
    few = ReaderScores(scores.readers, scores.modalities, scores.cases[8:], scores.positive[8:], scores.score[..., 8:])
    ustat = AnalysisPlan(endpoint="preference", method="ustat")
    assert analyse(cut, ustat).differences[0]["estimate"] == analyse(few, ustat).differences[0]["estimate"]
    patients = np.repeat(np.arange(20), 2)
    clustered = analyse_clustered(scores, patients, PLAN).differences[0]
    assert clustered["estimate"] == pytest.approx(analyse(scores, PLAN).differences[0]["estimate"])
    assert clustered["se"] > 0


def test_no_preference_is_claimed_in_five_of_a_hundred_studies() -> None:
    rejected = sum(analyse(likert(1000 + k), PLAN).differences[0]["verdict"] == "pass" for k in range(200))
    assert 10 - 3 * 3.1 < rejected < 10 + 3 * 3.1


def test_ties_everywhere_are_inconclusive() -> None:
    scores = scores_of(OWN / "own_ordinal.csv")
    flat = ReaderScores(scores.readers, scores.modalities, scores.cases, scores.positive, np.ones_like(scores.score))
    d = analyse(flat, PLAN).differences[0]
    assert (d["estimate"], d["verdict"]) == (0.0, "inconclusive")
