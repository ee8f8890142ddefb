"""The reader study of a protocol as people read it: their table copied into the run, and its analysis as planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from validation.digest import write_atomically
from validation.errors import DataProblem, ProtocolProblem
from validation.protocol.plan_schemas import ReaderStudyPlan
from validation.reader_study.analysis import Analysis, analyse
from validation.reader_study.checks import Circumstances, study_checks
from validation.reader_study.endpoints import NO_TRUTH, Endpoint
from validation.reader_study.judgement import Claim
from validation.reader_study.localisation import analyse_marks
from validation.reader_study.marks import from_tables
from validation.reader_study.plan import AnalysisPlan
from validation.reader_study.scores import ReaderScores, from_frame
from validation.reader_study.tables import read_table
from validation.study.spec import Study

SCORES, LESIONS = Path("readings/scores.csv"), Path("readings/lesions.csv")
_SCORES = ("reader", "modality", "case", "truth", "score", "decision", "read_at", "mark_type", "lesion_id")
_LESIONS = ("case", "truth", "lesion_id", "weight")
_ENDPOINTS: dict[str, Endpoint] = {
    "auc": "auc",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "wafroc": "wafroc",
    "likert": "mean_score",
}


def copy_readings(study: Study, run: Path) -> None:
    """Copy the tables of readings into the run, known columns only, before anything is judged.

    Raises
    ------
    DataProblem
        If a table is missing, cannot be read, or lacks the column of readers or cases.
    """
    spec = study.spec.readings
    if spec is None:
        return
    for name, target, columns in ((spec.scores, SCORES, _SCORES), (spec.lesions, LESIONS, _LESIONS)):
        if name is None:
            continue
        path = study.folder / name
        if not path.is_file():
            raise DataProblem(
                f"there is no table of readings {name!r}.",
                code="RUN-056",
                where="readings, in study.yaml",
                why="The reader study of the protocol is analysed from it.",
                action="Correct the path, or take the entry out.",
            )
        table = read_table(path)
        kept = [column for column in columns if column in table.columns]
        write_atomically(run / target, table[kept].to_csv(index=False).encode())


def has_readings(run: Path) -> bool:
    """Return whether people's readings lie in the run."""
    return (run / SCORES).is_file()


def analyse_readings(run: Path, plan: ReaderStudyPlan) -> dict[str, Any]:
    """Return the section ``reader_study`` of the results from the readings in a run.

    The analysis is the one that the protocol fixed; every other condition is compared with the first one it names, or
    with ``input``. Where fewer readers or cases were read than planned, or another design, a warning says so.

    Raises
    ------
    ProtocolProblem
        If the planned endpoint has no comparison of reading conditions.
    DataProblem
        If the readings are refused, or their conditions are not those of the protocol.
    """
    table = read_table(run / SCORES)
    if plan.endpoint not in _ENDPOINTS:
        raise ProtocolProblem(
            f"`{plan.endpoint}` does not compare reading conditions.",
            code="RUN-048",
            where="reader_study.endpoint",
            action="Use auc, sensitivity, specificity, wafroc or likert; `validation readers agreement` measures "
            "agreement.",
        )
    read = set(table["modality"].astype(str).str.strip()) if "modality" in table.columns else set()
    if read != set(plan.modalities):
        raise DataProblem(
            f"the conditions that were read ({', '.join(sorted(read))}) are not those of the protocol "
            f"({', '.join(plan.modalities)}).",
            code="RUN-057",
            where=SCORES.name,
            why="The hypothesis of the protocol is about its own conditions.",
            action="Name the conditions in the column modality as the protocol does.",
        )
    settings = _analysis_plan(plan)
    scores, found = _analysed(run, table, settings)
    told = Circumstances(readings=table, fallback=plan.fallback or None, sequential=plan.design == "sequential")
    record = found.to_dict() | {"checks": study_checks(scores, settings, told)}
    record["warnings"] = [*record["warnings"], *_departures(plan, record["design"])]
    return record | {
        "simulated": False,
        "notice": "",
        "n_readers": len(scores.readers),
        "n_cases": len(scores.cases),
        "planned": plan.model_dump(mode="json"),
        "outcome": found.outcome.value,
    }


def _analysis_plan(plan: ReaderStudyPlan) -> AnalysisPlan:
    several = len(plan.modalities) > 1
    control = "input" if "input" in plan.modalities else plan.modalities[0]
    return AnalysisPlan(
        endpoint=_ENDPOINTS[plan.endpoint],
        method=plan.method,
        covariance=plan.covariance,
        claim=Claim(plan.hypothesis),
        margin=plan.margin,
        alpha=plan.alpha,
        control=control if several else None,
        seed=plan.randomisation_seed,
    )


def _analysed(run: Path, table: Any, plan: AnalysisPlan) -> tuple[ReaderScores, Analysis]:
    if plan.endpoint == "wafroc":
        if not (run / LESIONS).is_file():
            raise DataProblem(
                "marks need the table of lesions.",
                code="RUN-056",
                where="readings.lesions, in study.yaml",
                action="Name the table (case, truth, lesion_id).",
            )
        marks = from_tables(table, read_table(run / LESIONS))
        return marks.highest(), analyse_marks(marks, plan)
    scores = from_frame(table, where=SCORES.name, need_truth=plan.endpoint not in NO_TRUTH)
    return scores, analyse(scores, plan)


def _departures(plan: ReaderStudyPlan, design: dict[str, Any]) -> list[str]:
    """Return where the readings depart from the plan."""
    found = []
    for name, planned, read in (
        ("readers", plan.readers, design["n_readers"]),
        ("cases", plan.cases, design["n_cases"]),
    ):
        if planned != read:
            found.append(f"{planned} {name} were planned and {read} read: a departure that needs its reason")
    crossed = plan.design in ("fully_crossed", "sequential")
    if crossed and design["type"] != "fully_crossed":
        text = f"the protocol plans that every reader reads every case; the readings are {design['type']}"
        found.append(text.replace("_", " "))
    return found
