"""Generators of records as the run engine sees them: a number of records and a seed in, a table out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.entry_points import import_factory
from validation.errors import ModelProblem
from validation.models.archive import check_sha256
from validation.models.loaders import source_sha256
from validation.models.sampler_spec import SamplerSpec
from validation.protocol.expressions import select

if TYPE_CHECKING:
    import pandas as pd

MOST_ROUNDS = 200


class Sampler(ABC):
    """A loaded generator.

    Attributes
    ----------
    spec
        What study.yaml says about it.
    sha256
        SHA-256 of its file, or of the source of its factory; None if there is neither.
    parameters
        Number of parameters, or None where it is not known.
    """

    def __init__(self, spec: SamplerSpec, *, sha256: str | None, parameters: int | None = None) -> None:
        self.spec = spec
        self.sha256 = sha256
        self.parameters = parameters

    @abstractmethod
    def draw(self, n: int, seed: int) -> pd.DataFrame:
        """Return ``n`` records (event streams: those of ``n`` patients); the same for the same seed."""

    def sample(self, seed: int) -> pd.DataFrame:
        """Return the records that study.yaml asks for.

        With ``where``, records are drawn in rounds and kept if they satisfy it, until there are enough.

        Raises
        ------
        ModelProblem
            MOD-020 if the generator fails or returns no table of that length; MOD-021 if ``where`` is satisfied so
            rarely that 200 rounds do not suffice.
        """
        import pandas as pd

        wanted = self.spec.records or 0
        if self.spec.where is None:
            return self._checked(wanted, seed)
        kept: list[pd.DataFrame] = []
        have = 0
        for number in range(MOST_ROUNDS):
            drawn = self._checked(wanted, (seed + number) % 2**31)
            part = drawn[select(drawn, self.spec.where, where="model.where")]
            kept.append(part)
            have += len(part)
            if have >= wanted:
                return pd.concat(kept, ignore_index=True).iloc[:wanted].reset_index(drop=True)
        raise ModelProblem(
            f"{have} of {MOST_ROUNDS * wanted} records satisfy `where`; {wanted} are wanted.",
            code="MOD-021",
            where=self.spec.where,
            why="The generator hardly ever makes the records that are asked for.",
            action="Ask for fewer records, or train the generator on the group.",
        )

    def _checked(self, n: int, seed: int) -> pd.DataFrame:
        import pandas as pd

        try:
            made = self.draw(n, seed)
        except ModelProblem:
            raise
        except Exception as error:  # someone else's program; its text may hold records
            raise ModelProblem(
                f"the generator failed ({type(error).__name__}).", code="MOD-020", where=self.spec.name
            ) from None
        if not isinstance(made, pd.DataFrame) or made.empty:
            raise ModelProblem(
                f"the generator returned {type(made).__name__}, not a table with rows.",
                code="MOD-020",
                where=self.spec.name,
            )
        made = made.reset_index(drop=True)
        count = int(made["subject_id"].nunique()) if "subject_id" in made.columns else len(made)
        if count != n:
            raise ModelProblem(
                f"the generator returned {count} records; {n} were asked for.", code="MOD-020", where=self.spec.name
            )
        return made

    def describe(self) -> dict[str, Any]:
        """Return what the record says about the generator, as plain JSON types."""
        return {
            "name": self.spec.name,
            "version": self.spec.version,
            "kind": self.spec.kind,
            "family": self.spec.family,
            "sha256": self.sha256,
            "parameters": self.parameters,
            "stochastic": True,
            "records": self.spec.records,
            "makes": self.spec.makes,
            "where": self.spec.where,
        }


class Ready(Sampler):
    """Records that were made elsewhere: nothing is drawn."""

    def draw(self, n: int, seed: int) -> pd.DataFrame:
        """Refuse: the records are named under ``data.sets``."""
        raise ModelProblem("these records were made elsewhere.", code="MOD-020", where=self.spec.name)


class FactorySampler(Sampler):
    """A sampler from a Python factory; it is the user's own installed code and runs as such."""

    def __init__(self, spec: SamplerSpec, root: Path) -> None:
        factory = import_factory(spec.entry_point or "")
        path = None if spec.path is None else root / spec.path
        sha256 = None if path is None else check_sha256(path, spec.sha256)
        try:
            made = factory(**spec.arguments, **({"path": path} if path else {}))
        except TypeError as error:
            raise ModelProblem(
                f"the factory does not accept the arguments: {error}.", code="MOD-005", where=spec.entry_point or ""
            ) from None
        function = getattr(made, "sample", made)
        if not callable(function):
            raise ModelProblem("the factory returned no sampler.", code="MOD-005", where=spec.entry_point or "")
        self._function: Callable[[int, int], pd.DataFrame] = function
        super().__init__(spec, sha256=sha256 or source_sha256(factory))

    def draw(self, n: int, seed: int) -> pd.DataFrame:
        """Call ``sample(n, seed)`` with every usual generator of random numbers set to the seed."""
        with seeded(seed):
            return self._function(n, seed)


class SdvSampler(Sampler):
    """A synthesizer of the Synthetic Data Vault, fitted in the run to the training table that it is given."""

    def __init__(self, spec: SamplerSpec) -> None:
        super().__init__(spec, sha256=None)
        if not (spec.entry_point or "").startswith("sdv.single_table:"):
            raise ModelProblem(
                "only single-table synthesizers of SDV are run.",
                code="MOD-005",
                where=spec.entry_point or "",
                action="Use sdv.single_table:GaussianCopulaSynthesizer, CTGANSynthesizer, TVAESynthesizer ...",
            )
        self._class = import_factory(spec.entry_point or "")
        self._fitted: Any = None

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        """Fit the synthesizer to a table."""
        from importlib import import_module

        metadata_class = import_module("sdv.metadata").Metadata  # never a dependency: its licence is not ours
        with seeded(seed):
            metadata = metadata_class.detect_from_dataframe(train)
            self._fitted = self._class(metadata, **self.spec.arguments)
            self._fitted.fit(train)

    def draw(self, n: int, seed: int) -> pd.DataFrame:
        """Sample from the fitted synthesizer."""
        with seeded(seed):
            made: pd.DataFrame = self._fitted.sample(num_rows=n)
            return made


class seeded:  # noqa: N801 - reads as a statement
    """A context in which the generators of Python, NumPy and PyTorch start at a seed; they are put back afterwards."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        import random

        import numpy as np
        import torch

        self._states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        random.seed(self._seed)
        np.random.seed(self._seed % 2**32)
        torch.manual_seed(self._seed)

    def __exit__(self, *_: object) -> None:
        import random

        import numpy as np
        import torch

        random.setstate(self._states[0])
        np.random.set_state(self._states[1])
        torch.set_rng_state(self._states[2])


def load_sampler(spec: SamplerSpec, root: Path) -> Sampler:
    """Check and load the generator that study.yaml names.

    Raises
    ------
    ModelProblem
        As :func:`validation.models.load_model`.
    """
    if spec.kind == "synthetic_data":
        return Ready(spec, sha256=None)
    if spec.kind == "sdv":
        return SdvSampler(spec)
    if spec.kind == "decoder":
        from validation.models.decoder import Decoder

        return Decoder(spec, root)
    return FactorySampler(spec, root)
