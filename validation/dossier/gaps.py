"""What a pathway asks for a claim, and how much of it is there: made by a run, written by a person, or missing.

Every requirement of the catalogue gets one row, also those that do not apply, with the reason; so none can vanish. The
analysis says where an answer stands, never that it is good: what a person wrote is not judged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from validation.dossier.answering import Answered, Classification, answering
from validation.dossier.answers import Place, places_of_artefact
from validation.dossier.catalogue import catalogue as documents_catalogue
from validation.dossier.holdings import Holdings
from validation.dossier.made import Made, NothingYet, ReadRun
from validation.dossier.profile_lint import ProfileFinding
from validation.dossier.profiles import Profile, profile_of
from validation.dossier.record import Record
from validation.dossier.runfiles import RunFiles
from validation.dossier.stack import Need, cell_of, file_of
from validation.protocol.catalogue import Cell, level_words, regulatory_catalogue
from validation.protocol.schema import ClaimType, Pathway, Protocol
from validation.study.narrative import Narrative, Request, read_narrative

State = Literal["met", "written", "planned", "open", "missing", "waived", "none"]
BLOCKING: tuple[State, ...] = ("open", "missing")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A requirement or an artefact, and how it stands.

    Attributes
    ----------
    id, title
        The requirement and what it asks, or the artefact and its title.
    need
        ``required``, ``conditional`` (when its trigger applies; a person decides), ``further`` (asked on the pathway,
        but of an artefact outside the stack of this claim) or ``none``.
    classification
        Who answers it: the run (``generated``), the run and a person (``partly``), a person (``manual``), or nobody.
    state
        ``met`` (found in the run), ``written`` (by a person, not judged), ``planned`` (a run will make it), ``open``
        (waits for a person), ``missing`` (the run should hold it and does not), ``waived`` (a person gave a reason).
    where
        Places, with pages where a run was read.
    narrative
        The artefact whose narrative block answers it; empty if no person has to write.
    because
        Why it stands so: what remains, what is missing, or why it does not apply.
    source
        Document, clause, year, status and level of verification (requirements), or who signs (artefacts).
    """

    id: str
    title: str
    need: Need
    classification: Classification
    state: State
    where: tuple[str, ...] = ()
    narrative: str = ""
    because: str = ""
    source: str = ""
    artefacts: tuple[str, ...] = ()

    @property
    def blocking(self) -> bool:
        """Whether a required thing is not there."""
        return self.need == "required" and self.state in BLOCKING


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """The gap report of one claim on one pathway."""

    claim: ClaimType
    pathway: Pathway
    applicability: str
    note: str
    as_of: str
    run: str
    draft: bool
    artefacts: list[Row]
    requirements: list[Row]
    profile: str = ""
    findings: list[ProfileFinding] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing required is missing, the run is no draft, and no finding of the profile stops it."""
        stopped = any(f.severity == "stop" for f in self.findings)
        if self.applicability == "not_applicable":
            return False
        return not (self.draft or stopped or any(r.blocking for r in (*self.artefacts, *self.requirements)))

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many requirements have each classification and each state; each adds up to all of them."""
        return {
            "classification": _count([r.classification for r in self.requirements], get_args(Classification)),
            "state": _count([r.state for r in self.requirements], get_args(State)),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything, for ``--json``."""
        return {**asdict(self), "complete": self.complete, "counts": self.counts()}


def analyse(
    folder: Path,
    claim: ClaimType,
    pathway: Pathway,
    *,
    run_folder: Path | None = None,
    edition: Path | None = None,
    profile: Profile | None = None,
    protocol: Protocol | None = None,
) -> Gaps:
    """Return how a study stands against what a pathway asks for its claim.

    Parameters
    ----------
    folder
        The study folder, whose ``narrative/`` is read.
    claim, pathway
        Which cell of the matrix. On a pathway that is not for claims of this type nothing is required, and nothing can
        be complete.
    run_folder
        A run whose documents are looked up; without one, what a run will make is ``planned``.
    edition
        An edition of the documents of that run, looked up instead of those that the run was closed with.
    profile
        Rules for the rendered files instead of those of the pathway.
    protocol
        Before there is a run: which conditional documents it calls for.
    """
    regulations = regulatory_catalogue()
    cell = cell_of(claim, pathway)
    profile = profile or profile_of(pathway)
    if run_folder is None:
        planned = {} if protocol is None else {"protocol": protocol.model_dump(mode="json", by_alias=True)}
        made: Made = NothingYet()
        has = Holdings(Record({"": {"endpoints": {}}, **planned}), folder)
    else:
        made = ReadRun(run_folder, claim, pathway, profile, edition=edition)
        has = Holdings(RunFiles(run_folder).record, edition or run_folder)
    order = [e.document for e in file_of(claim, pathway, has=has)]
    book = _Book(folder, cell, order, made)
    requirements = [book.requirement(a) for a in answering(claim, pathway, order, linted=profile is not None)]
    artefacts = [book.artefact(name, requirements) for name in _stack(cell, requirements)]
    return Gaps(
        claim=claim,
        pathway=pathway,
        applicability=cell.applicability,
        note=cell.note,
        as_of=regulations.asked.meta.as_of,
        run=made.name,
        draft=made.draft,
        artefacts=artefacts,
        requirements=requirements,
        profile=profile.id if profile else "",
        findings=made.findings,
    )


def requests(gaps: Gaps) -> list[Request]:
    """Return what has to be asked of persons: one narrative block per artefact that needs one."""
    regulations = regulatory_catalogue()
    found = []
    for row in gaps.artefacts:
        if not row.narrative:
            continue
        answered = [r for r in gaps.requirements if r.narrative == row.id]
        sections = regulations.sections_of(row.id, gaps.pathway)
        points = [f"{s.title}: {point}" for s in sections for point in s.checklist]
        points += [f"only a person can: {s.person_must}" for s in sections if s.person_must]
        points += [f"{r.id}: {r.because}" for r in answered if r.classification == "partly"]
        if row.need != "required":
            points.append("needed only when it applies here; otherwise say why not")
        found.append(
            Request(
                artefact=row.id,
                title=row.title,
                signs=row.source,
                points=tuple(dict.fromkeys(points)) or ("what the title says",),
                answers={r.id: r.title for r in answered},
            )
        )
    return found


def open_narratives(folder: Path, claim: ClaimType, pathway: Pathway) -> list[Row]:
    """Return the required artefacts whose narrative block is not written; with any of them a file is not final."""
    return [row for row in analyse(folder, claim, pathway).artefacts if row.need == "required" and row.state == "open"]


def _count(values: list[Any], every: tuple[str, ...]) -> dict[str, int]:
    found = Counter(values)
    return {name: found.get(name, 0) for name in every}


def _stack(cell: Cell, requirements: list[Row]) -> list[str]:
    """Return every artefact to report: those of the cell, and those that further requirements are written into."""
    others = [r.narrative for r in requirements if r.narrative]
    return list(dict.fromkeys([*cell.required, *cell.conditional, *others]))


class _Book:
    """Rows of one claim on one pathway."""

    def __init__(self, folder: Path, cell: Cell, order: list[str], made: Made) -> None:
        self._folder = folder
        self._cell = cell
        self._order = order
        self._made = made
        self._documents = documents_catalogue()
        self._regulations = regulatory_catalogue()
        self._narratives: dict[str, Narrative | None] = {}

    def requirement(self, answered: Answered) -> Row:
        """Return the row of a requirement."""
        asked, source = answered.requirement, answered.source
        cited = (source.document, asked.section, str(source.year), source.status)
        row = Row(
            id=asked.id,
            title=asked.asks,
            need=answered.need,
            classification=answered.kind,
            state="none",
            narrative=answered.block,
            because=answered.remains,
            source=", ".join(cited) + f" ({level_words(asked)}, {source.as_of})",
            artefacts=tuple(asked.artefacts),
        )
        return row if answered.kind == "not_applicable" else self._stand(row, list(answered.places), answered.remains)

    def artefact(self, name: str, requirements: list[Row]) -> Row:
        """Return the row of an artefact, given those of the requirements."""
        kind = self._regulations.artefacts[name]
        places = places_of_artefact(name, self._order, self._documents)
        asked = [r for r in requirements if r.narrative == name]
        person = bool(asked) or not places
        classification: Classification = "manual" if not places else "partly" if person else "generated"
        row = Row(
            id=name,
            title=kind.title,
            need=self._need([name]),
            classification=classification,
            state="none",
            narrative=name if person else "",
            source=kind.signs,
        )
        row = self._stand(row, places, "")
        if row.state == "open" and self._read(name) is None:
            many = f"{len(asked)} requirement(s) to answer" if asked else "to be written"
            if row.need == "conditional" and self._documents.document_of(name) not in self._order:
                return replace(
                    row, because=f"made when it applies: {many} in narrative/{name}.md, or the reason why not"
                )
            return replace(row, because=f"{many} in narrative/{name}.md")
        unnamed = [r.id for r in asked if r.state == "open"]
        if row.state in ("met", "written", "planned") and unnamed:
            text = f"the block does not name {', '.join(unnamed)} under `answers`"
            return replace(row, state="open", because=text)
        return row

    def _need(self, artefacts: list[str]) -> Need:
        if set(artefacts) & set(self._cell.required):
            return "required"
        return "conditional" if set(artefacts) & set(self._cell.conditional) else "further"

    def _stand(self, row: Row, places: list[Place], remains: str) -> Row:
        """Return the row with its state: first what the run holds, then what the person wrote."""
        looked = [self._made.find(p) for p in places]
        if row.narrative:  # what the record holds nothing for is the person's
            kept = [k for k, f in enumerate(looked) if not f.absent]
            places, looked = [places[k] for k in kept], [looked[k] for k in kept]
        row = replace(row, where=tuple(f"{p}{f.page}" for p, f in zip(places, looked, strict=True)), because=remains)
        lost = [f"{p}: {f.missing}" for p, f in zip(places, looked, strict=True) if f.missing]
        if lost:
            return replace(row, state="missing", because="; ".join(lost))
        by_run: State = "met" if self._made.name else "planned"
        if not row.narrative:
            return replace(row, state=by_run)
        block = self._read(row.narrative)
        if block is None:
            return replace(row, state="open", because=remains or "no narrative block was written")
        if block.open_because:
            return replace(row, state="open", because=remains or block.open_because)
        if block.not_applicable:
            return replace(row, state="waived", because=f"not applicable: {block.not_applicable}")
        if row.id != row.narrative and row.id not in block.answers:
            text = f"narrative/{row.narrative}.md does not name it under `answers`"
            return replace(row, state="open", because=text)
        shown = self._made.block(self._folder, row.narrative)
        if shown is not None and shown.missing:
            return replace(row, state="missing", because=shown.missing)
        if shown is not None:
            row = replace(row, where=(*row.where, shown.page))
        return replace(row, state=by_run if places else "written")

    def _read(self, artefact: str) -> Narrative | None:
        if artefact not in self._narratives:
            self._narratives[artefact] = read_narrative(self._folder, artefact)
        return self._narratives[artefact]
