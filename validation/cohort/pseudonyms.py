"""Keyed pseudonyms of patients: evidence can be grouped by patient and names nobody.

A pseudonym is an HMAC-SHA256 (RFC 2104, FIPS 198-1) of the identifier under a key that never leaves the study folder.
A plain hash would not do: record numbers are few enough to be tried one by one.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from validation.errors import DataProblem

KEY_FILE = "pseudonym.key"
_KEY_BYTES = 32
_DIGITS = 16


def study_key(study: Path) -> bytes:
    """Return the pseudonym key of a study folder, made on first use (``pseudonym.key``, mode 0600).

    Two first uses at the same time agree on one key.

    Raises
    ------
    DataProblem
        If the file is a link, is not a key, or can be read by other users (COH-040).
    """
    path = study / KEY_FILE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return _read(path)
    # The name exists before the content does, so a second process that starts now finds an empty file and says so.
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        key = secrets.token_bytes(_KEY_BYTES)
        stream.write(key.hex() + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return key


def _read(path: Path) -> bytes:
    def refuse(what: str, action: str) -> DataProblem:
        return DataProblem(
            what,
            code="COH-040",
            where=str(path),
            why="Whoever holds the key can link pseudonyms to patients; another key would give other pseudonyms.",
            action=action,
        )

    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise refuse("the pseudonym key is not a plain file.", "Remove it and restore the key of this study.")
    if status.st_mode & 0o077:
        raise refuse("other users can read or change the pseudonym key.", "Run: chmod 600 on the file.")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (ValueError, OSError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise refuse("the pseudonym key is damaged.", "Restore the key of this study from its backup.")
    return key


def pseudonym(identifier: str, key: bytes) -> str:
    """Return the pseudonym of an identifier: ``P-`` and 64 bits in hexadecimal.

    >>> pseudonym("patient 1", bytes(32))
    'P-734793907d346491'
    """
    return "P-" + hmac.digest(key, identifier.strip().encode(), "sha256").hex()[:_DIGITS]


def pseudonyms(identifiers: Iterable[object], key: bytes) -> list[str]:
    """Return one pseudonym per identifier, in order.

    Raises
    ------
    DataProblem
        If two identifiers share a pseudonym (COH-041): chance 1e-9 for 200,000 patients.
    """
    names = [str(i).strip() for i in identifiers]
    made = {name: pseudonym(name, key) for name in names}
    if len(set(made.values())) < len(made):
        raise DataProblem(
            "two patients share a pseudonym.",
            code="COH-041",
            why="They would be counted as one.",
            action=f"Delete {KEY_FILE} before the first run so that a new key is made.",
        )
    return [made[name] for name in names]
