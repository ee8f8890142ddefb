"""UIDs that depend only on what they stand for."""

from __future__ import annotations

import hashlib
import uuid


def derived_uid(*parts: str) -> str:
    """Return a UID below 2.25 (PS3.5 B.2) that depends only on the parts.

    >>> derived_uid("a", "b") == derived_uid("a", "b") != derived_uid("ab", "")
    True
    """
    return uid_of(hashlib.sha256("\0".join(parts).encode()).digest())


def uid_of(digest: bytes) -> str:
    """Return the UID below 2.25 made of the first 16 bytes of a digest.

    >>> uid_of(bytes(16))
    '2.25.377798542001608471871488'
    """
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
