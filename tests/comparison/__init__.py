"""Tests of models side by side."""
