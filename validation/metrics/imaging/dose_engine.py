r"""A simple photon dose engine, to ask what an error of CT numbers does to the dose of one and the same plan.

**Physics.** Static rectangular fields of a point source at distance ``SAD`` from the isocentre. In each voxel

.. math:: D = \left(\frac{SAD}{SAD + s}\right)^2 \, P(t) \, L(u) \, L(v), \qquad
          P(t) = \frac{\beta}{\beta - \mu} \left(e^{-\mu t} - e^{-\beta t}\right)

with the distance s behind the isocentre along the beam, the radiological depth t (the line integral of the relative
electron density from the source), the depth dose P of Bortfeld 1993 (attenuation of the primary beam and build-up by
secondary electrons), and the profiles L of a field edge blurred by a Gaussian (error functions) at the projections u, v
onto the plane of the isocentre. CT numbers become electron densities by a piecewise linear curve. The monitor units of
a beam are those that give the same dose at the isocentre at 100 mm depth in water, whatever the image: doses are in
per cent of that, summed over beams, so that two images see the same plan.

**Limits.** Heterogeneity acts along the ray only: no lateral electron transport, no loss of scatter in air or beside
bone, no scatter that depends on the field, no spectrum. Doses inside lung, at air cavities and in small fields are
therefore not those of a clinical algorithm. It answers a
comparative question, with one plan on two images, and plans nothing. Import dose from a treatment planning system
(RT Dose or NIfTI, metrics ``gamma_pass_rate`` and ``dose_volume_points``) where the decision depends on it.

Reference: Bortfeld, Schlegel and Rhein 1993, Med Phys 20(2):311-318.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from validation.errors import UsageProblem
from validation.metrics.imaging.regions import centroid

REFERENCE = "Bortfeld, Schlegel and Rhein 1993, Med Phys 20(2):311-318"
SAD_MM = 1000.0
MU, BETA = 0.0049, 0.28  # 1/mm, about those of 6 MV photons: the largest dose lies at 15 mm
PENUMBRA_MM = 3.0  # standard deviation of the blur of a field edge
REFERENCE_DEPTH_MM = 100.0
DENSITY: tuple[tuple[float, float], ...] = ((-1000.0, 0.0), (0.0, 1.0), (1000.0, 1.6), (3000.0, 2.6))
"""Relative electron density by HU: an example; a protocol names the curve of its own scanner."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """Beams on one isocentre.

    Parameters
    ----------
    isocentre
        In voxels ``(3,)``.
    gantry_degrees
        Direction of each beam in the plane of rows and columns; 0 comes from row 0.
    fields
        For each beam the edges ``(u0, u1, v0, v1)`` in mm in the plane of the isocentre, across and along the slices.
    """

    isocentre: Tensor
    gantry_degrees: tuple[float, ...]
    fields: tuple[tuple[float, float, float, float], ...]


def depth_dose(depth_mm: Tensor) -> Tensor:
    """Return the depth dose P at radiological depths in mm.

    >>> round(float(torch.argmax(depth_dose(torch.arange(0.0, 50.0)))), 0)
    15.0
    """
    return BETA / (BETA - MU) * (torch.exp(-MU * depth_mm) - torch.exp(-BETA * depth_mm))


def electron_density(image: Tensor, curve: tuple[tuple[float, float], ...]) -> Tensor:
    """Return relative electron densities of CT numbers by a piecewise linear curve, constant beyond its ends.

    >>> [round(rho, 6) for rho in electron_density(torch.tensor([-1000.0, 0.0, 500.0, 9000.0]), DENSITY).tolist()]
    [0.0, 1.0, 1.3, 2.6]
    """
    if len(curve) < 2 or any(not a[0] < b[0] for a, b in pairwise(curve)) or any(rho < 0 for _, rho in curve):
        raise UsageProblem(
            f"the electron-density curve is {curve}.",
            code="MET-014",
            where="density",
            action="Give at least two pairs of HU and relative electron density, by rising HU.",
        )
    hu = torch.tensor([point[0] for point in curve], dtype=torch.float64, device=image.device)
    rho = torch.tensor([point[1] for point in curve], dtype=torch.float64, device=image.device)
    values = image.to(torch.float64).clamp(float(hu[0]), float(hu[-1]))
    right = torch.bucketize(values, hu).clamp(1, len(hu) - 1)
    share = (values - hu[right - 1]) / (hu[right] - hu[right - 1])
    return (rho[right - 1] + share * (rho[right] - rho[right - 1])).to(torch.float32)


def plan_for(target: Tensor, spacing: Tensor, gantry_degrees: tuple[float, ...], margin_mm: float) -> Plan:
    """Return beams on the centre of a target ``(D, H, W)``, each field its projection with a margin."""
    isocentre = centroid(target.unsqueeze(0))[0]
    place = (target.nonzero() - isocentre) * spacing
    fields = []
    for angle in gantry_degrees:
        forward, across = _directions(angle)
        s = place[:, 1:] @ forward.to(place)
        scale = SAD_MM / (SAD_MM + s)
        u, v = (place[:, 1:] @ across.to(place)) * scale, place[:, 0] * scale
        half = float(spacing.min()) / 2 + margin_mm
        edges = [float(edge) for edge in (u.min() - half, u.max() + half, v.min() - half, v.max() + half)]
        fields.append((edges[0], edges[1], edges[2], edges[3]))
    return Plan(isocentre=isocentre, gantry_degrees=gantry_degrees, fields=tuple(fields))


def _directions(angle: float) -> tuple[Tensor, Tensor]:
    """Return the direction of a beam and the one across it, each (row, column)."""
    turn = math.radians(angle)
    forward = torch.tensor([math.cos(turn), -math.sin(turn)], dtype=torch.float64)
    return forward, torch.tensor([math.sin(turn), math.cos(turn)], dtype=torch.float64)


def radiological_depth(density: Tensor, spacing: Tensor, isocentre: Tensor, angle: float) -> Tensor:
    """Return the radiological depth in mm of every voxel, (D, H, W), for one beam.

    The density is sampled on rays of the beam (tri-linear), summed along them by the trapezium rule and sampled back.
    Half a voxel around the image counts as its border, everything beyond as air.
    """
    shape, device = density.shape, density.device
    forward, across = _directions(angle)
    step = float(spacing[1:].min()) / 2
    size = torch.tensor(shape, dtype=torch.float64)
    corners = torch.tensor(
        [[i, j, k] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)],
        dtype=torch.float64,
    )
    place = (corners - isocentre.cpu()) * spacing.cpu()
    s = place[:, 1:] @ forward
    scale = SAD_MM / (SAD_MM + s)
    u, v = (place[:, 1:] @ across) * scale, place[:, 0] * scale
    axes = []
    for values, width in ((s, step), (v, float(spacing[0])), (u, step * 2)):
        low, high = float(values.min()) - 2 * width, float(values.max()) + 2 * width
        axes.append(torch.arange(low, high + width, width, dtype=torch.float64, device=device))
    depth, along, side = axes
    grow = (SAD_MM + depth)[:, None, None] / SAD_MM
    z = grow * along[None, :, None] + 0 * side
    y = depth[:, None, None] * float(forward[0]) + grow * side * float(across[0]) + 0 * along[None, :, None]
    x = depth[:, None, None] * float(forward[1]) + grow * side * float(across[1]) + 0 * along[None, :, None]
    points = torch.stack([z, y, x], -1) / spacing.to(device) + isocentre.to(device)
    rays = _sampled(density, points, size)
    line = step * (1 + (side[None, :].square() + along[:, None].square()) / SAD_MM**2).sqrt()
    middle = (rays[1:] + rays[:-1]) / 2 * line
    total = torch.cat([torch.zeros_like(rays[:1]), middle.cumsum(0)])
    grid = torch.stack(
        torch.meshgrid(*[torch.arange(n, dtype=torch.float64, device=device) for n in shape], indexing="ij"), -1
    )
    own = (grid - isocentre.to(device)) * spacing.to(device)
    s = own[..., 1:] @ forward.to(device)
    scale = SAD_MM / (SAD_MM + s)
    u, v = (own[..., 1:] @ across.to(device)) * scale, own[..., 0] * scale
    index = torch.stack(
        [(value - axis[0]) / (axis[1] - axis[0]) for value, axis in ((s, depth), (v, along), (u, side))], -1
    )
    return _sampled(total, index, torch.tensor(total.shape, dtype=torch.float64))


def _sampled(volume: Tensor, points: Tensor, size: Tensor) -> Tensor:
    """Return a volume at points in voxels ``(..., 3)``, tri-linear, zero beyond its border."""
    normal = (2 * points + 1) / size.to(points) - 1
    grid = normal.flip(-1).to(torch.float32).unsqueeze(0)
    data = volume.to(torch.float32)[None, None]
    sampled: Tensor = torch.nn.functional.grid_sample(data, grid, mode="bilinear", align_corners=False)
    return sampled[0, 0]


def dose(image: Tensor, spacing: Tensor, plan: Plan, curve: tuple[tuple[float, float], ...] = DENSITY) -> Tensor:
    """Return the dose of a plan on an image ``(D, H, W)`` in HU, in per cent of the dose at the reference point."""
    density = electron_density(image, curve)
    device = density.device
    grid = torch.stack(
        torch.meshgrid(*[torch.arange(n, dtype=torch.float64, device=device) for n in image.shape], indexing="ij"), -1
    )
    own = (grid - plan.isocentre.to(device)) * spacing.to(device)
    total = torch.zeros(image.shape, dtype=torch.float64, device=device)
    for angle, field in zip(plan.gantry_degrees, plan.fields, strict=True):
        forward, across = _directions(angle)
        s = own[..., 1:] @ forward.to(device)
        scale = SAD_MM / (SAD_MM + s)
        u, v = (own[..., 1:] @ across.to(device)) * scale, own[..., 0] * scale
        depth = radiological_depth(density, spacing, plan.isocentre, angle).to(torch.float64)
        total += scale.square() * depth_dose(depth) * _profile(u, *field[:2]) * _profile(v, *field[2:])
    unit = float(depth_dose(torch.tensor(REFERENCE_DEPTH_MM))) * len(plan.gantry_degrees)
    return 100 * total / unit


def _profile(x: Tensor, low: float, high: float) -> Tensor:
    """Return the profile of a field from ``low`` to ``high``, 1 in the middle of a wide one."""
    width = math.sqrt(2) * PENUMBRA_MM
    return 0.5 * (torch.erf((x - low) / width) - torch.erf((x - high) / width))


def checked_beams(gantry_degrees: tuple[float, ...], margin_mm: float) -> tuple[float, ...]:
    """Return the beam directions, refusing a plan without any or with a margin below zero."""
    angles = tuple(float(angle) for angle in gantry_degrees)
    if not angles or not np.isfinite(angles).all() or not 0 <= margin_mm < float("inf"):
        raise UsageProblem(
            f"gantry_degrees is {gantry_degrees}, margin_mm {margin_mm}.",
            code="MET-014",
            where="gantry_degrees, margin_mm",
            action="Give at least one direction in degrees, and a margin of 0 mm or more.",
        )
    return angles
