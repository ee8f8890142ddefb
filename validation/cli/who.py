"""The option `--by`: who acts, for the record."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from typing import Any

import click


def _default() -> str:
    """Return $VALIDATION_ACTOR, or the login name; a person's printed name belongs into a signed record."""
    named = os.environ.get("VALIDATION_ACTOR", "").strip()
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this user id
        return "unknown"


def by_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--by NAME`` to a verb."""
    name = click.option("--by", "actor", default=_default, show_default="login name", help="Your name, for the record.")
    return name(function)
