"""Small drawings for the screen: an estimate against its margin, subgroups below the whole, an endpoint over its runs.

They are plain SVG with classes, so that both themes and the printer colour them; the numbers stand beside them as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from validation.dossier.figures.intervals import favourable_side
from validation.dossier.rounding import no_difference

WIDTH, ROW, EDGE = 260.0, 22.0, 8.0


@dataclass(frozen=True)
class Axis:
    """A linear axis over the values that a group of drawings shares."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Return where a value lies, in pixels, kept inside the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(EDGE + min(max(share, 0.0), 1.0) * (WIDTH - 2 * EDGE), 1)


def axis_of(endpoint: dict[str, Any], estimates: Sequence[dict[str, Any]]) -> Axis | None:
    """Return the axis on which estimates of an endpoint and its margins fit; None if there is nothing to draw."""
    values = [e[k] for e in estimates for k in ("value", "lower", "upper") if e.get(k) is not None]
    if not values:
        return None
    hypothesis = endpoint["hypothesis"]
    side = favourable_side(hypothesis, no_difference(endpoint)) or ()
    values += [line for line in side if line is not None]
    if hypothesis.get("type") in ("superiority", "non_inferiority", "equivalence"):
        values.append(no_difference(endpoint))
    low, high = min(values), max(values)
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    return Axis(low - room, high + room)


def interval_plot(endpoint: dict[str, Any], estimate: dict[str, Any], axis: Axis | None, *, label: str) -> Markup:
    """Draw one estimate with its interval, the side on which all of it had to lie, and the margin.

    Parameters
    ----------
    endpoint, estimate
        Of the results.
    axis
        From :func:`axis_of`; nothing is drawn without one.
    label
        What a screen reader says; the numbers themselves stand beside the drawing.
    """
    if axis is None or estimate["value"] is None:
        return Markup("")
    judged = endpoint["hypothesis"].get("type") != "descriptive"
    outcome = str(endpoint["verdict"]["outcome"]) if judged else "descriptive"
    middle = ROW / 2
    null = no_difference(endpoint)
    side = favourable_side(endpoint["hypothesis"], null)
    parts = []
    if side is not None:
        start = EDGE / 2 if side[0] is None else axis.x(side[0])
        end = WIDTH - EDGE / 2 if side[1] is None else axis.x(side[1])
        parts.append(f'<rect class="good" x="{start}" y="1" width="{max(end - start, 0):.1f}" height="{ROW - 2}"/>')
        if null not in side and axis.low <= null <= axis.high:
            parts.append(_line("null", axis.x(null), 1, axis.x(null), ROW - 1))
        parts += [_line("margin", axis.x(m), 0, axis.x(m), ROW) for m in side if m is not None]
    low = axis.low if estimate["lower"] is None else estimate["lower"]
    high = axis.high if estimate["upper"] is None else estimate["upper"]
    parts.append(_line("bar", axis.x(low), middle, axis.x(high), middle))
    for end in (estimate["lower"], estimate["upper"]):
        if end is not None:
            parts.append(_line("bar", axis.x(end), middle - 4, axis.x(end), middle + 4))
    parts.append(f'<circle class="point" cx="{axis.x(estimate["value"])}" cy="{middle}" r="3.6"/>')
    return _svg(parts, WIDTH, ROW, f"interval {outcome}", label)


def history_plot(estimates: Sequence[dict[str, Any] | None], outcomes: Sequence[str], *, label: str) -> Markup:
    """Draw an endpoint over runs, the oldest at the left: intervals with points coloured by outcome."""
    known = [e for e in estimates if e is not None and e["value"] is not None]
    if not known:
        return Markup("")
    values = [e[k] for e in known for k in ("value", "lower", "upper") if e[k] is not None]
    low, high = min(values), max(values)
    span = (high - low) or abs(high) or 1.0
    height, step = 46.0, 18.0
    width = max(60.0, step * len(estimates) + EDGE)

    def y(value: float) -> float:
        return float(round(height - 6 - (value - low) / span * (height - 12), 1))

    parts = []
    for i, (estimate, outcome) in enumerate(zip(estimates, outcomes, strict=True)):
        if estimate is None or estimate["value"] is None:
            continue
        x = EDGE + step * i + step / 2
        top = y(high if estimate["upper"] is None else estimate["upper"])
        bottom = y(low if estimate["lower"] is None else estimate["lower"])
        parts.append(f'<g class="{escape(outcome)}">{_line("bar", x, top, x, bottom)}')
        parts.append(f'<circle class="point" cx="{x}" cy="{y(estimate["value"])}" r="3.4"/></g>')
    return _svg(parts, width, height, "history", label)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _svg(parts: list[str], width: float, height: float, kind: str, label: str) -> Markup:
    text = f'<svg class="{escape(kind)}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
    return Markup(f'{text}role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>')  # noqa: S704 - escaped above
