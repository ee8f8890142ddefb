"""Intervals, hypothesis tests, resampling, multiplicity and sample size: arrays in, estimates out."""
