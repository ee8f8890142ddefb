"""Metrics: pure functions, registered by name (see :mod:`validation.registry`)."""

from importlib import import_module

# One line per module that registers metrics. Explicit, so that what counts as a metric can be read here.
MODULES: tuple[str, ...] = (
    "validation.metrics.imaging.pixel_error",
    "validation.metrics.imaging.similarity",
    "validation.metrics.imaging.noise",
    "validation.metrics.imaging.local",
    "validation.metrics.imaging.spectrum",
    "validation.metrics.imaging.resolution",
    "validation.metrics.imaging.observer",
)


def load() -> None:
    """Import every module that registers metrics; the second call costs nothing."""
    for module in MODULES:
        import_module(module)
