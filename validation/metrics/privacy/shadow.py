"""Shadow models: does the synthetic table meet a person more closely than generators do that never saw the person.

The generator is trained again, on random halves of the people of training and holdout table together (each half and its
complement, so that every person is left out by one shadow model of a pair). A person who is hard to meet by generators
that were not trained on them, and is met closely by the synthetic table, was probably trained on. The halves are drawn
without looking at who was trained on, so relabelling training and holdout people stays an exact null.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from validation.entry_points import import_factory
from validation.errors import DataProblem, UsageProblem
from validation.estimate import Estimate
from validation.metrics.findings import Finding, Status
from validation.metrics.privacy.exchangeable import NULL, without_holdout
from validation.metrics.privacy.membership import Attack, membership_findings
from validation.metrics.tabular.encoding import Floats, encode
from validation.metrics.tabular.neighbours import nearest, space
from validation.registry import Direction, Kind, metric
from validation.statistics.roc import auc

SHADOWS = 8
FEWEST = 100  # people of both tables together, below which no shadow model is trained
_TINY = 1e-6
Sampler = Callable[[int, int], pd.DataFrame]


def trained(entry_point: str, table: pd.DataFrame, seed: int) -> Sampler:
    """Return the sampler that ``package.module:function`` trains on a table: ``function(table, seed)``.

    The function returns a callable ``(n, seed) -> table`` or an object with a method ``sample`` of that form.

    Raises
    ------
    ModelProblem
        MOD-005 if the entry point cannot be imported.
    UsageProblem
        TAB-006 if what it returns cannot be sampled from.
    """
    made: Any = import_factory(entry_point)(table, seed)
    function = getattr(made, "sample", made)
    if not callable(function):
        raise UsageProblem(
            "the function that trains a generator returned nothing that can be sampled from.",
            code="TAB-006",
            where=entry_point,
            action="Return a callable (n, seed) -> table, or an object with such a method named sample.",
        )
    return function  # type: ignore[no-any-return]


def halves(n: int, shadows: int, *, seed: int) -> npt.NDArray[np.bool_]:
    """Return, per shadow model, who is in its half: each odd one is the complement of the one before.

    >>> h = halves(10, 4, seed=0); h.shape, [int(k) for k in h.sum(0)]
    ((4, 10), [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    rng, found = np.random.default_rng(seed), np.zeros((shadows, n), bool)
    for k in range(0, shadows, 2):
        found[k, rng.permutation(n)[: n // 2]] = True
        found[k + 1] = ~found[k]
    return found


def calibrated(target: Floats, shadow: Floats, inside: npt.NDArray[np.bool_]) -> Floats:
    """Return the closeness of every person to the target's records minus its mean over shadow models without them.

    Reference: Watson et al. 2022 (difficulty calibration), arXiv:2111.08440.
    """
    out = ~inside
    return np.asarray(target - (shadow * out).sum(0) / np.maximum(1, out.sum(0)))


def shadow_attack(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    generator: str,
    shadows: int,
    seed: int,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
) -> tuple[Attack, float]:
    """Return the attack on all training and holdout people, and its mean area on the shadow models themselves.

    The second number says how strong the attack is where the truth is known: each shadow model is attacked with the
    help of the others.

    Raises
    ------
    UsageProblem
        TAB-006 if the number of shadow models is odd or below four, or the generator cannot be used.
    DataProblem
        TAB-006 if a shadow model returns no table with the columns of the training table, or there are too few people.
    """
    if shadows < 4 or shadows % 2:
        raise UsageProblem(
            f"{shadows} shadow models were asked for; their number must be even and at least four.",
            code="TAB-006",
            where="--param shadows",
        )
    people = pd.concat([train, holdout[list(train.columns)]], ignore_index=True)
    n, every = len(train), len(people)
    if every < FEWEST:
        raise DataProblem(
            f"{every} people in training and holdout tables; shadow models need {FEWEST}.",
            code="TAB-006",
            where="train",
        )

    def closeness(made: pd.DataFrame) -> Floats:
        t = encode(train, made, holdout, categorical=categorical, ignore=ignore)
        if t.faults:
            raise DataProblem(
                "a table of a shadow model differs from the training table.",
                code="TAB-006",
                where=generator,
                why="; ".join(sorted(set(t.faults.values()))),
            )
        return -np.log(nearest(space(t), t.real, t.synthetic).first + _TINY)

    inside = halves(every, shadows, seed=seed)
    met = np.empty((shadows, every))
    for k in range(shadows):
        half = people[inside[k]].reset_index(drop=True)
        made = trained(generator, half, seed + k)(len(synthetic), seed + shadows + k)
        if not isinstance(made, pd.DataFrame) or made.empty:
            raise DataProblem("a shadow model returned no table with rows.", code="TAB-006", where=generator)
        met[k] = closeness(made)
    scores = calibrated(closeness(synthetic), met, inside)
    areas = []
    for k in range(shadows):
        rest = np.arange(shadows) != k
        own = auc(calibrated(met[k], met[rest], inside[rest]), inside[k].astype(np.int64)).value
        areas.append(0.5 if own is None else own)
    return Attack(f"shadow models ({shadows})", scores[:n], scores[n:]), float(np.mean(areas))


def shadow_findings(
    train: pd.DataFrame,
    holdout: pd.DataFrame | None,
    synthetic: pd.DataFrame,
    groups: list[tuple[str, dict[str, npt.NDArray[np.bool_]]]],
    *,
    generator: str,
    shadows: int,
    seed: int,
    level: float,
    categorical: tuple[str, ...],
    ignore: tuple[str, ...],
) -> list[Finding]:
    """Judge area and true positive rates of the shadow attack; without a generator to train it says so."""
    if holdout is None:
        return [without_holdout("shadow_attack", n=len(train))]
    if not generator:
        why = "no generator that can be trained again is named (--param generator=package.module:function)"
        empty = Estimate.insufficient(why, n=len(train), unit="1", method="shadow models", level=level)
        return [
            Finding(
                metric="shadow_attack",
                estimate=empty,
                null=NULL,
                rule="needs a generator to train",
                note=why,
                decided=Status.INCONCLUSIVE,
                direction=Direction.LOWER.value,
            )
        ]
    attack, strength = shadow_attack(
        train,
        holdout,
        synthetic,
        generator=generator,
        shadows=shadows,
        seed=seed,
        categorical=categorical,
        ignore=ignore,
    )
    found = membership_findings([attack], groups, n=len(train), level=level)
    people = len(train) + len(holdout)
    words = f"{shadows} shadow models on halves of {people} people; mean area on themselves {strength:.3f}"
    return [
        f if f.subgroup else replace(f, note="; ".join(t for t in (f.note, words) if t), reference=_REFERENCE)
        for f in found
    ]


_REFERENCE = "Shokri et al. 2017, doi:10.1109/SP.2017.41; Watson et al. 2022, arXiv:2111.08440"


@metric(
    "shadow_membership",
    unit="1",
    direction=Direction.LOWER,
    roles=("train", "holdout", "synthetic"),
    kind=Kind.ESTIMATE,
    family="privacy",
    reference=_REFERENCE,
    oracle="brute-force scores; relabelling simulation",
)
def shadow_membership(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    generator: str,
    shadows: int = SHADOWS,
    categorical: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Measure membership inference with shadow models: area, and true positive rates at 1 % and 0.1 % false positives.

    ``generator`` names a function ``package.module:function``, called as ``function(table, seed)``, that trains the
    generator under test with its own settings and returns a sampler ``(n, seed) -> table``. It is trained ``shadows``
    times (even, at least four) on halves of training and holdout people together; each shadow model makes as many
    records as the synthetic table has. Score: minus log distance (Gower) to the nearest synthetic record, less the mean
    of the same over the shadow models that were not trained on the person. ``on_shadow_models`` is the mean area of the
    attack on the shadow models, where the truth is known. Half as many people as possible train a shadow model, so it
    may remember more or less than the generator under test; few shadow models make the scores noisy, which weakens the
    attack and never accuses by itself.
    """
    attack, strength = shadow_attack(
        train,
        holdout,
        synthetic,
        generator=generator,
        shadows=shadows,
        seed=seed,
        categorical=categorical,
        ignore=ignore,
    )
    found = {name.removeprefix(f"{attack.name} "): e for name, e in attack.estimates(level=level).items()}
    found["on_shadow_models"] = Estimate(
        value=strength,
        lower=None,
        upper=None,
        method=f"mean area over {shadows} shadow models",
        n=len(train) + len(holdout),
        unit="1",
        level=level,
        reason="a description of the attack, not an estimate about people",
    )
    return found
