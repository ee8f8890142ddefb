"""Data-quality rules of the protocol, checked by Great Expectations over the case table.

Great Expectations drops an expectation it does not know and then reports success, returns results in another order,
gives every run new ids, and copies failing cell values into its results. So types are checked first, counts are
compared afterwards, results are put back into the order of the protocol, and no value is asked for or kept.
"""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from validation.errors import DataProblem, ProtocolProblem
from validation.estimate import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from validation.protocol.schema import DataQualityRule

_REQUIREMENT = "rule"


def check_quality(cases: pd.DataFrame, rules: Sequence[DataQualityRule]) -> dict[str, dict[str, Any]]:
    """Check every rule and return its record; no cell value appears in it.

    Parameters
    ----------
    cases
        Case table; the index ``case_id`` is offered as a column.
    rules
        The protocol's ``data_quality``.

    Returns
    -------
    dict
        ``{rule id: {"expectation", "column", "severity", "outcome", "n", "n_unexpected", "detail"}}`` in the order of
        the protocol. ``outcome`` is ``pass``, ``fail``, ``inconclusive`` when the column has no value, or ``error``
        when the expectation could not be evaluated (a missing column). ``n`` and ``n_unexpected`` are ``None`` for
        expectations over the whole table or column.

    Raises
    ------
    ProtocolProblem
        If an expectation is unknown (COH-070) or its arguments are (COH-071).
    """
    if not rules:
        return {}
    with _quiet():
        suite = [_expectation(rule) for rule in rules]
        results = _run(cases.reset_index(), suite)
    if set(results) != {rule.id for rule in rules}:
        raise DataProblem(
            "Great Expectations did not evaluate every rule.",
            code="COH-072",
            where="data_quality",
            why="A rule that was not evaluated is never a pass.",
            action="Report this; it is a defect.",
        )
    return {rule.id: _record(rule, results[rule.id], cases) for rule in rules}


def stop_on_failure(records: dict[str, dict[str, Any]]) -> None:
    """Raise DataProblem (COH-073) if a rule of severity ``stop`` did not pass."""
    broken = [f"{i} ({r['detail']})" for i, r in records.items() if r["severity"] == "stop" and r["outcome"] != "pass"]
    if broken:
        raise DataProblem(
            f"{len(broken)} data-quality rule(s) are not met: {'; '.join(broken)}.",
            code="COH-073",
            where="case table",
            why="The protocol refuses to evaluate such data.",
            action="Correct the case table, and seal it again.",
        )


def check_expectation_names(rules: Sequence[DataQualityRule]) -> None:
    """Raise ProtocolProblem (COH-070, COH-071) if a rule cannot be built; needs no data."""
    with _quiet():
        for rule in rules:
            _expectation(rule)


def _expectation(rule: DataQualityRule) -> Any:
    import great_expectations.expectations as gxe
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    name = "".join(part.capitalize() for part in rule.expect.split("_"))
    known = list_registered_expectation_implementations()
    kind = getattr(gxe, name, None)
    if rule.expect not in known or kind is None:
        near = get_close_matches(rule.expect, known, n=1)
        raise ProtocolProblem(
            f"there is no expectation {rule.expect!r}.",
            code="COH-070",
            where=f"data_quality {rule.id}",
            why="A rule that is not understood would be skipped and the data called good.",
            action=f"Did you mean {near[0]!r}?" if near else "See the Great Expectations gallery for the names.",
        )
    arguments = {**({"column": rule.column} if rule.column else {}), **rule.arguments}
    try:
        return kind(**arguments, meta={_REQUIREMENT: rule.id})
    except Exception as error:  # pydantic v1 errors, TypeErrors and ValueErrors of the expectation's own checks
        named = [str(e["loc"][0]) for e in getattr(error, "errors", list)() if e.get("loc")]
        names = ", ".join(n for n in named if n != "__root__") or "they contradict each other or are too few"
        raise ProtocolProblem(
            f"expectation {rule.expect!r} does not accept its arguments ({names}).",
            code="COH-071",
            where=f"data_quality {rule.id}",
            why="The rule cannot be evaluated as written.",
            action="Check the names and values under `arguments`, and whether it needs `column`.",
        ) from None


def _run(frame: pd.DataFrame, suite: list[Any]) -> dict[str, Any]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("cohort")
        .add_dataframe_asset("cases")
        .add_batch_definition_whole_dataframe("all")
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name="rules", data=batch, suite=context.suites.add(gx.ExpectationSuite(name="rules", expectations=suite))
        )
    )
    outcome = definition.run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0},
    )
    results: list[Any] = list(outcome.results)
    return {result.expectation_config.meta[_REQUIREMENT]: result for result in results}


def _record(rule: DataQualityRule, result: Any, cases: pd.DataFrame) -> dict[str, Any]:
    facts = result.result or {}
    raised = any(bool(info.get("raised_exception", False)) for info in _exceptions(result.exception_info))
    n, unexpected, blank = (_count(facts, k) for k in ("element_count", "unexpected_count", "missing_count"))
    absent = rule.column is not None and rule.column not in {*cases.columns, "case_id"}
    if absent and rule.expect != "expect_column_to_exist":
        outcome, detail = Outcome.ERROR, f"the case table has no column {rule.column!r}"
    elif raised:
        outcome, detail = Outcome.ERROR, "the expectation could not be evaluated on this column"
    elif result.success and rule.column is not None and not absent and _no_value(rule, cases):
        outcome, detail = Outcome.INCONCLUSIVE, "the column has no value to check"
    elif result.success:
        outcome, detail = Outcome.PASS, f"met; {blank} missing values were not checked" if blank else "met"
    elif unexpected:
        outcome, detail = Outcome.FAIL, f"{unexpected} of {n} values do not meet it"
    else:
        outcome, detail = Outcome.FAIL, "not met"
    return {
        "expectation": rule.expect,
        "column": rule.column,
        "severity": rule.severity,
        "outcome": outcome.value,
        "n": n,
        "n_unexpected": unexpected,
        "detail": detail,
    }


def _count(facts: dict[str, Any], name: str) -> int | None:
    value = facts.get(name)
    return None if value is None else int(value)


def _no_value(rule: DataQualityRule, cases: pd.DataFrame) -> bool:
    """Return whether a column is empty, where the expectation is about its values."""
    about_presence = rule.expect in ("expect_column_to_exist", "expect_column_values_to_be_null")
    return not about_presence and rule.column in cases.columns and bool(cases[rule.column].isna().all())


def _exceptions(info: Any) -> list[dict[str, Any]]:
    """Return the exception records: one mapping, or one per metric id, depending on where evaluation failed."""
    if not isinstance(info, dict):
        return []
    return [info] if "raised_exception" in info else [i for i in info.values() if isinstance(i, dict)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off analytics before the import, and log lines and warnings that would quote values."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logger = logging.getLogger("great_expectations")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its dependencies use deprecated modules; nothing the user can act on
            yield
    finally:
        logger.disabled = before
