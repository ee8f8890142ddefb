"""Great Expectations behind the adapter: the traps of the tool itself are test cases."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from validation.cohort.quality import check_expectation_names, check_quality, stop_on_failure
from validation.errors import DataProblem, ProtocolProblem
from validation.protocol.schema import DataQualityRule

CASES = pd.DataFrame(
    {
        "sex": ["F", "M", None, "F"],
        "age": [30.0, 71, 345, 50],
        "empty": pd.array([None] * 4, dtype="Float64"),
        "mrn": ["SECRET-1", "SECRET-2", "SECRET-2", "SECRET-3"],
    },
    index=pd.Index(list("abcd"), name="case_id"),
)


def rule(
    identifier: str, expect: str, column: str | None = None, severity: str = "stop", **arguments: object
) -> DataQualityRule:
    return DataQualityRule.model_validate(
        {"id": identifier, "expect": expect, "column": column, "severity": severity, "arguments": arguments}
    )


RULES = [
    rule("DQ-9", "expect_column_values_to_be_unique", "mrn"),
    rule("DQ-1", "expect_column_values_to_not_be_null", "sex", "warn"),
    rule("DQ-2", "expect_column_values_to_be_between", "age", min_value=0, max_value=120),
    rule("DQ-3", "expect_column_values_to_not_be_null", "race"),
    rule("DQ-4", "expect_table_row_count_to_be_between", min_value=1),
    rule("DQ-5", "expect_column_values_to_be_in_set", "sex", value_set=["F", "M"]),
    rule("DQ-6", "expect_column_values_to_be_between", "empty", min_value=0),
    rule("DQ-7", "expect_column_values_to_be_between", "sex", min_value=0),
    rule("DQ-8", "expect_column_mean_to_be_between", "age", max_value=60),
    rule("DQ-10", "expect_column_to_exist", "race"),
    rule("DQ-11", "expect_column_values_to_be_unique", "case_id"),
]


def test_outcomes_order_and_no_values(capfd: pytest.CaptureFixture[str]) -> None:
    records = check_quality(CASES, RULES)
    assert list(records) == [r.id for r in RULES]
    outcomes = {i: (r["outcome"], r["n"], r["n_unexpected"]) for i, r in records.items()}
    assert outcomes == {
        "DQ-9": ("fail", 4, 2),
        "DQ-1": ("fail", 4, 1),
        "DQ-2": ("fail", 4, 1),
        "DQ-3": ("error", None, None),
        "DQ-4": ("pass", None, None),
        "DQ-5": ("pass", 4, 0),
        "DQ-6": ("inconclusive", 4, 0),
        "DQ-7": ("error", None, None),
        "DQ-8": ("fail", None, None),
        "DQ-10": ("fail", None, None),
        "DQ-11": ("pass", 4, 0),
    }
    text = json.dumps(records)
    assert "SECRET" not in text
    assert "345" not in text
    assert records["DQ-5"]["detail"] == "met; 1 missing values were not checked"
    assert json.dumps(check_quality(CASES, RULES)) == text
    assert capfd.readouterr() == ("", "")
    with pytest.raises(DataProblem) as caught:
        stop_on_failure(records)
    assert caught.value.code == "COH-073"
    assert "DQ-1 " not in caught.value.what
    assert "DQ-6" in caught.value.what
    stop_on_failure({"DQ-1": records["DQ-1"], "DQ-4": records["DQ-4"]})


def test_unknown_expectation_is_an_error_with_a_suggestion() -> None:
    for check in (lambda r: check_quality(CASES, r), check_expectation_names):
        with pytest.raises(ProtocolProblem) as caught:
            check([rule("DQ-1", "expect_colum_to_exist", "sex")])
        assert caught.value.code == "COH-070"
        assert "expect_column_to_exist" in caught.value.action
        assert caught.value.where == "data_quality DQ-1"


@pytest.mark.parametrize(
    "wrong",
    [
        rule("DQ-1", "expect_column_values_to_not_be_null", "sex", bogus=1),
        rule("DQ-1", "expect_column_values_to_not_be_null"),
        rule("DQ-1", "expect_column_values_to_be_in_set", "sex", value_set=7),
    ],
)
def test_wrong_arguments(wrong: DataQualityRule) -> None:
    with pytest.raises(ProtocolProblem) as caught:
        check_quality(CASES, [wrong])
    assert caught.value.code == "COH-071"


def test_no_rules() -> None:
    assert check_quality(CASES, []) == {}
