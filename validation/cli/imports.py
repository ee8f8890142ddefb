"""`validation import`: health records of MEDS, OMOP or FHIR as plain tables that a study can seal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("import")
@click.argument("kind", type=click.Choice(["meds", "omop", "fhir"]))
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New folder for the tables.")
@click.option("--split", "shares", default="", help="Parts by patient, such as train=0.7,control=0.15,holdout=0.15.")
@click.option("--seed", type=int, default=0, help="Seed of the split; a patient falls into the same part every time.")
@click.option("--schema", default=None, help="OMOP: schema of the tables, such as cdm.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(kind: str, source: str, out: Path, shares: str, seed: int, schema: str | None, as_json: bool) -> None:
    """Read SOURCE of a KIND and write patients, events and a data dictionary to a new folder.

    SOURCE is a folder or file (meds, fhir) or the address of a database (omop, such as sqlite:///cdm.db). Nothing is
    written to the source. What was left out is counted, with the reason, in import.json.
    """
    from validation.cohort.records import read_fhir, read_meds, read_omop, write_records

    split = _split(shares, seed)
    if kind == "omop":
        records = read_omop(source, schema=schema)
    else:
        records = (read_meds if kind == "meds" else read_fhir)(Path(source))
    report = write_records(records, out, split=split)
    click.echo(json.dumps(report, indent=2) if as_json else _page(report, out))


def _split(text: str, seed: int) -> Any:
    from validation.cohort.records import Split

    if not text:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        shares = {name.strip(): float(share) for name, _, share in pairs}
    except ValueError:
        raise click.UsageError(f"--split {text!r} is not name=share,name=share.") from None
    if len(shares) < len(pairs):
        raise click.UsageError("--split names one part twice.")
    return Split(shares, seed)


def _page(report: dict[str, Any], out: Path) -> str:
    lines = [f"{out}  from {report['source']}"]
    for part, events in report["events"].items():
        lines.append(f"  {part:<12} {report['patients'].get(part, 0):>9,} patients  {events:>12,} events")
    for title, key in (("left out", "left_out"), ("to know", "remarks")):
        lines += [f"  {title:<12} {n:>9,}  {reason}" for reason, n in report[key].items()]
    return "\n".join(lines)
