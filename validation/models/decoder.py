"""A TorchScript archive that turns noise into records: a trained VAE, GAN, diffusion or sequence model.

The archive holds, besides the network, an extra file ``layout.json`` that says what its numbers mean, so that one file
is the whole generator. ``forward(noise)`` takes ``(n, noise)`` standard normal numbers; further randomness comes from
PyTorch's generator, which is set to the seed.

- ``kind: table``: it returns ``(n, width)``. A number takes one column (a normal score, mapped to values by ``knots``,
  evenly spaced quantiles), and one more (logit of being missing) if ``missing`` is true; a category takes one logit per
  code and is sampled. The code ``null`` is a missing cell.
- ``kind: events``: it returns codes ``(n, length)`` (whole numbers, -1 after the end), times ``(n, length)`` and
  values ``(n, length)`` (NaN where an event has none).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from validation.errors import ModelProblem
from validation.models.archive import check_sha256
from validation.models.loaders import load_torchscript_with
from validation.models.sampler import Sampler, seeded
from validation.models.sampler_spec import SamplerSpec

if TYPE_CHECKING:
    import pandas as pd

LAYOUT = "layout.json"
_CPU = torch.device("cpu")


class NumberLayout(BaseModel):
    """A column of numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    type: Literal["number"]
    knots: list[float] = Field(min_length=2, description="Quantiles at (k + 1/2) / K, rising.")
    decimals: int = Field(ge=0, le=10)
    missing: bool = False

    @property
    def width(self) -> int:
        """Outputs that the column takes."""
        return 1 + self.missing

    def read(self, outputs: Tensor) -> Any:
        """Return values from normal scores."""
        probability = torch.special.ndtr(outputs[:, 0].double()).numpy()
        places = (np.arange(len(self.knots)) + 0.5) / len(self.knots)
        values = np.round(np.interp(probability, places, self.knots), self.decimals) + 0.0
        if self.missing:
            gone = torch.rand(len(outputs)) < torch.sigmoid(outputs[:, 1])
            values = np.where(gone.numpy(), np.nan, values)
        return values


class CategoryLayout(BaseModel):
    """A column of codes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    type: Literal["category"]
    codes: list[str | int | float | None] = Field(min_length=1)

    @property
    def width(self) -> int:
        """Outputs that the column takes."""
        return len(self.codes)

    def read(self, outputs: Tensor) -> Any:
        """Return codes sampled from logits."""
        chosen = torch.multinomial(torch.softmax(outputs.double(), dim=1), 1)[:, 0].tolist()
        return [self.codes[k] for k in chosen]


class Layout(BaseModel):
    """What the numbers of a decoder mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_: Literal["validation.decoder/1"] = Field(alias="schema")
    kind: Literal["table", "events"]
    noise: int = Field(ge=1, le=100_000)
    columns: list[Annotated[NumberLayout | CategoryLayout, Field(discriminator="type")]] = Field(default_factory=list)
    codes: list[str] = Field(default_factory=list)


class Decoder(Sampler):
    """A decoder that is run here, on the CPU, in double checks of shape and finiteness."""

    def __init__(self, spec: SamplerSpec, root: Path) -> None:
        path = root / (spec.path or "")
        sha256 = check_sha256(path, spec.sha256)
        extra: dict[str, Any] = {LAYOUT: ""}
        self._network = load_torchscript_with(path, _CPU, extra)
        try:
            self.layout = Layout.model_validate(json.loads(extra[LAYOUT]))
        except (ValueError, ValidationError):
            raise ModelProblem(
                f"the archive holds no {LAYOUT} that says what its numbers mean.",
                code="MOD-022",
                where=path.name,
                action="Save it with torch.jit.save(..., _extra_files={'layout.json': ...}).",
            ) from None
        super().__init__(spec, sha256=sha256, parameters=sum(p.numel() for p in self._network.parameters()))

    def draw(self, n: int, seed: int) -> pd.DataFrame:
        """Run the network on noise and read the records from its outputs."""
        with seeded(seed), torch.no_grad():
            outputs = self._network(torch.randn(n, self.layout.noise))
            return self._table(outputs, n) if self.layout.kind == "table" else self._events(outputs, n)

    def _table(self, outputs: Any, n: int) -> pd.DataFrame:
        import pandas as pd

        width = sum(column.width for column in self.layout.columns)
        if not isinstance(outputs, Tensor) or tuple(outputs.shape) != (n, width):
            shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise self._refused(f"it returned {shape}; its layout asks for {(n, width)}")
        if not bool(torch.isfinite(outputs).all()):
            raise self._refused("it returned numbers that are not finite")
        table, at = {}, 0
        for column in self.layout.columns:
            table[column.name] = column.read(outputs[:, at : at + column.width])
            at += column.width
        return pd.DataFrame(table)

    def _events(self, outputs: Any, n: int) -> pd.DataFrame:
        import pandas as pd

        if not isinstance(outputs, tuple) or len(outputs) != 3 or any(o.shape[0] != n for o in outputs):
            raise self._refused("it did not return codes, times and values of every patient")
        codes, times, values = (o.double().numpy() for o in outputs)
        who, where = np.nonzero(codes >= 0)
        chosen = codes[who, where].astype(int)
        if len(chosen) and chosen.max() >= len(self.layout.codes):
            raise self._refused("it returned a code that its layout does not have")
        if len(set(who.tolist())) < n:
            raise self._refused("it returned a patient without events")
        names = np.asarray(self.layout.codes, dtype=object)
        return pd.DataFrame(
            {
                "subject_id": [f"synthetic-{k + 1}" for k in who],
                "time": times[who, where],
                "code": names[chosen],
                "numeric_value": values[who, where],
            }
        )

    def _refused(self, what: str) -> ModelProblem:
        return ModelProblem(f"the decoder cannot be used: {what}.", code="MOD-022", where=self.spec.name)
