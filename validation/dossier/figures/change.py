"""Figures of a change: how far everything has moved in units of its limit, and monitoring charts over time."""

from __future__ import annotations

from typing import Any

from validation.dossier.figures.canvas import (
    BLUE,
    GREY,
    INK,
    OUTCOME_COLOURS,
    RULE,
    SHADE,
    VERMILLION,
    Drawing,
    finish,
    style,
    surface,
    ticks_from,
)

_EDGE = 3.0  # in limits: what lies further out is drawn at the edge as an arrow


def moved_plot(record: dict[str, Any]) -> Drawing | None:
    """Return the dot-and-interval plot of every judged change, divided by its limit; ``None`` if nothing was judged."""
    rows = []
    for name, part in record["differences"].items():
        margin = part["limit"]["margin"]
        if margin and part["estimate"]["value"] is not None:
            rows.append((f"{name}", part["estimate"], margin, part["verdict"]["outcome"]))
    for name, part in record.get("constancy", {}).items():
        if part["estimate"]["value"] is not None:
            rows.append((f"phantom {name}", part["estimate"], part["margin"], part["verdict"]["outcome"]))
    if not rows:
        return None
    with style("moved"):
        figure, axes = surface(0.55 + 0.19 * len(rows))
        axes.axvspan(-1, 1, color=SHADE, zorder=0)
        axes.axvline(0, color=GREY, linewidth=0.7, zorder=1)
        for y, (_, estimate, margin, outcome) in enumerate(rows):
            colour = OUTCOME_COLOURS.get(outcome, INK)
            value = estimate["value"] / margin
            low = -_EDGE if estimate["lower"] is None else max(-_EDGE, estimate["lower"] / margin)
            high = _EDGE if estimate["upper"] is None else min(_EDGE, estimate["upper"] / margin)
            if low < high:
                axes.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
            shown = max(-_EDGE, min(_EDGE, value))
            marker = "o" if shown == value else ">" if value > 0 else "<"
            axes.plot([shown], [y], marker=marker, markersize=5.5, color=colour, zorder=4)
        ticks_from(axes, [row[0] for row in rows])
        axes.set_xlim(-_EDGE - 0.15, _EDGE + 0.15)
        axes.set_xlabel("change from the baseline, in units of its limit")
        axes.tick_params(axis="x", colors=INK)
        axes.spines["bottom"].set_color(RULE)
        text = "How far each endpoint and each phantom check has moved from the baseline."
        key = " Shaded: inside the limit. Bars: confidence intervals. Green: met; red: not met; olive: inconclusive."
        return finish(figure, caption=text + key + " Arrows lie further out.", alternative=text)


def chart_plot(indicator: dict[str, Any], name: str) -> Drawing | None:
    """Return the chart of one indicator: its values by case, and the statistic against its limit."""
    points = indicator["points"]
    if not points:
        return None
    with style(f"chart-{name}"):
        figure, axes = surface(1.75, columns=2, gridspec_kw={"width_ratios": [1, 1]})
        left, right = axes
        x = range(1, len(points) + 1)
        left.plot(x, [p["value"] for p in points], ".", color=GREY, markersize=4)
        left.axhline(indicator["threshold"], color=VERMILLION, linewidth=1, linestyle="--")
        if indicator.get("target") is not None:
            left.axhline(indicator["target"], color=BLUE, linewidth=0.9)
        left.set_title(f"{name}: values", loc="left")
        left.set_xlabel("patient, in order of time")
        left.set_ylabel(indicator["unit"] if indicator["unit"] != "1" else "")
        statistic = [p["statistic"] for p in points]
        colour = OUTCOME_COLOURS["fail"] if indicator["signal"] else OUTCOME_COLOURS["pass"]
        right.plot(x, statistic, color=colour, linewidth=1.4)
        right.axhline(indicator["limit"], color=VERMILLION, linewidth=1, linestyle="--")
        if indicator["chart"] == "e_process":
            right.set_yscale("log")
        for boundary in indicator.get("period_starts", [])[1:]:
            for part in axes:
                part.axvline(boundary + 0.5, color=RULE, linewidth=0.8, zorder=0)
        right.set_title(f"{indicator['chart_title']}, limit {indicator['limit_text']}", loc="left")
        right.set_xlabel("patient, in order of time")
        state = "signal" if indicator["signal"] else "no signal"
        text = f"{name}, {indicator['title']}: {state}."
        key = " Left: values, threshold dashed, target blue. Right: the chart, its limit dashed. Grey lines: periods."
        return finish(figure, caption=text + key, alternative=text)
