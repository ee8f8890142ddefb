"""Consistency of images and table: does what an image shows still go with what the table says."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.tabular.detection import booster, design
from validation.metrics.tabular.encoding import Floats, Part, Tables, encode
from validation.registry import Direction, Kind, metric
from validation.statistics.roc import auc

FEWEST = 10


def _measured(tables: Tables, column: str, part: Part) -> Floats:
    """Return the values that are predicted: class codes, or 1 above the training median for a number."""
    if column in tables.categorical:
        return part.codes[:, tables.categorical.index(column)].astype(np.float64)
    k = tables.numeric.index(column)
    x = part.numbers[:, k]
    median = float(np.nanmedian(tables.train.numbers[:, k]))
    return np.where(np.isnan(x), np.nan, (x > median).astype(np.float64))


def _area(scores: Floats, labels: Floats, level: float) -> Estimate:
    known = ~np.isnan(labels)
    return auc(scores[known], labels[known], level=level)


def _gap(made: Estimate, real: Estimate, n: int, *, level: float) -> Estimate:
    """Return the difference of two independent areas; limits from those of each (MOVER, Zou and Donner 2008)."""
    method = "difference of areas, DeLong logit limits, MOVER"
    if None in (made.value, made.lower, made.upper, real.value, real.lower, real.upper):
        return Estimate.insufficient(made.reason or real.reason, n=n, unit="1", method=method, level=level)
    a, la, ua, b, lb, ub = (float(v or 0.0) for e in (made, real) for v in (e.value, e.lower, e.upper))
    return Estimate(
        value=a - b,
        lower=a - b - math.hypot(a - la, ub - b),
        upper=a - b + math.hypot(ua - a, b - lb),
        method=method,
        n=n,
        unit="1",
        level=level,
    )


@metric(
    "cross_modal_consistency",
    unit="1",
    direction=Direction.ZERO,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="tabular",
    reference="Zou and Donner 2008, doi:10.1002/sim.3095; DeLong et al. 1988, doi:10.2307/2531595",
    oracle="scikit-learn AUC of the same scores",
)
def cross_modal_consistency(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    image_prefix: str = "image_",
    columns: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Estimate, per column of the table, how much less (or more) of it the image tells in synthetic than in real pairs.

    One row holds the features of a patient's image (columns that begin with ``image_prefix``) and the table's columns.
    A model learns each column of the table from image features of real training pairs. Its area under the curve on
    synthetic pairs, less that on real holdout pairs, is 0 where images and table go together as in real patients,
    negative where they were put together carelessly, and positive where the generator is more regular than life.
    Categories with two levels are taken as they are, with more the commonest against the rest, numbers above their
    training median. Intervals hold for the trained model as it is.

    Parameters
    ----------
    columns
        Columns of the table that are judged; all of them by default.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    images = tuple(c for c in tables.columns if c.startswith(image_prefix))
    wanted = columns or tuple(c for c in tables.columns if not c.startswith(image_prefix))
    bad = [c for c in wanted if c not in tables.columns or c in images]
    if not images or not wanted or bad:
        raise UsageProblem(
            f"no column begins with {image_prefix!r}."
            if not images
            else f"the table has no column {bad or 'besides'}.",
            code="TAB-003",
            where="image_prefix, columns",
            action="One row holds image features and the table's columns of one patient.",
        )
    features = tables.only(images)
    held = tables.holdout
    found: dict[str, Estimate] = {}
    for column in wanted:
        y = {name: _measured(tables, column, part) for name, part in (("t", tables.train), ("s", tables.synthetic))}
        y["h"] = _measured(tables, column, held) if held is not None else np.zeros(0)
        levels, counts = np.unique(y["t"][~np.isnan(y["t"])], return_counts=True)
        target = levels[-1] if len(levels) == 2 else levels[int(np.argmax(counts))]
        y = {name: np.where(np.isnan(v), np.nan, (v == target).astype(np.float64)) for name, v in y.items()}
        n = len(y["s"]) + len(y["h"])
        classes = [min(np.nansum(v), np.nansum(1 - v)) for v in y.values()]
        if len(levels) < 2 or min(classes) < FEWEST:
            why = f"fewer than {FEWEST} records of a class in a table"
            found[column] = Estimate.insufficient(why, n=n, unit="1", method="difference of areas", level=level)
            continue
        known = ~np.isnan(y["t"])
        model = booster(features, int(known.sum()), seed=seed)
        model.fit(design(features.train)[known], y["t"][known])
        areas = [
            _area(model.predict_proba(design(part))[:, 1], y[name], level)
            for name, part in (("s", features.synthetic), ("h", features.holdout))
            if part is not None
        ]
        found[column] = _gap(areas[0], areas[1], n, level=level)
    return found
