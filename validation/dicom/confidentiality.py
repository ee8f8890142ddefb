"""De-identification profiles as data: the Basic Profile of PS3.15 and the options that a cohort needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from validation.data import shipped
from validation.errors import UsageProblem


class Options(BaseModel):
    """Choices of one profile; see ``templates/dicom/deidentification.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    title: str
    dates: Literal["shift", "remove"]
    patient_characteristics: bool
    descriptors: Literal["clean", "remove"]
    device: Literal["pseudonym", "keep", "remove"]

    def codes(self) -> list[tuple[str, str]]:
        """Return the codes of CID 7050 that say what was done, with their meanings."""
        return [
            ("113100", "Basic Application Confidentiality Profile"),
            *([("113105", "Clean Descriptors Option")] if self.descriptors == "clean" else []),
            *(
                [("113107", "Retain Longitudinal Temporal Information Modified Dates Option")]
                if self.dates == "shift"
                else []
            ),
            *([("113108", "Retain Patient Characteristics Option")] if self.patient_characteristics else []),
            *([("113109", "Retain Device Identity Option")] if self.device == "keep" else []),
        ]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The table of the Basic Profile by attribute (tag -> action code) and the lists that options speak of."""

    edition: str
    actions: dict[int, str]
    characteristics: frozenset[int]
    device: frozenset[int]
    descriptors: frozenset[int]
    words: frozenset[str]
    text_classes: frozenset[str]
    text_modalities: frozenset[str]


@cache
def rules() -> Rules:
    """Return the shipped tables."""
    basic, more = _table("basic_profile.yaml"), _table("deidentification.yaml")
    text = more["pixels_with_text"]
    return Rules(
        edition=str(basic["edition"]),
        actions={_tag(name): action for action, names in basic["actions"].items() for name in names},
        characteristics=frozenset(map(_tag, more["patient_characteristics"])),
        device=frozenset(map(_tag, more["device"])),
        descriptors=frozenset(map(_tag, more["descriptors"])),
        words=frozenset(str(more["words"]).split()),
        text_classes=frozenset(text["classes"]),
        text_modalities=frozenset(text["modalities"]),
    )


def profile(name_or_file: str) -> Options:
    """Return a shipped profile by name, or the one in a YAML file.

    Raises
    ------
    UsageProblem
        PACS-020 if there is no such profile, or the file is not one.
    """
    shipped_profiles: dict[str, Any] = _table("deidentification.yaml")["profiles"]
    if name_or_file in shipped_profiles:
        return Options.model_validate(shipped_profiles[name_or_file])
    path = Path(name_or_file)
    known = ", ".join(sorted(shipped_profiles))
    if not path.is_file():
        raise UsageProblem(
            f"there is no de-identification profile {name_or_file!r}.",
            code="PACS-020",
            where="--profile",
            action=f"Choose from {known}, or name a YAML file.",
        )
    try:
        return Options.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError, TypeError) as problem:
        first = problem.errors()[0] if isinstance(problem, ValidationError) else {"loc": (), "msg": "it is not YAML"}
        key = ".".join(str(part) for part in first["loc"])
        raise UsageProblem(
            f"this file is no de-identification profile: {key + ': ' if key else ''}{first['msg']}.",
            code="PACS-020",
            where=str(path),
            why="A profile that is half understood would let identities through.",
            action="Give the keys title, dates, patient_characteristics, descriptors and device, and no others.",
        ) from None


def _table(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(shipped("templates", "dicom", name).read_text(encoding="utf-8"))
    return data


def _tag(name: str) -> int:
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(name)
    return int(name, 16) if tag is None else int(tag)
