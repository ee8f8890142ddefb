"""Source attribution: which sentence of the source supports each statement of a draft."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from validation.errors import UsageProblem
from validation.metrics.text.labeller import Label, Status, Terms, label, sentences
from validation.registry import Direction, Kind, metric

_CONTENT = re.compile(r"[a-z][a-z-]{2,}|\d+(?:\.\d+)?", re.IGNORECASE)
_EMPTY_WORDS = frozenset(
    [
        "the",
        "and",
        "are",
        "was",
        "were",
        "has",
        "had",
        "have",
        "with",
        "for",
        "from",
        "this",
        "that",
        "there",
        "been",
        "not",
        "but",
        "its",
        "which",
        "into",
        "over",
    ]
)


@dataclass(frozen=True)
class Statement:
    """One statement of a draft: the number of the source sentence that supports it (from 1; 0 for none).

    ``findings`` are those that it asserts as present.
    """

    source: int
    findings: tuple[str, ...]


def attribute(draft: str, source: str, terms: Terms, *, min_overlap: float = 0.6) -> list[Statement]:
    """Find the support of every statement of a draft.

    A statement that names findings of the labeller is supported by the source sentence that says the same of each of
    them: same status, and side and size where the statement gives them. Several sentences may support the findings of
    one statement; the first is named. Any other statement is supported by the sentence that holds at least
    ``min_overlap`` of its content words, and all of its numbers.

    Examples
    --------
    >>> from validation.metrics.text.labeller import make_terms
    >>> terms = make_terms({"nodule": ["nodule"]}, {"nodule": ""})
    >>> source = "Chest radiograph of today. A 6 mm nodule in the left lung."
    >>> [s.source for s in attribute("Left lung nodule. Nodule of 9 mm.", source, terms)]
    [2, 0]
    """
    known = [(label(sentence, terms), sentence) for sentence in sentences(source)]
    found = []
    for statement in sentences(draft):
        labels = {name: one for name, one in label(statement, terms).items() if one.status is not Status.UNMENTIONED}
        present = tuple(name for name, one in labels.items() if one.status is Status.PRESENT)
        if labels:
            places = [
                next((k for k, (own, _) in enumerate(known, start=1) if _supports(own[name], one)), 0)
                for name, one in labels.items()
            ]
            support = 0 if 0 in places else min(places)
        else:
            support = _by_words(statement, [sentence for _, sentence in known], min_overlap)
        found.append(Statement(support, present))
    return found


def _supports(source: Label, statement: Label) -> bool:
    if source.status is not statement.status:
        return False
    if statement.sides and source.sides != statement.sides:
        return False
    return statement.sizes_mm <= source.sizes_mm


def _by_words(statement: str, known: Sequence[str], min_overlap: float) -> int:
    words = _words(statement)
    if not words:
        return 0
    numbers = {word for word in words if word[0].isdigit()}
    for k, sentence in enumerate(known, start=1):
        there = _words(sentence)
        if numbers <= there and len(words & there) >= min_overlap * len(words):
            return k
    return 0


def _words(text: str) -> set[str]:
    return {word.lower() for word in _CONTENT.findall(text)} - _EMPTY_WORDS


@metric(
    "draft_support",
    unit="1",
    direction=Direction.NONE,
    roles=("draft", "source"),
    kind=Kind.RAGGED,
    reference="Maynez 2020, doi:10.18653/v1/2020.acl-main.173 (unsupported statements of summaries)",
    oracle="drafts written with known unsupported statements",
    family="text",
)
def draft_support(
    draft: Sequence[str], source: Sequence[str], *, labeller: Terms, min_overlap: float = 0.6
) -> list[dict[str, float]]:
    """Count the statements of a draft that no sentence of the source supports.

    Components: ``statements``, ``unsupported``; ``assertions`` (statements that assert a finding of the labeller as
    present) and ``unsupported assertions``; and ``statement NNN``, the number of the supporting sentence of the source,
    0 for none. Sentences are counted from 1; no text is kept.

    Never undefined: an empty draft has no statement.

    Parameters
    ----------
    draft, source
        Texts of each case; several source texts are joined in the order of the case table.
    labeller
        Name of a labeller of the protocol.
    min_overlap
        Share of content words that a statement without findings must have in common with a sentence of the source.
    """
    if not 0 < min_overlap <= 1:
        raise UsageProblem(
            f"min_overlap is {min_overlap}.", code="MET-014", where="min_overlap", action="Give a share up to 1."
        )
    found = []
    for text, known in zip(draft, source, strict=True):
        statements = attribute(text, known, labeller, min_overlap=min_overlap)
        assertions = [one for one in statements if one.findings]
        case = {
            "statements": float(len(statements)),
            "unsupported": float(sum(one.source == 0 for one in statements)),
            "assertions": float(len(assertions)),
            "unsupported assertions": float(sum(one.source == 0 for one in assertions)),
        }
        case |= {f"statement {k:03d}": float(one.source) for k, one in enumerate(statements, start=1)}
        found.append(case)
    return found
