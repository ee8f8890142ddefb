"""Standalone detection and diagnosis: tables of scores, with patients as clusters."""
