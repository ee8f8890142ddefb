"""U-statistics against both engines of iMRMC: moments, components, variances, degrees of freedom, tests."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.reader_study.known_answers import OWN, answers, close, indexed, named_scores, scores_of
from validation.reader_study.analysis import Analysis, analyse
from validation.reader_study.judgement import Claim
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores, from_frame

PLAN = AnalysisPlan(method="ustat", holm=False)
# both engines print degrees of freedom with all digits but use their whole part, and the normal law from 50 on
NORMAL_FROM = 50


def tables(result: Analysis) -> dict[tuple[str, str | None, bool], dict[str, Any]]:
    """Return the component tables by (a, b, biased)."""
    return {(t["a"], t["b"], t["estimator"] == "V-statistic"): t for t in result.components["tables"]}


def their_test(estimate: float, null: float, variance: float, df: float) -> tuple[float, float, float]:
    """Return p-value and interval as iMRMC forms them from a variance and degrees of freedom."""
    law = stats.norm() if df >= NORMAL_FROM else stats.t(math.floor(df))
    se = math.sqrt(variance)
    return 2 * law.sf(abs(estimate - null) / se), estimate - law.ppf(0.975) * se, estimate + law.ppf(0.975) * se


def check_rows(result: Analysis, rows: pd.DataFrame, *, biased: bool, compare_df: bool, rtol: float = 1e-6) -> None:
    """Compare the rows of `Ustat` or `MLEstat`; ``compare_df`` is off where the engines disagree between themselves."""
    found = tables(result)
    means = {m["modality"]: m for m in result.modalities}
    diffs = {(d["a"], d["b"]): d for d in result.differences}
    for row in rows.to_dict("records"):
        a, b = str(row["modalityA"]), None if row["modalityB"] == "NO_MOD" else str(row["modalityB"])
        close(means[a]["estimate"], row["AUCA"], rtol=rtol)
        close(found[a, None, biased]["covariance"], row["varAUCA"], rtol=rtol)
        if b is None:
            df = means[a]["df"]
            if not biased and row["varAUCA"] > 0:
                close(df, row["dfBDG"], rtol=rtol)
                p, lower, upper = their_test(means[a]["estimate"], 0.5, means[a]["se"] ** 2, df)
                close([p, lower, upper], [row["pValueBDG"], row["botCIBDG"], row["topCIBDG"]], rtol=2e-6, atol=1e-10)
            continue
        table = found[a, b, biased]
        close(table["variance_of_difference"], row["varAUCAminusAUCB"], rtol=rtol, atol=1e-11)
        close(diffs[a, b]["estimate"], row["AUCAminusAUCB"], rtol=rtol)
        if row["varAUCAminusAUCB"] <= 0:
            assert diffs[a, b]["verdict"] == "inconclusive"
        elif compare_df:
            close(table["df"], row["dfBDG"], rtol=rtol)
            p, lower, upper = their_test(diffs[a, b]["estimate"], 0.0, table["variance_of_difference"], table["df"])
            close([p, lower, upper], [row["pValueBDG"], row["botCIBDG"], row["topCIBDG"]], rtol=2e-6, atol=1e-10)


def check_full(result: Analysis, full: dict[str, list[Any]]) -> None:
    """Compare moments and components of the R engine."""
    found = tables(result)
    for i, (a, b) in enumerate(zip(full["modalityID.1"], full["modalityID.2"], strict=True)):
        for biased, suffix in ((False, ""), (True, ".b")):
            table = found[str(a), None if a == b else str(b), biased]
            close(table["moments"], [full[f"M{k}{suffix}"][i] for k in range(1, 9)])
            close(table["moment_weights"], [full[f"M{k}.coeff"][i] for k in range(1, 9)], atol=1e-12)
            for name, value in table["components"].items():
                close(value, full[f"BCK.{name}{suffix}"][i], atol=1e-11)
                close(table["component_weights"][name], full[f"BCK.{name}.coeff"][i], atol=1e-12)


def check_readers(result: Analysis, rows: pd.DataFrame, rtol: float = 1e-6, atol: float = 1e-12) -> None:
    """Compare the per-reader table."""
    readers = {(r["reader"], r["modality"]): r for r in result.readers}
    diffs = {(d["reader"], d["a"], d["b"]): d for d in result.reader_differences}
    for row in rows.to_dict("records"):
        who, a, b = str(row["readerID"]), str(row["modalityA"]), str(row["modalityB"])
        if (who, a) not in readers:
            continue
        ours = readers[who, a]
        close(ours["estimate"], row["AUCA"], rtol=rtol)
        if row["varAUCA"] == row["varAUCA"] and row["varAUCA"] > 0:
            close(ours["se"] ** 2, row["varAUCA"], rtol=rtol, atol=atol)
        assert (ours["n_negative"], ours["n_positive"]) == (row["N0"], row["N1"]) or b != "NO_MOD"
        if b != "NO_MOD" and row["varAUCAminusAUCB"] > 1e-10:
            close(diffs[who, a, b]["se"] ** 2, row["varAUCAminusAUCB"], rtol=rtol, atol=atol)


def check_record(
    scores: ReaderScores, record: dict[str, Any], *, compare_df: bool = True, plan: AnalysisPlan = PLAN
) -> None:
    """Compare one record of the R engine."""
    result = analyse(scores, plan)
    for key, biased in (("Ustat", False), ("MLEstat", True)):
        check_rows(result, pd.DataFrame(record[key]), biased=biased, compare_df=compare_df)
    if "Ustat_full" in record:
        check_full(result, record["Ustat_full"])
    if "perReader" in record:
        rows = pd.DataFrame(record["perReader"])
        numbers = ["AUCA", "varAUCA", "AUCB", "varAUCB", "varAUCAminusAUCB"]
        check_readers(result, rows.assign(**{c: pd.to_numeric(rows[c], errors="coerce") for c in numbers}))


@pytest.mark.parametrize("name", ["ordinal", "continuous", "tiny", "splitplot"], ids=lambda n: f"iMRMC R 2.1.2-own_{n}")
def test_own_data_match_imrmc_r(name: str) -> None:
    _, (record,) = answers(OWN / f"imrmcR_own_{name}.json")
    check_record(scores_of(OWN / f"own_{name}.csv"), record)


@pytest.mark.shared
@pytest.mark.parametrize("file", indexed("imrmcR_auc_"))
def test_auc_matches_imrmc_r(file: str, shared: Path) -> None:
    gold, data = shared / "reference/mrmc/gold" / file, shared / "reference/mrmc/data"
    table = json.loads(gold.read_text()).get("data")
    for record in answers(gold)[1]:
        if "error" in record:  # the engine stopped: one reader in a modality, or a misspelt one
            continue
        name = record["desc"] if "#trial=" in record.get("desc", "") else table
        if "#trial=" in str(name) and not (data / name.split("#")[0]).is_file():
            continue
        if "nested" in file:
            scores = nested(data, record["design"])
            check_record(scores, record, compare_df=record["design"] == "case_nested_in_reader")
        else:
            check_record(named_scores(data, name), record)


def nested(data: Path, design: str) -> ReaderScores:
    """Return the nested versions of the Van Dyke data."""
    if "case_nested_in_" in design:
        column = "case_nested_in_reader" if "case_nested_in_reader" in design else "case_nested_in_modality"
        return named_scores(data, f"roc_vandyke_nested_ids.csv case={column}")
    table = pd.read_csv(data / "roc_vandyke.csv", dtype=str)
    first = (table["modality"] == "1") & table["reader"].isin(["1", "2"])
    second = (table["modality"] == "2") & table["reader"].isin(["3", "4", "5"])
    return from_frame(table[first | second])


@pytest.mark.shared
@pytest.mark.parametrize("file", indexed("imrmcR_viper", "imrmcR_noninferiority", "big_imrmcR"))
def test_split_plot_and_large_studies_match_imrmc_r(file: str, shared: Path) -> None:
    gold, data = shared / "reference/mrmc/gold" / file, shared / "reference/mrmc/data"
    record = json.loads(gold.read_text())
    name = record.get("data") or record["meta"]["data"]
    for result in answers(gold)[1]:
        for key in ("Ustat", "MLEstat", "Ustat_full"):
            if isinstance(result.get(key), list):
                result[key] = pd.DataFrame(result[key]).to_dict("list")
        # the R engine's floor of 1 degree of freedom comes from the two identical readers of the pseudo-model
        scores = as_scores(data / Path(name).name, result.get("desc", "AUC"))
        check_record(scores, result, compare_df="noninferiority" not in file)


def as_scores(path: Path, how: str) -> ReaderScores:
    """Return the ratings, or recall decisions as iMRMC enters them for one class, the other class being constant."""
    if "TP" not in how and "TN" not in how:
        return scores_of(path)
    table = pd.read_csv(path, dtype=str)
    recalled = (table["recall"] == "1").astype(float)
    return from_frame(table.assign(score=recalled.where(table["truth"] == ("1" if "TP" in how else "0"), 0.5)))


@pytest.mark.shared
@pytest.mark.parametrize("file", indexed("imrmcJava_"))
def test_auc_matches_imrmc_java(file: str, shared: Path) -> None:
    gold, data = shared / "reference/mrmc/gold" / file, shared / "reference/mrmc/data"
    table = json.loads(gold.read_text()).get("data")
    for record in answers(gold)[1]:
        if "error" in record:  # the engine hung
            continue
        if "nested" in file:
            scores = nested(data, record["input"])
        elif "roemetz" in file:
            stem, trial = record["input"].removesuffix(".imrmc").rsplit("_t", 1)
            if not (data / f"roc_{stem}.csv").is_file():
                continue
            scores = named_scores(data, f"roc_{stem}.csv#trial={trial}")
        else:
            scores = as_scores(data / table, record.get("score", "AUC"))
        if "modality 1" in scores.modalities:  # spelling in the file; the engine takes out blanks inside names
            frame = scores.to_frame()
            scores = from_frame(frame.assign(**{k: frame[k].str.replace(" ", "") for k in ("reader", "modality")}))
        check_java(scores, record)


def check_java(scores: ReaderScores, record: dict[str, Any]) -> None:
    """Compare variances and degrees of freedom (9 digits), and the decompositions (6 digits)."""
    result = analyse(scores, PLAN)
    known = set(scores.modalities)
    for key, biased in (("statAnalysis", False), ("statAnalysisMLE", True)):
        rows = pd.DataFrame(record[key])
        rows = rows[
            [
                str(a) in known and str(b) in known | {"NO_MOD"}
                for a, b in zip(rows["modalityA"], rows["modalityB"], strict=True)
            ]
        ]
        check_rows(result, rows, biased=biased, compare_df=True, rtol=2e-6)
    found = tables(result)
    names = {
        "ORtable": ("or", {"R": "R", "TR": "TR", "COV1": "cov1", "COV2": "cov2", "COV3": "cov3", "ERROR": "error"}),
        "DBMtable": ("dbm", {k: k for k in ("R", "C", "RC", "TR", "TC", "TRC")}),
        "MStable": ("ms", {"R": "R", "C": "C", "RC": "RC", "MR": "TR", "MC": "TC", "MRC": "TRC"}),
    }
    for key, (form, columns) in names.items():
        for row in record[key]:
            a, b = str(row["modalityA"]), None if row["modalityB"] == "NO_MOD" else str(row["modalityB"])
            table = found.get((a, b, row["UstatOrMLE"] == "MLE"))
            if row["Components"] != "components" or table is None or form not in table:
                continue
            for theirs, ours in columns.items():
                if ours in table[form] and row[theirs] != "NA":
                    close(table[form][ours], row[theirs], rtol=1e-5, atol=1e-8)


@pytest.mark.shared
@pytest.mark.parametrize("file", indexed("imrmcR_binary", "imrmcR_ustat11"))
def test_binary_endpoints_match_imrmc_r(file: str, shared: Path) -> None:
    gold, data = shared / "reference/mrmc/gold" / file, shared / "reference/mrmc/data"
    checked = 0
    for record in answers(gold)[1]:
        found = binary(record, data)
        if found is None:
            continue
        scores, endpoint, threshold = found
        result = analyse(scores, AnalysisPlan(method="ustat", endpoint=endpoint, threshold=threshold))
        checked += 1
        if "Ustat" in record:
            for key, biased in (("Ustat", False), ("MLEstat", True)):
                rows = pd.DataFrame(record[key]).replace("NA", np.nan)
                single = rows[rows["modalityB"] == "NO_MOD"]
                close([m["estimate"] for m in result.modalities], single["AUCA"])  # it prints 1 - FPF
                got = tables(result)
                close([got[m["modality"], None, biased]["covariance"] for m in result.modalities], single["varAUCA"])
                pair = rows[rows["modalityB"] != "NO_MOD"].iloc[0]
                table = got[str(pair["modalityA"]), str(pair["modalityB"]), biased]
                close(table["variance_of_difference"], pair["varAUCAminusAUCB"])
                close(table["df"], pair["dfBDG"])
        else:
            close([m["estimate"] for m in result.modalities], record["mean"][:2])
            variances = [tables(result)[m["modality"], None, False]["covariance"] for m in result.modalities]
            difference = tables(result)[record["a"], record["b"], False]["variance_of_difference"]
            close([*variances, difference], record["var"], atol=1e-12)
    assert checked >= 8


def binary(record: dict[str, Any], data: Path) -> tuple[ReaderScores, str, float | None] | None:
    """Return the study, endpoint and threshold of a binary record; None where the data are not stored or not binary."""
    if "Ustat" in record:
        endpoint = "sensitivity" if record["endpoint"] == "TPF" else "specificity"
        return scores_of(data / f"roc_{record['data']}.csv"), endpoint, float(record["threshold"][-1])
    words = record["desc"].split()
    conditional = words[-1].endswith("conditionalD")
    if words[0] in ("vandyke", "franken"):
        return scores_of(data / f"roc_{words[0]}.csv"), words[1], float(words[2][-1])
    path = data / f"roc_viper_{words[1]}.csv"
    if (
        words[0] != "viper" or not path.is_file() or conditional
    ):  # its conditional estimator weighs moments in another way
        return None
    table = pd.read_csv(path, dtype=str)
    return from_frame(table.assign(decision=(table["recall"] == "1").astype(int))), words[2], None


@pytest.mark.shared
def test_the_non_inferiority_recipe_has_one_conclusion(shared: Path) -> None:
    """The two engines disagree: Java 4.0.3 (df 132.2) finds non-inferiority, R 2.1.2 (df 1) does not.

    The two readers of the pseudo-model are copies: they add no reader variance, so their one df is no floor.
    """
    scores = scores_of(shared / "reference/mrmc/data/roc_viper_ni_ai_vs_sfm.csv")
    settings = {"method": "ustat", "claim": Claim.NON_INFERIORITY, "margin": 0.05, "control": "SFM"}
    d = analyse(scores, AnalysisPlan(**settings)).differences[0]  # type: ignore[arg-type]
    close([d["estimate"], d["se"]], [0.0121000866006439, 0.0296340255418093])
    close([d["statistic"], d["df"]], [2.09556702018191, 132.187917], rtol=1e-6)
    assert d["verdict"] == "pass"
    assert d["p_value"] < 0.025
    ai = next(r for r, took_part in zip(scores.readers, scores.took_part, strict=True) if took_part[0])
    single = scores.to_frame()
    single = from_frame(single[(single["modality"] != "AI") | (single["reader"] == ai)])
    again = analyse(single, AnalysisPlan(**settings)).differences[0]  # type: ignore[arg-type]
    close([again[k] for k in ("estimate", "se", "df")], [d[k] for k in ("estimate", "se", "df")])
