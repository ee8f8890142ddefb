"""The plan of a reader study beyond its statistics, and whether it holds what authorities ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from validation.errors import ProtocolProblem
from validation.protocol.endpoint_schema import Part
from validation.protocol.plan_schemas import ReaderStudyPlan

GUIDANCE = (
    "FDA, Clinical Performance Assessment: Considerations for Computer-Assisted Detection Devices Applied to Radiology "
    "Images and Radiology Device Data in Premarket Notification (510(k)) Submissions, 28 September 2022"
)


class Conduct(Part):
    """How the study is carried out: every field is text for the investigator's plan; an empty one is an open point."""

    title: str = Field(min_length=5)
    hypothesis_statement: str = Field(default="", description="Hypotheses and endpoints in words.")
    success_criterion: str = Field(default="", description="What result meets the claim.")
    assumption_checks: str = Field(default="", description="Which assumptions are checked, and how.")
    sample_size_statistical: str = Field(default="", description="Statistical grounds for readers and cases.")
    sample_size_clinical: str = Field(default="", description="Clinical grounds for readers and cases.")
    image_interpretation: str = Field(default="", description="How images are shown and read: display, tools, time.")
    reader_task: str = Field(default="", description="What readers do and record.")
    clinical_decision: str = Field(default="", description="Explicit decision recorded per reading, if Se/Sp are used.")
    scale_training: str = Field(default="", description="How readers are trained on the rating scale.")
    training_cases_separate: bool = Field(default=False, description="Whether training cases are no test cases.")
    control_arm: str = Field(default="", description="The arm that is compared with, read by the same method.")
    randomisation: str = Field(default="", description="How readers, cases and conditions are randomised.")
    truth_definition: str = Field(default="", description="Reference standard and how it is established.")
    truthers: str = Field(default="", description="Number and qualifications of truthers, rule that combines them.")
    truthers_are_not_readers: bool = False
    truth_variability: str = Field(default="", description="How the uncertainty of the truth is accounted for.")
    case_selection: str = Field(default="", description="Selection and enrichment; not by the model's own performance.")
    subgroups: str = Field(default="", description="Stratified results by lesion, protocol, hardware, population.")
    multiplicity: str = Field(default="", description="Adjustment for several claims, fixed in advance.")
    missing_readings: str = Field(default="", description="What is done about readings that are missing.")
    equivocal_results: str = Field(default="", description="How equivocal readings count; they are never dropped.")
    curve_fits: str = Field(default="", description="Parametric and non-parametric curves, and check of the fit.")
    bias_mitigation: str = Field(default="", description="Selection, spectrum, verification, order, context.")
    unaided_only_cases: str = Field(
        default="", description="For sequential designs: share read unaided only, or why not."
    )
    data_reuse: str = Field(default="", description="Firewall, access log, limits if test cases are used again.")
    foreign_data: str = Field(default="", description="Sites, countries and whether their data may be pooled.")
    electronic_data: str = Field(default="", description="Line listing that is submitted.")
    standalone: str = Field(default="", description="Standalone performance on the same data.")
    pilot: str = Field(default="", description="Pilot results and how they were used.")
    software: str = Field(default="", description="Analysis software and version.")
    predictive_values: Literal["none", "external_prevalence", "study_prevalence"] = "none"


class PlanFile(Part):
    """What ``validation readers plan`` reads: the block of the protocol and the conduct of the study."""

    reader_study: ReaderStudyPlan
    conduct: Conduct


def read_plan(path: Path) -> PlanFile:
    """Read a plan from YAML.

    Raises
    ------
    ProtocolProblem
        If the file cannot be read, or a field is missing, unknown or of the wrong kind.
    """
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
        return PlanFile.model_validate(record)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise _refused(f"{path.name} cannot be read as YAML ({type(problem).__name__}).", path.name) from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _refused(f"{place}: {first['msg']} ({problem.error_count()} in all).", path.name) from problem


def protocol_block(plan: ReaderStudyPlan) -> str:
    """Return the ``reader_study`` section of a protocol, in YAML.

    >>> plan = ReaderStudyPlan(modalities=["input", "output"], readers=6, cases=200, prevalence=0.5)
    >>> ReaderStudyPlan.model_validate(yaml.safe_load(protocol_block(plan))["reader_study"]) == plan
    True
    """
    record = {"reader_study": plan.model_dump(mode="json")}
    return str(yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=110))


def check_plan(plan: ReaderStudyPlan, conduct: Conduct) -> list[dict[str, Any]]:
    """Return one row per thing that authorities look for: ``section``, ``check``, ``met``, ``detail``.

    A check is about what the plan says, not about whether it is wise; a person decides that. Sections are those of the
    FDA guidance named in :data:`GUIDANCE` unless another source is named.
    """
    c = conduct
    said: list[tuple[str, str, str]] = [
        ("IV", "hypotheses and endpoints are stated", c.hypothesis_statement),
        ("IV", "the success criterion is stated", c.success_criterion),
        ("IV", "checks of assumptions are planned", c.assumption_checks),
        ("IV", "an alternative analysis is fixed in case assumptions fail", plan.fallback),
        ("IV", "the numbers are justified statistically", c.sample_size_statistical),
        ("IV", "the numbers are justified clinically", c.sample_size_clinical),
        ("IV", "image interpretation is described", c.image_interpretation),
        ("IV", "the readers' task is described", c.reader_task),
        ("IV", "readers' qualifications represent the intended users", plan.reader_qualifications),
        ("IV", "readers' training is described", plan.reader_training),
        ("IV", "pilot results are reported, or their absence explained", c.pilot),
        ("IV.A", "parametric and non-parametric curves with a check of fit are planned", c.curve_fits),
        ("IV.A", "stratified results are planned", c.subgroups),
        ("IV.A", "several claims are adjusted for, or there is one", c.multiplicity),
        ("IV.A", "analysis software and version are named", c.software),
        ("IV.B", "the control arm is described and read by the same method", c.control_arm),
        ("IV.C", "randomisation of readers, cases and conditions is described", c.randomisation),
        ("IV.D", "readers are trained on the rating scale", c.scale_training),
        ("VI", "the reference standard is described", c.truth_definition),
        ("VI", "number, qualifications and rule of the truthers are stated", c.truthers),
        ("VI", "variability of the truth is accounted for", c.truth_variability),
        ("V, appendix A", "case selection and enrichment are described", c.case_selection),
        ("V.A", "sites, foreign data and pooling are justified", c.foreign_data),
        ("V.B", "reuse of test data is controlled", c.data_reuse),
        ("VII", "the data listing to be submitted is described", c.electronic_data),
        ("appendix A", "biases and their mitigation are listed", c.bias_mitigation),
        ("FDA 2007, section 6", "equivocal readings are counted by a fixed rule", c.equivocal_results),
        ("FDA 2013, pivotal studies", "missing readings are handled by a fixed rule", c.missing_readings),
        ("FDA 510(k) guidance", "standalone performance on the same data is planned", c.standalone),
    ]
    rows = [_row(section, check, bool(text.strip()), text.strip()) for section, check, text in said]
    shares = plan.endpoint in ("sensitivity", "specificity")
    located = plan.endpoint == "wafroc"
    one_sided = plan.hypothesis != "superiority"
    sequential = plan.design == "sequential"
    days = f"{plan.washout_days} days"
    rows += [
        _row(
            "IV", "several readers and cases, so that both can be random", plan.readers > 1, f"{plan.readers} readers"
        ),
        _row(
            "IV.A",
            "sensitivity and specificity rest on explicit decisions, not on ratings",
            not shares or bool(c.clinical_decision.strip()),
            c.clinical_decision or ("needed for this endpoint" if shares else "endpoint does not need it"),
        ),
        _row("IV.C", "at least four weeks between sessions", sequential or plan.washout_days >= 28, days),
        _row(
            "IV.D",
            "the rating scale is fine enough for ROC curves",
            plan.endpoint not in ("auc", "wafroc") or _levels(plan.rating_scale) >= 7,
            plan.rating_scale,
        ),
        _row(
            "IV.E",
            "the rule that matches marks and lesions is fixed",
            not located or bool(plan.mark_scoring.strip()),
            plan.mark_scoring or ("needed for this endpoint" if located else "endpoint does not need it"),
        ),
        _row("IV.F", "training cases are not test cases", c.training_cases_separate, _yes(c.training_cases_separate)),
        _row("VI", "truthers are not readers", c.truthers_are_not_readers, _yes(c.truthers_are_not_readers)),
        _row(
            "appendix A",
            "a sequential design has cases that are read unaided only, or says why not",
            not sequential or bool(c.unaided_only_cases.strip()),
            c.unaided_only_cases or ("needed for this design" if sequential else "not a sequential design"),
        ),
        _row(
            "V",
            "predictive values, if any, use an external prevalence",
            c.predictive_values != "study_prevalence",
            c.predictive_values.replace("_", " "),
        ),
        _row(
            "FDA 2016, non-inferiority",
            "non-inferiority and equivalence have a margin",
            not one_sided or plan.margin > 0,
            f"margin {plan.margin:g}" if one_sided else "superiority",
        ),
    ]
    return rows


def open_points(rows: list[dict[str, Any]]) -> list[str]:
    """Return the checks that are not met."""
    return [f"{row['check']} ({row['section']})" for row in rows if not row["met"]]


def _levels(scale: str) -> int:
    """Return the number of levels of a scale such as ``0-100`` or ``1-5``; 0 if it cannot be told.

    >>> _levels("0-100"), _levels("1 to 5"), _levels("words")
    (101, 5, 0)
    """
    import re

    found = re.fullmatch(r"\s*(\d+)\s*(?:-|–|to)\s*(\d+).*", scale)
    return max(0, int(found.group(2)) - int(found.group(1)) + 1) if found else 0


def _yes(value: bool) -> str:
    return "stated" if value else "not stated"


def _row(section: str, check: str, met: bool, detail: str) -> dict[str, Any]:
    return {"section": section, "check": check, "met": met, "detail": detail}


def _refused(what: str, where: str) -> ProtocolProblem:
    return ProtocolProblem(
        what,
        code="RDR-026",
        where=where,
        why="A plan that cannot be read cannot be followed.",
        action="Correct the file; `validation readers plan --example` prints one.",
    )
