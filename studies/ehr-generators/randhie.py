"""Real people from a data set that ships inside statsmodels: the RAND Health Insurance Experiment (public domain).

20,190 rows, one per person and year, of a randomised trial of cost sharing (1974-1982). The file has no person number.
Rows of one person follow one another and agree in everything but the visits, so that a run of 3 to 5 such rows is taken
for one person (the experiment lasted three or five years); shorter and longer runs are left out. Two people who follow
one another and agree in all covariates would be taken for one. The person numbers made here name nobody.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

PLANS = {0: "free", 25: "25 %", 50: "50 %", 95: "95 %"}


def years() -> pd.DataFrame:
    """Return one row per person and year with the columns of :func:`people`, ``year`` and ``visits``."""
    import statsmodels.api as sm

    raw = sm.datasets.randhie.load_pandas().data
    covariates = [c for c in raw.columns if c != "mdvis"]
    run = (raw[covariates] != raw[covariates].shift()).any(axis=1).cumsum()
    raw = raw[run.map(run.value_counts()).between(3, 5)].assign(run=run)
    frame = pd.DataFrame(
        {
            "patient_id": "RAND-" + raw["run"].rank(method="dense").astype(int).astype(str).str.zfill(5),
            "year": raw.groupby("run").cumcount() + 1,
            "plan": np.where(
                raw["idp"] == 1, "deductible", (np.exp(raw["lncoins"]) - 1).round().astype(int).map(PLANS)
            ),
            "limitation": raw["physlm"].map({0.0: "no", 1.0: "yes"}),
            "chronic": raw["disea"].round(1),
            "health": np.select(
                [raw["hlthp"] == 1, raw["hlthf"] == 1, raw["hlthg"] == 1], ["poor", "fair", "good"], "excellent"
            ),
            "visits": raw["mdvis"].astype(int),
        }
    )
    return frame.reset_index(drop=True)


def people(seed: int) -> pd.DataFrame:
    """Return one row per person, in random order: covariates and the visits of the first year."""
    first = years().query("year == 1").drop(columns="year")
    first["any_visit"] = np.where(first["visits"] > 0, "yes", "no")
    return first.sample(frac=1, random_state=seed).reset_index(drop=True)
