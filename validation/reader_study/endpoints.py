"""The endpoints of reader studies by name; imports nothing, so that the help of commands can list them."""

from __future__ import annotations

from typing import Literal, get_args

Endpoint = Literal[
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
]
ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)
LOCALISATION: tuple[Endpoint, ...] = (
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
FEWER_ARE_BETTER: tuple[Endpoint, ...] = ("false_marks", "false_marks_all")
NO_TRUTH: tuple[Endpoint, ...] = ("mean_score", "preference")
