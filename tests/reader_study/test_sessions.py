"""Reading in two sessions: drift of the scale and memory, in cross-over and blocked layouts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import norm

from validation.cli.readers import command
from validation.errors import UsageProblem
from validation.reader_study.operating import OperatingCharacteristics, StudySize, operating_characteristics
from validation.reader_study.roe_metz import published_structures
from validation.reader_study.sessions import Sessions

MODEL = published_structures()["HL0.75"]
SIZE = StudySize(readers=5, negatives=50, positives=50)


def run(sessions: Sessions | None, **settings: Any) -> OperatingCharacteristics:
    return operating_characteristics(MODEL, SIZE, trials=1000, seed=5, sessions=sessions, **settings)


def test_memory_biases_a_blocked_study_by_what_theory_says_and_not_a_crossover() -> None:
    remembered = Sessions(layout="blocked", memory=0.4, washout_days=0.0)
    spread = np.sqrt(float((MODEL.shared.sum(0) + MODEL.own[0].sum(0)).sum()))
    bias = norm.cdf((0.75 + 0.4) / spread) - norm.cdf(0.75 / spread)
    blocked = run(remembered)
    error = (blocked.empirical_variance / blocked.trials) ** 0.5
    assert blocked.mean_difference == pytest.approx(bias, abs=4 * error)
    assert blocked.true_difference == 0
    assert blocked.success.value > 0.3  # a true null is rejected
    assert blocked.coverage.value < 0.7
    crossover = run(Sessions(memory=0.4, washout_days=0.0, drift=0.5))
    assert abs(crossover.mean_difference) < 4 * error
    assert crossover.success.lower < 0.05 < crossover.success.upper  # type: ignore[operator]
    assert crossover.true_variance is None


def test_a_shift_common_to_a_modality_changes_nothing_and_a_washout_lets_memory_fade() -> None:
    plain = run(None)
    drifted = run(Sessions(layout="blocked", drift=0.7))
    assert drifted.mean_difference == plain.mean_difference
    assert drifted.success == plain.success
    gaps = [abs(run(Sessions(layout="blocked", memory=0.4, washout_days=d)).mean_difference) for d in (0, 14, 56)]
    assert gaps[0] > gaps[1] > gaps[2]


def test_scores_are_shifted_where_they_should_be() -> None:
    sessions = Sessions(memory=1.0, half_life_days=7, washout_days=7)
    positive = np.array([False, False, True, True])
    zero = torch.zeros((1, 1, 2, 4), dtype=torch.float64)
    found = sessions.applied(zero, positive, torch.Generator().manual_seed(1))[0, 0].numpy()
    np.testing.assert_array_equal(found, [[0, 0, 0, 0.5], [0, 0, 0.5, 0]])  # each case once in the second session
    second = Sessions().second(5, 4)
    assert (second.sum(axis=0) == 1).all()
    assert second[0, :5].sum() == 2
    shifted = Sessions(drift=1.0).applied(torch.zeros((400, 3, 2, 4)), positive, torch.Generator().manual_seed(2))
    assert float(shifted.std()) == pytest.approx(1.0, abs=0.05)
    torch.testing.assert_close(shifted[:, :, 0, 0], shifted[:, :, 1, 1])  # both in session 1


def test_the_command_says_what_was_assumed() -> None:
    arguments = ["simulate", "--structure", "HL0.75", "--trials", "200", "--json", "--sessions", "blocked"]
    found = json.loads(CliRunner().invoke(command, [*arguments, "--memory", "0.4"]).output)
    assert found["sessions"]["remembered"] == pytest.approx(0.1)
    assert found["true_variance"] is None
    wrong = CliRunner().invoke(command, [*arguments, "--half-life", "0"]).exception
    assert isinstance(wrong, UsageProblem)
