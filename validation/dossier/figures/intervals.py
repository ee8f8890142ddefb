"""Margin plots and forest plots: an estimate, its interval, and the line that it had to stay on the right side of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from validation.dossier.figures.canvas import (
    BLUE,
    GREY,
    INK,
    OUTCOME_COLOURS,
    RULE,
    SHADE,
    Drawing,
    finish,
    style,
    surface,
    ticks_from,
)
from validation.dossier.rounding import declared, no_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def favourable_side(hypothesis: dict[str, Any], null: float = 0.0) -> tuple[float | None, float | None] | None:
    """Return the region in which the whole interval had to lie, open ends as None; None if nothing was to be shown.

    ``null`` is the value that means "no difference": non-inferiority and equivalence margins are set off from it.

    >>> favourable_side({"type": "non_inferiority", "margin": 0.02, "better": "higher"})
    (-0.02, None)
    >>> favourable_side({"type": "equivalence", "margin": 5})
    (-5.0, 5.0)
    """
    kind, margin = hypothesis.get("type"), hypothesis.get("margin")
    better = hypothesis.get("better")
    if kind == "equivalence":
        return (null - margin, null + margin) if margin is not None else (hypothesis["lower"], hypothesis["upper"])
    if kind == "non_inferiority" and margin is not None:
        return (null - margin, None) if better == "higher" else (None, null + margin)
    if kind in ("superiority", "performance_goal"):
        line = null if margin is None else margin
        return (line, None) if better == "higher" else (None, line)
    return None


def margin_plot(name: str, endpoint: dict[str, Any], *, unit: str, caption: str, alternative: str) -> Drawing | None:
    """Draw the estimate of an endpoint against its margin; None if there is no estimate."""
    estimate = endpoint["estimate"]
    if estimate["value"] is None:
        return None
    with style(name):
        figure, axes = surface(1.05)
        _interval(axes, 0, estimate, colour=_colour(endpoint), size=6)
        _region(axes, endpoint, [estimate])
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.6, 0.6)
        axes.set_xlabel(_axis(endpoint, unit))
        return finish(figure, caption=caption, alternative=alternative)


def forest_plot(
    name: str,
    endpoint: dict[str, Any],
    rows: list[tuple[str, str, dict[str, Any] | None]],
    *,
    unit: str,
    caption: str,
    alternative: str,
) -> Drawing:
    """Draw subgroups below the whole.

    Parameters
    ----------
    name, endpoint, unit, caption, alternative
        As for :func:`margin_plot`.
    rows
        Label, text at the right (n and interval), and estimate; the estimate is None for a heading.
    """
    with style(name):
        figure, axes = surface(0.7 + 0.16 * len(rows))
        for position, (_, text, estimate) in enumerate(rows):
            whole = position == 0
            if estimate is not None and estimate["value"] is not None:
                _interval(
                    axes,
                    position,
                    estimate,
                    colour=INK if whole else BLUE,
                    size=5 if whole else 3.8,
                    marker="D" if whole else "s",
                )
            axes.annotate(
                text,
                (1.02, position),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=7,
                annotation_clip=False,
            )
        ticks_from(axes, [label for label, _, _ in rows])
        for tick, (_, _, estimate) in zip(axes.get_yticklabels(), rows, strict=True):
            if estimate is None:
                tick.set_fontweight("bold")
        _region(axes, endpoint, [e for _, _, e in rows if e is not None])
        value = endpoint["estimate"]["value"]
        if value is not None:
            axes.axvline(value, color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
        axes.set_xlabel(_axis(endpoint, unit))
        return finish(figure, caption=caption, alternative=alternative)


def _interval(axes: Axes, y: float, estimate: dict[str, Any], *, colour: str, size: float, marker: str = "o") -> None:
    value, lower, upper = estimate["value"], estimate["lower"], estimate["upper"]
    low, high = (value if lower is None else lower), (value if upper is None else upper)
    axes.plot([low, high], [y, y], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=3)
    for end, known in ((low, lower), (high, upper)):
        if known is not None:
            axes.plot([end], [y], marker="|", markersize=size + 2, color=colour, zorder=3)
    axes.plot([value], [y], marker=marker, markersize=size, color=colour, zorder=4)


def _region(axes: Axes, endpoint: dict[str, Any], estimates: list[dict[str, Any]]) -> None:
    """Shade the favourable side, draw and name the margin, and leave room so that nothing touches the frame."""
    hypothesis, null = endpoint["hypothesis"], no_difference(endpoint)
    compared = hypothesis.get("type") in ("superiority", "non_inferiority", "equivalence")
    side = favourable_side(hypothesis, null)
    lines = [line for line in (side or ()) if line is not None]
    shown = [e[k] for e in estimates for k in ("value", "lower", "upper") if e.get(k) is not None] + lines
    shown += [null] if compared else []
    low, high = min(shown), max(shown)
    room = 0.12 * ((high - low) or abs(high) or 1.0)
    axes.set_xlim(low - room, high + room)
    if side is None:
        return
    left, right = axes.get_xlim()
    start, end = (left if side[0] is None else side[0]), (right if side[1] is None else side[1])
    axes.axvspan(start, end, color=SHADE, zorder=0, linewidth=0)
    if compared and null not in lines:
        axes.axvline(null, color=RULE, linewidth=0.8, zorder=1)
    for line in lines:
        axes.axvline(line, color=INK, linewidth=1.1, linestyle=(0, (4, 2)), zorder=2)
        axes.annotate(
            f"margin {declared(line)}",
            (line, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7.5,
            annotation_clip=False,
        )


def _colour(endpoint: dict[str, Any]) -> str:
    judged = endpoint["hypothesis"]["type"] != "descriptive"
    return OUTCOME_COLOURS.get(endpoint["verdict"]["outcome"], INK) if judged else INK


def _axis(endpoint: dict[str, Any], unit: str) -> str:
    better = endpoint["hypothesis"].get("better")
    hint = {"higher": "higher is better", "lower": "lower is better"}.get(better or "", "")
    return str(endpoint["title"]) + (f" ({unit})" if unit else "") + (f"   |   {hint}" if hint else "")
