"""Every number that other tools gave for the shared pairs is compared in a test, or named here with why it is not.

``COMPARED`` names what is compared and the test file; ``NOT_COMPARED`` the difference of definition or the defect.
Every key of every record must be in one of them, so that no answer is passed over in silence.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.shared
HERE = Path(__file__).resolve().parents[3]
FACTS = {"train", "synthetic", "holdout", "reference", "test", "n", "target", "seconds", "seconds_wall_cpu", "wall",
         "cpu", "pearson_columns", "jsd_cpu_s", "norm_corr_diff_cpu_s", "discriminator_auc_cpu_s"}  # fmt: skip
GOLD = "tests/metrics/tabular/test_gold.py"

COMPARED: dict[str, dict[str, str]] = {
    "reference": {
        "marginals_train_vs_syn": GOLD,
        "marginals_train_vs_holdout": GOLD,
        "spearman_frobenius_diff": GOLD,
        "by_gender": GOLD,
        "pmse_logit_insample": GOLD,
        "mmd2_rbf": GOLD,
        "full_size_privacy": GOLD,
        "ci_overlap_logit": GOLD,
        "survival_rott": GOLD,
        "fairlearn_top20pct": "tests/fairness/test_measures.py",
    },
    "sdmetrics": {"column_shapes": GOLD},
    "aif360": {
        "p_trtr|race_caucasian": "tests/fairness/test_measures.py",
        "p_trtr|gender_male": "tests/fairness/test_measures.py",
        "p_tstr|race_caucasian": "tests/fairness/test_measures.py",
        "p_tstr|gender_male": "tests/fairness/test_measures.py",
    },
    "alibi_detect": {
        "KSDrift": "tests/shift/test_distances.py",
        "CVMDrift": "tests/shift/test_distances.py",
        "ChiSquareDrift": "tests/shift/test_distances.py",
        "MMDDrift": "tests/shift/test_multivariate.py",
    },
    "pyhealth_generative": {"reference_longitudinal": GOLD},
}
NOT_COMPARED: dict[str, dict[str, str]] = {
    "reference": {
        "pearson_maxabs_diff": "association of numbers is Spearman's here, which is compared",
        "mmd2_rbf_train_holdout": "the same kernel as mmd2_rbf, on two real tables",
        "dcr_gower_common_range": "first 2,000 rows, ranges of other rows; full_size_privacy is compared",
        "mia_distance_attack": "as dcr_gower_common_range",
        "by_sex": "the same as by_gender, for another study",
        "by_meno": "the same as by_gender, for another study",
        "energy_distance2_first1000": "no energy distance among the table metrics",
        "by_race": "the same as by_gender, for other groups",
        "utility_logit": "a logistic model of other terms; the paired difference of areas that it feeds is compared "
        "with DeLong's in tests/statistics",
    },
    "sdmetrics": {
        "quality_score": "a mean of scores of different things, whose meaning changed between versions",
        "quality_properties": "as quality_score",
        "column_pairs": "correlation similarity and overlap of joint shares, halved; here the difference of Spearman, "
        "Cramer's V and correlation ratio with an interval",
        "diagnostic_score": "data validity: the tables' structure is judged by rules here",
        "KSComplement": "the values of column_shapes again",
        "TVComplement": "the values of column_shapes again",
        "RangeCoverage": "grows with the number of records; tails are judged by exact tests here",
        "CategoryCoverage": "grows with the number of records; rare levels are judged by exact tests here",
        "LogisticDetection_seed0": "perfect for tables without any dependence: the classifier here is not linear",
        "NewRowSynthesis_first2000": "numbers match within 1 %; copies here are equal in every cell",
        "DCROverfitting_first2000": "scales each reference by its own range, calls ties safe; one range for both here",
        "DCRBaseline_first2000_seed0": "against uniform random records, which every generator beats",
        "BinaryClassifierPrecisionEfficacy_seed0": "an error for two pairs; utility here is a paired difference",
    },
    "syntheval": {
        "metrics": "first 2,000 rows; correlation of mixed columns without correction for chance, Gower ranges of each "
        "search's own tables, one-sided accuracy of attacks; the same questions are compared with the reference",
    },
    "anonymeter": {
        "singling_out_univariate": "each table is asked by itself; here a hit fits one person of both tables",
        "singling_out_multivariate": "as singling_out_univariate",
        "linkability_k10": "any common member of ten neighbours; here the nearest on both sides must be the same",
        "inference_race": "a sample of 500 people, ties broken otherwise; all people up to 20,000 here",
        "inference_target": "as inference_race",
        "inference_groups": "attacked control hits are divided by the whole control group: a defect",
    },
    "mostlyai_qa": {"metrics": "rounded, subsampled, distances of text embeddings: for ranking only"},
    "syndat": {
        "jsd": "Jensen-Shannon distance of ten bins; here Kolmogorov-Smirnov and total variation, without bins",
        "norm_corr_diff": "norm of a matrix of correlations of level codes",
        "discriminator_auc": "a forest cross-validated without a seed; duplicates push it below one half",
    },
    "pyhealth_generative": {
        "prevalence": "correlation of prevalences, resampled over codes and not patients",
        "nnaar_n500": "500 patients drawn at random; the share nearer to training patients is judged here",
        "mia_n400": "400 patients, accused below a median: an attack of fixed 50 % false positives",
    },
}


def records(shared: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "reference" / "ehr" / f"{name}.json").read_text())["results"]
    return found


def test_every_number_has_a_place(shared: Path) -> None:
    names = {p.stem for p in (shared / "reference" / "ehr").glob("*.json")} - {"pmse_null_check"}  # one check, below
    assert names == set(COMPARED) | set(NOT_COMPARED)
    for name in names:
        placed = FACTS | set(COMPARED.get(name, {})) | set(NOT_COMPARED.get(name, {}))
        for key, record in records(shared, name).items():
            if key in placed:
                continue
            assert isinstance(record, dict), (name, key)
            assert set(record) <= placed, (name, key, set(record) - placed)


def test_the_list_does_not_outlive_the_files(shared: Path) -> None:
    for name, keys in [*COMPARED.items(), *NOT_COMPARED.items()]:
        found = records(shared, name)
        there = set(found) | {k for r in found.values() if isinstance(r, dict) for k in r}
        assert set(keys) <= there, (name, set(keys) - there)


def test_what_is_said_to_be_compared_is_read_there() -> None:
    for name, keys in COMPARED.items():
        for key, where in keys.items():
            text = (HERE / where).read_text(encoding="utf-8")
            assert name in text, (name, where)
            if where == GOLD:
                assert key in text, (key, where)


def test_the_null_of_the_propensity_score_is_the_exchangeable_one(shared: Path) -> None:
    # forty permutations: their mean is twice the null of Snoke et al., as (k - 1) c (1 - c) / N says for c = 1/2
    found = json.loads((shared / "reference" / "ehr" / "pmse_null_check.json").read_text())
    error = found["perm_sd"] / found["perms"] ** 0.5
    assert abs(found["perm_mean"] - 2 * found["theory_mean"]) < 3 * error
