"""Small populations and generators for tests: independent marginals, Gaussian copula, memoriser, collapsed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats


def population(n: int, seed: int) -> pd.DataFrame:
    """Draw patients with dependence, missing cells and a site of 2 %."""
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 12, n).round()
    sex = rng.choice(["F", "M"], n)
    site = rng.choice(["A", "B", "C"], n, p=[0.6, 0.38, 0.02])
    pressure = (100 + 0.6 * age + 8 * (sex == "M") + rng.normal(0, 10, n)).round(1)
    disease = np.where(rng.random(n) < 1 / (1 + np.exp(-(age - 60) / 8)), "yes", "no")
    dose = np.where(rng.random(n) < 0.1, np.nan, rng.gamma(2, 10, n).round(1))
    return pd.DataFrame({"age": age, "sex": sex, "site": site, "pressure": pressure, "dose": dose, "disease": disease})


def independent(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Every column by itself: right marginals, no dependence."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({c: train[c].to_numpy()[rng.integers(0, len(train), n)] for c in train})


def copula(train: pd.DataFrame, n: int, seed: int, noise: float = 0.3) -> pd.DataFrame:
    """Gaussian copula of normal scores, fitted with noise; numbers are interpolated between quantiles."""
    rng = np.random.default_rng(seed)
    scores = []
    for c in train:
        order = (
            train[c].rank(method="first").fillna(pd.Series(rng.uniform(1, len(train), len(train)), index=train.index))
        )
        scores.append(stats.norm.ppf((order - 0.5) / len(train)) + rng.normal(0, noise, len(train)))
    z = rng.multivariate_normal(np.zeros(len(scores)), np.corrcoef(np.array(scores)), n)
    u, made = stats.norm.cdf(z), {}
    for k, c in enumerate(train):
        column = train[c].sort_values(na_position="last").to_numpy()
        if train[c].dtype.kind == "f":
            gone = np.random.default_rng(seed + k).random(n) < train[c].isna().mean()
            made[c] = np.where(gone, np.nan, np.nanquantile(column, u[:, k])).round(1)
            if c == "age":
                made[c] = made[c].round()
        else:
            made[c] = column[(u[:, k] * len(column)).astype(int).clip(0, len(column) - 1)]
    return pd.DataFrame(made)


def memoriser(train: pd.DataFrame, fresh: pd.DataFrame, share: float) -> pd.DataFrame:
    """Copy a share of training records, the others are fresh."""
    k = round(share * len(fresh))
    return pd.concat([train.iloc[:k], fresh.iloc[k:]], ignore_index=True)


def collapsed(fresh: pd.DataFrame, column: str, level: str) -> pd.DataFrame:
    """Drop every record of a subgroup, keep the number of records."""
    kept = fresh[fresh[column] != level]
    return pd.concat([kept, kept.iloc[: len(fresh) - len(kept)]], ignore_index=True)


def train_sound(table: pd.DataFrame, seed: int) -> Callable[[int, int], pd.DataFrame]:
    """A generator that knows the population and nothing of the people it was trained on."""
    return lambda n, draw: population(n, 7919 * seed + draw)


class Memory:
    """A generator that returns a tenth of its training table, and fresh records."""

    def __init__(self, table: pd.DataFrame, seed: int) -> None:
        self.table = table

    def sample(self, n: int, seed: int) -> pd.DataFrame:
        return memoriser(self.table, population(n, 104_729 + seed), 0.1)


def train_nothing(table: pd.DataFrame, seed: int) -> int:
    """Not a generator."""
    return 1
