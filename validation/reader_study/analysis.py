"""One analysis of one table of scores: estimates, differences with verdicts, readers, components, and conventions."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from validation.errors import DataProblem, UsageProblem
from validation.estimate import Outcome
from validation.reader_study.arbitrary import analyse_arbitrary
from validation.reader_study.checks import study_checks
from validation.reader_study.conventions import conventions
from validation.reader_study.crossed import analyse_crossed
from validation.reader_study.design import NESTED, Design, inspect, look_alikes, one_class_readers
from validation.reader_study.obuchowski_rockette import Effects
from validation.reader_study.plan import AnalysisPlan, needs_no_marks
from validation.reader_study.rows import multiplicity
from validation.reader_study.scores import ReaderScores
from validation.reader_study.standalone import analyse_standalone, system_as_reader

_FOR_NESTED = {("auc", "jackknife"), ("auc", "unbiased")}
_ALL_TIED = "all scores are tied: the ratings hold no information"


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result of an analysis, in plain JSON types except for the plan and the design."""

    plan: AnalysisPlan
    design: Design
    method: str
    modalities: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    readers: list[dict[str, Any]]
    reader_differences: list[dict[str, Any]]
    components: dict[str, Any]
    anova: dict[str, Any]
    convention: str
    warnings: list[str] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the contract of ``validation readers analyse --json``; what is not defined is ``null``, never NaN."""
        plan = self.plan
        return {
            "design": self.design.to_dict(),
            "endpoint": plan.endpoint,
            "method": self.method,
            "covariance": plan.covariance
            if self.method == "or"
            else "jackknife"
            if self.method == "dbm"
            else "unbiased",
            "effects": plan.effects.value,
            "hypothesis": {
                "type": plan.claim.value,
                "margin": plan.margin,
                "alpha": plan.alpha,
                "control": plan.control,
            },
            "modalities": self.modalities,
            "differences": self.differences,
            "multiplicity": multiplicity(self.differences, plan),
            "readers": self.readers,
            "reader_differences": self.reader_differences,
            "components": self.components,
            "anova": self.anova,
            "convention": self.convention,
            "warnings": self.warnings,
            "checks": self.checks,
        }

    @property
    def outcome(self) -> Outcome:
        """The worst verdict over all differences; inconclusive where there is none."""
        outcomes = {d["verdict"] for d in self.differences}
        for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS):
            if outcome.value in outcomes:
                return outcome
        return Outcome.INCONCLUSIVE


def analyse(scores: ReaderScores, plan: AnalysisPlan | None = None) -> Analysis:
    """Analyse a reader study as planned.

    Parameters
    ----------
    scores
        The scores, from :func:`validation.reader_study.tables.read_scores`.
    plan
        What to do; by default empirical AUC, random readers and cases, two-sided superiority.

    Raises
    ------
    DataProblem
        If the design does not allow the method, a class has fewer than two cases, or a reader read one class only.
    UsageProblem
        If the control is not one of the modalities.
    """
    plan = plan or AnalysisPlan()
    needs_no_marks(plan.endpoint)
    if plan.standalone is not None:
        return _against_readers(scores, plan, plan.standalone)
    design = inspect(scores)
    method = plan.method if plan.method != "auto" else "or" if design.type == "fully_crossed" else "ustat"
    refuse_impossible(scores, design, method, plan)
    pairs = pairs_of_modalities(scores, plan.control)
    parts = (
        analyse_arbitrary(scores, plan, pairs) if method == "ustat" else analyse_crossed(scores, plan, method, pairs)
    )
    warnings = [*parts.pop("warnings"), *([_ALL_TIED] if design.tied_share >= 1 else [])]
    return Analysis(
        plan,
        design,
        method,
        **parts,
        convention=_conventions(plan, method, nested=design.type in NESTED),
        warnings=warnings,
        checks=study_checks(scores, plan),
    )


def pairs_of_modalities(scores: ReaderScores, control: str | None) -> tuple[list[int], list[int]]:
    """Return indices ``a`` and ``b`` of the differences ``a - b``: every pair, or every other against the control."""
    M = len(scores.modalities)
    if control is None:
        pairs = list(combinations(range(M), 2))
        return [a for a, _ in pairs], [b for _, b in pairs]
    if control not in scores.modalities:
        raise UsageProblem(
            f"there is no modality {control!r}.",
            code="RDR-012",
            where="--control",
            action=f"Choose one of {', '.join(scores.modalities)}.",
        )
    b = scores.modalities.index(control)
    others = [m for m in range(M) if m != b]
    return others, [b] * len(others)


def refuse_impossible(scores: ReaderScores, design: Design, method: str, plan: AnalysisPlan) -> None:
    """Raise where the data do not allow the analysis at all."""
    if method not in design.allowed:
        raise DataProblem(
            f"--method {method} {design.refused[method]} ({design.missing_cells} of {design.cells} cells were not "
            f"read).",
            code="RDR-013",
            where="scores",
            why="Its mean squares and covariances are averages over a complete table; on any other they estimate "
            "something else.",
            action="Use --method ustat, which is valid for any design, or complete the readings.",
        )
    if method == "ustat" and plan.effects is Effects.RRFC:
        raise DataProblem(
            f"a {design.type.replace('_', ' ')} design is analysed by U-statistics, which take cases as random.",
            code="RDR-013",
            where="--cases",
            why="The mean squares that stand for fixed cases are those of a complete table.",
            action="Use --cases random.",
        )
    if method == "or" and design.type in NESTED and (plan.endpoint, plan.covariance) not in _FOR_NESTED:
        raise DataProblem(
            f"with {design.type.replace('_', ' ')}, Obuchowski-Rockette takes auc, jackknife or unbiased.",
            code="RDR-013",
            where="--covariance",
            why="DeLong's covariance and the bootstrap need every reader to have read the same cases.",
            action="Use --covariance unbiased, or --method ustat.",
        )
    short = {"non-diseased": design.n_negative, "diseased": design.n_positive}
    needed = {
        "sensitivity": {"diseased": short["diseased"]},
        "specificity": {"non-diseased": short["non-diseased"]},
        "mean_score": {"rated": design.n_cases},
        "preference": {"rated": design.n_cases},
    }.get(plan.endpoint, short)
    for label, count in needed.items():
        if count < 2:
            raise DataProblem(
                f"there are {count} {label} cases; {plan.endpoint} and its variance need at least two.",
                code="RDR-014",
                where="scores",
                action="Add cases of that class.",
            )
    lacking = [found for found in one_class_readers(scores) if found[2] in needed]
    if lacking:
        text = "; ".join(f"reader {r} under modality {m} read no {label} case" for r, m, label in lacking[:5])
        alike = "; ".join(f"{what} {' and '.join(names)} look alike" for what, names in look_alikes(scores)[:3])
        raise DataProblem(
            f"{text}.",
            code="RDR-015",
            where="scores",
            why=f"The {plan.endpoint} of such a reader is not defined, and leaving the reader out would change the "
            f"study.",
            action="Complete the readings, or remove the reader by the rule in the protocol."
            + (f" Check the spelling: {alike}." if alike else ""),
        )


def _conventions(plan: AnalysisPlan, method: str, *, nested: bool) -> str:
    """Return the definitions that were followed."""
    parts = [method]
    if method == "ustat":
        parts += ["ustat_fixed"] if plan.effects is Effects.FRRC else []
    else:
        parts += {Effects.FRRC: ["fixed_readers"], Effects.RRFC: ["fixed_cases"], Effects.RRRC: []}[plan.effects]
    if nested and method == "or":
        parts.append("nested")
    if plan.endpoint in ("sensitivity", "specificity"):
        parts.append("decisions")
    if plan.endpoint in ("binormal_auc", "proper_auc") or plan.curve != "empirical":
        parts.append("fitted")
    return conventions(*parts, "test")


def _against_readers(scores: ReaderScores, plan: AnalysisPlan, name: str) -> Analysis:
    """Compare a standalone system with the average reader."""
    study = system_as_reader(scores, name)
    design = inspect(study)
    refuse_impossible(study, design, "or", plan)
    parts = analyse_standalone(study, plan, name)
    warnings = parts.pop("warnings")
    effects = ["fixed_cases"] if plan.effects is Effects.RRFC else []
    used = ["standalone", *effects, *(["decisions"] if plan.endpoint in ("sensitivity", "specificity") else []), "test"]
    return Analysis(
        plan, design, "or", **parts, convention=conventions(*used), warnings=warnings, checks=study_checks(study, plan)
    )
