"""A run folder as `validation run` leaves it, from made-up measurements: small, complete and always the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from validation.digest import sha256_json
from validation.estimate import Estimate
from validation.evidence.events import Event
from validation.evidence.results import write_results

VENDORS = ("Simulated A", "Simulated B", "Simulated C")
HAZARDS = [
    {"id": "H1", "description": "A low-contrast lesion is smoothed away and missed by the reader."},
    {"id": "H2", "description": "A structure that is not in the patient appears in the image."},
    {"id": "H3", "description": "CT numbers shift and a lesion is mischaracterised."},
]


def write_example_run(folder: Path, *, patients: int = 48, draft: bool = False, conclusive: bool = True) -> Path:
    """Write a run folder and return it."""
    rng = np.random.default_rng(20260101)
    run = folder / "runs" / "low-dose-ct_20261122T020000Z_0a1b2c3d"
    (run / "measurements").mkdir(parents=True)
    (run / "images").mkdir()
    cases = _cases(rng, patients)
    cases.to_parquet(run / "cases.parquet", index=False)
    table = _measurements(rng, cases)
    table.to_parquet(run / "measurements" / "part-00000.parquet", index=False)
    protocol = _protocol()
    lock = {
        "lock": 1,
        "digest": sha256_json(protocol),
        "locked_at": "2026-11-02T09:14:07Z",
        "locked_by": "Example Signer",
        "protocol": protocol,
        "amendments": [
            {
                "version": "1.1.0",
                "previous_version": "1.0.0",
                "previous_digest": "9" * 64,
                "reason": "The planned number of patients was raised before any case was opened.",
                "amended_at": "2026-11-05T10:00:00Z",
                "amended_by": "Example Signer",
                "openings_before": 0,
                "changes": [{"path": "endpoints.E1.sample_size.planned_clusters", "before": 40, "after": 48}],
            }
        ],
    }
    (run / "protocol.lock.yaml").write_text(yaml.safe_dump(lock, sort_keys=False), encoding="utf-8")
    _write_json(run / "environment.json", _environment())
    _write_chain(
        run / "events.jsonl",
        [
            ("2026-11-22T02:00:00Z", "validation 0.1.0", "run-started", ""),
            ("2026-11-22T02:06:10Z", "validation 0.1.0", "deviation", "One series was read twice after a read error."),
            ("2026-11-22T02:09:30Z", "validation 0.1.0", "judged", ""),
        ],
    )
    _write_chain(
        folder / "ledger.jsonl",
        [
            ("2026-11-02T09:14:07Z", "Example Signer", "locked", "version 1.0.0"),
            ("2026-11-05T10:00:00Z", "Example Signer", "amended", "version 1.1.0"),
            ("2026-11-22T02:00:04Z", "Example Signer", "cohort-opened", "final analysis"),
            ("2026-11-23T08:00:00Z", "Example Signer", "cohort-opened", "after the run: must not appear"),
        ],
    )
    results = _results(rng, cases, table, lock, draft=draft, conclusive=conclusive)
    for entry in results["endpoints"]["E2"]["worst_cases"]:
        _images(rng, run / "images", entry["case_id"])
    write_results(run, results)
    return run


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


def _write_chain(path: Path, entries: list[tuple[str, str, str, str]]) -> None:
    previous = "0" * 64
    lines = []
    for seq, (time, actor, action, reason) in enumerate(entries):
        event = Event(seq=seq, prev_sha256=previous, time=time, actor=actor, action=action, reason=reason)
        previous = event.sha256()
        lines.append(event.line() + b"\n")
    path.write_bytes(b"".join(lines))


def _cases(rng: np.random.Generator, patients: int) -> pd.DataFrame:
    count = 2 * patients
    return pd.DataFrame(
        {
            "case_id": [f"case-{i:04d}" for i in range(count)],
            "cluster": [f"p{i // 2:03d}" for i in range(count)],
            "sex": np.repeat(rng.choice(["F", "M"], patients), 2),
            "age_band": np.repeat(rng.choice(["18-44", "45-64", "65+"], patients), 2),
            "manufacturer": np.repeat(rng.choice(VENDORS, patients, p=[0.5, 0.4, 0.1]), 2),
            "slice_thickness_mm": np.repeat(rng.choice([1.0, 2.5], patients), 2),
        }
    )


def _measurements(rng: np.random.Generator, cases: pd.DataFrame) -> pd.DataFrame:
    rows = []
    patient = {c: rng.normal(0, 1.2) for c in cases["cluster"].unique()}
    for case, cluster in zip(cases["case_id"], cases["cluster"], strict=True):
        noise_in = 38 + 2 * patient[cluster] + rng.normal(0, 2)
        noise_out = 0.55 * noise_in + rng.normal(0, 1.5)
        ssim_in = float(np.clip(0.78 + 0.01 * patient[cluster] + rng.normal(0, 0.02), 0, 1))
        for metric, unit, values in (
            (
                "noise_magnitude(region=uniform)",
                "HU",
                {"input": noise_in, "output": noise_out, "reference": 0.5 * noise_in},
            ),
            ("ssim", "1", {"input": ssim_in, "output": ssim_in + 0.09 + rng.normal(0, 0.012)}),
            ("hu_bias(region=liver)", "HU", {"input": rng.normal(0, 0.6), "output": rng.normal(0.4, 0.8)}),
        ):
            rows += [(case, metric, arm, np.int32(0), "", float(v), unit, "") for arm, v in values.items()]
    names = ["case_id", "metric", "arm", "draw", "component", "value", "unit", "note"]
    return pd.DataFrame(rows, columns=names)


def _estimate(values: np.ndarray, clusters: np.ndarray, unit: str, level: float = 0.95) -> dict[str, Any]:
    means = pd.Series(values).groupby(clusters).mean().to_numpy()
    if len(means) < 2:
        return Estimate.insufficient(
            f"{len(means)} patient; an interval needs at least two",
            n=len(values),
            n_clusters=len(means),
            unit=unit,
            method="cluster mean t",
            level=level,
        ).to_dict()
    half = 2.01 * means.std(ddof=1) / np.sqrt(len(means))
    return Estimate(
        value=float(means.mean()),
        lower=float(means.mean() - half),
        upper=float(means.mean() + half),
        level=level,
        unit=unit,
        method="patient-clustered mean, t",
        n=len(values),
        n_clusters=len(means),
    ).to_dict()


def _protocol() -> dict[str, Any]:
    return {
        "schema": 1,
        "id": "low-dose-ct-denoising",
        "version": "1.1.0",
        "title": "Denoising of simulated low-dose chest CT",
        "claim": {
            "type": "low_dose_denoising",
            "statement": "The model reduces noise in low-dose chest CT of adults while small structures stay visible.",
            "pathways": ["internal_validation", "us_510k", "eu_ce_mdr"],
            "model_family": "unet",
            "hazards": HAZARDS,
        },
        "population": {
            "description": "Adults referred for chest CT, scanned at reduced dose on scanners of three manufacturers.",
            "eligibility": "age >= 18 and slice_thickness_mm <= 3",
            "cluster": "patient_id",
            "target": {"sex": {"F": 0.48, "M": 0.52}, "age_band": {"18-44": 0.25, "45-64": 0.4, "65+": 0.35}},
            "subgroups": ["sex", "age_band", "manufacturer", "slice_thickness_mm"],
            "minimum_per_subgroup": 8,
            "minimum_clusters": 20,
        },
        "reference_standard": {
            "method": "Noise-free projection of the same phantom at full dose",
            "readers": None,
            "adjudication": None,
            "uncertainty": "The phantom is known exactly; interpolation adds less than 0.5 HU.",
        },
        "data_quality": [
            {
                "id": "DQ-1",
                "expect": "expect_column_values_to_not_be_null",
                "column": "sex",
                "arguments": {},
                "severity": "stop",
            }
        ],
        "independence": {"disjoint": ["patient_id"], "from": "training.csv", "after": None},
        "execution": {"precision": "fp32", "draws": 1, "seed": 20260101},
        "endpoints": [
            _plan(
                "E1",
                "primary",
                "Noise magnitude, output minus input",
                "noise_magnitude",
                {"region": "uniform"},
                {"type": "superiority", "margin": -5.0, "alpha": 0.025, "better": "lower"},
                ["H1"],
            ),
            _plan(
                "E2",
                "primary",
                "SSIM, output minus input",
                "ssim",
                {},
                {"type": "non_inferiority", "margin": 0.02, "alpha": 0.025, "better": "higher"},
                ["H1", "H2"],
            ),
            _plan(
                "E3",
                "secondary",
                "CT number bias in the liver",
                "hu_bias",
                {"region": "liver"},
                {"type": "equivalence", "margin": 1.0, "alpha": 0.025, "better": None},
                ["H3"],
            ),
            _plan(
                "E4",
                "exploratory",
                "Noise power spectrum",
                "nps_radial",
                {"region": "uniform"},
                {"type": "descriptive", "alpha": 0.025},
                [],
            ),
        ],
        "multiplicity": {"method": "fixed_sequence", "order": ["E1", "E2", "E3"], "gates": []},
    }


def _plan(
    name: str,
    role: str,
    title: str,
    metric: str,
    parameters: dict[str, Any],
    hypothesis: dict[str, Any],
    hazards: list[str],
) -> dict[str, Any]:
    return {
        "id": name,
        "role": role,
        "title": title,
        "metric": {"name": metric, **parameters},
        "summary": "paired_mean_difference",
        "summary_parameters": {},
        "comparator": "input",
        "hypothesis": {"margin": None, "lower": None, "upper": None, "unit": None, "better": None, **hypothesis},
        "cases": None,
        "rationale": "A quarter of the noise at full dose is the smallest change that readers notice."
        if hypothesis["type"] != "descriptive"
        else None,
        "hazards": hazards,
        "sample_size": {
            "planned_clusters": 48,
            "power": 0.9,
            "assumed_effect": -8.0,
            "assumed_sd": 6.0,
            "source": "pilot of 12 phantoms",
        }
        if role == "primary"
        else None,
        "subgroups": True,
    }


def _environment() -> dict[str, Any]:
    return {
        "python": "3.11.2",
        "platform": "Linux x86_64",
        "device": "cpu",
        "packages": {"numpy": "2.4.0", "torch": "2.13.0", "monai": "1.6.1"},
        "git_commit": "0" * 40,
        "seed": 20260101,
        "deterministic": True,
    }


def _results(
    rng: np.random.Generator,
    cases: pd.DataFrame,
    table: pd.DataFrame,
    lock: dict[str, Any],
    *,
    draft: bool,
    conclusive: bool,
) -> dict[str, Any]:
    protocol = lock["protocol"]
    count, clusters = len(cases), cases["cluster"].nunique()
    endpoints = {}
    for plan in protocol["endpoints"]:
        if plan["hypothesis"]["type"] == "descriptive":
            endpoints[plan["id"]] = _spectrum(plan, count, clusters)
        else:
            endpoints[plan["id"]] = _endpoint(plan, cases, table, conclusive=conclusive)
    outcome = "pass" if conclusive else "inconclusive"
    return {
        "schema": "validation.results/1",
        "run": {
            "id": "low-dose-ct_20261122T020000Z_0a1b2c3d",
            "started": "2026-11-22T02:00:00Z",
            "finished": "2026-11-22T02:09:30Z",
            "draft": draft,
            "purpose": "final analysis",
            "device": "cpu",
            "openings": 1,
            "draft_reasons": ["The protocol was not locked when the run began."] if draft else [],
        },
        "study": {
            "id": "low-dose-ct",
            "title": "Virtual imaging trial of a low-dose CT denoiser",
            "notice": "Simulated data: no image in this document comes from a patient.",
        },
        "protocol": {
            "id": protocol["id"],
            "version": protocol["version"],
            "title": protocol["title"],
            "digest": lock["digest"],
            "locked_at": lock["locked_at"],
            "locked_by": lock["locked_by"],
        },
        "claim": {
            "type": "low_dose_denoising",
            "title": "Low-dose denoising",
            "statement": protocol["claim"]["statement"],
            "strength_level": 1,
            "pathways": protocol["claim"]["pathways"],
            "hazards": HAZARDS,
        },
        "model": {
            "name": "demo-unet",
            "version": "0.3.1",
            "kind": "torchscript",
            "family": "unet",
            "sha256": "ab" * 32,
            "parameters": 482113,
            "stochastic": False,
            "draws": 1,
        },
        "cohort": {
            "n_listed": count + 5,
            "n_eligible": count + 3,
            "n_excluded": 2,
            "n_rejected": 3,
            "n_analysed": count,
            "n_clusters": clusters,
            "manifest_sha256": "cd" * 32,
            "exclusions": [
                {"case_id": "case-0901", "reason": "slice_thickness_mm <= 3 not satisfied"},
                {"case_id": "case-0902", "reason": "age >= 18 not satisfied"},
            ],
            "rejections": [{"case_id": f"case-091{i}", "reason": "missing slices"} for i in range(3)],
        },
        "data_quality": {
            "DQ-1": {
                "expectation": "expect_column_values_to_not_be_null",
                "column": "sex",
                "severity": "stop",
                "outcome": "pass",
                "n": count,
                "n_unexpected": 0,
                "detail": "",
            },
            "DQ-2": {
                "expectation": "expect_column_values_to_be_between",
                "column": "age",
                "severity": "warn",
                "outcome": "fail",
                "n": count,
                "n_unexpected": 2,
                "detail": "two ages above the stated maximum",
            },
        },
        "independence": {"patient_id": {"n_holdout": clusters, "n_training": 210, "n_shared": 0, "outcome": "pass"}},
        "representativeness": _representativeness(cases, protocol["population"]["target"]),
        "missing_covariates": {
            "sex": {"n_missing": 0, "n": count, "share": 0.0},
            "bmi": {"n_missing": 9, "n": count, "share": 9 / count},
        },
        "endpoints": endpoints,
        "multiplicity": {
            "method": "fixed_sequence",
            "order": ["E1", "E2", "E3"],
            "gates": [],
            "alpha": 0.025,
            "steps": [
                "E1 was tested at alpha 0.025 and met its criterion.",
                "E2 was tested because E1 met its criterion.",
            ],
        },
        "proposal": {
            "outcome": outcome,
            "reason": "Every primary endpoint met its criterion."
            if conclusive
            else "E2 is inconclusive: 12 patients were analysed, the protocol asks for at least 20.",
        },
    }


def _endpoint(plan: dict[str, Any], cases: pd.DataFrame, table: pd.DataFrame, *, conclusive: bool) -> dict[str, Any]:
    metric = plan["metric"]["name"]
    key = next(k for k in table["metric"].unique() if k.split("(")[0] == metric)
    wide = table[table["metric"] == key].pivot(index="case_id", columns="arm", values="value").loc[cases["case_id"]]
    unit = str(table.loc[table["metric"] == key, "unit"].iloc[0])
    difference = (wide["output"] - wide["input"]).to_numpy()
    cluster = cases["cluster"].to_numpy()
    outcome = "pass" if conclusive or plan["id"] == "E1" else "inconclusive"
    subgroups: dict[str, Any] = {}
    interaction: dict[str, Any] = {}
    for column in ("sex", "age_band", "manufacturer", "slice_thickness_mm"):
        subgroups[column] = {}
        for level in sorted(cases[column].unique()):
            where = (cases[column] == level).to_numpy()
            estimate = _estimate(difference[where], cluster[where], unit)
            few = (estimate["n_clusters"] or 0) < 8
            subgroups[column][str(level)] = {
                "estimate": estimate,
                "status": "inconclusive" if few else "pass",
                "reason": f"{estimate['n_clusters']} patients, fewer than the planned minimum of 8" if few else "",
            }
        interaction[column] = {
            "statistic": 1.37,
            "df1": len(subgroups[column]) - 1,
            "df2": 44.0,
            "p_value": 0.262,
            "method": "Wald F test of the interaction, cluster-robust",
            "reason": "",
        }
    worst = wide.assign(d=difference).sort_values("d", ascending=metric != "noise_magnitude").head(3)
    margin = plan["hypothesis"]["margin"]
    return {
        "title": plan["title"],
        "role": plan["role"],
        "metric": metric,
        "metric_key": key,
        "summary": plan["summary"],
        "comparator": "input",
        "unit": unit,
        "direction": {"noise_magnitude": "lower is better", "ssim": "higher is better"}.get(
            metric, "closer to zero is better"
        ),
        "hypothesis": {k: v for k, v in plan["hypothesis"].items() if k != "unit"},
        "rationale": plan["rationale"],
        "hazards": plan["hazards"],
        "estimate": _estimate(difference, cluster, unit),
        "verdict": {
            "outcome": outcome,
            "reason": "The whole interval lies on the favourable side of the margin."
            if outcome == "pass"
            else "12 independent patients are fewer than the 20 that the protocol requires for a verdict.",
            "hypothesis": plan["hypothesis"]["type"],
            "margin": margin,
            "alpha": 0.025,
            "p_value": 0.0000012 if metric == "noise_magnitude" else 0.0041,
            "p_adjusted": 0.0000012 if metric == "noise_magnitude" else 0.0041,
        },
        "arms": {arm: _estimate(wide[arm].to_numpy(), cluster, unit) for arm in ("output", "input")},
        "n_missing": 0,
        "subgroups": subgroups,
        "interaction": interaction,
        "sensitivity": {
            "worst_case": {"estimate": _estimate(difference * 0.93, cluster, unit), "outcome": outcome},
            "tipping_point": {"shift": 4.2, "reason": ""},
        },
        "sample_size": {**(plan["sample_size"] or {}), "required_clusters": 41} if plan["sample_size"] else None,
        "worst_cases": [
            {"case_id": i, "value": float(row["output"]), "comparator": float(row["input"])}
            for i, row in worst.iterrows()
        ],
    }


def _spectrum(plan: dict[str, Any], count: int, clusters: int) -> dict[str, Any]:
    x = np.linspace(0.02, 1.0, 30)
    curves = {}
    for arm, scale, peak in (("input", 900.0, 0.35), ("output", 270.0, 0.22), ("reference", 240.0, 0.34)):
        y = scale * (x / peak) * np.exp(1 - x / peak)
        curves[arm] = [
            {"x": float(a), "value": float(b), "lower": float(0.9 * b), "upper": float(1.1 * b)}
            for a, b in zip(x, y, strict=True)
        ]
    estimate = Estimate(
        value=0.224,
        lower=0.215,
        upper=0.233,
        unit="1/mm",
        method="patient-clustered bootstrap, percentile",
        n=count,
        n_clusters=clusters,
    ).to_dict()
    return {
        "title": "Peak frequency of the noise power spectrum",
        "role": "exploratory",
        "metric": "nps_radial",
        "metric_key": "nps_radial(region=uniform)",
        "summary": "peak_frequency",
        "comparator": "input",
        "unit": "1/mm",
        "direction": "descriptive",
        "hypothesis": {
            "type": "descriptive",
            "margin": None,
            "lower": None,
            "upper": None,
            "alpha": 0.025,
            "better": None,
        },
        "rationale": None,
        "hazards": [],
        "estimate": estimate,
        "verdict": {
            "outcome": "waived",
            "reason": "Descriptive: reported, not judged.",
            "hypothesis": "descriptive",
            "margin": None,
            "alpha": None,
            "p_value": None,
            "p_adjusted": None,
        },
        "arms": {"output": estimate},
        "n_missing": 0,
        "subgroups": {},
        "interaction": {},
        "sensitivity": {},
        "sample_size": None,
        "worst_cases": [],
        "curves": curves,
        "curve_axes": {"x": "Spatial frequency (1/mm)", "y": "Noise power (HU² mm²)"},
    }


def _representativeness(cases: pd.DataFrame, target: dict[str, dict[str, float]]) -> dict[str, Any]:
    one = cases.drop_duplicates("cluster")
    found: dict[str, Any] = {}
    for column, shares in target.items():
        levels = {}
        for level, share in shares.items():
            k, n = int((one[column] == level).sum()), len(one)
            p = k / n
            half = 1.96 * np.sqrt(p * (1 - p) / n)
            sd = np.sqrt(share * (1 - share))
            levels[level] = {
                "n": k,
                "observed": Estimate(
                    value=p, lower=max(0.0, p - half), upper=min(1.0, p + half), unit="1", method="Wilson", n=n
                ).to_dict(),
                "target": share,
                "standardised_difference": Estimate(
                    value=(p - share) / sd,
                    lower=(p - share - half) / sd,
                    upper=(p - share + half) / sd,
                    unit="1",
                    method="Wilson, scaled",
                    n=n,
                ).to_dict(),
            }
        found[column] = {
            "levels": levels,
            "goodness_of_fit": {"statistic": 1.2, "df": len(levels) - 1, "p_value": 0.41, "method": "chi-squared"},
        }
    return found


def _images(rng: np.random.Generator, folder: Path, case_id: str) -> None:
    from PIL import Image

    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    body = 110.0 * ((x / 0.9) ** 2 + (y / 0.7) ** 2 < 1) + 40.0 * ((x - 0.3) ** 2 + y**2 < 0.04)
    for arm, sd in (("input", 25.0), ("output", 9.0), ("reference", 4.0)):
        pixels = np.clip(body + rng.normal(0, sd, body.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{case_id}.{arm}.png")
