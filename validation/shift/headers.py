"""Drift of DICOM headers: which software, kernel, protocol or field strength is new, gone, or used more than before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from validation.shift.columns import as_texts
from validation.statistics.proportions import proportion

EXAMPLES = 50


def header_drift(
    baseline: pd.DataFrame,
    new: pd.DataFrame,
    columns: Sequence[str],
    *,
    cluster: str | None = None,
    level: float = 0.95,
) -> list[dict[str, Any]]:
    """Return one row per header column and value with its share in both cohorts.

    ``status``: ``new`` (only in the new cohort), ``gone`` (only in the baseline), ``kept``. A value that nobody had
    before is a fact about how images are acquired now, not a sampling question, so it needs no test; whether
    shares differ is tested by :func:`~validation.shift.compare.compare` with ``chi2``. Numbers with more than 50
    different values are left to ``compare`` as well. A missing value is listed as ``(missing)``.

    Parameters
    ----------
    columns
        Header columns such as ``manufacturer``, ``software_version``, ``kernel``.
    cluster
        Patient, for the intervals of the shares.

    Examples
    --------
    >>> before, after = pd.DataFrame({"kernel": ["B30", "B30"]}), pd.DataFrame({"kernel": ["B30", "Br40"]})
    >>> rows = header_drift(before, after, ["kernel"])
    >>> [(r["value"], r["status"]) for r in rows]
    [('B30', 'kept'), ('Br40', 'new')]
    """
    rows: list[dict[str, Any]] = []
    for name in columns:
        before, after = as_texts(baseline, name, "baseline"), as_texts(new, name, "new")
        values = sorted({*before, *after})
        if len(values) > EXAMPLES:
            continue
        for value in values:
            had, has = [v == value for v in before], [v == value for v in after]
            status = "kept" if any(had) and any(has) else "new" if any(has) else "gone"
            shares = [
                proportion(
                    [float(f) for f in flags],
                    clusters=None if cluster is None else frame[cluster].to_numpy(),
                    level=level,
                ).to_dict()
                for flags, frame in ((had, baseline), (has, new))
            ]
            rows.append(
                {"column": name, "value": value, "status": status, "n_baseline": sum(had), "n_new": sum(has),
                 "share_baseline": shares[0], "share_new": shares[1]}
            )  # fmt: skip
    return rows
