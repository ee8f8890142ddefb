"""Profiles: what a receiver of documents asks of the files, as data with source, date and level of verification."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from validation.data import shipped
from validation.errors import UsageProblem
from validation.protocol.catalogue import Level
from validation.protocol.load import load_yaml_model
from validation.protocol.schema import Pathway

RuleName = Literal[
    "file_name",
    "name_length",
    "file_size_mb",
    "no_encryption",
    "no_attachments",
    "no_javascript",
    "pdf_version",
    "fonts_embedded",
    "text_on_pages",
    "bookmarks",
    "tagged",
    "live_links",
    "status_words",
    "development_words",
    "repealed_citations",
    "forbidden_wording",
]
_LIMITS: dict[str, type | tuple[type, ...]] = {
    "file_name": str,
    "name_length": int,
    "file_size_mb": (int, float),
    "pdf_version": list,
    "bookmarks": int,
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleSource(_Part):
    """Who asks for a limit."""

    document: str
    section: str
    year: int
    status: str


class Rule(_Part):
    """One limit."""

    rule: RuleName
    severity: Literal["stop", "warn"]
    source: RuleSource
    verification: Level
    verified: bool
    limit: int | float | str | list[str] | None = None
    note: str = ""

    @model_validator(mode="after")
    def _limit_fits(self) -> Rule:
        kind = _LIMITS.get(self.rule)
        if kind is None and self.limit is not None:
            raise ValueError(f"{self.rule} takes no limit")
        if kind is not None and not isinstance(self.limit, kind):
            raise ValueError(f"{self.rule} needs a limit of another kind than {self.limit!r}")
        if self.verification == "K" and self.verified:
            raise ValueError(f"{self.rule} is from knowledge (level K), so it cannot be verified")
        if self.rule == "file_name":
            re.compile(str(self.limit))
        return self


class Profile(_Part):
    """All limits of one receiver."""

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    as_of: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    pathways: list[Pathway] = Field(description="Pathways whose documents are looked at by this profile.")
    note: str = ""
    rules: list[Rule] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Profile:
        names = [r.rule for r in self.rules]
        if len(set(names)) != len(names):
            raise ValueError(f"profile {self.id} has a rule twice")
        return self

    def rule(self, name: str) -> Rule | None:
        """Return a rule of the profile, or None if it does not have it."""
        return next((r for r in self.rules if r.rule == name), None)


@cache
def profiles() -> dict[str, Profile]:
    """Return every shipped profile by id."""
    files = sorted(shipped("templates", "catalogue", "profiles").glob("*.yaml"))
    return {profile.id: profile for profile in (load_yaml_model(file, Profile) for file in files)}


def profile(name: str) -> Profile:
    """Return a profile by id.

    Raises
    ------
    UsageProblem
        DOS-031 if there is none of that name.
    """
    if name not in profiles():
        raise UsageProblem(
            f"there is no profile {name!r}.",
            code="DOS-031",
            where="--profile",
            action=f"Choose from {', '.join(profiles())}.",
        )
    return profiles()[name]


def profile_of(pathway: Pathway) -> Profile | None:
    """Return the profile that a pathway's documents are looked at by, if there is one."""
    return next((p for p in profiles().values() if pathway in p.pathways), None)
