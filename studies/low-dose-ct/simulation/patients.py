"""Virtual patients: chest slices of varied size, sex and age, made of ellipses, with lesions of known place.

Anatomy is schematic and its variation is plausible, not measured: body width and depth by sex, subcutaneous fat, lung
attenuation falling and bone attenuation falling with age. HU values are those of textbooks (fat -100, muscle 50,
blood 40, liver 60, lung about -850).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .scanner import Cut, Ellipse, pixel_grid

MUSCLE, FAT, BLOOD, LIVER = 50.0, -100.0, 40.0, 60.0
AGE_BANDS = ("18-49", "50-69", "70+")


@dataclass(frozen=True)
class Patient:
    """One virtual patient: what stays the same over slices."""

    patient_id: str
    sex: str
    age: int
    half_width: float  # mm
    half_depth: float  # mm
    fat: float  # mm of subcutaneous fat
    bone: float  # HU of cancellous bone
    lung: float  # HU of lung parenchyma
    tilt: float  # radians
    offset: tuple[float, float]

    @property
    def age_band(self) -> str:
        """Return the age band used for subgroups."""
        return AGE_BANDS[0] if self.age < 50 else AGE_BANDS[1] if self.age < 70 else AGE_BANDS[2]

    @property
    def effective_diameter(self) -> float:
        """Return the diameter of the circle of the area of the body ellipse, in mm."""
        return 2 * math.sqrt(self.half_width * self.half_depth)

    @property
    def size(self) -> str:
        """Return the size class: small below 270 mm effective diameter, large from 310 mm."""
        d = self.effective_diameter
        return "small" if d < 270 else "medium" if d < 310 else "large"


@dataclass
class Scene:
    """A slice ready to be projected, with its region masks."""

    cuts: list[Cut]
    vessels: np.ndarray
    blobs: np.ndarray
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)


def draw_patient(rng: np.random.Generator, patient_id: str, sex: str, band: int) -> Patient:
    """Draw a patient of a given sex and age band (index into ``AGE_BANDS``)."""
    age = int(rng.integers(*((22, 50), (50, 70), (70, 90))[band]))
    male = sex == "M"
    half_width = float(np.clip(rng.normal(168 if male else 153, 12), 130, 190))
    ratio = float(np.clip(rng.normal(0.70, 0.04), 0.60, 0.80))
    return Patient(
        patient_id=patient_id,
        sex=sex,
        age=age,
        half_width=half_width,
        half_depth=min(half_width * ratio, 130.0),
        fat=float(np.clip(rng.normal(15 if male else 19, 5), 6, 30)),
        bone=float(rng.normal(190 - 1.3 * (age - 40), 20)),
        lung=float(rng.normal(-835 - 0.6 * (age - 50), 15)),
        tilt=float(rng.normal(0, 0.02)),
        offset=(float(rng.normal(0, 4)), float(rng.normal(0, 4))),
    )


def _turn(patient: Patient, e: Ellipse) -> Ellipse:
    """Return the ellipse placed in the tilted and shifted patient."""
    c, s = math.cos(patient.tilt), math.sin(patient.tilt)
    return Ellipse(
        patient.offset[0] + e.x * c - e.y * s,
        patient.offset[1] + e.x * s + e.y * c,
        e.a,
        e.b,
        e.angle + patient.tilt,
        e.hu,
    )


def _sample_inside(
    rng: np.random.Generator, e: Ellipse, n: int, holes: tuple[Ellipse, ...], grow: float, keep_off: float = 1.15
) -> np.ndarray:
    """Return up to ``n`` points inside an ellipse and off its holes, (m, 2)."""
    points = rng.uniform(-1, 1, (4 * n, 2))
    points = points[(points**2).sum(1) < grow**2][:n]
    c, s = math.cos(e.angle), math.sin(e.angle)
    x = e.x + points[:, 0] * e.a * c - points[:, 1] * e.b * s
    y = e.y + points[:, 0] * e.a * s + points[:, 1] * e.b * c
    free = np.ones(len(x), dtype=bool)
    for hole in holes:
        free &= ~hole.contains(x, y, keep_off)
    return np.stack([x[free], y[free]], axis=1)


def _disc(x: float, y: float, radius: float) -> np.ndarray:
    gx, gy = pixel_grid()
    return np.asarray((gx - x) ** 2 + (gy - y) ** 2 <= radius**2)


def chest_slice(rng: np.random.Generator, patient: Patient, level: float, extra_lesions: int = 0) -> Scene:
    """Return one slice; ``level`` runs from 0 (mid-heart) to 1 (diaphragm, with the dome of the liver).

    ``extra_lesions`` more are strewn over heart and liver for training; they add to the mask ``strewn``.

    Masks: ``lesion`` (the low-contrast lesion), ``background`` (a ring around it in the same organ), ``uniform`` (a
    disc of blood in the heart, free of structure), ``body``.
    """
    w, d, fat = patient.half_width, patient.half_depth, patient.fat

    def place(x: float, y: float, a: float, b: float, angle: float = 0.0, hu: float = 0.0) -> Ellipse:
        return _turn(patient, Ellipse(x, y, a, b, angle, hu))

    jitter = rng.normal(0, 1, 12)
    body = place(0, 0, w, d, 0, FAT + 1000.0)
    wall = place(0, 2, w - fat, d - fat, 0, MUSCLE - FAT)
    inner_w, inner_d = w - fat, d - fat
    lung_a, lung_b = 0.36 * inner_w, 0.74 * inner_d
    right = place(-0.47 * inner_w, -0.02 * d, lung_a, lung_b, 0.10, patient.lung - MUSCLE)
    left = place(0.49 * inner_w, 0.0 * d, lung_a * 0.96, lung_b, -0.10, patient.lung - MUSCLE)
    heart_a, heart_b = 0.36 * inner_w * (1 + 0.03 * jitter[0]), 0.44 * inner_d * (1 + 0.03 * jitter[1])
    heart = place(0.14 * inner_w, -0.22 * inner_d, heart_a, heart_b, 0.45, BLOOD - MUSCLE)
    mediastinum = place(0.02 * inner_w, -0.05 * inner_d, 0.22 * inner_w, 0.72 * inner_d, 0, FAT - MUSCLE)
    spine = place(0, 0.62 * inner_d, 20, 17, 0, 0)
    holes: tuple[Ellipse, ...] = (heart, mediastinum)
    cuts = [Cut(body), Cut(wall)]
    organ = heart
    liver = None
    if level > 0.5:
        grow = 0.75 + 0.5 * (level - 0.5)
        liver = place(-0.47 * inner_w, 0.05 * inner_d, lung_a * grow, lung_b * grow * 0.8, 0.1, LIVER - MUSCLE)
        cuts.append(Cut(liver, (heart, mediastinum)))
        organ = liver
    lung_holes = {"right": (*holes, liver) if liver else holes, "left": holes}
    cuts += [Cut(right, lung_holes["right"]), Cut(left, lung_holes["left"])]
    cuts += [Cut(heart), Cut(mediastinum, (heart, spine))]
    # vertebra: cortex, cancellous bone, canal, spinous process
    cortex = 500.0 - 2.0 * max(patient.age - 50, 0)
    cuts.append(Cut(Ellipse(**{**vars(spine), "hu": cortex - MUSCLE})))
    cuts.append(Cut(place(0, 0.62 * inner_d, 17.5, 14.5, 0, patient.bone - cortex)))
    canal_y = 0.62 * inner_d + 28
    cuts += [Cut(place(0, canal_y, 15, 12, 0, cortex * 0.8)), Cut(place(0, canal_y, 10, 8, 0, -cortex * 0.8 - 20))]
    cuts.append(Cut(place(0, min(canal_y + 20, inner_d - 9), 4, 8, 0, cortex * 0.7)))
    # sternum and ribs, in the chest wall between lungs and fat
    cuts.append(Cut(place(0, -0.90 * inner_d, 18, 5, 0, 0.8 * patient.bone + 100)))
    for side, lung in ((-1, right), (1, left)):
        for angle in np.linspace(-0.42, 0.42, 5) * math.pi + rng.normal(0, 0.04):
            px, py = 0.94 * inner_w * math.cos(angle), 0.93 * inner_d * math.sin(angle)
            tangent = math.atan2(inner_d * math.cos(angle), -inner_w * math.sin(angle))
            tangent = tangent if side > 0 else -tangent
            length = rng.uniform(9, 16)
            outer, core = (
                place(side * px, py, length, 4.2, tangent, cortex * 0.8),
                place(side * px, py, length - 2, 2.6, tangent, -0.45 * cortex),
            )
            if not lung.contains(np.array(outer.x), np.array(outer.y), 1.02):
                cuts += [Cut(outer), Cut(core)]
    if patient.sex == "F":
        for side in (-1, 1):
            breast = place(side * 0.52 * w, -0.80 * d, 0.34 * w * (1 + 0.1 * jitter[2]), 0.34 * d, 0, FAT + 1000.0)
            cuts.append(Cut(breast, (body,)))
    vessels, blobs = _texture(rng, patient, ((right, lung_holes["right"]), (left, lung_holes["left"])), wall)
    scene = _with_lesion(rng, cuts, vessels, blobs, heart, organ, body)
    if extra_lesions:
        _strew(rng, scene, (heart, organ), extra_lesions)
    return scene


def _strew(rng: np.random.Generator, scene: Scene, organs: tuple[Ellipse, ...], count: int) -> None:
    """Add lesions of random size, contrast and place to a training scene."""
    gx, gy = pixel_grid()
    strewn = scene.masks["lesion"].copy()
    for k in range(count):
        for x, y in _sample_inside(rng, organs[k % len(organs)], 1, (), 0.8):
            size = rng.uniform(3.0, 11.0)
            lesion = Ellipse(
                x,
                y,
                size,
                size * rng.uniform(0.7, 1.0),
                rng.uniform(0, math.pi),
                rng.uniform(8, 80) * rng.choice([-1, 1]),
            )
            scene.cuts.append(Cut(lesion))
            strewn |= lesion.contains(gx, gy, 1.3)
    scene.masks["strewn"] = strewn


def _texture(
    rng: np.random.Generator, patient: Patient, lungs: tuple[tuple[Ellipse, tuple[Ellipse, ...]], ...], wall: Ellipse
) -> tuple[np.ndarray, np.ndarray]:
    """Return vessels and parenchymal texture of the lungs, and texture of the chest wall."""
    discs, blobs = [], []
    for lung, holes in lungs:
        xy = _sample_inside(rng, lung, 45, holes, 0.85)
        radius = np.clip(rng.lognormal(0.3, 0.5, len(xy)), 0.6, 4.0)
        discs.append(np.column_stack([xy, radius, np.full(len(xy), 0.9 * (MUSCLE - patient.lung))]))
        xy = _sample_inside(rng, lung, 130, holes, 0.85, 1.25)
        blobs.append(np.column_stack([xy, rng.uniform(2.0, 7.0, len(xy)), rng.normal(0, 30, len(xy))]))
    xy = _sample_inside(rng, wall, 160, (), 0.98)
    radial = ((xy[:, 0] - wall.x) / wall.a) ** 2 + ((xy[:, 1] - wall.y) / wall.b) ** 2
    xy = xy[radial > 0.80]
    blobs.append(np.column_stack([xy, rng.uniform(2.0, 5.0, len(xy)), rng.normal(0, 18, len(xy))]))
    return np.concatenate(discs), np.concatenate(blobs)


def _with_lesion(
    rng: np.random.Generator,
    cuts: list[Cut],
    vessels: np.ndarray,
    blobs: np.ndarray,
    heart: Ellipse,
    organ: Ellipse,
    body: Ellipse,
) -> Scene:
    """Insert a lesion in ``organ`` and return the scene with its masks."""
    radius = float(rng.uniform(4.0, 9.0))
    contrast = float(rng.uniform(25, 60) * rng.choice([-1, 1]))
    c, s = math.cos(heart.angle), math.sin(heart.angle)
    ux, uy = heart.x - 0.42 * heart.a * c, heart.y - 0.42 * heart.a * s
    if organ is heart:
        lx, ly = heart.x + 0.50 * heart.a * c, heart.y + 0.50 * heart.a * s
    else:
        lx, ly = organ.x + rng.normal(0, 5), organ.y + rng.normal(0, 8)
    aspect = float(rng.uniform(0.8, 1.25))
    lesion = Ellipse(lx, ly, radius * aspect, radius / aspect, float(rng.uniform(0, math.pi)), contrast)
    gx, gy = pixel_grid()
    ring = lesion.contains(gx, gy, 2.2) & ~lesion.contains(gx, gy, 1.5)
    masks = {
        "lesion": lesion.contains(gx, gy),
        "background": ring & organ.contains(gx, gy, 0.92),
        "uniform": _disc(ux, uy, min(15.0, 0.42 * heart.b)),
        "body": body.contains(gx, gy),
    }
    notes = {"lesion_contrast_hu": round(contrast, 2), "lesion_radius_mm": round(radius, 2)}
    return Scene([*cuts, Cut(lesion)], vessels, blobs, masks, notes)
