"""The data sets of a run: what study.yaml names, and what its generator makes, with the lineage of every record."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.cohort.datasets import SUBJECT, DataSet, DataSets
from validation.cohort.open import Cohort
from validation.cohort.pseudonyms import study_key
from validation.digest import sha256_bytes
from validation.errors import UsageProblem
from validation.models.sampler import Sampler, SdvSampler
from validation.study.plan import Plan
from validation.study.spec import Study

if TYPE_CHECKING:
    import pandas as pd

LINEAGE = "lineage"


def open_sets(
    study: Study, cohort: Cohort, eligible: tuple[str, ...], generator: Sampler | None, plan: Plan, run: Path
) -> DataSets:
    """Return the data sets of a run; a generator makes its own here, from a seed that the protocol fixes.

    For the set under evaluation ``lineage/<set>.parquet`` is written: which generator made each record with which seed,
    or from which file it came, and a keyed digest by which the holder of the key can recognise it.

    Raises
    ------
    UsageProblem
        RUN-052 if study.yaml names a file for the set that its generator makes, or none for records made elsewhere.
    """
    key = study_key(study.folder)
    sets = DataSets(study.spec.data, study.folder, cohort, eligible, key)
    if generator is None:
        return sets
    name = generator.spec.makes
    made_here = generator.spec.kind != "synthetic_data"
    if made_here == (name in sets.names()):
        raise UsageProblem(
            f"the data set {name!r} is made by the generator and also named under `data.sets`."
            if made_here
            else f"the data set {name!r}, which the model made, is not named under `data.sets`.",
            code="RUN-052",
            where="study.yaml",
            action="Remove one of them." if made_here else "Name its file.",
        )
    if not made_here:
        _write_lineage(sets[name], generator, None, key, run)
        return sets
    seed = seed_of(plan.seed, name)
    if isinstance(generator, SdvSampler):
        generator.fit(sets["train"].data, seed)  # type: ignore[arg-type]
    table = generator.sample(seed)
    made = _as_set(name, table, sets)
    sets.add(made)
    _write_lineage(made, generator, seed, key, run)
    return sets


def seed_of(seed: int, name: str) -> int:
    """Return the seed of a generated set: SHA-256 of the protocol's seed and the name of the set, 31 bits.

    >>> seed_of(1, "synthetic") == seed_of(1, "synthetic") != seed_of(2, "synthetic")
    True
    """
    return int(hashlib.sha256(f"{seed}\0{name}".encode()).hexdigest()[:8], 16) >> 1


def _as_set(name: str, table: pd.DataFrame, sets: DataSets) -> DataSet:
    digest = sha256_bytes(table.to_csv(index=False, lineterminator="\n").encode())
    if SUBJECT in table.columns:
        return DataSet(name=name, kind="events", data=table, sha256=digest, origin={"made_here": True})
    if sets.dictionary is not None:
        table = sets.dictionary.applied(table, where=f"set {name}")
    return DataSet(name=name, kind="table", data=table, sha256=digest, origin={"made_here": True})


def _write_lineage(made: DataSet, generator: Sampler, seed: int | None, key: bytes, run: Path) -> None:
    """Write one row per synthetic record (per history in an event stream). No cell of a record is written."""
    import pandas as pd

    if made.kind == "features":
        return
    frame: Any = made.data
    if made.images is not None:
        records = [image.tobytes() for image in made.images]
    elif made.kind == "events":
        groups = frame.groupby(SUBJECT, sort=False)
        records = [part.drop(columns=SUBJECT).to_csv(index=False, header=False).encode() for _, part in groups]
    else:
        records = frame.to_csv(index=False, header=False, lineterminator="\n").encode().splitlines()
    table = pd.DataFrame(
        {
            "record": range(1, len(records) + 1),
            "set": made.name,
            "digest": [hmac.digest(key, record, "sha256").hex()[:32] for record in records],
            "generator": generator.spec.name,
            "version": generator.spec.version,
            "generator_sha256": generator.sha256 or "",
            "seed": pd.array([seed] * len(records), dtype="Int64"),
            "source_sha256": made.sha256,
        }
    )
    path = run / LINEAGE / f"{made.name}.parquet"
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    table.to_parquet(part, index=False, compression="zstd")
    part.replace(path)
