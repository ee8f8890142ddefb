"""The investigator's plan of a reader study, as blocks of a short document."""

from __future__ import annotations

from typing import Any

from validation.dossier.plain_document import Block, Heading, Paragraph, Table

_SECTIONS: dict[str, tuple[str, ...]] = {
    "Purpose": ("hypothesis_statement", "success_criterion"),
    "Readers": ("sample_size_statistical", "sample_size_clinical", "scale_training", "pilot"),
    "Cases and reference standard": (
        "case_selection",
        "truth_definition",
        "truthers",
        "truth_variability",
        "foreign_data",
        "data_reuse",
    ),
    "Reading": (
        "control_arm",
        "image_interpretation",
        "reader_task",
        "clinical_decision",
        "randomisation",
        "unaided_only_cases",
        "bias_mitigation",
    ),
    "Analysis": (
        "assumption_checks",
        "curve_fits",
        "subgroups",
        "multiplicity",
        "missing_readings",
        "equivocal_results",
        "standalone",
        "software",
        "electronic_data",
    ),
}
_DESIGN = (
    ("design", "Design"),
    ("modalities", "Reading conditions"),
    ("readers", "Readers"),
    ("cases", "Cases"),
    ("prevalence", "Share of diseased cases"),
    ("endpoint", "Endpoint"),
    ("method", "Method"),
    ("covariance", "Covariance"),
    ("hypothesis", "Hypothesis"),
    ("margin", "Margin"),
    ("alpha", "Two-sided type-I error"),
    ("rating_scale", "Rating scale"),
    ("washout_days", "Days between sessions"),
    ("reader_qualifications", "Qualifications of readers"),
    ("reader_training", "Training of readers"),
    ("mark_scoring", "Scoring of marks"),
    ("fallback", "Analysis if assumptions fail"),
    ("randomisation_seed", "Seed of the randomisation"),
)
_WORDS = {
    "fully_crossed": "fully crossed: every reader reads every case under every condition",
    "split_plot": "split plot: groups of readers read their own cases",
    "paired_split_plot": "paired split plot: each group of readers reads its own cases under every condition",
    "sequential": "sequential: one condition directly after the other",
    "auc": "area under the ROC curve (AUC)",
    "wafroc": "area under the weighted AFROC curve (wAFROC)",
    "likert": "ratings of image quality",
    "or": "Obuchowski-Rockette, Hillis degrees of freedom",
    "dbm": "Dorfman-Berbaum-Metz",
    "ustat": "U-statistics",
    "delong": "DeLong",
    "non_inferiority": "non-inferiority",
}


def plan_blocks(
    plan: dict[str, Any], conduct: dict[str, Any], checks: list[dict[str, Any]], block: str, guidance: str
) -> list[Block]:
    """Return the plan: open points first, then design, conduct, checks and the section for the protocol.

    Parameters
    ----------
    plan, conduct
        Fields of the ``reader_study`` block and of the conduct.
    checks
        Rows of :func:`validation.reader_study.conduct.check_plan`.
    block
        The YAML of the protocol's section.
    guidance
        The document that the sections of the checks are of.
    """
    unmet = [row for row in checks if not row["met"]]
    design: list[tuple[str, ...]] = [(title, _WORDS.get(str(plan[key]), _text(plan[key]))) for key, title in _DESIGN]
    blocks: list[Block] = [
        Heading("Open points"),
        Paragraph(
            f"{len(unmet)} of {len(checks)} points that authorities look for are open; they are marked in the "
            "table of checks."
            if unmet
            else f"All {len(checks)} points that authorities look for are addressed. Whether they are addressed well "
            "is for a person to judge."
        ),
        Heading("Design"),
        Table("Design and analysis, as in the protocol", ("Field", "Value"), design),
    ]
    for title, fields in _SECTIONS.items():
        blocks.append(Heading(title))
        for name in fields:
            label = name.replace("_", " ").capitalize()
            blocks.append(Paragraph(f"{label}: {_text(conduct[name])}"))
    rows: list[tuple[str, ...]] = [
        (r["section"], r["check"], "met" if r["met"] else "OPEN", _text(r["detail"])) for r in checks
    ]
    blocks += [
        Heading("Checks"),
        Paragraph(f"Sections are those of: {guidance}; other sources are named."),
        Table("What authorities look for", ("Section", "Check", "State", "What the plan says"), rows),
        Heading("Section for the protocol"),
        Paragraph(block, listing=True),
    ]
    return blocks


def _text(value: Any) -> str:
    """Return a value in words; what is empty is an open point."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value).strip()
    return text or "(open)"
