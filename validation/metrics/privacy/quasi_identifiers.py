"""Quasi-identifiers: k-map and l-diversity of the classes that synthetic records share with real people."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.errors import UsageProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding, Status
from validation.metrics.privacy.exchangeable import NULL, share, without_holdout
from validation.metrics.privacy.inference import attack_finding
from validation.metrics.tabular.detection import row_hashes
from validation.metrics.tabular.encoding import Tables, encode
from validation.metrics.tabular.exact import more_than_share
from validation.registry import Direction, Kind, metric
from validation.statistics.means import mean

_USUAL = re.compile(
    r"^(age|sex|gender|race|ethnic|zip|postcode|birth|marital|region|country|site|hospital)", re.IGNORECASE
)
Sizes = npt.NDArray[np.int64]


def quasi_columns(tables: Tables, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the quasi-identifiers: those asked for, else demographic columns by name (none if none is named so)."""
    bad = [c for c in asked if c not in tables.columns]
    if bad:
        raise UsageProblem(f"no measured column is named {', '.join(map(repr, bad))}.", code="TAB-003", where="--param")
    return asked or tuple(c for c in tables.columns if _USUAL.match(c))


def class_sizes(tables: Tables, columns: tuple[str, ...]) -> dict[str, Sizes]:
    """Return sizes of the classes of equal quasi-identifiers.

    Keys: ``made_in_train`` training records in the class of each synthetic record; ``train`` and ``holdout`` real
    records
    (both tables) in the class of each real record; ``train_made``, ``holdout_made`` synthetic records in that class.
    """
    seen = tables.only(columns)
    made, train = row_hashes(seen.synthetic), row_hashes(seen.train)
    holdout = row_hashes(seen.holdout) if seen.holdout is not None else np.zeros(0, np.uint64)
    real = np.concatenate([train, holdout])

    def count(who: npt.NDArray[np.uint64], among: npt.NDArray[np.uint64]) -> Sizes:
        ordered = np.sort(among)
        return np.searchsorted(ordered, who, side="right") - np.searchsorted(ordered, who, side="left")

    return {
        "made_in_train": count(made, train),
        "train": count(train, real),
        "holdout": count(holdout, real),
        "train_made": count(train, made),
        "holdout_made": count(holdout, made),
    }


def homogeneous(
    tables: Tables, columns: tuple[str, ...], secret: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]:
    """Return for which real people the synthetic class has one sensitive value only (l = 1), and it is theirs."""
    seen, alone = tables.only(columns), tables.only((secret,))
    frame = pd.DataFrame({"class": row_hashes(seen.synthetic), "value": row_hashes(alone.synthetic)})
    grouped = frame.groupby("class")["value"].agg(["first", "nunique"])
    single = grouped.loc[grouped["nunique"] == 1, "first"]
    out: list[npt.NDArray[np.bool_] | None] = []
    for part, value in ((seen.train, alone.train), (seen.holdout, alone.holdout)):
        if part is None or value is None:
            out.append(None)
            continue
        at = single.index.get_indexer(pd.Index(row_hashes(part)))
        out.append((at >= 0) & (single.to_numpy()[at] == row_hashes(value) if len(single) else np.zeros(part.n, bool)))
    train = out[0]
    if train is None:
        raise ValueError("no training records")
    return train, out[1]


def quasi_findings(
    tables: Tables,
    asked: tuple[str, ...],
    sensitive: tuple[str, ...],
    groups: list[tuple[str, dict[str, npt.NDArray[np.bool_]]]],
    *,
    level: float,
) -> list[Finding]:
    """Judge whether unique training people are met more often than unique holdout people (exact), per subgroup too."""
    columns = quasi_columns(tables, asked)
    if not columns:
        why = "no quasi-identifier is named (--param quasi_identifiers=...)"
        empty = Estimate.insufficient(why, n=tables.train.n, unit="1", method="k-map", level=level)
        return [
            Finding(
                metric=name,
                estimate=empty,
                null=NULL,
                rule="needs quasi-identifiers",
                note=why,
                decided=Status.INCONCLUSIVE,
                direction=Direction.LOWER.value,
            )
            for name in ("k_map", "l_diversity")
        ]
    sizes = class_sizes(tables, columns)
    estimate = share(sizes["made_in_train"] == 1, level=level)
    if tables.holdout is None:
        return [without_holdout("k_map", estimate), without_holdout("l_diversity", n=tables.train.n)]
    met = {role: (sizes[role] == 1) & (sizes[f"{role}_made"] > 0) for role in ("train", "holdout")}
    positive = sizes["made_in_train"][sizes["made_in_train"] > 0]
    found = []
    everyone = {"train": np.ones(tables.train.n, bool), "holdout": np.ones(tables.holdout.n, bool)}
    for name, masks in [("", everyone), *groups]:
        a, b = met["train"][masks["train"]], met["holdout"][masks["holdout"]]
        k, j, n, m = int(a.sum()), int(b.sum()), len(a), len(b)
        words = f"{k} of {n} training and {j} of {m} holdout people are unique and met"
        if not name:
            words += f"; smallest class met holds {int(positive.min()) if len(positive) else 0} training people"
        found.append(
            Finding(
                metric="k_map",
                component=", ".join(columns),
                subgroup=name,
                estimate=estimate if not name else share(a, level=level),
                direction=Direction.LOWER.value,
                p_value=float(more_than_share([k], n, [j], m)[0]) if n and m else None,
                null=NULL + " (hypergeometric, exact)",
                rule="adjusted p at most alpha (unique training people met more often than unique holdout people)",
                note=words,
                reference=_REFERENCE,
                too_little=f"{n} training and {m} holdout people" if min(n, m) < 20 else "",
            )
        )
    secrets = [c for c in sensitive if c not in columns] or [c for c in tables.categorical if c not in columns][-1:]
    for secret in secrets:
        train, holdout = homogeneous(tables, columns, secret)
        found.append(attack_finding("l_diversity", secret, train, holdout, level=level, reference=_REFERENCE))
        if holdout is None:
            continue
        for name, masks in groups:
            a, b = train[masks["train"]], holdout[masks["holdout"]]
            found.append(attack_finding("l_diversity", secret, a, b, subgroup=name, level=level, reference=_REFERENCE))
    return found


_REFERENCE = "Sweeney 2002, doi:10.1142/S0218488502001648; Machanavajjhala et al. 2007, doi:10.1145/1217299.1217302"


@metric(
    "k_map",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference=_REFERENCE,
    oracle="pandas groupby",
)
def k_map(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    quasi_identifiers: tuple[str, ...],
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure the share of synthetic records whose quasi-identifiers fit one, and fewer than five, people.

    ``smallest_class`` is the smallest number k of training people (above none) that share a synthetic record's values:
    the largest risk is 1 / k. ``average_risk`` is the mean of 1 / k over synthetic records, 0 where nobody shares them.
    The training people stand for the population, so the risk is of someone known to be among them.
    """
    tables = encode(train, synthetic, categorical=categorical, ignore=ignore)
    sizes = class_sizes(tables, quasi_columns(tables, quasi_identifiers))["made_in_train"]
    met = sizes[sizes > 0]
    n = tables.synthetic.n
    smallest = (
        Estimate(
            value=float(met.min()),
            lower=None,
            upper=None,
            method="minimum",
            n=n,
            unit="1",
            reason="known, not estimated",
        )
        if len(met)
        else Estimate.insufficient(
            "no class of a synthetic record holds a training person", n=n, unit="1", method="minimum"
        )
    )
    return {
        "one_person": share(sizes == 1, level=level),
        "fewer_than_five": share((sizes > 0) & (sizes < 5), level=level),
        "average_risk": mean(np.where(sizes > 0, 1 / np.maximum(1, sizes), 0.0), level=level),
        "smallest_class": smallest,
    }


@metric(
    "l_diversity",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "synthetic"),
    optional_roles=("holdout",),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference=_REFERENCE,
    oracle="pandas groupby",
)
def l_diversity(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None = None,
    *,
    quasi_identifiers: tuple[str, ...],
    sensitive: tuple[str, ...],
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure, per sensitive column, the share of people whose synthetic class (equal quasi-identifiers) gives it away.

    ``<column> train`` (and ``holdout``): people whose class holds one value of the column only (l = 1), and it is
    theirs. ``<column> single_valued``: share of synthetic classes with one value only; a class of one record is one of
    them. Distinct l-diversity asks that no class has l = 1.
    """
    tables = encode(train, synthetic, holdout, categorical=categorical, ignore=ignore)
    columns = quasi_columns(tables, quasi_identifiers)
    bad = [c for c in sensitive if c not in tables.columns]
    if bad:
        raise UsageProblem(f"no measured column is named {', '.join(map(repr, bad))}.", code="TAB-003", where="--param")
    found = {}
    for secret in sensitive:
        a, b = homogeneous(tables, columns, secret)
        found[f"{secret} train"] = share(a, level=level)
        if b is not None:
            found[f"{secret} holdout"] = share(b, level=level)
        frame = pd.DataFrame(
            {"class": row_hashes(tables.only(columns).synthetic), "v": row_hashes(tables.only((secret,)).synthetic)}
        )
        found[f"{secret} single_valued"] = share(
            (frame.groupby("class")["v"].nunique() == 1).to_numpy(bool), level=level
        )
    return found
