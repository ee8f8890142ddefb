"""Records as numbers that a network can learn, and the layout by which the decoder's numbers become records again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

KNOTS = 65


def layout_of(frame: pd.DataFrame, categories: set[str], noise: int) -> dict[str, Any]:
    """Return the layout of a table: quantiles of numbers, codes of categories (see models/decoder.py)."""
    columns: list[dict[str, Any]] = []
    for name in map(str, frame.columns):
        column = frame[name]
        if name in categories:
            codes = sorted(column.dropna().astype(str).unique().tolist())
            columns.append({"name": name, "type": "category", "codes": codes + ([None] if column.isna().any() else [])})
            continue
        known = column.dropna().to_numpy(float)
        places = (np.arange(KNOTS) + 0.5) / KNOTS
        decimals = next((d for d in range(6) if np.allclose(known, np.round(known, d))), 6)
        columns.append(
            {
                "name": name,
                "type": "number",
                "knots": np.quantile(known, places).tolist(),
                "decimals": decimals,
                "missing": bool(column.isna().any()),
            }
        )
    return {"schema": "validation.decoder/1", "kind": "table", "noise": noise, "columns": columns}


def encode(frame: pd.DataFrame, layout: dict[str, Any], seed: int) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """Return numbers (n, width) and, per column, its kind and place: normal scores, missing flags, one-hot codes."""
    rng = np.random.default_rng(seed)
    parts, places, at = [], [], 0
    for column in layout["columns"]:
        values = frame[column["name"]]
        if column["type"] == "number":
            # ties get a random order among them, so that counts and rounded values are spread like the rest
            order = values.rank(method="average").to_numpy(float)
            ties = values.map(values.value_counts()).to_numpy(float)
            spread = order + (rng.random(len(values)) - 0.5) * np.nan_to_num(ties)
            score = stats.norm.ppf(np.clip(spread / (values.notna().sum() + 1), 1e-3, 1 - 1e-3))
            parts.append(np.nan_to_num(score)[:, None])
            places.append(("number", at, at + 1))
            at += 1
            if column["missing"]:
                parts.append(values.isna().to_numpy(float)[:, None])
                places.append(("flag", at, at + 1))
                at += 1
        else:
            text = values.astype(object).where(values.notna(), None).map(lambda v: v if v is None else str(v))
            parts.append(np.stack([(text == code) if code is not None else text.isna() for code in column["codes"]], 1))
            places.append(("category", at, at + len(column["codes"])))
            at += len(column["codes"])
    return np.concatenate([np.asarray(p, dtype=np.float32) for p in parts], axis=1), places
