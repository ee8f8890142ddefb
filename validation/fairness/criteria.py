"""Named fairness criteria as ranges over groups: demographic parity, equal opportunity, equalised odds and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from validation.estimate import Estimate

# criterion -> measures whose largest range over the groups it is
CRITERIA: dict[str, tuple[str, ...]] = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("sensitivity",),
    "equalised_odds": ("sensitivity", "fpr"),
    "predictive_parity": ("ppv",),
    "calibration_within_groups": ("calibration_in_the_large",),
}


def criteria(report: Mapping[str, Any], joint: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the criteria whose measures were estimated, per attribute, with their intervals.

    Each is the range (largest minus smallest group) of its measure. Equalised odds is the larger of two ranges, so its
    interval is taken from ranges at level ``1 - alpha/2`` each (``joint``); it is left out without them.

    Parameters
    ----------
    report
        What :func:`~validation.fairness.report.fairness_report` returned.
    joint
        The same report with half the alpha.
    """
    found = []
    for name, needed in CRITERIA.items():
        source = report if len(needed) == 1 else joint
        if source is None:
            continue
        for attribute in dict.fromkeys(r["attribute"] for r in source["ranges"]):
            ranges = {r["measure"]: r for r in source["ranges"] if r["attribute"] == attribute}
            if not set(needed) <= set(ranges):
                continue
            parts = [Estimate.from_dict(ranges[m]["difference"]) for m in needed]
            estimate = parts[0] if len(parts) == 1 else _largest(parts, 1 - report["settings"]["alpha"])
            found.append(
                {
                    "criterion": name,
                    "attribute": attribute,
                    "difference": estimate.to_dict(),
                    "ratio": ranges[needed[0]]["ratio"] if len(parts) == 1 else None,
                    "left_out": ranges[needed[0]]["left_out"],
                }
            )
    return found


def _largest(parts: list[Estimate], level: float) -> Estimate:
    """Return the largest of several ranges whose intervals hold together."""
    label = "largest of: " + " | ".join(p.method for p in parts)
    n = max(p.n for p in parts)
    missing = next((p for p in parts if p.value is None), None)
    if missing is not None:
        return Estimate.insufficient(missing.reason, n=n, unit="1", method=label, level=level)
    bounded = all(p.lower is not None and p.upper is not None for p in parts)
    return Estimate(
        value=max(float(p.value or 0) for p in parts),
        lower=max(float(p.lower or 0) for p in parts) if bounded else None,
        upper=max(float(p.upper or 0) for p in parts) if bounded else None,
        method=label, n=n, unit="1", level=level, reason="" if bounded else "a group has no interval",
    )  # fmt: skip
