"""How numbers are printed."""

from __future__ import annotations

from typing import Any

import pytest

from validation.dossier.record import Record, anchor_of, tag_of


def _record(value: float, lower: float, upper: float, **hypothesis: Any) -> Record:
    estimate = {"value": value, "lower": lower, "upper": upper, "level": 0.95, "method": "t", "unit": "HU", "n": 3}
    endpoint = {"estimate": estimate, "hypothesis": hypothesis, "summary": "mean", "unit": "HU"}
    return Record({"": {"endpoints": {"E1": endpoint}, "cohort": {"n_listed": 12345}}})


@pytest.mark.parametrize(
    ("estimate", "printed"),
    [
        ((1.2345, 1.1, 1.4), ["1.23", "1.10", "1.40"]),
        ((-12.34, -15.0, -9.7), ["−12.3", "−15.0", "−9.7"]),
        ((1234.0, 1000.0, 1500.0), ["1234", "1000", "1500"]),
        ((5, 4.8, 5.2), ["5.00", "4.80", "5.20"]),  # canonical JSON writes 5.0 as 5
    ],
)
def test_two_digits_of_the_half_width(estimate: tuple[float, float, float], printed: list[str]) -> None:
    record = _record(*estimate, type="descriptive")
    assert [record.printed(f"E1.estimate.{k}") for k in ("value", "lower", "upper")] == printed


@pytest.mark.parametrize("upper", [-4.9996, -5.0004])
def test_limit_is_never_rounded_onto_its_margin(upper: float) -> None:
    record = _record(-8.0, -11.0, upper, type="superiority", margin=-5)
    printed = float(record.printed("E1.estimate.upper").replace("−", "-"))
    assert printed != -5
    assert (printed < -5) == (upper < -5)
    assert record.printed("E1.hypothesis.margin") == "−5"


def test_margin_of_a_ratio_is_set_off_from_one() -> None:
    record = _record(0.95, 0.90004, 1.0, type="non_inferiority", margin=0.1)
    record.results["endpoints"]["E1"]["summary"] = "mean_ratio"
    assert float(record.printed("E1.estimate.lower")) > 0.9


def test_counts_and_levels() -> None:
    record = _record(1.0, 0.5, 1.5, type="descriptive")
    assert record.printed("cohort.n_listed") == "12\u00a0345"
    assert record.printed("E1.estimate.level") == "95\u00a0%"


def test_long_or_odd_ids_keep_distinct_tags_and_anchors() -> None:
    ids = [f"E1.subgroups.manufacturer.Simulated vendor with a long name {i}.estimate.lower" for i in "AB"]
    assert all(len(tag_of(i)) <= 64 for i in ids)
    assert tag_of(ids[0]) != tag_of(ids[1])
    assert anchor_of("a b") != anchor_of("a_b")
    assert anchor_of("a b") != anchor_of("a  b")


def test_p_value_is_never_rounded_onto_alpha() -> None:
    verdict = {"p_value": 0.0251, "alpha": 0.025}
    record = Record({"": {"endpoints": {"E1": {"verdict": verdict}}}})
    assert record.printed("E1.verdict.p_value") == "0.0251"
