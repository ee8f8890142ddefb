"""Figures of a comparison: every judged endpoint of every model beside its criterion, and latent traversals."""

from __future__ import annotations

from typing import Any

import numpy as np

from validation.dossier.figures.canvas import (
    GREY,
    INK,
    OUTCOME_COLOURS,
    VERMILLION,
    WIDTH,
    Drawing,
    finish,
    style,
    ticks_from,
)

_COLUMNS = 2
_UNITS = {"1": "", "pixel": "pixels"}


def criteria_plot(record: dict[str, Any]) -> Drawing | None:
    """Return one panel per judged endpoint with the interval of every model; ``None`` if nothing is judged."""
    rows = [
        (n, r) for n, r in record["matrix"].items() if r.get("hypothesis", {}).get("type") not in (None, "descriptive")
    ]
    rows = [(n, r) for n, r in rows if any(c["estimate"]["value"] is not None for c in r["cells"].values())]
    if not rows:
        return None
    from matplotlib.figure import Figure

    names = {key: c["label"] for key, c in record["candidates"].items()}
    lines = -(-len(rows) // _COLUMNS)
    with style("criteria"):
        figure = Figure(figsize=(WIDTH, lines * (0.62 + 0.17 * len(names))), layout="constrained")
        panels = figure.subplots(lines, _COLUMNS, squeeze=False).ravel()
        for panel, (name, row) in zip(panels, rows, strict=False):
            _panel(panel, name, row, list(row["cells"]))
            ticks_from(panel, [names[c] for c in row["cells"]])
        for panel in panels[len(rows) :]:
            panel.set_axis_off()
        text = "Every judged endpoint: estimate and interval of each model."
        key = " Red dashed lines: the margins of the protocol. Green: met; red: not met; olive: inconclusive."
        return finish(figure, caption=text + key, alternative=text)


def _panel(panel: Any, name: str, row: dict[str, Any], candidates: list[str]) -> None:
    for limit in _limits(row):
        panel.axvline(limit, color=VERMILLION, linewidth=0.9, linestyle="--", zorder=1)
    for y, candidate in enumerate(candidates):
        cell = row["cells"][candidate]
        estimate, colour = cell["estimate"], OUTCOME_COLOURS.get(cell["verdict"]["outcome"], INK)
        if estimate["value"] is None:
            panel.text(0.5, y, "no value", ha="center", va="center", color=GREY, transform=panel.get_yaxis_transform())
            continue
        if estimate["lower"] is not None and estimate["upper"] is not None:
            panel.plot([estimate["lower"], estimate["upper"]], [y, y], color=colour, linewidth=2.2, zorder=3)
        panel.plot([estimate["value"]], [y], "o", markersize=4.5, color=colour, zorder=4)
    unit = _UNITS.get(row["unit"], row["unit"])
    panel.set_title(f"{name}{f' ({unit})' if unit else ''}", loc="left")
    panel.margins(x=0.08)
    panel.tick_params(axis="x", colors=INK)


def _limits(row: dict[str, Any]) -> list[float]:
    hypothesis = row["hypothesis"]
    margin = hypothesis["margin"]
    ratio = 1.0 if "ratio" in row["summary"] else 0.0
    if hypothesis["type"] == "equivalence":
        given = [hypothesis["lower"], hypothesis["upper"]]
        return [g for g in given if g is not None] if margin is None else [ratio - margin, ratio + margin]
    if hypothesis["type"] == "non_inferiority":
        worse = 1.0 if row["direction"].startswith("lower") else -1.0
        return [ratio + worse * (margin or 0.0)]
    return [ratio if margin is None else margin]


def latent_plot(record: dict[str, Any], candidate: str) -> Drawing | None:
    """Return what each of the strongest latent directions does to one image; ``None`` without a latent space."""
    own = record["pictures"].get(candidate, {}).get("traversal")
    if not own or not own["pictures"]:
        return None
    from matplotlib.figure import Figure

    steps = own["steps"]
    count = 2 * steps + 1
    strips = [(p["direction"], np.asarray(p["images"], dtype=float)) for p in own["pictures"]]
    low, high = np.percentile([s for _, images in strips for s in images[steps].ravel()], [1, 99])
    with style(f"latent-{candidate}"):
        figure = Figure(figsize=(WIDTH, 0.35 + len(strips) * WIDTH / (count + 1)), layout="constrained")
        panels = figure.subplots(len(strips), count, squeeze=False)
        for line, (direction, images) in enumerate(strips):
            for k in range(count):
                panel = panels[line, k]
                panel.imshow(images[k], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
                panel.set_xticks([])
                panel.set_yticks([])
                for side in ("top", "right", "bottom", "left"):
                    panel.spines[side].set_visible(False)
                if line == 0:
                    panel.set_title("as encoded" if k == steps else f"{k - steps:+d} SD".replace("-", "\u2212"))
            panels[line, 0].set_ylabel(f"direction {direction + 1}")
        label = record["candidates"][candidate]["label"]
        text = f"{label}: one image, decoded after moving its latent along the strongest directions."
        key = " All pictures have one grey scale; SD is the standard deviation of the direction over cases."
        return finish(figure, caption=text + key, alternative=text)
