"""Every registered summary: signature, degenerate samples, clusters, and that order of cases does not matter."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from validation.errors import ProtocolProblem
from validation.estimate import Estimate
from validation.registry import Summary, all_summaries, get_summary
from validation.statistics import resampled_summaries, summaries
from validation.statistics.hypotheses import judge
from validation.statistics.sample import Sample

EXTRA: dict[str, dict[str, Any]] = {
    "sensitivity": {"threshold": 0.5},
    "specificity": {"threshold": 0.5},
    "sensitivity_difference": {"threshold": 0.5},
    "specificity_difference": {"threshold": 0.5},
    "proportion": {"threshold": 0.5},
    "paired_proportion_difference": {"threshold": 0.5},
    "ppv": {"threshold": 1.0, "prevalence": 0.1},
    "npv": {"threshold": 1.0, "prevalence": 0.1},
}
# Their components mean something (marks, counts, readers): test_answer_summaries has samples of their own for them.
OWN_SAMPLES = {
    "froc_sensitivity", "wafroc", "component_share", "component_mean", "individual_equivalence", "inside_reader_spread",
}  # fmt: skip
PROBABILITIES = {"brier_score", "calibration_error", "calibration_intercept", "calibration_slope"}
NAMES = ("0.1", "0.2", "0.3", "0.4")
EVERY = [s for s in all_summaries() if s.function.__module__.startswith("validation.statistics.")]
OURS = [s for s in EVERY if s.name not in OWN_SAMPLES]


def call(summary: Summary, sample: Sample, level: float = 0.95) -> Estimate:
    if summary.name in PROBABILITIES:
        values = np.where(np.isfinite(sample.values), expit(sample.values), np.nan)
        sample = replace(sample, values=values)
    found = summary.function(sample, level=level, unit="1", seed=1, **EXTRA.get(summary.name, {}))
    assert isinstance(found, Estimate)
    return found


def make(n: int, per_patient: int = 1, seed: int = 1) -> Sample:
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % 2).astype(float)
    ids = np.array([f"p{i // per_patient:03d}" for i in range(n)], dtype=object)
    common = np.repeat(rng.normal(0, 1, n // per_patient + 1), per_patient)[:n]
    bins = np.exp(rng.normal(0, 0.3, (n, 4)) + 0.2 * truth[:, None])
    return Sample(
        values=np.exp(0.3 * (common + truth + rng.normal(0, 1, n))),
        comparator=np.exp(0.3 * (common + truth + rng.normal(0, 1, n))),
        clusters=ids,
        labels=truth,
        components=bins,
        comparator_components=bins * np.exp(rng.normal(0, 0.2, (n, 4))),
        component_names=NAMES,
    )


def constant(n: int, value: float) -> Sample:
    return Sample(
        values=np.full(n, value), comparator=np.full(n, value), clusters=np.arange(n), labels=np.arange(n) % 2,
        components=np.full((n, 4), value), comparator_components=np.full((n, 4), value), component_names=NAMES,
    )  # fmt: skip


def test_the_registered_names_are_those_endpoints_may_use() -> None:
    assert {s.name for s in OURS} >= {
        "mean", "paired_mean_difference", "mean_ratio", "geometric_mean_ratio", "proportion", "sensitivity",
        "specificity", "paired_proportion_difference", "sensitivity_difference", "specificity_difference", "auc",
        "auc_difference", "hodges_lehmann", "bootstrap_mean", "bootstrap_mean_difference", "quantile", "detectability",
        "detectability_difference", "spectrum_mean", "spectrum_mean_difference",
    }  # fmt: skip


@pytest.mark.parametrize("summary", EVERY, ids=lambda s: s.name)
def test_signature_is_the_contract(summary: Summary) -> None:
    parameters = inspect.signature(summary.function).parameters
    assert list(parameters)[:4] == ["sample", "level", "unit", "seed"]
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters.values())[1:])
    assert summary.reference
    assert summary.summary_line


@pytest.mark.parametrize("summary", OURS, ids=lambda s: s.name)
@pytest.mark.parametrize("per_patient", [1, 4])
def test_ordinary_samples_give_limits_around_the_value(summary: Summary, per_patient: int) -> None:
    sample = make(120, per_patient)
    found = call(summary, sample)
    assert found.value is not None
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower <= found.value <= found.upper
    assert found.n_clusters is not None
    narrower = call(summary, sample, level=0.8)
    assert narrower.lower is not None
    assert narrower.upper is not None
    assert found.lower <= narrower.lower <= narrower.upper <= found.upper
    assert call(summary, sample) == found


@pytest.mark.parametrize("summary", OURS, ids=lambda s: s.name)
@pytest.mark.parametrize(
    "sample",
    [
        make(0), make(1), make(2), make(3), make(6, 6), make(4, 2), constant(1, 0.0), constant(8, 0.0),
        constant(8, 1.0), constant(60, 2.5), constant(8, math.nan), constant(8, math.inf), constant(8, -math.inf),
    ],
    ids=[
        "none", "one", "two", "three", "one patient", "two patients", "one zero", "zeros", "ones", "ties", "missing",
        "infinite", "minus infinite",
    ],
)  # fmt: skip
def test_degenerate_samples_never_give_nan_and_never_pass_silently(summary: Summary, sample: Sample) -> None:
    found = call(summary, sample)
    if found.value is None or found.lower is None or found.upper is None:
        assert found.reason
    if found.lower is not None and found.upper is not None:
        assert found.lower < found.upper


@pytest.mark.parametrize("summary", OURS, ids=lambda s: s.name)
def test_missing_values_are_left_out(summary: Summary) -> None:
    whole = make(80, 2)
    values, components = whole.values.copy(), np.array(whole.components)
    values[3] = math.nan
    components[3] = math.nan
    holed = Sample(
        values=values, comparator=whole.comparator, clusters=whole.clusters, labels=whole.labels, components=components,
        comparator_components=whole.comparator_components, component_names=NAMES,
    )  # fmt: skip
    without = whole.subset(np.arange(80) != 3)
    a, b = call(summary, holed), call(summary, without)
    assert a.n == b.n
    assert a.value == pytest.approx(b.value, rel=1e-12)
    assert a.lower == pytest.approx(b.lower, rel=1e-9)


@pytest.mark.parametrize("summary", [s for s in OURS if s.difference], ids=lambda s: s.name)
def test_identity_model_is_never_superior(summary: Summary) -> None:
    whole = make(80, 2)
    same = Sample(
        values=whole.values, comparator=whole.values, clusters=whole.clusters, labels=whole.labels,
        components=whole.components, comparator_components=whole.components, component_names=NAMES,
    )  # fmt: skip
    for better in ("higher", "lower"):
        _, verdict = judge(lambda level: call(summary, same, level), hypothesis="superiority", better=better)
        assert verdict.outcome.value == "inconclusive"
        assert verdict.p_value is None or verdict.p_value > 0.4


def test_bootstrap_judgement_makes_its_replicates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = resampled_summaries.resampling.mean_bootstrap
    monkeypatch.setattr(
        resampled_summaries.resampling, "mean_bootstrap", lambda *a, **k: made.append(1) or original(*a, **k)
    )
    sample = make(60)
    _, verdict = judge(
        lambda level: summaries.bootstrap_mean(sample, level=level, unit="1", seed=1),
        hypothesis="performance_goal",
        margin=-50.0,
        better="higher",
    )
    assert len(made) == 1
    assert verdict.p_value == pytest.approx(1 / 2001, rel=1e-6)


def test_sensitivity_and_specificity_count_their_own_cases() -> None:
    sample = Sample(values=[0.9, 0.2, 0.7, 0.1, np.nan], labels=[1, 1, 0, 0, 1], clusters=list("abcde"))
    sensitivity = summaries.sensitivity(sample, level=0.95, unit="1", seed=1, threshold=0.5)
    specificity = summaries.specificity(sample, level=0.95, unit="1", seed=1, threshold=0.5)
    assert (sensitivity.value, sensitivity.n, specificity.value, specificity.n) == (0.5, 2, 0.5, 2)
    flipped = summaries.sensitivity(sample, level=0.95, unit="1", seed=1, threshold=0.5, comparison="<")
    assert flipped.value == 0.5


def test_specificity_difference_counts_correct_negatives() -> None:
    sample = Sample(values=[0.1] * 10, comparator=[0.9] * 4 + [0.1] * 6, labels=[0] * 10, clusters=np.arange(10))
    found = summaries.specificity_difference(sample, level=0.95, unit="1", seed=1, threshold=0.5)
    assert found.value == pytest.approx(0.4)


@pytest.mark.parametrize(
    "name", ["mean", "paired_mean_difference", "mean_ratio", "geometric_mean_ratio", "hodges_lehmann", "bootstrap_mean"]
)
def test_an_infinite_value_is_never_taken_for_a_missing_one(name: str) -> None:
    sample = Sample(values=[1.0, 2.0, np.inf, 3.0], comparator=[2.0, 1.0, np.inf, 1.0], clusters=np.arange(4))
    found = get_summary(name).function(sample, level=0.95, unit="1", seed=1)
    assert found.value is None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("proportion", {}),
        ("proportion", {"threshold": 1.0, "comparison": "=="}),
        ("proportion", {"threshold": 1.0, "interval": "wald"}),
        ("specificity_difference", {"threshold": 1.0, "comparison": "=="}),
        ("auc", {"interval": "exact"}),
        ("quantile", {"q": 1.5}),
        ("bootstrap_mean", {"interval": "normal"}),
        ("bootstrap_mean", {"replicates": 0}),
        ("detectability", {"figure": "snr"}),
    ],
)
def test_parameters_that_do_not_fit_are_a_mistake_in_the_protocol(name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ProtocolProblem) as caught:
        get_summary(name).function(make(20), level=0.95, unit="1", seed=1, **parameters)
    assert caught.value.code == "STAT-003"


def test_channel_responses_are_no_spectrum() -> None:
    sample = make(20)
    channels = replace(sample, component_names=("c00", "c01", "c02", "c03"))
    with pytest.raises(ProtocolProblem, match="not a spectrum"):
        summaries.spectrum_mean(channels, level=0.95, unit="1/mm", seed=1)


def test_null_values() -> None:
    assert [summaries.null_value(s.name) for s in OURS if s.name.endswith("ratio")] == [1.0, 1.0]
    assert get_summary("mean").unit == "metric"
