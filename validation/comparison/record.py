"""From the folder of a comparison to its results: matrix, differences, spread over seeds, purposes, proposal.

Intervals and verdicts of single models are at ``1 - 2 alpha / k`` for ``k`` candidates: whichever candidate is picked
afterwards, the chance that a criterion was met by luck stays at ``alpha``. Within a candidate the multiplicity of the
protocol applies on top. Differences between candidates are a family of their own (:mod:`.differences`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from validation.comparison.conduct import COPY, model_folder, read_inputs
from validation.comparison.differences import ALPHA, Difference, judge_family, paired_difference
from validation.comparison.measures import (
    TITLES,
    Row,
    compute_rows,
    fact_rows,
    feature_table,
    guarded,
    privacy_rows,
    read_readings,
    seed_spread,
    set_rows,
)
from validation.comparison.purposes import fitness, propose
from validation.comparison.spec import Candidate, ComparisonSpec, plain
from validation.digest import sha256_json
from validation.estimate import Estimate
from validation.evidence.events import utc_now
from validation.protocol import lock as locks
from validation.protocol.claims import claim_facts
from validation.protocol.load import load_yaml_model
from validation.protocol.schema import Protocol
from validation.statistics.sample import Sample
from validation.study.assemble import protocol_section, run_section
from validation.study.endpoints import Prepared, prepare_endpoint
from validation.study.execute import LOCK_FILE
from validation.study.judge import judge
from validation.study.samples import read_cases, read_measurement_table
from validation.study.spec import StudySpec

SCHEMA = "validation.comparison/1"
KEPT = ("estimate", "verdict", "arms", "n_missing", "sampler")


@dataclass(frozen=True)
class Measured:
    """What one checkpoint left behind."""

    cases: pd.DataFrame
    measurements: pd.DataFrame
    model: dict[str, Any]


def judge_comparison(folder: Path, *, finished: str | None = None) -> dict[str, Any]:
    """Return the results of a measured comparison. Nothing is written; no model and no image is read."""
    record = locks.read_lock(folder / LOCK_FILE)
    protocol = record.parsed()
    spec = load_yaml_model(folder / COPY, ComparisonSpec)
    study = load_yaml_model(folder / "study.yaml", StudySpec)
    inputs = read_inputs(folder)
    shared = shared_alpha(protocol, len(spec.candidates))
    data = {(c.id, k.seed): _read(model_folder(folder, c.id, k.seed)) for c in spec.candidates for k in c.checkpoints}
    first = {c.id: data[c.id, c.checkpoints[0].seed] for c in spec.candidates}
    judged = {name: judge(shared, found.cases, found.measurements)["endpoints"] for name, found in first.items()}
    prepared = {
        key: {e.id: prepare_endpoint(e, shared, found.cases, found.measurements) for e in shared.endpoints}
        for key, found in data.items()
    }
    alpha = min((e.hypothesis.alpha for e in shared.endpoints), default=0.025)
    level = 1 - 2 * alpha
    rows = {c.id: _rows(folder, spec, c, first[c.id]) for c in spec.candidates}
    matrix = {**_endpoint_rows(shared, spec, judged), **_measure_rows(rows, spec, level)}
    purposes = fitness(spec, judged, rows, alpha)
    cases = next(iter(first.values())).cases
    return {
        "schema": SCHEMA,
        "run": run_section(inputs, finished or utc_now()),
        "study": {"id": study.id, "title": spec.title, "notice": study.notice},
        "protocol": protocol_section(inputs, record, protocol),
        "claim": {
            "type": protocol.claim.type,
            "title": claim_facts(protocol.claim.type)["title"],
            "statement": protocol.claim.statement,
        },
        "comparison": {
            "id": spec.id,
            "digest": sha256_json(plain(spec)),
            "set": inputs["set"],
            "reference": spec.reference or "",
            "n_candidates": len(spec.candidates),
            "alpha": alpha,
            "level": level,
            "compute": read_readings(folder, "compute") | {"models": {}},
        },
        "cohort": {
            **json.loads((folder / "checks" / "cohort.json").read_bytes()),
            "n_cases": len(cases),
            "n_clusters": int(cases["cluster"].nunique()),
        },
        "candidates": {
            c.id: {
                "label": c.label,
                "family": c.family,
                "model": first[c.id].model,
                "seeds": [str(k.seed) for k in c.checkpoints],
                "digests": [data[c.id, k.seed].model["sha256"] or "" for k in c.checkpoints],
                "n_checkpoints": len(c.checkpoints),
                "n_rejected": int((first[c.id].cases["status"] == "rejected").sum()),
                "latent": _latent(folder, c),
            }
            for c in spec.candidates
        },
        "matrix": matrix,
        "stability": _stability(shared, spec, prepared, level),
        "differences": _differences(spec, {c.id: prepared[c.id, c.checkpoints[0].seed] for c in spec.candidates}),
        "purposes": purposes,
        "proposal": propose(spec, purposes, inputs["set"]),
    }


def shared_alpha(protocol: Protocol, candidates: int) -> Protocol:
    """Return the protocol with the error of every endpoint shared out over the candidates (Bonferroni)."""
    endpoints = [
        e.model_copy(
            update={
                "hypothesis": e.hypothesis.model_copy(update={"alpha": e.hypothesis.alpha / candidates}),
                "subgroups": False,
            }
        )
        for e in protocol.endpoints
    ]
    return protocol.model_copy(update={"endpoints": endpoints})


def _read(place: Path) -> Measured:
    return Measured(
        cases=read_cases(place),
        measurements=read_measurement_table(place),
        model=json.loads((place / "model.json").read_bytes()),
    )


def _rows(folder: Path, spec: ComparisonSpec, candidate: Candidate, found: Measured) -> dict[str, Row]:
    rows: list[Row] = []
    if spec.sets is not None:
        outputs, real = (feature_table(spec, found.cases, found.measurements, arm) for arm in ("output", "reference"))
        rows += set_rows(spec, outputs, real)
    if spec.members is not None:
        place = folder / "members" / candidate.id
        rows += privacy_rows(spec, found.cases, found.measurements, read_cases(place), read_measurement_table(place))
    rows += compute_rows(read_readings(folder, "compute"), candidate.id)
    rows += fact_rows(read_readings(folder, "latent"), candidate)
    return {row[0]: row for row in rows}


def _endpoint_rows(
    protocol: Protocol, spec: ComparisonSpec, judged: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for endpoint in protocol.endpoints:
        sections = {name: sections[endpoint.id] for name, sections in judged.items()}
        one = next(iter(sections.values()))
        rows[endpoint.id] = {
            "dimension": "utility" if endpoint.id in spec.utility else "fidelity",
            "title": endpoint.title,
            "unit": one["unit"],
            "direction": one["direction"],
            "summary": one["summary"],
            "hypothesis": one["hypothesis"],
            "cells": {name: {key: s[key] for key in KEPT if key in s} for name, s in sections.items()},
        }
        if any("sampler" in s for s in sections.values()):
            rows[f"sampler_{endpoint.id}"] = {
                "dimension": "diversity",
                "title": f"Spread between samples of one case, {endpoint.id}",
                "unit": one["unit"],
                "direction": "descriptive",
                "cells": {
                    name: {"estimate": s["sampler"]["within_case_sd"]} for name, s in sections.items() if "sampler" in s
                },
            }
    return rows


def _measure_rows(rows: dict[str, dict[str, Row]], spec: ComparisonSpec, level: float) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, (dimension, title, unit, direction) in TITLES.items():
        cells = {
            candidate: {"estimate": guarded(name, own[name][1], level).to_dict()}
            for candidate, own in rows.items()
            if name in own
        }
        if cells:
            found[name] = {"dimension": dimension, "title": title, "unit": unit, "direction": direction, "cells": cells}
    return found


def _stability(
    protocol: Protocol, spec: ComparisonSpec, prepared: dict[tuple[str, int], dict[str, Prepared]], level: float
) -> dict[str, Any]:
    """Return, per endpoint and candidate, the value of every checkpoint and their spread."""
    table: dict[str, Any] = {}
    for endpoint in protocol.endpoints:
        cells = {}
        for candidate in spec.candidates:
            values = {}
            for checkpoint in candidate.checkpoints:
                ready = prepared[candidate.id, checkpoint.seed][endpoint.id]
                values[checkpoint.seed] = ready.estimator(ready.sample, level).value
            known = [v for v in values.values() if v is not None]
            unit = prepared[candidate.id, candidate.checkpoints[0].seed][endpoint.id].unit
            cells[candidate.id] = {
                "by_seed": {f"seed {seed}": {"value": value, "unit": unit} for seed, value in values.items()},
                "lowest": {"value": min(known, default=None), "unit": unit},
                "highest": {"value": max(known, default=None), "unit": unit},
                "spread": seed_spread(values, level=0.95, unit=unit).to_dict(),
            }
        table[endpoint.id] = {"title": endpoint.title, "cells": cells}
    return table


def _differences(spec: ComparisonSpec, prepared: dict[str, dict[str, Prepared]]) -> dict[str, Any]:
    found: dict[tuple[str, str], Difference] = {}
    better: dict[str, str | None] = {}
    names: dict[str, tuple[str, str]] = {}
    for a, b in spec.pairs:
        names[f"{a}-{b}"] = (a, b)
        for endpoint, ready in prepared[a].items():
            found[f"{a}-{b}", endpoint] = paired_difference(
                ready.sample, _aligned(prepared[b][endpoint], ready), _value(ready), unit=ready.unit
            )
            better[endpoint] = ready.better
    rows = judge_family(found, better=better, margins=spec.equivalence)
    return {
        "n_comparisons": len(found),
        "n_tested": sum(d.p_value is not None for d in found.values()),
        "level": 1 - ALPHA,
        "simultaneous_level": 1 - ALPHA / max(1, sum(d.p_value is not None for d in found.values())),
        "margins": dict(spec.equivalence),
        "pairs": {
            pair: {
                "first": names[pair][0],
                "second": names[pair][1],
                "endpoints": {e: rows[p, e] for p, e in rows if p == pair},
            }
            for pair in names
        },
    }


def _aligned(other: Prepared, to: Prepared) -> Sample:
    """Return the sample of the second model; the models were measured on the same cases, sorted alike."""
    if list(other.cases.index) != list(to.cases.index):
        raise ValueError("the models were not measured on the same cases")
    return other.sample


def _value(ready: Prepared) -> Any:
    def value(sample: Sample) -> float | None:
        found: Estimate = ready.estimator(sample, 0.95)
        return found.value

    return value


def _latent(folder: Path, candidate: Candidate) -> dict[str, Any]:
    """Return the traversal for the page: mean effect of each direction, strongest first."""
    own = read_readings(folder, "latent")[candidate.id].get("traversal")
    if own is None:
        return {}
    effects = [sum(row) / len(row) for row in own["effects"]]
    order = sorted(range(len(effects)), key=lambda k: -effects[k])
    return {
        "n_directions": own["n_directions"],
        "n_cases": len(own["effects"][0]),
        "directions": [{"name": str(k + 1), "effect": effects[k], "spread": own["spread"][k]} for k in order[:8]],
    }
