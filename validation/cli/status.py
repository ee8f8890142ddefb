"""`validation status`: where a study or a run stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("status")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(path: Path, as_json: bool) -> int:
    """Say where the study or run at PATH stands: locked, sealed, opened how often, measured, judged, signed."""
    record = _run(path) if (path / "inputs.json").exists() else _study(path)
    if as_json:
        click.echo(json.dumps(record, indent=2))
        return 0
    for name, value in record.items():
        if isinstance(value, list):
            click.echo(f"{name.replace('_', ' ')}:" + ("" if value else " none"))
            for line in value:
                click.echo(f"  {line}")
        else:
            click.echo(f"{name.replace('_', ' ')}: {value}")
    return 0


def _run(run: Path) -> dict[str, Any]:
    from validation.evidence.events import EVENTS_FILE, verify_chain
    from validation.evidence.results import RESULTS_FILE, read_results
    from validation.study.execute import read_inputs
    from validation.study.shards import shard_files

    inputs = read_inputs(run)
    judged = (run / RESULTS_FILE).exists()
    return {
        "run": inputs["run"],
        "started": inputs["started"],
        "shards_measured": len(shard_files(run)),
        "judged": judged,
        "proposal": read_results(run)["proposal"]["outcome"] if judged else None,
        "closed": (run / "manifest.json").exists(),
        "signed": (run / "attestation.dsse.json").exists(),
        "approvals": sorted(p.name for p in (run / "approvals").glob("*.json")),
        "events_head": verify_chain(run / EVENTS_FILE),
        "next": "nothing" if (run / "manifest.json").exists() else f"validation resume {run}",
    }


def _study(path: Path) -> dict[str, Any]:
    from validation.study.prepare import read_ledger, state
    from validation.study.spec import load_study

    study = load_study(path)
    found = state(study)
    return {
        "study": study.spec.id,
        "locked": found.locked,
        "sealed": found.sealed,
        "openings_of_the_cohort": found.openings,
        "ledger_head": found.ledger_head or None,
        "ledger": [f"{e.time} {e.actor}: {e.action} {e.reason}".rstrip() for e in read_ledger(study)],
        "runs": sorted(p.name for p in study.runs_folder.glob("*") if p.is_dir()),
    }
