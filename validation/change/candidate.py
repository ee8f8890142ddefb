"""A candidate: the changed model, what is stated about it, and the cases it was trained on.

``candidate.yaml``::

    model: {version: 1.1.0, path: retrained.ts}  # what differs from `model` in study.yaml
    training_manifest: training_manifest.csv     # optional; counted, and checked against the holdout
    facts: {epochs: 40}                          # optional: quantities that bounds of the change protocol name

A model file by itself (``retrained.ts``) is a candidate too; its version is then the first 12 digits of its SHA-256.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from validation.digest import sha256_file
from validation.errors import UsageProblem
from validation.models.spec import ModelSpec
from validation.protocol.load import load_protocol, load_yaml_model
from validation.study.spec import Study

YAML = {".yaml", ".yml"}


class CandidateFile(BaseModel):
    """What ``candidate.yaml`` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: dict[str, Any] = Field(description="Fields of `model` that differ from study.yaml.")
    training_manifest: str | None = Field(default=None, description="Table of training cases, relative to this file.")
    facts: dict[str, float | int | str] = Field(default_factory=dict, description="Quantities that bounds name.")


@dataclass(frozen=True)
class Candidate:
    """A changed model, ready to be run."""

    model: ModelSpec
    facts: dict[str, Any] = field(default_factory=dict)
    training_manifest: Path | None = None


def read_candidate(path: Path, study: Study) -> Candidate:
    """Read a candidate file, or take a model file for one.

    ``training_patients`` is counted from the training manifest (distinct values of the cluster column), whatever the
    file states.

    Raises
    ------
    UsageProblem
        CHG-007 if the model or the training manifest is not there, or the model cannot be described so.
    ProtocolProblem
        If the YAML does not follow the schema.
    """
    if not path.exists():
        raise _refused(path, "there is no such candidate")
    if path.suffix in YAML:
        stated = load_yaml_model(path, CandidateFile)
    else:
        stated = CandidateFile(model={"path": str(path.resolve()), "version": sha256_file(path)[:12]})
    changed = dict(stated.model)
    home = path.resolve().parent
    given = changed.get("path")
    if given is not None:
        file = (home / str(given)).resolve()
        if not file.exists():
            raise _refused(path, f"the model {given!r} is not there")
        changed["path"] = str(file)
        if file.is_file():
            changed.setdefault("sha256", sha256_file(file))
    own = study.spec.model.model_dump(mode="json", exclude_none=True)
    if given is not None:
        own.pop("sha256", None)  # the hash of another file
    try:
        model = ModelSpec.model_validate(own | changed)
    except ValidationError as problem:
        raise _refused(path, f"the model cannot be described so: {problem.errors()[0]['msg']}") from None
    if given is None and model.path is not None:
        model = model.model_copy(update={"path": str((study.folder / model.path).resolve())})
    manifest = (home / stated.training_manifest).resolve() if stated.training_manifest else None
    facts: dict[str, Any] = dict(stated.facts)
    if manifest is not None:
        facts["training_patients"] = _count(manifest, path, study)
    return Candidate(model=model, facts=facts, training_manifest=manifest)


def _count(manifest: Path, path: Path, study: Study) -> int:
    column = load_protocol(study.protocol_path).population.cluster
    if not manifest.is_file():
        raise _refused(path, "the training manifest is not there")
    try:
        table = pd.read_parquet(manifest) if manifest.suffix == ".parquet" else pd.read_csv(manifest, dtype="string")
    except (ValueError, OSError):
        raise _refused(path, "the training manifest cannot be read") from None
    if column not in table.columns:
        raise _refused(path, f"the training manifest has no column {column!r}")
    return int(table[column].dropna().nunique())


def _refused(path: Path, what: str) -> UsageProblem:
    return UsageProblem(
        f"{what}.",
        code="CHG-007",
        where=path.name,
        why="The record must say exactly which model was run, and what it was trained on.",
        action="Give a model file, or a candidate.yaml with `model`, and optionally `training_manifest` and `facts`.",
    )
