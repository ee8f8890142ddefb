"""Reading schedules: who reads which case under which condition, in which session and order; and checks of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from validation.errors import DataProblem, UsageProblem

Index = NDArray[np.int64]
WASHOUT_DAYS = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """How readings are laid out; fixed in the protocol before the first one.

    Parameters
    ----------
    design
        ``crossover``: as many sessions as modalities; the cases are divided into as many blocks, and every session
        holds every block once, each under another modality, so that every reader reads every case under every modality
        (Latin square; readers start at different rows). ``sequential``: one session, every case read first under the
        first modality and at once under the next.
        ``split_plot``: as crossover, but every group of readers has its own part of the cases.
    modalities
        Reading conditions, in the order of reading for ``sequential``.
    groups
        Groups of readers for ``split_plot``.
    washout_days
        Least days between two sessions of a reader.
    block_size
        Readings that make up a reading block; classes are spread over the blocks so that prevalence does not drift.
    unaided_only
        Share of cases that a sequential reader sees under the first modality only, against under-calling.
    seed
        Of everything random: the same seed gives the same schedule.
    start
        First day of the first session.
    """

    design: Literal["crossover", "sequential", "split_plot"] = "crossover"
    modalities: tuple[str, ...]
    groups: int = 1
    washout_days: int = WASHOUT_DAYS
    block_size: int = 20
    unaided_only: float = 0.0
    seed: int = 1
    start: date

    def __post_init__(self) -> None:
        if len(self.modalities) < 1 or len(set(self.modalities)) != len(self.modalities):
            raise _wrong("a schedule needs modalities with different names.")
        if self.groups < 1 or (self.groups > 1) != (self.design == "split_plot"):
            raise _wrong("a split-plot schedule needs two groups or more, and only that one has groups.")
        if self.washout_days < 0 or self.block_size < 1 or not 0 <= self.unaided_only < 1:
            raise _wrong("washout, block size or the share of cases read unaided only is out of range.")
        if self.unaided_only > 0 and (self.design != "sequential" or len(self.modalities) < 2):
            raise _wrong("only a sequential design with two modalities has cases that are read unaided only.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Worklists without anything that tells the truth, the key that joins them to cases, and what was checked.

    Parameters
    ----------
    worklist
        ``reader, session, earliest_date, order, block, reading_code, condition``, one row per reading.
    key
        ``reading_code, reader, modality, case, truth, session, block``: kept from readers.
    checks
        ``[{check, met, detail}]``.
    """

    worklist: pd.DataFrame
    key: pd.DataFrame
    checks: list[dict[str, Any]]


def make_schedule(cases: pd.DataFrame, readers: list[str], settings: ScheduleSettings) -> Schedule:
    """Return a schedule for a table of cases.

    Parameters
    ----------
    cases
        Columns ``case`` and ``truth`` (0 or 1); one row per case.
    readers
        Names of the readers.

    Notes
    -----
    Codes of readings are random and different for every reading, so that neither case nor truth nor an earlier reading
    can be told from them; conditions are shown, because readers see what they read with. Each reading block holds both
    classes in the proportion of the session, rounded.

    References
    ----------
    FDA, Clinical Performance Assessment: Considerations for CADe Devices, 28 September 2022, IV.C (randomisation, Latin
    squares, four weeks between sessions) and appendix A (crossover, sequential designs).

    Raises
    ------
    DataProblem
        If a case has no name or truth, or occurs twice.
    UsageProblem
        If readers repeat, or there are fewer cases of a class than blocks.
    """
    truth = _cases(cases)
    if not readers or len(set(readers)) != len(readers) or any(not r.strip() for r in readers):
        raise _wrong("a schedule needs readers with different names.")
    rng = np.random.default_rng(settings.seed)
    rows = (
        _sequential(truth, readers, settings, rng)
        if settings.design == "sequential"
        else _crossed(truth, readers, settings, rng)
    )
    table = pd.DataFrame(rows)
    table["reading_code"] = _codes(len(table), rng)
    table["condition"] = table["modality"]
    days = (table["session"].to_numpy(int) - 1) * settings.washout_days
    table["earliest_date"] = [(settings.start + timedelta(days=int(d))).isoformat() for d in days]
    shown = ["reader", "session", "earliest_date", "order", "block", "reading_code", "condition"]
    key = ["reading_code", "reader", "modality", "case", "truth", "session", "order", "block"]
    return Schedule(worklist=table[shown], key=table[key], checks=check_schedule(table[shown], table[key], settings))


def _crossed(
    truth: pd.Series, readers: list[str], settings: ScheduleSettings, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return the readings of a crossover, or of one per group of a split-plot."""
    M, G = len(settings.modalities), settings.groups
    if len(readers) < G:
        raise _wrong(f"{len(readers)} readers cannot form {G} groups.")
    part = _stratified(truth, G, rng)
    group_of = {str(r): k % G for k, r in enumerate(rng.permutation(readers))}
    started = [0] * G
    rows = []
    for reader in readers:
        g = group_of[reader]
        own = truth[part == g]
        block = _stratified(own, M, np.random.default_rng([settings.seed, 1, g]))  # one division for all readers
        row, started[g] = started[g] % M, started[g] + 1
        for session in range(M):
            todo = [
                (c, settings.modalities[(int(b) + session + row) % M]) for c, b in zip(own.index, block, strict=True)
            ]
            rows += _session(reader, session + 1, todo, truth, settings, rng)
    return rows


def _session(
    reader: str,
    session: int,
    todo: list[tuple[str, str]],
    truth: pd.Series,
    settings: ScheduleSettings,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Return one session: modalities one after the other in random order, cases in blocks of even prevalence."""
    rows: list[dict[str, Any]] = []
    number = 0
    for modality in rng.permutation(sorted({m for _, m in todo})):
        own = truth[[c for c, m in todo if m == modality]]
        blocks = max(1, round(len(own) / settings.block_size))
        place = _stratified(own, blocks, rng, strict=False)
        for b in range(blocks):
            number += 1
            for case in rng.permutation(own.index[place == b].to_numpy(object)):
                rows.append(
                    {"reader": reader, "session": session, "block": number, "order": len(rows) + 1}
                    | {"modality": str(modality), "case": str(case), "truth": int(truth[case])}
                )
    return rows


def _sequential(
    truth: pd.Series, readers: list[str], settings: ScheduleSettings, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return one session per reader, every case under each modality in turn."""
    rows = []
    for reader in readers:
        blocks = max(1, round(len(truth) / settings.block_size))
        place = _stratified(truth, blocks, rng, strict=False)
        short = set(rng.permutation(truth.index.to_numpy(object))[: round(settings.unaided_only * len(truth))])
        order = 0
        for b in range(blocks):
            for case in rng.permutation(truth.index[place == b].to_numpy(object)):
                for modality in settings.modalities[: 1 if case in short else None]:
                    order += 1
                    rows.append(
                        {"reader": reader, "session": 1, "block": b + 1, "order": order, "modality": modality}
                        | {"case": str(case), "truth": int(truth[case])}
                    )
    return rows


def check_schedule(worklist: pd.DataFrame, key: pd.DataFrame, settings: ScheduleSettings) -> list[dict[str, Any]]:
    """Return what a schedule must fulfil, each with whether it does: washout, balance, blinding, prevalence."""
    both = key.merge(worklist[["reading_code", "earliest_date", "condition"]], on="reading_code")
    found = [_washout_row(both.rename(columns={"earliest_date": "read_at"}), settings)]
    counts = both.groupby(["reader", "modality"]).size().unstack(fill_value=0)
    even = settings.unaided_only > 0 or bool((counts.nunique(axis=1) == 1).all())
    found.append(_row("every reader reads every case under every modality", even, _ranges(counts)))
    starts = both[both["session"] == 1].groupby(["modality", "case"]).size().unstack("modality", fill_value=0)
    spread = 0 if settings.design == "sequential" else int(starts.max(axis=1).sub(starts.min(axis=1)).max())
    limit = len(set(both["reader"]))
    even_start = settings.design == "sequential" or limit < len(settings.modalities) or spread < limit
    found.append(_row("first readings are spread over the modalities", even_start, f"largest imbalance {spread}"))
    found += check_blinding(worklist, key)
    once = both.drop_duplicates(["reader", "session", "block", "case"])
    blocks = once.groupby(["reader", "session", "block"])["truth"].agg(["mean", "size"])
    drift = float((blocks["mean"] - once["truth"].mean()).abs().max())
    bound = 1.5 / float(blocks["size"].min())
    found.append(_row("prevalence is even over reading blocks", drift <= bound, f"largest deviation {drift:.3f}"))
    return found


def check_blinding(worklist: pd.DataFrame, key: pd.DataFrame) -> list[dict[str, Any]]:
    """Return whether anything in the worklist tells the truth or the case.

    Column names, cell contents, uniqueness of codes, and the rank correlation of order and of code with truth, which
    must not be larger than chance would allow once in a thousand, per reader and session.
    """
    from scipy import stats

    telling = sorted({"truth", "case", "lesion", "score", "diagnosis"} & set(worklist.columns))
    names = set(key["case"].astype(str))
    leaks = int(worklist["reading_code"].isin(list(names)).sum())
    shown = worklist[["reader", "session", "order", "reading_code"]]
    joined = shown.merge(key[["reading_code", "truth"]], on="reading_code")
    ranks = joined["reading_code"].rank()
    tests = []
    for _, part in joined.assign(code_rank=ranks).groupby(["reader", "session"]):
        if part["truth"].nunique() == 2:
            for column in ("order", "code_rank"):
                tests.append(float(stats.mannwhitneyu(*(part[column][part["truth"] == t] for t in (0, 1))).pvalue))
    smallest = min(tests, default=1.0)
    fine = smallest >= 0.001 / max(1, len(tests))
    return [
        _row("no column tells the truth or the case", not telling, ", ".join(telling) or "none"),
        _row(
            "codes are unique and hold no case name",
            leaks == 0 and bool(worklist["reading_code"].is_unique),
            f"{leaks} codes equal a case name",
        ),
        _row("neither order nor code goes with the truth", fine, f"smallest p {smallest:.3g} of {len(tests)} tests"),
    ]


def check_readings(readings: pd.DataFrame, *, washout_days: int = WASHOUT_DAYS) -> list[dict[str, Any]]:
    """Check the time stamps of readings that were done: the washout between two readings of a case by a reader.

    Parameters
    ----------
    readings
        Columns ``reader, modality, case, read_at`` (ISO 8601 date or time).

    Raises
    ------
    DataProblem
        If a column is missing or a time cannot be read.
    """
    missing = [c for c in ("reader", "modality", "case", "read_at") if c not in readings.columns]
    if missing:
        raise _unreadable(f"the table of readings has no column {', '.join(map(repr, missing))}.")
    times = pd.to_datetime(readings["read_at"], errors="coerce", utc=True, format="ISO8601")
    if times.isna().any():
        raise _unreadable(
            f"{int(times.isna().sum())} readings have no time in the form 2026-01-31 or 2026-01-31T14:05."
        )
    settings = ScheduleSettings(modalities=("any",), washout_days=washout_days, start=date(2000, 1, 1))
    doubled = int(readings.duplicated(["reader", "modality", "case"]).sum())
    return [
        _washout_row(readings.assign(read_at=times), settings),
        _row("no reading was done twice", doubled == 0, f"{doubled} repeated readings"),
    ]


def _washout_row(readings: pd.DataFrame, settings: ScheduleSettings) -> dict[str, Any]:
    """Return the check of the shortest time between two readings of one case by one reader."""
    name = f"at least {settings.washout_days} days between readings of one case by one reader"
    if settings.design == "sequential":
        return _row(name, True, "sequential design: readings of a case follow each other on purpose")
    times = pd.to_datetime(readings["read_at"], utc=True)
    table = readings.assign(read_at=times).sort_values("read_at")
    gaps = table.groupby(["reader", "case"])["read_at"].diff().dropna()
    if gaps.empty:
        return _row(name, True, "no case is read twice by a reader")
    days = gaps.dt.total_seconds() / 86400
    short = int((days < settings.washout_days).sum())
    return _row(name, short == 0, f"shortest {days.min():.1f} days; {short} of {len(days)} too short")


def _stratified(truth: pd.Series, parts: int, rng: np.random.Generator, *, strict: bool = True) -> Index:
    """Return the part of each case, at random, the classes spread evenly (sizes differ by at most one per class)."""
    place = np.empty(len(truth), dtype=np.int64)
    offset = 0
    for label in (1, 0):
        members = rng.permutation(np.flatnonzero(truth.to_numpy() == label))
        if strict and len(members) < parts:
            raise _wrong(f"{len(members)} cases of truth {label} cannot be divided into {parts} parts.")
        place[members] = (np.arange(len(members)) + offset) % parts
        offset = len(members) % parts
    return place


def _codes(number: int, rng: np.random.Generator) -> list[str]:
    """Return different random codes without letters that look alike."""
    letters = np.array(list("ABCDEFGHJKMNPQRSTUVWXYZ23456789"))
    codes: dict[str, None] = {}
    while len(codes) < number:
        codes["".join(rng.choice(letters, size=8))] = None
    return list(codes)


def _cases(table: pd.DataFrame) -> pd.Series:
    """Return the truth by case name."""
    missing = [c for c in ("case", "truth") if c not in table.columns]
    if missing:
        raise _unreadable(f"the table of cases has no column {', '.join(map(repr, missing))}.")
    names = table["case"].astype("string").str.strip()
    truth = pd.to_numeric(table["truth"], errors="coerce")
    if names.isna().any() or names.duplicated().any() or not truth.isin([0, 1]).all():
        raise _unreadable("a case has no name, occurs twice, or has a truth other than 0 and 1.")
    if truth.nunique() < 2:
        raise _unreadable("the cases are all of one class.")
    return pd.Series(truth.to_numpy(int), index=pd.Index(names.to_numpy(object)))


def _ranges(counts: pd.DataFrame) -> str:
    return "; ".join(f"{m}: {int(counts[m].min())} to {int(counts[m].max())} readings" for m in counts.columns)


def _row(check: str, met: bool, detail: str) -> dict[str, Any]:
    return {"check": check, "met": bool(met), "detail": detail}


def _wrong(what: str) -> UsageProblem:
    return UsageProblem(
        what,
        code="RDR-025",
        where="schedule",
        why="An unbalanced schedule mixes the effect of order with that of the modality.",
        action="Correct the settings.",
    )


def _unreadable(what: str) -> DataProblem:
    return DataProblem(what, code="RDR-025", where="table", action="Correct the table.")
