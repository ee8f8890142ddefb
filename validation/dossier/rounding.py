"""How a number is printed. One rule for every document, so that a number reads the same wherever it appears.

1. An estimate and its limits share their decimals: two significant digits of the half-width of the interval.
2. All estimates of one endpoint that have its unit share the decimals of its main estimate, so that columns align.
3. A limit is never rounded onto its margin: digits are added until the two differ in print.
4. What the protocol declared (margins, alpha, assumptions, targets) is printed as declared.
5. P-values have three decimals (more where they would be rounded onto alpha), ``< 0.001`` below that; levels are
   percentages; counts are whole.
6. The window of a picture is printed whole. A computed power has three decimals and is never rounded to one. The
   spread between subgroups has the decimals of its endpoint. Any other number has four significant digits.

The minus sign is U+2212; thousands are set apart by a no-break space from five digits on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from validation.dossier.record import Record

MINUS = "\u2212"
_MOST_DECIMALS = 8
_DECLARED = {"margin", "alpha", "target", "power", "assumed_effect", "assumed_sd", "prevalence"}
_P_VALUES = {"p_value", "p_adjusted"}
_REAL = (
    {"level", "shift", "statistic", "share", "planned_power", "between_sd", "estimate", "se"} | _P_VALUES | _DECLARED
)  # canonical JSON writes 1.0 as 1
_PLAIN_INTEGERS = {"seed", "schema"}


def print_number(record: Record, identifier: str, value: int | float) -> str:
    """Return a number of the record as text, after the rules above."""
    key = identifier.rpartition(".")[2]
    source = ":" in identifier
    holder = None if source else record.parent(identifier)
    estimated = isinstance(holder, dict) and is_estimate(holder) and key in {"value", "lower", "upper"}
    if source and key in {"low", "high"}:  # the window of a picture
        return fixed(value, 0)
    if isinstance(value, int) and not estimated and key not in _REAL and ".worst_cases." not in identifier:
        return str(value) if key in _PLAIN_INTEGERS else integer(value)
    if key == "level":
        return f"{declared(round(100 * value, 3))}\u00a0%"  # an error shared out over models has many digits
    if key in _P_VALUES:
        return p_value(value, alpha=holder.get("alpha") if isinstance(holder, dict) else None)
    if source or key in _DECLARED or ".hypothesis." in identifier or ".verdict.margin." in identifier:
        return declared(value)
    if key == "planned_power":
        return p_value(value)
    if key == "between_sd" and (endpoint := record.endpoint_of(identifier)):
        return fixed(value, estimate_decimals(endpoint["estimate"], endpoint))
    if estimated and isinstance(holder, dict):
        return fixed(value, estimate_decimals(holder, record.endpoint_of(identifier)))
    if ".worst_cases." in identifier:
        endpoint = record.endpoint_of(identifier) or {}
        arm = (endpoint.get("arms") or {}).get("output")
        if arm:
            return fixed(value, estimate_decimals(arm, endpoint))
    return significant(value, 4)


def is_estimate(record: dict[str, Any]) -> bool:
    """Tell whether a record is an estimate (see :class:`validation.estimate.Estimate`)."""
    return {"value", "lower", "upper", "level", "method"} <= record.keys()


def estimate_decimals(estimate: dict[str, Any], endpoint: dict[str, Any] | None) -> int:
    """Return the decimals of an estimate, in the light of its endpoint and the endpoint's margin.

    >>> e = {"value": 0.51234, "lower": 0.48, "upper": 0.54, "unit": "1"}
    >>> estimate_decimals(e, None)
    3
    """
    main = (endpoint or {}).get("estimate") or estimate
    decimals = _own_decimals(main if main.get("unit") == estimate.get("unit") else estimate)
    if endpoint is None or main.get("unit") != estimate.get("unit"):
        return decimals
    numbers = [estimate[k] for k in ("value", "lower", "upper") if estimate.get(k) is not None]
    for margin in _margins(endpoint):
        for number in numbers:
            while decimals < _MOST_DECIMALS and number != margin and round(number, decimals) == round(margin, decimals):
                decimals += 1
    return decimals


def _own_decimals(estimate: dict[str, Any]) -> int:
    value, lower, upper = (estimate.get(k) for k in ("value", "lower", "upper"))
    if lower is not None and upper is not None and upper > lower:
        width = (upper - lower) / 2
        return _clamp(1 - math.floor(math.log10(width)))
    size = max((abs(v) for v in (value, lower, upper) if v), default=0.0)
    return _clamp(3 - math.floor(math.log10(size))) if size else 2


def _margins(endpoint: dict[str, Any]) -> list[float]:
    hypothesis = endpoint.get("hypothesis") or {}
    if hypothesis.get("type") in (None, "descriptive"):
        return []
    null = no_difference(endpoint)
    found = [m for m in (hypothesis.get(k) for k in ("margin", "lower", "upper")) if m is not None]
    if not found:
        return [null]
    if hypothesis["type"] in ("non_inferiority", "equivalence"):
        return found + [null + m for m in found] + [null - m for m in found]
    return found


def no_difference(endpoint: dict[str, Any]) -> float:
    """Return the value of an endpoint's estimate that means "no difference": one for a ratio, else zero."""
    from validation.statistics.summaries import null_value

    return null_value(str(endpoint.get("summary", "")))


def _clamp(decimals: int) -> int:
    return max(0, min(_MOST_DECIMALS - 2, decimals))


def fixed(value: float, decimals: int) -> str:
    """Return a number with a fixed number of decimals and a typographic minus; never a negative zero.

    >>> fixed(-0.004, 2), fixed(-1.5, 1)
    ('0.00', '−1.5')
    """
    text = f"{abs(value):.{decimals}f}"
    return (MINUS if value < 0 and float(text) != 0 else "") + _grouped(text)


def significant(value: float, digits: int) -> str:
    r"""Return a number with so many significant digits, in scientific notation only when it is very small or large.

    >>> significant(0.0012345, 3), significant(123456.0, 4)
    ('0.00123', '123\xa0456')
    """
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -5 or exponent > 8:
        mantissa = fixed(value / 10.0**exponent, digits - 1)
        return f"{mantissa}\u00a0×\u00a010^{str(exponent).replace('-', MINUS)}"
    return fixed(value, max(0, digits - 1 - exponent))


def declared(value: float) -> str:
    """Return a number as someone wrote it down: its shortest decimal form.

    >>> declared(-0.05), declared(5.0)
    ('−0.05', '5')
    """
    text = f"{abs(value):.12g}"
    return (MINUS if value < 0 else "") + _grouped(text)


def integer(value: int) -> str:
    """Return a count.

    >>> integer(12), integer(-3)
    ('12', '−3')
    """
    return (MINUS if value < 0 else "") + _grouped(str(abs(value)))


def p_value(value: float, alpha: float | None = None) -> str:
    r"""Return a p-value with three decimals, never rounded to zero or one, nor onto the alpha it is compared with.

    >>> p_value(0.0249), p_value(0.00001), p_value(0.99999)
    ('0.025', '<\xa00.001', '>\xa00.999')
    """
    if value < 0.001:
        return "<\u00a00.001"
    if value > 0.999:
        return ">\u00a00.999"
    decimals = 3
    while alpha is not None and value != alpha and round(value, decimals) == round(alpha, decimals) and decimals < 8:
        decimals += 1
    return f"{value:.{decimals}f}"


def _grouped(text: str) -> str:
    whole, point, rest = text.partition(".")
    if len(whole) < 5 or "e" in text:
        return text
    groups = [whole[max(0, i - 3) : i] for i in range(len(whole), 0, -3)][::-1]
    return "\u00a0".join(groups) + point + rest
