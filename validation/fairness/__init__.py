"""Estimates by group, gaps between groups, and the worst group.

:func:`~validation.fairness.report.fairness_report` makes the section ``fairness`` of the results from any estimators;
:func:`~validation.fairness.measures.measures` makes the estimators of the usual metrics from a table.
"""
