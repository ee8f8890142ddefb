"""Every file of known answers is compared in this folder, at least in part, or named here with why not.

A file being compared does not mean that every number in it is: `NOT_COMPARED` lists the parts that are not, with the
reason, and each is checked to exist, so that the list does not outlive the files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.reader_study.known_answers import OWN

COMPARED = (
    "imrmcR_auc_",
    "imrmcR_viper_",
    "imrmcR_noninferiority_",
    "imrmcR_binary_",
    "imrmcR_ustat11_",
    "imrmcR_limits_",
    "imrmcJava_",
    "big_",
    "mrmcaov_auc_",
    "mrmcaov_othermetrics_",
    "mrmcaov_single_reader_",
    "rjafroc_roc_",
    "rjafroc_cad_",
    "rjafroc_froc_",
    "rjafroc_roi_",
    "rjafroc_own_froc",
    "google_",
    "proc_delong_franken",
    "proc_delong_imrmc_",
    "proc_delong_rj",
    "proc_delong_v",
    "montecarlo_",
    "published_iowa/VanDyke.txt",
    "published_iowa/OBUMRM2_run_",
    "mrmcbinary_",
    "nestmrmc_",
    "mrmcaov_own_",
    "imrmcR_own_",
)
ELSEWHERE = {
    "simulation": ("imrmcR_gRoeMetz_defaults", "mrmcaov_roemetz_or_conversion"),
    "sizing": ("mrmcsamplesize_", "rjafroc_sizing_"),
    "tests/statistics, for it has markers and no readers": ("proc_delong_asah",),
    "printed output whose data are not stored, or other versions of one that is compared": (
        "published_iowa/FedRoc",
        "published_iowa/VanDyke1",
        "published_iowa/VanDyke_ORDBM",
    ),
}

# (file, fields that tell the records, why they are not compared)
NOT_COMPARED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("imrmcR_ustat11_binary.json", {"desc": "viper screeningHighP sensitivity recall==1 uStat11.conditionalD"},
     "this estimator weighs moments in another way when readers did not read all cases; jointD is compared"),
    ("imrmcR_ustat11_binary.json", {"desc": "viper challengeHighP sensitivity recall==1 uStat11.jointD"},
     "the decisions of the other five VIPER studies are not stored"),
    ("imrmcR_ustat11_binary.json", {"desc": "mitotic sensitivity microscope vs scanner.A"},
     "the data of the microscope study are not stored"),
    ("imrmcJava_auc_nested_vandyke.json", {"error": ...}, "the engine hung and gave no result"),
    ("imrmcJava_auc_imrmc_dbg_test_one_versus_many.json", {"error": ...}, "the engine hung and gave no result"),
    ("rjafroc_roc_rj02_vandyke.json", {"error": ...}, "it has DeLong covariances of the area only"),
    ("rjafroc_roc_rj02_vandyke.json", {"covEstMethod": "DeLong"}, "DeLong covariances are compared with MRMCaov"),
    ("rjafroc_cad_vs_readers.json", {"error": ...}, "the tool refuses figures of FROC for data of its type LROC"),
    ("rjafroc_roi_rjROI.json", {"error": ...}, "the tool refuses its own data of regions and gives no number"),
    ("rjafroc_sizing_froc.json", {"scaleFactor": ...},
     "the factor from a fitted search model that turns an effect on AUC into one on wAFROC; effects are stated for the "
     "endpoint itself here, and the power that follows from the factor is compared"),
)  # fmt: skip


def test_every_file_of_our_own_data_has_a_place() -> None:
    for path in OWN.glob("*.json"):
        assert placed(path.name), path.name


@pytest.mark.shared
def test_every_shared_file_has_a_place(shared: Path) -> None:
    for row in json.loads((shared / "reference/mrmc/gold/INDEX.json").read_text()):
        assert placed(row["file"]), row["file"]


def placed(name: str) -> bool:
    return name.startswith(COMPARED) or any(name.startswith(prefixes) for prefixes in ELSEWHERE.values())


@pytest.mark.shared
def test_what_is_not_compared_exists(shared: Path) -> None:
    gold = shared / "reference/mrmc/gold"
    for file, fields, why in NOT_COMPARED:
        assert why
        assert placed(file), file
        record = json.loads((gold / file).read_text())
        rows = record["results"] if "results" in record else record["result"]
        rows = rows if isinstance(rows, list) else [rows]
        assert any(all(k in row and v in (..., row[k]) for k, v in fields.items()) for row in rows), (file, fields)
