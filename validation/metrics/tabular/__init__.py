"""Metrics of synthetic tables against real ones: fidelity and utility."""
