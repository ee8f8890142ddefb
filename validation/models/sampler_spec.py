"""The ``model:`` part of study.yaml for generators of records: which generator, and how many records it makes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from validation.models.spec import EntryPoint, Sha256

SamplerKind = Literal["sampler", "decoder", "sdv", "synthetic_data"]


class SamplerSpec(BaseModel):
    """A generator of records (tables, event streams), or the records that one made elsewhere.

    Kinds
    -----
    ``sampler``
        ``package.module:factory``; ``factory(**arguments)`` returns an object with ``sample(n, seed)``, or a function
        of the two, that returns a table. A ``path``, if there is one, is handed to the factory as ``path``.
    ``decoder``
        A TorchScript archive that turns noise into records, and says inside (``layout.json``) what they are.
    ``sdv``
        A synthesizer of the Synthetic Data Vault, fitted to the set ``train`` in the run itself; SDV is not part of
        this program and must be installed by the user, under its own licence.
    ``synthetic_data``
        Records made elsewhere, named under ``data.sets``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    kind: SamplerKind
    family: str = Field(default="", description="Architecture family, for the model card.")
    path: str | None = Field(default=None, description="File of the generator, relative to the study folder.")
    sha256: Sha256 | None = Field(default=None, description="SHA-256 of the file.")
    entry_point: EntryPoint | None = Field(default=None, description="package.module:factory")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the factory.")
    makes: str = Field(default="synthetic", description="Name of the data set that it makes.")
    records: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(
        default=None, description="Number of records (event streams: of patients) that are made."
    )
    where: str | None = Field(
        default=None,
        description="Expression over the columns; records that do not satisfy it are drawn again (targeted synthesis).",
    )

    @property
    def stochastic(self) -> bool:
        """A generator always is."""
        return True

    @model_validator(mode="after")
    def _complete(self) -> SamplerSpec:
        made_here = self.kind != "synthetic_data"
        if made_here != (self.records is not None):
            raise ValueError("`records` says how many records a generator makes; synthetic_data are made already")
        if (self.kind in ("sampler", "sdv")) != (self.entry_point is not None):
            raise ValueError(
                "`entry_point` belongs to the kinds `sampler` (package.module:factory) and `sdv` "
                "(sdv.single_table:GaussianCopulaSynthesizer), and they need it"
            )
        if self.kind == "decoder" and not self.path:
            raise ValueError("a decoder needs `path`")
        if self.kind in ("sdv", "synthetic_data") and self.path:
            raise ValueError(f"a model of kind {self.kind!r} has no `path`")
        if self.sha256 and not self.path:
            raise ValueError("`sha256` is that of the file `path`")
        if self.where and not made_here:
            raise ValueError("`where` belongs to a generator that is run here")
        return self
