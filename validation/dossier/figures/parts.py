"""Figures of an endpoint that has several parts: every part beside the margin, or the gain at every ratio."""

from __future__ import annotations

from typing import Any

from validation.dossier.figures.canvas import BLUE, GREY, INK, Drawing, finish, style, surface
from validation.dossier.figures.intervals import forest_plot

MOST = 40
DOSES = "augmentation_dose_response"


def parts_plot(name: str, endpoint: dict[str, Any], *, unit: str, caption: str, alternative: str) -> Drawing | None:
    """Draw every part of an endpoint with its interval; None where there are none to compare, or too many to read."""
    parts = [p for p in endpoint.get("parts") or [] if p["estimate"]["value"] is not None]
    if not 1 < len(parts) <= MOST:
        return None
    if endpoint["metric"] == DOSES:
        return _doses(name, parts, caption=caption, alternative=alternative)
    rows: list[tuple[str, str, dict[str, Any] | None]] = [("Part", "", None)]
    for part in parts:
        estimate = part["estimate"]
        n = estimate.get("n_clusters")
        label = " ".join(text for text in (part["component"], part["subgroup"]) if text)
        rows.append((label, f"n = {estimate['n'] if n is None else n}", estimate))
    return forest_plot(name, endpoint, rows, unit=unit, caption=caption, alternative=alternative)


def _doses(name: str, parts: list[dict[str, Any]], *, caption: str, alternative: str) -> Drawing | None:
    doses = sorted((float(p["component"][1:]), p["estimate"]) for p in parts if p["component"].startswith("x"))
    if len(doses) < 2:
        return None
    with style(name):
        figure, axes = surface(2.3)
        axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        places = range(1, len(doses) + 1)
        for place, (_, estimate) in zip(places, doses, strict=True):
            if estimate["lower"] is not None and estimate["upper"] is not None:
                axes.plot([place, place], [estimate["lower"], estimate["upper"]], color=BLUE, linewidth=2, zorder=3)
        axes.plot(
            [0, *places], [0.0, *(e["value"] for _, e in doses)], "o-", color=INK, linewidth=0.9, markersize=5, zorder=4
        )
        axes.set_xticks([0, *places], ["real only", *(f"{ratio:g}" for ratio, _ in doses)])
        axes.set_xlabel("synthetic images for each real one of the rare condition")
        axes.set_ylabel("gain over real images only")
        key = " Above zero it helps, below zero it hurts. Bars: confidence intervals over patients and training seeds."
        return finish(figure, caption=caption + key, alternative=alternative)
