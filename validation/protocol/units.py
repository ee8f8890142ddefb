"""The word for what is counted as independent: patients, phantom scans, records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEFAULT = "patient"


def unit_word(results: Mapping[str, Any], endpoint: Mapping[str, Any] | None = None) -> str:
    """Return the word for one independent unit, of an endpoint if it has its own.

    >>> unit_word({"cohort": {"independent_unit": "patient"}}, {"independent_unit": "phantom scan"})
    'phantom scan'
    """
    own = (endpoint or {}).get("independent_unit")
    return str(own or (results.get("cohort") or {}).get("independent_unit") or _DEFAULT)


def plural(word: str) -> str:
    """Return several of a unit.

    >>> plural("patient"), plural("patient or phantom scan"), plural("body"), plural("series")
    ('patients', 'patients or phantom scans', 'bodies', 'series')
    """
    return " or ".join(_plural(part) for part in word.split(" or "))


def _plural(word: str) -> str:
    if word.endswith("s"):
        return word
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else f"{word}s"
