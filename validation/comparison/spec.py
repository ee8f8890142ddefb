"""``comparison.yaml``: which models are compared, on which set, for which purposes; fixed before the set is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from validation.cohort.spec import CohortSpec
from validation.errors import ProtocolProblem, UsageProblem
from validation.models.spec import ModelSpec
from validation.protocol.endpoint_schema import Identifier
from validation.protocol.load import load_yaml_model
from validation.protocol.schema import Protocol
from validation.study.spec import Study

FILE = "comparison.yaml"
DIMENSIONS = ("fidelity", "utility", "diversity", "privacy", "stability", "compute")
SET_MEASURES = ("precision", "recall", "density", "coverage", "frechet_distance", "kernel_distance", "vendi_ratio")
PRIVACY_MEASURES = ("membership", "nearer_than_holdout", "copies")
COMPUTE_MEASURES = ("latency_ms", "throughput_per_s", "peak_memory_mib", "energy_j")


class _Part(BaseModel):
    """Unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Checkpoint(_Part):
    """One trained model of a candidate."""

    seed: int = Field(description="Seed of its training, by which the record names it.")
    model: ModelSpec


class Latent(_Part):
    """The latent space of a candidate, as two TorchScript files."""

    encoder: str = Field(description="Image (1, 1, rows, columns), scaled as for the model, to latent (1, d, ...).")
    decoder: str = Field(description="Latent to image (1, 1, rows, columns).")
    steps: int = Field(default=2, ge=1, le=4, description="Standard deviations to each side.")
    cases: int = Field(default=8, ge=3, le=64, description="Cases whose latents are traversed.")


class Candidate(_Part):
    """A model under comparison with the checkpoints of its other training seeds."""

    id: Identifier
    label: str = Field(min_length=1)
    family: str = Field(min_length=1, description="U-Net, GAN, VAE, diffusion, ...")
    checkpoints: list[Checkpoint] = Field(
        min_length=1, description="The first is the model that would be released; the others show its stability."
    )
    latent: Latent | None = None

    @model_validator(mode="after")
    def _seeds(self) -> Candidate:
        seeds = [c.seed for c in self.checkpoints]
        if len(set(seeds)) != len(seeds):
            raise ValueError("two checkpoints of one candidate have the same seed")
        return self


class Sets(_Part):
    """Features of every image, for fidelity and diversity of the outputs as a set (``radiomic_features``)."""

    region: str | None = Field(default=None, description="Name of the mask; the whole image if omitted.")
    low: float = Field(description="Lowest intensity of the grey-level bins.")
    high: float
    bins: int = Field(default=32, ge=2, le=256)
    neighbours: int = Field(default=5, ge=1)
    cases: str | None = Field(default=None, description="Expression that restricts the set, e.g. to patients.")

    @model_validator(mode="after")
    def _range(self) -> Sets:
        if not self.low < self.high:
            raise ValueError("`low` must be below `high`")
        return self


class Compute(_Part):
    """How speed, memory and energy are measured."""

    cases: int = Field(default=8, ge=5, le=1000, description="The first so many cases, one by one.")
    repeats: int = Field(default=3, ge=1, le=100, description="Rounds; candidates take turns in each.")


class Need(_Part):
    """One criterion of a purpose: an endpoint of the protocol, or a measure with a limit."""

    endpoint: str | None = Field(default=None, description="Endpoint of the protocol; its own margin applies.")
    measure: str | None = Field(default=None, description="Another row of the matrix.")
    below: float | None = Field(default=None, description="The whole interval must lie below.")
    above: float | None = Field(default=None, description="The whole interval must lie above.")
    because: str = Field(default="", description="Why the limit serves the purpose.")

    @model_validator(mode="after")
    def _one(self) -> Need:
        limits = [limit for limit in (self.below, self.above) if limit is not None]
        if (self.endpoint is None) == (self.measure is None):
            raise ValueError("a need names either `endpoint` or `measure`")
        if len(limits) != (0 if self.endpoint is not None else 1):
            raise ValueError("a measure needs one limit, `below` or `above`; an endpoint has its own margin")
        return self


class Purpose(_Part):
    """A use, and everything that a model must show to be called fit for it."""

    id: Identifier
    title: str = Field(min_length=5)
    needs: list[Need] = Field(min_length=1)


class ComparisonSpec(_Part):
    """A comparison. Paths are relative to the study folder."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this schema.")
    id: Identifier
    title: str = Field(min_length=5)
    candidates: list[Candidate] = Field(min_length=2, max_length=12)
    reference: str | None = Field(
        default=None, description="Differences are taken from this candidate only; all pairs if omitted."
    )
    development: CohortSpec | None = Field(
        default=None, description="Cases for choosing a candidate before the sealed holdout is opened."
    )
    members: CohortSpec | None = Field(
        default=None, description="Cases that the models were trained on, for the tests of privacy."
    )
    utility: list[str] = Field(default_factory=list, description="Endpoints that stand for utility, not fidelity.")
    equivalence: dict[str, float] = Field(
        default_factory=dict, description="Endpoint to the largest difference between two models that does not matter."
    )
    sets: Sets | None = None
    compute: Compute = Field(default_factory=Compute)
    purposes: list[Purpose] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> ComparisonSpec:
        ids = [c.id for c in self.candidates]
        for what, names in (("candidates", ids), ("purposes", [p.id for p in self.purposes])):
            if len(set(names)) != len(names):
                raise ValueError(f"two of the {what} have the same id")
        if self.reference is not None and self.reference not in ids:
            raise ValueError(f"`reference` {self.reference!r} is not a candidate")
        if any(not margin > 0 for margin in self.equivalence.values()):
            raise ValueError("a margin of equivalence is positive")
        return self

    @property
    def measures(self) -> frozenset[str]:
        """Rows of the matrix, besides endpoints, that a purpose may name."""
        named = {*COMPUTE_MEASURES, "parameters"}
        named |= set(SET_MEASURES) if self.sets else set()
        named |= {"membership"} if self.members else set()
        named |= set(PRIVACY_MEASURES) if self.members and self.sets else set()
        return frozenset(named)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Candidates whose difference (first minus second) is estimated."""
        ids = [c.id for c in self.candidates]
        if self.reference is not None:
            return [(other, self.reference) for other in ids if other != self.reference]
        return [(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison as read, with the study that it belongs to."""

    study: Study
    path: Path
    spec: ComparisonSpec


def load_comparison(study: Study, path: Path | None, protocol: Protocol) -> Comparison:
    """Read the comparison of a study and check it against the protocol.

    Raises
    ------
    UsageProblem
        CMP-001 if there is no such file, CMP-002 if a path in it leads nowhere.
    ProtocolProblem
        CMP-003 if it names an endpoint or a measure that does not exist.
    """
    file = path or study.folder / FILE
    if not file.is_file():
        raise UsageProblem(
            "there is no comparison.yaml here.",
            code="CMP-001",
            where=str(file),
            why="It names the candidates and the purposes before the cases are opened.",
            action="Write one; `validation schema comparison` prints its fields.",
        )
    spec = load_yaml_model(file, ComparisonSpec)
    for place, value in _paths(spec):
        if value is not None and not (study.folder / value).exists():
            raise UsageProblem(
                f"`{place}` names {value!r}, which does not exist.",
                code="CMP-002",
                where=file.name,
                action="Paths in comparison.yaml are relative to the study folder.",
            )
    _check_names(spec, protocol, file.name)
    return Comparison(study=study, path=file, spec=spec)


def _paths(spec: ComparisonSpec) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for candidate in spec.candidates:
        at = f"candidates[{candidate.id}]"
        found += [(f"{at}.checkpoints[{c.seed}].model.path", c.model.path) for c in candidate.checkpoints]
        if candidate.latent:
            found += [
                (f"{at}.latent.encoder", candidate.latent.encoder),
                (f"{at}.latent.decoder", candidate.latent.decoder),
            ]
    for name, cohort in (("development", spec.development), ("members", spec.members)):
        found += [(f"{name}.table", cohort.table), (f"{name}.folder", cohort.folder)] if cohort else []
    return found


def _check_names(spec: ComparisonSpec, protocol: Protocol, where: str) -> None:
    endpoints = {e.id: e for e in protocol.endpoints}
    named: list[tuple[str, str]] = [("utility", e) for e in spec.utility]
    named += [("equivalence", e) for e in spec.equivalence]
    named += [(f"purposes[{p.id}]", n.endpoint) for p in spec.purposes for n in p.needs if n.endpoint]
    for place, endpoint in named:
        if endpoint not in endpoints:
            raise _unknown(f"the protocol has no endpoint {endpoint!r}", f"{where}: {place}", list(endpoints))
    for purpose in spec.purposes:
        for need in purpose.needs:
            at = f"{where}: purposes[{purpose.id}]"
            if need.measure and need.measure not in spec.measures:
                raise _unknown(f"this comparison has no measure {need.measure!r}", at, sorted(spec.measures))
            if need.endpoint and endpoints[need.endpoint].hypothesis.type == "descriptive":
                raise _unknown(f"endpoint {need.endpoint} is descriptive, so it cannot be met", at, [])


def _unknown(what: str, where: str, known: list[str]) -> ProtocolProblem:
    return ProtocolProblem(
        f"{what}.",
        code="CMP-003",
        where=where,
        why="A criterion that is not measured can never be met.",
        action=f"Known: {', '.join(known)}." if known else "Name a judged endpoint, or a measure with a limit.",
    )


def plain(spec: ComparisonSpec) -> dict[str, Any]:
    """Return the comparison as plain JSON data, for its digest."""
    data: dict[str, Any] = spec.model_dump(mode="json", by_alias=True)
    return data
