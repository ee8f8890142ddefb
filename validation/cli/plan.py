"""`validation plan`: change control plan, monitoring plan and follow-up plan of a protocol, as documents."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("plan")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder; else STUDY/plans.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON, and write nothing.")
def command(study: Path, out: Path | None, as_json: bool) -> None:
    """Write the change control plan of STUDY (PDF, Word, HTML), the plan of clinical follow-up, and the monitoring plan
    where the protocol has one.

    Every criterion is that of an endpoint; what the protocol leaves open is listed. Without a lock: drafts.
    """  # noqa: D205 - click joins the lines
    from validation.change.follow_up import follow_up_plan
    from validation.change.monitoring_plan import monitoring_plan
    from validation.change.plan import change_plan
    from validation.protocol import lock as locks
    from validation.protocol.load import load_protocol
    from validation.study.prepare import require_lock
    from validation.study.spec import load_study

    loaded = load_study(study)
    locked = locks.lock_path(loaded.folder).exists()
    record = require_lock(loaded)[1] if locked else None
    protocol = record.parsed() if record else load_protocol(loaded.protocol_path)
    digest = locks.digest(protocol)
    head = {"digest": digest, "record": record, "title": loaded.spec.title, "notice": loaded.spec.notice}
    records = {"plan": change_plan(protocol, **head)}  # type: ignore[arg-type]
    if protocol.monitoring is not None:
        records["monitoring_plan"] = monitoring_plan(protocol, **head)  # type: ignore[arg-type]
    records["follow_up_plan"] = follow_up_plan(protocol, **head)  # type: ignore[arg-type]
    if as_json:
        click.echo(json.dumps(records, indent=2, ensure_ascii=False))
        return
    from validation.dossier.change_documents import KINDS, render_record

    for kind, content in records.items():
        paths = render_record(
            content,
            kind,
            out or loaded.folder / "plans",
            name=KINDS[kind]["id"],
            run=digest[:16],
            date=record.locked_at if record else "1980-01-01T00:00:00Z",
            draft=not locked,
            draft_reasons=[] if locked else ["The protocol is not locked."],
        )
        for path in paths:
            click.echo(f"document  {path}")
        for gap in content.get("gaps", []):
            click.echo(f"gap       {gap}", err=True)
