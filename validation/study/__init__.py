"""A study: a protocol bound to a model and a cohort; planning, measuring and judging it."""
