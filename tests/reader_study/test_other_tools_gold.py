"""Analyses against RJafroc, pROC and the only Python code for reader studies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.reader_study.known_answers import answers, close, indexed, scores_of
from validation.reader_study.analysis import analyse
from validation.reader_study.judgement import Claim
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan


def values(frame: dict[str, Any], key: str) -> list[Any]:
    """Return a column of an exported R data frame as a list."""
    column = frame[key]
    return column if isinstance(column, list) else [column]


@pytest.mark.shared
@pytest.mark.parametrize("file", indexed("rjafroc_roc_"))
def test_obuchowski_rockette_and_dbm_match_rjafroc(file: str, shared: Path) -> None:
    record = json.loads((shared / "reference/mrmc/gold" / file).read_text())
    name = next(
        p for p in (shared / "reference/mrmc/data").glob("roc_*.csv") if file.removeprefix("rjafroc_")[4:-5] in p.name
    )
    checked = 0
    for gold in record["results"]:
        if "error" in gold or gold["FOM"] != "Wilcoxon" or gold["covEstMethod"] != "jackknife":
            continue
        effects = gold["analysisOption"]
        method = gold["method"].lower()
        result = analyse(scores_of(name), AnalysisPlan(method=method, effects=Effects[effects], holm=False))
        theirs = gold["result"][effects]
        truncated = effects == "FRRC" and result.components.get("cov2", 1) < result.components.get("cov3", 0)
        if effects == "FRRC" and method == "dbm":
            truncated = result.components["TC"] < 0
        diffs = theirs["ciDiffTrt"]
        close([d["estimate"] for d in result.differences], values(diffs, "Estimate"))
        if not truncated:  # it sets Cov2 - Cov3 to 0 where negative even for fixed readers
            close([d["se"] for d in result.differences], values(diffs, "StdErr"))
            key = "PrGTt" if "PrGTt" in diffs else "PrGTz"
            close([d["p_value"] for d in result.differences], values(diffs, key))
            close([d["lower"] for d in result.differences], values(diffs, "CILower"))
            equality = result.anova["equality"]
            tests = theirs["FTests"]
            close(equality["p_value"], values(tests, "p")[0])
            statistic = next(k for k in ("FStat", "F", "Chisq") if k in tests)
            close(equality["statistic"], values(tests, statistic)[0])
        if "DF" in diffs:
            close([d["df"] for d in result.differences], values(diffs, "DF"))
        anova, var = gold["result"]["ANOVA"], gold["result"]["ANOVA"]["VarCom"]
        if method == "dbm":
            close(
                [result.anova[k]["mean_square"] for k in ("T", "R", "C", "TR", "TC", "RC", "TRC")],
                anova["TRCanova"]["MS"][:7],
                atol=1e-10,
            )
            c = result.components
            close([c[k] for k in ("R", "C", "TR", "TC", "RC", "error")], var["Estimates"], atol=1e-10)
        else:
            c = result.components
            ours = [c[k] for k in ("var_reader", "var_reader_modality", "cov1", "cov2", "cov3", "var_error")]
            start = 2 if c["cov2"] < c["cov3"] else 0  # it sets Cov2 - Cov3 to 0 in the components too
            close(ours[start:], var["Estimates"][start:])
        if "ciDiffTrtEachRdr" in theirs:
            own = theirs["ciDiffTrtEachRdr"]
            named = dict(zip(values(own, "_row"), values(own, "StdErr"), strict=True))
            for d in result.reader_differences:
                row = (
                    next(k for k in named if k.startswith(f"rdr{d['reader']}::") and same_pair(k, d["a"], d["b"]))
                    if any(k.startswith(f"rdr{d['reader']}::") for k in named)
                    else None
                )
                if row:
                    close(d["se"], named[row])
        checked += 1
    assert checked >= 6


def same_pair(row: str, a: str, b: str) -> bool:
    """Return whether a row name such as ``rdr1::trt1-trt2`` is about this pair."""
    return row.split("::")[1] == f"trt{a}-trt{b}"


@pytest.mark.shared
@pytest.mark.parametrize("file", indexed("google_reader_study"))
def test_non_inferiority_matches_the_google_code(file: str, shared: Path) -> None:
    """Its figures of merit are kept in float32, hence the tolerance."""
    checked = 0
    for record in answers(shared / "reference/mrmc/gold" / file)[1]:
        if record["fn"] != "dual_modality_orh":
            continue
        scores = scores_of(shared / "reference/mrmc/data" / record["data"])
        claim = Claim.NON_INFERIORITY if record["margin"] else Claim.SUPERIORITY
        plan = AnalysisPlan(claim=claim, margin=record["margin"], control=record["modalities"][0])
        d = analyse(scores, plan).differences[0]
        theirs = record["result"]
        close(
            [d["estimate"], d["statistic"], d["df"]], [theirs["effect"], theirs["statistic"], theirs["dof"]], rtol=2e-5
        )
        close([d["p_value"], d["lower"], d["upper"]], [theirs["pvalue"], *theirs["ci"]], rtol=2e-4, atol=1e-6)
        checked += 1
    assert checked == 10


@pytest.mark.shared
@pytest.mark.parametrize("file", [p for p in indexed("proc_delong_") if "asah" not in p.id])
def test_single_readers_match_proc(file: str, shared: Path) -> None:
    gold = json.loads((shared / "reference/mrmc/gold" / file).read_text())
    scores = scores_of(shared / "reference/mrmc/data" / gold["data"])
    singles = {(str(r["reader"]), str(r["modality"])): r for r in gold["single"]}
    checked = 0
    for reader in scores.readers:
        one = scores.select(readers=[reader])
        if not one.read.all():
            continue
        result = analyse(one, AnalysisPlan(method="or", covariance="delong", effects=Effects.FRRC, holm=False))
        for row in result.readers:
            theirs = singles[reader, row["modality"]]
            close(row["estimate"], theirs["auc"])
            if theirs["var_delong"] > 0:
                close(row["se"] ** 2, theirs["var_delong"])
            checked += 1
        for of, key in (("specificity", "pauc_spec_1_0.8"), ("sensitivity", "pauc_sens_1_0.8")):
            # MRMCaov 0.3.0 differs for curves with a point at a sensitivity of exactly 0.8; these agree
            plan = AnalysisPlan(method="or", endpoint="partial_auc", band_of=of, effects=Effects.FRRC)
            for row in analyse(one, plan).readers:
                close(0.2 * row["estimate"], singles[reader, row["modality"]][key])
        if len(scores.modalities) == 2:
            pair = next(p for p in gold["pairwise"] if str(p["reader"]) == reader)
            d = result.differences[0]
            if pair["paired"]["p"] not in ("NA", "NaN", None) and d["p_value"] is not None:
                close([abs(d["statistic"]), d["p_value"]], [abs(pair["paired"]["Z"]), pair["paired"]["p"]])
    assert checked == len(singles)


@pytest.mark.shared
def test_the_published_output_of_or_dbm_mrmc_is_printed_again(shared: Path) -> None:
    """OR-DBM MRMC 2.5 (Iowa), Van Dyke data: every line of its three analyses, to its last digit."""
    text = " ".join((shared / "reference/mrmc/gold/published_iowa/VanDyke.txt").read_text(errors="replace").split())
    scores = scores_of(shared / "reference/mrmc/data/roc_vandyke.csv")
    lines = []
    for effects in Effects:
        result = analyse(scores, AnalysisPlan(method="or", effects=effects))
        d = result.differences[0]
        df = {Effects.RRRC: f"{d['df'] or 0:.2f} ", Effects.FRRC: "", Effects.RRFC: "4 "}[effects]
        lines.append(
            f"{d['estimate']:.5f} {d['se']:.5f} {df}{d['statistic']:.2f} {d['p_value']:.4f} "
            f"({d['lower']:.5f} , {d['upper']:.5f})"
        )
        lines += [f"({m['lower']:.8f} , {m['upper']:.8f})" for m in result.modalities]
    result = analyse(scores, AnalysisPlan(method="or"))
    c = result.components
    lines += [f"Var(R) {c['var_reader']:.8f}", f"Var(T*R) {c['var_reader_modality']:.8f}"]
    lines += [f"COV{k} {c[f'cov{k}']:.8f} {c[f'correlation{k}']:.8f}" for k in (1, 2, 3)]
    dbm = analyse(scores, AnalysisPlan(method="dbm")).components
    lines += [f"Var({name}) {dbm[key]:.8f}" for name, key in (("C", "C"), ("T*C", "TC"), ("R*C", "RC"))]
    for line in lines:
        assert line in text, line


@pytest.mark.shared
def test_obumrm2_is_printed_again(shared: Path) -> None:
    """OBUMRM2 (Fortran, 2005), DeLong covariance, to its last printed digit."""
    for name in ("vandyke", "franken"):
        path = shared / f"reference/mrmc/gold/published_iowa/OBUMRM2_run_{name}.txt"
        text = " ".join(path.read_text(errors="replace").split())
        scores = scores_of(shared / f"reference/mrmc/data/roc_{name}.csv")
        result = analyse(scores, AnalysisPlan(method="or", covariance="delong"))
        found = result.anova["equality"]
        if name == "vandyke":
            df = float(text.split(f"F*= {found['statistic']:.3f} with 1 and ")[-1].split()[0])
            close(found["df2"], df, rtol=1e-3)  # it works in single precision
            assert f"corresponding p-value is {found['p_value']:.4f}" in text
            fixed = analyse(scores, AnalysisPlan(method="or", covariance="delong", effects=Effects.FRRC))
            assert f"with p-value of {fixed.differences[0]['p_value']:.4f}" in text
        for r in result.readers:
            if r["se"] is not None:
                assert f"{r['estimate']:.4f} ({r['se']:.4f})" in text
