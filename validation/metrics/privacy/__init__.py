"""Metrics of what synthetic records reveal about the people a generator was trained on."""
