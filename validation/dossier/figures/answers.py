"""Figures of scores and marks: ROC, calibration and free-response curves."""

from __future__ import annotations

from typing import Any

from validation.dossier.figures.canvas import BLUE, GREY, PURPLE, Drawing, finish, style, surface

_ARMS = {"output": (BLUE, "-", "Model"), "baseline": (PURPLE, (0, (4, 2)), "Baseline")}


def answer_plot(name: str, endpoint: dict[str, Any], *, caption: str, alternative: str) -> Drawing | None:
    """Draw the curve of an endpoint on scores or marks, or nothing where its record holds none."""
    curves = {arm: points for arm, points in (endpoint.get("curves") or {}).items() if points}
    kind = endpoint.get("curve_kind")
    if not curves or kind is None:
        return None
    axes_names = endpoint["curve_axes"]
    with style(name):
        figure, axes = surface(3.1, width=4.2)
        if kind in ("roc", "calibration"):
            label = "Chance" if kind == "roc" else "Perfect calibration"
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), label=label)
        for arm, points in curves.items():
            colour, dash, label = _ARMS.get(arm, (GREY, "-", arm))
            x, y = [p["x"] for p in points], [p["value"] for p in points]
            if kind == "calibration":
                spread = [[p["value"] - p["lower"] for p in points], [p["upper"] - p["value"] for p in points]]
                axes.errorbar(x, y, yerr=spread, fmt="o", markersize=4, color=colour, linewidth=1, label=label)
            else:
                axes.plot(x, y, color=colour, linestyle=dash, linewidth=1.5, label=label, drawstyle="steps-post")
        _limits(axes, kind, curves)
        axes.set_xlabel(axes_names["x"])
        axes.set_ylabel(axes_names["y"])
        axes.legend(loc="upper left" if kind == "calibration" else "lower right")
        return finish(figure, caption=caption, alternative=alternative)


def _limits(axes: Any, kind: str, curves: dict[str, Any]) -> None:
    axes.set_ylim(-0.02, 1.02)
    if kind == "roc":
        axes.set_xlim(-0.02, 1.02)
        axes.set_aspect("equal")
    elif kind == "calibration":
        highest = max(max(p["x"], p["upper"]) for points in curves.values() for p in points)
        reach = min(1.0, max(0.1, highest * 1.08))
        axes.set_xlim(-0.02 * reach, reach)
        axes.set_ylim(-0.02 * reach, reach)
        axes.set_aspect("equal")
    else:
        axes.set_xlim(left=-0.02 * max(axes.get_xlim()[1], 0.1))
