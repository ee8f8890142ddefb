"""`validation monitor`: a period's cases against the indicators of the protocol, on a signed log."""

from __future__ import annotations

import json
from pathlib import Path

import click

from validation.cli.who import by_option


@click.command("monitor")
@click.argument("study", type=click.Path(path_type=Path))
@click.option(
    "--period",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="CSV or Parquet with one row per case (patient column, one column per indicator), or a cohort folder to run.",
)
@click.option("--label", help="Name of the period, such as 2026-Q3; else the name of the file.")
@click.option(
    "--baseline", type=click.Path(path_type=Path), help="Signed run that fixes the charts; first period only."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N (for a cohort).")
@click.option("--key", help="Private key file or key URI that signs; overrides study.yaml.")
@click.option("--trust", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Trusted public keys.")
@click.option("--allow-unsigned", is_flag=True, help="Accept a baseline that is not signed (a trial).")
@by_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    study: Path,
    period: Path,
    label: str | None,
    baseline: Path | None,
    device: str,
    key: str | None,
    trust: Path | None,
    allow_unsigned: bool,
    actor: str,
    as_json: bool,
) -> int:
    """Append a period of STUDY to its monitoring log, and write the report. Exit code 0: no signal; 1: a signal, or too
    little to say; 4: the log is not what was signed.
    """  # noqa: D205 - click joins the lines
    from validation.change.monitoring import Period, ingest, sign_period
    from validation.dossier.change_documents import render_record
    from validation.evidence.keys import load_signer, read_trust
    from validation.study.spec import load_study

    loaded = load_study(study)
    named = key or (str(loaded.signing_key_path) if loaded.signing_key_path else None)
    signer = load_signer(named) if named else None
    chosen = Period(
        label=label or period.stem,
        data=period,
        actor=actor,
        baseline=baseline,
        device=device,
        trust=read_trust(trust) if trust else None,
        allow_unsigned=allow_unsigned,
    )
    folder, record = ingest(loaded, chosen)
    documents = render_record(
        record, "monitoring", folder, name="monitoring_report", run=record["period"]["label"], date=record["created"],
        draft=False, draft_reasons=[],
    )  # fmt: skip
    sign_period(folder, record, signer)
    if as_json:
        click.echo(
            json.dumps({"folder": str(folder), "signed": bool(named), "record": record}, indent=2, ensure_ascii=False)
        )
    else:
        click.echo(record["summary"])
        for reason in record["reasons"]:
            click.echo(f"  {reason}")
        if record["status"] == "signal":
            click.echo(f"escalation: {record['escalation']}")
        for path in documents:
            click.echo(f"document  {path}")
        if not named:
            click.echo("not signed: give --key, or `signing_key` in study.yaml", err=True)
    return 0 if record["status"] == "no signal" else 1
