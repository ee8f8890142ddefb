"""Expressions over case-table columns, such as ``modality == 'CT' and slice_thickness_mm <= 5``.

A protocol is untrusted text, so an expression is parsed into Python's syntax tree and only the nodes listed below are
evaluated, by the functions below: comparisons (chained too), ``and``, ``or``, ``not``, ``in``, ``is None``, arithmetic,
column names and constants. Nothing is ever passed to ``eval``.

Missing values follow three-valued (Kleene) logic: a comparison with a missing cell is neither true nor false, and a
case whose expression stays undecided is not selected (:func:`decide` tells such cases apart).
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from validation.errors import ProtocolProblem

if TYPE_CHECKING:
    import pandas as pd

MAXIMUM_LENGTH = 2000
MAXIMUM_NODES = 200

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_ALLOWED = (
    *_COMPARE,
    *_ARITHMETIC,
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp),
    *(ast.Compare, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple),
)


def column_names(expression: str, where: str) -> tuple[str, ...]:
    """Return the columns that an expression uses, sorted.

    Parameters
    ----------
    expression
        The text.
    where
        Place named in an error, such as ``protocol.yaml:12:3``.

    Raises
    ------
    ProtocolProblem
        If it is not an expression of the permitted kind (PROT-040).

    Examples
    --------
    >>> column_names("modality == 'CT' and 0 < slice_thickness_mm <= 5", "here")
    ('modality', 'slice_thickness_mm')
    """
    tree = _parse(expression, where)
    return tuple(sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}))


def check_columns(expression: str, columns: Iterable[str], where: str) -> None:
    """Raise ProtocolProblem (PROT-041) if the expression uses a column that is not among ``columns``."""
    known = [str(c) for c in columns]
    for name in column_names(expression, where):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise ProtocolProblem(
                f"the expression uses a column {name!r} that the case table does not have.",
                code="PROT-041",
                where=where,
                why="Which cases it selects would be undefined.",
                action=f"Did you mean {near[0]!r}?" if near else "Add the column to the case table.",
            )


def select(frame: pd.DataFrame, expression: str, where: str) -> pd.Series[bool]:
    """Return, per row, whether the expression is true; undecided rows (missing cells) are not selected.

    Raises
    ------
    ProtocolProblem
        As :func:`decide`.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"kvp": [100, 120, None], "kernel": ["B30f", "B50f", "B30f"]})
    >>> select(frame, "kvp <= 110 or kernel in ['B50f']", "here").tolist()
    [True, True, False]
    """
    return decide(frame, expression, where).fillna(False).astype(bool)


def decide(frame: pd.DataFrame, expression: str, where: str) -> pd.Series[Any]:
    """Return, per row, True, False or missing (undecided), as a nullable boolean series.

    Raises
    ------
    ProtocolProblem
        If the expression is not permitted (PROT-040), uses an unknown column (PROT-041), compares text with numbers,
        or is not a yes-or-no question (PROT-042).
    """
    import pandas as pd

    tree = _parse(expression, where)
    check_columns(expression, [str(c) for c in frame.columns], where)
    result = _Evaluator(frame, where).value(tree.body)
    if isinstance(result, bool):
        return pd.Series(result, index=frame.index, dtype="boolean")
    if not isinstance(result, pd.Series) or result.dtype != "boolean":
        raise _wrong("the expression does not answer yes or no.", where)
    return result


def _parse(expression: str, where: str) -> ast.Expression:
    def refuse(what: str) -> ProtocolProblem:
        return ProtocolProblem(
            what,
            code="PROT-040",
            where=where,
            why="Only comparisons of columns and constants can be evaluated safely.",
            action="Write it like: modality == 'CT' and slice_thickness_mm <= 5",
        )

    if len(expression) > MAXIMUM_LENGTH:
        raise refuse(f"the expression is longer than {MAXIMUM_LENGTH} characters.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # about escapes in strings; the text is compared as parsed
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise refuse("this is not an expression that can be read.") from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MAXIMUM_NODES:
        raise refuse("the expression has too many parts.")
    for node in nodes:
        if not isinstance(node, _ALLOWED):
            raise refuse(f"{type(node).__name__} is not allowed in an expression.")
        if isinstance(node, ast.Constant) and not isinstance(node.value, str | int | float | bool | None):
            raise refuse("only text, numbers, True, False and None are allowed as constants.")
        if isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) > 2**53:
            raise refuse("a whole number in the expression is too large.")
    return tree


class _Evaluator:
    """Evaluates a checked tree on the columns of a frame."""

    def __init__(self, frame: pd.DataFrame, where: str) -> None:
        self.frame = frame
        self.where = where

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._column(name)
            case ast.BoolOp(op=op, values=values):
                parts = [self._truth(v) for v in values]
                result = parts[0]
                for part in parts[1:]:
                    result = result & part if isinstance(op, ast.And) else result | part
                return result
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self._truth(operand)
            case ast.UnaryOp(op=op, operand=operand):
                number = self._number(operand)
                return -number if isinstance(op, ast.USub) else number
            case ast.BinOp(left=left, op=op, right=right):
                return self._arithmetic(op, self._number(left), self._number(right))
            case ast.Compare():
                return self._comparison(node)
        raise _wrong("a list may only stand after `in`.", self.where)

    def _column(self, name: str) -> pd.Series[Any]:
        column = self.frame[name].convert_dtypes()
        kind = _kind(column)
        if kind == "number":
            return column.astype("Float64")
        if kind == "other":
            raise _wrong(f"column {name!r} holds neither text, numbers nor yes/no only.", self.where)
        return column

    def _truth(self, node: ast.expr) -> pd.Series[Any]:
        import pandas as pd

        value = self.value(node)
        if isinstance(value, bool):
            return pd.Series(value, index=self.frame.index, dtype="boolean")
        if _kind(value) == "empty":
            return pd.Series(pd.NA, index=self.frame.index, dtype="boolean")
        if not isinstance(value, pd.Series) or value.dtype != "boolean":
            raise _wrong("`and`, `or` and `not` need yes-or-no parts on both sides.", self.where)
        return value

    def _number(self, node: ast.expr) -> Any:
        value = self.value(node)
        if _kind(value) not in ("number", "empty"):
            raise _wrong("arithmetic needs numbers.", self.where)
        return value

    def _arithmetic(self, op: ast.operator, left: Any, right: Any) -> Any:
        import numpy as np
        import pandas as pd

        if _kind(left) == "empty" or _kind(right) == "empty":
            return pd.Series(pd.NA, index=self.frame.index, dtype="Float64")
        try:
            with np.errstate(all="ignore"):
                result = _ARITHMETIC[type(op)](left, right)
        except ZeroDivisionError:
            raise _wrong("the expression divides by zero.", self.where) from None
        if isinstance(result, pd.Series):  # 0/0 and overflow are undecided, not numbers
            values = result.to_numpy(dtype=np.float64, na_value=np.nan)
            result = result.mask(~np.isfinite(values))
        return result

    def _comparison(self, node: ast.Compare) -> Any:
        import pandas as pd

        terms = [node.left, *node.comparators]
        result: Any = pd.Series(True, index=self.frame.index, dtype="boolean")
        for op, left, right in zip(node.ops, terms[:-1], terms[1:], strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                found = self._member(self.value(left), right)
                result = result & (~found if isinstance(op, ast.NotIn) else found)
            elif isinstance(op, ast.Is | ast.IsNot):
                if not (isinstance(right, ast.Constant) and right.value is None):
                    raise _wrong("`is` may only ask `is None` or `is not None`.", self.where)
                missing = self._series(self.value(left)).isna().astype("boolean")
                result = result & (~missing if isinstance(op, ast.IsNot) else missing)
            else:
                result = result & self._compare(_COMPARE[type(op)], self.value(left), self.value(right))
        return result

    def _compare(self, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> pd.Series[Any]:
        import pandas as pd

        kinds = {_kind(left), _kind(right)}
        if "none" in kinds:
            raise _wrong("compare with None by `is None`.", self.where)
        if "empty" in kinds:
            return pd.Series(pd.NA, index=self.frame.index, dtype="boolean")
        if len(kinds) > 1:
            raise _wrong(f"the expression compares {' with '.join(sorted(kinds))}.", self.where)
        if kinds == {"yes/no"} and compare not in (operator.eq, operator.ne):
            raise _wrong("yes/no values have no order.", self.where)
        result = compare(left, right)
        if not isinstance(result, pd.Series):
            return pd.Series(bool(result), index=self.frame.index, dtype="boolean")
        answer: pd.Series[Any] = result.astype("boolean")
        return answer

    def _member(self, left: Any, right: ast.expr) -> Any:
        import pandas as pd

        if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
            raise _wrong("`in` needs a list of constants, such as ['F', 'M'].", self.where)
        found: Any = pd.Series(False, index=self.frame.index, dtype="boolean")
        for element in right.elts:
            if not isinstance(element, ast.Constant):
                raise _wrong("`in` needs a list of constants, such as ['F', 'M'].", self.where)
            found = found | self._compare(operator.eq, left, element.value)
        return found

    def _series(self, value: Any) -> pd.Series[Any]:
        import pandas as pd

        return value if isinstance(value, pd.Series) else pd.Series(value, index=self.frame.index)


def _kind(value: Any) -> str:
    import pandas as pd
    from pandas.api import types

    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes/no"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, pd.Series):
        if value.isna().all():
            return "empty"
        if types.is_bool_dtype(value.dtype):
            return "yes/no"
        if types.is_numeric_dtype(value.dtype):
            return "number"
        if types.is_string_dtype(value.dtype) and all(isinstance(v, str) for v in value.dropna()):
            return "text"
    return "other"


def _wrong(what: str, where: str) -> ProtocolProblem:
    return ProtocolProblem(
        what,
        code="PROT-042",
        where=where,
        why="Which cases it selects would be undefined.",
        action="Compare columns with constants of their own kind, e.g. sex == 'F' and age_years >= 18.",
    )
