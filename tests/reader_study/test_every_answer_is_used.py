"""Every file of known answers is either compared in this folder or named here with what it belongs to."""

from __future__ import annotations

import json
from pathlib import Path

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
    "google_",
    "proc_delong_",
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
    "localisation": ("rjafroc_froc_", "rjafroc_roi_", "rjafroc_own_froc"),
    "printed output whose data are not stored, or other versions of one that is compared": (
        "published_iowa/FedRoc",
        "published_iowa/VanDyke1",
        "published_iowa/VanDyke_ORDBM",
        "iroemetz_published",
        "imrmc_published",
        "roemetz_theory",
    ),
}


def test_every_file_of_our_own_data_has_a_place() -> None:
    for path in OWN.glob("*.json"):
        assert placed(path.name), path.name


@pytest.mark.shared
def test_every_shared_file_has_a_place(shared: Path) -> None:
    for row in json.loads((shared / "reference/mrmc/gold/INDEX.json").read_text()):
        assert placed(row["file"]), row["file"]


def placed(name: str) -> bool:
    return name.startswith(COMPARED) or any(name.startswith(prefixes) for prefixes in ELSEWHERE.values())
