"""A new study folder: a protocol and a study file to fill in, made for the type of the claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from validation.data import shipped
from validation.digest import write_atomically
from validation.errors import ProtocolProblem, UsageProblem
from validation.protocol.claims import claim_facts

PLACEHOLDER = "REPLACE"


def begin_study(folder: Path, claim: str) -> list[Path]:
    """Write ``protocol.yaml``, ``study.yaml`` and ``README.md`` into a new or empty folder and return their paths.

    Raises
    ------
    UsageProblem
        If the folder holds any of the files already; nothing is overwritten.
    """
    study_id = folder.resolve().name
    facts = claim_facts(claim)
    environment = jinja2.Environment(  # noqa: S701 - YAML, not HTML; every value comes from the shipped catalogue
        loader=jinja2.FileSystemLoader(shipped("templates", "init")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    metric = facts["expects"][0]["metrics"][0].partition("/")[0]
    values: dict[str, Any] = {"study_id": study_id, "claim": claim, "facts": facts, "metric": metric}
    texts = {
        name: environment.select_template([f"{claim}/{name}.j2", f"{name}.j2"]).render(values)
        for name in ("protocol.yaml", "study.yaml", "README.md")
    }
    for name in texts:
        if (folder / name).exists():
            raise UsageProblem(
                f"{name} exists already.",
                code="RUN-032",
                where=str(folder),
                why="A study that was begun is not overwritten.",
                action="Choose another folder.",
            )
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    (folder / "data").mkdir(exist_ok=True)
    return [folder / name for name in texts]


def placeholders(value: Any, path: str = "") -> list[str]:
    """Return the fields of plain protocol data whose text is still a placeholder.

    >>> placeholders({"title": "REPLACE: title", "id": "x"})
    ['title']
    """
    if isinstance(value, dict):
        return [f for key, item in value.items() for f in placeholders(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list):
        return [f for i, item in enumerate(value) for f in placeholders(item, f"{path}[{i}]")]
    return [path] if isinstance(value, str) and value.startswith(PLACEHOLDER) else []


def refuse_placeholders(value: Any, *, where: str) -> None:
    """Raise ProtocolProblem (PROT-031) if a field still holds placeholder text."""
    left = placeholders(value)
    if left:
        raise ProtocolProblem(
            f"placeholder text is left in: {', '.join(left)}.",
            code="PROT-031",
            where=where,
            why="A locked protocol must say what it means.",
            action="Replace every text that begins with REPLACE.",
        )
