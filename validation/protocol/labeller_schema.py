"""The labeller of texts: which words mean which finding, and how they are negated or put in doubt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from validation.protocol.endpoint_schema import Part

Words = Annotated[list[Annotated[str, Field(min_length=2, pattern=r"\S")]], Field(min_length=1)]


class LabelledFinding(Part):
    """One finding and the words that name it."""

    terms: Words
    """Words or phrases that mean the finding, matched as whole words whatever their case."""
    severity: str = Field(default="", pattern=r"^[a-z_]*$", description="Clinical severity, e.g. `critical`, `minor`.")


class Labeller(Part):
    """A rule-based labeller of reports. It is a measuring instrument: show its own accuracy with the study."""

    findings: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9 _-]{1,40}$")], LabelledFinding] = Field(min_length=1)
    """Findings by name."""
    negation: Words | None = Field(
        default=None, description="Cues before a term that deny it; English ones if omitted."
    )
    ruled_out: Words | None = Field(default=None, description="Cues after a term that deny it.")
    uncertain: Words | None = Field(default=None, description="Cues on either side that put it in doubt.")
