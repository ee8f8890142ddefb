"""Figures of cases: paired differences by patient, spectra, and the flow of cases through the study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from validation.dossier.figures.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    RULE,
    Drawing,
    finish,
    style,
    surface,
)
from validation.dossier.figures.intervals import favourable_side
from validation.dossier.rounding import declared, no_difference

if TYPE_CHECKING:
    import pandas as pd

_ARMS = {
    "input": (ORANGE, (0, (5, 2)), "Input"),
    "baseline": (PURPLE, (0, (3, 1, 1, 1)), "Baseline"),
    "reference": (GREY, (0, (1, 1.2)), "Reference"),
    "output": (BLUE, "-", "Output"),
}


def paired_plot(
    name: str,
    endpoint: dict[str, Any],
    values: pd.DataFrame,
    clusters: pd.Series,
    *,
    unit: str,
    caption: str,
    alternative: str,
) -> Drawing:
    """Draw the difference of each case against the mean of its two arms; cases of one patient are joined.

    Parameters
    ----------
    values
        One row per case with the columns ``output`` and the comparator of the endpoint.
    clusters
        Patient of each case, by case id.
    """
    other = endpoint["comparator"]
    mean = (values["output"] + values[other]).to_numpy() / 2
    difference = (values["output"] - values[other]).to_numpy()
    tail = f" ({unit})" if unit else ""
    with style(name):
        figure, axes = surface(2.3)
        groups = clusters.reindex(values.index).to_numpy()
        x: list[float] = []
        y: list[float] = []
        for group in dict.fromkeys(groups):
            member = np.flatnonzero(groups == group)
            if len(member) > 1:
                order = member[np.argsort(mean[member])]
                x += [*mean[order], np.nan]  # a gap ends the line of this patient: one path is drawn faster than many
                y += [*difference[order], np.nan]
        axes.plot(x, y, color=RULE, linewidth=0.7, zorder=1)
        axes.plot(mean, difference, "o", markersize=3, color=BLUE, alpha=0.75, markeredgewidth=0, zorder=2)
        _levels(axes, endpoint)
        axes.set_xlabel(f"Mean of output and {other}{tail}")
        axes.set_ylabel(f"Output minus {other}{tail}")
        axes.margins(0.05, 0.1)
        return finish(figure, caption=caption, alternative=alternative)


def _levels(axes: Any, endpoint: dict[str, Any]) -> None:
    """Draw the estimate with its interval, zero, and the margins, each named at the right edge."""
    estimate = endpoint["estimate"]
    marks: list[tuple[float, str, str, Any]] = [(0.0, "zero", RULE, "-")]
    if estimate["value"] is not None:
        marks.append((estimate["value"], "estimate", INK, "-"))
        if estimate["lower"] is not None and estimate["upper"] is not None:
            axes.axhspan(estimate["lower"], estimate["upper"], color=INK, alpha=0.12, linewidth=0, zorder=0)
    marks += [
        (line, f"margin {declared(line)}", INK, (0, (4, 2)))
        for line in (favourable_side(endpoint["hypothesis"], no_difference(endpoint)) or ())
        if line is not None and line != 0
    ]
    low, high = axes.get_ylim()
    named: list[float] = []
    for y, label, colour, dash in reversed(marks):  # the names of margins and estimate come before that of zero
        axes.axhline(y, color=colour, linewidth=0.9, linestyle=dash, zorder=1)
        if all(abs(y - other) > 0.05 * (high - low) for other in named):
            named.append(y)
            axes.annotate(
                label, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=7.5, annotation_clip=False
            )


def spectrum_plot(name: str, endpoint: dict[str, Any], *, caption: str, alternative: str) -> Drawing | None:
    """Draw the curves of a vector metric by arm, with pointwise bands where the record holds them."""
    curves = {arm: points for arm, points in (endpoint.get("curves") or {}).items() if points}
    if not curves:
        return None
    labels = endpoint.get("curve_axes") or {"x": "", "y": ""}
    with style(name):
        figure, axes = surface(2.4)
        for arm, points in curves.items():
            colour, dash, label = _ARMS.get(arm, (GREEN, "-", arm))
            x = [p["x"] for p in points]
            axes.plot(
                x, [_or_nan(p["value"]) for p in points], color=colour, linestyle=dash, linewidth=1.5, label=label
            )
            if all(p.get("lower") is not None and p.get("upper") is not None for p in points):
                axes.fill_between(
                    x, [p["lower"] for p in points], [p["upper"] for p in points], color=colour, alpha=0.15, linewidth=0
                )
        axes.set_xlabel(labels["x"])
        axes.set_ylabel(labels["y"])
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.legend(loc="upper right")
        return finish(figure, caption=caption, alternative=alternative)


def levels_plot(
    name: str, endpoint: dict[str, Any], columns: dict[str, Any], *, caption: str, alternative: str
) -> Drawing | None:
    """Draw the mean curves of a vector metric for each level of the columns: one row per column, one panel per level.

    ``columns`` maps the label of a column to its levels, and each level to curves by arm. All panels share one scale.
    """
    rows = [(label, levels) for label, levels in columns.items() if levels]
    if not rows:
        return None
    wide = max(len(levels) for _, levels in rows)
    labels = endpoint["curve_axes"]
    with style(name):
        figure, _ = surface(0.5 + 1.35 * len(rows))
        figure.clear()
        grid = figure.subplots(len(rows), wide, sharex=True, sharey=True, squeeze=False)
        for line, (label, levels) in zip(grid, rows, strict=True):
            for axes, (level, curves) in zip(line, levels.items(), strict=False):
                for arm, points in curves.items():
                    colour, dash, named = _ARMS.get(arm, (GREEN, "-", arm))
                    axes.plot(
                        [p["x"] for p in points], [_or_nan(p["value"]) for p in points],
                        color=colour, linestyle=dash, linewidth=1.2, label=named,
                    )  # fmt: skip
                axes.set_title(f"{label} {level}", fontsize=7)
                axes.tick_params(labelsize=6.5)
            for axes in line[len(levels) :]:
                axes.set_axis_off()
        handles, names = grid[0][0].get_legend_handles_labels()
        grid[0][0].legend(handles, names, fontsize=6, loc="best")
        grid[0][0].set_xlim(left=0)
        figure.supxlabel(labels["x"], fontsize=7.5)
        figure.supylabel(labels["y"], fontsize=7.5)
        return finish(figure, caption=caption, alternative=alternative)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def flow_diagram(name: str, cohort: dict[str, Any], *, caption: str, alternative: str) -> Drawing:
    """Draw how many cases were listed, excluded, rejected and analysed."""
    column = [
        f"Listed\nn = {cohort['n_listed']}",
        f"Eligible\nn = {cohort['n_eligible']}",
        f"Analysed\nn = {cohort['n_analysed']}, independent: {cohort['n_clusters']}",
    ]
    aside = [
        f"Excluded: not eligible\nn = {cohort['n_excluded']}",
        f"Rejected: could not be used\nn = {cohort['n_rejected']}",
    ]
    with style(name):
        figure, axes = surface(2.5, width=5.2)
        axes.set_axis_off()
        axes.set_xlim(0, 10)
        axes.set_ylim(0, 8.4)
        heights = (7.4, 4.2, 1.0)
        box = {"boxstyle": "round,pad=0.5,rounding_size=0.15", "facecolor": "white", "edgecolor": INK, "linewidth": 0.8}
        soft = {**box, "edgecolor": GREY}
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
        for text, y in zip(column, heights, strict=True):
            axes.text(2.6, y, text, ha="center", va="center", bbox=box, linespacing=1.4)
        for upper, lower, text in zip(heights, heights[1:], aside, strict=False):
            axes.annotate("", (2.6, lower + 0.95), (2.6, upper - 0.95), arrowprops=arrow)
            middle = (upper + lower) / 2
            axes.annotate("", (5.4, middle), (2.6, middle), arrowprops=arrow)
            axes.text(5.7, middle, text, ha="left", va="center", bbox=soft, linespacing=1.4)
        return finish(figure, caption=caption, alternative=alternative)
