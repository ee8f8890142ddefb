"""`validation diff`: what differs between two runs, or two versions of a protocol."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from validation.evidence.compare import Comparison, EndpointDifference

_PROTOCOL_SUFFIXES = {".yaml", ".yml"}


@click.command("diff")
@click.argument("before", type=click.Path(path_type=Path, exists=True))
@click.argument("after", type=click.Path(path_type=Path, exists=True))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(before: Path, after: Path, as_json: bool) -> None:
    """Show what differs between two runs (folders or packages), or two protocol files or locks (YAML).

    Differences between runs are described, not tested. The exit code is 0 whether or not there are any.
    """
    from validation.evidence.compare import compare_protocols, compare_runs
    from validation.evidence.package import open_run

    if {before.suffix, after.suffix} <= _PROTOCOL_SUFFIXES:
        comparison = compare_protocols(before, after)
    else:
        with ExitStack() as stack:
            runs = [stack.enter_context(open_run(path)).run_folder for path in (before, after)]
            comparison = compare_runs(runs[0], runs[1])
    click.echo(json.dumps({"same": comparison.same, **asdict(comparison)}, indent=2) if as_json else _page(comparison))


def _page(comparison: Comparison) -> str:
    if comparison.same:
        return f"the two {comparison.kind} do not differ"
    lines: list[str] = []
    for title in ("protocol", "model", "cohort"):
        lines += _section(title, [str(change) for change in getattr(comparison, title)])
    lines += _section("endpoints", [line for e in comparison.endpoints if e.differs for line in _endpoint(e)])
    lines += _section("proposal", [str(change) for change in comparison.proposal])
    lines += _section("environment", [str(change) for change in comparison.environment])
    if comparison.kind == "runs":
        lines.append(f"{comparison.n_numbers_differ} of {comparison.n_numbers} numbers in results.json differ")
    return "\n".join(lines)


def _section(title: str, lines: list[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines), ""] if lines else []


def _endpoint(endpoint: EndpointDifference) -> list[str]:
    lines = [f"{endpoint.id}  before  {_estimate(endpoint.before, endpoint.unit)}  {endpoint.outcome_before or ''}"]
    lines.append(
        f"{' ' * len(endpoint.id)}  after   {_estimate(endpoint.after, endpoint.unit)}  {endpoint.outcome_after or ''}"
    )
    return lines + [f"{' ' * len(endpoint.id)}  {change}" for change in endpoint.definition]


def _estimate(estimate: dict[str, Any] | None, unit: str) -> str:
    if estimate is None:
        return "not in this run"
    if estimate.get("value") is None:
        return f"no estimate: {estimate.get('reason', '')}"
    limits = ", ".join(
        "unbounded" if estimate[name] is None else f"{estimate[name]:.6g}" for name in ("lower", "upper")
    )
    return f"{estimate['value']:.6g} {unit} [{limits}] n={estimate['n']}"
