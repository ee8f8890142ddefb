"""Metrics of synthetic event tables against real ones: visits, times, transitions, survival."""
