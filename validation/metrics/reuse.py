"""Steps that many metrics share are computed once while a block lasts: encoding, neighbours, classifiers.

A metric of whole data sets is evaluated at several levels, and several metrics look at the same tables. Everything
before the interval is the same each time. Inside :func:`reusing` a function marked :func:`reused` gives back what it
gave for the same arguments before; outside nothing is kept. Arguments are compared by value if they are plain, by
identity otherwise, and are kept alive while the block lasts, so that an identity cannot come to mean something else.
Marked functions must be pure, and what they return must not be changed by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_kept: ContextVar[dict[Any, tuple[Any, Any]] | None] = ContextVar("kept", default=None)


@contextmanager
def reusing() -> Iterator[None]:
    """Keep results of marked functions until the block ends; blocks inside a block share its results."""
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def reused(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a pure function whose result is worth keeping.

    >>> calls = []
    >>> double = reused(lambda x: calls.append(x) or 2 * x)
    >>> with reusing():
    ...     double(3), double(3), calls
    (6, 6, [3])
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        store = _kept.get()
        if store is None:
            return function(*args, **kwargs)
        key = (function, tuple(map(_key, args)), tuple((name, _key(kwargs[name])) for name in sorted(kwargs)))
        if key not in store:
            store[key] = ((args, kwargs), function(*args, **kwargs))
        found: R = store[key][1]
        return found

    return wrapper


def _key(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return type(value).__name__, value
    if isinstance(value, tuple):
        return tuple(map(_key, value))
    return "object", id(value)
