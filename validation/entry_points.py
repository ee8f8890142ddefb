"""Python entry points: what ``package.module:name`` names, imported from the user's own installed code."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from validation.errors import ModelProblem


def import_factory(entry_point: str) -> Callable[..., Any]:
    """Return what ``package.module:name`` names, after checking that it can be called."""
    module_name, _, attribute = entry_point.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ModelProblem(
            f"the entry point cannot be imported: {error}.",
            code="MOD-005",
            where=entry_point,
            action="Install the package that holds it in this environment, and check its spelling.",
        ) from None
    if not callable(found):
        raise ModelProblem("the entry point is not a function or class.", code="MOD-005", where=entry_point)
    factory: Callable[..., Any] = found
    return factory
