"""`validation readers plan`: the investigator's plan and the protocol's section, with what is still open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

_EXAMPLE = """\
reader_study:
  design: fully_crossed
  modalities: [input, output]
  endpoint: auc
  readers: 6
  cases: 200
  prevalence: 0.5
  hypothesis: non_inferiority
  margin: 0.05
  fallback: U-statistics if readings are missing
conduct:
  title: Reading of processed and original images
  hypothesis_statement: The area under the ROC curve with processed images is not lower by 0.05 or more.
"""


@click.command("plan")
@click.argument("plan", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for plan.pdf, plan.docx and reader_study.yaml.")
@click.option("--date", "on", type=click.DateTime(["%Y-%m-%d"]), help="Date of the documents; today if omitted.")
@click.option("--example", is_flag=True, help="Print a plan to start from.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, /, plan: Path | None, out: Path | None, example: bool, **options: Any) -> None:
    """Check PLAN.yaml against what authorities look for, and write the plan as documents.

    Exits 1 while points are open.
    """
    if example:
        click.echo(_EXAMPLE, nl=False)
        return
    from validation.errors import UsageProblem
    from validation.reader_study.conduct import GUIDANCE, check_plan, open_points, protocol_block, read_plan

    if plan is None:
        raise UsageProblem("there is no plan to check.", code="RDR-026", where="PLAN", action="Name the YAML file.")
    found = read_plan(plan)
    checks = check_plan(found.reader_study, found.conduct)
    block = protocol_block(found.reader_study)
    files = []
    if out is not None:
        from datetime import UTC, datetime

        from validation.digest import write_atomically
        from validation.dossier.plain_document import document_docx, document_html, document_pdf
        from validation.dossier.reader_plan import plan_blocks

        moment = (options["on"] or datetime.now(UTC)).strftime("%Y-%m-%dT00:00:00Z")
        record, conduct = found.reader_study.model_dump(mode="json"), found.conduct.model_dump(mode="json")
        blocks = plan_blocks(record, conduct, checks, block, GUIDANCE)
        title, subtitle = "Plan of a reader study", found.conduct.title
        html = document_html(title, subtitle, blocks)
        contents = {
            "plan.html": html.encode(),
            "plan.pdf": document_pdf(html, finished=moment),
            "plan.docx": document_docx(title, subtitle, blocks, finished=moment),
            "reader_study.yaml": block.encode(),
        }
        for name, data in contents.items():
            write_atomically(out / name, data)
            files.append(str(out / name))
    if options["as_json"]:
        result = {"checks": checks, "open": open_points(checks), "files": files, "protocol_block": block}
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        for row in checks:
            click.echo(f"{'met' if row['met'] else 'OPEN':5} {row['check']} ({row['section']})")
        for name in files:
            click.echo(f"wrote {name}")
        if not files:
            click.echo(f"\n{block}", nl=False)
    if open_points(checks):
        context.exit(1)
