"""An analysis as text for the terminal."""

from __future__ import annotations

import textwrap
from typing import Any

from validation.reader_study.analysis import Analysis


def analysis_text(result: Analysis) -> str:
    """Return the design, the estimates, the differences with verdicts, warnings and conventions as plain text."""
    record = result.to_dict()
    d = result.design
    lines = [
        f"Design: {d.type.replace('_', ' ')}; {d.n_readers} readers, {d.n_modalities} modalities, "
        f"{d.n_negative} non-diseased and {d.n_positive} diseased cases; {d.missing_cells} of {d.cells} cells not "
        f"read; "
        f"{d.scale} ratings with {d.levels} levels; {100 * d.tied_share:.1f} % of pairs tied.",
        f"Analyses that the design allows: {', '.join(d.allowed)}.",
        *(f"  not {name}: {reason}" for name, reason in d.refused.items()),
        f"Endpoint {record['endpoint']}, method {record['method']}, covariance {record['covariance']}, "
        f"{record['effects']}.",
        "",
        f"{'modality':<20}{'estimate':>10}{'se':>10}{'interval':>22}",
        *(f"{m['modality']:<20}{_n(m['estimate']):>10}{_n(m['se']):>10}{_i(m):>22}" for m in result.modalities),
        "",
        f"{'reader':<12}{'modality':<20}{'estimate':>10}{'se':>10}{'interval':>22}",
        *(
            f"{r['reader']:<12}{r['modality']:<20}{_n(r['estimate']):>10}{_n(r['se']):>10}{_i(r):>22}"
            for r in result.readers
        ),
        "",
    ]
    for row in result.differences:
        lines += [
            f"{row['a']} − {row['b']}: {_n(row['estimate'])} (se {_n(row['se'])}, df {_n(row['df'], 1)}, p "
            f"{_n(row['p_value'])}"
            + (f", adjusted {_n(row['p_adjusted'])}" if row["p_adjusted"] is not None else "")
            + f"): {row['verdict'].upper()}",
            *textwrap.wrap(row["reason"], 100, initial_indent="  ", subsequent_indent="  "),
        ]
    lines += [f"warning: {text}" for text in result.warnings]
    simultaneous = record["multiplicity"]["simultaneous"]
    if simultaneous:
        level = 100 * (1 - result.plan.alpha)
        lines.append(f"All differences together, {level:g} % (Bonferroni):")
        lines += [f"  {row['a']} − {row['b']}: {_i(row)}" for row in simultaneous]
    open_checks = [c for c in result.checks if c["status"] in ("unmet", "not stated")]
    met = sum(c["status"] == "met" for c in result.checks)
    lines.append(f"Checks that authorities ask for: {met} met, {len(open_checks)} open.")
    lines += [f"  {c['status']}: {c['check']} ({c['source']}); {c['detail']}" for c in open_checks]
    lines += ["", *textwrap.wrap(f"Conventions: {result.convention}", 110)]
    return "\n".join(lines)


def _n(value: float | None, digits: int = 4) -> str:
    """Return a number, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def _i(row: dict[str, Any]) -> str:
    """Return an interval, or a dash."""
    return "-" if row["lower"] is None else f"[{row['lower']:.4f}, {row['upper']:.4f}]"
