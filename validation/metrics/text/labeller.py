"""A rule-based labeller of reports: findings by the terms that the protocol names, with negation and uncertainty.

A term is found as whole words, whatever its case. Its status comes from the cues of its own clause (sentences end at a
full stop, semicolon or line break; a clause ends at "but", "however", "although", "except"):

- ``absent`` when a negation cue stands before it ("no", "without") or a ruling-out cue after it ("is excluded");
- ``uncertain`` when an uncertainty cue stands on either side ("possible", "cannot be excluded");
- ``present`` otherwise.

A finding named more than once in a report is present if it is present anywhere, else uncertain, else absent. The rules
are for English; cues in another language come with the table of terms. Their accuracy on the user's own reports must
be shown with the study: the labeller is a measuring instrument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pandas as pd

from validation.errors import DataProblem

NEGATION = (
    "no", "not", "without", "absence of", "absent", "negative for", "free of", "denies", "no evidence of", "never",
)  # fmt: skip
RULED_OUT = (
    "is excluded", "are excluded", "excluded", "ruled out", "not seen", "not present", "has resolved", "resolved",
    "absent", "not identified", "not visible",
)  # fmt: skip
UNCERTAIN = (
    "possible", "possibly", "probable", "probably", "suspected", "suspicious for", "may", "might", "could", "suggests",
    "suggesting", "suggestive of", "questionable", "likely", "cannot exclude", "cannot be excluded", "not excluded",
    "versus", "differential",
)  # fmt: skip
SIDES = {"left": "left", "right": "right", "bilateral": "both", "bilaterally": "both", "both": "both"}
_SENTENCE = re.compile(r"(?<!\d)\.|\.(?!\d)|[;\n]")
_CLAUSE = re.compile(r"\b(?:but|however|although|except|apart from)\b", re.IGNORECASE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(mm|cm)\b", re.IGNORECASE)


class Status(StrEnum):
    """What a report says of a finding."""

    PRESENT = "present"
    UNCERTAIN = "uncertain"
    ABSENT = "absent"
    UNMENTIONED = "unmentioned"


_ORDER = (Status.PRESENT, Status.UNCERTAIN, Status.ABSENT)


@dataclass(frozen=True, slots=True)
class Label:
    """What a report says of one finding: status, sides and sizes (mm) in the clauses that decided it."""

    status: Status
    sides: frozenset[str] = frozenset()
    sizes_mm: frozenset[float] = frozenset()


@dataclass(frozen=True)
class Terms:
    """Patterns of the findings, their severities, and the cues."""

    patterns: dict[str, re.Pattern[str]]
    severity: dict[str, str]
    negation: re.Pattern[str]
    ruled_out: re.Pattern[str]
    uncertain: re.Pattern[str]
    sides: dict[str, str] = field(default_factory=lambda: dict(SIDES))


def _either(words: Sequence[str]) -> re.Pattern[str]:
    ordered = sorted({w.strip() for w in words if w.strip()}, key=len, reverse=True)
    body = "|".join(r"\s+".join(re.escape(part) for part in w.split()) for w in ordered)
    return re.compile(rf"(?<![\w-])(?:{body})(?!\w)", re.IGNORECASE)


def read_terms(table: pd.DataFrame) -> Terms:
    """Return the terms of a table with the columns ``finding``, ``term`` and optional ``severity``.

    Rows whose finding is ``(negation)``, ``(ruled out)`` or ``(uncertain)`` replace the cues of that kind.

    Raises
    ------
    DataProblem
        ``MET-040`` if columns or cells are missing, or a finding has two severities.
    """
    missing = [c for c in ("finding", "term") if c not in table]
    if missing or table.empty or table[["finding", "term"]].isna().to_numpy().any():
        raise _refused(f"it lacks {', '.join(missing)}" if missing else "it has no rows or empty cells")
    words: dict[str, list[str]] = {}
    severity: dict[str, str] = {}
    levels = table["severity"].fillna("").astype(str) if "severity" in table else pd.Series("", index=table.index)
    for finding, term, level in zip(table["finding"].astype(str), table["term"].astype(str), levels, strict=True):
        if not term.strip():
            raise _refused("it has empty cells")
        words.setdefault(finding, []).append(term)
        if severity.setdefault(finding, level) != level:
            raise _refused(f"the finding {finding!r} has two severities")
    cues = {name: words.pop(f"({name})", None) for name in ("negation", "ruled out", "uncertain")}
    if not words:
        raise _refused("it names no finding")
    named = {finding: severity[finding] for finding in words}
    return make_terms(words, named, negation=cues["negation"], ruled_out=cues["ruled out"], uncertain=cues["uncertain"])


def make_terms(
    words: Mapping[str, Sequence[str]],
    severity: Mapping[str, str],
    *,
    negation: Sequence[str] | None = None,
    ruled_out: Sequence[str] | None = None,
    uncertain: Sequence[str] | None = None,
) -> Terms:
    """Return terms from the words of each finding, its severity, and cues (the English ones where ``None``)."""
    return Terms(
        {finding: _either(terms) for finding, terms in words.items()},
        dict(severity),
        _either(negation or NEGATION),
        _either(ruled_out or RULED_OUT),
        _either(uncertain or UNCERTAIN),
    )


def _refused(why: str) -> DataProblem:
    return DataProblem(
        f"the table of terms cannot be used: {why}.",
        code="MET-040",
        where="terms",
        action="Give the columns finding, term and (optional) severity, one row per term.",
    )


def label(text: str, terms: Terms) -> dict[str, Label]:
    """Return the label of every finding.

    Examples
    --------
    >>> table = pd.DataFrame({"finding": ["effusion", "nodule"], "term": ["effusion", "nodule"]})
    >>> found = label("No pleural effusion. A 6 mm nodule in the left lung.", read_terms(table))
    >>> found["effusion"].status.value, found["nodule"].status.value, sorted(found["nodule"].sides)
    ('absent', 'present', ['left'])
    """
    mentions: dict[str, list[Label]] = {finding: [] for finding in terms.patterns}
    for sentence in sentences(text):
        for clause in _CLAUSE.split(sentence):
            for finding, pattern in terms.patterns.items():
                mentions[finding] += [_mention(clause, match, terms) for match in pattern.finditer(clause)]
    return {finding: _joined(found) for finding, found in mentions.items()}


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, empty ones left out.

    >>> sentences("A 1.5 cm nodule. No effusion; heart normal.")
    ['A 1.5 cm nodule', 'No effusion', 'heart normal']
    """
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def _mention(clause: str, match: re.Match[str], terms: Terms) -> Label:
    before, after = clause[: match.start()], clause[match.end() :]
    hedges = [m.span() for part in (before, after) for m in terms.uncertain.finditer(part)]
    if hedges:
        status = Status.UNCERTAIN
    elif terms.negation.search(before) or terms.ruled_out.search(after):
        status = Status.ABSENT
    else:
        status = Status.PRESENT
    sides = frozenset(side for word, side in terms.sides.items() if re.search(rf"\b{word}\b", clause, re.IGNORECASE))
    sizes = frozenset(round(float(n) * (10 if u.lower() == "cm" else 1), 3) for n, u in _SIZE.findall(clause))
    return Label(status, frozenset({"both"}) if len(sides) > 1 else sides, sizes)


def _joined(mentions: list[Label]) -> Label:
    for status in _ORDER:
        chosen = [m for m in mentions if m.status is status]
        if chosen:
            sides = frozenset().union(*(m.sides for m in chosen))
            return Label(
                status,
                frozenset({"both"}) if len(sides) > 1 else sides,
                frozenset().union(*(m.sizes_mm for m in chosen)),
            )
    return Label(Status.UNMENTIONED)
