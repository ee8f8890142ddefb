"""What a run was begun with, so that it can go on in the same way after an interruption."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from validation.digest import canonical_json, write_atomically
from validation.errors import IntegrityProblem, RunProblem


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything besides protocol and data that shapes the bytes of the measurements.

    Parameters
    ----------
    plan
        Digest of the plan.
    models
        SHA-256 of the model of each arm.
    cases
        Case ids in order.
    device_type
        ``cpu`` or ``cuda``: they round differently.
    cases_per_shard
        Length of a shard.
    batch_voxels
        Pairs (first shard, voxels of a batch from there on). More than one pair if memory ran out on the way.
    threads
        Threads of PyTorch on the CPU: how sums are split between threads decides their last bits.
    """

    plan: str
    models: Mapping[str, str]
    cases: tuple[str, ...]
    device_type: str
    cases_per_shard: int
    batch_voxels: tuple[tuple[int, int], ...]
    threads: int = 1

    def voxels_at(self, shard: int) -> int:
        """Return the voxels of a batch in a shard."""
        return max(pair for pair in self.batch_voxels if pair[0] <= shard)[1]

    def with_batch_voxels(self, shard: int, voxels: int) -> Settings:
        """Return these settings with another batch size from a shard on."""
        kept = tuple(pair for pair in self.batch_voxels if pair[0] < shard)
        return replace(self, batch_voxels=(*kept, (shard, max(1, voxels))))


_SAYS = {
    "plan": "the protocol asks for other measurements",
    "models": "the model is another one",
    "cases": "the eligible cases are others",
    "device_type": "it ran on another kind of device",
}


def settings_path(run_folder: Path) -> Path:
    """Return where the settings are kept."""
    return run_folder / "measurements" / "settings.json"


def save_settings(run_folder: Path, settings: Settings) -> None:
    """Write the settings whole or not at all."""
    write_atomically(settings_path(run_folder), canonical_json(_plain(settings)))


def load_settings(run_folder: Path, begun: Settings) -> Settings | None:
    """Return the settings of a run that was begun, ``None`` for a new one.

    Raises
    ------
    RunProblem
        If the run was begun with another plan, model, cases or kind of device than ``begun`` (RUN-007).
    IntegrityProblem
        If the file cannot be read (RUN-012).
    """
    path = settings_path(run_folder)
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_bytes())
        kept = Settings(
            plan=str(record["plan"]),
            models={str(k): str(v) for k, v in record["models"].items()},
            cases=tuple(map(str, record["cases"])),
            device_type=str(record["device_type"]),
            cases_per_shard=int(record["cases_per_shard"]),
            batch_voxels=tuple((int(a), int(b)) for a, b in record["batch_voxels"]),
            threads=int(record["threads"]),
        )
        kept.voxels_at(0)
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        raise IntegrityProblem(
            "the settings of the run cannot be read.", code="RUN-012", where="measurements/settings.json"
        ) from None
    different = [text for field, text in _SAYS.items() if _plain(kept)[field] != _plain(begun)[field]]
    if different:
        raise RunProblem(
            f"this run cannot go on: {'; '.join(different)} than when it was begun.",
            code="RUN-007",
            where="measurements/settings.json",
            why="Measurements of two different runs must never be mixed.",
            action="Start a new run with `validation run`.",
        )
    return kept


def _plain(settings: Settings) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return record
