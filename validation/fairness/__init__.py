"""Estimates by group, gaps between groups, and the worst group."""
