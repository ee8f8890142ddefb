"""Names of structures as coded concepts, for segmentations, contours and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from validation.data import shipped
from validation.errors import UsageProblem


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What a mask shows.

    Codes are triples of value, scheme and meaning: ``category`` from CID 7150, ``type`` what it is. ``colour`` is RGB;
    ``interpretation`` is the RT ROI Interpreted Type (3006,00A4), empty where none applies.
    """

    label: str
    category: tuple[str, str, str]
    type: tuple[str, str, str]
    colour: tuple[int, int, int]
    interpretation: str = ""


@cache
def _known() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(shipped("templates", "dicom", "structures.yaml").read_text(encoding="utf-8"))
    return data


def structure(label: str, number: int = 1) -> Structure:
    """Return the structure of a label: from the shipped table where its name is known, else an anatomical structure.

    >>> structure("liver").type
    ('10200004', 'SCT', 'Liver')
    >>> structure("Region 7").type
    ('91723000', 'SCT', 'Anatomical Structure')
    """
    table = _known()
    name = "_".join(label.lower().replace("-", " ").replace("_", " ").split())
    entry = table["structures"].get(name, table["other"])
    colours = table["colours"]
    red, green, blue = colours[(number - 1) % len(colours)]
    return Structure(
        label=label,
        category=_code(table["categories"][entry["category"]]),
        type=_code(entry["type"]),
        colour=(red, green, blue),
        interpretation=entry.get("interpretation", ""),
    )


def _code(entry: Sequence[str]) -> tuple[str, str, str]:
    value, meaning = entry
    return str(value), "SCT", str(meaning)


def structures_of(
    masks: Mapping[str, npt.NDArray[Any]], given: Mapping[str, Structure] | None
) -> list[tuple[Structure, npt.NDArray[Any]]]:
    """Return structures with their masks, three-dimensional, in the order of the masks.

    Raises
    ------
    UsageProblem
        DCM-034 if there is no mask, a label is empty or longer than 64 characters, or masks differ in shape.
    """
    if not masks:
        raise _bad("there is no mask to write.")
    if any(not label.strip() or len(label) > 64 or not label.isprintable() or "\\" in label for label in masks):
        raise _bad("a label is empty, longer than 64 characters, or holds a character that DICOM does not allow.")
    if len({mask.shape for mask in masks.values()}) > 1:
        raise _bad("masks of one case have different shapes.")
    found = []
    for number, (label, mask) in enumerate(masks.items(), 1):
        known = (given or {}).get(label) or structure(label, number)
        found.append((known, mask[None] if mask.ndim == 2 else np.asarray(mask)))
    return found


def _bad(what: str) -> UsageProblem:
    return UsageProblem(
        what, code="DCM-034", action="Give each structure a label of 1 to 64 characters and masks of one shape."
    )
