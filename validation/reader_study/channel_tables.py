"""Channel responses of a run, as arrays for virtual readers: nothing but the stored measurements is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from validation.errors import DataProblem

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTable:
    """Channel responses of the cases that have them under every modality, and a truth.

    ``left_out`` counts cases with a truth that lack a response under some modality.
    """

    metric: str
    responses: dict[str, Array]
    positive: NDArray[np.bool_]
    cases: list[str]
    clusters: list[str]
    left_out: int


def channels_of_run(run: Path, *, metric: str | None = None, label: str = "label") -> ChannelTable:
    """Return the channel responses that a run measured.

    Parameters
    ----------
    run
        Folder of a run (see docs/architecture.md): ``cases.parquet`` and ``measurements/part-*.parquet`` are read.
    metric
        Key of the measurements, such as ``cho_channels(region=signal)``; may be omitted if the run holds one.
    label
        Column of the case table with the truth: 1 for signal present, 0 for absent; other cases are not read.

    Raises
    ------
    DataProblem
        If a file is missing, the column does not exist, or there are no channel responses or several kinds of them.
    """
    parts = sorted((run / "measurements").glob("part-*.parquet"))
    table = run / "cases.parquet"
    if not parts or not table.is_file():
        raise _missing(f"{run.name} is not the folder of a finished run.", "Name the folder below runs/.")
    cases = pd.read_parquet(table).set_index("case_id")
    if label not in cases.columns:
        raise _missing(
            f"the case table of the run has no column {label!r}.",
            f"Give --label; columns are {', '.join(map(str, cases.columns))}.",
        )
    wanted = [("metric", "==", metric)] if metric else None
    rows = pd.concat([pd.read_parquet(part, filters=wanted) for part in parts], ignore_index=True)
    rows = rows[rows["metric"].astype(str).str.startswith("cho_channels")]
    keys = sorted(rows["metric"].astype(str).unique())
    if len(keys) != 1:
        held = ", ".join(keys) if keys else "none"
        raise _missing(
            f"the run must hold one kind of channel responses, and holds {held}.",
            "Give --metric with the key, or measure cho_channels in an endpoint.",
        )
    truth = pd.to_numeric(cases[label], errors="coerce")
    truth = truth[truth.isin([0, 1])].sort_index()
    arms: dict[str, pd.DataFrame] = {}
    for arm, own in rows.groupby("arm", observed=True):
        mean = own.groupby(["case_id", "component"], observed=True)["value"].mean().unstack("component")
        arms[str(arm)] = mean.reindex(truth.index)
    whole = pd.concat(arms, axis=1).notna().all(axis=1)
    kept = truth[whole]
    if kept.empty:
        raise _missing("no case has channel responses under every arm and a truth.", "Check --label and the endpoint.")
    return ChannelTable(
        metric=keys[0],
        responses={arm: frame.loc[kept.index].to_numpy(float) for arm, frame in arms.items()},
        positive=kept.to_numpy() == 1,
        cases=[str(c) for c in kept.index],
        clusters=[str(c) for c in cases.loc[kept.index, "cluster"]],
        left_out=int((~whole).sum()),
    )


def _missing(what: str, action: str) -> DataProblem:
    return DataProblem(
        what,
        code="RDR-024",
        where="run",
        why="Virtual readers look at channel responses that the run has measured.",
        action=action,
    )
