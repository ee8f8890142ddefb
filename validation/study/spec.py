"""``study.yaml``: what binds a protocol to a model and a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from validation.cohort.datasets import DataSpec
from validation.cohort.spec import CohortSpec
from validation.errors import UsageProblem
from validation.models.sampler_spec import SamplerSpec
from validation.models.spec import ModelSpec
from validation.protocol.endpoint_schema import Identifier
from validation.protocol.load import load_yaml_model

FILE = "study.yaml"


class ReadingsSpec(BaseModel):
    """The readings of a reader study: one table of scores, or of marks with a table of lesions."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    scores: str = Field(
        description="Table of scores (reader, modality, case, truth, score, decision, read_at) or marks; no names."
    )
    lesions: str | None = Field(default=None, description="Table of lesions (case, truth, lesion_id), for marks.")


class StudySpec(BaseModel):
    """A study: protocol, model and cohort. Paths are relative to the folder of study.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: Literal[1] = Field(alias="schema", description="Version of this schema.")
    id: Identifier
    title: str = Field(min_length=5)
    notice: str = Field(default="", description="Shown on every page of every document, e.g. that data are simulated.")
    protocol: str = Field(default="protocol.yaml", description="The protocol; its lock lies beside it.")
    model: Annotated[ModelSpec | SamplerSpec, Field(discriminator="kind")]
    baseline: ModelSpec | None = Field(
        default=None, description="A second model, for endpoints that compare with `baseline`."
    )
    cohort: CohortSpec
    data: DataSpec | None = Field(
        default=None,
        description="Further data sets by name: for metrics of whole data sets (tables, events, features).",
    )
    readings: ReadingsSpec | None = Field(
        default=None, description="What people read in the reader study of the protocol; copied into the run."
    )
    signing_key: str | None = Field(
        default=None, description="Private key for the attestation, from `validation keygen`; never copied into a run."
    )


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study as read from its folder, with every path resolved.

    Attributes
    ----------
    folder
        Folder of study.yaml, absolute.
    path
        study.yaml itself.
    spec
        Its content.
    """

    folder: Path
    path: Path
    spec: StudySpec

    @property
    def protocol_path(self) -> Path:
        """The protocol file."""
        return self.folder / self.spec.protocol

    @property
    def signing_key_path(self) -> Path | None:
        """The private key, if one is named."""
        return None if self.spec.signing_key is None else self.folder / Path(self.spec.signing_key).expanduser()

    @property
    def runs_folder(self) -> Path:
        """Where runs of the study are kept."""
        return self.folder / "runs"

    @property
    def ledger_path(self) -> Path:
        """The hash-chained list of locks, amendments and openings."""
        return self.folder / "ledger.jsonl"


def load_study(path: Path) -> Study:
    """Read a study from its folder or its study.yaml.

    Raises
    ------
    UsageProblem
        If there is no study.yaml (RUN-050), or a path in it does not exist (RUN-051).
    ProtocolProblem
        If study.yaml does not follow the schema; with file:line:column.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise UsageProblem(
            "there is no study.yaml here.",
            code="RUN-050",
            where=str(path),
            why="A study binds a protocol to a model and a cohort.",
            action="Give the folder that holds study.yaml, or begin one with `validation init`.",
        )
    spec = load_yaml_model(file, StudySpec)
    folder = file.parent.resolve()
    named = {
        "protocol": spec.protocol,
        "model.path": spec.model.path,
        "baseline.path": spec.baseline.path if spec.baseline else None,
        "cohort.table": spec.cohort.table,
        "cohort.folder": spec.cohort.folder,
    }
    named |= {f"data, {what}": str(file) for what, file in (spec.data.files(folder) if spec.data else {}).items()}
    for key, value in named.items():
        if value is not None and not (folder / value).exists():
            raise UsageProblem(
                f"`{key}` names {value!r}, which does not exist.",
                code="RUN-051",
                where=file.name,
                action="Paths in study.yaml are relative to its folder.",
            )
    return Study(folder=folder, path=folder / file.name, spec=spec)
