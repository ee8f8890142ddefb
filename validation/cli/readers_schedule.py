"""`validation readers schedule`: worklists, and checks of worklists and of reading times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("schedule")
@click.argument("cases", type=click.Path(path_type=Path), required=False)
@click.option("--reader", "readers", multiple=True, help="Name of a reader; repeat for each.")
@click.option("--modality", "modalities", multiple=True, help="Reading condition; repeat for each.")
@click.option("--design", type=click.Choice(["crossover", "sequential", "split_plot"]), default="crossover")
@click.option("--groups", type=int, default=1, show_default=True, help="Groups of readers for split_plot.")
@click.option("--washout-days", type=int, default=28, show_default=True)
@click.option("--block-size", type=int, default=20, show_default=True)
@click.option("--unaided-only", type=float, default=0.0, help="Share of cases read unaided only (sequential).")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="First day, such as 2026-03-02.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for worklists and key.")
@click.option("--training", type=click.Path(path_type=Path), help="Table of training cases, which must not be read.")
@click.option("--check", "check", type=click.Path(path_type=Path), help="Check the times of readings instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, /, cases: Path | None, check: Path | None, as_json: bool, **options: Any) -> None:
    """Lay out the readings of CASES (columns case, truth): one worklist per reader, and a key kept from readers.

    With --check READINGS.csv (reader, modality, case, read_at) the washout of readings that were done is checked.
    Exits 1 if a check is not met.
    """
    record = _checked(check, options) if check is not None else _written(cases, options)
    if as_json:
        click.echo(json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        for name in record.get("files", []):
            click.echo(f"wrote {name}")
        for row in record["checks"]:
            click.echo(f"{'met' if row['met'] else 'NOT MET':8} {row['check']}: {row['detail']}")
    if not all(row["met"] for row in record["checks"]):
        context.exit(1)


def _checked(path: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Check the times of readings."""
    from validation.reader_study.schedule import check_readings
    from validation.reader_study.tables import read_table

    return {"checks": check_readings(read_table(_existing(path)), washout_days=options["washout_days"])}


def _written(cases: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    """Make a schedule and write it."""
    from validation.digest import write_atomically
    from validation.errors import UsageProblem
    from validation.reader_study.schedule import ScheduleSettings, make_schedule
    from validation.reader_study.tables import read_table

    needed = {"CASES": cases, "--start": options["start"], "--out": options["out"]}
    lacking = [name for name, value in needed.items() if value is None]
    if cases is None or options["start"] is None or options["out"] is None:
        raise UsageProblem(
            f"a schedule needs {', '.join(lacking)}.", code="RDR-025", where=lacking[0], action="Give it."
        )
    settings = ScheduleSettings(
        design=options["design"],
        modalities=tuple(options["modalities"]),
        groups=options["groups"],
        washout_days=options["washout_days"],
        block_size=options["block_size"],
        unaided_only=options["unaided_only"],
        seed=options["seed"],
        start=options["start"].date(),
    )
    table = read_table(_existing(cases))
    made = make_schedule(table, list(options["readers"]), settings)
    checks = list(made.checks)
    if options["training"] is not None:
        used = set(read_table(_existing(options["training"]))["case"].astype(str).str.strip())
        shared = len(used & set(made.key["case"]))
        checks.append(
            {"check": "no training case is read", "met": shared == 0, "detail": f"{shared} cases in both tables"}
        )
    folder = options["out"]
    files = []
    for number, (_, rows) in enumerate(made.worklist.groupby("reader", sort=False), start=1):
        path = folder / f"worklist-{number:02d}.csv"  # a reader's name never becomes a path
        write_atomically(path, rows.to_csv(index=False).encode())
        files.append(str(path))
    write_atomically(folder / "key.csv", made.key.to_csv(index=False).encode())
    return {"files": [*files, str(folder / "key.csv")], "readings": len(made.key), "checks": checks}


def _existing(path: Path) -> Path:
    """Return a path that is a file."""
    from validation.errors import UsageProblem

    if not path.is_file():
        raise UsageProblem(
            f"there is no file {path.name!r}.", code="RDR-007", where=str(path), action="Check the path."
        )
    return path
