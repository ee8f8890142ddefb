"""What can go wrong with an archive, each with its code."""

from __future__ import annotations

from validation.errors import DataProblem


class Interrupted(DataProblem):
    """A transfer that may work when it is tried again."""


def unreachable(where: str, why: str) -> Interrupted:
    """Return PACS-001: no connection, or one that broke."""
    return Interrupted(
        f"the archive does not answer, or the connection broke ({why}).",
        code="PACS-001",
        where=where,
        why="What has arrived is whole and kept.",
        action="Check address, network and archive, then give the same command again: it goes on where it stopped.",
    )


def refused_association(where: str, why: str) -> DataProblem:
    """Return PACS-002: an association that the archive does not accept."""
    return DataProblem(
        f"the archive refuses the association: {why}.",
        code="PACS-002",
        where=where,
        why="Archives accept only application entities that they know.",
        action="Check both AE titles, and that the archive lists this machine under the calling title.",
    )


def insecure(where: str, why: str) -> DataProblem:
    """Return PACS-003: TLS that cannot be trusted."""
    return DataProblem(
        f"no trusted TLS connection can be made ({why}).",
        code="PACS-003",
        where=where,
        why="Without it, patients' images could be read or exchanged on the way.",
        action="Name the right `ca`, and `certificate` and `key` where the archive asks for them.",
    )


def forbidden(where: str, status: int) -> DataProblem:
    """Return PACS-004: not signed in, or not allowed."""
    what = "does not know this user" if status == 401 else "does not allow this"
    return DataProblem(
        f"the archive {what} (HTTP {status}).",
        code="PACS-004",
        where=where,
        action="Check the variables that token_env, user_env and password_env name, and the rights of the account.",
    )


def odd_answer(where: str, what: str) -> DataProblem:
    """Return PACS-005: an answer that is none."""
    return DataProblem(
        f"the archive's answer cannot be used: {what}.",
        code="PACS-005",
        where=where,
        why="Guessing what it meant could lose or mix up images.",
        action="Check that the address is that of the service, and ask the vendor of the archive.",
    )


def another(where: str, what: str) -> DataProblem:
    """Return PACS-006: something else than what was asked for."""
    return DataProblem(
        f"the archive sent {what}.",
        code="PACS-006",
        where=where,
        why="Images of another patient could end up in the cohort, so it was not kept.",
        action="Report it to the vendor of the archive.",
    )


def too_large(where: str, limit_mb: float) -> DataProblem:
    """Return PACS-007: an object or answer beyond the limit."""
    return DataProblem(
        f"the archive sends more than {limit_mb:g} MB at once.",
        code="PACS-007",
        where=where,
        why="It would not fit into memory, or never end.",
        action="If the object is really that large, raise `maximum_object_mb` in the settings of the archive.",
    )
