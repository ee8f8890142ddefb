"""Make the simulated texts of the report-drafting study: dictated findings, drafts with known errors, signed reports.

    python studies/report-drafting/make_data.py [--patients 300] [--seed 41]

Errors are planted at known rates, which ``answers/planted.csv`` lists; the study must find them.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
RATES = {"omitted": 0.02, "invented": 0.015, "wrong side": 0.01, "wrong size": 0.02}
FINDINGS = ("pneumothorax", "nodule", "pleural effusion", "consolidation", "cardiomegaly", "rib fracture")
COLUMNS = ("pneumothorax", "nodule", "effusion", "consolidation", "cardiomegaly", "fracture")
SHARE = (0.1, 0.25, 0.25, 0.15, 0.2, 0.08)


@dataclass(frozen=True)
class Finding:
    """What a report says of one finding."""

    name: str
    status: str
    side: str = ""
    size_mm: int = 0


def sentence(finding: Finding, wording: int) -> str:
    """Return a finding in words; different people word it differently."""
    if finding.status == "absent":
        return (f"No {finding.name}.", f"There is no evidence of {finding.name}.")[wording]
    hedge = "Possible " if finding.status == "uncertain" else ""
    name = finding.name if hedge else finding.name.capitalize()
    size = f" of {finding.size_mm} mm" if finding.size_mm else ""
    side = f" on the {finding.side}" if finding.side else ""
    return f"{hedge}{name}{size}{side}."


def truth(rng: np.random.Generator) -> list[Finding]:
    """Return the findings of one patient."""
    found = []
    for name, share in zip(FINDINGS, SHARE, strict=True):
        if rng.random() < share:
            status = "uncertain" if rng.random() < 0.15 else "present"
            side = "" if name == "cardiomegaly" else ("left", "right")[int(rng.integers(2))]
            size = int(rng.integers(4, 30)) if name == "nodule" else 0
            found.append(Finding(name, status, side, size))
        elif rng.random() < 0.5:
            found.append(Finding(name, "absent"))
    return found


def drafted(findings: list[Finding], rng: np.random.Generator) -> tuple[list[Finding], list[str]]:
    """Return what the draft says, with its errors, and the names of the errors."""
    kept, errors = [], []
    for finding in findings:
        new = finding
        if finding.status == "present":
            if rng.random() < RATES["omitted"]:
                errors.append(f"omitted {finding.name}")
                continue
            if finding.side and rng.random() < RATES["wrong side"]:
                new = replace(new, side="right" if finding.side == "left" else "left")
                errors.append(f"wrong side {finding.name}")
            if finding.size_mm and rng.random() < RATES["wrong size"]:
                new = replace(new, size_mm=finding.size_mm + 9)
                errors.append(f"wrong size {finding.name}")
        kept.append(new)
    said = {finding.name for finding in findings}
    for name in FINDINGS:
        if name not in said and rng.random() < RATES["invented"]:
            kept.append(Finding(name, "present", "" if name == "cardiomegaly" else "left"))
            errors.append(f"invented {name}")
    return kept, errors


def main() -> None:
    """Write sources, signed reports, drafts, the case table and the list of planted errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    for name in ("data", "answers"):
        (options.out / name).mkdir(parents=True, exist_ok=True)
    cases, drafts, planted = [], [], []
    for k in range(options.patients):
        rng = np.random.default_rng([options.seed, k])
        findings = truth(rng)
        said, errors = drafted(findings, rng)
        case = f"r{k:03d}"
        source = "Frontal and lateral views. " + " ".join(sentence(f, 1) for f in findings)
        signed = "Chest radiograph. " + " ".join(sentence(f, 0) for f in findings)
        draft = "Chest radiograph in two views. " + " ".join(sentence(f, int(rng.integers(2))) for f in said)
        for kind, text in (("source", source), ("signed", signed)):
            (options.out / "data" / f"{case}.{kind}.txt").write_text(text + "\n", encoding="utf-8")
        status = {f.name: f.status for f in findings}
        read = [status.get(name, "unmentioned") for name in FINDINGS]
        kind = "abnormal" if {"present", "uncertain"} & set(read) else "normal"
        cases.append([case, f"sim-{k:03d}", "FM"[k % 2], kind, f"{case}.source.txt", f"{case}.signed.txt", *read])
        drafts.append([case, draft])
        planted += [[case, error] for error in errors]
    head = "case_id,patient_id,sex,report_type,text.source,text.reference," + ",".join(f"read.{c}" for c in COLUMNS)
    for path, columns, rows in (
        (options.out / "data" / "cases.csv", head, cases),
        (options.out / "answers" / "drafts.csv", "case_id,text", drafts),
        (options.out / "answers" / "planted.csv", "case_id,error", planted),
    ):
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns.split(","))
            writer.writerows(rows)
    print(f"{len(cases)} reports with {len(planted)} planted errors in {options.out / 'data'}")


if __name__ == "__main__":
    main()
