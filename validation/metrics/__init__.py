"""Metrics: pure functions, registered by name (see :mod:`validation.registry`)."""

from __future__ import annotations

import inspect
from importlib import import_module

from validation.registry import Metric, get_metric

# One line per module that registers metrics. Explicit, so that what counts as a metric can be read here.
MODULES: tuple[str, ...] = (
    "validation.metrics.imaging.pixel_error",
    "validation.metrics.imaging.similarity",
    "validation.metrics.imaging.noise",
    "validation.metrics.imaging.local",
    "validation.metrics.imaging.spectrum",
    "validation.metrics.imaging.resolution",
    "validation.metrics.imaging.observer",
    "validation.metrics.imaging.ring_correlation",
    "validation.metrics.imaging.hallucination",
    "validation.metrics.imaging.gamma",
    "validation.metrics.imaging.dose_volume",
    "validation.metrics.imaging.planned_dose",
    "validation.metrics.imaging.tissue",
    "validation.metrics.imaging.super_resolution",
    "validation.metrics.imaging.translation",
    "validation.metrics.segmentation.overlap",
    "validation.metrics.segmentation.surface",
    "validation.metrics.tabular.marginals",
    "validation.metrics.tabular.categories",
    "validation.metrics.tabular.association",
    "validation.metrics.tabular.constraints",
    "validation.metrics.tabular.detection",
    "validation.metrics.tabular.discrepancy",
    "validation.metrics.tabular.precision",
    "validation.metrics.tabular.fidelity",
    "validation.metrics.tabular.agreement",
    "validation.metrics.tabular.utility",
    "validation.metrics.tabular.augmentation",
    "validation.metrics.tabular.extrapolation",
    "validation.metrics.tabular.consistency",
    "validation.metrics.tabular.trial",
    "validation.metrics.longitudinal.survival",
    "validation.metrics.longitudinal.replay",
    "validation.metrics.longitudinal.histories",
    "validation.metrics.longitudinal.family",
    "validation.metrics.longitudinal.privacy",
    "validation.metrics.privacy.distances",
    "validation.metrics.privacy.duplicates",
    "validation.metrics.privacy.membership",
    "validation.metrics.privacy.inference",
    "validation.metrics.privacy.singling_out",
    "validation.metrics.privacy.quasi_identifiers",
    "validation.metrics.privacy.privacy_loss",
    "validation.metrics.privacy.shadow",
    "validation.metrics.privacy.family",
    "validation.metrics.segmentation.lesions",
    "validation.metrics.segmentation.editing",
    "validation.metrics.generative.distances",
    "validation.metrics.generative.manifold",
    "validation.metrics.generative.memorisation",
    "validation.metrics.generative.diversity",
    "validation.metrics.generative.features",
    "validation.metrics.generative.augmentation",
    "validation.metrics.detection.discrimination",
    "validation.metrics.detection.calibration",
    "validation.metrics.detection.froc",
    "validation.metrics.detection.answers",
    "validation.metrics.segmentation.readers",
    "validation.metrics.logged",
    "validation.metrics.text.reports",
    "validation.metrics.text.drafts",
    "validation.metrics.text.attribution",
)

# Names that stand for several metrics on the same data, for quick looks: group -> metrics, in the order they are shown.
GROUPS: dict[str, tuple[str, ...]] = {
    "full_reference": ("rmse", "mae", "hu_bias", "psnr", "ssim", "worst_local_error"),
    "noise_texture": ("noise_magnitude", "nps_mean_frequency", "nps_peak_frequency"),
}


def load() -> None:
    """Import every module that registers metrics; the second call costs nothing."""
    for module in MODULES:
        import_module(module)


def select(names: tuple[str, ...]) -> list[Metric]:
    """Return the metrics of the names, groups (:data:`GROUPS`) written out, each once, in order.

    Raises
    ------
    UsageProblem
        If a name is neither a metric nor a group (MET-001).
    """
    load()
    chosen = dict.fromkeys(metric for name in names for metric in GROUPS.get(name, (name,)))
    return [get_metric(name) for name in chosen]


def undefined_reason(metric: Metric) -> str:
    """Return when the metric is undefined: the paragraph of its docstring that begins with "Undefined (NaN)"."""
    for paragraph in (inspect.getdoc(metric.function) or "").split("\n\n"):
        text = " ".join(paragraph.split())
        if text.startswith("Undefined (NaN) "):
            return "undefined " + text.removeprefix("Undefined (NaN) ").rstrip(".")
    return "the metric is not defined for these data"
