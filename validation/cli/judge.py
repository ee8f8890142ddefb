"""`validation judge`: apply criteria to measurements again, without model or images."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("judge")
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--protocol", type=click.Path(path_type=Path), help="Another protocol; without it, the run's own.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, protocol: Path | None, as_json: bool) -> int:
    """Judge the stored measurements of RUN, under its own protocol or another. Nothing is written.

    A protocol that was not locked before the data were opened makes the outcome exploratory, and it says so.
    """
    from validation.cli.finish import exit_code, show
    from validation.protocol.load import load_protocol
    from validation.study.execute import judge_run

    results = judge_run(run, load_protocol(protocol) if protocol else None)
    if protocol:
        results["run"]["draft"] = True
        results["run"]["draft_reasons"] = [
            *results["run"]["draft_reasons"],
            "Judged under another protocol than the one locked before the run: exploratory.",
        ]
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        show(results)
    return exit_code(results)
