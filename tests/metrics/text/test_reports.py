"""The labeller on sentences with known meaning, and drafts with planted omissions, inventions and slips."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from validation.errors import DataProblem, UsageProblem
from validation.metrics.text.labeller import label, read_terms
from validation.metrics.text.reports import edit_distance, report_edit_effort, report_findings

TERMS = pd.DataFrame(
    {
        "finding": ["pneumothorax", "effusion", "effusion", "nodule", "fracture"],
        "term": ["pneumothorax", "effusion", "pleural fluid", "nodule", "fracture"],
        "severity": ["critical", "major", "major", "major", "minor"],
    }
)


@pytest.mark.parametrize(
    ("text", "finding", "status"),
    [
        ("Large right pneumothorax.", "pneumothorax", "present"),
        ("No pneumothorax or pleural effusion.", "effusion", "absent"),
        ("No pneumothorax or pleural effusion.", "pneumothorax", "absent"),
        ("No effusion but a small pneumothorax.", "pneumothorax", "present"),
        ("No effusion but a small pneumothorax.", "effusion", "absent"),
        ("Pneumothorax is excluded.", "pneumothorax", "absent"),
        ("A small pneumothorax cannot be excluded.", "pneumothorax", "uncertain"),
        ("Possible nodule in the left lung.", "nodule", "uncertain"),
        ("No fracture. Old fracture of the third rib.", "fracture", "present"),
        ("Free pleural  fluid on the left", "effusion", "present"),
        ("Hydropneumothorax.", "pneumothorax", "unmentioned"),
        ("The heart is normal.", "nodule", "unmentioned"),
        ("NODULE of 1.2 cm", "nodule", "present"),
    ],
)
def test_statuses(text, finding, status):
    assert label(text, read_terms(TERMS))[finding].status == status


def test_sides_and_sizes_come_from_the_clause_of_the_finding():
    found = label("Effusion on the right; a 1.2 cm nodule in the left lung.", read_terms(TERMS))
    assert found["effusion"].sides == {"right"}
    assert found["nodule"].sides == {"left"}
    assert found["nodule"].sizes_mm == {12.0}
    assert label("Bilateral effusion.", read_terms(TERMS))["effusion"].sides == {"both"}


def test_cues_of_another_language():
    words = {"(negation)": ["kein", "keine"], "(uncertain)": ["fraglich"], "nodule": ["Rundherd"]}
    table = pd.DataFrame([(f, t) for f, terms in words.items() for t in terms], columns=["finding", "term"])
    lexicon = read_terms(table)
    assert label("Kein Rundherd.", lexicon)["nodule"].status == "absent"
    assert label("Fraglich Rundherd.", lexicon)["nodule"].status == "uncertain"


def test_planted_omissions_inventions_and_slips_are_found():
    signed = "Left pneumothorax. No effusion. A 6 mm nodule in the right lung. Rib fracture."
    drafts = [
        signed,
        "No effusion. A 6 mm nodule in the right lung. Rib fracture.",  # critical finding left out
        "Left pneumothorax. Effusion. A 6 mm nodule in the right lung. Rib fracture.",  # invented and contradicted
        "Left pneumothorax. No effusion. A 9 mm nodule in the left lung. Rib fracture.",  # wrong size, wrong side
    ]
    found = report_findings(pd.DataFrame({"draft": drafts, "signed": signed, "patient": list("abcd")}), TERMS)
    value = {name: e.value for name, e in found.items()}
    assert value["omitted"] == pytest.approx(1 / 12)
    assert value["omitted critical"] == pytest.approx(1 / 4)
    assert value["omitted minor"] == 0
    assert value["invented"] == pytest.approx(1 / 12)
    assert value["invented major"] == pytest.approx(1 / 5)
    assert value["contradicted"] == pytest.approx(1 / 15)
    assert value["wrong side"] == pytest.approx(1 / 7)  # 3 pneumothoraces and 4 nodules with a side
    assert value["wrong size"] == pytest.approx(1 / 4)
    assert value["agreement"] == pytest.approx(14 / 16)
    assert found["omitted"].n_clusters == 4


def test_equal_reports_have_no_errors_and_nothing_to_count_is_insufficient():
    same = pd.DataFrame({"draft": ["No effusion.", "No nodule."], "signed": ["No effusion.", "No nodule."]})
    found = report_findings(same, TERMS)
    assert found["agreement"].value == 1
    assert found["omitted"].value is None
    assert found["omitted"].reason
    effort = report_edit_effort(same)
    assert effort["edited share"].value == 0
    assert effort["signed unchanged"].value == 1


def test_a_draft_that_failed_omits_everything():
    table = pd.DataFrame({"draft": [None, "Nodule."], "signed": ["Nodule.", "Nodule."]})
    assert report_findings(table, TERMS)["omitted"].value == pytest.approx(0.5)
    assert report_edit_effort(table)["edited share"].value == pytest.approx(0.5)


def test_edit_distance_equals_the_definition():
    def slow(a, b):
        table = np.zeros((len(a) + 1, len(b) + 1), int)
        table[:, 0], table[0] = range(len(a) + 1), range(len(b) + 1)
        for i in range(len(a)):
            for j in range(len(b)):
                table[i + 1, j + 1] = min(table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + (a[i] != b[j]))
        return table[-1, -1]

    rng = np.random.default_rng(1)
    for _ in range(50):
        a, b = (list(rng.choice(list("abcd"), rng.integers(0, 12))) for _ in range(2))
        assert edit_distance(a, b) == slow(a, b)


def test_wrong_tables_are_refused_without_text_of_reports():
    reports = pd.DataFrame({"draft": ["secret"], "signed": [" "]})
    with pytest.raises(DataProblem, match="empty") as caught:
        report_findings(reports, TERMS)
    assert "secret" not in str(caught.value)
    with pytest.raises(DataProblem, match="lacks signed"):
        report_edit_effort(reports.drop(columns="signed"))
    for wrong in (TERMS.drop(columns="term"), TERMS.assign(severity=list("abcde")), TERMS.head(0)):
        with pytest.raises(DataProblem, match="terms"):
            report_findings(reports.assign(signed="x"), wrong)
    with pytest.raises(UsageProblem, match="tolerance_mm"):
        report_findings(reports.assign(signed="x"), TERMS, tolerance_mm=-1)
