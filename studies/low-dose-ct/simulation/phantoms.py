"""Virtual image-quality phantoms: a water cylinder, alone, with a rod (resolution) or a faint disc (detection)."""

from __future__ import annotations

import numpy as np

from .patients import Scene
from .scanner import Cut, Ellipse, pixel_grid

WATER_RADIUS_MM = 120.0
ROD_RADIUS_MM, ROD_HU = 20.0, 600.0
SIGNAL_RADIUS_MM, SIGNAL_HU = 4.0, 10.0
ROI_HALF_PIXELS = 24
UNIFORM_RADIUS_MM = 75.0
KINDS = ("uniform", "disk", "signal_present", "signal_absent")


def phantom(kind: str) -> Scene:
    """Return a phantom scene with its masks.

    Masks: ``uniform`` (water without structure), ``roi`` (a centred square of 48 pixels, the field of the model
    observer), ``rod`` (a disc that holds the rod and its surroundings, for the edge), ``signal`` (the place of the
    faint disc).
    """
    water = Ellipse(0, 0, WATER_RADIUS_MM, WATER_RADIUS_MM, 0, 1000.0)
    cuts = [Cut(water)]
    if kind == "disk":
        cuts.append(Cut(Ellipse(0, 0, ROD_RADIUS_MM, ROD_RADIUS_MM, 0, ROD_HU)))
    elif kind == "signal_present":
        cuts.append(Cut(Ellipse(0, 0, SIGNAL_RADIUS_MM, SIGNAL_RADIUS_MM, 0, SIGNAL_HU)))
    x, y = pixel_grid()
    radius = np.hypot(x, y)
    roi = np.zeros(radius.shape, dtype=bool)
    middle = roi.shape[0] // 2
    roi[middle - ROI_HALF_PIXELS : middle + ROI_HALF_PIXELS, middle - ROI_HALF_PIXELS : middle + ROI_HALF_PIXELS] = True
    masks = {
        "uniform": (radius <= UNIFORM_RADIUS_MM) & ((radius > 30) if kind != "uniform" else True),
        "roi": roi,
        "rod": radius <= ROD_RADIUS_MM,
        "signal": radius <= SIGNAL_RADIUS_MM,
    }
    empty = np.zeros((0, 4))
    return Scene(cuts, empty, empty, masks)
