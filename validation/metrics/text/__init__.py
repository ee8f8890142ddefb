"""Drafted reports against the reports that were signed: findings, sides, measurements, editing."""
