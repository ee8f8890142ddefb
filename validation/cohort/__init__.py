"""The holdout: its case table and images, its seal, and what is checked before anything is measured."""
