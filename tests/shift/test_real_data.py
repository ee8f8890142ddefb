"""Shifts that are there are found on real data, and splits of one site against itself are not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from validation.protocol.plan_schemas import ShiftVariable
from validation.shift.compare import compare
from validation.shift.features import image_features
from validation.shift.headers import header_drift
from validation.shift.inputs import table_of_images

HEART = [
    ShiftVariable(column="age", statistic="ks"),
    ShiftVariable(column="thalach", statistic="ks"),
    ShiftVariable(column="oldpeak", statistic="cramer_von_mises"),
    ShiftVariable(column="cp", statistic="chi2"),
]
JOINT = ["mmd", "energy", "classifier"]


@pytest.fixture(scope="module")
def heart(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "data/ehr/uci_heart_sites/heart_cleveland_hungary.csv")


@pytest.mark.shared
def test_two_hospitals_differ(heart: pd.DataFrame) -> None:
    sites = heart[heart.site == "cleveland"], heart[heart.site == "hungary"]
    r = compare(*sites, HEART, multivariate=JOINT)
    assert set(r.shifted) == {"age", "thalach", "oldpeak", "cp", *JOINT}


@pytest.mark.shared
def test_one_hospital_split_against_itself_is_rarely_found_different(heart: pd.DataFrame) -> None:
    """100 random halves; each family of tests may alarm in at most 5 % of them."""
    rng = np.random.default_rng(1)
    cleveland = heart[heart.site == "cleveland"]
    runs, variables, joint = 100, 0, 0
    for k in range(runs):
        mixed = cleveland.iloc[rng.permutation(len(cleveland))]
        r = compare(mixed[:150], mixed[150:], HEART, multivariate=JOINT, permutations=99, seed=k)
        variables += any(c.finding == "shifted" for c in r.variables)
        joint += any(c.finding == "shifted" for c in r.multivariate)
    limit = stats.binom.isf(0.001, runs, 0.05)
    assert variables <= limit
    assert joint <= limit


@pytest.mark.shared
def test_two_vendors_of_mr_phantoms_differ(shared: Path, tmp_path: Path) -> None:
    """Headers name the new maker; the unit is the series, because its slices are not independent."""
    archive = shared / "data/imaging/mr_acr_multivendor/acr_dicom.zip"
    with zipfile.ZipFile(archive) as z:
        for name in z.namelist():
            vendor = "ge" if name.startswith("GE") else "siemens"
            if not name.endswith("/") and ".." not in name:
                target = tmp_path / vendor / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(z.read(name))
    before, after = table_of_images(tmp_path / "ge"), table_of_images(tmp_path / "siemens")
    status = {
        (r["column"], r["value"]): r["status"] for r in header_drift(before, after, ["manufacturer", "model_name"])
    }
    assert status["manufacturer", "Siemens"] == "new"
    assert status["manufacturer", "GE"] == "gone"
    features = [ShiftVariable(column=c, statistic="ks") for c in ("noise_sd", "p50")]
    r = compare(before, after, features, cluster="series", minimum_clusters=4, permutations=1999)
    assert set(r.shifted) == {"noise_sd", "p50"}
    assert r["noise_sd"].clusters_new == 4
    assert "series" in before.columns  # a pseudonym, no Series Instance UID
    assert before["series"].str.fullmatch(r"[0-9a-f]{12}").all()


@pytest.mark.shared
def test_t1_differs_from_t2_also_paired_and_odd_slices_not_from_even(shared: Path) -> None:
    with np.load(shared / "data/imaging/mr_ms_t1t2/patient07.npz", allow_pickle=False) as data:
        names = {k.lower(): k for k in data.files}
        t1, t2 = (data[next(v for k, v in names.items() if k.startswith(n) and "scale" not in k)] for n in ("t1", "t2"))
    axis = int(np.argmin(t1.shape))
    slices = [np.moveaxis(v, axis, 0)[20:100] for v in (t1, t2)]
    a, b = (image_features(s.astype(float)).assign(place=range(len(s))) for s in slices)
    variables = [
        ShiftVariable(column=c, statistic="ks") for c in ("mean", "skewness", "edge_share", "high_frequency_share")
    ]
    r = compare(a, b, variables, cluster="place", multivariate=["mmd"])  # the same place in both: pairs
    assert r["mmd"].finding == "shifted"
    assert len(r.shifted) >= 3
    same = compare(a[::2], a[1::2], variables, multivariate=["mmd"])
    assert same.shifted == ()
