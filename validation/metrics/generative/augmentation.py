r"""Does adding synthetic images help on real held-out cases: gains of task models, by class and group, and their dose.

The data are **scores**: what task models, trained in different ways, said about the same real held-out cases. One row
per case, way of training and training seed:

==================  ====================================================================================
column              meaning
==================  ====================================================================================
``case``            the real held-out case
``patient``         its patient (the cluster); every case is its own where the column is missing
``truth``           its class; with a single column ``score``: 1 where the condition is present, else 0
``arm``             way of training: ``real``, ``synthetic``, ``classical``, ``reweighted`` ...
``ratio``           synthetic over real images of the rare class (0 where none were added)
``seed``            seed of the training run; the same seeds in every arm
``score.<class>``   score of the class (or ``score``), higher means more likely
further columns     groups, such as ``sex``
==================  ====================================================================================

Two things vary by chance: the patients of the test set, and the training run. With figure :math:`\theta` (an area
under the curve, a sensitivity) and S seeds, on the same cases and with the same seeds, the gain is

.. math:: \bar g = \frac1S\sum_s (\theta_{\text{arm},s} - \theta_{\text{comparator},s}).

Its variance is the sum of a delete-a-group jackknife over patients, which keeps all rows of a patient together, and of
the variance over seeds divided by S. The part that patients and seeds have in common is counted twice, so the interval
is a little wide rather than narrow. Degrees of freedom after Satterthwaite.

References
----------
Kott 2001 (J Official Statistics 17:521-526); Satterthwaite 1946, doi:10.2307/3002019; Bouthillier 2021,
arXiv:2103.03098 (variance over training seeds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.registry import Direction, Kind, metric

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.intp]
Pair = tuple[list[Floats], list[Floats]]
Figure = Literal["auc", "sensitivity"]
GROUPS = 60
LEAST_SEEDS = 3
LEAST_CASES = 5  # of the class, and of the others, with a value
SEED = 1
BLOCK = 1 << 22  # comparisons held at a time
_COLUMNS = ("case", "truth", "arm", "ratio", "seed")


@metric(
    "augmentation_gain",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.ESTIMATE,
    roles=("scores",),
    reference="Frid-Adar 2018, doi:10.1016/j.neucom.2018.09.013 (design); Kott 2001 (J Official Statistics 17:521-526)",
    oracle="paired DeLong of one seed; simulated training runs of known gain",
    family="generative",
)
def augmentation_gain(
    scores: pd.DataFrame,
    *,
    arm: str = "synthetic",
    ratio: float | None = None,
    comparator: str = "real",
    figure: Figure = "auc",
    subgroups: Sequence[str] = (),
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Gain of one way of training over another on real held-out cases, by class and by group.

    Components: each class by its name (one against the rest), ``<class>, <column>=<level>`` for every group, and
    ``mean of classes``. A gain whose whole interval lies below zero says that the synthetic images hurt; it is as
    much a result as one above.

    Insufficient with fewer than three seeds, five patients, or five cases of the class or of the others.

    Parameters
    ----------
    scores
        See :mod:`validation.metrics.generative.augmentation`.
    arm, ratio
        Way of training, and how much was added; the arm's only ratio may be left out.
    comparator
        Way of training that it is compared with.
    figure
        ``auc`` (one class against the rest) or ``sensitivity`` (cases of the class whose highest score it is).
    subgroups
        Columns whose levels are estimated apart.
    """
    table = _table(scores)
    pair = (table.runs(arm, ratio), table.runs(comparator, None))
    found = {name: table.gain(pair, name, figure, table.everyone, level) for name in table.classes}
    for column in subgroups:
        for group, member in table.groups(column):
            for name in table.classes:
                found[f"{name}, {column}={group}"] = table.gain(pair, name, figure, member, level)
    if len(table.classes) > 1:
        weights = np.array([1.0, -1.0])
        found["mean of classes"] = table.contrast(
            list(pair), weights, table.classes, figure, table.everyone, level, "mean gain over classes"
        )
    return found


@metric(
    "augmentation_dose_response",
    unit="1",
    direction=Direction.HIGHER,
    kind=Kind.ESTIMATE,
    roles=("scores",),
    reference="Bouthillier 2021, arXiv:2103.03098; Satterthwaite 1946, doi:10.2307/3002019",
    oracle="the gain at each ratio; simulated training runs of known slope",
    family="generative",
)
def augmentation_dose_response(
    scores: pd.DataFrame,
    *,
    condition: str | None = None,
    arm: str = "synthetic",
    comparator: str = "real",
    figure: Figure = "auc",
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Gain at every ratio of synthetic to real images, and how it changes with the ratio.

    Components: ``x<ratio>`` the gain at that ratio, ``per doubling`` the slope of the gain over the logarithm (base 2)
    of 1 + ratio through all ratios and zero, and ``last step`` the gain of the highest ratio over the one before: below
    zero where more no longer helps.

    Parameters
    ----------
    scores
        See :mod:`validation.metrics.generative.augmentation`.
    condition
        The rare class; may be left out where there is a single column ``score``.
    arm, comparator, figure
        As for ``augmentation_gain``.
    """
    table = _table(scores)
    name = table.one_class(condition)
    ratios = table.ratios(arm)
    base = table.runs(comparator, None)
    doses = [table.runs(arm, r) for r in ratios]
    everyone = table.everyone
    found = {
        f"x{r:g}": table.gain((dose, base), name, figure, everyone, level)
        for r, dose in zip(ratios, doses, strict=True)
    }
    x = np.log2(1 + np.asarray([0.0, *ratios]))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    found["per doubling"] = table.contrast([base, *doses], weights, (name,), figure, everyone, level, "slope")
    if len(doses) > 1:
        found["last step"] = table.gain((doses[-1], doses[-2]), name, figure, everyone, level)
    return found


@dataclass(frozen=True, eq=False)
class _Scores:
    """Scores as arrays: cases in one order, one matrix of scores per run of training."""

    cases: pd.DataFrame  # index case: patient code, truth, groups
    classes: tuple[str, ...]
    seeds: tuple[str, ...]
    values: dict[tuple[str, float, str], Floats]  # (arm, ratio, seed) -> (cases, classes)

    @property
    def everyone(self) -> Flags:
        return np.ones(len(self.cases), dtype=bool)

    def ratios(self, arm: str) -> list[float]:
        found = sorted({r for a, r, _ in self.values if a == arm})
        if not found:
            raise _no_arm(arm, {a for a, _, _ in self.values})
        return found

    def runs(self, arm: str, ratio: float | None) -> list[Floats]:
        """Return the score matrices of an arm, one per seed in order."""
        known = self.ratios(arm)
        chosen = known[0] if ratio is None else ratio
        if chosen not in known or (ratio is None and len(known) > 1):
            raise UsageProblem(
                f"the arm {arm!r} has the ratios {', '.join(f'{r:g}' for r in known)}.",
                code="MET-014",
                where="ratio",
                action="Name one of them as `ratio`.",
            )
        return [self.values[arm, chosen, seed] for seed in self.seeds]

    def one_class(self, name: str | None) -> str:
        if name is None and len(self.classes) == 1:
            return self.classes[0]
        if name not in self.classes:
            raise UsageProblem(
                f"there is no class {name!r}.",
                code="MET-014",
                where="condition",
                action=f"Name one of: {', '.join(self.classes)}.",
            )
        return name

    def groups(self, column: str) -> Iterable[tuple[str, Flags]]:
        if column not in self.cases.columns:
            raise DataProblem(f"the scores have no column {column!r}.", code="MET-020", where="scores, subgroups")
        levels = self.cases[column].astype(str)
        return [(level, (levels == level).to_numpy(bool)) for level in sorted(levels.unique())]

    def gain(self, pair: Pair, name: str, figure: Figure, member: Flags, level: float) -> Estimate:
        """Return the gain of the first runs over the second."""
        return self.contrast(list(pair), np.array([1.0, -1.0]), (name,), figure, member, level, "gain")

    def contrast(
        self,
        doses: list[list[Floats]],
        weights: Floats,
        names: Sequence[str],
        figure: Figure,
        member: Flags,
        level: float,
        what: str,
    ) -> Estimate:
        """Return the weighted sum of figures of several runs, averaged over classes and seeds, with its interval."""
        unique, own = np.unique(self.cases["patient"].to_numpy()[member], return_inverse=True)
        dealt = np.arange(len(unique))
        if len(unique) > GROUPS:
            dealt = np.random.Generator(np.random.Philox(SEED)).permutation(len(unique)) % GROUPS
        groups = min(len(unique), GROUPS)
        seeds = len(self.seeds)
        shared: dict[str, Any] = {
            "n": int(member.sum()), "n_clusters": len(unique), "unit": "1", "level": level,
            "method": f"{what} in {figure}, {seeds} training seeds, jackknife of {groups} groups of patients "
            "plus variance over seeds, t",
        }  # fmt: skip
        why = self._too_little(member, len(unique))
        if why:
            return Estimate.insufficient(why, **shared)
        truth = self.cases["truth"].to_numpy()[member]
        table = np.zeros((groups + 1, seeds))  # the whole, then without each group
        for weight, dose in zip(weights, doses, strict=True):
            for k, run in enumerate(dose):
                for name in names:
                    column = self.classes.index(name)
                    table[:, k] += weight / len(names) * _READ[figure](run[member], truth == name, column, dealt[own])
        whole, without = table[0], table[1:].mean(axis=1)
        centre = float(whole.mean())
        if not np.isfinite(centre):
            return Estimate.insufficient("no case of the class in this group", **shared)
        if seeds < LEAST_SEEDS:
            why = f"{seeds} training seeds cannot tell a gain from the luck of training; {LEAST_SEEDS} are needed"
        elif not np.isfinite(without).all():
            why = "one group of patients has all cases"
        if why:
            return Estimate(value=centre, lower=None, upper=None, reason=why, **shared)
        by_patients = (groups - 1) / groups * float(((without - without.mean()) ** 2).sum())
        by_seeds = float(whole.var(ddof=1)) / seeds
        variance = by_patients + by_seeds
        if not variance > 0:
            return Estimate(value=centre, lower=None, upper=None, reason="no spread in these data", **shared)
        df = variance**2 / (by_patients**2 / (groups - 1) + by_seeds**2 / (seeds - 1))
        half = float(stats.t.isf((1 - level) / 2, df)) * variance**0.5
        return Estimate(value=centre, lower=centre - half, upper=centre + half, **shared)

    def _too_little(self, member: Flags, patients: int) -> str:
        if patients < LEAST_CASES:
            return f"{patients} patients are too few"
        counts = self.cases["truth"][member].value_counts()
        few = int(counts.min()) if len(counts) > 1 else 0
        return "" if few >= LEAST_CASES else f"{few} cases of one class are too few"


def _auc(scores: Floats, truth: Flags, column: int, groups: Codes) -> Floats:
    """Return the area under the curve of a class, of all cases and without each group of patients (NaN: none)."""
    count = int(groups.max()) + 1
    positive, negative = scores[truth, column], scores[~truth, column]
    members = np.eye(count)[groups]
    inside, outside = members[truth], members[~truth]
    wins = np.zeros((count, count))
    rows = max(1, BLOCK // max(1, len(negative)))
    for start in range(0, len(positive), rows):
        part = positive[start : start + rows, None]
        above = (part > negative).astype(np.float64) + 0.5 * (part == negative)
        wins += inside[start : start + rows].T @ (above @ outside)
    left = wins.sum() - wins.sum(axis=1) - wins.sum(axis=0) + np.diag(wins)
    pairs = (len(positive) - inside.sum(axis=0)) * (len(negative) - outside.sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.concatenate([[wins.sum() / (len(positive) * len(negative))], left / pairs])


def _sensitivity(scores: Floats, truth: Flags, column: int, groups: Codes) -> Floats:
    """Return the share of cases of a class whose highest score it is, of all cases and without each group."""
    count = int(groups.max()) + 1
    found = (scores[truth].argmax(axis=1) == column).astype(np.float64)
    hits, cases = (np.bincount(groups[truth], weights=w, minlength=count) for w in (found, np.ones(len(found))))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.concatenate([[hits.sum() / cases.sum()], (hits.sum() - hits) / (cases.sum() - cases)])


_READ: dict[str, Callable[[Floats, Flags, int, Codes], Floats]] = {"auc": _auc, "sensitivity": _sensitivity}


def _table(data: pd.DataFrame) -> _Scores:
    """Return checked scores: every arm has every seed, and every run every case with the same truth."""
    if not isinstance(data, pd.DataFrame):
        raise _refused("no columns; a table is needed")
    missing = [c for c in _COLUMNS if c not in data.columns]
    scored = [str(c) for c in data.columns if str(c) == "score" or str(c).startswith("score.")]
    if missing or not scored:
        raise _refused(f"no column {', '.join(missing or ['score'])}")
    frame = data.assign(
        arm=data["arm"].astype(str), seed=data["seed"].astype(str), ratio=pd.to_numeric(data["ratio"], errors="coerce")
    )
    if "patient" not in frame.columns:
        frame["patient"] = frame["case"]
    if not np.isfinite(frame[[*scored, "ratio"]].to_numpy(dtype=np.float64)).all():
        raise _refused("scores or ratios that are missing or not finite")
    single = scored == ["score"]
    classes = ("present",) if single else tuple(c.removeprefix("score.") for c in scored)
    truth = frame["truth"].astype(str)
    if single:
        truth = (pd.to_numeric(frame["truth"], errors="coerce") == 1).map({True: "present", False: "absent"})
    elif not set(truth) <= set(classes):
        raise _refused(f"a truth without a score: {sorted(set(truth) - set(classes))[0]!r}")
    frame = frame.assign(truth=truth)
    if frame.duplicated(["case", "arm", "ratio", "seed"]).any():
        raise _refused("a case twice in one training run")
    fixed = [c for c in frame.columns if c not in ("arm", "ratio", "seed", *scored)]
    cases = frame[fixed].drop_duplicates().set_index("case").sort_index()
    if cases.index.has_duplicates:
        raise _refused("a case whose truth, patient or group differs between training runs")
    seeds = tuple(sorted(frame["seed"].unique()))
    values = {}
    for (arm, ratio, seed), part in frame.groupby(["arm", "ratio", "seed"], sort=True):
        if len(part) != len(cases):
            raise _refused(f"{len(part)} of {len(cases)} cases in the run {arm!r}, ratio {ratio:g}, seed {seed}")
        ordered = part.set_index("case").reindex(cases.index)[scored].to_numpy(dtype=np.float64)
        values[str(arm), float(str(ratio)), str(seed)] = ordered
    for arm, ratio in {(a, r) for a, r, _ in values}:
        lacking = [s for s in seeds if (arm, ratio, s) not in values]
        if lacking:
            raise _refused(f"no run of the arm {arm!r}, ratio {ratio:g}, with seed {lacking[0]}")
    return _Scores(cases, classes, seeds, values)


def _refused(what: str) -> DataProblem:
    return DataProblem(
        f"the table of scores has {what}.",
        code="MET-020",
        where="scores",
        why="A gain is a difference on the same cases with the same training seeds.",
        action="Give one row per case, arm, ratio and seed, with case, patient, truth and score or score.<class>.",
    )


def _no_arm(arm: str, known: set[str]) -> UsageProblem:
    return UsageProblem(
        f"no task model was trained in the way {arm!r}.",
        code="MET-014",
        where="arm, comparator",
        action=f"The scores hold: {', '.join(sorted(known))}.",
    )
