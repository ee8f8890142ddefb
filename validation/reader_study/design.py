"""What a table of scores holds: the design as found, and which analyses it allows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from validation.reader_study.scores import ReaderScores

NESTED = ("cases_nested_in_readers", "cases_nested_in_modalities")  # Obuchowski-Rockette holds with covariances of 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The design of a reader study as found in its scores.

    Parameters
    ----------
    type
        ``fully_crossed``, ``split_plot`` (groups of readers that read their own cases), ``cases_nested_in_readers``,
        ``cases_nested_in_modalities``, ``readers_nested_in_modalities`` or ``arbitrary``.
    missing_cells, cells
        Cells of reader by modality by case that were not read, and all cells.
    tied_share
        Share of positive-negative pairs with equal scores, over all readers and modalities.
    scale, levels
        ``binary``, ``ordinal`` or ``continuous``, and the number of distinct scores.
    allowed, refused
        Methods that the design allows, and the reason for each one refused.
    """

    type: str
    n_readers: int
    n_modalities: int
    n_cases: int
    n_negative: int
    n_positive: int
    missing_cells: int
    cells: int
    balanced: bool
    readers_in_every_modality: bool
    reader_groups: int
    tied_share: float
    scale: str
    levels: int
    score_range: tuple[float, float]
    has_decisions: bool
    allowed: list[str]
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        record: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        record["score_range"] = list(self.score_range)
        return record


def inspect(scores: ReaderScores) -> Design:
    """Find the design of a study: who read what, how it is nested, which scale was used, and what that allows."""
    read = scores.read
    R, M, N = read.shape
    who = scores.took_part
    blocks = {frozenset(np.flatnonzero(read[r, m]).tolist()) for r in range(R) for m in range(M) if who[r, m]}
    levels = np.unique(scores.score[read])
    kind = _kind(scores, blocks)
    crossed = kind == "fully_crossed"
    allowed, refused = _allowed(scores, kind)
    notes = _notes(scores)
    counts = read.sum(axis=2)
    return Design(
        type=kind,
        n_readers=R,
        n_modalities=M,
        n_cases=N,
        n_negative=int((~scores.positive).sum()),
        n_positive=int(scores.positive.sum()),
        missing_cells=int((~read).sum()),
        cells=read.size,
        balanced=bool(crossed or len({int(c) for c in counts[who]}) == 1),
        readers_in_every_modality=bool(who.all()),
        reader_groups=len(blocks),
        tied_share=_tied_share(scores),
        scale="binary" if len(levels) <= 2 else "ordinal" if len(levels) <= 20 and _whole(levels) else "continuous",
        levels=len(levels),
        score_range=(float(levels[0]), float(levels[-1])),
        has_decisions=scores.decision is not None,
        allowed=allowed,
        refused=refused,
        notes=notes,
    )


def one_class_readers(scores: ReaderScores) -> list[tuple[str, str, str]]:
    """Return (reader, modality, class missing) for readers who read something, but no case of one class."""
    found = []
    for label, chosen in (("non-diseased", ~scores.positive), ("diseased", scores.positive)):
        if not chosen.any():
            continue
        lacks = scores.took_part & ~scores.read[:, :, chosen].any(axis=2)
        found += [(scores.readers[r], scores.modalities[m], label) for r, m in np.argwhere(lacks)]
    return found


def look_alikes(scores: ReaderScores) -> list[tuple[str, list[str]]]:
    """Return readers or modalities whose names differ only in letter case, blanks or punctuation marks."""
    found = []
    for what, names in (("readers", scores.readers), ("modalities", scores.modalities)):
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(re.sub(r"[\s_-]+", "", name).casefold(), []).append(name)
        found += [(what, group) for group in groups.values() if len(group) > 1]
    return found


def _kind(scores: ReaderScores, blocks: set[frozenset[int]]) -> str:
    """Name the design."""
    read = scores.read
    R, M, _ = read.shape
    who = scores.took_part
    if read.all():
        return "fully_crossed"
    disjoint = sum(len(b) for b in blocks) == len(frozenset().union(*blocks))
    if who.all():
        per_reader = (read == read[:, :1]).all()  # a reader reads the same cases under every modality
        if per_reader and disjoint:
            return "cases_nested_in_readers" if len(blocks) == R else "split_plot"
        per_modality = (read == read[:1]).all()
        if per_modality and disjoint and len(blocks) == M:
            return "cases_nested_in_modalities"
    elif (who.sum(axis=1) == 1).all() and M > 1 and len(blocks) == 1:
        return "readers_nested_in_modalities"
    return "arbitrary"


def _allowed(scores: ReaderScores, kind: str) -> tuple[list[str], dict[str, str]]:
    """Return the methods that fit the design, and why others do not."""
    allowed, refused = ["ustat"], {}
    if kind == "fully_crossed":
        allowed = ["or", "dbm", "ustat"]
    else:
        text = f"needs every reader to read every case under every modality; this design is {kind.replace('_', ' ')}"
        refused = {"or": text, "dbm": text}
        if kind in NESTED:
            allowed.append("or")
            refused = {"dbm": text, "or with delong or bootstrap covariance": text}
    if len(scores.readers) < 2:
        refused["random readers"] = "one reader is not a sample of readers; results hold for this reader only"
    return allowed, refused


def _notes(scores: ReaderScores) -> list[str]:
    """Return remarks that a reader of the analysis should know."""
    notes = [f"reader {r} read no {label} case under modality {m}" for r, m, label in one_class_readers(scores)]
    if scores.decision is None:
        notes.append(
            "no explicit decisions were recorded: sensitivity and specificity would rest on a threshold of the ratings"
        )
    return notes


def _tied_share(scores: ReaderScores) -> float:
    """Return the share of positive-negative pairs that are tied, by counting equal scores."""
    ties, pairs = 0.0, 0.0
    for reader in scores.score:
        for row in reader:
            values, place = np.unique(row[~np.isnan(row)], return_inverse=True)
            positive = scores.positive[~np.isnan(row)]
            n1 = np.bincount(place[positive], minlength=len(values)).astype(float)
            n0 = np.bincount(place[~positive], minlength=len(values)).astype(float)
            ties += float(n0 @ n1)
            pairs += float(n0.sum() * n1.sum())
    return ties / pairs if pairs else 0.0


def _whole(levels: np.ndarray[Any, np.dtype[np.float64]]) -> bool:
    """Return whether all scores are whole numbers or the scale has few levels."""
    return bool((levels == np.round(levels)).all() or len(levels) <= 7)
