"""The endpoints of reader studies, for the options of several commands; the plan of an analysis checks them."""

from __future__ import annotations

ENDPOINTS = (
    "auc",
    "sensitivity",
    "specificity",
    "partial_auc",
    "sensitivity_at_specificity",
    "specificity_at_sensitivity",
    "expected_utility",
    "binormal_auc",
    "proper_auc",
    "mean_score",
    "preference",
    "wafroc",
    "afroc",
    "wafroc1",
    "afroc1",
    "alroc",
    "partial_alroc",
    "localisation_at_specificity",
    "hr_auc",
    "hr_sensitivity",
    "hr_specificity",
    "lesion_fraction",
    "false_marks",
    "false_marks_all",
)
